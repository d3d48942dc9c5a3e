//! Plans as text, and that every way of breaking off ends well.

use super::cited::{self, ours};
use super::failover::FailedOver;
use super::fake::Fake;
use super::promote::{Decision, Switched, decide};
use super::*;
use crate::error::Exit;
use crate::graph::statements;
use crate::topology::{Addressing, Image, Mode, Role, Topology, Until, load};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn topology(file: &str) -> Topology {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let source =
        crate::topology::Source { name: file.into(), directory: path.parent().unwrap().to_path_buf(), text };
    load(&source, &|_| None).unwrap_or_else(|problems| panic!("{file}: {problems:#?}")).topology
}

pub(super) fn wish(topology: &Topology) -> Wish {
    let mut init = Vec::new();
    for path in &topology.init.cypher {
        let text = std::fs::read_to_string(path).unwrap();
        let found = statements::split(&text).unwrap_or_else(|e| panic!("{}: {e:?}", path.display()));
        let of = |text: String| InitStatement { is_schema: statements::is_alone(&text), text };
        init.extend(found.into_iter().map(|s| of(s.text)));
    }
    Wish {
        topology: topology.clone(),
        init,
        options: Options::default(),
        anew: None,
        leaving: BTreeMap::new(),
    }
}

pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub(super) fn execution<'a>(wish: &'a Wish, fake: &'a Fake) -> Execution<'a, Fake, Fake, Quiet> {
    Execution {
        wish,
        runtime: fake,
        nodes: fake,
        progress: &Quiet,
        interrupt: Interrupt::default(),
        deadline: Deadline::after(Duration::from_millis(300)),
    }
}

/// Raises the interrupt at a moment: as a step begins or ends, or a query is sent.
pub(super) struct InterruptAt {
    interrupt: Interrupt,
    left: Cell<usize>,
}

impl InterruptAt {
    /// At the moment with this number, from 0.
    pub(super) fn new(moment: usize) -> InterruptAt {
        InterruptAt { interrupt: Interrupt::default(), left: Cell::new(moment) }
    }

    fn moment(&self) {
        match self.left.get() {
            0 => self.interrupt.raise(),
            left => self.left.set(left - 1),
        }
    }

    /// Returns true if it came to that.
    pub(super) fn is_raised(&self) -> bool {
        self.interrupt.is_raised()
    }

    /// With a deadline that only a node that never answers meets.
    pub(super) fn execution<'a>(
        &'a self,
        wish: &'a Wish,
        fake: &'a Fake,
    ) -> Execution<'a, Fake, Fake, InterruptAt> {
        let interrupt = self.interrupt.clone();
        let deadline = Deadline::after(Duration::from_secs(60));
        Execution { wish, runtime: fake, nodes: fake, progress: self, interrupt, deadline }
    }
}

impl Progress for InterruptAt {
    fn started(&self, _: &Step) {
        self.moment();
    }

    fn done(&self, _: &Step, _: &str, _: Duration) {
        self.moment();
    }

    fn failed(&self, _: &Step, _: &CliError, _: Duration) {
        self.moment();
    }

    fn query(&self, _: &str, _: &str) {
        self.moment();
    }
}

pub(super) async fn up(wish: &Wish, fake: &Fake) -> Result<bool, CliError> {
    converge(&execution(wish, fake)).await.map(|(_, changed)| changed)
}

/// Says what must hold of a cluster that is up.
pub(super) async fn check_up(wish: &Wish, fake: &Fake) {
    let seen = observe(&wish.topology, fake, fake).await.unwrap();
    let plan = reconcile(wish, &seen);
    assert!(plan.is_done(), "something is left:\n{plan}");
    assert_eq!(fake.mains().len(), 1);
    let main = seen.nodes[&fake.mains()[0]].facts().unwrap();
    assert_eq!(main.replicas.len(), wish.topology.instances.len() - 1);
    assert!(main.replicas.iter().all(ReplicaRow::is_level), "{:?}", main.replicas);
    let logs = fake.logs();
    assert!(logs.iter().all(|l| *l == logs[0]), "nodes hold different data: {logs:?}");
}

#[test]
fn every_example_has_a_plan() {
    let mut files: Vec<String> =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.ends_with(".yaml"))
            .collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let topology = topology(&file);
        let plan = reconcile(&wish(&topology), &Observed::default()).to_string();
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(file.replace(".yaml", ".txt"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &plan).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden)
            .unwrap_or_else(|e| panic!("{}: {e}; UPDATE=1 cargo test writes it", golden.display()));
        assert_eq!(plan, wanted, "{file}: UPDATE=1 cargo test rewrites {}", golden.display());
    }
}

#[test]
fn up_makes_the_cluster_and_then_has_nothing_to_do() {
    for file in ["quickstart.yaml", "single.yaml", "strict-sync.yaml", "five-nodes.yaml", "swarm.yaml"] {
        let wish = wish(&topology(file));
        let fake = Fake::new(&wish.topology);
        run(async {
            assert!(up(&wish, &fake).await.unwrap(), "{file}");
            check_up(&wish, &fake).await;
            let ids = fake.machine_ids();
            fake.take_sent();
            assert!(!up(&wish, &fake).await.unwrap(), "{file} changed something the second time");
            assert_eq!((fake.machine_ids(), fake.take_sent()), (ids, vec![]));
        });
    }
}

#[test]
fn memgraph_is_sent_the_queries_of_its_guide() {
    let topology = topology("memgraph.yaml");
    assert!(topology.instances.iter().all(|i| matches!(i.image, Image::Named(_))));
    let wish = Wish { init: Vec::new(), ..wish(&topology) };
    let fake = Fake::memgraph(&topology);
    run(up(&wish, &fake)).unwrap();
    let mut sent = fake.take_sent();
    sent[..2].sort();
    assert_eq!(
        sent,
        [
            "rep1: SET REPLICATION ROLE TO REPLICA WITH PORT 10000;",
            "rep2: SET REPLICATION ROLE TO REPLICA WITH PORT 10000;",
            "main: REGISTER REPLICA REP1 SYNC TO \"172.28.37.12:10000\";",
            "main: REGISTER REPLICA REP2 ASYNC TO \"172.28.37.13:10000\";",
        ]
    );
}

/// Carries out the first `count` steps of the plan, in its order, and then is gone.
async fn break_off_after(wish: &Wish, fake: &Fake, count: usize) -> Result<(), CliError> {
    let seen = observe(&wish.topology, fake, fake).await.unwrap();
    let mut plan = reconcile(wish, &seen);
    plan.steps.truncate(count);
    execute(&execution(wish, fake), &plan).await
}

#[test]
fn up_ends_well_after_any_prefix_of_its_steps() {
    for file in ["quickstart.yaml", "strict-sync.yaml", "five-nodes.yaml", "swarm.yaml"] {
        let wish = wish(&topology(file));
        let count = reconcile(&wish, &Observed::default()).steps.len();
        for steps in 0..=count {
            let fake = Fake::new(&wish.topology);
            run(async {
                break_off_after(&wish, &fake, steps).await.unwrap();
                up(&wish, &fake).await.unwrap_or_else(|e| panic!("{file} after {steps} steps: {e}"));
                check_up(&wish, &fake).await;
                assert_eq!(fake.mains(), [wish.topology.main().name.clone()]);
                assert_eq!(
                    fake.logs()[0].len(),
                    usize::from(!wish.init.is_empty()),
                    "init ran twice or never"
                );
            });
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    BrokenOff(usize),
    /// Interrupted at a moment, where nodes are asked so often before they answer.
    Interrupted(usize, u32),
    /// MAIN ends, another is promoted, and the next `up` is interrupted in the same way.
    FailedOver(usize, u32),
    Restart,
    Stop(usize),
    LostAnswer(&'static str, bool),
    Write,
    Promote(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let part = prop_oneof![Just("ROLE TO REPLICA"), Just("ROLE TO MAIN"), Just("REGISTER"), Just("DROP")];
    prop_oneof![
        (0..20usize).prop_map(Event::BrokenOff),
        (0..40usize, 0..3u32).prop_map(|(moment, boots)| Event::Interrupted(moment, boots)),
        (0..40usize, 0..3u32).prop_map(|(moment, boots)| Event::FailedOver(moment, boots)),
        Just(Event::Restart),
        (0..3usize).prop_map(Event::Stop),
        (part, any::<bool>()).prop_map(|(part, effect)| Event::LostAnswer(part, effect)),
        Just(Event::Write),
        (0..3usize).prop_map(Event::Promote),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever happens to a cluster, `up` brings it back, and nothing that was written is lost.
    #[test]
    fn up_brings_back_what_anything_did(
        addressing in prop_oneof![Just(Addressing::Static), Just(Addressing::Ip), Just(Addressing::Dns)],
        events in proptest::collection::vec(event(), 0..8),
    ) {
        let mut wanted = topology("quickstart.yaml");
        wanted.addressing = addressing;
        let wish = wish(&wanted);
        let fake = Fake::new(&wanted);
        run(async {
            let mut written = 0;
            for event in events {
                let all_there = fake.machine_ids().len() == 3;
                match event {
                    // A lost answer may end it even sooner.
                    Event::BrokenOff(steps) => drop(break_off_after(&wish, &fake, steps).await),
                    Event::Interrupted(moment, boots) => up_interrupted(&wish, &fake, moment, boots).await,
                    Event::FailedOver(moment, boots) if up(&wish, &fake).await.is_ok() && !fake.is_to_fail() => {
                        fake.stop(&fake.mains()[0]);
                        let request = failover::Request {
                            operation: format!("{}1", failover::OPERATION),
                            ..Default::default()
                        };
                        let main = fail_over(&wish, &fake, &request).await.unwrap().main;
                        up_interrupted(&wish, &fake, moment, boots).await;
                        assert_eq!(fake.writers(), [main]);
                    }
                    Event::Restart => fake.restart_in_other_order(),
                    Event::Stop(i) if all_there => fake.stop(&wanted.instances[i].name),
                    Event::LostAnswer(part, takes_effect) => fake.fail_once(part, takes_effect),
                    Event::Write if fake.mains().len() == 1 && all_there => {
                        fake.write("something");
                        written += 1;
                    }
                    Event::Promote(i) if all_there => {
                        // It may refuse; then nothing changed, and that is what `up` then finds.
                        let _ = switch(&wish, &fake, &wanted.instances[i].name).await;
                    }
                    _ => {}
                }
            }
            // An answer that is lost ends an `up`; the next one goes on.
            let mut last = Ok(true);
            for _ in 0..6 {
                last = up(&wish, &fake).await;
                if last.is_ok() {
                    break;
                }
            }
            last.unwrap();
            check_up(&wish, &fake).await;
            let lines = fake.logs()[0].iter().filter(|l| *l == "something").count();
            assert_eq!(lines, written, "writes were lost");
        });
    }
}

/// An `up` that is interrupted, or fails. No fenced MAIN runs as MAIN after it.
async fn up_interrupted(wish: &Wish, fake: &Fake, moment: usize, boots: u32) {
    fake.boot_for(boots);
    let fenced = fake.fenced();
    let before = fake.writers();
    let interrupted = InterruptAt::new(moment);
    let result = converge(&interrupted.execution(wish, fake)).await;
    fake.boot_for(0);
    let is_new = |name: &String| fenced.contains(name) && !before.contains(name);
    let running: Vec<String> = fake.writers().into_iter().filter(is_new).collect();
    assert!(running.is_empty(), "{running:?} runs as MAIN after an interrupt at {moment}: {result:?}");
}

/// Replaces a MAIN that is gone, as `failover` does.
pub(super) async fn fail_over(
    wish: &Wish,
    fake: &Fake,
    request: &failover::Request,
) -> Result<FailedOver, CliError> {
    let seen = observe(&wish.topology, fake, fake).await?;
    match failover::decide(&wish.topology, &seen, request)? {
        failover::Decision::Nothing { main } => panic!("`{main}` is MAIN already"),
        failover::Decision::Go(failover) => failover::run(&execution(wish, fake), &failover).await,
    }
}

pub(super) async fn switch(wish: &Wish, fake: &Fake, candidate: &str) -> Result<Option<Switched>, CliError> {
    let seen = observe(&wish.topology, fake, fake).await?;
    match decide(&wish.topology, &seen, candidate)? {
        Decision::Nothing => Ok(None),
        Decision::Switch(switch) => promote::switch(&execution(wish, fake), &switch).await.map(Some),
    }
}

#[test]
fn promote_moves_main_and_up_leaves_it_there() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.take_sent();
        let done = switch(&wish, &fake, "rep1").await.unwrap().unwrap();
        assert!(done.left.is_empty() && done.write_pause.is_some());
        assert_eq!(
            fake.take_sent(),
            [
                "main: SET REPLICATION ROLE TO REPLICA WITH PORT 10000;",
                "rep1: SET REPLICATION ROLE TO MAIN;",
                "rep1: REGISTER REPLICA main SYNC TO \"172.28.37.11:10000\";",
                "rep1: REGISTER REPLICA REP2 ASYNC TO \"172.28.37.13:10000\";",
            ]
            .map(|q| q.replace(
                "REPLICA main SYNC",
                &format!("REPLICA {} {}", wish.topology.main().register_as, wish.topology.main().mode)
            ))
        );
        fake.write("after the switch");
        assert!(!up(&wish, &fake).await.unwrap(), "`up` moved MAIN back");
        assert_eq!(fake.mains(), ["rep1"]);
        check_up(&wish, &fake).await;
        assert_eq!(switch(&wish, &fake, "rep1").await.unwrap().map(|s| s.attempts), None);
    });
}

#[test]
fn a_commit_that_slips_in_takes_the_switch_back_and_it_is_tried_again() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.slip(1);
        let started = std::time::Instant::now();
        let mut run = execution(&wish, &fake);
        run.deadline = Deadline::after(Duration::from_secs(20));
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let Decision::Switch(switch) = decide(&wish.topology, &seen, "rep2").unwrap() else {
            panic!("no switch")
        };
        let done = promote::switch(&run, &switch).await.unwrap();
        assert_eq!(done.attempts, 2, "{:?}", started.elapsed());
        assert_eq!(fake.mains(), ["rep2"]);
        check_up(&wish, &fake).await;
        assert!(fake.logs()[2].contains(&"slipped in".to_owned()), "an old commit was lost");
    });
}

#[test]
fn a_candidate_that_does_not_answer_leaves_the_old_main_in_its_place() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.fail_once("ROLE TO MAIN", false);
        let error = switch(&wish, &fake, "rep1").await.unwrap_err();
        assert!(error.to_string().contains("was taken back: `main` is MAIN as before"), "{error}");
        assert_ne!(error.exit(), Exit::Ok);
        assert_eq!(fake.mains(), ["main"]);
        check_up(&wish, &fake).await;
    });
}

#[test]
fn a_node_that_is_busy_with_another_such_query_is_asked_again() {
    const OTHER: &str = "Another role or registration query is under way; please try again later.";
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        fake.busy_once(
            "ROLE TO REPLICA",
            ours("Couldn't set role to replica! Another role or registration query is under way."),
        );
        fake.busy_once("REGISTER REPLICA REP1", cited::REGISTRATION_BUSY.refusal("REP1"));
        up(&wish, &fake).await.unwrap();
        assert!(fake.was_busy());
        fake.busy_once("ROLE TO REPLICA", ours(OTHER));
        fake.busy_once("ROLE TO MAIN", cited::BUSY.refusal(""));
        fake.busy_once("REGISTER REPLICA", cited::REGISTRATION_BUSY.refusal("main"));
        switch(&wish, &fake, "rep1").await.unwrap();
        assert!(fake.was_busy());
        assert_eq!(fake.mains(), ["rep1"]);
        check_up(&wish, &fake).await;
    });
}

#[test]
fn promote_refuses_what_is_not_safe() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        let refused = |e: CliError| (e.exit(), e.problem().code);
        assert_eq!(
            switch(&wish, &fake, "nobody").await.map_err(refused).unwrap_err(),
            (Exit::NotFound, Some("MG065"))
        );
        fake.stop("rep1");
        assert_eq!(
            switch(&wish, &fake, "rep1").await.map_err(refused).unwrap_err(),
            (Exit::Unsafe, Some("MG041"))
        );
        assert_eq!(fake.mains(), ["main"]);
    });
    let memgraph = Fake::memgraph(&wish.topology);
    run(async {
        up(&wish, &memgraph).await.unwrap();
        let error = switch(&wish, &memgraph, "rep2").await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unsafe);
        assert!(error.to_string().contains("mgctl promote rep1"), "{error}");
        switch(&wish, &memgraph, "rep1").await.unwrap();
        assert_eq!(memgraph.mains(), ["rep1"]);
    });
}

#[test]
fn nodes_that_forget_their_roles_are_put_in_order_again() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.write("more");
        fake.forget_roles();
        up(&wish, &fake).await.unwrap();
        assert_eq!(fake.mains(), ["main"]);
        check_up(&wish, &fake).await;
    });
}

#[test]
fn foreign_objects_stop_everything_before_it_begins() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    fake.add_foreign(Foreign {
        kind: "container",
        name: "mgctl-quickstart-main".into(),
        owner: "of image x".into(),
    });
    let error = run(up(&wish, &fake)).unwrap_err();
    assert_eq!((error.exit(), error.problem().code), (Exit::Conflict, Some("MG064")));
    assert_eq!(fake.machine_ids(), Vec::<u32>::new());
}

#[test]
fn a_node_that_never_answers_is_named_and_times_out() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    fake.silence("rep2");
    let error = run(up(&wish, &fake)).unwrap_err();
    assert_eq!((error.exit(), error.problem().code), (Exit::TimedOut, Some("MG073")));
    assert!(error.to_string().contains("`rep2` did not answer"), "{error}");
}

#[test]
fn an_interrupt_ends_up_between_steps_and_the_next_one_goes_on() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    let stopped = execution(&wish, &fake);
    stopped.interrupt.raise();
    assert_eq!(run(converge(&stopped)).unwrap_err().exit(), Exit::Interrupted);
    run(async {
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
    });
}

#[test]
fn a_changed_mode_is_registered_anew_and_a_changed_limit_makes_a_new_machine() {
    let mut wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        let ids = fake.machine_ids();
        fake.take_sent();
        let rep2 = wish.topology.instances.iter_mut().find(|i| i.name == "rep2").unwrap();
        assert_eq!((rep2.role, rep2.mode), (Role::Replica, Mode::Async));
        rep2.mode = Mode::Sync;
        up(&wish, &fake).await.unwrap();
        assert_eq!(
            fake.take_sent(),
            ["main: DROP REPLICA REP2;", "main: REGISTER REPLICA REP2 SYNC TO \"172.28.37.13:10000\";"]
        );
        assert_eq!(fake.machine_ids(), ids);
        wish.topology.instances.iter_mut().find(|i| i.name == "rep2").unwrap().memory_bytes = Some(1 << 30);
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let plan = reconcile(&wish, &seen).to_string();
        assert!(plan.contains("memory none → 1GiB"), "{plan}");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
        assert_ne!(fake.machine_ids(), ids);
    });
}

#[test]
fn a_cluster_is_known_from_its_labels_alone() {
    let wish = wish(&topology("five-nodes.yaml"));
    let specs: Vec<(String, Spec)> = wish
        .topology
        .instances
        .iter()
        .map(|i| (i.name.clone(), Spec::parse(&Spec::of(&wish.topology, i).to_text()).unwrap()))
        .collect();
    let specs = specs.iter().map(|(n, s)| (n.clone(), s)).collect();
    let found = rebuild(&wish.topology.name, &specs).unwrap();
    let facts = |t: &Topology| {
        let of = |i: &crate::topology::Instance| {
            (
                i.name.clone(),
                i.role,
                i.mode,
                i.register_as.clone(),
                i.replication_port,
                i.data.as_str().to_owned(),
                i.ip,
            )
        };
        (t.network.clone(), t.addressing, t.bind, t.instances.iter().map(of).collect::<Vec<_>>())
    };
    assert_eq!(facts(&found), facts(&wish.topology));
}

#[test]
fn certificates_are_renewed_before_they_end_and_only_then() {
    let topology = topology("quickstart.yaml");
    assert!(topology.cluster_tls);
    let wish = wish(&topology);
    let fake = Fake::new(&topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        let ids = fake.machine_ids();
        let node = &topology.instances[1].name;
        fake.age_certificate(node, 31 * 86_400);
        assert!(!up(&wish, &fake).await.unwrap(), "31 days are enough");
        fake.age_certificate(node, 29 * 86_400);
        let seen = observe(&topology, &fake, &fake).await.unwrap();
        let plan = reconcile(&wish, &seen);
        assert_eq!(
            plan.to_string(),
            format!("certificate:{node}: give {node} a certificate  (its certificate ends in 29 days)\n")
        );
        assert!(up(&wish, &fake).await.unwrap());
        check_up(&wish, &fake).await;
        assert_eq!(fake.machine_ids(), ids, "no node was made anew");
    });
}

#[test]
fn what_sleeps_speaks_before_anything_new_is_begun() {
    let topology = topology("quickstart.yaml");
    for until in [Until::Started, Until::Bolt, Until::Redundant] {
        let mut wish = wish(&topology);
        wish.init.clear();
        wish.topology.wait.until = until;
        let fake = Fake::new(&topology);
        run(async {
            let whole = Wish { topology: topology.clone(), ..wish.clone() };
            up(&whole, &fake).await.unwrap();
            fake.write_on("main", "city");

            // A new replica beside nodes that sleep: it is made when they have said who is MAIN.
            for node in ["main", "rep1"] {
                fake.stop(node);
            }
            fake.carry_out(&topology, &Action::RemoveMachine("rep2".into())).await.unwrap();
            fake.carry_out(&topology, &Action::RemoveVolume("mgctl-quickstart-rep2-data".into()))
                .await
                .unwrap();
            let plan = reconcile(&wish, &observe(&wish.topology, &fake, &fake).await.unwrap());
            assert_eq!(plan.notes, ["rep2: is made when the others have said who is MAIN"], "{plan}");
            let text = plan.to_string();
            assert!(text.contains("start:main") && text.contains("ask: ask the nodes"), "{text}");
            assert!(!text.contains("create:"), "{text}");
            up(&wish, &fake).await.unwrap();
            up(&whole, &fake).await.unwrap();
            check_up(&whole, &fake).await;

            // A new MAIN beside replicas that sleep and hold the data: refused, and nothing new was begun.
            for node in ["rep1", "rep2"] {
                fake.stop(node);
            }
            fake.carry_out(&topology, &Action::RemoveMachine("main".into())).await.unwrap();
            fake.carry_out(&topology, &Action::RemoveVolume("mgctl-quickstart-main-data".into()))
                .await
                .unwrap();
            let error = up(&wish, &fake).await.unwrap_err();
            assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG044")), "{error}");
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            assert_eq!(seen.existing.machines.keys().collect::<Vec<_>>(), ["rep1", "rep2"]);
            assert!(!seen.existing.volumes.contains("mgctl-quickstart-main-data"));
        });
    }
}

#[test]
fn nodes_made_without_certificates_are_made_anew_to_get_them() {
    let topology = topology("quickstart.yaml");
    let plain = Topology { cluster_tls: false, ..topology.clone() };
    let fake = Fake::new(&plain);
    run(async {
        up(&wish(&plain), &fake).await.unwrap();
        let plan = reconcile(&wish(&topology), &observe(&topology, &fake, &fake).await.unwrap()).to_string();
        for instance in &topology.instances {
            let name = &instance.name;
            let line = format!("create:{name}: create {name}");
            assert!(plan.contains(&line) && plan.contains("cluster_tls false → true"), "{plan}");
        }
        up(&wish(&topology), &fake).await.unwrap();
        check_up(&wish(&topology), &fake).await;
    });
}

/// What is left to do of a rollback, as step names.
fn undone(before: &Existing, seen: &Observed, answered: &[&str]) -> Option<(Vec<String>, usize)> {
    let mains = vec!["main".to_owned()];
    let answered = answered.iter().map(|n| (*n).to_owned()).collect();
    rollback(before, seen, &mains, &answered)
        .map(|r| (r.plan.steps.iter().map(|s| s.id.clone()).collect(), r.kept.len()))
}

#[test]
fn a_first_up_is_taken_back_but_not_what_was_there_nor_what_may_hold_data() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        let nothing = Existing::default();
        up(&wish, &fake).await.unwrap();
        let mut seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        assert!(undone(&seen.existing, &seen, &[]).is_none(), "there was a cluster before");

        for view in seen.nodes.values_mut() {
            if let NodeView::Answered(facts) = view {
                facts.is_untouched = true;
            }
        }
        let volumes = |steps: &[String]| steps.iter().filter(|s| s.starts_with("volume:")).count();
        let all = seen.existing.volumes.len();
        let (steps, kept) = undone(&nothing, &seen, &["main", "rep1"]).unwrap();
        assert_eq!((volumes(&steps), kept), (all, 0), "nobody wrote: {steps:?}");
        assert!(steps.contains(&"network".to_owned()), "{steps:?}");
        let before = Existing { volumes: seen.existing.volumes.clone(), ..Existing::default() };
        let (steps, kept) = undone(&before, &seen, &["main"]).unwrap();
        assert_eq!((volumes(&steps), kept), (0, 0), "the volumes were there before");

        let name = wish.topology.instances[1].name.clone();
        seen.nodes.insert(name, NodeView::Silent("gone".into()));
        let (steps, kept) = undone(&nothing, &seen, &["main", "rep1"]).unwrap();
        assert_eq!((volumes(&steps), kept), (0, all), "a node that answered once is silent now");
        let (steps, kept) = undone(&nothing, &seen, &["main"]).unwrap();
        assert_eq!((volumes(&steps), kept), (all, 0), "the silent one never answered");
    });
}

#[test]
fn a_node_that_ended_is_told_with_its_last_lines_where_it_has_some() {
    for (lines, says, not) in [
        (vec!["its last words".to_owned()], "all of them: mgctl logs main", "no line to show"),
        (Vec::new(), "its log has no line to show", "mgctl logs main"),
    ] {
        let wish = wish(&topology("quickstart.yaml"));
        let fake = Fake::new(&wish.topology);
        run(async {
            up(&wish, &fake).await.unwrap();
            fake.stop("main");
            fake.log("main", lines);
            let step = Action::AwaitBolt("main".into());
            let error = execution(&wish, &fake).do_step(&step).await.unwrap_err();
            assert_eq!(error.problem().code, Some("MG070"), "{error}");
            assert!(error.to_string().contains(says) && !error.to_string().contains(not), "{error}");
            let gone = error.without_help("mgctl logs ");
            assert!(!gone.to_string().contains("mgctl logs"), "{gone}");
        });
    }
}
