//! A graph on its way: `backup`, `restore`, `dump`, `import`.

use super::cluster::Cluster;
use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::mgctl::Where;
use mg_tests::node::Node;
use mgbolt::PackValue;
use serde_json::Value;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::docker("docker_backup_and_restore_into_a_new_cluster", |_| {
            let [from, to] = [("t-save", 28010), ("t-saved", 28020)];
            back_up_and_restore(
                &Cluster::new(from.0, from.1, Where::Docker, ""),
                &Cluster::new(to.0, to.1, Where::Docker, ""),
            );
        }),
        super::plain("process_backup_and_restore_into_a_new_cluster", || {
            back_up_and_restore(
                &Cluster::new("t-save-p", 28030, Where::Process, ""),
                &Cluster::new("t-saved-p", 28040, Where::Process, ""),
            );
        }),
        super::plain("process_a_backup_is_one_state_while_clients_write", while_clients_write),
        super::plain("process_import_of_cypher_and_csv", || {
            import(&Cluster::new("t-import-p", 28050, Where::Process, ""));
        }),
        super::docker("docker_import_of_cypher_and_csv", |_| {
            import(&Cluster::new("t-import", 28060, Where::Docker, ""));
        }),
        super::plain("process_import_from_a_running_server", copy),
    ]
}

fn json(cluster: &Cluster, args: &[&str]) -> Value {
    let mut all = vec!["-f", &cluster.file, "-o", "json"];
    all.extend_from_slice(args);
    let value: Value = serde_json::from_str(&cluster.user.ok(&all)).expect("JSON");
    assert_eq!((&value["apiVersion"], &value["ok"]), (&"mgctl/v1".into(), &true.into()), "{value}");
    value["data"].clone()
}

/// A graph with a value of every kind, names that must be quoted, and what sits between vertices more than once.
const EVERYTHING: [&str; 4] = [
    "CREATE INDEX ON :`odd``name`(`a b`);",
    "CREATE CONSTRAINT ON (n:Town) ASSERT n.name IS UNIQUE;",
    "CREATE (a:`odd``name`:Town {name: \"x\\\"y\\\\z\\n;'`\", `a b`: -9223372036854775807 - 1, f: 0.1, inf: -1.0/0.0, \
     nan: 0.0/0.0, t: true, l: [1, [2.5, null], \"three\"], m: {k: {`q r`: []}}, d: date('2024-02-29'), \
     lt: localTime('10:11:12.000000001'), ldt: localDateTime('1969-12-31T23:59:59.5'), \
     dt: datetime('2024-02-29T13:45:00+01:30'), z: datetime('2020-10-25T02:30:00+01:00[Europe/Berlin]'), \
     du: duration('P14M3DT-4.5S'), p: point({x: 1.5, y: -0.0}), w: point({longitude: 1, latitude: 2, height: 3})}), \
     (b), (c:Town {name: 'Trier'}), (a)-[:`is near` {km: 3}]->(b), (a)-[:`is near`]->(b), (a)-[:`is near`]->(b), \
     (b)-[:SELF {since: date('2000-01-01')}]->(b), (c)-[:TO {s: 'é\u{1F600}'}]->(a);",
    "UNWIND range(1, 3000) AS i CREATE (:Many {i: i, half: i / 2.0})-[:NEXT {i: i}]->(:Leaf:Many {i: -i});",
];

fn fill(bolt: &mut Bolt) {
    for query in EVERYTHING {
        bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    }
}

/// Everything in a graph that is not an id, in one text.
fn picture(bolt: &mut Bolt) -> Vec<String> {
    let mut all = Vec::new();
    for query in [
        "MATCH (n) WHERE NOT n:Many RETURN labels(n), properties(n)",
        "MATCH (n:Many) RETURN labels(n), properties(n)",
        "MATCH (a)-[r]->(b) RETURN type(r), properties(r), properties(a).name, properties(b).name, a.i, b.i",
        "SHOW INDEX INFO",
        "SHOW CONSTRAINT INFO",
    ] {
        let result = bolt.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        all.extend(result.rows.into_iter().map(|row| {
            let row: Vec<PackValue> = row.into_iter().map(ordered).collect();
            format!("{query}: {row:?}")
        }));
    }
    all.sort();
    all
}

fn ordered(value: PackValue) -> PackValue {
    match value {
        PackValue::Map(mut map) => {
            map.0.sort_by(|a, b| a.0.cmp(&b.0));
            PackValue::Map(map.0.into_iter().map(|(k, v)| (k, ordered(v))).collect())
        }
        PackValue::List(mut items) if items.iter().all(|i| i.as_str().is_some()) => {
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            PackValue::List(items)
        }
        other => other,
    }
}

fn back_up_and_restore(from: &Cluster, to: &Cluster) {
    from.up();
    fill(&mut from.bolt(0));
    let user = &from.user;
    let path = user.dir.join("b.tar");
    let file = path.to_str().expect("a temporary folder has a plain name");
    let done = json(from, &["backup", file]);
    assert_eq!(done["vertices"], 2 + 3 + 6000);
    assert_eq!(done["edges"], 5 + 3000);
    assert!(done["position"]["lsn"].as_u64() > Some(0), "{done}");
    // From a replica it is the same graph, and a file is never written over.
    let again = json(from, &["backup", "second.tar", "--on", "rep1"]);
    assert_eq!((&again["digest"], &again["node"]), (&done["digest"], &"rep1".into()));
    let before = std::fs::read(&path).expect("it was written");
    assert!(user.fails(9, &["-f", &from.file, "backup", file]).contains("exists already"));
    assert_eq!(std::fs::read(&path).expect("it is there"), before);

    // What is not empty stays as it is; a dry run does nothing.
    let picture_before = picture(&mut from.bolt(0));
    assert!(user.fails(7, &["-f", &from.file, "restore", file]).contains("MG103"));
    assert_eq!(picture(&mut from.bolt(0)), picture_before);
    let dry = to.user.ok(&["-f", &to.file, "restore", file, "--dry-run"]);
    assert!(dry.contains("is whole") && dry.contains("is brought up first"), "{dry}");
    to.user.fails(4, &["status", &to.file]);

    // Bad files are told apart, and nothing comes up for them.
    let damaged = to.user.dir.join("damaged.tar");
    let mut bytes = before.clone();
    let at = bytes.windows(7).position(|w| w == b"UNWIND ").expect("statements are text");
    bytes[at + 20] ^= 1;
    std::fs::write(&damaged, &bytes).expect("the test's folder can be written");
    let said = to.user.fails(1, &["-f", &to.file, "restore", "damaged.tar"]);
    assert!(said.contains("MG100") && said.contains("data/000001.cypherl"), "{said}");
    std::fs::write(&damaged, &before[..before.len() / 2]).expect("the test's folder can be written");
    assert!(to.user.fails(1, &["-f", &to.file, "restore", "damaged.tar"]).contains("MG100"));
    let mut newer = before.clone();
    assert_eq!(newer[512], b'1');
    newer[512] = b'2';
    std::fs::write(&damaged, &newer).expect("the test's folder can be written");
    assert!(to.user.fails(2, &["-f", &to.file, "restore", "damaged.tar"]).contains("MG102"));
    assert!(to.user.fails(2, &["-f", &to.file, "restore", &to.file]).contains("MG101"));
    to.user.fails(4, &["status", &to.file]);

    let done = json(to, &["restore", file]);
    assert_eq!(done["verified"], serde_json::json!(["main", "rep1", "rep2"]));
    assert_eq!((&done["brought_up"], &done["vertices"]), (&true.into(), &6005.into()));
    all_ready(&to.bolts()[0], 2).expect("a restored cluster has its replicas");
    for index in 0..3 {
        assert_eq!(picture(&mut to.bolt(index)), picture_before, "node {index}");
    }
    // The init files of the topology are not for a cluster that was restored, now or later.
    let up = to.user.run(&["up", &to.file]);
    assert!(String::from_utf8_lossy(&up.stdout).contains("nothing to do"));
    assert!(to.user.fails(7, &["-f", &to.file, "restore", file]).contains("MG103"));
    // An emptied cluster that runs takes it, too.
    to.user.ok(&["down", &to.file, "--volumes", "--yes"]);
    std::fs::write(to.user.dir.join("init.cypherl"), "").expect("the test's folder can be written");
    to.up();
    json(to, &["restore", file]);
    assert_eq!(picture(&mut to.bolt(2)), picture_before);
}

/// Each write makes two vertices and an edge: a backup that is one state never has another proportion.
fn while_clients_write() {
    let from = Cluster::new("t-busy-p", 28070, Where::Process, "");
    let to = Cluster::new("t-busied-p", 28080, Where::Process, "");
    from.up();
    let address = from.bolts()[0].clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut bolt = Bolt::connect(&address).expect("MAIN answers");
        let mut count: i64 = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            bolt.run("UNWIND range(1, 10) AS i CREATE (:A)-[:K]->(:B)").expect("it takes writes");
            count += 10;
        }
        count
    });
    mg_tests::wait::until("there is something", std::time::Duration::from_secs(30), || {
        match from.bolt(0).value("MATCH (:A)-[r:K]->() RETURN count(r)") {
            PackValue::Int(n) if n > 500 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let file = from.user.dir.join("b.tar");
    let file = file.to_str().expect("a temporary folder has a plain name");
    let done = json(&from, &["backup", file]);
    stop.send(()).expect("the writer waits for it");
    let written = writer.join().expect("the writer ends well");
    let edges = done["edges"].as_i64().expect("a number");
    assert!(edges > 500 && edges <= written && edges % 10 == 0, "{edges} of {written}");
    assert_eq!(done["vertices"], 2 + 2 * edges, "the backup is not one state");
    assert_eq!(json(&to, &["restore", file])["verified"].as_array().map(Vec::len), Some(3));
}

fn import(cluster: &Cluster) {
    cluster.up();
    let user = &cluster.user;
    let run = |args: &[&str]| {
        let mut all = vec!["-f", &cluster.file, "import"];
        all.extend_from_slice(args);
        user.run(&all)
    };
    let fails = |code: i32, args: &[&str]| {
        let mut all = vec!["-f", &cluster.file, "import"];
        all.extend_from_slice(args);
        user.fails(code, &all)
    };
    let count = |query: &str| match cluster.bolt(0).value(query) {
        PackValue::Int(count) => count,
        other => panic!("{query}: {other:?}"),
    };

    // A dump of one graph, taken in by another way, is the same graph.
    fill(&mut cluster.bolt(0));
    let before = picture(&mut cluster.bolt(0));
    let dumped = user.ok(&["-f", &cluster.file, "dump"]);
    let written = json(cluster, &["dump", "d.cypherl"]);
    let in_file = std::fs::read_to_string(user.dir.join("d.cypherl")).expect("it was written");
    assert_eq!(in_file.lines().count(), dumped.lines().count());
    assert_eq!(written["vertices"], 6005);
    cluster.bolt(0).run("MATCH (n) DETACH DELETE n").expect("a write");
    for query in [
        "DROP INDEX ON :Town(name)",
        "DROP INDEX ON :`odd``name`(`a b`)",
        "DROP CONSTRAINT ON (n:Town) ASSERT n.name IS UNIQUE",
    ] {
        cluster.bolt(0).run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    }
    let done = json(cluster, &["import", "d.cypherl"]);
    assert_eq!((&done["vertices"], &done["edges"]), (&6005.into(), &3005.into()));
    assert_eq!(picture(&mut cluster.bolt(0)), before);

    // A mistake is named by its place in the file; what stands before its transaction is in, and the rest can follow.
    let lines: Vec<String> = (1..=40).map(|i| format!("CREATE (:L {{i: {i}}});")).collect();
    let mut text = lines.join("\n");
    text = text.replace("CREATE (:L {i: 25});", "CREATE (:L {i: 25}) RETRUN 1;");
    user.file("bad.cypherl", &text);
    let said = fails(5, &["bad.cypherl", "--batch", "10"]);
    assert!(said.contains("bad.cypherl:25:21") && said.contains("MG104"), "{said}");
    assert!(said.contains("--from-line 21"), "{said}");
    assert_eq!(count("MATCH (n:L) RETURN count(n)"), 20);
    user.file("bad.cypherl", &lines.join("\n"));
    assert!(run(&["bad.cypherl", "--from-line", "21"]).status.success());
    assert_eq!(count("MATCH (n:L) RETURN count(n)"), 40);
    user.file("open.cypherl", "CREATE (:Never);\nCREATE (:Never {s: 'x});\n");
    let said = fails(2, &["open.cypherl"]);
    assert!(said.contains("open.cypherl:2:20") && said.contains("MG105"), "{said}");
    assert_eq!(count("MATCH (n:Never) RETURN count(n)"), 0);
    // From standard input.
    let mut child = user
        .command()
        .args(["-f", &cluster.file, "import", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("mgctl can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut stdin, b"CREATE (:Stdin); CREATE (:Stdin)").expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(count("MATCH (n:Stdin) RETURN count(n)"), 2);

    import_csv(cluster, &fails, &count);
    user.ok(&["verify", &cluster.file]);
}

fn import_csv(cluster: &Cluster, fails: &dyn Fn(i32, &[&str]) -> String, count: &dyn Fn(&str) -> i64) {
    let user = &cluster.user;
    let mut people = "id:ID(P){id-type:int},name,born:int,tags:string[],:LABEL\n".to_owned();
    for i in 0..2500 {
        people += &format!("{i},\"P, \"\"{i}\"\"\",{},a;b,Person\n", 1900 + i % 100);
    }
    let mut knows = ":START_ID(P),:END_ID(P),since:date\n".to_owned();
    for i in 0..5000 {
        knows += &format!("{},{},2024-02-{:02}\n", i % 2500, (i * 7) % 2500, 1 + i % 29);
    }
    user.file("people.csv", &people);
    user.file("knows.csv", &knows);
    let dry = json(cluster, &["import", "KNOWS=knows.csv", "people.csv", "--dry-run"]);
    assert_eq!((&dry["vertices"], &dry["edges"]), (&2500.into(), &5000.into()));
    assert_eq!(count("MATCH (n:Person) RETURN count(n)"), 0);
    let done = json(cluster, &["import", "KNOWS=knows.csv", "Human=people.csv"]);
    assert_eq!((&done["vertices"], &done["edges"]), (&2500.into(), &5000.into()));
    let one = "MATCH (p:Person:Human {id: 7})-[k:KNOWS]->(q) \
        WHERE p.name = 'P, \"7\"' AND p.born = 1907 AND p.tags = ['a', 'b'] AND k.since.day = 8 AND q.id = 49 \
        RETURN count(*)";
    assert_eq!(count(one), 1);
    assert_eq!(count("MATCH (n:`__mg_vertex__`) RETURN count(n)"), 0, "a mark was left on");
    assert_eq!(count("MATCH (n) WHERE n.`__mg_id__` IS NOT NULL RETURN count(n)"), 0, "a mark was left on");

    // What is wrong in a file is told before anything is changed.
    user.file("knows.csv", &knows.replacen("\n7,49,", "\n7,4900,", 1));
    let said = fails(2, &["KNOWS=knows.csv", "people.csv"]);
    assert!(
        said.contains("knows.csv:9:3") && said.contains("4900") && said.contains("nothing was changed"),
        "{said}"
    );
    user.file("born.csv", "name,born:int\nA,1\nB,early\n");
    let said = fails(2, &["born.csv"]);
    assert!(said.contains("born.csv:3:3") && said.contains("`early` is not an integer"), "{said}");
    assert_eq!(count("MATCH (n:Person) RETURN count(n)"), 2500);

    // What only the server refuses is named by its line, and all of it is removed again.
    cluster.bolt(0).run("CREATE CONSTRAINT ON (n:U) ASSERT n.k IS UNIQUE").expect("a constraint");
    cluster.bolt(0).run("CREATE (:U {k: '2345'})").expect("a write");
    let mut unique = "k:ID,x\n".to_owned();
    (0..3000).for_each(|i| unique += &format!("{i},y\n"));
    user.file("unique.csv", &unique);
    // Several times, since which of its connections meets it is a matter of turns.
    for _ in 0..8 {
        let said = fails(5, &["U=unique.csv"]);
        assert!(said.contains("MG104") && said.contains("removed again"), "{said}");
        assert_eq!(count("MATCH (n:U) RETURN count(n)"), 1);
        assert_eq!(count("MATCH (n:`__mg_vertex__`) RETURN count(n)"), 0);
    }
}

/// The graph of a node that belongs to no cluster, into a cluster.
fn copy() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let source = Node::start(dir.path(), "source", &[]);
    let address = source.bolt().to_string();
    fill(&mut Bolt::connect(&address).expect("it answers"));
    let before = picture(&mut Bolt::connect(&address).expect("it answers"));
    let cluster = Cluster::new("t-copy-p", 28090, Where::Process, "");
    std::fs::write(cluster.user.dir.join("init.cypherl"), "").expect("the test's folder can be written");
    cluster.up();
    let from = format!("bolt://{address}");
    assert_eq!(json(&cluster, &["import", "--from", &from, "--dry-run"])["vertices"], 6003);
    let done = json(&cluster, &["import", "--from", &from]);
    assert_eq!((&done["vertices"], &done["edges"]), (&6003.into(), &3005.into()));
    assert!(done["digest"].is_string(), "an empty cluster is compared with the source: {done}");
    assert_eq!(picture(&mut cluster.bolt(0)), before);
    all_ready(&cluster.bolts()[0], 2).expect("the replicas have it, too");
    cluster.user.ok(&["verify", &cluster.file]);

    // What is refused half-way is removed again: the constraint came along with the first copy.
    let said = cluster.user.fails(5, &["-f", &cluster.file, "import", "--from", &from]);
    assert!(said.contains("MG104") && said.contains("removed again"), "{said}");
    assert_eq!(picture(&mut cluster.bolt(0)), before);
    let said = cluster.user.fails(1, &["-f", &cluster.file, "import", "--from", "bolt://127.0.0.1:1"]);
    assert!(said.contains("MG109"), "{said}");
}
