//! What can be mended without a risk: `doctor --fix`. Pure.
//!
//! A node that has ended or is frozen is started; a certificate that ends soon is renewed; a REPLICA that MAIN does not
//! know, or knows under an old address, is registered. Each of these can be undone, and none moves a role, cuts a log,
//! drops what is not registered again, or touches data. What else is wrong is left to a person.

use super::observed::{MachineState, Observed};
use super::plan::{Action, Plan, StepId};
use super::reconcile::ends_with_its_file;
use super::repair::repair;
use crate::authority::{Leaf, offered, print, show_seconds_left};
use crate::topology::Topology;
use std::collections::BTreeSet;

/// Returns the steps that mend what can be mended without a risk now; a node that starts shows more. The notes say what is
/// left.
pub fn fixes(topology: &Topology, seen: &Observed) -> Plan {
    let mut plan = Plan::default();
    if !topology.is_external() {
        plan_starts(topology, seen, &mut plan);
        plan_certificates(topology, seen, &mut plan);
    }
    // Who is to be registered where is known when all answer.
    let starting: Vec<StepId> = plan
        .steps
        .iter()
        .filter(|s| matches!(s.action, Action::AwaitBolt(_)))
        .map(|s| s.id.clone())
        .collect();
    if !starting.is_empty() {
        plan.push("ask", &starting, Action::AskNodes, "what is to be registered is known when they answer");
        return plan;
    }
    let roles = repair(topology, seen, None);
    let registered = registered(&roles);
    let is_registered_anew = |name: &String| {
        roles.steps.iter().any(|s| matches!(&s.action, Action::Register { name: other, .. } if other == name))
    };
    let is_safe = |action: &Action| match action {
        Action::Register { name, .. } | Action::Drop { name, .. } => registered.contains(name),
        Action::AwaitLevel { name, .. } => registered.contains(name),
        _ => false,
    };
    // A replica that is merely behind comes by itself: there is nothing to mend.
    let is_catching_up =
        |action: &Action| matches!(action, Action::AwaitLevel { name, .. } if !is_registered_anew(name));
    for step in roles.steps.iter().filter(|s| !is_catching_up(&s.action)) {
        match is_safe(&step.action) {
            true => plan.push(step.id.clone(), &step.needs, step.action.clone(), step.cause.clone()),
            false => plan.notes.push(format!("{} ({}): mgctl repair does it", step.action, step.cause)),
        }
    }
    if let Some(refusal) = roles.refusal {
        let problem = refusal.problem();
        let help = problem.help.first().map_or(String::new(), |help| format!(": {help}"));
        plan.notes.push(format!("{}{help}", problem.what));
    }
    plan
}

/// Returns the names whose registration is all that is to be done for them: no role has to change before, and nothing has to
/// be dropped that is not registered again.
fn registered(roles: &Plan) -> BTreeSet<String> {
    let of = |action: &Action| match action {
        Action::Register { name, .. } => Some(name.clone()),
        _ => None,
    };
    let names: BTreeSet<String> = roles.steps.iter().filter_map(|s| of(&s.action)).collect();
    let is_risk = |id: &StepId| {
        roles.steps.iter().filter(|s| s.id == *id).any(|s| match &s.action {
            Action::Register { .. } | Action::AwaitLevel { .. } => false,
            Action::Drop { name, .. } => !names.contains(name),
            _ => true,
        })
    };
    let without_risk = roles.steps.iter().filter(|s| !s.needs.iter().any(is_risk));
    without_risk.filter_map(|s| of(&s.action)).collect()
}

fn plan_starts(topology: &Topology, seen: &Observed, plan: &mut Plan) {
    for instance in &topology.instances {
        let name = &instance.name;
        let Some(machine) = seen.existing.machines.get(name) else {
            plan.notes.push(format!("{name} does not exist: mgctl up makes it"));
            continue;
        };
        let action = match machine.state {
            MachineState::Paused => Action::UnpauseMachine(name.clone()),
            MachineState::Created | MachineState::Exited { .. } => Action::StartMachine(name.clone()),
            MachineState::Starting
            | MachineState::Running
            | MachineState::Restarting
            | MachineState::Elsewhere
            | MachineState::Lost { .. } => continue,
        };
        if machine.is_fenced {
            plan.notes.push(format!("{name} was fenced by a failover: mgctl rejoin {name}"));
            continue;
        }
        let start: StepId = format!("start:{name}");
        plan.push(start.clone(), &[], action, format!("it is {}", machine.state));
        plan.push(format!("bolt:{name}"), &[start], Action::AwaitBolt(name.clone()), "it starts");
    }
}

fn plan_certificates(topology: &Topology, seen: &Observed, plan: &mut Plan) {
    let existing = &seen.existing;
    if !topology.cluster_tls || topology.tls_files.is_none() && !existing.has_authority {
        return;
    }
    for (name, held) in existing.certificates.iter().filter(|(_, held)| held.ends_soon()) {
        let is_here = topology.instance(name).is_some() && existing.machines.contains_key(name);
        if is_here {
            let cause = format!("its certificate {}", show_seconds_left(held.seconds_left));
            let is_other = |leaf: Leaf| print(&leaf.certificate, &leaf.authority) != held.print;
            if let Some(note) = ends_with_its_file(topology, existing, name)
                && !offered(topology, name).is_some_and(is_other)
            {
                plan.notes.push(note);
                continue;
            }
            if topology.is_swarm() {
                plan.notes
                    .push(format!("{name}: {cause}; mgctl up renews it, and starts the node anew for it"));
                continue;
            }
            plan.push(format!("certificate:{name}"), &[], Action::IssueCertificate(name.clone()), cause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::tests::{check_up, execution, run, topology, up, wish};
    use super::super::{NodeView, Wish, execute, observe};
    use super::*;

    async fn cluster() -> (Wish, Fake) {
        let wish = wish(&topology("quickstart.yaml"));
        let fake = Fake::new(&wish.topology);
        up(&wish, &fake).await.unwrap();
        fake.take_sent();
        (wish, fake)
    }

    async fn plan(wish: &Wish, fake: &Fake) -> Plan {
        fixes(&wish.topology, &observe(&wish.topology, fake, fake).await.unwrap())
    }

    /// Mends until nothing is left to mend, and returns what is left to a person.
    async fn fix(wish: &Wish, fake: &Fake) -> Vec<String> {
        for _ in 0..4 {
            let plan = plan(wish, fake).await;
            if plan.steps.is_empty() {
                return plan.notes;
            }
            execute(&execution(wish, fake), &plan).await.unwrap();
        }
        panic!("it does not end");
    }

    #[test]
    fn where_nothing_is_wrong_nothing_is_done() {
        run(async {
            let (wish, fake) = cluster().await;
            let plan = plan(&wish, &fake).await;
            assert!(plan.is_done() && plan.notes.is_empty(), "{plan}");
        });
    }

    #[test]
    fn a_replica_that_is_merely_behind_is_nothing_to_mend() {
        run(async {
            let (wish, fake) = cluster().await;
            let mut seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            let Some(NodeView::Answered(main)) = seen.nodes.get_mut("main") else { panic!("no MAIN") };
            let row = main.replicas.iter_mut().find(|r| r.name == "REP2").unwrap();
            (row.status, row.behind) = ("replicating".into(), 3);
            let plan = fixes(&wish.topology, &seen);
            assert!(plan.is_done() && plan.notes.is_empty(), "{plan}");

            // `repair` waits for it once, and that is all that it has to do.
            let waits = repair(&wish.topology, &seen, None);
            assert!(!waits.is_done() && waits.only_waits(), "{waits}");
            fake.drop_at("main", "REP2");
            let seen = observe(&wish.topology, &fake, &fake).await.unwrap();
            assert!(!repair(&wish.topology, &seen, None).only_waits());
        });
    }

    #[test]
    fn what_has_ended_is_started_and_what_follows_nobody_is_registered() {
        run(async {
            let (wish, fake) = cluster().await;
            fake.stop("rep2");
            fake.drop_at("main", "REP2");
            fake.age_certificate("rep1", 86_400);
            let text = plan(&wish, &fake).await.to_string();
            assert_eq!(
                text,
                "start:rep2: start rep2  (it is exited (137))\n\
                 bolt:rep2: wait for Bolt of rep2  [after start:rep2]  (it starts)\n\
                 certificate:rep1: give rep1 a certificate  (its certificate ends in 1 day)\n\
                 ask: ask the nodes for their roles, and plan the rest  [after bolt:rep2]  \
                 (what is to be registered is known when they answer)\n"
            );
            assert!(fake.take_sent().is_empty());
            assert_eq!(fix(&wish, &fake).await, Vec::<String>::new());
            assert_eq!(fake.take_sent(), ["main: REGISTER REPLICA REP2 ASYNC TO \"172.28.37.13:10000\";"]);
            check_up(&wish, &fake).await;
        });
    }

    #[test]
    fn a_node_that_would_be_started_anew_for_a_certificate_is_left_to_a_person() {
        run(async {
            let wish = wish(&topology("swarm.yaml"));
            let fake = Fake::new(&wish.topology);
            up(&wish, &fake).await.unwrap();
            fake.age_certificate("near", 86_400);
            let plan = plan(&wish, &fake).await;
            assert!(plan.steps.is_empty(), "{plan}");
            let told =
                "near: its certificate ends in 1 day; mgctl up renews it, and starts the node anew for it";
            assert_eq!(plan.notes, [told]);
        });
    }

    #[test]
    fn roles_and_what_somebody_else_registered_are_left_to_a_person() {
        run(async {
            let (wish, fake) = cluster().await;
            fake.register_at("main", "GHOST", "10.9.9.9:10000");
            fake.make_main("rep2");
            let left = fix(&wish, &fake).await;
            assert!(
                left.iter().any(|l| l.contains("DROP REPLICA GHOST") && l.ends_with("mgctl repair does it")),
                "{left:?}"
            );
            assert!(left.iter().any(|l| l.contains("SET REPLICATION ROLE TO REPLICA")), "{left:?}");
            let sent = fake.take_sent();
            assert!(sent.iter().all(|query| !query.contains("ROLE") && !query.contains("GHOST")), "{sent:?}");
        });
    }
}
