//! Files of every released format: opened, answered from, and gone on with.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, state};
use mg_tests::fixture::{NODES, answers, registrations, unpack};
use mg_tests::node::Node;
use mg_tests::{paths, wait};
use mgbolt::PackValue;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Trial> {
    let folder = paths::workspace_root().join("tests/fixtures");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the fixtures are part of the repository")
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("it is UTF-8"))
        .collect();
    names.sort();
    assert!(names.iter().any(|n| n == "state-1-wal-1-snapshot-1"), "the first formats are gone: {names:?}");
    let test = |name: String| {
        Trial::test(format!("files_of_{}_are_read_and_gone_on_with", name.replace('-', "_")), move || {
            goes_on(&name);
            Ok(())
        })
    };
    names.into_iter().map(test).collect()
}

fn connect(node: &Node) -> Bolt {
    Bolt::connect(&node.bolt().to_string()).expect("the node answers")
}

fn goes_on(name: &str) {
    let fixture = paths::workspace_root().join("tests/fixtures").join(name);
    let expected =
        std::fs::read_to_string(fixture.join("answers.txt")).expect("it is part of the repository");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let unpacked = dir.path().join("unpacked");
    unpack(&fixture.join("nodes.tar"), &unpacked).expect("it is an archive");
    let mut nodes = NODES.map(|name| {
        let home = dir.path().join(name);
        std::fs::create_dir_all(&home).expect("the test's folder can be written");
        std::fs::rename(unpacked.join(name), home.join("data")).expect("both are in one folder");
        Node::start(dir.path(), name, &[])
    });
    let mut found = String::new();
    for (name, node) in NODES.iter().zip(&nodes) {
        found.push_str(&format!("# {name}\n"));
        if *name == "main" {
            found.push_str(&registrations(&mut connect(node)));
        }
        found.push_str(&answers(&mut connect(node)));
    }
    assert_eq!(found, expected);

    let mut main = connect(&nodes[0]);
    let registered = registrations(&mut main);
    let old = registered.split_whitespace().next().expect("one is registered");
    main.run(&format!("DROP REPLICA {old};")).expect("it is dropped");
    let register = format!("REGISTER REPLICA again SYNC TO \"{}\";", nodes[1].replication());
    main.run(&register).expect("the other node of the archive has the same history");
    let written = main.run("CREATE (:Person {id: 200, name: 'new'});").expect("a write");
    assert_eq!(written.summary.notifications, []);
    for node in &mut nodes {
        node.stop();
    }
    for node in nodes.iter_mut().rev() {
        node.spawn();
    }
    wait::until("the replica is ready", LIMIT, || all_ready(&nodes[0].bolt().to_string(), 1));
    for node in &nodes {
        let names = connect(node).value("MATCH (p:Person) WHERE p.id >= 100 RETURN collect(p.name);");
        assert_eq!(names, PackValue::List(vec!["after the move".into(), "new".into()]));
    }
    let [main, replica] = nodes.each_ref().map(|node| state(&mut connect(node)).expect("it answers"));
    assert_eq!((main.applied, main.chain), (replica.applied, replica.chain));
}
