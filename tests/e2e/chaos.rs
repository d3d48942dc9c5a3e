//! Short forms of the commands that let nodes die, and whether their checker would see anything.

use libtest_mimic::{Completion, Trial};
use mg_tests::bolt::Bolt;
use mg_tests::chaos::book::{Book, Rounds, Told, Wrong};
use mg_tests::chaos::cluster::Form;
use mg_tests::chaos::{failovers, power_cuts};
use mg_tests::disks;
use mg_tests::node::Node;
use std::path::Path;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("the_book_finds_every_kind_of_wrong", the_book_finds),
        super::plain("sync_writes_survive_failovers_by_kill_9", || fail_over(Form::Sync, 4)),
        super::plain("sync_and_async_writes_survive_failovers_by_kill_9", || {
            fail_over(Form::SyncAndAsync, 2)
        }),
        super::plain("strict_sync_writes_survive_failovers_by_kill_9", || fail_over(Form::StrictSync, 4)),
        disk("without_syncs_a_power_cut_loses_writes", |dir| {
            let lost = power_cuts::control(dir).expect("the disk can be mounted");
            assert!(lost > 0, "nothing was lost: what follows proves nothing");
        }),
        disk("sync_writes_survive_power_cuts_of_all_nodes", |dir| cut_power(dir, Form::Sync, 3)),
        disk("strict_sync_writes_survive_power_cuts_of_all_nodes", |dir| cut_power(dir, Form::StrictSync, 2)),
    ]
}

/// A test that mounts file systems.
fn disk(name: &str, test: fn(&Path)) -> Trial {
    Trial::ignorable_test(name, move || match disks::unavailable() {
        None => {
            test(disks::work_folder()?.path());
            Ok(Completion::Completed)
        }
        Some(why) => Ok(Completion::ignored_with(why)),
    })
}

fn cut_power(dir: &Path, form: Form, count: u32) {
    let plan = power_cuts::Plan { form, count, clients: 8, seed: None };
    let report = power_cuts::run(dir, plan, |_| {}).expect("the disk can be mounted");
    assert_eq!(report.wrong, [], "{report}");
    assert_eq!(report.cuts, count);
    assert!(report.counts.ok > 0, "nothing was acknowledged: {report}");
    println!(
        "{count} power cuts of all nodes, {form:?}: {} acknowledged writes, all of them there",
        report.counts.ok
    );
}

fn fail_over(form: Form, count: u32) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let plan = failovers::Plan { form, count, clients: 8, seed: None };
    let report = failovers::run(dir.path(), plan, |_| {});
    assert_eq!(report.wrong, [], "{report}");
    assert_eq!(report.failovers, count);
    assert!(report.counts.ok > 0, "nothing was acknowledged: {report}");
    println!(
        "{count} failovers by kill -9, {form:?}: {} acknowledged writes, all of them there",
        report.counts.ok
    );
}

fn the_book_finds() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(dir.path(), "node", &[]);
    let mut bolt = Bolt::connect(&node.bolt().to_string()).expect("the node answers");
    let book = Book::default();
    let ok = || Told::Ok { bookmark: String::new() };
    let failed = || Told::Failed { code: "code".into(), message: "no".into() };
    let whole = |id: i64| format!("CREATE (:W {{id: {id}, round: 1}})-[:PART]->(:P {{id: {id}, round: 1}});");
    for (id, told) in
        [(1, ok()), (2, ok()), (3, failed()), (4, failed()), (5, ok()), (6, ok()), (7, Told::Unknown)]
    {
        book.asked(id, 1);
        book.told(id, told);
    }
    // 1 is as it should be, 2 is lost, 3 is there although refused, 4 is rightly missing, 5 is there
    // twice, 6 in part, 7 may be there, and nobody asked for 8.
    for id in [1, 3, 5, 5, 7, 8] {
        bolt.run(&whole(id)).expect("a write");
    }
    bolt.run("CREATE (:W {id: 6, round: 1});").expect("a write");
    let mut wrong = book.compare("n", &mut bolt, Rounds::All).expect("the node answers");
    wrong.sort();
    let node = || "n".to_owned();
    assert_eq!(
        wrong,
        [
            Wrong::Lost { node: node(), id: 2 },
            Wrong::Phantom { node: node(), id: 3, why: "was refused (code: no)".into() },
            Wrong::Phantom { node: node(), id: 8, why: "nobody asked for".into() },
            Wrong::Twice { node: node(), id: 5 },
            Wrong::Torn { node: node(), id: 6 },
        ]
    );
    let counts = book.counts(&mut bolt).expect("the node answers");
    assert_eq!((counts.ok, counts.failed, counts.unknown, counts.turned_out_committed), (4, 2, 1, 1));
}
