//! Roles and registrations.

use super::orphans::{find_main_among, plan_orphan_drops};
use super::{Condition, MainFound, Wish, address_of, condition, diverged, holds_data, is_fenced};
use crate::cluster::modes::Modes;
use crate::cluster::observed::{NodeFacts, Observed};
use crate::cluster::plan::{Action, Plan, StepId};
use crate::cluster::promote::register;
use crate::topology::{Instance, Role, Until};

pub(super) fn plan_roles(wish: &Wish, seen: &Observed, plan: &mut Plan) {
    plan_roles_of(wish, seen, find_main_among(&wish.topology, seen), plan);
}

/// Plans who is what and who follows whom, once it is known who is MAIN.
pub(in crate::cluster) fn plan_roles_of(wish: &Wish, seen: &Observed, main: MainFound, plan: &mut Plan) {
    let topology = &wish.topology;
    let all_bolts: Vec<StepId> = topology.instances.iter().map(|i| format!("bolt:{}", i.name)).collect();
    let main = match main {
        MainFound::Is(main) => main,
        MainFound::Becomes(main) => {
            plan.push(
                format!("role:{main}"),
                &all_bolts,
                Action::BecomeMain { instance: main.clone(), epoch: None },
                "no node is MAIN, and none is further than it",
            );
            main
        }
        MainFound::Ask(unknown) => {
            plan.push("ask", &all_bolts, Action::AskNodes, format!("{} may hold data", unknown.join(", ")));
            return;
        }
        MainFound::Refused(error) => {
            plan.refusal = Some(error);
            return;
        }
    };
    let main_instance = topology.instance(&main).expect("the MAIN is one of the topology's nodes");
    let main_facts = match condition(main_instance, seen) {
        Condition::Answered(facts) => Some(facts),
        _ => None,
    };
    if main != topology.main().name {
        let declared = &topology.main().name;
        let what = match wish.options.enforce_roles {
            true => "moves by a switchover",
            false => "kept as it is",
        };
        plan.notes.push(format!("main: the file declares {declared}, MAIN is {main}; {what}"));
    }
    let rows = main_facts.map_or(&[][..], |f| &f.replicas);
    let modes = match wish.options.keep_modes {
        true => Modes::in_force(topology, seen, Some(&main)),
        false => Modes::of_file(topology),
    };
    let main_ready = [format!("bolt:{main}"), format!("role:{main}")];

    // (instance, the row that stays, why it is registered anew)
    let mut to_register: Vec<(&Instance, String)> = Vec::new();
    let mut to_await: Vec<(&Instance, String)> = Vec::new();
    let mut asleep = Vec::new();
    for instance in topology.instances.iter().filter(|i| i.name != main) {
        let name = &instance.name;
        let facts = match condition(instance, seen) {
            Condition::Answered(facts) => Some(facts),
            Condition::Fresh => None,
            Condition::Asleep | Condition::Silent => {
                asleep.push(name.clone());
                continue;
            }
        };
        if facts.is_none_or(|f| f.role == Role::Main) {
            let cause = match facts {
                None => "a new node starts as MAIN".to_owned(),
                Some(facts) if holds_data(facts) => format!("it was MAIN; `{main}` is MAIN now"),
                Some(_) => format!("it is MAIN, and `{main}` is the MAIN"),
            };
            plan.push(
                format!("role:{name}"),
                &[format!("bolt:{name}")],
                Action::BecomeReplica { instance: name.clone(), port: instance.replication_port },
                cause,
            );
        }
        // Only as a REPLICA may it start by itself again.
        if is_fenced(seen, name) {
            plan.push(
                format!("unfence:{name}"),
                &[format!("role:{name}"), format!("bolt:{name}")],
                Action::UnfenceMachine(name.clone()),
                "a failover had ended it",
            );
        }

        let wanted = address_of(topology, instance, seen.existing.machines.get(name));
        if let Some(wanted) = &wanted {
            // Somebody registered this very node under another name; MAIN refuses an address twice.
            for other in rows.iter().filter(|r| r.address == *wanted && r.name != instance.register_as) {
                let known = topology.instances.iter().any(|i| i.register_as == other.name);
                if !known {
                    push_drop(
                        plan,
                        &main,
                        &other.name,
                        &main_ready,
                        format!("it is `{name}` under another name"),
                    );
                }
            }
        }
        match rows.iter().find(|r| r.name == instance.register_as) {
            None => to_register.push((instance, format!("`{main}` does not know it"))),
            Some(row) if wanted.as_ref().is_some_and(|w| *w != row.address) => {
                let wanted = wanted.unwrap_or_default();
                let cause = format!("registered address {} is not {name} ({wanted})", row.address);
                push_drop(plan, &main, &row.name, &main_ready, cause.clone());
                to_register.push((instance, cause));
            }
            Some(row) if row.mode != Some(modes.of(instance)) => {
                let was = row.mode.map_or("unknown".to_owned(), |m| m.to_string());
                let cause = format!("mode {was} → {}", modes.of(instance));
                push_drop(plan, &main, &row.name, &main_ready, cause.clone());
                to_register.push((instance, cause));
            }
            // Memgraph keeps a refused registration in its list; ours keeps one whose node was replaced.
            Some(row) if facts.is_none_or(|f| f.role == Role::Main) => {
                let cause = format!("it is {} at `{main}` and was no REPLICA", row.status);
                push_drop(plan, &main, &row.name, &main_ready, cause.clone());
                to_register.push((instance, cause));
            }
            Some(row) if row.status == "diverged" => {
                plan.refusal = Some(diverged(topology, instance, &main));
            }
            Some(row) if !row.is_level() => {
                to_await.push((instance, format!("it is {}, {} behind", row.status, row.behind)));
            }
            Some(_) => {}
        }
    }

    // Before any registration: MAIN refuses an address twice.
    if let (true, Some(facts)) = (wish.options.remove_orphans, main_facts) {
        plan_orphan_drops(wish, seen, &main, facts, plan);
    }
    let drops: Vec<StepId> =
        plan.steps.iter().filter(|s| matches!(s.action, Action::Drop { .. })).map(|s| s.id.clone()).collect();
    // One after the other: MAIN takes one registration at a time.
    let mut previous: Option<StepId> = None;
    for (instance, cause) in to_register {
        let id: StepId = format!("register:{}", instance.register_as);
        let mut needs = main_ready.to_vec();
        needs.extend([format!("bolt:{}", instance.name), format!("role:{}", instance.name)]);
        needs.extend(drops.iter().cloned());
        needs.extend(previous.replace(id.clone()));
        plan.push(id, &needs, register(topology, &modes, instance, &main), cause);
        to_await.push((instance, "it was just registered".to_owned()));
    }
    let mut awaited = Vec::new();
    if topology.wait.until >= Until::Redundant {
        for (instance, cause) in &to_await {
            let id = format!("level:{}", instance.register_as);
            let needs = [format!("register:{}", instance.register_as)];
            let action = Action::AwaitLevel { main: main.clone(), name: instance.register_as.clone() };
            plan.push(id.clone(), &needs, action, cause.clone());
            awaited.push(id);
        }
    }

    if !asleep.is_empty() {
        let needs: Vec<StepId> = asleep.iter().map(|n| format!("bolt:{n}")).collect();
        plan.push("ask", &needs, Action::AskNodes, format!("{} starts", asleep.join(", ")));
        return;
    }
    if init_is_due(wish, main_facts, plan) {
        let mut needs = main_ready.to_vec();
        needs.extend(awaited);
        let cause = match main_facts {
            None => "the cluster is new",
            Some(_) if topology.init.once => "the graph never held a vertex",
            Some(_) => "`init.once` is false",
        };
        plan.push("init", &needs, Action::Init { main: main.clone() }, cause);
        if topology.wait.until >= Until::Redundant {
            for instance in topology.instances.iter().filter(|i| i.name != main) {
                let action = Action::AwaitLevel { main: main.clone(), name: instance.register_as.clone() };
                plan.push(
                    format!("level-again:{}", instance.register_as),
                    &["init".into()],
                    action,
                    "MAIN wrote",
                );
            }
        }
    }
}

pub(super) fn init_is_due(wish: &Wish, main: Option<&NodeFacts>, plan: &Plan) -> bool {
    if wish.init.is_empty() || plan.refusal.is_some() {
        return false;
    }
    let Some(facts) = main else { return true };
    if !wish.topology.init.once {
        return !plan.steps.is_empty();
    }
    // Without data statements the log tells whether the schema was made.
    let only_schema = wish.init.iter().all(|s| s.is_schema);
    let schema_made = only_schema && facts.position.as_ref().is_some_and(|p| p.durable > 0);
    facts.is_untouched && !schema_made
}

pub(super) fn push_drop(plan: &mut Plan, main: &str, name: &str, needs: &[StepId], cause: String) {
    let id = format!("drop:{name}");
    if !plan.steps.iter().any(|s| s.id == id) {
        plan.push(id, needs, Action::Drop { main: main.to_owned(), name: name.to_owned() }, cause);
    }
}
