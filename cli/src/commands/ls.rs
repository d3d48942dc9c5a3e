//! `mgctl ls`: every cluster that runs here.

use serde_json::json;

use super::Context;
use crate::cluster::Runtime;
use crate::error::{CliError, Exit};
use crate::runtime::docker::Docker;
use crate::runtime::process::Processes;
use crate::runtime::swarm::Swarm;
use crate::topology;
use crate::ui::{Cell, Table, Tone, Ui};

/// A cluster and what runs of it.
struct Found {
    name: String,
    runtime: &'static str,
    running: usize,
    machines: usize,
    file: Option<String>,
}

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let mut found = Vec::new();
    let mut missing = None;
    let listed = |runtime: topology::Runtime| {
        context.runtime.is_none_or(|asked| asked == runtime || asked == topology::Runtime::Auto)
    };
    let of = |runtime: &'static str| {
        move |c: crate::runtime::docker::Found| Found {
            name: c.cluster,
            runtime,
            running: c.running,
            machines: c.machines,
            file: c.file,
        }
    };
    if listed(topology::Runtime::Docker) || listed(topology::Runtime::Swarm) {
        match Docker::connect(context.host.as_deref(), context.docker_context.as_deref()).await {
            Ok(docker) => {
                if listed(topology::Runtime::Docker) {
                    found.extend(docker.clusters().await?.into_iter().map(of("docker")));
                }
                if let (true, Some(swarm)) = (listed(topology::Runtime::Swarm), Swarm::of(docker).await?) {
                    found.extend(swarm.clusters().await?.into_iter().map(of("swarm")));
                }
            }
            // Nobody asked for an engine: what runs without one is listed all the same.
            Err(error)
                if context.runtime.is_none()
                    && context.host.is_none()
                    && context.docker_context.is_none() =>
            {
                missing = Some(error.problem().what.clone());
            }
            Err(error) => return Err(error),
        }
    }
    if listed(topology::Runtime::Process) && context.host.is_none() && context.docker_context.is_none() {
        let processes = Processes::of_this_user()?;
        for name in processes.clusters() {
            let machines = processes.observe(&name, None).await?.machines;
            let running = machines.values().filter(|m| m.is_running()).count();
            found.push(Found { name, runtime: "process", running, machines: machines.len(), file: None });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(why) = &missing {
        context.ui.detail(why);
    }
    let data = json!({
        "clusters": found.iter().map(|f| json!({
            "name": f.name, "runtime": f.runtime, "running": f.running, "nodes": f.machines, "file": f.file,
        })).collect::<Vec<_>>(),
        "engine": missing,
    });
    let text = |ui: &Ui| {
        if found.is_empty() {
            return match &missing {
                Some(why) => format!("There is no cluster of local processes; {why}"),
                None => "There is no cluster".to_owned(),
            };
        }
        let mut table = Table::new(["NAME", "RUNTIME", "NODES", "RUNNING", "FILE"]).spare(["FILE"]);
        for f in &found {
            let tone = if f.running == f.machines { Tone::Good } else { Tone::Bad };
            table.row([
                Cell::from(f.name.clone()),
                Cell::from(f.runtime),
                Cell::from(f.machines.to_string()),
                Cell::new(f.running.to_string(), tone),
                f.file.as_ref().map_or_else(|| Cell::new("–", Tone::Dim), |f| Cell::from(f.clone())),
            ]);
        }
        table.render(ui)
    };
    context.ui.result("Clusters", None, data, &[], text);
    Ok(Exit::Ok)
}
