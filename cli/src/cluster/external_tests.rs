//! Nodes that someone else runs: they are told what to be, and nothing is done that needs their machines.

use super::failover::{Loss, Request};
use super::fake::Fake;
use super::tests::{check_up, execution, fail_over, run, switch, topology, up, wish};
use super::*;
use crate::error::Exit;
use crate::topology::Role;
use proptest::prelude::*;

fn three() -> (Wish, Fake) {
    let wish = wish(&topology("external.yaml"));
    let fake = Fake::external(&wish.topology);
    (wish, fake)
}

fn request() -> Request {
    Request { operation: format!("{}1", failover::OPERATION), ..Request::default() }
}

#[test]
fn up_tells_the_nodes_what_to_be_and_then_has_nothing_to_say() {
    let (wish, fake) = three();
    run(async {
        assert!(up(&wish, &fake).await.unwrap());
        let mut sent = fake.take_sent();
        sent[..2].sort();
        assert_eq!(
            sent,
            [
                "far: SET REPLICATION ROLE TO REPLICA WITH PORT 10000;",
                "near: SET REPLICATION ROLE TO REPLICA WITH PORT 10000;",
                "main: REGISTER REPLICA near SYNC TO \"10.0.0.6:10000\";",
                "main: REGISTER REPLICA far ASYNC TO \"far.internal:10000\";",
            ]
        );
        check_up(&wish, &fake).await;
        assert!(!up(&wish, &fake).await.unwrap());
        assert_eq!(fake.take_sent(), Vec::<String>::new());
    });
}

#[test]
fn a_node_that_does_not_answer_is_waited_for_and_named() {
    let (wish, fake) = three();
    run(async {
        fake.stop("far");
        let error = up(&wish, &fake).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::TimedOut, Some("MG073")));
        let text = error.to_string();
        assert!(text.contains("`far` did not answer") && text.contains("where it runs"), "{text}");
        assert!(!text.contains("mgctl logs"), "{text}");
    });
}

#[test]
fn a_silent_main_cannot_be_fenced_and_is_replaced_only_on_a_word() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.write("before");
        fake.take_sent();
        fake.stop("main");
        let error = fail_over(&wish, &fake, &Request { force: true, ..request() }).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG040")));
        assert!(error.to_string().contains("mgctl failover --force-unfenced"), "{error}");
        assert_eq!(fake.take_sent(), Vec::<String>::new(), "nothing was changed");

        let told = Request { force_unfenced: true, ..request() };
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.left.len()), ("near", 0));
        assert_eq!(done.loss, Loss::Covered { by: vec!["near".into()] });
        fake.write_on("near", "after");
        fake.start_elsewhere("main");
        assert_eq!(fake.writers(), ["near"], "the old MAIN hears of it when it starts");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
        assert_eq!((fake.mains(), fake.logs()[0].len()), (vec!["near".to_owned()], 2));
    });
}

#[test]
fn several_silent_nodes_are_all_named() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.stop("main");
        fake.stop("far");
        let error = fail_over(&wish, &fake, &request()).await.unwrap_err().to_string();
        assert!(
            error.contains("`main`, `far` cannot be fenced") && error.contains("where they run"),
            "{error}"
        );
        let told = Request { force_unfenced: true, ..request() };
        assert_eq!(fail_over(&wish, &fake, &told).await.unwrap().main, "near");
        fake.start_elsewhere("main");
        fake.start_elsewhere("far");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
    });
}

#[test]
fn a_main_that_answers_is_demoted_in_the_place_of_its_end() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.write("before");
        fake.take_sent();
        let told = Request { kill_main: true, ..request() };
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.loss), ("near", Loss::Known(0)));
        let sent = fake.take_sent();
        let demoted = sent.iter().position(|q| q == "main: SET REPLICATION ROLE TO REPLICA WITH PORT 10000;");
        let promoted = sent.iter().position(|q| q.starts_with("near: SET REPLICATION ROLE TO MAIN"));
        assert!(demoted.is_some() && demoted < promoted, "{sent:?}");
        assert_eq!(fake.writers(), ["near"]);
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
    });
}

#[test]
fn a_main_that_falls_silent_while_it_is_demoted_stops_the_failover() {
    for takes_effect in [false, true] {
        let (wish, fake) = three();
        run(async {
            up(&wish, &fake).await.unwrap();
            fake.hang_at("ROLE TO REPLICA", takes_effect);
            let told = Request { kill_main: true, ..request() };
            let error = fail_over(&wish, &fake, &told).await.unwrap_err().to_string();
            assert!(error.contains("nobody was promoted"), "{error}");
            let mains = fake.mains();
            assert!(!mains.contains(&"near".to_owned()) && !mains.contains(&"far".to_owned()), "{mains:?}");
        });
    }
}

#[test]
fn a_candidate_that_may_be_main_and_is_silent_leaves_nobody_beside_it() {
    for takes_effect in [false, true] {
        let (wish, fake) = three();
        run(async {
            up(&wish, &fake).await.unwrap();
            fake.write("before");
            fake.hang_at("ROLE TO MAIN", takes_effect);
            let error = switch(&wish, &fake, "near").await.unwrap_err().to_string();
            assert!(error.contains("`near` may be MAIN and could not be ended"), "{error}");
            let expected: &[&str] = if takes_effect { &["near"] } else { &[] };
            assert_eq!(fake.mains(), expected, "never two");
            fake.start_elsewhere("near");
            up(&wish, &fake).await.unwrap();
            check_up(&wish, &fake).await;
            assert_eq!(fake.logs()[0], ["before"]);
        });
    }
}

#[derive(Clone, Debug)]
enum Event {
    BrokenOff(usize),
    Stop(usize),
    Start(usize),
    LostAnswer(&'static str, bool),
    Write,
    Promote(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let part = prop_oneof![Just("ROLE TO REPLICA"), Just("ROLE TO MAIN"), Just("REGISTER"), Just("DROP")];
    prop_oneof![
        (0..8usize).prop_map(Event::BrokenOff),
        (0..3usize).prop_map(Event::Stop),
        (0..3usize).prop_map(Event::Start),
        (part, any::<bool>()).prop_map(|(part, effect)| Event::LostAnswer(part, effect)),
        Just(Event::Write),
        (0..3usize).prop_map(Event::Promote),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happens to nodes that someone else runs: once they answer, `up` puts them in order, and nothing that
    /// was written is lost.
    #[test]
    fn up_puts_in_order_whatever_happened(events in proptest::collection::vec(event(), 0..8)) {
        let (wish, fake) = three();
        let name = |i: usize| wish.topology.instances[i].name.as_str();
        run(async {
            let mut written = 0;
            for event in events {
                match event {
                    Event::BrokenOff(steps) => {
                        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
                        let mut plan = reconcile(&wish, &seen);
                        // What is silent is waited for in vain.
                        plan.steps.retain(|s| !matches!(s.action, Action::AwaitBolt(_)));
                        plan.steps.iter_mut().for_each(|s| s.needs.retain(|n| !n.starts_with("bolt:")));
                        plan.steps.truncate(steps);
                        drop(execute(&execution(&wish, &fake), &plan).await);
                    }
                    Event::Stop(i) => fake.stop(name(i)),
                    Event::Start(i) => fake.start_elsewhere(name(i)),
                    Event::LostAnswer(part, takes_effect) => fake.fail_once(part, takes_effect),
                    Event::Write if fake.writers().len() == 1 && fake.mains().len() == 1 => {
                        fake.write("something");
                        written += 1;
                    }
                    Event::Promote(i) => drop(switch(&wish, &fake, name(i)).await),
                    Event::Write => {}
                }
            }
            for instance in &wish.topology.instances {
                fake.start_elsewhere(&instance.name);
            }
            let mut last = Ok(true);
            for _ in 0..6 {
                last = up(&wish, &fake).await;
                if last.is_ok() {
                    break;
                }
            }
            last.unwrap();
            check_up(&wish, &fake).await;
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            let replicas = seen.nodes.values().filter_map(NodeView::facts).filter(|f| f.role == Role::Replica);
            assert_eq!(replicas.count(), 2);
            assert_eq!(fake.logs()[0].len(), written, "writes were lost");
        });
    }
}
