//! Start-up and shutdown of a node, in reading order.

use crate::background::{Background, Kind};
use crate::bolt::{BoltConfig, Listener};
use crate::config::{Command, Config, ConfigError};
use crate::disk::{self, Directory, Disk, DiskOptions, Opened, Room};
use crate::driver::{self, Driver, Handle};
use crate::log;
use crate::memory::{self, MemoryRoom, MemoryWatch};
use crate::quic::{Credentials, Quic};
use mgnode_core::durability::OnDamage;
use mgnode_core::engine::{Admin, EngineConfig, Shared};
use mgnode_core::types::{Names, NodeId, NodeState, Role};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

const EXIT_OK: u8 = 0;
const EXIT_FAILURE: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Stack of a thread that parses and runs queries. Their nesting is limited; this holds the deepest
/// allowed in a build without optimisation too. Only what is touched is ever memory.
const STACK_BYTES: usize = 16 << 20;

/// How often the start asks whether the engine is ready.
const SETTLED_POLL: Duration = Duration::from_millis(2);

/// Runs a node as the arguments say, until SIGTERM or SIGINT, and returns the exit code. The first
/// argument is the program's own name.
pub fn main_from_args(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args = args.into_iter().skip(1).map(|arg| {
        arg.into_string().map_err(|arg| ConfigError(format!("`{}` is not valid UTF-8", arg.display())))
    });
    let config = match args.collect::<Result<Vec<_>, _>>().and_then(Config::from_args) {
        Ok(Command::Run(config)) => *config,
        Ok(Command::Print(text)) => {
            println!("{}", text.trim_end());
            return EXIT_OK;
        }
        Err(e) => {
            eprintln!("error: {e}");
            return EXIT_USAGE;
        }
    };
    match log::open(&config).and_then(|()| run(&config)) {
        Ok(()) => EXIT_OK,
        Err(e) => {
            // The log may not be open, or may be a file that nobody watches.
            eprintln!("error: {e}");
            EXIT_FAILURE
        }
    }
}

fn run(config: &Config) -> Result<(), String> {
    let begun = Instant::now();
    for flag in &config.ignored {
        tracing::warn!("`--{flag}` has no effect here");
    }
    if let Some(directory) = config.import_directory.as_ref().filter(|directory| !directory.is_dir()) {
        let directory = directory.display();
        return Err(format!(
            "`--import-directory={directory}` is no directory; make it, or leave the flag out"
        ));
    }
    memory::give_back();
    // Signals are caught from the first moment: as PID 1 nothing else would end the process.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().max(2)))
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start threads: {e}"))?;
    let stop = runtime.block_on(async { stop_signal() }).map_err(|e| format!("cannot catch signals: {e}"))?;

    let directory =
        Directory::open(&config.data_directory, config.lock_timeout).map_err(|e| e.to_string())?;
    let credentials = match &config.cluster_files {
        Some(files) => Credentials::cluster(files.clone())?,
        None => Credentials::own(directory.root())?,
    };
    let names = Arc::new(Names::default());
    let on_damage = if config.cut_damaged_wal { OnDamage::Cut } else { OnDamage::Refuse };
    let mut opened = disk::open(directory, on_damage, names, fresh_state).map_err(|e| e.to_string())?;
    if !config.replication_restore_state_on_startup {
        forget_role(&mut opened.recovered.state);
    }
    tracing::info!(
        node = %opened.recovered.state.node,
        vertices = opened.recovered.graph.counts().vertices,
        edges = opened.recovered.graph.counts().edges,
        last = %opened.recovered.last,
        "recovered `{}` in {} ms",
        config.data_directory.display(),
        begun.elapsed().as_millis(),
    );

    let (inputs, queue) = driver::queue();
    let Opened { recovered, ready } = opened;
    let memory = MemoryRoom::new(config.memory_max.unwrap_or_else(memory::default_limit));
    let background = Arc::<Background>::default();
    let options =
        DiskOptions { memory: memory.clone(), background: background.clone(), ..disk_options(config) };
    let disk = Disk::start(ready, &options, inputs.clone()).map_err(|e| e.to_string())?;
    let watched = {
        let inputs = inputs.clone();
        MemoryWatch::start(&memory, move |input| inputs.send(input))
            .map_err(|e| format!("cannot start threads: {e}"))?
    };
    let quic = Quic::new(
        runtime.handle().clone(),
        config.replication_address,
        inputs.clone(),
        disk.snapshots(),
        credentials,
    );
    let driver =
        Driver::start((inputs, queue), engine_config(config), recovered, Box::new(disk), Box::new(quic))
            .map_err(|e| format!("cannot start the engine: {e}"))?;
    let room = Room::new(&config.data_directory, config.wal_segment_bytes);
    let handle = driver.handle().with_room(room);
    let upkeep = Upkeep::start(&runtime, config, &handle, &background);

    let served = runtime.block_on(serve(config, &handle, background, stop, begun));

    drop((upkeep, watched));
    if served.is_ok() && config.snapshot_on_exit {
        match runtime.block_on(handle.admin(Admin::CreateSnapshot)) {
            Ok(_) => tracing::info!("a snapshot was taken"),
            // Nothing is lost: the log holds it all.
            Err(e) => tracing::info!("no snapshot was taken: {e}"),
        }
    }
    driver.stop();
    runtime.shutdown_timeout(Duration::from_secs(1));
    if served.is_ok() {
        tracing::info!("stopped");
    }
    served
}

/// Opens Bolt once the node is ready to serve, and serves until `stop`.
async fn serve(
    config: &Config,
    handle: &Handle,
    background: Arc<Background>,
    stop: watch::Receiver<bool>,
    begun: Instant,
) -> Result<(), String> {
    let mut stopping = stop.clone();
    tokio::select! {
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        () = settled(handle.shared()) => {}
    }
    let address = SocketAddr::new(config.bolt_address, config.bolt_port);
    let listener = Listener::bind(address).map_err(|e| {
        format!("cannot open Bolt on {address}: {e}; give another `--bolt-address` or `--bolt-port`")
    })?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let role = match handle.shared().role() {
        Role::Main => "MAIN".to_owned(),
        Role::Replica { port } => format!("REPLICA on UDP port {port}"),
    };
    tracing::info!("{role}, Bolt on {address}, ready after {} ms", begun.elapsed().as_millis());
    let bolt = BoltConfig { background, ..BoltConfig::new(config) };
    listener.serve(handle.clone(), bolt, stop).await;
    tracing::info!("no more clients");
    Ok(())
}

/// Waits until the node knows what it is: a MAIN that has asked its replicas, or a REPLICA. The engine
/// bounds that.
async fn settled(shared: &Shared) {
    while !shared.is_settled() {
        tokio::time::sleep(SETTLED_POLL).await;
    }
}

/// Returns a watch that becomes true at SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: stopping");
        // The receivers live as long as anyone cares.
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

fn fresh_state() -> NodeState {
    let node = getrandom::u64().expect("the system gives out random numbers");
    NodeState::fresh(NodeId(node))
}

/// What `--replication-restore-state-on-startup=false` asks for. The promise of epochs stays: it
/// protects what others were told.
fn forget_role(state: &mut NodeState) {
    if state.role != Role::Main || !state.replicas.is_empty() {
        tracing::info!(
            "starts as MAIN without replicas, as `--replication-restore-state-on-startup=false` asks"
        );
    }
    state.role = Role::Main;
    state.replicas.clear();
}

fn disk_options(config: &Config) -> DiskOptions {
    DiskOptions {
        durability: config.durability,
        segment_bytes: config.wal_segment_bytes,
        ..DiskOptions::default()
    }
}

fn engine_config(config: &Config) -> EngineConfig {
    let defaults = EngineConfig::default();
    EngineConfig {
        sync_timeout: config.sync_timeout,
        sync_policy: config.sync_policy,
        sync_min_acks: config.sync_min_acks,
        wait_in_doubt: config.wait_in_doubt,
        block_timeout: config.block_timeout,
        main_lease: config.main_lease,
        confirm_required: config.confirm_required,
        auto_rewind: config.auto_rewind,
        bolt: config.bolt_advertised_addresses.clone(),
        snapshots_kept: config.snapshots_kept,
        ping_every: config.replica_check_every.map_or(defaults.ping_every, |d| d.min(defaults.ping_every)),
        ..defaults
    }
}

/// What is done from time to time, beside everything else.
struct Upkeep {
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Upkeep {
    fn start(
        runtime: &tokio::runtime::Runtime,
        config: &Config,
        handle: &Handle,
        background: &Arc<Background>,
    ) -> Upkeep {
        let sweeps = collect_garbage(handle.clone(), background.clone(), config.gc_every);
        let mut tasks = vec![runtime.spawn(sweeps)];
        if let Some(every) = config.snapshot_every {
            tasks.push(runtime.spawn(take_snapshots(handle.clone(), background.clone(), every)));
        }
        Upkeep { tasks }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn collect_garbage(handle: Handle, background: Arc<Background>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let graph = handle.shared().graph();
        let under_way = background.begin(Kind::Garbage);
        // A slice is bounded; what is left is done before the next pause.
        let sweep = move || {
            while graph.collect_garbage().more {}
            drop(under_way);
        };
        let swept = tokio::task::spawn_blocking(sweep).await;
        if let Err(e) = swept {
            tracing::error!("old versions could not be swept: {e}");
        }
    }
}

async fn take_snapshots(handle: Handle, background: Arc<Background>, every: Duration) {
    let mut last = handle.shared().graph().published();
    loop {
        background.schedule_snapshot(every);
        tokio::time::sleep(every).await;
        let published = handle.shared().graph().published();
        if published == last {
            continue;
        }
        match handle.admin(Admin::CreateSnapshot).await {
            Ok(_) => last = published,
            Err(e) => tracing::warn!("no snapshot was taken: {e}"),
        }
    }
}
