//! `tls.mode: files`: certificates that somebody else issued. A folder holds `ca.crt`, and `NAME.crt` and `NAME.key` of
//! each node, all PEM.
//!
//! They are judged as the nodes judge them, so that what no node would take is said before anything starts. A command that
//! gives no node a certificate goes on without them: who must fail over need not have the keys at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};

use super::report::Report;
use super::secret::{Secret, is_open, why};
use super::tree::Span;

/// The authority's certificate.
const AUTHORITY: &str = "ca.crt";

/// A folder of certificates, and those of them that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The folder, resolved against the directory of the topology.
    pub folder: PathBuf,
    /// By node.
    pub leaves: BTreeMap<String, CertificateFile>,
}

/// What a node is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// Its certificate, and what leads from it to the authority's; PEM, as the two others.
    pub certificate: String,
    /// Its private key.
    pub key: Secret,
    /// The certificate of the authority, or of several.
    pub authority: String,
}

impl CertificateFiles {
    /// Reads what is there for the nodes of a cluster, and leaves out what cannot be used.
    pub fn read(folder: &Path, cluster: &str, nodes: &[&str]) -> CertificateFiles {
        let mut report = Report::new("".into(), "");
        read(folder, cluster, nodes, Span::default(), &mut report)
    }
}

/// As [`CertificateFiles::read`], and reports why something cannot be used, at `span`.
pub(super) fn read(
    folder: &Path,
    cluster: &str,
    nodes: &[&str],
    span: Span,
    report: &mut Report<'_>,
) -> CertificateFiles {
    let mut files = CertificateFiles { folder: folder.to_owned(), leaves: BTreeMap::new() };
    let mut text = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|error| {
                report
                    .error("MG001", span, format!("cannot read `{}`: {}", path.display(), why(&error)))
                    .help
                    .push(format!(
                        "`tls.folder` holds {AUTHORITY}, and NAME.crt and NAME.key of each node; it starts from the directory of the topology"
                    ));
            })
            .ok()
    };
    let authority_path = folder.join(AUTHORITY);
    let authority = text(&authority_path);
    let found: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (certificate, key) = paths(folder, node);
            (*node, text(&certificate).zip(text(&key)))
        })
        .collect();
    let Some(authority) = authority else { return files };
    let judge = match Judge::new(&authority, cluster) {
        Ok(judge) => judge,
        Err(reason) => {
            let what = format!("`{}` is no authority's certificate: {reason}", authority_path.display());
            report
                .error("MG086", span, what)
                .help
                .push("it is PEM: the certificate that signed those of the nodes".into());
            return files;
        }
    };
    for (node, found) in found {
        let Some((certificate, key)) = found else { continue };
        let (certificate_path, key_path) = paths(folder, node);
        if let Err(refusal) = judge.check(node, &certificate, &key) {
            let at = if refusal.is_key { &key_path } else { &certificate_path };
            let what = format!("`{}` cannot be used: {}", at.display(), refusal.what);
            report.error("MG086", span, what).help.push(refusal.help);
            continue;
        }
        if is_open(&key_path) {
            let what = format!("`{}` can be read by every user of this machine", key_path.display());
            report.warning("MG026", span, what).help.push(format!("chmod 600 {}", key_path.display()));
        }
        let leaf = CertificateFile { certificate, key: Secret::new(key), authority: authority.clone() };
        files.leaves.insert(node.to_owned(), leaf);
    }
    files
}

fn paths(folder: &Path, node: &str) -> (PathBuf, PathBuf) {
    (folder.join(format!("{node}.crt")), folder.join(format!("{node}.key")))
}

/// What a node of the cluster asks of a certificate.
struct Judge {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    cluster: String,
}

/// Why it would refuse one.
struct Refusal {
    is_key: bool,
    what: String,
    help: String,
}

impl Judge {
    fn new(authority: &str, cluster: &str) -> Result<Judge, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authority)? {
            roots.add(certificate).map_err(|e| e.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Judge { provider, roots: Arc::new(roots), cluster: format!("{cluster}.mgctl") })
    }

    fn check(&self, node: &str, certificate: &str, key: &str) -> Result<(), Refusal> {
        let (cluster, own) = (&self.cluster, format!("{node}.{}", self.cluster));
        let refuse = |what: String, help: &str| Refusal { is_key: false, what, help: help.to_owned() };
        let chain = certificates(certificate).map_err(|what| {
            refuse(what, "it is PEM: the node's certificate first, then those between it and the authority's")
        })?;
        let issue = format!("have one issued with the DNS names {own} and {cluster}");
        let both = |e: Error| match e {
            Error::InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    refuse("it has expired".into(), "put a new one there, with its key")
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    refuse("it is not valid yet".into(), "see that the clocks agree, or wait")
                }
                CertificateError::UnknownIssuer | CertificateError::BadSignature => refuse(
                    format!("{AUTHORITY} did not sign it"),
                    "put the certificate that signed it there, or those between the two into it",
                ),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    refuse(format!("it does not name the cluster, {cluster}"), &issue)
                }
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => refuse(
                    "it is not for servers and clients both".into(),
                    "a node listens and dials: have it issued with extendedKeyUsage=serverAuth,clientAuth",
                ),
                other => refuse(other.to_string(), &issue),
            },
            other => refuse(other.to_string(), &issue),
        };
        let built = |e: &dyn std::fmt::Display| refuse(e.to_string(), &issue);
        let name = ServerName::try_from(cluster.clone()).map_err(|e| built(&e))?;
        let servers = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
            .build()
            .map_err(|e| built(&e))?;
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
            .build()
            .map_err(|e| built(&e))?;
        let now = UnixTime::now();
        servers.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).map_err(both)?;
        clients.verify_client_cert(&chain[0], &chain[1..], now).map_err(both)?;
        let leaf = webpki::EndEntityCert::try_from(&chain[0]).map_err(|e| built(&e))?;
        let names: Vec<&str> = leaf.valid_dns_names().collect();
        if !names.contains(&own.as_str()) {
            return Err(refuse(
                format!("it does not name the node, {own}; it names {}", names.join(", ")),
                &issue,
            ));
        }
        let of_key = |what: String, help: &str| Refusal { is_key: true, what, help: help.to_owned() };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|e| of_key(e.to_string(), "it is PEM: PRIVATE KEY, not encrypted"))?;
        CertifiedKey::from_der(chain, key, &self.provider).map_err(|_| {
            of_key(format!("it is not the key of {node}.crt"), "put the two there that belong together")
        })?;
        Ok(())
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    if found.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(found)
}
