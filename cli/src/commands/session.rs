//! What most verbs begin with: the cluster that is meant, its runtime, and the way to its nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Context, Selected};
use crate::cluster::{
    self, Action, Deadline, Execution, Interrupt, NodeView, Observed, Options, Progress, Runtime, Spec,
    Target, Wish,
};
use crate::error::{CliError, Exit, Problem};
use crate::query::BoltNodes;
use crate::runtime::docker::Docker;
use crate::runtime::external::External;
use crate::runtime::process::Processes;
use crate::runtime::swarm::Swarm;
use crate::runtime::{Any, Lock};
use crate::topology::{self, Role, Secret, Topology};
use crate::ui::{self, Ui};

/// A cluster and the means to work on it.
pub(super) struct Session {
    /// What the file says, or without one what the labels say.
    pub(super) topology: Topology,
    /// What is doubtful in the file.
    pub(super) warnings: Vec<Problem>,
    pub(super) runtime: Any,
    pub(super) nodes: BoltNodes,
    pub(super) ui: Ui,
    /// Why processes were chosen although nobody asked for them.
    pub(super) fallback: Option<String>,
    /// The file, where there is one: `up` needs it.
    file: Option<std::sync::Arc<str>>,
    /// How this cluster is named in a command: the program, and the flag.
    invocation: String,
    pub(super) program: String,
}

impl Session {
    /// Finds the cluster that the command line means.
    pub(super) async fn open(context: &Context) -> Result<Session, CliError> {
        match context.selection.resolve()? {
            Selected::File(loaded) => Session::of_file(context, loaded.topology, loaded.warnings).await,
            Selected::Named(name) => Session::of_name(context, Some(&name)).await,
            Selected::Only => Session::of_name(context, None).await,
        }
    }

    /// Finds the runtime for the cluster of a file.
    pub(super) async fn of_file(
        context: &Context,
        mut topology: Topology,
        warnings: Vec<Problem>,
    ) -> Result<Session, CliError> {
        let asked = context.runtime.unwrap_or(topology.runtime);
        let is_swarm = asked == topology::Runtime::Swarm;
        if (asked == topology::Runtime::External) != topology.is_external() || is_swarm != topology.is_swarm()
        {
            return Err(other_runtime(context, &topology, asked));
        }
        let (runtime, fallback) = match topology.is_external() {
            true => (Any::External(External::of(&topology)), None),
            false => choose(context, asked, Some(&topology.name), topology.context.as_deref()).await?,
        };
        if let Any::Process(processes) = &runtime {
            processes.adapt(&mut topology);
        }
        let mut fallback = fallback;
        let keys = topology.without_effect_on_processes();
        if let (Some(why), false) = (&mut fallback, keys.is_empty()) {
            let verb = if keys.len() == 1 { "has" } else { "have" };
            *why += &format!("; {} {verb} no effect on those", topology::list(&keys));
        }
        let file = Some(topology.place.file.clone());
        Ok(Session::new(context, topology, file, warnings, runtime, fallback))
    }

    async fn of_name(context: &Context, name: Option<&str>) -> Result<Session, CliError> {
        let asked = context.runtime.unwrap_or_default();
        if asked == topology::Runtime::External {
            let what = "nodes that someone else runs are known from their topology file alone";
            return Err(CliError::new(Exit::Usage, what).code("MG001").help("name it: -f TOPOLOGY"));
        }
        let (mut runtime, fallback) = choose(context, asked, name, None).await?;
        let mut known = clusters(&runtime).await?;
        let is_there = |known: &[String]| name.map_or(!known.is_empty(), |n| known.iter().any(|k| k == n));
        // An engine may manage a swarm too, and that one have it.
        if let (topology::Runtime::Auto, Any::Docker(_), false) = (asked, &runtime, is_there(&known)) {
            let docker = Docker::connect(context.host.as_deref(), context.docker_context.as_deref()).await?;
            if let Some(swarm) = Swarm::of(docker).await?.map(|swarm| Any::Swarm(Box::new(swarm))) {
                let more = clusters(&swarm).await?;
                if is_there(&more) {
                    (runtime, known) = (swarm, more);
                }
            }
        }
        let name = match (name, known.as_slice()) {
            (Some(name), _) if known.iter().any(|k| k == name) => name.to_owned(),
            (Some(name), _) => {
                return Err(CliError::new(Exit::NotFound, format!("there is no cluster `{name}`"))
                    .code("MG065")
                    .thing(runtime.describe())
                    .note(match known.is_empty() {
                        true => "there is none at all".to_owned(),
                        false => format!("there are: {}", known.join(", ")),
                    })
                    .help(format!("make one: {} up TOPOLOGY", context.program)));
            }
            (None, [only]) => only.clone(),
            (None, []) => {
                return Err(CliError::new(Exit::NotFound, "there is no cluster, and no topology is named")
                    .code("MG065")
                    .thing(runtime.describe())
                    .help(format!("make one: {} up topologies/quickstart.yaml", context.program)));
            }
            (None, _) => {
                return Err(CliError::new(
                    Exit::NotFound,
                    format!("there are several clusters: {}", known.join(", ")),
                )
                .code("MG065")
                .thing(runtime.describe())
                .help(format!("say which: --cluster {}", known[0])));
            }
        };
        let existing = runtime.observe(&name, None).await?;
        let specs: BTreeMap<String, &Spec> =
            existing.machines.iter().filter_map(|(name, m)| Some((name.clone(), m.spec.as_ref()?))).collect();
        let topology = cluster::rebuild(&name, &specs).ok_or_else(|| {
            CliError::new(Exit::Other, format!("the labels of cluster `{name}` cannot be read"))
                .code("MG065")
                .help("name its topology file")
        })?;
        Ok(Session::new(context, topology, None, Vec::new(), runtime, fallback))
    }

    fn new(
        context: &Context,
        topology: Topology,
        file: Option<std::sync::Arc<str>>,
        warnings: Vec<Problem>,
        runtime: Any,
        fallback: Option<String>,
    ) -> Session {
        if let Some(why) = &fallback {
            context.ui.detail(why);
        }
        let invocation = format!("{}{}", context.program, context.selection.flag(&topology.name));
        let nodes = BoltNodes::new(topology.query_timeout, credentials(&topology));
        let (ui, program) = (context.ui.clone(), context.program.clone());
        Session { topology, warnings, runtime, nodes, ui, fallback, file, invocation, program }
    }

    /// Waits no longer than this for each answer of a node.
    pub(super) fn set_patience(&mut self, time_max: Duration) {
        self.nodes = self.nodes.within(time_max);
    }

    /// Returns a command on this cluster, as it can be typed.
    pub(super) fn command(&self, rest: &str) -> String {
        format!("{} {rest}", self.invocation)
    }

    /// Returns the command that brings this cluster up. Labels know too little for it.
    pub(super) fn up(&self) -> String {
        match self.file.as_deref() {
            Some("<stdin>") | None => format!("{} up TOPOLOGY", self.program),
            Some(_) => self.command("up"),
        }
    }

    /// Returns what tells the log of a node.
    pub(super) fn logs(&self, instance: &str) -> String {
        match self.topology.is_external() {
            true => format!("the log of {instance}, where it runs"),
            false => self.command(&format!("logs {instance}")),
        }
    }

    /// Refuses a verb that works on machines where someone else runs them; `instead` says what to do.
    pub(super) fn must_run_nodes(&self, verb: &str, instead: &str) -> Result<(), CliError> {
        must_run_nodes(&self.topology, verb, instead)
    }

    /// Refuses a verb that needs the machine itself, where only a manager of a swarm is spoken to.
    pub(super) fn must_reach_machines(&self, verb: &str, instead: &str) -> Result<(), CliError> {
        if !matches!(self.runtime, Any::Swarm(_)) {
            return Ok(());
        }
        let what = format!("`{verb}` needs the hosts themselves, and a swarm is spoken to through a manager");
        Err(CliError::new(Exit::Usage, what)
            .code("MG092")
            .thing(format!("cluster `{}`, runtime `swarm`", self.cluster()))
            .note("nothing was changed")
            .help(instead))
    }

    /// Returns whether there is a topology file, which alone knows flags and environment.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Returns the name of the cluster.
    pub(super) fn cluster(&self) -> &str {
        &self.topology.name
    }

    /// Reads what exists and asks every node, with nothing of the file in mind.
    pub(super) async fn look(&self) -> Result<Observed, CliError> {
        let existing = self.runtime.observe(self.cluster(), None).await?;
        let nodes = cluster::ask_all(&self.nodes, existing.machines.iter()).await;
        Ok(Observed { existing, nodes })
    }

    /// As [`Session::look`], and reads what certificates the nodes have.
    pub(super) async fn look_closely(&self) -> Result<Observed, CliError> {
        let mut seen = self.look().await?;
        seen.existing.certificates = self.runtime.certificates(self.cluster()).await?;
        Ok(seen)
    }

    /// As [`Session::look`], and refuses a cluster that does not exist.
    pub(super) async fn look_at_existing(&self) -> Result<Observed, CliError> {
        self.must_exist(self.look().await?)
    }

    /// Refuses a cluster that does not exist.
    pub(super) fn must_exist(&self, seen: Observed) -> Result<Observed, CliError> {
        if seen.existing.machines.is_empty() {
            return Err(CliError::new(Exit::NotFound, format!("cluster `{}` is not up", self.cluster()))
                .code("MG065")
                .thing(self.runtime.describe())
                .help(format!("bring it up: {}", self.up())));
        }
        Ok(seen)
    }

    /// Returns where an instance's Bolt is, if it runs.
    pub(super) fn target(&self, seen: &Observed, instance: &str) -> Result<Target, CliError> {
        let Some(machine) = seen.existing.machines.get(instance) else {
            let names: Vec<&str> = seen.existing.machines.keys().map(String::as_str).collect();
            return Err(CliError::new(
                Exit::NotFound,
                format!("cluster `{}` has no node `{instance}`", self.cluster()),
            )
            .code("MG065")
            .note(format!("it has: {}", names.join(", "))));
        };
        match machine.bolt.clone() {
            Some(bolt) if machine.may_answer() => Ok(Target { instance: instance.to_owned(), bolt }),
            _ => Err(CliError::new(Exit::Degraded, format!("`{instance}` does not run: {}", machine.state))
                .code("MG070")
                .thing(machine.name.clone())
                .help(format!(
                    "start it: {}; see why it ended: {}",
                    self.up(),
                    self.command(&format!("logs {instance}"))
                ))),
        }
    }

    /// Returns the MAIN, by what the nodes say.
    pub(super) fn main(&self, seen: &Observed) -> Result<Target, CliError> {
        let mains = mains(seen);
        match mains.as_slice() {
            [main] => self.target(seen, main),
            [] => {
                let mut error = CliError::new(Exit::Degraded, "no node answers as MAIN")
                    .code("MG044")
                    .thing(format!("cluster `{}`", self.cluster()));
                for (name, view) in &seen.nodes {
                    error = error.note(match view {
                        NodeView::Answered(facts) => format!("`{name}` is {}", facts.role),
                        NodeView::Silent(why) => format!("`{name}`: {why}"),
                    });
                }
                Err(error.help(format!(
                    "see `{}`; `{}` brings back what is down",
                    self.command("status"),
                    self.up()
                )))
            }
            several => {
                Err(CliError::new(Exit::Unsafe, format!("several nodes are MAIN: {}", several.join(", ")))
                    .code("MG043")
                    .thing(format!("cluster `{}`", self.cluster()))
                    .help(format!("say whose writes count: {}", self.command("repair --main NAME"))))
            }
        }
    }

    /// Has everything ready that a claim needs: an image takes a while to make when it is first asked for, and that
    /// must not be when MAIN is gone.
    pub(super) async fn prepare(&self) -> Result<(), CliError> {
        let lock = self.runtime.lock(&self.topology, Duration::from_secs(60)).await?;
        self.runtime.unlock(lock).await
    }

    /// Claims the cluster for the time of `work`. `work` decides what is left to do only after that.
    pub(super) async fn locked<T>(
        &self,
        time_max: Duration,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        let lock: Lock = self.runtime.lock(&self.topology, time_max + Duration::from_secs(60)).await?;
        let began = std::time::Instant::now();
        let result = work.await;
        super::history::record(self.cluster(), began.elapsed(), result.as_ref().err());
        let given_back = self.runtime.unlock(lock).await;
        // What the work says comes first; a claim that stays is named too.
        match (result, given_back) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(_), Err(error)) => Err(error),
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(more)) => {
                let problems = error.problems().iter().chain(more.problems()).cloned().collect();
                Err(CliError::of(error.exit(), problems))
            }
        }
    }

    /// Returns the means to carry a plan out.
    pub(super) fn execution<'a>(
        &'a self,
        wish: &'a Wish,
        shown: &'a Shown,
        interrupt: Interrupt,
    ) -> Execution<'a, Any, BoltNodes, Shown> {
        Execution {
            wish,
            runtime: &self.runtime,
            nodes: &self.nodes,
            progress: shown,
            interrupt,
            deadline: Deadline::after(wish.topology.wait.timeout),
        }
    }

    /// Returns the wish that the cluster be as its file says.
    pub(super) fn wish(&self, options: Options) -> Wish {
        Wish {
            topology: self.topology.clone(),
            init: Vec::new(),
            options,
            anew: None,
            leaving: BTreeMap::new(),
        }
    }
}

/// Who mgctl is to the nodes: whom the file names, else, as without a file, whom the environment names.
fn credentials(topology: &Topology) -> Option<(String, Secret)> {
    let of_file = topology.auth.as_ref().map(|auth| (auth.username.clone(), auth.password.clone()));
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    of_file.or_else(|| Some((variable("MGCTL_USERNAME")?, Secret::new(variable("MGCTL_PASSWORD")?))))
}

/// The nodes that say they are MAIN; of several those that others follow.
pub(super) fn mains(seen: &Observed) -> Vec<String> {
    let all: Vec<(&String, bool)> = seen
        .nodes
        .iter()
        .filter_map(|(name, view)| Some((name, view.facts()?)))
        .filter(|(name, facts)| {
            // A failover has ended the reign of a fenced node.
            let is_over = seen.existing.machines.get(*name).is_some_and(|m| m.is_fenced)
                || facts.position.as_ref().is_some_and(|p| p.is_fenced());
            facts.role == Role::Main && !is_over
        })
        .map(|(name, facts)| (name, !facts.replicas.is_empty()))
        .collect();
    let followed: Vec<String> = all.iter().filter(|(_, f)| *f).map(|(n, _)| (*n).clone()).collect();
    if followed.is_empty() { all.into_iter().map(|(n, _)| n.clone()).collect() } else { followed }
}

/// As [`Session::must_run_nodes`], before there is a session.
pub(super) fn must_run_nodes(topology: &Topology, verb: &str, instead: &str) -> Result<(), CliError> {
    if !topology.is_external() {
        return Ok(());
    }
    let what = format!("`{verb}` is for nodes that mgctl runs, and someone else runs these");
    Err(CliError::new(Exit::Usage, what)
        .code("MG093")
        .thing(format!("cluster `{}`, runtime `external`", topology.name))
        .note("nothing was changed")
        .help(instead))
}

/// The error for a runtime that does not fit the file.
fn other_runtime(context: &Context, topology: &Topology, asked: topology::Runtime) -> CliError {
    let error = match asked {
        topology::Runtime::External => {
            CliError::new(Exit::Usage, "`--runtime external` is for a topology that says where each node is")
                .help("add `runtime: external` to it, and an `address` to each node")
        }
        topology::Runtime::Swarm => CliError::new(
            Exit::Usage,
            "`--runtime swarm` is for a topology of a swarm, which has rules of its own",
        )
        .help("add `runtime: swarm` to it, or for once: --set runtime=swarm"),
        other if topology.is_swarm() => {
            let what = format!("these nodes are services of a swarm: `--runtime {other}` would make others");
            CliError::new(Exit::Usage, what)
                .help(format!("leave the flag out: {} -f FILE ...", context.program))
        }
        other => {
            let what = format!("someone else runs these nodes: `--runtime {other}` would make others");
            CliError::new(Exit::Usage, what)
                .help(format!("leave the flag out: {} -f FILE ...", context.program))
        }
    };
    error.code("MG029").at(topology.place.clone())
}

/// The names of the clusters that a runtime has.
async fn clusters(runtime: &Any) -> Result<Vec<String>, CliError> {
    let found = match runtime {
        Any::Docker(docker) => docker.clusters().await?,
        Any::Swarm(swarm) => swarm.clusters().await?,
        Any::Process(processes) => return Ok(processes.clusters()),
        Any::External(_) => Vec::new(),
    };
    Ok(found.into_iter().map(|c| c.cluster).collect())
}

/// Finds the runtime: the one asked for, or Docker where an engine answers, else processes.
async fn choose(
    context: &Context,
    asked: topology::Runtime,
    cluster: Option<&str>,
    of_file: Option<&str>,
) -> Result<(Any, Option<String>), CliError> {
    let docker_context = context.docker_context.as_deref().or(of_file);
    match asked {
        topology::Runtime::Process => return Ok((Any::Process(Processes::of_this_user()?), None)),
        topology::Runtime::Swarm => {
            let swarm = Swarm::connect(context.host.as_deref(), docker_context).await?;
            return Ok((Any::Swarm(Box::new(swarm)), None));
        }
        _ => {}
    }
    let connected = Docker::connect(context.host.as_deref(), docker_context).await;
    // Who names an engine wants that one.
    let is_named = context.host.is_some() || docker_context.is_some();
    if asked == topology::Runtime::Docker || is_named {
        return Ok((Any::Docker(Box::new(connected?)), None));
    }
    match connected {
        Ok(docker) => {
            // A cluster that was made while no engine answered goes on as it is.
            let processes = Processes::of_this_user()?;
            let here = processes.clusters();
            let is_here = cluster.map_or(!here.is_empty(), |c| here.iter().any(|h| h == c));
            if is_here {
                let there = docker.clusters().await?;
                let is_there = cluster.map_or(!there.is_empty(), |c| there.iter().any(|t| t.cluster == c));
                if !is_there {
                    let why =
                        "the cluster runs as local processes, and stays so; --runtime docker makes another"
                            .to_owned();
                    return Ok((Any::Process(processes), Some(why)));
                }
            }
            Ok((Any::Docker(Box::new(docker)), None))
        }
        Err(error) if error.exit() == Exit::Engine => {
            let why = format!("{}: nodes run as local processes", error.problem().what);
            Ok((Any::Process(Processes::of_this_user()?), Some(why)))
        }
        Err(error) => Err(error),
    }
}

/// Raises an interrupt at the first Ctrl-C and ends the process at the second.
pub(super) fn on_ctrl_c(ui: &Ui) -> Interrupt {
    let interrupt = Interrupt::default();
    let (raise, ui) = (interrupt.clone(), ui.clone());
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        raise.raise();
        ui.say("interrupted: the steps that run are finished; Ctrl-C again ends at once");
        if tokio::signal::ctrl_c().await.is_ok() {
            ui.say("ended at once; `status` says how far it came, and the same command goes on from there");
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    });
    interrupt
}

/// Shows the steps of a plan.
pub(super) struct Shown {
    ui: Ui,
    network: String,
    steps: std::sync::Mutex<BTreeMap<String, ui::Step>>,
    answered: std::sync::Mutex<BTreeSet<String>>,
}

impl Shown {
    pub(super) fn new(session: &Session) -> Shown {
        let network = session.topology.network.name.clone();
        Shown {
            ui: session.ui.clone(),
            network,
            steps: std::sync::Mutex::default(),
            answered: std::sync::Mutex::default(),
        }
    }

    /// Returns the instances that have answered Bolt: since then, clients may have written to them.
    pub(super) fn answered(&self) -> BTreeSet<String> {
        self.answered.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn take(&self, id: &str) -> Option<ui::Step> {
        self.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(id)
    }

    fn begin(&self, step: &cluster::Step) -> ui::Step {
        let (verb, subject) = words(&step.action, &self.network);
        self.ui.step(verb, &subject)
    }
}

impl Progress for Shown {
    fn started(&self, step: &cluster::Step) {
        // Small steps are not worth a line unless they fail.
        let is_small =
            matches!(step.action, Action::CreateVolume(_) | Action::CreateMachine(_) | Action::AskNodes);
        if !is_small || self.ui.verbose() > 0 {
            let shown = self.begin(step);
            self.steps
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .insert(step.id.clone(), shown);
        }
    }

    fn done(&self, step: &cluster::Step, detail: &str, _: Duration) {
        if let Action::AwaitBolt(instance) = &step.action {
            let mut answered = self.answered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            answered.insert(instance.clone());
        }
        if let Some(shown) = self.take(&step.id) {
            shown.done(detail);
        }
    }

    fn failed(&self, step: &cluster::Step, error: &CliError, _: Duration) {
        self.take(&step.id).unwrap_or_else(|| self.begin(step)).failed(&error.problem().what);
    }

    fn query(&self, instance: &str, text: &str) {
        self.ui.query_sent(instance, text);
    }
}

/// A step as a verb and what it is about.
fn words(action: &Action, network: &str) -> (&'static str, String) {
    match action {
        Action::LoadImage(image) => ("image", image.to_string()),
        Action::CreateNetwork(_) => ("network", network.to_owned()),
        Action::CreateVolume(i) => ("volume", i.clone()),
        Action::CreateAuthority => ("ca", "authority of the cluster".into()),
        Action::IssueCertificate(i) => ("tls", i.clone()),
        Action::CreateMachine(i) => ("create", i.clone()),
        Action::StartMachine(i) => ("start", i.clone()),
        Action::UnpauseMachine(i) => ("unpause", i.clone()),
        Action::StopMachine(i) => ("stop", i.clone()),
        Action::RemoveMachine(i) => ("remove", i.clone()),
        Action::RemoveVolume(name) => ("delete", name.clone()),
        Action::RemoveNetwork => ("network", network.to_owned()),
        Action::AwaitBolt(i) => ("bolt", i.clone()),
        Action::BecomeReplica { instance, port } => ("role", format!("{instance} → REPLICA :{port}")),
        Action::BecomeMain { instance, .. } => ("role", format!("{instance} → MAIN")),
        Action::Rewind { instance, .. } => ("rewind", instance.clone()),
        Action::Release { instance } => ("release", instance.clone()),
        Action::Reign { instance, epoch } => ("role", format!("{instance} → epoch {epoch}")),
        Action::SaveData { instance, .. } => ("save", instance.clone()),
        Action::Fence { instance, .. } => ("fence", instance.clone()),
        Action::FenceMachine(i) => ("kill", i.clone()),
        Action::UnfenceMachine(i) => ("unfence", i.clone()),
        Action::KeepDown(i) => ("keep off", i.clone()),
        Action::KillMachine(i) => ("kill", i.clone()),
        Action::PauseMachine(i) => ("pause", i.clone()),
        Action::DisconnectMachine(i) => ("part", i.clone()),
        Action::ConnectMachine(i) => ("connect", i.clone()),
        Action::Drop { name, .. } => ("drop", name.clone()),
        Action::Register { name, mode, .. } => ("register", format!("{name} {mode}")),
        Action::AwaitLevel { name, .. } => ("ready", name.clone()),
        Action::Init { main } => ("init", format!("init.cypher on {main}")),
        Action::Prove { instance, against } => ("prove", format!("{instance} has all of {against}")),
        Action::AskNodes => ("ask", "the nodes".into()),
    }
}
