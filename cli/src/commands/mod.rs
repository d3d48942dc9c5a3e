//! One file per verb. A verb gets its arguments and a [`Context`], and ends with an exit code or an error.

mod backup;
mod chaos;
mod console;
mod diff;
mod doctor;
mod down;
mod drill;
mod dump;
mod env;
mod explain;
mod export;
mod failover;
mod history;
mod image;
mod import;
mod init;
mod install;
mod lag;
mod lifecycle;
mod live;
mod load;
mod log_line;
mod logs;
mod ls;
mod promote;
mod query;
mod rejoin;
mod repair;
mod replicas;
mod scale;
mod schema;
mod select;
mod session;
mod status;
mod supervise;
mod transfer;
mod tree;
mod up;
mod uri;
mod validate;
mod verify;
mod version;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::args::{Command, Global};
use crate::error::{CliError, Exit};
use crate::topology::Runtime;
use crate::ui::Ui;

pub use select::{Selected, Selection};

/// What every verb gets beside its own arguments.
#[derive(Clone)]
pub struct Context {
    /// Streams, colour, questions, progress.
    pub ui: Ui,
    /// Which cluster is meant.
    pub selection: Selection,
    /// `--host`: the engine to talk to.
    pub host: Option<String>,
    /// `--context`: the docker context of the engine; stands over the file.
    pub docker_context: Option<String>,
    /// `--runtime`: stands over the file.
    pub runtime: Option<Runtime>,
    /// How mgctl was started, for commands that the user can repeat: `mgctl`, or its path.
    pub program: String,
}

impl Context {
    /// Returns the context of `command`. `file` and `verbose` are those before the verb.
    ///
    /// # Errors
    ///
    /// When flags contradict each other.
    pub fn new(
        global: &Global,
        file: Option<&PathBuf>,
        verbose: u8,
        command: &Command,
        program: String,
    ) -> Result<Context, CliError> {
        let (file_after, verbose_after) = command.after_verb();
        let ui = Ui::new(global, verbose + verbose_after);
        let selection = Selection::new(file, file_after, global.cluster.as_deref(), &global.set)?;
        Ok(Context {
            ui,
            selection,
            host: global.host.clone(),
            docker_context: global.context.clone(),
            runtime: global.runtime,
            program,
        })
    }
}

/// Returns how mgctl is to be named in commands that a user can repeat: its bare name where the search path leads
/// to it, else as it was started.
pub fn started_as(argument: Option<&OsString>) -> String {
    let Some(path) = argument.map(Path::new).filter(|path| path.file_name().is_some()) else {
        return "mgctl".to_owned();
    };
    let name = path.file_name().unwrap_or_default();
    let same = |other: PathBuf| match (other.canonicalize(), path.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    let search = std::env::var_os("PATH").unwrap_or_default();
    let bare = path.components().count() == 1;
    if bare || std::env::split_paths(&search).any(|directory| same(directory.join(name))) {
        return name.to_string_lossy().into_owned();
    }
    path.display().to_string()
}

/// Runs a verb.
///
/// # Errors
///
/// Whatever kept it from its work; the exit code is in the error.
pub async fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Validate(args) => validate::run(args, context),
        Command::Schema(args) => schema::run(context, args),
        Command::Version => version::run(context).await,
        Command::Up(args) => up::run(context, args).await,
        Command::Down(args) => down::run(context, args).await,
        Command::Init(args) => init::run(context, args),
        Command::Start(args) => lifecycle::start(context, args).await,
        Command::Stop(args) => lifecycle::stop(context, args).await,
        Command::Restart(args) => lifecycle::restart(context, args).await,
        Command::Add(args) => scale::add(context, args).await,
        Command::Remove(args) => scale::remove(context, args).await,
        Command::Scale(args) => scale::scale(context, args).await,
        Command::Upgrade(args) => scale::upgrade(context, args).await,
        Command::Ls => ls::run(context).await,
        Command::Events(args) => watch::events(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Report(args) => doctor::report(context, args).await,
        Command::Topology(args) => tree::run(context, args).await,
        Command::Explain(args) => explain::run(context, args),
        Command::Status(args) => status::run(context, args).await,
        Command::Lag(args) => lag::run(context, args).await,
        Command::ShowReplicas(args) => replicas::show(context, args).await,
        Command::Register(args) => replicas::register(context, args).await,
        Command::Unregister(args) => replicas::unregister(context, args).await,
        Command::Promote(args) => promote::run(context, args).await,
        Command::Failover(args) => failover::run(context, args).await,
        Command::Rejoin(args) => rejoin::run(context, args).await,
        Command::Reinit(args) => rejoin::reinit(context, args).await,
        Command::Repair(args) => repair::run(context, args).await,
        Command::SetMode(args) => repair::set_mode(context, args).await,
        Command::Demote(args) => promote::demote(context, args).await,
        Command::Supervise(args) => supervise::run(context, args).await,
        Command::Drill(args) => drill::run(context, args).await,
        Command::Load(args) => load::run(context, args).await,
        Command::Chaos(args) => chaos::run(context, args).await,
        Command::Heal(args) => chaos::heal(context, args).await,
        Command::Console(args) => console::run(context, args).await,
        Command::Env(args) => env::run(context, args).await,
        Command::Completions(args) => install::completions(context, args),
        Command::Man(args) => install::man(context, args),
        Command::Query(args) => query::run(context, args).await,
        Command::Verify(args) => verify::run(context, args).await,
        Command::Backup(args) => backup::run(context, args).await,
        Command::Restore(args) => backup::restore(context, args).await,
        Command::Dump(args) => dump::run(context, args).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Logs(args) => logs::run(context, args).await,
        Command::Diff(args) => diff::run(context, args).await,
        Command::Uri(args) => uri::run(context, args).await,
        Command::Export { command } => export::run(context, command),
        Command::Image { command } => image::run(context, command).await,
        Command::Node { .. } => Err(CliError::new(
            Exit::Other,
            "this library holds no node: the executable hands `node` over itself",
        )),
    }
}
