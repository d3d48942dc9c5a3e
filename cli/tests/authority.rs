//! What mgctl issues is what nodes ask for.

use mgctl::authority::Authority;
use mgnode::quic::{ClusterFiles, Credentials};

#[test]
fn nodes_take_the_certificates_of_an_authority_that_was_put_away_and_read_again() {
    let authority = Authority::make("demo").unwrap();
    let again = Authority::read("demo", authority.certificate(), &authority.key()).unwrap();
    assert_eq!(authority.certificate(), again.certificate());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: String, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    for (name, authority) in [("m1", &authority), ("r1", &again)] {
        let leaf = authority.issue(name).unwrap();
        let files = ClusterFiles {
            certificate: write(format!("{name}.crt"), &leaf.certificate),
            key: write(format!("{name}.key"), &leaf.key),
            authority: write(format!("{name}.ca"), &leaf.authority),
        };
        let identity = Credentials::cluster(files).unwrap().identity().unwrap();
        assert_eq!(identity.certified, Some(format!("{name}.demo.mgctl")));
    }
    // One of another authority for the same cluster is none.
    let other = Authority::make("demo").unwrap();
    let leaf = other.issue("m1").unwrap();
    let files = ClusterFiles {
        certificate: write("other.crt".into(), &leaf.certificate),
        key: write("other.key".into(), &leaf.key),
        authority: write("other.ca".into(), authority.certificate()),
    };
    assert!(Credentials::cluster(files).is_err());
}
