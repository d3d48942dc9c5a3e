//! The authority that says which nodes belong to a cluster, and the certificates that it issues.
//!
//! A certificate names its node and its cluster, as `NAME.CLUSTER.mgctl` and `CLUSTER.mgctl`; a node lets in who
//! shows one of its own cluster. It serves for listening and for dialling. Keys are P-256; the authority issues
//! certificates for nodes and for no other authority.
//!
//! Where the authority is kept is the runtime's business. Its key is needed to issue, and never where nodes run.

use crate::error::{CliError, Exit};
use crate::runtime::docker;
use crate::topology::{CertificateFiles, Topology};
use crate::words::count;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long an authority is good for.
const AUTHORITY_DAYS: i64 = 3652;

/// How long a node's certificate is good for.
const LEAF_DAYS: i64 = 397;

/// A certificate that ends sooner is issued anew by `up`, and `status` says so.
pub const RENEW_SECONDS: i64 = 30 * DAY;

const DAY: i64 = 86_400;

/// An authority, its key included.
pub struct Authority {
    cluster: String,
    certificate: String,
    key: KeyPair,
}

/// A node's certificate and key, and the authority's certificate, all PEM.
pub struct Leaf {
    /// The node's certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The authority's certificate.
    pub authority: String,
}

impl Authority {
    /// Makes the authority of a cluster.
    pub fn make(cluster: &str) -> Result<Authority, CliError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| failed(cluster, &e))?;
        let mut params = authority_params(cluster)?;
        set_validity(&mut params, AUTHORITY_DAYS);
        let certificate = params.self_signed(&key).map_err(|e| failed(cluster, &e))?;
        Ok(Authority { cluster: cluster.to_owned(), certificate: certificate.pem(), key })
    }

    /// Reads what [`Authority::certificate`] and [`Authority::key`] gave.
    pub fn read(cluster: &str, certificate: &str, key: &str) -> Result<Authority, CliError> {
        let key = KeyPair::from_pem(key).map_err(|e| damaged(cluster, &e))?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|e| damaged(cluster, &e))?;
        let parsed = webpki::EndEntityCert::try_from(&der).map_err(|e| damaged(cluster, &e))?;
        if parsed.subject_public_key_info().as_ref() != rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err(damaged(cluster, &"its key is not that of its certificate"));
        }
        Ok(Authority { cluster: cluster.to_owned(), certificate: certificate.to_owned(), key })
    }

    /// Returns its certificate.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Returns its private key.
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// Issues a certificate for a node, with a new key.
    pub fn issue(&self, instance: &str) -> Result<Leaf, CliError> {
        self.issue_for(instance, LEAF_DAYS)
    }

    /// The same, good for so many days.
    pub fn issue_for(&self, instance: &str, days: i64) -> Result<Leaf, CliError> {
        let cluster = &self.cluster;
        let fail = |e: &dyn std::fmt::Display| failed(cluster, e);
        let names = vec![format!("{instance}.{cluster}.mgctl"), format!("{cluster}.mgctl")];
        let mut params = CertificateParams::new(names).map_err(|e| fail(&e))?;
        params.distinguished_name = Default::default();
        params.distinguished_name.push(DnType::CommonName, format!("{instance}.{cluster}"));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        set_validity(&mut params, days);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| fail(&e))?;
        let issuer = Issuer::new(authority_params(cluster)?, &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(|e| fail(&e))?;

        // The name of the issuer is written anew here: it must be the one in the authority's certificate.
        let own =
            CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(|e| damaged(cluster, &e))?;
        let own = webpki::EndEntityCert::try_from(&own).map_err(|e| damaged(cluster, &e))?;
        let issued = webpki::EndEntityCert::try_from(certificate.der()).map_err(|e| fail(&e))?;
        if issued.issuer() != own.subject() {
            return Err(damaged(cluster, &"it is not one that mgctl made"));
        }
        Ok(Leaf {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: self.certificate.clone(),
        })
    }
}

/// What is known of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// For how many seconds it is still good, fewer than 0 once it has ended.
    pub seconds_left: i64,
    /// Tells it, and the authority's that goes with it, from others.
    pub print: String,
}

impl Certificate {
    /// Reads a node's certificate and the authority's; `None` if the first cannot be read.
    pub fn read(certificate: &str, authority: &str) -> Option<Certificate> {
        Some(Certificate { seconds_left: seconds_left(certificate)?, print: print(certificate, authority) })
    }

    /// Returns true if it ends so soon that another one should be there.
    pub fn ends_soon(&self) -> bool {
        self.seconds_left < RENEW_SECONDS
    }
}

/// Returns what tells a certificate, and the authority's that goes with it, from others.
pub fn print(certificate: &str, authority: &str) -> String {
    let digest = Sha256::digest(format!("{}\n{}", certificate.trim(), authority.trim()));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns what the files of a topology hold for a node; `None` where they hold nothing that can be used, and where
/// mgctl issues the certificates.
pub fn offered(topology: &Topology, instance: &str) -> Option<Leaf> {
    let file = topology.tls_files.as_ref()?.leaves.get(instance)?;
    Some(Leaf {
        certificate: file.certificate.clone(),
        key: file.key.expose().to_owned(),
        authority: file.authority.clone(),
    })
}

/// As [`offered`], for a node that needs it.
pub fn demanded(files: &CertificateFiles, topology: &Topology, instance: &str) -> Result<Leaf, CliError> {
    offered(topology, instance).ok_or_else(|| not_offered(files, topology, instance))
}

/// The files hold no certificate for a node that needs one.
pub fn not_offered(files: &CertificateFiles, topology: &Topology, instance: &str) -> CliError {
    let folder = files.folder.display();
    CliError::new(Exit::Usage, format!("`{folder}` holds no certificate for `{instance}` that can be used"))
        .code("MG086")
        .at(topology.place.clone())
        .note("this cluster has `tls.mode: files`: mgctl issues no certificates for it")
        .help(format!("put {instance}.crt, {instance}.key and ca.crt there; `mgctl validate` says what is wrong with them"))
}

/// Returns how many seconds a PEM certificate is still good for, fewer than 0 once it has ended; `None` if it
/// cannot be read.
pub fn seconds_left(certificate: &str) -> Option<i64> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    Some(not_after(&der)? - now())
}

/// Says how long that is, for people: "in 12 days", "3 days ago".
pub fn show_seconds_left(seconds: i64) -> String {
    let days = seconds.unsigned_abs() / DAY as u64;
    let days = count(days, "day");
    if seconds < 0 { format!("ended {days} ago") } else { format!("ends in {days}") }
}

fn authority_params(cluster: &str) -> Result<CertificateParams, CliError> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(|e| failed(cluster, &e))?;
    params.distinguished_name = Default::default();
    params.distinguished_name.push(DnType::CommonName, format!("mgctl cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Returns the seconds since 1970.
pub(crate) fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn now() -> i64 {
    i64::try_from(seconds_now()).unwrap_or(i64::MAX)
}

/// From yesterday, since clocks differ, until so many days from today.
fn set_validity(params: &mut CertificateParams, days: i64) {
    let at = |day: i64| {
        let (year, month, day) = date(day);
        rcgen::date_time_ymd(year, month, day)
    };
    let today = now() / DAY;
    (params.not_before, params.not_after) = (at(today - 1), at(today + days));
}

/// The date of a day since 1970, counted in years that begin in March.
fn date(day: i64) -> (i32, u8, u8) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |n: i64| u8::try_from(n).expect("a month or a day of one");
    (i32::try_from(year).expect("a year of our time"), small(month), small(day))
}

/// The second at which a certificate ends: the second time in its validity, which is the fourth field after the
/// version (X.509: serial, algorithm, issuer, validity).
fn not_after(der: &[u8]) -> Option<i64> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (mut fields, _) = inside(inside(der, SEQUENCE)?.0, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = inside(fields, VERSION)?.1;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (validity, _) = inside(fields, SEQUENCE)?;
    let (tag, time, _) = element(element(validity)?.2)?;
    let text = std::str::from_utf8(time).ok()?;
    let (century, rest) = match tag {
        // UTCTime: two digits of the year.
        0x17 => (if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" }, text),
        0x18 => (text.get(..2)?, text.get(2..)?),
        _ => return None,
    };
    let part = |from: usize| rest.get(from..from + 2);
    let (year, month, day) = (part(0)?, part(2)?, part(4)?);
    let (hour, minute, second) = (part(6)?, part(8)?, part(10)?);
    let text = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    i64::try_from(docker::seconds(&text)?).ok()
}

/// The first element: its tag, what is in it, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        let (digits, after) = rest.split_at_checked(count)?;
        length = digits.iter().fold(0, |n, digit| n << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// What is in the first element, which has this tag, and what follows it.
fn inside(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, after) = element(der)?;
    (found == tag).then_some((content, after))
}

fn failed(cluster: &str, why: &dyn std::fmt::Display) -> CliError {
    CliError::new(Exit::Other, format!("no certificate can be made: {why}"))
        .code("MG085")
        .thing(format!("cluster `{cluster}`"))
}

fn damaged(cluster: &str, why: &dyn std::fmt::Display) -> CliError {
    CliError::new(Exit::Other, format!("the authority of the cluster is not usable: {why}"))
        .code("MG085")
        .thing(format!("cluster `{cluster}`"))
        .note("the nodes go on with the certificates that they have")
        .help("put it back from a backup; or `mgctl down`, remove the volume of the authority, and `mgctl up`: every node gets a new certificate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_was_exchanged_issues_nothing() {
        let (one, other) = (Authority::make("demo").unwrap(), Authority::make("demo").unwrap());
        assert!(Authority::read("demo", one.certificate(), &other.key()).is_err());
        assert!(Authority::read("demo", one.certificate(), "no key").is_err());
        assert!(Authority::read("demo", "no certificate", &one.key()).is_err());
        let renamed = Authority::read("other", one.certificate(), &one.key()).unwrap();
        assert!(renamed.issue("m1").is_err());
    }

    #[test]
    fn ends_are_read_from_certificates() {
        let authority = Authority::make("demo").unwrap();
        for days in [0, 1, 29, 397, 20_000] {
            let leaf = authority.issue_for("m1", days).unwrap();
            let left = seconds_left(&leaf.certificate).unwrap();
            assert!(left <= days * DAY && left > (days - 1) * DAY, "{days} days: {left} s");
        }
        let left = seconds_left(authority.certificate()).unwrap();
        assert!(left > (AUTHORITY_DAYS - 1) * DAY);
        assert_eq!(seconds_left("nothing"), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_779), (2026, 11, 22));
        assert_eq!(date(-1), (1969, 12, 31));
    }
}
