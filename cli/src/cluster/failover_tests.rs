//! That a failover leaves one MAIN that writes, whatever breaks, and loses no more than it says.

use super::cited::ours;
use super::failover::{Decision, Loss, Request, decide};
use super::fake::Fake;
use super::repair::rejoin;
use super::tests::{InterruptAt, check_up, execution, fail_over, run, switch, topology, up, wish};
use super::*;
use crate::error::Exit;
use crate::topology::Mode;

fn request(candidate: Option<&str>, force: bool) -> Request {
    Request {
        candidate: candidate.map(str::to_owned),
        force,
        kill_main: false,
        force_unfenced: false,
        operation: format!("{}1", failover::OPERATION),
    }
}

fn quickstart() -> (Wish, Fake) {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(up(&wish, &fake)).unwrap();
    fake.take_sent();
    (wish, fake)
}

#[test]
fn a_dead_main_is_fenced_before_another_is_promoted_and_comes_back_as_a_replica() {
    let (wish, fake) = quickstart();
    run(async {
        fake.write("before");
        fake.stop("main");
        let done = fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        assert_eq!((done.main.as_str(), done.left.len()), ("rep1", 0));
        assert_eq!(done.loss, Loss::Covered { by: vec!["rep1".into()] });
        let mut sent = fake.take_sent();
        sent[..2].sort();
        assert_eq!(
            sent,
            [
                "rep1: FENCE REPLICATION EPOCH 2 BY \"mgctl failover 1\";",
                "rep2: FENCE REPLICATION EPOCH 2 BY \"mgctl failover 1\";",
                "rep1: SET REPLICATION ROLE TO MAIN WITH EPOCH 2;",
                "rep1: REGISTER REPLICA REP2 ASYNC TO \"172.28.37.13:10000\";",
            ]
        );
        assert_eq!((fake.writers(), fake.fenced()), (vec!["rep1".to_owned()], vec!["main".to_owned()]));
        fake.write_on("rep1", "after");
        up(&wish, &fake).await.unwrap();
        assert_eq!((fake.mains(), fake.fenced()), (vec!["rep1".to_owned()], vec![]));
        check_up(&wish, &fake).await;
        let log = &fake.logs()[0];
        assert!(log.contains(&"before".to_owned()) && log.contains(&"after".to_owned()), "{log:?}");
    });
}

#[test]
fn a_main_that_lives_is_left_alone_unless_told() {
    let (wish, fake) = quickstart();
    run(async {
        let error = fail_over(&wish, &fake, &request(None, true)).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG047")));
        assert!(error.to_string().contains("mgctl promote rep1"), "{error}");
        assert_eq!((fake.take_sent(), fake.writers()), (vec![], vec!["main".to_owned()]));

        let told = Request { kill_main: true, ..request(None, false) };
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.loss), ("rep1", Loss::Known(0)));
        assert_eq!(fake.writers(), ["rep1"]);
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
    });
}

#[test]
fn a_main_that_hangs_is_ended_first() {
    let (wish, fake) = quickstart();
    run(async {
        fake.hang("main");
        assert_eq!(fake.writers(), ["main"], "it runs, and may write");
        fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        assert_eq!((fake.writers(), fake.fenced()), (vec!["rep1".to_owned()], vec!["main".to_owned()]));
    });
}

#[test]
fn what_cannot_be_known_to_be_safe_needs_a_word() {
    let (wish, fake) = quickstart();
    run(async {
        fake.stop("main");
        fake.stop("rep1");
        let error = fail_over(&wish, &fake, &request(None, false)).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG041")));
        assert!(error.to_string().contains("ASYNC, and no SYNC replica answers"), "{error}");
        assert_eq!(
            (fake.take_sent(), fake.fenced()),
            (vec![], vec![]),
            "it was refused, and something was done"
        );
        let done = fail_over(&wish, &fake, &request(Some("rep2"), true)).await.unwrap();
        assert_eq!((done.main.as_str(), done.loss), ("rep2", Loss::Unknown));
        assert_eq!(fake.writers(), ["rep2"]);
    });
}

#[test]
fn a_candidate_that_lacks_what_another_has_is_refused_and_the_better_one_named() {
    let (wish, fake) = quickstart();
    run(async {
        fake.stop("main");
        fake.write_alone("rep1", "acknowledged and not yet on rep2");
        let error = fail_over(&wish, &fake, &request(Some("rep2"), false)).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG041")));
        assert!(error.to_string().contains("mgctl failover rep1"), "{error}");
        let done = fail_over(&wish, &fake, &request(Some("rep2"), true)).await.unwrap();
        assert_eq!(done.loss, Loss::Behind { node: "rep1".into(), commits: 1 });
        // The one that has more does not follow; that is said, and nothing is cut.
        assert!(done.left.iter().any(|p| p.code == Some("MG042")), "{:?}", done.left);
        assert_eq!(fake.writers(), ["rep2"]);
    });
}

#[test]
fn priority_decides_between_equals_and_none_is_never_chosen() {
    let mut asked = wish(&topology("five-nodes.yaml"));
    let syncs: Vec<usize> = (0..5)
        .filter(|i| asked.topology.instances[*i].mode == crate::topology::Mode::Sync)
        .filter(|i| asked.topology.instances[*i].role == crate::topology::Role::Replica)
        .collect();
    let [first, second] = syncs[..] else { panic!("two SYNC replicas, not {syncs:?}") };
    let name = |wish: &Wish, i: usize| wish.topology.instances[i].name.clone();
    for (priority, chosen) in [(100, first), (101, second)] {
        asked.topology.instances[second].priority = priority;
        let fake = Fake::new(&asked.topology);
        run(async {
            up(&asked, &fake).await.unwrap();
            fake.stop(&asked.topology.main().name);
            let done = fail_over(&asked, &fake, &request(None, false)).await.unwrap();
            assert_eq!(done.main, name(&asked, chosen));
        });
    }
    for instance in &mut asked.topology.instances {
        instance.priority = 0;
    }
    let fake = Fake::new(&asked.topology);
    run(async {
        up(&asked, &fake).await.unwrap();
        fake.stop(&asked.topology.main().name);
        let error = fail_over(&asked, &fake, &request(None, false)).await.unwrap_err();
        assert!(error.to_string().contains("priority 0"), "{error}");
        let named = name(&asked, first);
        assert_eq!(fail_over(&asked, &fake, &request(Some(&named), false)).await.unwrap().main, named);
    });
}

#[test]
fn nobody_is_promoted_while_the_old_main_may_run_and_the_next_run_goes_on() {
    let (wish, fake) = quickstart();
    run(async {
        fake.hang("main");
        fake.fail_once("kill", false);
        let error = fail_over(&wish, &fake, &request(None, false)).await.unwrap_err();
        assert!(error.to_string().contains("nobody was promoted"), "{error}");
        assert!(fake.take_sent().iter().all(|q| !q.contains("ROLE TO MAIN")));
        // `up` does not undo what was begun.
        let error = up(&wish, &fake).await.unwrap_err();
        assert!(matches!(error.problem().code, Some("MG047" | "MG073")), "{error}");

        let again = Request { operation: format!("{}2", failover::OPERATION), ..request(None, false) };
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let Decision::Go(failover) = decide(&wish.topology, &seen, &again).unwrap() else {
            panic!("nothing")
        };
        assert!(failover.resumes);
        assert_eq!(failover.operation, "mgctl failover 1");
        failover::run(&execution(&wish, &fake), &failover).await.unwrap();
        assert_eq!(fake.writers(), ["rep1"]);
    });
}

#[test]
fn a_failover_ends_well_after_any_prefix_of_its_steps() {
    for file in ["quickstart.yaml", "five-nodes.yaml", "strict-sync.yaml"] {
        let wish = wish(&topology(file));
        let main = wish.topology.main().name.clone();
        for hangs in [false, true] {
            for count in 0..20 {
                let fake = Fake::new(&wish.topology);
                run(async {
                    up(&wish, &fake).await.unwrap();
                    fake.write("before");
                    if hangs {
                        fake.hang(&main)
                    } else {
                        fake.stop(&main)
                    }
                    let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
                    let Decision::Go(failover) =
                        decide(&wish.topology, &seen, &request(None, false)).unwrap()
                    else {
                        panic!("nothing to do")
                    };
                    let mut plan = failover.plan.clone();
                    plan.steps.truncate(count);
                    execute(&execution(&wish, &fake), &plan).await.unwrap();
                    assert!(fake.writers().len() <= 1, "{file} after {count} steps: {:?}", fake.writers());
                    let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
                    match decide(&wish.topology, &seen, &request(None, false)) {
                        Ok(Decision::Go(failover)) => {
                            failover::run(&execution(&wish, &fake), &failover).await.unwrap();
                        }
                        Ok(Decision::Nothing { .. }) => {}
                        // The new MAIN lives and every replica follows it: all was done.
                        Err(error) => assert_eq!(error.problem().code, Some("MG047"), "{error}"),
                    }
                    let writers = fake.writers();
                    assert_eq!(writers.len(), 1, "{file} after {count} steps");
                    assert_ne!(writers[0], main);
                    up(&wish, &fake).await.unwrap_or_else(|e| panic!("{file} after {count} steps: {e}"));
                    check_up(&wish, &fake).await;
                    assert!(fake.logs()[0].contains(&"before".to_owned()), "a write was lost");
                    assert_eq!(fake.writers(), writers, "`up` moved MAIN");
                });
            }
        }
    }
}

#[test]
fn a_fenced_main_that_is_started_becomes_a_replica_whenever_somebody_interrupts() {
    const BUSY: &str = "Another role or registration query is under way; please try again later.";
    for (rejoins, boots, is_busy) in
        [(false, 0, false), (false, 3, false), (false, 2, true), (true, 3, false), (true, 2, true)]
    {
        for moment in 0.. {
            let (wish, fake) = quickstart();
            let is_raised = run(async {
                fake.write("before");
                fake.stop("main");
                fail_over(&wish, &fake, &request(None, false)).await.unwrap();
                fake.boot_for(boots);
                if is_busy {
                    fake.busy_once("ROLE TO REPLICA", ours(BUSY));
                }
                let interrupted = InterruptAt::new(moment);
                let execution = interrupted.execution(&wish, &fake);
                let result = match rejoins {
                    true => {
                        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
                        let plan = rejoin(&wish.topology, &seen, "main", "rep1", None, false).unwrap();
                        execute(&execution, &plan).await
                    }
                    false => converge(&execution).await.map(drop),
                };
                let at = format!("at {moment}, rejoin {rejoins}, {boots} boots, busy {is_busy}: {result:?}");
                assert_eq!(fake.writers(), ["rep1"], "{at}");
                match result {
                    Ok(()) => assert!(fake.fenced().is_empty(), "{at}"),
                    Err(error) => assert_eq!(error.exit(), Exit::Interrupted, "{at}"),
                }
                fake.boot_for(0);
                up(&wish, &fake).await.unwrap_or_else(|error| panic!("{error}; {at}"));
                check_up(&wish, &fake).await;
                assert_eq!(fake.mains(), ["rep1"]);
                interrupted.is_raised()
            });
            if !is_raised {
                assert!(moment > 8, "only {moment} moments");
                break;
            }
        }
    }
}

/// Its machine is made anew, and with it what keeps it from starting by itself: whenever two interrupts come.
#[test]
fn a_fenced_main_that_is_made_anew_stays_fenced_until_it_is_a_replica() {
    for first in 0.. {
        let mut is_first_raised = false;
        for second in 0..6 {
            let (mut wish, fake) = quickstart();
            run(async {
                fake.write("before");
                fake.stop("main");
                fail_over(&wish, &fake, &request(None, false)).await.unwrap();
                wish.options.recreate = true;
                let interrupted = InterruptAt::new(first);
                let result = converge(&interrupted.execution(&wish, &fake)).await.map(drop);
                let at = format!("at {first}, then {second}: {result:?}");
                assert!(!fake.writers().contains(&"main".to_owned()), "{at}");
                is_first_raised |= interrupted.is_raised();
                wish.options.recreate = false;
                let again = InterruptAt::new(second);
                let _ = converge(&again.execution(&wish, &fake)).await;
                assert!(!fake.writers().contains(&"main".to_owned()), "{at}");
                up(&wish, &fake).await.unwrap_or_else(|error| panic!("{error}; {at}"));
                check_up(&wish, &fake).await;
                assert!(fake.fenced().is_empty() && fake.logs()[0].contains(&"before".to_owned()), "{at}");
            });
        }
        if !is_first_raised {
            assert!(first > 8, "only {first} moments");
            break;
        }
    }
}

#[test]
fn a_fenced_main_that_is_made_anew_is_not_started_where_nobody_else_is_main() {
    let (mut wish, fake) = quickstart();
    run(async {
        fake.stop("main");
        fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        fake.stop("rep1");
        wish.options.recreate = true;
        let stopped = InterruptAt::new(usize::MAX);
        let _ = converge(&stopped.execution(&wish, &fake)).await;
        assert!(!fake.writers().contains(&"main".to_owned()), "{:?}", fake.writers());
    });
}

#[test]
fn a_fenced_main_that_is_made_anew_has_its_certificate_when_it_is_brought_back() {
    let (mut wish, fake) = quickstart();
    assert!(wish.topology.cluster_tls);
    run(async {
        fake.stop("main");
        fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        fake.stop("rep1");
        wish.options.recreate = true;
        let plan = reconcile(&wish, &observe(&wish.topology, &fake, &fake).await.unwrap());
        let text = plan.to_string();
        assert!(text.contains("certificate:main") && !text.contains("start:main"), "{text}");
        let _ = execute(&execution(&wish, &fake), &plan).await;
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        assert_eq!(seen.existing.machines["main"].state, MachineState::Created);
        assert_eq!((fake.writers(), fake.fenced()), (vec!["rep1".to_owned()], vec!["main".to_owned()]));
        let plan = rejoin(&wish.topology, &seen, "main", "rep1", None, false).unwrap();
        execute(&execution(&wish, &fake), &plan).await.unwrap();
        assert_eq!((fake.writers(), fake.fenced()), (vec!["rep1".to_owned()], vec![]));
    });
}

#[test]
fn a_fenced_main_that_is_made_anew_stays_until_all_is_there_for_the_next() {
    let (mut wish, fake) = quickstart();
    run(async {
        fake.stop("main");
        fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        wish.options.recreate = true;
        for part in [Action::RemoveNetwork, Action::RemoveVolume("mgctl-quickstart-main-data".into())] {
            fake.carry_out(&wish.topology, &part).await.unwrap();
        }
        let plan = reconcile(&wish, &observe(&wish.topology, &fake, &fake).await.unwrap());
        let text = plan.to_string();
        assert!(text.contains("remove:main: remove main  [after stop:main, network, volume:main]"), "{text}");
    });
}

#[test]
fn a_fenced_main_that_does_not_answer_is_waited_for_no_longer_than_the_deadline() {
    let (wish, fake) = quickstart();
    run(async {
        fake.stop("main");
        fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        fake.hang("main");
        let stopped = InterruptAt::new(1);
        let run = Execution { deadline: execution(&wish, &fake).deadline, ..stopped.execution(&wish, &fake) };
        let error = converge(&run).await.unwrap_err();
        assert!(stopped.is_raised());
        assert_eq!((error.exit(), error.problem().code), (Exit::TimedOut, Some("MG073")), "{error}");
    });
}

#[test]
fn of_two_nodes_the_promoted_one_stays_main_when_the_old_one_is_back() {
    let mut asked = wish(&topology("quickstart.yaml"));
    asked.topology.instances.truncate(2);
    let fake = Fake::new(&asked.topology);
    run(async {
        up(&asked, &fake).await.unwrap();
        fake.stop("main");
        fail_over(&asked, &fake, &request(None, false)).await.unwrap();
        fake.write_on("rep1", "after");
        up(&asked, &fake).await.unwrap();
        assert_eq!(fake.writers(), ["rep1"]);
        check_up(&asked, &fake).await;
        assert!(fake.logs()[0].contains(&"after".to_owned()));
    });
}

#[test]
fn a_candidate_that_falls_silent_while_it_is_promoted_is_ended_and_another_chosen() {
    let wish = wish(&topology("five-nodes.yaml"));
    for takes_effect in [false, true] {
        let fake = Fake::new(&wish.topology);
        run(async {
            up(&wish, &fake).await.unwrap();
            fake.stop(&wish.topology.main().name);
            fake.hang_at("ROLE TO MAIN", takes_effect);
            let done = fail_over(&wish, &fake, &request(None, false)).await.unwrap();
            assert_eq!(fake.writers(), [done.main]);
            assert_eq!(fake.fenced().len(), 2);
        });
    }
}

#[test]
fn memgraph_knows_no_fences_and_is_failed_over_by_the_kill_alone() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::memgraph(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.take_sent();
        fake.stop("main");
        let error = fail_over(&wish, &fake, &request(Some("rep2"), false)).await.unwrap_err();
        assert!(error.to_string().contains("this image cannot say"), "{error}");
        let done = fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        assert_eq!(done.main, "rep1");
        let sent = fake.take_sent();
        assert_eq!(sent[0], "rep1: SET REPLICATION ROLE TO MAIN;");
        assert!(sent.iter().all(|q| !q.contains("FENCE")), "{sent:?}");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
        assert_eq!(fake.mains(), ["rep1"]);
    });
}

#[test]
fn a_switch_whose_candidate_falls_silent_ends_it_and_goes_back() {
    for takes_effect in [false, true] {
        let (wish, fake) = quickstart();
        run(async {
            fake.hang_at("ROLE TO MAIN", takes_effect);
            let error = switch(&wish, &fake, "rep1").await.unwrap_err();
            assert!(error.to_string().contains("was taken back: `main` is MAIN"), "{error}");
            assert_ne!(error.exit(), Exit::Ok);
            assert_eq!((fake.writers(), fake.fenced()), (vec!["main".to_owned()], vec!["rep1".to_owned()]));
            up(&wish, &fake).await.unwrap();
            check_up(&wish, &fake).await;
            assert_eq!(fake.mains(), ["main"]);
        });
    }
}

#[test]
fn a_switch_whose_old_main_dies_on_the_way_goes_forward() {
    for takes_effect in [false, true] {
        let (wish, fake) = quickstart();
        run(async {
            fake.hang_at("ROLE TO REPLICA", takes_effect);
            let done = switch(&wish, &fake, "rep1").await.unwrap().unwrap();
            assert!(done.left.iter().any(|p| p.what.contains("`main` fell silent")), "{:?}", done.left);
            assert_eq!((fake.writers(), fake.fenced()), (vec!["rep1".to_owned()], vec!["main".to_owned()]));
            up(&wish, &fake).await.unwrap();
            check_up(&wish, &fake).await;
        });
    }
}

async fn run_machine(fake: &Fake, wish: &Wish, name: &str) {
    fake.carry_out(&wish.topology, &Action::StartMachine(name.into())).await.unwrap();
}

/// MAIN `m` and replicas `a`, `b` (SYNC) and `c` (ASYNC), where `min_acks` SYNC replicas confirm a commit.
fn with_min_acks(min_acks: u32) -> (Wish, Fake) {
    let text = format!(
        "name: acks\nreplication: {{ sync_min_acks: {min_acks} }}\ninstances:\n  m: {{ role: main }}\n  \
         a: {{ role: replica, mode: SYNC }}\n  b: {{ role: replica, mode: SYNC }}\n  \
         c: {{ role: replica, mode: ASYNC }}\n"
    );
    let source = crate::topology::Source { name: "acks.yaml".into(), directory: ".".into(), text };
    let topology = crate::topology::load(&source, &|_| None).unwrap().topology;
    let wish = wish(&topology);
    let fake = Fake::new(&wish.topology);
    run(up(&wish, &fake)).unwrap();
    fake.take_sent();
    (wish, fake)
}

#[test]
fn where_one_of_two_sync_replicas_confirms_both_are_asked() {
    let (wish, fake) = with_min_acks(1);
    run(async {
        fake.write_alone("a", "acknowledged by `a` alone");
        fake.stop("m");
        fake.stop("a");
        let error = fail_over(&wish, &fake, &request(None, false)).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG041")));
        assert!(error.to_string().contains("2 of them must be asked, and 1 answer"), "{error}");
        assert!(fake.take_sent().is_empty() && fake.fenced().is_empty());
        run_machine(&fake, &wish, "a").await;
        let done = fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        assert_eq!(done.main, "a");
        assert_eq!(done.loss, Loss::Covered { by: vec!["a".into(), "b".into()] });
    });
    let (wish, fake) = with_min_acks(2);
    run(async {
        fake.stop("m");
        fake.stop("a");
        let done = fail_over(&wish, &fake, &request(None, false)).await.unwrap();
        assert_eq!((done.main.as_str(), done.loss), ("b", Loss::Covered { by: vec!["b".into()] }));
    });
}

#[test]
fn a_replica_that_main_made_async_since_does_not_count_as_sync() {
    let (wish, fake) = quickstart();
    run(async {
        fake.stop("main");
        let mut seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let Some(NodeView::Answered(facts)) = seen.nodes.get_mut("rep1") else { panic!("rep1 answers") };
        assert_eq!(facts.position.as_ref().unwrap().mode, None);
        facts.position.as_mut().unwrap().mode = Some(Mode::Async);
        let error = decide(&wish.topology, &seen, &request(None, false)).unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG041")));
        assert!(error.to_string().contains("`rep1` is ASYNC, and no SYNC replica answers"), "{error}");
    });
}

#[test]
fn a_node_that_was_main_for_a_moment_is_not_promoted_over_what_the_sync_replica_holds() {
    let (wish, fake) = quickstart();
    run(async {
        fake.write("on all");
        fake.stop("main");
        fake.write_alone("rep1", "acknowledged OK by MAIN and rep1");
        fake.make_main("rep2");
        fake.write_alone("rep2", "of a reign that nobody followed");
        fake.make_replica("rep2");
        fake.take_sent();
        for candidate in [None, Some("rep1"), Some("rep2")] {
            let error = fail_over(&wish, &fake, &request(candidate, false)).await.unwrap_err();
            assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG049")), "{error}");
            let said = error.to_string();
            assert!(
                said.contains("which `rep1` has on a branch of its own: mgctl failover rep2 --force"),
                "{said}"
            );
            assert!(
                said.contains("which `rep2` has on a branch of its own: mgctl failover rep1 --force"),
                "{said}"
            );
        }
        let error = switch(&wish, &fake, "rep2").await.unwrap_err();
        assert!(error.to_string().contains("may be it"), "{error}");
        assert_eq!(
            (fake.take_sent(), fake.fenced()),
            (vec![], vec![]),
            "it was refused, and something was done"
        );

        let done = fail_over(&wish, &fake, &request(Some("rep1"), true)).await.unwrap();
        let Loss::Parted { node, parting } = &done.loss else { panic!("{:?}", done.loss) };
        assert_eq!((node.as_str(), parting.theirs, parting.own), ("rep2", 1, 1));
        assert!(done.left.iter().any(|p| p.code == Some("MG042")), "{:?}", done.left);
        assert_eq!(fake.writers(), ["rep1"]);
    });
}

#[test]
fn where_no_node_is_main_nobody_becomes_it_over_another_branch() {
    let (wish, fake) = quickstart();
    run(async {
        fake.write("on all");
        fake.write_alone("rep1", "of one branch");
        fake.make_replica("main");
        fake.make_main("rep2");
        fake.write_alone("rep2", "of another branch");
        fake.make_replica("rep2");
        fake.take_sent();
        let error = up(&wish, &fake).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG049")), "{error}");
        let error = switch(&wish, &fake, "rep2").await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG049")), "{error}");
        assert!(error.to_string().contains("`rep1` 1 commit that `rep2` lacks"), "{error}");
        assert!(fake.mains().is_empty() && fake.take_sent().is_empty());
    });
}
