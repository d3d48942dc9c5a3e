//! That nodes which the file no longer names are told, and removed only when that was asked for, and never as MAIN.

use super::fake::Fake;
use super::reconcile::main_is_orphan;
use super::tests::{check_up, execution, run, topology, up, wish};
use super::*;
use crate::error::Exit;
use crate::topology::{Role, Until};
use std::collections::BTreeMap;

/// The quickstart, up; then with a file that has lost one of its nodes.
async fn without(name: &str) -> (Wish, Wish, Fake) {
    let whole = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&whole.topology);
    up(&whole, &fake).await.unwrap();
    let mut less = Wish { init: Vec::new(), ..whole.clone() };
    less.topology.instances.retain(|i| i.name != name);
    if less.topology.instances.iter().all(|i| i.role != Role::Main) {
        less.topology.instances[0].role = Role::Main;
    }
    fake.take_sent();
    (whole, less, fake)
}

/// Asked for with what is there now, as `up` does before the cluster is claimed.
async fn removing(wish: &Wish, fake: &Fake, volumes: bool) -> Wish {
    let seen = observe(&wish.topology, fake, fake).await.unwrap();
    asked_at(wish, &seen, volumes)
}

fn asked_at(wish: &Wish, seen: &Observed, volumes: bool) -> Wish {
    let options = Options { remove_orphans: true, ..wish.options };
    Wish { options, leaving: leaving_orphans(&wish.topology, seen, volumes), ..wish.clone() }
}

async fn plan(wish: &Wish, fake: &Fake) -> Plan {
    reconcile(wish, &observe(&wish.topology, fake, fake).await.unwrap())
}

#[test]
fn an_orphan_is_told_and_stays() {
    run(async {
        let (_, wish, fake) = without("rep2").await;
        let ids = fake.machine_ids();
        let plan = plan(&wish, &fake).await;
        assert!(plan.is_done(), "{plan}");
        assert!(plan.notes[0].starts_with("rep2: is in this cluster and not in the file"), "{plan}");
        assert!(!up(&wish, &fake).await.unwrap());
        assert_eq!((fake.machine_ids(), fake.take_sent()), (ids, vec![]));
    });
}

#[test]
fn it_is_dropped_before_it_is_stopped_and_its_data_stay_unless_that_was_asked_for() {
    run(async {
        for volumes in [false, true] {
            let (_, wish, fake) = without("rep2").await;
            let wish = removing(&wish, &fake, volumes).await;
            let text = plan(&wish, &fake).await.to_string();
            let volume = "mgctl-quickstart-rep2-data";
            let wipe = format!("wipe:rep2: remove volume {volume}  [after remove:rep2]  (--volumes)\n");
            let steps = "drop:REP2: main: DROP REPLICA REP2;  (`rep2` is not in the file)\n\
                         stop:rep2: stop rep2  [after drop:REP2]  (it is not in the file)\n\
                         remove:rep2: remove rep2  [after stop:rep2]  (it is not in the file)\n";
            assert_eq!(text, format!("{steps}{}", if volumes { wipe } else { String::new() }));
            up(&wish, &fake).await.unwrap();
            assert_eq!(fake.machine_ids().len(), 2);
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            assert_eq!(seen.existing.volumes.contains(volume), !volumes);
            assert!(!up(&wish, &fake).await.unwrap(), "something was left");
        }
    });
}

#[test]
fn a_main_that_the_file_does_not_name_is_neither_replaced_nor_removed() {
    run(async {
        for wanted in [false, true] {
            let (whole, wish, fake) = without("main").await;
            let wish = if wanted { removing(&wish, &fake, true).await } else { wish };
            let error = up(&wish, &fake).await.unwrap_err();
            assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG045")), "{error}");
            assert!(error.to_string().contains("mgctl -c quickstart promote rep1"), "{error}");
            assert_eq!((fake.writers(), fake.take_sent()), (vec!["main".to_owned()], vec![]));

            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            let codes = |seen: &Observed| {
                let code = |error: CliError| error.problem().code.unwrap_or_default().to_owned();
                let repair = repair::repair(&wish.topology, seen, None).refusal.map(code);
                (repair, promote::decide(&wish.topology, seen, "rep1").map_err(code).err())
            };
            assert_eq!(codes(&seen), (Some("MG045".into()), Some("MG045".into())));
            let request = failover::Request { operation: "mgctl failover 1".into(), ..Default::default() };
            let error = failover::decide(&wish.topology, &seen, &request).unwrap_err();
            assert_eq!(error.problem().code, Some("MG045"), "{error}");

            // Down, it could still be it: nobody is promoted beside it, and a failover ends it for good.
            fake.stop("main");
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            assert_eq!(codes(&seen), (Some("MG044".into()), Some("MG044".into())));
            let Ok(failover::Decision::Go(go)) = failover::decide(&wish.topology, &seen, &request) else {
                panic!("nothing to do")
            };
            assert!(go.plan.to_string().contains("kill:main: kill main"), "{}", go.plan);
            let error = up(&wish, &fake).await.unwrap_err();
            assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG044")), "{error}");
            assert_eq!((fake.machine_ids().len(), fake.take_sent()), (3, vec![]));

            // Once MAIN has moved it is an orphan like others.
            up(&whole, &fake).await.unwrap();
            let seen = observe(&whole.topology, &fake, &fake).await.unwrap();
            let promote::Decision::Switch(switch) = promote::decide(&whole.topology, &seen, "rep1").unwrap()
            else {
                panic!("rep1 is MAIN")
            };
            promote::switch(&execution(&whole, &fake), &switch).await.unwrap();
            up(&removing(&wish, &fake, false).await, &fake).await.unwrap();
            assert_eq!((fake.machine_ids().len(), fake.writers()), (2, vec!["rep1".to_owned()]));
        }
    });
}

/// A file of two nodes that do not exist, in a cluster whose one node, MAIN with data, is not in it.
async fn all_new() -> (Wish, Fake) {
    let whole = wish(&topology("quickstart.yaml"));
    let fake = Fake::new(&whole.topology);
    let mut before = whole.clone();
    before.topology.instances.retain(|i| i.name == "main");
    up(&before, &fake).await.unwrap();
    fake.write_on("main", "city");
    let mut after = Wish { init: Vec::new(), ..whole };
    after.topology.instances.retain(|i| i.name != "main");
    after.topology.instances[0].role = Role::Main;
    fake.take_sent();
    (after, fake)
}

#[test]
fn no_empty_main_begins_beside_a_node_that_may_hold_the_data() {
    run(async {
        for until in [Until::Started, Until::Bolt, Until::Redundant] {
            for removes in [false, true] {
                let (mut wish, fake) = all_new().await;
                wish.topology.wait.until = until;
                let wish = if removes { removing(&wish, &fake, true).await } else { wish };
                fake.stop("main");
                let error = up(&wish, &fake).await.unwrap_err();
                assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG044")), "{error}");
                assert!(error.to_string().contains("mgctl -c quickstart start main"), "{error}");
                let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
                assert_eq!((fake.machine_ids().len(), seen.existing.volumes.len()), (1, 1));

                // As a REPLICA it is still the only one that holds them.
                up(&Wish { topology: alone("main"), ..wish.clone() }, &fake).await.unwrap();
                fake.make_replica("main");
                let error = up(&wish, &fake).await.unwrap_err();
                assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG044")), "{error}");
                assert_eq!(fake.machine_ids().len(), 1);
            }
        }
    });
}

/// The quickstart with one node alone.
fn alone(name: &str) -> crate::topology::Topology {
    let mut alone = topology("quickstart.yaml");
    alone.instances.retain(|i| i.name == name);
    alone
}

#[test]
fn a_silent_orphan_is_removed_only_where_it_is_a_replica_of_a_main_that_is_followed() {
    run(async {
        let (_, wish, fake) = without("rep2").await;
        fake.hang("rep2");
        let text = plan(&removing(&wish, &fake, true).await, &fake).await.to_string();
        assert!(text.contains("wipe:rep2"), "{text}");

        // MAIN does not list it: it may be anything.
        fake.drop_at("main", "REP2");
        let text = plan(&removing(&wish, &fake, true).await, &fake).await.to_string();
        assert!(
            text.starts_with("note: rep2: is not in the file, and is not removed: it does not"),
            "{text}"
        );

        // Nobody follows this MAIN: another may have replaced it.
        let (_, wish, fake) = without("rep2").await;
        fake.hang("rep1");
        fake.hang("rep2");
        let text = plan(&removing(&wish, &fake, true).await, &fake).await.to_string();
        assert!(!text.contains("remove:rep2") && !text.contains("drop:REP2"), "{text}");
        for told in
            ["nobody follows `main`", "mgctl -c quickstart start rep2", "mgctl -c quickstart remove rep2"]
        {
            assert!(text.contains(told), "{text}");
        }
    });
}

#[test]
fn data_that_nobody_was_asked_about_or_that_another_has_stay() {
    run(async {
        let (_, wish, fake) = without("rep2").await;
        let volume = "mgctl-quickstart-rep2-data".to_owned();
        let mut other = removing(&wish, &fake, true).await;
        assert_eq!(other.leaving, BTreeMap::from([("rep2".to_owned(), Some(volume))]));
        other.leaving.insert("rep2".into(), Some("of-another-node".into()));
        let text = plan(&other, &fake).await.to_string();
        assert!(text.contains("remove:rep2") && !text.contains("wipe:rep2"), "{text}");

        // As it stands it is kept: the question does not name it, and it stays although it could go then.
        fake.hang("rep2");
        fake.drop_at("main", "REP2");
        let wish_then = removing(&wish, &fake, true).await;
        assert!(wish_then.leaving.is_empty());
        let (_, _, fake) = without("rep2").await;
        let plan = plan(&wish_then, &fake).await;
        assert!(plan.steps.is_empty() && plan.notes[0].ends_with("run mgctl up again"), "{plan}");

        // A node of the file goes on with the same volume under another name.
        let (_, mut wish, fake) = without("rep2").await;
        wish.topology.instances[1].data = crate::topology::Data::Volume("mgctl-quickstart-rep2-data".into());
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        assert_eq!(orphans(&wish.topology, &seen).map(|orphan| orphan.volume).collect::<Vec<_>>(), [None]);
    });
}

#[test]
fn a_node_that_somebody_adds_after_the_question_stays_with_its_data() {
    run(async {
        for volumes in [false, true] {
            for until in [Until::Started, Until::Registered, Until::Redundant] {
                let (whole, mut wish, fake) = without("rep2").await;
                wish.topology.wait.until = until;
                // Asked while it is not there yet, then added by somebody else.
                up(&removing(&wish, &fake, true).await, &fake).await.unwrap();
                let asked = removing(&wish, &fake, volumes).await;
                up(&Wish { init: Vec::new(), ..whole.clone() }, &fake).await.unwrap();
                check_up(&whole, &fake).await;
                fake.take_sent();
                assert!(!up(&asked, &fake).await.unwrap(), "something was done");
                let plan = plan(&asked, &fake).await;
                let told =
                    "rep2: is not in the file, and is not removed: it was not there, or was to be kept";
                assert!(plan.notes.iter().any(|note| note.starts_with(told)), "{plan}");
                assert_eq!((fake.machine_ids().len(), fake.take_sent()), (3, vec![]));
                check_up(&whole, &fake).await;
            }
        }
    });
}

#[test]
fn what_main_may_know_under_another_name_is_let_go_before_it_is_removed() {
    run(async {
        let (_, wish, fake) = without("rep2").await;
        fake.drop_at("main", "REP2");
        fake.register_at("main", "OTHER", "172.28.37.13:10000");
        let mut seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        seen.nodes.remove("rep2");
        let machine = seen.existing.machines.get_mut("rep2").unwrap();
        (machine.state, machine.address) =
            (MachineState::Exited { code: Some(137), out_of_memory: false }, None);
        machine.is_fenced = true;
        let plan = reconcile(&asked_at(&wish, &seen, true), &seen);
        let told = "rep2: is not in the file, and is not removed: `main` lists `OTHER` at 172.28.37.13:10000";
        assert!(plan.notes.iter().any(|note| note.starts_with(told)), "{plan}");
        assert!(plan.to_string().contains("mgctl -c quickstart unregister OTHER"), "{plan}");
        assert!(plan.steps.is_empty(), "{plan}");

        // Where it is known that the row is another node's, or the node's own, it goes.
        let row = |seen: &mut Observed, name: &str, address: &str| {
            let Some(NodeView::Answered(main)) = seen.nodes.get_mut("main") else { panic!("no MAIN") };
            let row = main.replicas.iter_mut().find(|r| r.name == "OTHER" || r.name == "REP2").unwrap();
            (row.name, row.address) = (name.into(), address.into());
        };
        row(&mut seen, "REP2", "172.28.37.13:10000");
        let text = reconcile(&asked_at(&wish, &seen, true), &seen).to_string();
        assert!(text.contains("drop:REP2") && text.contains("remove:rep2"), "{text}");
        row(&mut seen, "OTHER", "172.28.37.12:10000");
        let text = reconcile(&asked_at(&wish, &seen, true), &seen).to_string();
        assert!(text.contains("remove:rep2"), "{text}");
    });
}

#[test]
fn the_main_of_a_later_failover_is_not_removed() {
    run(async {
        let (_, wish, fake) = without("rep2").await;
        fake.make_main("rep2");
        fake.write_alone("rep2", "of the later reign");
        for until in [Until::Started, Until::Redundant] {
            let mut wish = removing(&wish, &fake, true).await;
            wish.topology.wait.until = until;
            let error = up(&wish, &fake).await.unwrap_err();
            assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG045")), "{error}");
        }
        // The list of the MAIN that it replaced has nobody who follows: it is no proof that it reigns.
        fake.hang("rep1");
        let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
        let refusal = main_is_orphan(&wish.topology, &seen).unwrap();
        assert!(refusal.to_string().contains("`rep2` is MAIN"), "{refusal}");
        assert_eq!((fake.machine_ids().len(), fake.take_sent()), (3, vec![]));
    });
}

#[test]
fn main_lets_an_orphan_go_however_little_is_waited_for_and_under_whatever_name() {
    run(async {
        for until in [Until::Started, Until::Bolt, Until::Registered] {
            for name in ["REP2", "OTHER"] {
                let (_, wish, fake) = without("rep2").await;
                let mut wish = removing(&wish, &fake, false).await;
                wish.topology.wait.until = until;
                if name == "OTHER" {
                    fake.drop_at("main", "REP2");
                    fake.register_at("main", name, "172.28.37.13:10000");
                }
                let text = plan(&wish, &fake).await.to_string();
                let drop = format!("drop:{name}: main: DROP REPLICA {name};  (`rep2` is not in the file)\n");
                let stop = format!("stop:rep2: stop rep2  [after drop:{name}]  (it is not in the file)\n");
                assert!(text.starts_with(&format!("{drop}{stop}")), "{text}");
                up(&wish, &fake).await.unwrap();
                assert_eq!(fake.machine_ids().len(), 2);
                assert_eq!(fake.take_sent(), [format!("main: DROP REPLICA {name};")]);
            }
        }
    });
}

#[test]
fn where_the_list_of_main_was_not_read_no_orphan_is_removed() {
    run(async {
        let (_, mut wish, fake) = without("rep2").await;
        wish.topology.wait.until = Until::Started;
        let wish = Wish { anew: Some("main".into()), ..removing(&wish, &fake, true).await };
        let text = plan(&wish, &fake).await.to_string();
        assert!(
            text.contains("note: rep2: is not in the file, and is removed when `main` answers"),
            "{text}"
        );
        assert!(!text.contains("remove:rep2"), "{text}");
    });
}
