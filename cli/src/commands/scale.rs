//! `mgctl add`, `remove`, `scale`, `upgrade`: the cluster grows, shrinks, and moves to another image, one node at a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::promote::one_line;
use super::session::{Session, Shown, must_run_nodes, on_ctrl_c};
use super::{Context, Selection, diff, lifecycle, promote, status};
use crate::args::{Add, Check, Remove, Scale, Upgrade};
use crate::cluster::{
    self, Action, Interrupt, NodeView, Observed, Options, Plan, Step, StepId, Wish, execute,
};
use crate::error::{CliError, Exit};
use crate::topology::{self, Image, Mode, Source, Topology};
use crate::ui::Ui;
use crate::words::count;

/// How long a cluster that was just waited for may take to be seen redundant: clients write meanwhile.
const SETTLE: Duration = Duration::from_secs(10);

/// A topology file as text, and where it is.
struct File {
    path: PathBuf,
    text: String,
    topology: Topology,
    selection: Selection,
}

impl File {
    /// Reads the file of a verb that makes or removes machines; `instead` is for nodes that someone else runs.
    fn read(context: &Context, verb: &str, instead: &str) -> Result<File, CliError> {
        let path = context.selection.existing_path()?;
        if path == Path::new("-") {
            return Err(
                CliError::new(Exit::Usage, "standard input cannot be changed: name a file").code("MG001")
            );
        }
        let selection = context.selection.clone();
        let topology = selection.read(&path)?.topology;
        must_run_nodes(&topology, verb, instead)?;
        let text = std::fs::read_to_string(&path).map_err(|error| {
            CliError::new(Exit::Usage, format!("cannot read `{}`: {error}", path.display())).code("MG001")
        })?;
        Ok(File { path, text, topology, selection })
    }

    /// Reads a changed text as if it were in the file.
    fn changed(&self, text: String) -> Result<File, CliError> {
        let directory = self.path.parent().map(Path::to_path_buf).unwrap_or_default();
        let source = Source { name: self.path.display().to_string().into(), directory, text: text.clone() };
        let topology = self.selection.load(&source)?.topology;
        Ok(File { path: self.path.clone(), text, topology, selection: self.selection.clone() })
    }

    /// Replaces the file as a whole.
    fn write(&self) -> Result<(), CliError> {
        let beside = self.path.with_extension("yaml.new");
        std::fs::write(&beside, &self.text).and_then(|()| std::fs::rename(&beside, &self.path)).map_err(
            |error| {
                CliError::new(Exit::Other, format!("cannot write `{}`: {error}", self.path.display()))
                    .code("MG078")
            },
        )
    }

    fn unwritable(&self, what: &str) -> CliError {
        CliError::new(
            Exit::Usage,
            format!("`{}` is not written in a form that can be edited", self.path.display()),
        )
        .code("MG001")
        .help(format!("{what} by hand, then `mgctl up`"))
    }

    fn with(&self, name: &str, mode: Mode) -> Result<(File, String), CliError> {
        if self.topology.instance(name).is_some() {
            return Err(CliError::new(
                Exit::Conflict,
                format!("`{name}` is in {} already", self.path.display()),
            )
            .code("MG005"));
        }
        let line = format!("{name}: {{ role: replica, mode: {mode} }}");
        let text = topology::with_node(&self.text, &line)
            .ok_or_else(|| self.unwritable(&format!("add `{line}`")))?;
        let changed = self.changed(text)?;
        // Whatever the text looks like, only this may have changed.
        let mut expected = changed.topology.clone();
        expected.instances.retain(|i| i.name != name);
        let names = |t: &Topology| t.instances.iter().map(|i| i.name.clone()).collect::<Vec<_>>();
        match names(&expected) == names(&self.topology)
            && changed.topology.instances.len() == self.topology.instances.len() + 1
        {
            true => Ok((changed, line)),
            false => Err(self.unwritable(&format!("add `{line}`"))),
        }
    }

    fn without(&self, name: &str) -> Result<File, CliError> {
        let text = topology::without_node(&self.text, name)
            .ok_or_else(|| self.unwritable(&format!("take `{name}` out")))?;
        let changed = self.changed(text)?;
        let names: Vec<&String> = changed.topology.instances.iter().map(|i| &i.name).collect();
        let expected: Vec<&String> =
            self.topology.instances.iter().map(|i| &i.name).filter(|n| *n != name).collect();
        if names == expected { Ok(changed) } else { Err(self.unwritable(&format!("take `{name}` out"))) }
    }
}

pub(super) async fn add(context: &Context, args: &Add) -> Result<Exit, CliError> {
    let file = File::read(
        context,
        "add",
        "start the node where it is to run, name it in the file with its `address`, then: mgctl up",
    )?;
    let (changed, line) = file.with(&args.name, args.mode)?;
    grow(context, &changed, &[line], args.write, args.dry_run.dry_run, args.timeout.timeout, "Add").await
}

async fn grow(
    context: &Context,
    changed: &File,
    lines: &[String],
    write: bool,
    dry_run: bool,
    timeout: Option<Duration>,
    kind: &str,
) -> Result<Exit, CliError> {
    let mut topology = changed.topology.clone();
    if let Some(timeout) = timeout {
        topology.wait.timeout = timeout;
    }
    let session = Session::of_file(context, topology, Vec::new()).await?;
    session.look_at_existing().await?;
    // The file's init statements are for a new cluster.
    let wish = session.wish(Options { keep_modes: true, ..Options::default() });
    if dry_run {
        let seen = cluster::observe(&wish.topology, &session.runtime, &session.nodes).await?;
        return Ok(diff::dry_run(&session, &cluster::reconcile(&wish, &seen)));
    }
    let shown = Shown::new(&session);
    let interrupt = on_ctrl_c(&session.ui);
    let work = async { cluster::converge(&session.execution(&wish, &shown, interrupt)).await };
    session.locked(wish.topology.wait.timeout, work).await?;
    if write {
        changed.write()?;
    }
    let (seen, report) = status::await_redundant(&session, SETTLE).await?;
    if report.level != Some(Check::Redundant) {
        return Err(CliError::new(Exit::Degraded, "the node was made, and the cluster is not redundant")
            .code("MG071")
            .help(format!("see {}", session.command("status"))));
    }
    let mut data = status::to_json(&session, &report);
    data["lines"] = json!(lines);
    data["written"] = json!(write);
    let text = |_: &Ui| {
        let file = changed.path.display();
        let snippet: Vec<String> = lines.iter().map(|l| format!("  {l}")).collect();
        let snippet = snippet.join("\n");
        let what = match write {
            true => format!("Wrote to {file}:\n{snippet}"),
            false => format!(
                "Add to `instances:` of {file}, else the next `up` finds a node that is not in the file:\n{snippet}"
            ),
        };
        format!("{}\n{what}", one_line(&session, &seen))
    };
    session.ui.result(kind, Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

pub(super) async fn remove(context: &Context, args: &Remove) -> Result<Exit, CliError> {
    const INSTEAD: &str = "mgctl unregister NODE, take it out of the file, and stop it where it runs";
    let session = Session::open(context).await?;
    session.must_run_nodes("remove", INSTEAD)?;
    let seen = session.look_at_existing().await?;
    let changed = match args.write {
        true => Some(File::read(context, "remove", INSTEAD)?.without(&args.name)?),
        false => None,
    };
    let plan = plan_remove(&session, &seen, &args.name, args.volumes)?;
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    shrink(&session, std::slice::from_ref(&args.name), args.volumes).await?;
    if let Some(changed) = &changed {
        changed.write()?;
    }
    conclude_removal(&session, std::slice::from_ref(&args.name), args.write, "Remove").await
}

async fn shrink(session: &Session, names: &[String], volumes: bool) -> Result<(), CliError> {
    if volumes {
        let question =
            format!("This deletes the data of {} of cluster `{}`", names.join(", "), session.cluster());
        if !session.ui.confirm_typed(&question, &names[0])? {
            return Err(CliError::new(Exit::Declined, "nothing was changed").code("MG091"));
        }
    }
    let wish = session.wish(Options::default());
    let shown = Shown::new(session);
    let interrupt = on_ctrl_c(&session.ui);
    let work = async {
        for name in names {
            let plan = plan_remove(session, &session.look().await?, name, volumes)?;
            execute(&session.execution(&wish, &shown, interrupt.clone()), &plan).await?;
        }
        Ok(())
    };
    session.locked(wish.topology.wait.timeout, work).await
}

async fn conclude_removal(
    session: &Session,
    names: &[String],
    written: bool,
    kind: &str,
) -> Result<Exit, CliError> {
    let seen = session.look().await?;
    if let Some(left) = names.iter().find(|n| seen.existing.machines.contains_key(*n)) {
        return Err(CliError::new(Exit::Degraded, format!("`{left}` is still there")).code("MG060"));
    }
    let data = json!({ "removed": names, "written": written });
    let text = |_: &Ui| {
        let note =
            if written { "" } else { "; take it out of the file too, else the next `up` makes it again" };
        format!("{} removed{note}", names.join(", "))
    };
    session.ui.result(kind, Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

fn plan_remove(session: &Session, seen: &Observed, name: &str, volumes: bool) -> Result<Plan, CliError> {
    let main = session.main(seen)?.instance;
    if !seen.existing.machines.contains_key(name) {
        return Err(CliError::new(
            Exit::NotFound,
            format!("cluster `{}` has no node `{name}`", session.cluster()),
        )
        .code("MG065"));
    }
    if name == main {
        return Err(CliError::new(Exit::Unsafe, format!("`{name}` is MAIN"))
            .code("MG045")
            .thing(format!("cluster `{}`", session.cluster()))
            .help(format!("move MAIN first: {}", session.command("promote NODE"))));
    }
    let mut plan = Plan::default();
    let mut last: Vec<StepId> = Vec::new();
    let mut push = |id: &str, action: Action| {
        let id = if id.contains(':') { id.to_owned() } else { format!("{id}:{name}") };
        plan.steps.push(Step {
            id: id.clone(),
            needs: std::mem::take(&mut last),
            action,
            cause: "asked for".into(),
        });
        last = vec![id];
    };
    let known = session.topology.instance(name).map(|i| i.register_as.clone());
    let known =
        known.or_else(|| seen.existing.machines[name].spec.as_ref()?.register_as().map(str::to_owned));
    let rows = seen.nodes.get(&main).and_then(NodeView::facts).map_or(&[][..], |f| &f.replicas);
    let machine = &seen.existing.machines[name];
    let address = machine.spec.as_ref().and_then(|spec| spec.replication_address(name, machine.address));
    // Somebody may have registered it under another name, too.
    for row in rows.iter().filter(|r| Some(&r.name) == known.as_ref() || Some(&r.address) == address.as_ref())
    {
        push(&format!("drop:{}", row.name), Action::Drop { main: main.clone(), name: row.name.clone() });
    }
    push("stop", Action::StopMachine(name.to_owned()));
    push("remove", Action::RemoveMachine(name.to_owned()));
    let volume = match session.topology.instance(name) {
        Some(instance) => instance.volume(),
        None => machine.spec.as_ref().and_then(cluster::Spec::volume),
    };
    if let (true, Some(volume)) = (volumes, volume.filter(|v| seen.existing.volumes.contains(*v))) {
        push("volume", Action::RemoveVolume(volume.to_owned()));
    }
    Ok(plan)
}

pub(super) async fn scale(context: &Context, args: &Scale) -> Result<Exit, CliError> {
    let wanted = usize::try_from(args.replicas).unwrap_or(usize::MAX);
    let file = File::read(
        context,
        "scale",
        "start the nodes where they are to run, name them in the file with their `address`, then: mgctl up",
    )?;
    let replicas: Vec<String> = {
        let session = Session::of_file(context, file.topology.clone(), Vec::new()).await?;
        let seen = session.look_at_existing().await?;
        let main = session.main(&seen)?.instance;
        file.topology.instances.iter().map(|i| i.name.clone()).filter(|n| *n != main).collect()
    };
    if replicas.len() == wanted {
        let data = json!({ "replicas": wanted, "changed": false });
        let text = |_: &Ui| format!("{} has {}: nothing to do", file.topology.name, count(wanted, "replica"));
        context.ui.result("Scale", Some(&file.topology.name), data, &[], text);
        return Ok(Exit::Ok);
    }
    if replicas.len() < wanted {
        let mut changed = file.changed(file.text.clone())?;
        let mut lines = Vec::new();
        let mut number = 1;
        while changed.topology.instances.len() - 1 < wanted {
            let name = format!("rep{number}");
            number += 1;
            if changed.topology.instance(&name).is_none() {
                let (next, line) = changed.with(&name, args.mode)?;
                changed = next;
                lines.push(line);
            }
        }
        let timeout = args.timeout.timeout;
        return grow(context, &changed, &lines, args.write, args.dry_run.dry_run, timeout, "Scale").await;
    }
    // Those that MAIN waits for go last.
    let session = Session::of_file(context, file.topology.clone(), Vec::new()).await?;
    let mut leaving: Vec<&topology::Instance> =
        file.topology.instances.iter().filter(|i| replicas.contains(&i.name)).rev().collect();
    leaving.sort_by_key(|i| i.mode != Mode::Async);
    let names: Vec<String> = leaving.iter().take(replicas.len() - wanted).map(|i| i.name.clone()).collect();
    let seen = session.look().await?;
    let mut plan = Plan::default();
    let mut changed = file.changed(file.text.clone())?;
    for name in &names {
        plan.steps.extend(plan_remove(&session, &seen, name, false)?.steps);
        if args.write {
            changed = changed.without(name)?;
        }
    }
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &plan));
    }
    shrink(&session, &names, false).await?;
    if args.write {
        changed.write()?;
    }
    conclude_removal(&session, &names, args.write, "Scale").await
}

pub(super) async fn upgrade(context: &Context, args: &Upgrade) -> Result<Exit, CliError> {
    let file = File::read(
        context,
        "upgrade",
        "upgrade the nodes where they run, replicas first, and MAIN after `mgctl promote NODE`",
    )?;
    let mut topology = file.topology.clone();
    if let Some(timeout) = args.timeout.timeout {
        topology.wait.timeout = timeout;
    }
    if let Some(image) = &args.image {
        let image = if image == "built-in" { Image::BuiltIn } else { Image::Named(image.clone()) };
        for instance in &mut topology.instances {
            instance.image = image.clone();
        }
    }
    let session = Session::of_file(context, topology, Vec::new()).await?;
    let seen = cluster::observe(&session.topology, &session.runtime, &session.nodes).await?;
    let main = session.main(&seen)?.instance;
    // A process has no image: what runs is what was started, and that is started anew.
    let is_process = matches!(session.runtime, crate::runtime::Any::Process(_));
    let is_due = |name: &str| {
        let machine = seen.existing.machines.get(name);
        let wanted = session.topology.instance(name).map(|i| cluster::Spec::of(&session.topology, i));
        let drifts = machine
            .and_then(|m| m.spec.as_ref())
            .zip(wanted)
            .is_none_or(|(is, to_be)| !is.drift(&to_be).is_empty());
        is_process || drifts || machine.is_some_and(|m| !m.image_is_current)
    };
    let due: Vec<String> =
        session.topology.instances.iter().map(|i| i.name.clone()).filter(|n| is_due(n)).collect();
    let followers: Vec<String> = due.iter().filter(|n| **n != main).cloned().collect();
    let successor = lifecycle::successor(&session, &seen, &main);
    let has_main = due.contains(&main);
    if args.dry_run.dry_run {
        let mut plan = Plan::default();
        for name in followers.iter().chain(due.iter().filter(|n| **n == main)) {
            if *name == main
                && let Some(next) = &successor
            {
                plan.steps.extend(promote::plan(&session, &seen, next)?.steps);
            }
            let wish = Wish { anew: Some(name.clone()), ..base(&session, &seen, name) };
            plan.steps.extend(cluster::reconcile(&wish, &seen).steps);
        }
        return Ok(diff::dry_run(&session, &plan));
    }
    if due.is_empty() {
        let data = json!({ "changed": false });
        let text = |_: &Ui| format!("Every node of {} runs what it should: nothing to do", session.cluster());
        session.ui.result("Upgrade", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    }
    let shown = Shown::new(&session);
    let interrupt = on_ctrl_c(&session.ui);
    let time_max = session.topology.wait.timeout;
    let work = async {
        for name in &followers {
            one(&session, &shown, &interrupt, name).await?;
        }
        if !has_main {
            return Ok(());
        }
        if let Some(next) = &successor {
            let switched = promote::switch(&session, next, time_max, interrupt.clone()).await?;
            if let Some(problem) = switched.left.first() {
                return Err(CliError::of(Exit::Degraded, vec![problem.clone()]));
            }
        }
        one(&session, &shown, &interrupt, &main).await
    };
    session.locked(time_max * u32::try_from(due.len()).unwrap_or(1), work).await.map_err(|error| {
        error.note("what was upgraded stays so").help("the same command goes on from here")
    })?;
    let (seen, report) = status::await_redundant(&session, SETTLE).await?;
    if report.level != Some(Check::Redundant) {
        return Err(CliError::new(
            Exit::Degraded,
            "every node was made anew, and the cluster is not redundant",
        )
        .code("MG071")
        .help(format!("see {}", session.command("status"))));
    }
    let mut data = status::to_json(&session, &report);
    data["changed"] = json!(true);
    data["upgraded"] = json!(due);
    let text = |_: &Ui| {
        let file = match &args.image {
            Some(image) => {
                format!("\nSet `image: {image}` in {}, else the next `up` goes back", file.path.display())
            }
            None => String::new(),
        };
        format!("{}\nUpgraded {}{file}", one_line(&session, &seen), due.join(", "))
    };
    session.ui.result("Upgrade", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

/// A wish for one node: the others stay as they are.
fn base(session: &Session, seen: &Observed, name: &str) -> Wish {
    let mut wish = session.wish(Options { keep_modes: true, ..Options::default() });
    for instance in wish.topology.instances.iter_mut().filter(|i| i.name != name) {
        let machine = seen.existing.machines.get(&instance.name);
        if let Some(image) = machine.and_then(|m| m.spec.as_ref()).and_then(cluster::Spec::image) {
            instance.image = image;
        }
    }
    wish
}

/// Makes one node anew from what its wish says, and waits until all is as it should be.
async fn one(session: &Session, shown: &Shown, interrupt: &Interrupt, name: &str) -> Result<(), CliError> {
    let seen = session.look().await?;
    let wish = Wish { anew: Some(name.to_owned()), ..base(session, &seen, name) };
    let (seen, _) = cluster::converge(&session.execution(&wish, shown, interrupt.clone())).await?;
    match seen.nodes.get(name).and_then(NodeView::facts) {
        Some(_) => Ok(()),
        None => Err(CliError::new(Exit::Degraded, format!("`{name}` was made anew and does not answer"))
            .code("MG068")
            .help(session.logs(name))),
    }
}
