//! How MAIN waits for each node while it is a REPLICA.
//!
//! The file says it to begin with, and `up` makes it so. Whatever moves MAIN, brings a node back or puts roles in
//! order keeps what is in force in the cluster, which `set-mode` may have changed since: first what MAIN's list says,
//! then what the replica itself was told by its MAIN, then the file. MAIN is no REPLICA, and has no mode in force:
//! where it becomes one it has the file's, unless that would mix SYNC with STRICT_SYNC.

use super::observed::{NodeFacts, NodeView, Observed};
use crate::topology::{Instance, Mode, Role, Topology};
use std::collections::BTreeMap;

/// The mode of each node as a REPLICA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modes(BTreeMap<String, Mode>);

impl Modes {
    /// Returns those of the file.
    pub fn of_file(topology: &Topology) -> Modes {
        Modes(topology.instances.iter().map(|i| (i.name.clone(), i.mode)).collect())
    }

    /// Returns those in force at `main`, where it is known who that is; of nodes that have none, those of the file.
    pub fn in_force(topology: &Topology, seen: &Observed, main: Option<&str>) -> Modes {
        let facts = |name: &str| seen.nodes.get(name).and_then(NodeView::facts);
        let is_over = |name: &str, facts: &NodeFacts| {
            seen.existing.machines.get(name).is_some_and(|m| m.is_fenced)
                || facts.position.as_ref().is_some_and(|p| p.is_fenced())
        };
        // The MAIN that others follow; of several the one that reigns in the highest epoch.
        let rows = topology
            .instances
            .iter()
            .filter_map(|i| Some((i, facts(&i.name)?)))
            .filter(|(i, f)| f.role == Role::Main && !f.replicas.is_empty() && !is_over(&i.name, f))
            .filter(|(i, _)| main.is_none_or(|main| i.name == main))
            .max_by_key(|(_, f)| f.position.as_ref().map(|p| p.order()))
            .map_or(&[][..], |(_, f)| &f.replicas);
        let in_force = |instance: &Instance| {
            let own = facts(&instance.name).filter(|f| f.role == Role::Replica);
            let row = rows.iter().find(|r| r.name == instance.register_as);
            row.and_then(|r| r.mode).or_else(|| own?.position.as_ref()?.mode)
        };
        let known: Vec<(&Instance, Option<Mode>)> =
            topology.instances.iter().map(|i| (i, in_force(i))).collect();
        let is_used = |mode: Mode| known.iter().any(|(_, found)| *found == Some(mode));
        let of_file = |instance: &Instance| match instance.mode {
            Mode::Sync if is_used(Mode::StrictSync) => Mode::StrictSync,
            Mode::StrictSync if is_used(Mode::Sync) => Mode::Sync,
            mode => mode,
        };
        let modes = known.iter().map(|(i, found)| (i.name.clone(), found.unwrap_or_else(|| of_file(i))));
        Modes(modes.collect())
    }

    /// Returns the mode of a node.
    pub fn of(&self, instance: &Instance) -> Mode {
        self.0.get(&instance.name).copied().unwrap_or(instance.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::super::failover::{self, Request};
    use super::super::fake::Fake;
    use super::super::promote::{self, Decision};
    use super::super::repair::{rejoin, repair, set_mode};
    use super::super::tests::{execution, run, topology, up, wish};
    use super::super::{Wish, execute, observe};
    use super::*;

    /// The quickstart with modes that are not its file's.
    async fn changed(modes: &[(&str, Mode)]) -> (Wish, Fake) {
        let wish = wish(&topology("quickstart.yaml"));
        let fake = Fake::new(&wish.topology);
        up(&wish, &fake).await.unwrap();
        for (name, mode) in modes {
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            let plan = set_mode(&wish.topology, &seen, name, "main", *mode).unwrap();
            execute(&execution(&wish, &fake), &plan).await.unwrap();
        }
        (wish, fake)
    }

    async fn modes(wish: &Wish, fake: &Fake, main: &str) -> Vec<(String, Mode)> {
        let seen = observe(&wish.topology, fake, fake).await.unwrap();
        let rows = &seen.nodes[main].facts().unwrap().replicas;
        let mut found: Vec<_> = rows.iter().map(|r| (r.name.clone(), r.mode.unwrap())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    fn of(modes: &[(&str, Mode)]) -> Vec<(String, Mode)> {
        modes.iter().map(|(name, mode)| ((*name).to_owned(), *mode)).collect()
    }

    async fn switch(wish: &Wish, fake: &Fake, name: &str) {
        let seen = observe(&wish.topology, fake, fake).await.unwrap();
        let Decision::Switch(switch) = promote::decide(&wish.topology, &seen, name).unwrap() else {
            panic!("{name} is MAIN")
        };
        let done = promote::switch(&execution(wish, fake), &switch).await.unwrap();
        assert!(done.left.is_empty(), "{:?}", done.left);
    }

    #[test]
    fn a_switchover_keeps_the_modes_in_force_and_up_makes_them_the_files() {
        run(async {
            let (wish, fake) = changed(&[("rep2", Mode::Sync)]).await;
            switch(&wish, &fake, "rep1").await;
            assert_eq!(modes(&wish, &fake, "rep1").await, of(&[("REP2", Mode::Sync), ("main", Mode::Sync)]));
            up(&wish, &fake).await.unwrap();
            assert_eq!(modes(&wish, &fake, "rep1").await, of(&[("REP2", Mode::Async), ("main", Mode::Sync)]));
        });
    }

    #[test]
    fn a_switchover_that_is_taken_back_keeps_them_too() {
        run(async {
            let (wish, fake) = changed(&[("rep2", Mode::Sync)]).await;
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            let Decision::Switch(switch) = promote::decide(&wish.topology, &seen, "rep1").unwrap() else {
                panic!("rep1 is MAIN")
            };
            fake.fail_once("SET REPLICATION ROLE TO MAIN", false);
            promote::switch(&execution(&wish, &fake), &switch).await.unwrap_err();
            assert_eq!(fake.writers(), ["main"]);
            assert_eq!(modes(&wish, &fake, "main").await, of(&[("REP1", Mode::Sync), ("REP2", Mode::Sync)]));
        });
    }

    #[test]
    fn the_old_main_becomes_no_sync_replica_beside_a_strict_one() {
        run(async {
            let (wish, fake) = changed(&[("rep1", Mode::Async), ("rep2", Mode::StrictSync)]).await;
            switch(&wish, &fake, "rep2").await;
            assert_eq!(
                modes(&wish, &fake, "rep2").await,
                of(&[("REP1", Mode::Async), ("main", Mode::StrictSync)])
            );
        });
    }

    #[test]
    fn a_failover_keeps_what_the_replicas_were_told_by_the_main_that_is_gone() {
        run(async {
            let (wish, fake) = changed(&[("rep2", Mode::Sync)]).await;
            fake.tell_modes();
            fake.stop("main");
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            let request = Request {
                operation: format!("{}1", failover::OPERATION),
                candidate: Some("rep1".into()),
                ..Request::default()
            };
            let failover::Decision::Go(plan) = failover::decide(&wish.topology, &seen, &request).unwrap()
            else {
                panic!("nothing to do")
            };
            let done = failover::run(&execution(&wish, &fake), &plan).await.unwrap();
            assert!(done.left.is_empty(), "{:?}", done.left);
            assert_eq!(modes(&wish, &fake, "rep1").await, of(&[("REP2", Mode::Sync)]));
        });
    }

    #[test]
    fn who_rejoins_and_who_is_repaired_keeps_its_mode() {
        run(async {
            let (wish, fake) = changed(&[("rep2", Mode::Sync)]).await;
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            let plan = repair(&wish.topology, &seen, None);
            assert!(plan.is_done(), "{plan}");
            let plan = rejoin(&wish.topology, &seen, "rep2", "main", None, false).unwrap().to_string();
            assert!(plan.contains("REGISTER REPLICA REP2 SYNC"), "{plan}");
        });
    }
}
