//! `tls.mode: files`: what of a folder is given to nodes, and why the rest is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mgctl::authority::{Authority, Leaf};
use mgctl::topology::{Loaded, Source, load};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};

const TEXT: &str = "name: demo\ntls: { mode: files, folder: ./tls }\ninstances:\n  main: { role: main }\n  \
    r1: { role: replica }\n";

fn read(directory: &Path) -> Loaded {
    let source = Source { name: "t.yaml".into(), directory: directory.into(), text: TEXT.into() };
    load(&source, &|_| None).expect("the topology itself has no error")
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join("tls").join(name);
    fs::write(&path, text).expect("a file of the test");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its own");
}

fn put(directory: &Path, name: &str, leaf: &Leaf) {
    write(directory, &format!("{name}.crt"), &leaf.certificate);
    write(directory, &format!("{name}.key"), &leaf.key);
}

/// A folder with all that the nodes need.
fn whole() -> (tempfile::TempDir, Authority) {
    let directory = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(directory.path().join("tls")).expect("a folder in it");
    let authority = Authority::make("demo").expect("an authority");
    write(directory.path(), "ca.crt", authority.certificate());
    for name in ["main", "r1"] {
        put(directory.path(), name, &authority.issue(name).expect("it issues"));
    }
    (directory, authority)
}

fn wrong(directory: &Path) -> String {
    let loaded = read(directory);
    let shown: Vec<String> = loaded.certificate_problems.iter().map(|p| p.render(false)).collect();
    shown.join("\n").replace(&directory.display().to_string(), "DIR")
}

#[test]
fn what_a_node_would_take_is_given_to_it() {
    let (directory, authority) = whole();
    let loaded = read(directory.path());
    assert_eq!(wrong(directory.path()), "");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let files = loaded.topology.tls_files.expect("they come from files");
    assert_eq!(files.leaves.keys().collect::<Vec<_>>(), ["main", "r1"]);
    assert_eq!(files.leaves["r1"].authority, authority.certificate());
    assert!(!format!("{files:?}").contains("PRIVATE KEY"), "a key is shown");

    // Old and new authority in one file: a cluster passes from one to the other.
    let next = Authority::make("demo").expect("an authority");
    write(directory.path(), "ca.crt", &format!("{}{}", authority.certificate(), next.certificate()));
    put(directory.path(), "r1", &next.issue("r1").expect("it issues"));
    assert_eq!(wrong(directory.path()), "");
}

#[test]
fn a_key_that_all_can_read_is_doubtful() {
    let (directory, _) = whole();
    let key = directory.path().join("tls/r1.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its own");
    let loaded = read(directory.path());
    assert!(loaded.certificate_problems.is_empty());
    assert_eq!(loaded.warnings.iter().filter_map(|w| w.code).collect::<Vec<_>>(), ["MG026"]);
}

#[test]
fn all_that_is_missing_is_named_in_one_run() {
    let (directory, _) = whole();
    for name in ["ca.crt", "main.key", "r1.crt"] {
        fs::remove_file(directory.path().join("tls").join(name)).expect("it was there");
    }
    let said = wrong(directory.path());
    for name in ["ca.crt", "main.key", "r1.crt"] {
        assert!(
            said.contains(&format!("error[MG001]: cannot read `DIR/./tls/{name}`: no such file")),
            "{said}"
        );
    }
    assert!(said.contains("--> t.yaml:2:29"), "{said}");
    assert!(read(directory.path()).topology.tls_files.expect("files").leaves.is_empty());
}

#[test]
fn what_no_node_would_take_is_refused_with_the_reason() {
    let (directory, authority) = whole();
    let directory = directory.path();
    let other = Authority::make("demo").expect("an authority");
    let elsewhere = Authority::make("prod").expect("an authority");
    let good = authority.issue("r1").expect("it issues");
    let cases: Vec<(&str, Leaf, &str)> = vec![
        (
            "another authority's",
            other.issue("r1").expect("it issues"),
            "r1.crt` cannot be used: ca.crt did not sign it",
        ),
        (
            "another node's",
            authority.issue("main").expect("it issues"),
            "r1.crt` cannot be used: it does not name the node, r1.demo.mgctl; it names main.demo.mgctl, demo.mgctl",
        ),
        (
            "an old one",
            authority.issue_for("r1", -1).expect("it issues"),
            "r1.crt` cannot be used: it has expired",
        ),
        (
            "another's key",
            Leaf {
                key: authority.issue("r1").expect("it issues").key,
                ..authority.issue("r1").expect("it issues")
            },
            "r1.key` cannot be used: it is not the key of r1.crt",
        ),
        (
            "no key",
            Leaf { key: "text".into(), ..authority.issue("r1").expect("it issues") },
            "r1.key` cannot be used: ",
        ),
        (
            "no certificate",
            Leaf { certificate: "text".into(), ..authority.issue("r1").expect("it issues") },
            "r1.crt` cannot be used: there is no certificate in it",
        ),
    ];
    for (what, leaf, reason) in cases {
        put(directory, "r1", &leaf);
        let said = wrong(directory);
        assert!(said.starts_with("error[MG086]: `DIR/./tls/r1.") && said.contains(reason), "{what}: {said}");
        assert!(said.contains("\nhelp: "), "{what}: {said}");
        let files = read(directory).topology.tls_files.expect("files");
        assert_eq!(files.leaves.keys().collect::<Vec<_>>(), ["main"], "{what}");
    }
    put(directory, "r1", &good);
    assert_eq!(wrong(directory), "");

    // Of another cluster: every node of this one would refuse it.
    write(directory, "ca.crt", &format!("{}{}", authority.certificate(), elsewhere.certificate()));
    put(directory, "r1", &elsewhere.issue("r1").expect("it issues"));
    let said = wrong(directory);
    assert!(said.contains("it does not name the cluster, demo.mgctl"), "{said}");
    assert!(said.contains("have one issued with the DNS names r1.demo.mgctl and demo.mgctl"), "{said}");

    write(directory, "ca.crt", "text");
    let said = wrong(directory);
    assert!(said.starts_with("error[MG086]: `DIR/./tls/ca.crt` is no authority's certificate"), "{said}");
}

#[test]
fn a_certificate_for_one_side_alone_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let directory = directory.path();
    fs::create_dir(directory.join("tls")).expect("a folder in it");
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::<String>::new()).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    write(directory, "ca.crt", &ca.self_signed(&ca_key).expect("it signs").pem());
    let issuer = Issuer::new(ca, &ca_key);
    for (name, uses) in [
        ("main", vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]),
        ("r1", vec![ExtendedKeyUsagePurpose::ServerAuth]),
    ] {
        let names = vec![format!("{name}.demo.mgctl"), "demo.mgctl".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = uses;
        let key = KeyPair::generate().expect("a key");
        write(directory, &format!("{name}.crt"), &params.signed_by(&key, &issuer).expect("it signs").pem());
        write(directory, &format!("{name}.key"), &key.serialize_pem());
    }
    let said = wrong(directory);
    assert!(said.contains("r1.crt` cannot be used: it is not for servers and clients both"), "{said}");
    assert!(said.contains("extendedKeyUsage=serverAuth,clientAuth") && !said.contains("main.crt"), "{said}");
}
