//! That roles and registrations are put in order from whatever they are, and nobody's data are cut.

use super::fake::Fake;
use super::repair::{Wipe, rejoin, repair, set_mode};
use super::tests::{check_up, execution, run, topology, up, wish};
use super::*;
use crate::error::Exit;
use crate::topology::{Addressing, Mode};

async fn mend(wish: &Wish, fake: &Fake, chosen: Option<&str>) -> Result<(), CliError> {
    for _ in 0..4 {
        let seen = observe(&wish.topology, fake, fake).await?;
        let plan = repair(&wish.topology, &seen, chosen);
        if plan.steps.is_empty() {
            return plan.refusal.map_or(Ok(()), Err);
        }
        execute(&execution(wish, fake), &plan).await?;
    }
    panic!("it does not end");
}

async fn bring_back(wish: &Wish, fake: &Fake, name: &str, wipe: Option<&Wipe>) -> Result<(), CliError> {
    let seen = observe(&wish.topology, fake, fake).await?;
    let plan = rejoin(&wish.topology, &seen, name, &fake.writers()[0], wipe, false)?;
    execute(&execution(wish, fake), &plan).await
}

fn cluster(addressing: Addressing) -> (Wish, Fake) {
    let mut topology = topology("quickstart.yaml");
    topology.addressing = addressing;
    let wish = wish(&topology);
    let fake = Fake::new(&topology);
    run(up(&wish, &fake)).unwrap();
    fake.take_sent();
    (wish, fake)
}

#[test]
fn what_is_in_order_is_left_alone() {
    let (wish, fake) = cluster(Addressing::Static);
    run(mend(&wish, &fake, None)).unwrap();
    assert_eq!(fake.take_sent(), Vec::<String>::new());
}

#[test]
fn stale_missing_and_extra_registrations_are_mended_without_touching_a_machine() {
    let (wish, fake) = cluster(Addressing::Ip);
    run(async {
        let ids = fake.machine_ids();
        fake.restart_in_other_order();
        fake.register_at("main", "GHOST", "10.9.9.9:10000");
        mend(&wish, &fake, None).await.unwrap();
        let main = observe(&wish.topology, &fake, &fake).await.unwrap();
        let rows = main.nodes["main"].facts().unwrap().replicas.clone();
        let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["REP1", "REP2"]);
        check_up(&wish, &fake).await;
        assert_eq!(fake.machine_ids(), ids);
    });
}

#[test]
fn of_two_mains_a_person_chooses_and_the_other_keeps_what_it_has() {
    let (wish, fake) = cluster(Addressing::Static);
    run(async {
        fake.make_main("rep2");
        fake.register_at("rep2", "REP1", "172.28.37.12:10000");
        let error = mend(&wish, &fake, None).await.unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG043")));
        assert_eq!(fake.take_sent(), Vec::<String>::new());
        // The chosen one reigns in the lower epoch; it is taken above the other.
        mend(&wish, &fake, Some("main")).await.unwrap();
        assert_eq!(fake.writers(), ["main"]);
        check_up(&wish, &fake).await;

        fake.make_main("rep2");
        fake.register_at("rep2", "REP1", "172.28.37.12:10000");
        fake.write_alone("rep2", "only there");
        let error = mend(&wish, &fake, Some("main")).await.unwrap_err();
        assert_eq!(error.problem().code, Some("MG042"), "{error}");
        assert_eq!(fake.writers(), ["main"]);
        assert!(fake.logs()[2].contains(&"only there".to_owned()), "its data were cut");
    });
}

#[test]
fn a_replica_is_not_made_main_by_choosing_it() {
    let (wish, fake) = cluster(Addressing::Static);
    let error = run(mend(&wish, &fake, Some("rep1"))).unwrap_err();
    assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG044")));
    assert_eq!(run(mend(&wish, &fake, Some("nobody"))).unwrap_err().exit(), Exit::NotFound);
    assert_eq!(fake.writers(), ["main"]);
}

#[test]
fn a_failover_that_was_begun_while_main_lives_can_be_undone() {
    let (wish, fake) = cluster(Addressing::Static);
    run(async {
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let request = failover::Request {
            kill_main: true,
            force_unfenced: false,
            operation: format!("{}1", failover::OPERATION),
            ..failover::Request::default()
        };
        let failover::Decision::Go(begun) = failover::decide(&wish.topology, &seen, &request).unwrap() else {
            panic!("nothing to do")
        };
        let mut plan = begun.plan.clone();
        plan.steps.retain(|s| s.id.starts_with("fence:rep"));
        assert_eq!(plan.steps.len(), 2);
        execute(&execution(&wish, &fake), &plan).await.unwrap();
        let error = up(&wish, &fake).await.unwrap_err();
        assert!(error.to_string().contains("mgctl repair --main main"), "{error}");
        mend(&wish, &fake, Some("main")).await.unwrap();
        fake.write("after");
        assert!(!up(&wish, &fake).await.unwrap(), "something was left");
        check_up(&wish, &fake).await;
        assert_eq!(fake.writers(), ["main"]);
    });
}

#[test]
fn a_node_that_holds_more_than_main_is_not_taken_back_before_its_data_are_given_up() {
    let (wish, fake) = cluster(Addressing::Static);
    run(async {
        fake.write_alone("main", "acknowledged to nobody");
        fake.stop("main");
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let request =
            failover::Request { operation: "mgctl failover 1".into(), ..failover::Request::default() };
        let failover::Decision::Go(begun) = failover::decide(&wish.topology, &seen, &request).unwrap() else {
            panic!("nothing to do")
        };
        failover::run(&execution(&wish, &fake), &begun).await.unwrap();
        fake.write_on("rep1", "after");
        let error = bring_back(&wish, &fake, "main", None).await.unwrap_err();
        assert_eq!(error.problem().code, Some("MG042"), "{error}");
        assert!(error.to_string().contains("mgctl rejoin main --wipe"), "{error}");
        assert!(fake.logs()[0].contains(&"acknowledged to nobody".to_owned()), "its data were cut");
        assert_eq!(fake.writers(), ["rep1"]);

        let wipe = Wipe { save_to: Some("saved.tar".into()) };
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let plan = rejoin(&wish.topology, &seen, "main", "rep1", Some(&wipe), false).unwrap();
        let ids: Vec<&str> = plan.steps.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids[..3], ["stop:main", "save:main", "remove:main"]);
        bring_back(&wish, &fake, "main", Some(&wipe)).await.unwrap();
        check_up(&wish, &fake).await;
        assert_eq!((fake.writers(), fake.fenced()), (vec!["rep1".to_owned()], vec![]));
    });
}

#[test]
fn main_itself_does_not_rejoin() {
    let (wish, fake) = cluster(Addressing::Static);
    let error = run(bring_back(&wish, &fake, "main", None)).unwrap_err();
    assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG046")));
}

#[test]
fn a_mode_is_changed_by_registering_anew_and_never_mixed() {
    let (wish, fake) = cluster(Addressing::Static);
    run(async {
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let of = |name: &str, mode| set_mode(&wish.topology, &seen, name, "main", mode);
        assert!(of("rep1", Mode::Sync).unwrap().steps.is_empty());
        assert_eq!(of("rep2", Mode::StrictSync).unwrap_err().problem().code, Some("MG012"));
        assert_eq!(of("main", Mode::Sync).unwrap_err().problem().code, Some("MG046"));
        assert_eq!(of("nobody", Mode::Sync).unwrap_err().exit(), Exit::NotFound);
        let plan = of("rep2", Mode::Sync).unwrap();
        assert!(plan.notes[0].contains("instances.rep2.mode"), "{:?}", plan.notes);
        execute(&execution(&wish, &fake), &plan).await.unwrap();
        assert_eq!(
            fake.take_sent(),
            ["main: DROP REPLICA REP2;", "main: REGISTER REPLICA REP2 SYNC TO \"172.28.37.13:10000\";"]
        );
    });
}

#[test]
fn the_mode_of_a_replica_that_does_not_answer_is_not_changed_although_main_calls_it_ready() {
    let (wish, fake) = cluster(Addressing::Static);
    run(async {
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let ended = MachineState::Exited { code: Some(137), out_of_memory: false };
        for (view, state, says) in [
            (None, ended, "it does not run: exited (137)"),
            (
                Some(NodeView::Silent("no answer".into())),
                MachineState::Running,
                "it does not answer: no answer",
            ),
        ] {
            let mut seen = seen.clone();
            seen.nodes.remove("rep2");
            seen.nodes.extend(view.map(|v| ("rep2".to_owned(), v)));
            seen.existing.machines.get_mut("rep2").unwrap().state = state;
            let error = set_mode(&wish.topology, &seen, "rep2", "main", Mode::Sync).unwrap_err();
            assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG046")));
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.to_string().contains("`rep2` stays ASYNC"), "{error}");
        }
    });
}

#[test]
fn a_replica_of_another_cluster_is_released_before_it_is_registered() {
    let wish = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&wish.topology);
    run(async {
        up(&wish, &fake).await.unwrap();
        let mut seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        for (name, is_released) in [("main", false), ("other", true)] {
            for (node, cluster) in [("main", "main"), ("rep1", name)] {
                let Some(NodeView::Answered(facts)) = seen.nodes.get_mut(node) else { panic!("it answers") };
                facts.position.as_mut().unwrap().cluster = Some(cluster.to_owned());
            }
            let plan = rejoin(&wish.topology, &seen, "rep1", "main", None, false).unwrap();
            let text = plan.to_string();
            assert_eq!(text.contains("rep1: RELEASE REPLICATION MAIN;"), is_released, "{text}");
            let register = plan.steps.iter().find(|s| s.id.starts_with("register:")).unwrap();
            assert_eq!(register.needs.contains(&"release:rep1".to_owned()), is_released, "{text}");
        }
    });
}
