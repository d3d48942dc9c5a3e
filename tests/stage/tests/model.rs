//! Promote, fence and abort, in every order within the bounds: see `mg_stage::model`.

use mg_stage::model::{Bounds, Report, check};
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

const SYNC: Bounds = Bounds { mode: SyncMode::Sync, ..STRICT };

fn run(name: &str, bounds: Bounds) -> Report {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = check(bounds, threads).unwrap_or_else(|broken| panic!("{name}: {broken}"));
    let summary = format!(
        "model, {name}: {} states, {} steps, {} deep; {} after a promotion, {} of them after all that goes wrong, {} \
         after a demotion, {} with a commit in doubt, {} ends\n",
        report.states,
        report.steps,
        report.depth,
        report.promoted,
        report.disturbed,
        report.demoted,
        report.in_doubt,
        report.ends
    );
    // Past the test harness, which would swallow it where all is well.
    std::io::stderr().write_all(summary.as_bytes()).expect("stderr takes text");
    assert!(report.promoted > 0 || !bounds.promotes, "nothing was tried");
    assert!(report.disturbed > 0 || !bounds.promotes, "nothing went wrong beside a promotion");
    assert!(report.demoted > 0 || !bounds.demotes, "nothing was tried");
    assert!(report.ends > 0, "nothing was tried");
    report
}

/// In STRICT_SYNC a replica that is lost leaves commits in doubt.
fn run_strict(name: &str, bounds: Bounds) {
    let report = run(name, bounds);
    assert!(report.in_doubt > 0, "{name}: no commit was in doubt");
}

#[test]
fn three_records_in_two_epochs_strict() {
    run_strict("3 nodes, 2 epochs, 3 records, STRICT_SYNC", STRICT);
}

#[test]
fn three_records_in_two_epochs_sync() {
    run("3 nodes, 2 epochs, 3 records, SYNC", SYNC);
}

/// One commit before the promotion and one after: with what goes wrong beside them more would take minutes.
const SHORT: Bounds = Bounds { commits: 1, ..STRICT };

#[test]
fn a_kill_at_any_moment() {
    run_strict("2 records and a kill, STRICT_SYNC", Bounds { kills: 1, ..SHORT });
}

#[test]
fn a_connection_that_ends_at_any_moment() {
    run_strict("2 records and a lost connection, STRICT_SYNC", Bounds { cuts: 1, ..SHORT });
}

#[test]
fn time_outs_at_any_moment() {
    run_strict("2 records and time-outs, STRICT_SYNC", Bounds { leaps: 1, ..SHORT });
}

#[test]
fn a_power_cut_at_any_moment() {
    run_strict("2 records and a power cut, STRICT_SYNC", Bounds { power_cuts: 1, ..SHORT });
}

#[test]
fn a_demotion_that_waits_or_cannot() {
    let bounds = Bounds { leaps: 1, demotes: true, promotes: false, ..STRICT };
    run_strict("2 records and a demotion, STRICT_SYNC", bounds);
}

#[test]
fn every_single_message_and_sync() {
    let bounds = Bounds { commits: 1, commits_after: 1, is_fine: true, ..STRICT };
    run_strict("2 records, one message at a time, STRICT_SYNC", bounds);
}
