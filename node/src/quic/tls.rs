//! The encryption of replication: TLS 1.3 with a key that each process makes for itself.
//!
//! It keeps records from being read or changed on the way; it does not say who the other side is.
//! Who may replicate to whom is decided by node ids and epochs, one layer up.

use mgnode_core::replication::{PROTOCOL, PROTOCOL_MIN};
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;

/// The protocol's name on the wire, without its version.
const ALPN: &str = "mg-repl/";

/// Names every protocol that this node speaks, the newest first; the handshake takes the first that
/// both sides know, or fails.
fn alpn() -> Vec<Vec<u8>> {
    (PROTOCOL_MIN..=PROTOCOL).rev().map(|version| format!("{ALPN}{version}").into_bytes()).collect()
}

/// Returns the protocol that the handshake of `connection` settled.
pub(super) fn protocol(connection: &quinn::Connection) -> Result<u16, String> {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    data.and_then(|data| data.protocol)
        .and_then(|name| String::from_utf8(name).ok())
        .and_then(|name| name.strip_prefix(ALPN)?.parse().ok())
        .ok_or_else(|| "the handshake settled no protocol".to_owned())
}
/// The name in every certificate; it says nothing.
pub(super) const SERVER_NAME: &str = "mgnode";

/// This process's key and certificate.
pub(super) struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    pub(super) fn generate() -> Result<Identity, String> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])
            .map_err(|e| format!("cannot make a key for replication: {e}"))?;
        Ok(Identity {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        })
    }

    pub(super) fn server(&self) -> Result<QuicServerConfig, String> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .map_err(|e| e.to_string())?;
        config.alpn_protocols = alpn();
        config.max_early_data_size = 0;
        QuicServerConfig::try_from(config).map_err(|e| e.to_string())
    }

    pub(super) fn client(&self) -> Result<QuicClientConfig, String> {
        let verifier = AnyKey { algorithms: self.provider.signature_verification_algorithms };
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = alpn();
        config.enable_early_data = false;
        QuicClientConfig::try_from(config).map_err(|e| e.to_string())
    }
}

/// Takes any certificate whose key signs the handshake.
#[derive(Debug)]
struct AnyKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC speaks TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
