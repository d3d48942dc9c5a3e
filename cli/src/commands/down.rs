//! `mgctl down`: stops and removes the nodes, replicas first. The data stay unless `--volumes` is given.

use std::collections::BTreeSet;

use serde_json::json;

use super::session::{Session, Shown, mains, on_ctrl_c};
use super::{Context, diff};
use crate::args::Down;
use crate::cluster::{Existing, Options, execute, teardown};
use crate::error::{CliError, Exit};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, args: &Down) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    session.must_run_nodes(
        "down",
        &format!(
            "stop them where they run; to take one off MAIN's list: {}",
            session.command("unregister NAME")
        ),
    )?;
    let seen = session.look().await?;
    let volumes = if args.volumes { seen.existing.volumes.clone() } else { BTreeSet::new() };
    let plan = teardown(&seen, &mains(&seen), &volumes, if args.volumes { "down --volumes" } else { "down" });
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    let authority = session.topology.authority_volume();
    let of_nodes = seen.existing.volumes.iter().filter(|v| **v != authority).count();
    let kept = if args.volumes { 0 } else { of_nodes };
    if plan.steps.is_empty() {
        let text =
            |_: &Ui| format!("Cluster {} is down: nothing to do{}", session.cluster(), kept_text(kept));
        let data = json!({ "changed": false, "volumes_kept": kept });
        session.ui.result("Down", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    }
    if let (true, Some(question)) = (args.volumes, question(session.cluster(), &seen.existing))
        && !session.ui.confirm_typed(&question, session.cluster())?
    {
        return Err(CliError::new(Exit::Declined, "nothing was deleted").code("MG091"));
    }
    let mut wish = session.wish(Options::default());
    if let Some(timeout) = args.timeout.timeout {
        wish.topology.wait.timeout = timeout;
    }
    let interrupt = on_ctrl_c(&session.ui);
    let shown = Shown::new(&session);
    let work = async { execute(&session.execution(&wish, &shown, interrupt), &plan).await };
    // A claim needs an image, and that the cluster's machines have.
    session.locked(wish.topology.wait.timeout, work).await?;

    let left = session.look().await?;
    if let Some(name) = left.existing.machines.keys().next() {
        return Err(CliError::new(Exit::Degraded, format!("`{name}` is still there"))
            .code("MG060")
            .thing(format!("cluster `{}`", session.cluster()))
            .help(format!("run {} again", session.command("down"))));
    }
    let text = |_: &Ui| match args.volumes {
        true => format!("Cluster {} is down, and its data are deleted", session.cluster()),
        false => format!("Cluster {} is down{}", session.cluster(), kept_text(kept)),
    };
    let data = json!({ "changed": true, "volumes_kept": kept });
    session.ui.result("Down", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

/// Asks for what will go, and for nothing that stays.
fn question(cluster: &str, existing: &Existing) -> Option<String> {
    let elsewhere = &existing.volumes_elsewhere;
    let going: Vec<&str> =
        existing.volumes.iter().filter(|v| !elsewhere.contains_key(*v)).map(String::as_str).collect();
    let staying: Vec<String> =
        elsewhere.iter().map(|(volume, host)| format!("{volume} on `{host}`")).collect();
    let stays = match staying.is_empty() {
        true => String::new(),
        false => format!("; only there can be deleted: {}", staying.join(", ")),
    };
    (!going.is_empty())
        .then(|| format!("This deletes the data of cluster `{cluster}`: {}{stays}", going.join(", ")))
}

fn kept_text(kept: usize) -> String {
    match kept {
        0 => String::new(),
        n => format!("; the data of {n} nodes are kept, `--volumes` deletes them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_will_go_is_asked_for() {
        let mut existing = Existing::default();
        assert_eq!(question("demo", &existing), None);
        existing.volumes =
            ["mgctl-demo-ca", "mgctl-demo-far-data", "mgctl-demo-near-data"].map(str::to_owned).into();
        existing.volumes_elsewhere = [("mgctl-demo-far-data".to_owned(), "host-b".to_owned())].into();
        assert_eq!(
            question("demo", &existing).unwrap(),
            "This deletes the data of cluster `demo`: mgctl-demo-ca, mgctl-demo-near-data; only there can be deleted: \
             mgctl-demo-far-data on `host-b`"
        );
    }
}
