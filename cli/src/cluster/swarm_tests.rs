//! Nodes on hosts of a swarm, of which one may fall silent with all that runs there: what nobody saw end is not taken
//! for ended.

use super::failover::{Decision, Loss, Request};
use super::fake::Fake;
use super::tests::{check_up, execution, fail_over, run, topology, up, wish};
use super::*;
use crate::error::Exit;
use proptest::prelude::*;

fn three() -> (Wish, Fake) {
    let wish = wish(&topology("swarm.yaml"));
    let fake = Fake::new(&wish.topology);
    (wish, fake)
}

fn request() -> Request {
    Request { operation: format!("{}1", failover::OPERATION), ..Request::default() }
}

#[test]
fn nodes_are_registered_by_name() {
    let (wish, fake) = three();
    run(async {
        assert!(up(&wish, &fake).await.unwrap());
        let sent = fake.take_sent();
        assert!(sent.contains(&"main: REGISTER REPLICA near SYNC TO \"near:10000\";".to_owned()), "{sent:?}");
        check_up(&wish, &fake).await;
        assert!(!up(&wish, &fake).await.unwrap());
    });
}

#[test]
fn nodes_are_started_anew_for_certificates_one_after_the_other_and_main_last() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        let plan = async || reconcile(&wish, &observe(&wish.topology, &fake, &fake).await.unwrap());
        for name in ["main", "near", "far"] {
            fake.age_certificate(name, 86_400);
        }
        assert_eq!(
            plan().await.to_string(),
            "certificate:near: give near a certificate  (its certificate ends in 1 day)\n\
             back:near: wait for Bolt of near  [after certificate:near]  (it is started anew with it)\n\
             level:near: main: wait until near is ready and 0 behind  [after back:near]  (the next one is started anew after it)\n\
             certificate:far: give far a certificate  [after level:near]  (its certificate ends in 1 day)\n\
             back:far: wait for Bolt of far  [after certificate:far]  (it is started anew with it)\n\
             level:far: main: wait until far is ready and 0 behind  [after back:far]  (the next one is started anew after it)\n\
             certificate:main: give main a certificate  [after level:far]  (its certificate ends in 1 day)\n\
             back:main: wait for Bolt of main  [after certificate:main]  (it is started anew with it)\n"
        );
        // Nobody follows a MAIN whose certificate is over, until it has another one.
        fake.age_certificate("main", -1);
        let text = plan().await.to_string();
        assert!(!text.contains("level:") && text.contains("[after back:far]"), "{text}");
        assert!(up(&wish, &fake).await.unwrap());
        check_up(&wish, &fake).await;
        // Of a lost host nothing is waited for.
        fake.age_certificate("far", 86_400);
        fake.lose_host("far", true);
        let plan = plan().await;
        assert!(!plan.to_string().contains("certificate:"), "{plan}");
        assert!(plan.notes.iter().any(|n| n.starts_with("far: its certificate ends in 1 day")), "{plan}");
    });
}

#[test]
fn a_main_on_a_lost_host_is_replaced_only_on_a_word_and_rejoins_as_a_replica() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.write("before");
        fake.take_sent();
        fake.lose_host("main", true);
        let error = fail_over(&wish, &fake, &request()).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG040")));
        let text = error.to_string();
        assert!(
            text.contains("host `host-main`") && text.contains("mgctl failover --force-unfenced"),
            "{text}"
        );
        assert_eq!(fake.take_sent(), Vec::<String>::new(), "nothing was changed");

        let told = Request { force_unfenced: true, ..request() };
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.left.len()), ("near", 0));
        assert_eq!(done.unfenced, ["main"], "nobody saw it end");
        assert_eq!(done.loss, Loss::Covered { by: vec!["near".into()] });
        fake.write_on("near", "after");

        // It is told, and waited for no longer than it takes to see that the host is away.
        let error = up(&wish, &fake).await.unwrap_err();
        assert_eq!(error.problem().code, Some("MG095"), "{error}");
        fake.host_returns("main");
        assert_eq!(fake.writers(), ["near"], "the host does not run the old MAIN again");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
        assert_eq!((fake.mains(), fake.logs()[0].len()), (vec!["near".to_owned()], 2));
    });
}

#[test]
fn a_host_that_is_gone_and_not_yet_missed_does_not_confirm_an_end() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.write("before");
        fake.lose_host("main", false);
        let error = fail_over(&wish, &fake, &request()).await.unwrap_err();
        assert_eq!(error.problem().code, Some(failover::UNSEEN_END), "{error}");
        assert!(error.to_string().contains("nobody was promoted"), "{error}");
        assert!(error.to_string().contains("--force-unfenced"), "{error}");
        // That it was told to end is no word of anybody.
        let error = fail_over(&wish, &fake, &request()).await.unwrap_err();
        assert_eq!(error.problem().code, Some("MG040"), "{error}");
        assert_eq!(fake.take_sent().iter().filter(|q| q.contains("ROLE TO MAIN")).count(), 0);
        // The replicas have let it go already; the same operation goes on.
        let told = Request { force_unfenced: true, ..request() };
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.loss.commits()), ("near", Some(0)));
        fake.host_returns("main");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
    });
}

#[test]
fn a_main_that_answers_though_its_host_is_not_heard_of_is_demoted() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.write("before");
        fake.miss_host("main");
        let told = Request { kill_main: true, ..request() };
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.loss), ("near", Loss::Known(0)));
        assert_eq!((fake.writers(), done.unfenced.len()), (vec!["near".to_owned()], 0));
    });
}

#[test]
fn the_word_is_heard_while_the_end_is_waited_for() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.lose_host("main", false);
        let told = Request { force_unfenced: true, ..request() };
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.unfenced.as_slice()), ("near", &["main".to_owned()][..]));
    });
}

#[test]
fn a_word_about_one_node_is_none_about_another() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.write("before");
        // Of one the operator knows that it has ended; the other is silent on a host that is there, and was not spoken of.
        fake.lose_host("main", true);
        fake.silence("far");
        fake.slow_to_end("far", true);
        fake.take_sent();
        let told = Request { force_unfenced: true, force: true, ..request() };
        let error = fail_over(&wish, &fake, &told).await.unwrap_err();
        assert_eq!(error.problem().code, Some(failover::UNSEEN_END), "{error}");
        let text = error.to_string();
        assert!(text.contains("`far`") && !text.contains("`main` has ended"), "{text}");
        assert!(text.contains("nobody was promoted") && !text.contains("--force-unfenced"), "{text}");
        assert_eq!(fake.take_sent().iter().filter(|q| q.contains("ROLE TO MAIN")).count(), 0);
        // Once it has ended, the same operation goes on.
        fake.slow_to_end("far", false);
        let done = fail_over(&wish, &fake, &told).await.unwrap();
        assert_eq!((done.main.as_str(), done.unfenced.as_slice()), ("near", &["main".to_owned()][..]));
    });
}

#[test]
fn a_lost_replica_holds_nobody_up_but_is_told() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.lose_host("far", true);
        let error = up(&wish, &fake).await.unwrap_err();
        assert_eq!(error.problem().code, Some("MG095"), "{error}");
        assert!(error.to_string().contains("`far` is on host `host-far`"), "{error}");
        fake.host_returns("far");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
    });
}

#[test]
fn a_fenced_main_that_is_started_becomes_a_replica_whatever_else_fails() {
    let (wish, fake) = three();
    run(async {
        up(&wish, &fake).await.unwrap();
        fake.stop("main");
        fail_over(&wish, &fake, &request()).await.unwrap();
        assert_eq!(fake.writers(), ["near"]);
        // Nobody but `far` could tell the old MAIN that it was replaced.
        fake.lose_host("far", false);
        up(&wish, &fake).await.unwrap_err();
        assert_eq!(fake.writers(), ["near"]);
        fake.host_returns("far");
        up(&wish, &fake).await.unwrap();
        check_up(&wish, &fake).await;
    });
}

#[derive(Clone, Debug)]
enum Event {
    Lose(usize, bool),
    Return(usize),
    Stop(usize),
    FailOver,
    Up,
    Write,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..3usize, any::<bool>()).prop_map(|(i, noticed)| Event::Lose(i, noticed)),
        (0..3usize).prop_map(Event::Return),
        (0..3usize).prop_map(Event::Stop),
        Just(Event::FailOver),
        Just(Event::Up),
        Just(Event::Write),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever hosts do: without a word of the operator there are never two nodes that may take writes, what a lost
    /// host runs counted; and once all hosts are there, the cluster is put in order and nothing that was written is
    /// lost.
    #[test]
    fn nobody_is_promoted_beside_a_main_that_may_run(events in proptest::collection::vec(event(), 0..10)) {
        let (wish, fake) = three();
        let name = |i: usize| wish.topology.instances[i].name.as_str();
        run(async {
            up(&wish, &fake).await.unwrap();
            let mut written = 0;
            for event in events {
                match event {
                    Event::Lose(i, is_noticed) => fake.lose_host(name(i), is_noticed),
                    Event::Return(i) => fake.host_returns(name(i)),
                    Event::Stop(i) if !fake.is_lost(name(i)) => fake.stop(name(i)),
                    Event::FailOver => {
                        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
                        if let Ok(Decision::Go(failover)) =
                            failover::decide(&wish.topology, &seen, &request())
                        {
                            drop(failover::run(&execution(&wish, &fake), &failover).await);
                        }
                    }
                    Event::Up => drop(up(&wish, &fake).await),
                    Event::Write if fake.writers().len() == 1 && fake.all_answer() => {
                        fake.write("something");
                        written += 1;
                    }
                    Event::Stop(_) | Event::Write => {}
                }
                let writers = fake.writers();
                assert!(writers.len() <= 1, "{writers:?}");
            }
            for instance in &wish.topology.instances {
                fake.host_returns(&instance.name);
            }
            let mut last = Ok(true);
            for _ in 0..4 {
                last = up(&wish, &fake).await;
                // A failover that was begun is finished.
                match &last {
                    Err(error) if error.problem().code == Some("MG047") => {
                        drop(fail_over(&wish, &fake, &Request { kill_main: true, ..request() }).await);
                    }
                    Err(_) => {}
                    Ok(_) => break,
                }
            }
            last.unwrap();
            check_up(&wish, &fake).await;
            assert_eq!(fake.logs()[0].len(), written, "writes were lost");
        });
    }
}
