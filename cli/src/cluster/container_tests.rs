//! Plans for clusters whose file says how containers are kept and where files are.

use super::fake::Fake;
use super::tests::{check_up, run, up, wish};
use super::*;
use crate::error::Exit;
use crate::topology::{Image, Source, Topology, load};

fn topology(more: &str) -> Topology {
    let text = format!(
        "name: kept\n{more}\ninstances:\n  main: {{ role: main }}\n  r1: {{ role: replica }}\n  r2: {{ role: replica }}\n"
    );
    let source = Source { name: "kept.yaml".into(), directory: ".".into(), text };
    load(&source, &|_| None).unwrap_or_else(|problems| panic!("{more}: {problems:#?}")).topology
}

/// Returns the causes for which `main` is made anew.
fn causes(was: &Topology, wanted: &Topology) -> Vec<String> {
    let of = |topology: &Topology| Spec::parse(&Spec::of(topology, topology.main()).to_text()).unwrap();
    let drift = of(was).drift(&of(wanted));
    drift.into_iter().map(|d| format!("{} {} → {}", d.field, d.was, d.wanted)).collect()
}

#[test]
fn what_changed_about_a_container_is_told_field_by_field() {
    let plain = topology("");
    let wanted = topology(
        "defaults:\n  restart: always\n  stop_grace_period: 1m\n  memory: 512MiB\n  cpus: 1.5\n  \
         logging: { max_size: 20m }\n  ulimits: { nofile: 65536, core: { soft: 0, hard: -1 } }\n  \
         labels: { team: graph }\n  healthcheck: { test: [CMD, /mgctl, version], interval: 5s }",
    );
    let changes = [
        "memory none → 512MiB",
        "cpus none → 1.5",
        "restart unless-stopped → always",
        "stop_grace_period 30s → 1m",
        "healthcheck.interval none → 5s",
        "healthcheck.test none → CMD /mgctl version",
        "logging.max-size 10MiB → 20MiB",
        "ulimits.core none → 0:-1",
        "ulimits.nofile none → 65536",
        "labels.team none → graph",
    ];
    assert_eq!(causes(&plain, &wanted), changes);
    assert_eq!(causes(&wanted, &wanted), [""; 0]);

    let fake = Fake::new(&plain);
    run(async {
        up(&wish(&plain), &fake).await.unwrap();
        let plan = reconcile(&wish(&wanted), &observe(&wanted, &fake, &fake).await.unwrap()).to_string();
        let line = format!("create:r1: create r1  [after remove:r1]  ({})", changes.join(", "));
        assert!(plan.contains(&line), "{plan}");
        up(&wish(&wanted), &fake).await.unwrap();
        check_up(&wish(&wanted), &fake).await;
    });
}

#[test]
fn a_container_of_an_earlier_mgctl_is_one_that_was_kept_as_that_did() {
    let plain = topology("");
    let label = Spec::of(&plain, plain.main()).to_text();
    let mut fields: serde_json::Map<String, Value> = serde_json::from_str(&label).unwrap();
    for known_since in
        ["restart", "stop_grace_period", "healthcheck", "logging", "ulimits", "labels", "ports", "volumes"]
    {
        assert!(fields.remove(known_since).is_some(), "{known_since}");
    }
    let earlier = Spec::parse(&Value::Object(fields).to_string()).unwrap();
    assert_eq!(earlier.drift(&Spec::of(&plain, plain.main())), []);
    let wanted = topology("defaults: { ulimits: { nofile: 9 } }");
    let drift = earlier.drift(&Spec::of(&wanted, wanted.main()));
    assert_eq!(drift.iter().map(|d| d.field.as_str()).collect::<Vec<_>>(), ["ulimits.nofile"]);
    assert_eq!(earlier.stop_grace(), std::time::Duration::from_secs(30));
}

#[test]
fn how_mgctl_itself_probes_makes_no_container_anew() {
    let probed =
        topology("defaults: { healthcheck: { interval: 1s, retries: 9, start_period: 5s }, pull: always }");
    assert_eq!(causes(&topology(""), &probed), [""; 0]);
}

#[test]
fn a_node_that_fails_its_probes_is_given_up_before_the_wait_is_over() {
    let probed = topology("defaults: { healthcheck: { interval: 1ms, retries: 3 } }");
    let fake = Fake::new(&probed);
    fake.silence("r1");
    let error = run(up(&wish(&probed), &fake)).unwrap_err();
    assert_eq!((error.exit(), error.problem().code), (Exit::TimedOut, Some("MG073")));
    assert_eq!(error.problem().what, "`r1` did not answer to 3 probes in a row");
}

#[test]
fn images_are_pulled_as_the_file_says() {
    let of = |pull: &str| topology(&format!("image: memgraph/memgraph:3.5.1\ndefaults: {{ pull: {pull} }}"));
    let seen = |images: &[&str]| Observed {
        existing: Existing {
            images: images.iter().map(|i| (*i).to_owned()).collect(),
            ..Existing::default()
        },
        ..Observed::default()
    };
    let pulls = |pull: &str, images: &[&str]| {
        let plan = reconcile(&wish(&of(pull)), &seen(images));
        let loads = |s: &&Step| matches!(&s.action, Action::LoadImage(Image::Named(_)));
        (plan.steps.iter().find(loads).map(|s| s.cause.clone()), plan.refusal)
    };
    let name = "memgraph/memgraph:3.5.1";
    assert_eq!(pulls("missing", &[]), (Some("the engine does not have it".to_owned()), None));
    assert_eq!(pulls("missing", &[name]), (None, None));
    assert_eq!(pulls("always", &[name]), (Some("`pull: always`".to_owned()), None));
    assert_eq!(pulls("never", &[name]), (None, None));
    let (step, refusal) = pulls("never", &[]);
    assert_eq!(step, None);
    let refusal = refusal.expect("nothing can be made of it");
    assert_eq!(refusal.problem().code, Some("MG062"));
    assert!(refusal.to_string().contains("--> kept.yaml:5:3"), "{refusal}");

    // Once there are containers, nothing is left to pull for.
    let always = of("always");
    let fake = Fake::memgraph(&always);
    run(async {
        up(&wish(&always), &fake).await.unwrap();
        assert!(!up(&wish(&always), &fake).await.unwrap());
    });
}

#[test]
fn data_in_a_folder_are_neither_made_nor_emptied() {
    let mut folders = topology("");
    for (index, instance) in folders.instances.iter_mut().enumerate() {
        instance.data = crate::topology::Data::of(&format!("/srv/{index}"));
    }
    let fake = Fake::new(&folders);
    run(async {
        let plan = reconcile(&wish(&folders), &Observed::default());
        assert!(!plan.to_string().contains("volume"), "{plan}");
        // What is in a folder is known when the node has read it.
        assert_eq!(plan.steps.last().map(|s| &s.action), Some(&Action::AskNodes), "{plan}");
        up(&wish(&folders), &fake).await.unwrap();
        check_up(&wish(&folders), &fake).await;
        let seen = observe(&folders, &fake, &fake).await.unwrap();
        assert!(seen.existing.volumes.is_empty());
        let wipe = repair::Wipe { save_to: None };
        let error = repair::rejoin(&folders, &seen, "r1", "main", Some(&wipe), false).unwrap_err();
        assert_eq!((error.exit(), error.problem().code), (Exit::Unsafe, Some("MG046")));
        // The labels tell it too.
        let specs: Vec<(String, Spec)> = (folders.instances.iter())
            .map(|i| (i.name.clone(), Spec::parse(&Spec::of(&folders, i).to_text()).unwrap()))
            .collect();
        let rebuilt = rebuild("kept", &specs.iter().map(|(n, s)| (n.clone(), s)).collect()).unwrap();
        assert_eq!(rebuilt.instances[1].data, folders.instances[1].data);
    });
}

#[test]
fn a_network_that_is_there_is_neither_made_nor_changed_nor_removed() {
    let shared = topology("network: { name: shared, external: true }");
    let fake = Fake::new(&shared);
    run(async {
        let plan = reconcile(&wish(&shared), &observe(&shared, &fake, &fake).await.unwrap());
        let refusal = plan.refusal.expect("it is not there");
        assert_eq!((refusal.exit(), refusal.problem().code), (Exit::NotFound, Some("MG065")));
        assert!(plan.steps.iter().all(|s| !matches!(s.action, Action::CreateMachine(_))), "{:?}", plan.steps);

        fake.make_network();
        up(&wish(&shared), &fake).await.unwrap();
        check_up(&wish(&shared), &fake).await;
        // Names find the nodes: its addresses are not mgctl's to give.
        let sent = fake.take_sent();
        assert!(sent.iter().any(|q| q.ends_with("TO \"r1:10000\";")), "{sent:?}");
        let seen = observe(&shared, &fake, &fake).await.unwrap();
        let down = teardown(&seen, &["main".to_owned()], &seen.existing.volumes, "down");
        assert!(down.steps.iter().all(|s| s.action != Action::RemoveNetwork), "{down}");
        let specs: Vec<(String, Spec)> =
            shared.instances.iter().map(|i| (i.name.clone(), Spec::of(&shared, i))).collect();
        let rebuilt = rebuild("kept", &specs.iter().map(|(n, s)| (n.clone(), s)).collect()).unwrap();
        assert!(rebuilt.network.is_external && rebuilt.network.name == "shared");
    });
}

#[test]
fn a_network_that_is_otherwise_than_the_file_says_is_told() {
    let plain = topology("");
    let fake = Fake::new(&plain);
    run(async {
        up(&wish(&plain), &fake).await.unwrap();
        let seen = observe(&plain, &fake, &fake).await.unwrap();
        let wide = topology("network: { driver: overlay, mtu: 1450 }");
        let plan = reconcile(&wish(&wide), &seen);
        assert_eq!(
            plan.notes,
            [
                "network mgctl-kept: driver bridge, the file says overlay; `down` and `up` change it",
                "network mgctl-kept: mtu none, the file says 1450; `down` and `up` change it",
            ]
        );
        assert_eq!(plan.steps, []);
        assert_eq!(reconcile(&wish(&plain), &seen).notes, [""; 0]);
    });
}
