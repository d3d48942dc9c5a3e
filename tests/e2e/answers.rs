//! What every verb answers with `-o json` is what `mgctl schema` publishes. [`User::run`](mg_tests::mgctl::User::run)
//! holds each answer against it; here is every verb, on one cluster.

use super::cluster::Cluster;
use libtest_mimic::Trial;
use mg_tests::mgctl::Where;
use serde_json::Value;
use std::collections::BTreeSet;

pub(crate) fn tests() -> Vec<Trial> {
    vec![super::plain("process_every_verb_answers_what_it_publishes", || {
        every_verb(&Cluster::new("t-answers-p", 28690, Where::Process, ""));
    })]
}

fn every_verb(cluster: &Cluster) {
    let user = &cluster.user;
    let file = cluster.file.as_str();
    let asked = std::cell::RefCell::new(BTreeSet::new());
    let ask = |kind: &str, args: &[&str]| -> Value {
        let mut all = vec!["-f", file];
        all.extend_from_slice(args);
        let answer = user.answer(&all);
        assert_eq!(answer["kind"], kind, "{args:?}: {answer:#}");
        asked.borrow_mut().insert(args[0].to_owned());
        // The schema of that verb alone says the same.
        let verb = if args[0] == "topology" { "tree" } else { args[0] };
        let schema: Value = serde_json::from_str(&user.ok(&["schema", verb])).expect("a schema is JSON");
        let checked = mgctl::output::check(&schema, &schema, &answer);
        checked.unwrap_or_else(|why| panic!("{args:?}: {why}\n{answer:#}"));
        answer
    };

    ask("Plan", &["diff"]);
    ask("Plan", &["up", "--dry-run"]);
    ask("Up", &["up"]);
    ask("Up", &["up"]);
    ask("Topology", &["validate"]);
    ask("Init", &["init", "--preset", "ha"]);
    ask("Init", &["init", "new.yaml"]);
    ask("ClusterStatus", &["status"]);
    ask("Tree", &["topology"]);
    ask("Replicas", &["show-replicas"]);
    ask("Replicas", &["show-replicas", "--raw"]);
    ask("Clusters", &["ls"]);
    ask("History", &["history"]);
    ask("Lag", &["lag"]);
    ask("Lag", &["lag", "--max", "0"]);
    ask("Doctor", &["doctor"]);
    ask("Doctor", &["doctor", "--fix"]);
    ask("Plan", &["doctor", "--fix", "--dry-run"]);
    ask("Image", &["image", "save", "image.tar"]);
    ask("Report", &["report", "report.tar"]);
    ask("Codes", &["explain"]);
    ask("Code", &["explain", "MG042"]);
    ask("Version", &["version"]);
    ask("Man", &["man", "pages"]);
    ask("Uri", &["uri", "all"]);
    ask("Env", &["env"]);
    ask("Export", &["export", "compose"]);
    ask("QueryResult", &["query", "MATCH (t:Town) RETURN t, [1.5, null], 'x'", "--on", "all"]);
    ask("QueryResult", &["query", "CREATE (:Town {name: 'Bonn'})"]);
    ask("Error", &["query", "NONSENSE"]);
    ask("Verify", &["verify"]);
    ask("Backup", &["backup", "graph.mgb"]);
    ask("Dump", &["dump", "graph.cypherl"]);
    user.file("more.cypherl", "CREATE (:Town {name: 'Trier'});\n");
    user.file("more.csv", "name\nWorms\n");
    ask("Import", &["import", "more.cypherl", "--dry-run"]);
    ask("Import", &["import", "more.cypherl"]);
    ask("Import", &["import", "Town=more.csv", "--dry-run"]);
    ask("Import", &["import", "Town=more.csv"]);
    ask("Error", &["restore", "graph.mgb"]);

    ask("SetMode", &["set-mode", "rep2", "SYNC"]);
    ask("SetMode", &["set-mode", "rep2", "ASYNC"]);
    ask("Unregister", &["unregister", "rep2"]);
    ask("Register", &["register", "rep2"]);
    ask("Repair", &["repair"]);
    ask("Plan", &["promote", "rep1", "--dry-run"]);
    ask("Promote", &["promote", "rep1"]);
    ask("Promote", &["promote", "rep1"]);
    ask("Failover", &["failover", "--kill-main", "--force", "--yes"]);
    ask("Rejoin", &["rejoin", "rep1"]);
    ask("Reinit", &["reinit", "rep2", "--yes"]);
    ask("Error", &["reinit", "nobody", "--yes"]);
    ask("Stop", &["stop", "rep2"]);
    ask("Start", &["start", "rep2"]);
    ask("Restart", &["restart", "rep2"]);
    ask("Add", &["add", "far", "--write"]);
    ask("Scale", &["scale", "replicas=3"]);
    ask("Remove", &["remove", "far", "--volumes", "--write", "--yes"]);
    ask("Chaos", &["chaos", "pause", "rep2", "--yes"]);
    ask("Heal", &["heal", "rep2"]);
    ask("Chaos", &["chaos", "restart", "rep2", "--yes"]);
    ask("Load", &["load", "--for", "1s", "--clients", "2"]);
    ask("Drill", &["drill", "switchover", "--runs", "1", "--for", "1s", "--clients", "2", "--yes"]);
    ask("Unit", &["supervise", "--print-unit"]);
    ask("Plan", &["upgrade", "--dry-run"]);
    let lines = user.ok(&["-f", file, "-o", "json", "logs", "main", "-n", "3"]);
    assert!(lines.lines().all(|line| line.starts_with('{')) && lines.lines().count() == 3, "{lines}");
    asked.borrow_mut().insert("logs".to_owned());
    user.ok(&["-f", file, "-o", "json", "events", "--for", "1s"]);
    asked.borrow_mut().insert("events".to_owned());
    ask("Repair", &["repair"]);
    ask("Demote", &["demote", "main", "--no-main", "--yes"]);
    ask("Up", &["up"]);
    ask("Down", &["down", "--volumes", "--yes"]);
    ask("Restore", &["restore", "graph.mgb", "--dry-run"]);
    ask("Restore", &["restore", "graph.mgb"]);
    ask("Down", &["down"]);

    let published: BTreeSet<&str> =
        mgctl::output::KINDS.iter().flat_map(|kind| kind.verbs).copied().collect();
    let asked = asked.into_inner();
    let left: Vec<&&str> = published.iter().filter(|verb| !asked.contains(**verb)).collect();
    assert!(left.is_empty(), "nobody asked {left:?}");
}
