//! Who this node is to other nodes, and what it learns of who they are.
//!
//! Both sides of a connection show a certificate and prove that they hold its key. There are two kinds:
//!
//! | | own key | cluster certificate |
//! |---|---|---|
//! | made by | the node, at its first start | the cluster's authority, which `mgctl` keeps |
//! | kept in | `replication.key` in the data directory | the files of `--cluster-cert-file`, `-key-file`, `-ca-file` |
//! | a peer is let in | whoever it is: the engine decides by its key | with a certificate of the same authority and the same cluster |
//! | the engine hears | the fingerprint of its key | that, and the name that the authority certified |
//!
//! A node with a cluster certificate never talks to one without.
//!
//! **Names.** A leaf certificate carries the DNS names `NAME.CLUSTER.mgctl` and `CLUSTER.mgctl`. The
//! dialler asks for the second, taken from its own certificate and never from the address, which may be
//! an IP or an alias; so does the listener, which looks for it among the names of its client. One
//! authority may thus serve several clusters, and they stay apart.
//!
//! **From certificate to node id.** An authority that signs before a node's first start cannot know the
//! id that the node will make up. It certifies a name; the engine binds that name to the node id in the
//! registration and in the list of members, and refuses another name for that id, or another id behind
//! that address, from then on. The key may change under the same name, as it does at each renewal; where
//! there is no name, the key itself is what is bound.
//!
//! The files are looked at again before every handshake, so that a renewed certificate needs no restart.

use super::own_key;
use super::verify::{AnyKey, OfCluster};
use mgnode_core::replication::{Line, PROTOCOL, PROTOCOL_MIN};
use mgnode_core::types::{Identity, KeyPrint};
use parking_lot::Mutex;
use quinn::Connection;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The protocol's name on the wire, without its version.
const ALPN: &str = "mg-repl/";
/// The protocol in which a MAIN showed no certificate.
const WITHOUT_CERTIFICATE: u16 = 1;
/// Ends the names in cluster certificates.
const SUFFIX: &str = ".mgctl";
/// The name in a certificate that a node makes for itself; it says nothing.
const OWN_NAME: &str = "mgnode";

/// Where the cluster's certificates are, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFiles {
    /// The node's own, and what leads from it to the authority's.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority's.
    pub authority: PathBuf,
}

/// A key, its certificate, and how others are judged.
pub struct Credentials {
    provider: Arc<CryptoProvider>,
    kind: Kind,
}

enum Kind {
    Own(Leaf),
    Cluster { files: ClusterFiles, current: Mutex<(Stamps, Arc<Cluster>)> },
}

struct Leaf {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

struct Cluster {
    leaf: Leaf,
    judge: Arc<OfCluster>,
    /// `CLUSTER.mgctl`
    name: String,
}

/// Tells a file that was replaced: when it was changed, and how long it is.
type Stamps = [Option<(SystemTime, u64)>; 3];

impl Credentials {
    /// Reads the node's own key from its data directory, and makes it where there is none yet.
    pub fn own(directory: &Path) -> Result<Credentials, String> {
        let key = own_key::open(&directory.join(own_key::FILE))?;
        Credentials::with_own_key(&key)
    }

    fn with_own_key(key: &rcgen::KeyPair) -> Result<Credentials, String> {
        let certificate = rcgen::CertificateParams::new([OWN_NAME.to_owned()])
            .and_then(|params| params.self_signed(key))
            .map_err(|e| format!("cannot make a certificate for replication: {e}"))?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
        let leaf = Leaf { chain: vec![certificate.der().clone()], key };
        Ok(Credentials { provider: provider(), kind: Kind::Own(leaf) })
    }

    /// Reads the cluster's certificates.
    pub fn cluster(files: ClusterFiles) -> Result<Credentials, String> {
        let provider = provider();
        let stamps = stamps(&files);
        let cluster = Arc::new(Cluster::read(&files, &provider)?);
        Ok(Credentials { provider, kind: Kind::Cluster { files, current: Mutex::new((stamps, cluster)) } })
    }

    /// Returns true if an authority says who belongs to the cluster.
    pub fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster { .. })
    }

    /// Returns what others learn of this node from a handshake with it.
    pub fn identity(&self) -> Result<Identity, String> {
        match &self.kind {
            Kind::Own(leaf) => identity_of(&leaf.chain[0], None),
            Kind::Cluster { .. } => {
                let cluster = self.current();
                identity_of(&cluster.leaf.chain[0], Some(&cluster.name))
            }
        }
    }

    /// Returns what the handshake of a connection settled, and proved about the other side.
    pub(super) fn line(&self, connection: &Connection) -> Result<Line, String> {
        let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let protocol = data
            .and_then(|data| data.protocol)
            .and_then(|name| String::from_utf8(name).ok())
            .and_then(|name| name.strip_prefix(ALPN)?.parse().ok())
            .ok_or("the handshake settled no protocol")?;
        let shown =
            connection.peer_identity().and_then(|s| s.downcast::<Vec<CertificateDer<'static>>>().ok());
        let leaf = shown.as_deref().and_then(|chain| chain.first());
        let identity = match (&self.kind, leaf) {
            (Kind::Own(_), Some(leaf)) => identity_of(leaf, None)?,
            // A MAIN of protocol 1 has none; the handshake lets it pass only here.
            (Kind::Own(_), None) => Identity::default(),
            (Kind::Cluster { .. }, Some(leaf)) => identity_of(leaf, Some(&self.current().name))?,
            (Kind::Cluster { .. }, None) => return Err("it showed no certificate".to_owned()),
        };
        Ok(Line { protocol, identity })
    }

    /// Returns how a listener shakes hands.
    pub(super) fn server(&self) -> Result<QuicServerConfig, String> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?;
        let config = match &self.kind {
            Kind::Own(leaf) => builder
                .with_client_cert_verifier(Arc::new(AnyKey::new(&self.provider)))
                .with_single_cert(leaf.chain.clone(), leaf.key.clone_key()),
            Kind::Cluster { .. } => {
                let cluster = self.current();
                builder
                    .with_client_cert_verifier(cluster.judge.clone())
                    .with_single_cert(cluster.leaf.chain.clone(), cluster.leaf.key.clone_key())
            }
        };
        let mut config = config.map_err(|e| e.to_string())?;
        config.alpn_protocols = alpn();
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(|e| e.to_string())
    }

    /// Returns how a dialler shakes hands, and the name that it asks for.
    pub(super) fn client(&self) -> Result<(QuicClientConfig, String), String> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .dangerous();
        let (config, name) = match &self.kind {
            Kind::Own(leaf) => {
                let builder = builder.with_custom_certificate_verifier(Arc::new(AnyKey::new(&self.provider)));
                let config = match newest() {
                    WITHOUT_CERTIFICATE => Ok(builder.with_no_client_auth()),
                    _ => builder.with_client_auth_cert(leaf.chain.clone(), leaf.key.clone_key()),
                };
                (config, OWN_NAME.to_owned())
            }
            Kind::Cluster { .. } => {
                let cluster = self.current();
                let config = builder
                    .with_custom_certificate_verifier(cluster.judge.clone())
                    .with_client_auth_cert(cluster.leaf.chain.clone(), cluster.leaf.key.clone_key());
                (config, cluster.name.clone())
            }
        };
        let mut config = config.map_err(|e| e.to_string())?;
        config.alpn_protocols = alpn();
        config.enable_early_data = false;
        config.resumption = rustls::client::Resumption::disabled();
        let config = QuicClientConfig::try_from(config).map_err(|e| e.to_string())?;
        Ok((config, name))
    }

    /// The certificates as they are now. Files that cannot be used, as while they are being replaced,
    /// leave the last good ones in force.
    fn current(&self) -> Arc<Cluster> {
        let Kind::Cluster { files, current } = &self.kind else {
            unreachable!("asked only where there is an authority");
        };
        let now = stamps(files);
        let mut current = current.lock();
        if current.0 != now {
            current.0 = now;
            match Cluster::read(files, &self.provider) {
                Ok(read) => {
                    tracing::info!("the cluster's certificates were replaced");
                    current.1 = Arc::new(read);
                }
                Err(e) => tracing::error!("the cluster's certificates stay as they were: {e}"),
            }
        }
        current.1.clone()
    }
}

impl Cluster {
    fn read(files: &ClusterFiles, provider: &Arc<CryptoProvider>) -> Result<Cluster, String> {
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|e| format!("cannot read the private key in `{}`: {e}", files.key.display()))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&files.authority)? {
            roots.add(authority).map_err(|e| {
                format!("the authority's certificate in `{}` is not usable: {e}", files.authority.display())
            })?;
        }
        let name = names(&chain[0])?
            .into_iter()
            .find(|name| name.strip_suffix(SUFFIX).is_some_and(|cluster| !cluster.contains('.')))
            .ok_or_else(|| {
                format!(
                    "the certificate in `{}` names no cluster: it needs the DNS names `NAME.CLUSTER{SUFFIX}` and \
                     `CLUSTER{SUFFIX}`",
                    files.certificate.display()
                )
            })?;
        let judge = OfCluster::new(roots, &name, provider)?;
        // What peers would say about it is better said here, at the start.
        if let Err(e) = judge.judge(&chain[0], &chain[1..], UnixTime::now()) {
            let path = files.certificate.display();
            match e {
                rustls::Error::InvalidCertificate(
                    rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. },
                ) => tracing::error!(
                    "the certificate in `{path}` has expired: no other node will talk to this one; `mgctl up` renews it"
                ),
                e => {
                    let authority = files.authority.display();
                    return Err(format!("the certificate in `{path}` is not one of `{authority}`: {e}"));
                }
            }
        }
        // The last thing that could be wrong is a key that belongs to another certificate.
        rustls::sign::CertifiedKey::from_der(chain.clone(), key.clone_key(), provider).map_err(|e| {
            format!(
                "the key in `{}` is not that of the certificate in `{}`: {e}",
                files.key.display(),
                files.certificate.display()
            )
        })?;
        Ok(Cluster { leaf: Leaf { chain, key }, judge: Arc::new(judge), name })
    }
}

/// Names every protocol that this node speaks, the newest first; the handshake takes the first that both
/// sides know, or fails.
fn alpn() -> Vec<Vec<u8>> {
    (PROTOCOL_MIN..=newest()).rev().map(|version| format!("{ALPN}{version}").into_bytes()).collect()
}

/// Returns the newest protocol that this node speaks. In a build with debug assertions a test of a rolling
/// upgrade may ask for an older node, with `MGNODE_PROTOCOL_MAX=1` in the environment.
#[cfg(debug_assertions)]
fn newest() -> u16 {
    static NEWEST: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    *NEWEST.get_or_init(|| match std::env::var("MGNODE_PROTOCOL_MAX") {
        Ok(text) => {
            text.parse().ok().filter(|n| (PROTOCOL_MIN..=PROTOCOL).contains(n)).unwrap_or_else(|| {
                panic!("`MGNODE_PROTOCOL_MAX={text}`: a number from {PROTOCOL_MIN} to {PROTOCOL}")
            })
        }
        Err(_) => PROTOCOL,
    })
}

#[cfg(not(debug_assertions))]
fn newest() -> u16 {
    PROTOCOL
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn stamps(files: &ClusterFiles) -> Stamps {
    [&files.certificate, &files.key, &files.authority].map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("cannot read certificates in `{shown}`: {e}"))?;
    if found.is_empty() {
        return Err(format!("there is no certificate in `{shown}`"));
    }
    Ok(found)
}

/// The DNS names of a certificate.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|e| e.to_string())?;
    Ok(parsed.valid_dns_names().map(str::to_owned).collect())
}

/// What a certificate says, its names as far as they are of the cluster `CLUSTER.mgctl`.
fn identity_of(certificate: &CertificateDer<'_>, cluster: Option<&str>) -> Result<Identity, String> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|e| e.to_string())?;
    let key = KeyPrint(Sha256::digest(parsed.subject_public_key_info()).into());
    let certified = match cluster {
        None => None,
        Some(cluster) => names(certificate)?.into_iter().find(|name| {
            let rest = name.strip_suffix(cluster).and_then(|rest| rest.strip_suffix('.'));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('.'))
        }),
    };
    Ok(Identity { key: Some(key), certified })
}
