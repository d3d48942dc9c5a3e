//! Promote, fence and abort, in every order within the bounds: see `mg_stage::model`.

use mg_stage::model::{Bounds, check};
use mgnode_core::types::SyncMode;
use std::io::Write;

const STRICT: Bounds = Bounds {
    mode: SyncMode::StrictSync,
    commits: 2,
    commits_after: 1,
    kills: 0,
    power_cuts: 0,
    cuts: 0,
    leaps: 0,
    demotes: false,
    promotes: true,
    is_fine: false,
    states_max: 300_000,
};

fn run(name: &str, bounds: Bounds) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = check(bounds, threads).unwrap_or_else(|broken| panic!("{name}: {broken}"));
    let summary = format!(
        "model, {name}: {} states, {} steps, {} deep; {} after a promotion, {} after a demotion, {} with a commit in \
         doubt, {} ends\n",
        report.states,
        report.steps,
        report.depth,
        report.promoted,
        report.demoted,
        report.in_doubt,
        report.ends
    );
    // Past the test harness, which would swallow it where all is well.
    std::io::stderr().write_all(summary.as_bytes()).expect("stderr takes text");
    assert!(report.promoted > 0 || !bounds.promotes, "nothing was tried");
    assert!(report.demoted > 0 || !bounds.demotes, "nothing was tried");
    assert!(report.ends > 0, "nothing was tried");
}

#[test]
fn three_records_in_two_epochs_strict() {
    run("3 nodes, 2 epochs, 3 records, STRICT_SYNC", STRICT);
}

#[test]
fn three_records_in_two_epochs_sync() {
    run("3 nodes, 2 epochs, 3 records, SYNC", Bounds { mode: SyncMode::Sync, ..STRICT });
}

#[test]
fn a_power_cut_at_any_moment() {
    run("2 records and a power cut, STRICT_SYNC", Bounds { commits: 1, power_cuts: 1, ..STRICT });
}

#[test]
fn a_demotion_that_waits_or_cannot() {
    let bounds = Bounds { leaps: 1, demotes: true, promotes: false, ..STRICT };
    run("2 records and a demotion, STRICT_SYNC", bounds);
}

#[test]
fn every_single_message_and_sync() {
    let bounds = Bounds { commits: 1, commits_after: 1, is_fine: true, ..STRICT };
    run("2 records, one message at a time, STRICT_SYNC", bounds);
}
