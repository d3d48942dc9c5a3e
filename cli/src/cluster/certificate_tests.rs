//! `tls.mode: files`: nodes get the certificates of the files, when they need them, and nothing is begun without.

use super::fake::Fake;
use super::tests::{check_up, run, topology, up, wish};
use super::*;
use crate::authority::Authority;
use crate::error::Exit;
use crate::topology::CertificateFiles;
use std::path::Path;

const NODES: [&str; 3] = ["main", "rep1", "rep2"];

fn issue(folder: &Path, authority: &Authority, name: &str, days: i64) {
    let leaf = authority.issue_for(name, days).unwrap();
    std::fs::write(folder.join(format!("{name}.crt")), leaf.certificate).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), leaf.key).unwrap();
    std::fs::write(folder.join("ca.crt"), leaf.authority).unwrap();
}

/// A folder with a certificate of each node.
fn folder() -> (tempfile::TempDir, Authority) {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::make("quickstart").unwrap());
    for name in NODES {
        issue(folder.path(), &authority, name, 100);
    }
    (folder, authority)
}

/// The quickstart with what is in the folder now.
fn wish_with(folder: &Path) -> Wish {
    let mut topology = topology("quickstart.yaml");
    topology.tls_files = Some(CertificateFiles::read(folder, "quickstart", &NODES));
    wish(&topology)
}

async fn plan(wish: &Wish, fake: &Fake) -> Plan {
    reconcile(wish, &observe(&wish.topology, fake, fake).await.unwrap())
}

#[test]
fn nodes_get_those_of_the_files_and_no_authority_is_made() {
    run(async {
        let (folder, authority) = folder();
        let wish = wish_with(folder.path());
        let fake = Fake::new(&wish.topology);
        let text = plan(&wish, &fake).await.to_string();
        assert!(!text.contains("authority"), "{text}");
        assert!(text.contains("certificate:rep1: give rep1 a certificate  [after create:rep1]"), "{text}");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
        assert!(!up(&wish, &fake).await.unwrap(), "something was left");

        // Replaced in the folder, it is replaced at the node, which goes on.
        let ids = fake.machine_ids();
        issue(folder.path(), &authority, "rep1", 200);
        let wish = wish_with(folder.path());
        let text = plan(&wish, &fake).await.to_string();
        let cause = format!("(another one is in `{}`)", folder.path().display());
        assert_eq!(text, format!("certificate:rep1: give rep1 a certificate  {cause}\n"));
        up(&wish, &fake).await.unwrap();
        assert!(!up(&wish, &fake).await.unwrap(), "something was left");
        assert_eq!(fake.machine_ids(), ids, "a node was made anew");
    });
}

#[test]
fn one_that_ends_soon_is_told_and_only_its_file_can_change_that() {
    run(async {
        let (folder, authority) = folder();
        issue(folder.path(), &authority, "rep1", 20);
        let wish = wish_with(folder.path());
        let fake = Fake::new(&wish.topology);
        up(&wish, &fake).await.unwrap();
        let told = format!(
            "rep1: its certificate ends in 19 days; put a new rep1.crt, with its key, into `{}`, and run mgctl up",
            folder.path().display()
        );
        let plan = plan(&wish, &fake).await;
        assert!(plan.is_done() && plan.notes == [told.clone()], "{plan}");
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let fixes = fixes(&wish.topology, &seen);
        assert!(fixes.is_done() && fixes.notes == [told], "{fixes}");

        // A new one is there: that much is mended.
        issue(folder.path(), &authority, "rep1", 200);
        let wish = wish_with(folder.path());
        let fixes = super::fixes(&wish.topology, &seen);
        assert_eq!(
            fixes.to_string(),
            "certificate:rep1: give rep1 a certificate  (its certificate ends in 19 days)\n"
        );
    });
}

#[test]
fn without_one_nothing_is_begun_and_nothing_given_up() {
    run(async {
        let (folder, authority) = folder();
        std::fs::remove_file(folder.path().join("rep2.key")).unwrap();
        let lacking = wish_with(folder.path());
        let fake = Fake::new(&lacking.topology);
        let error = up(&lacking, &fake).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Usage, Some("MG086")), "{error}");
        assert!(error.to_string().contains("put rep2.crt, rep2.key and ca.crt there"), "{error}");
        assert!(fake.machine_ids().is_empty());
        let seen = observe(&lacking.topology, &fake, &fake).await.unwrap();
        assert!(seen.existing.volumes.is_empty() && seen.existing.network.is_none());

        issue(folder.path(), &authority, "rep2", 100);
        up(&wish_with(folder.path()), &fake).await.unwrap();
        // What runs goes on without its file, and is not wiped as long as it could not be started again.
        assert!(!up(&lacking, &fake).await.unwrap());
        let seen = observe(&lacking.topology, &fake, &fake).await.unwrap();
        let wipe = repair::Wipe { save_to: None };
        let error = repair::rejoin(&lacking.topology, &seen, "rep2", "main", Some(&wipe), false).unwrap_err();
        assert_eq!(error.problem().code, Some("MG086"), "{error}");
        assert!(repair::rejoin(&lacking.topology, &seen, "rep1", "main", Some(&wipe), false).is_ok());
    });
}

#[test]
fn who_issues_them_is_kept_with_the_nodes_and_nodes_are_made_anew_for_another() {
    run(async {
        let (folder, _) = folder();
        let generated = wish(&topology("quickstart.yaml"));
        let fake = Fake::new(&generated.topology);
        up(&generated, &fake).await.unwrap();
        let wish = wish_with(folder.path());
        let text = plan(&wish, &fake).await.to_string();
        assert!(text.contains("(tls_mode generate → files)"), "{text}");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;

        // Without the file a verb still knows where they are.
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let specs =
            seen.existing.machines.iter().map(|(n, m)| (n.clone(), m.spec.as_ref().unwrap())).collect();
        let rebuilt = rebuild("quickstart", &specs).unwrap();
        assert_eq!(rebuilt.tls_files, wish.topology.tls_files);
        // And of an earlier mgctl, which knew one way only, it is that.
        let specs = seen
            .existing
            .machines
            .values()
            .map(|m| m.spec.as_ref().unwrap().to_text())
            .map(|text| Spec::parse(&text.replace("\"tls_mode\":\"files\",", "")).unwrap());
        for spec in specs {
            let wanted = generated
                .topology
                .instance(spec.to_text().split("\"instance\":\"").nth(1).unwrap().split('"').next().unwrap());
            let drift = spec.drift(&Spec::of(&generated.topology, wanted.unwrap()));
            assert_eq!(drift, []);
        }
    });
}
