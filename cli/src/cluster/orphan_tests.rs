//! That nodes which the file no longer names are told, and removed only when that was asked for, and never as MAIN.

use super::fake::Fake;
use super::tests::{execution, run, topology, up, wish};
use super::*;
use crate::error::Exit;
use crate::topology::Role;

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

fn removing(wish: &Wish, volumes: bool) -> Wish {
    let options = Options { remove_orphans: true, remove_volumes: volumes, ..wish.options };
    Wish { options, ..wish.clone() }
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
            let wish = removing(&wish, volumes);
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
            let wish = if wanted { removing(&wish, true) } else { wish };
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
            up(&removing(&wish, false), &fake).await.unwrap();
            assert_eq!((fake.machine_ids().len(), fake.writers()), (2, vec!["rep1".to_owned()]));
        }
    });
}
