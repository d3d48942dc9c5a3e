//! Nodes as processes of this system, for machines without a container engine.
//!
//! Everything is in one folder for each cluster, by default below `~/.local/state/mgctl`:
//!
//! ```text
//! <cluster>/lock         held while a mgctl changes the cluster
//! <cluster>/network      the loopback range of its nodes, as 127.83.12.0/24
//! <cluster>/.ca/         the authority: `ca.crt` and `ca.key`, for this user alone
//! <cluster>/.export-ca/  the same, of nodes that `mgctl export` wrote certificates for
//! <cluster>/<node>/tls/    certificate and key of the node, and the authority's certificate
//! <cluster>/<node>/volume  name of the volume that `data` is
//! <cluster>/<node>/data/   what the node keeps
//! <cluster>/<node>/spec    what it was made from; without it there is no machine, only data
//! <cluster>/<node>/command its address, its Bolt address, and its arguments
//! <cluster>/<node>/env     its environment, for this user alone: it may hold secrets
//! <cluster>/<node>/pid     process id and start time; written by the process itself, too
//! <cluster>/<node>/fenced  a failover ended it: until it is a REPLICA again its role does not count
//! <cluster>/<node>/log     what it says; `log.1` is what it said before
//! ```
//!
//! Each node has a loopback address of its own, so that all of them use the replication port of the file.
//! Where there is only one loopback address each gets a port of its own. A process is known by its id and
//! its start time together: an id that now belongs to something else is never signalled. mgctl is not a
//! supervisor: a process that ended is started by the next `up`.

mod identity;
mod limits;

use super::ports::{self, Ports};
use crate::authority::{Authority, Certificate, demanded, seconds_left};
use crate::cluster::{Action, Existing, Machine, MachineState, Runtime, Spec, Subnetwork};
use crate::error::{CliError, Exit};
use crate::topology::{Container, Data, Endpoint, Image, Instance, Subnet, Topology, show_duration};
use crate::words::count;
use identity::Identity;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How long a killed process may take to be gone.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// A log longer than this is put aside when its node starts.
const LOG_BYTES_MAX: u64 = 10 << 20;

/// Files of certificates and keys.
const AUTHORITY_CERTIFICATE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const NODE_CERTIFICATE: &str = "node.crt";
const NODE_KEY: &str = "node.key";

/// File of a node's environment.
const ENVIRONMENT: &str = "env";

/// Where a node that publishes no Bolt listens, on its own loopback address.
const BOLT: u16 = 7687;

/// Set for a node that this room starts: where it writes who it is.
const PID_FILE: &str = "MGCTL_PID_FILE";

/// Set for such a node, too: the limits of the system that it gives itself.
const ULIMITS: &str = "MGCTL_ULIMITS";

/// This system as a runtime.
pub struct Processes {
    root: PathBuf,
    ports: Ports,
}

/// A claim on a cluster; given back when dropped.
#[derive(Debug)]
#[must_use = "the claim ends when it is dropped"]
pub struct Lock {
    _file: File,
}

/// Leaves the terminal's session and notes who this process is, if it was started as a node by
/// [`Processes`]. To be called before anything else.
///
/// # Errors
///
/// When the system does not allow the limits that its topology asks for; in words.
pub fn enter_session() -> Result<(), String> {
    let Some(path) = std::env::var_os(PID_FILE) else { return Ok(()) };
    #[cfg(unix)]
    // It fails only for the leader of a group, which has left the terminal's group already.
    let _ = rustix::process::setsid();
    if let Some(me) = Identity::of(std::process::id()) {
        // The parent writes the same once it knows; this one is for a parent that died in between.
        let _ = replace(Path::new(&path), OWN, &me.to_text());
    }
    match std::env::var(ULIMITS) {
        Ok(text) => limits::apply(&text),
        Err(_) => Ok(()),
    }
}

impl Processes {
    /// Returns this system, its state below the user's state folder.
    pub fn of_this_user() -> Result<Processes, CliError> {
        let state = std::env::var_os("XDG_STATE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = state.or_else(|| std::env::home_dir().map(|h| h.join(".local/state")));
        match root {
            Some(root) if root.is_absolute() => Ok(Processes::below(root.join("mgctl"))),
            _ => Err(CliError::new(Exit::Other, "there is no folder for the state of local processes")
                .code("MG078")
                .help("set HOME or XDG_STATE_HOME to a folder that can be written")),
        }
    }

    /// Returns this system, its state below `root`.
    pub fn below(root: PathBuf) -> Processes {
        Processes { root, ports: Ports::default() }
    }

    /// Returns the names of the clusters that have machines here.
    pub fn clusters(&self) -> Vec<String> {
        let mut names: Vec<String> = entries(&self.root)
            .into_iter()
            .filter(|cluster| {
                entries(&self.root.join(cluster))
                    .iter()
                    .any(|n| self.folder(cluster, n).join("spec").exists())
            })
            .collect();
        names.sort();
        names
    }

    /// Makes a topology fit this system: with one loopback address, nodes differ by their ports.
    pub fn adapt(&self, topology: &mut Topology) {
        topology.network.is_external = false;
        // Names are an engine's; every node has an address here.
        if topology.addressing == crate::topology::Addressing::Dns {
            topology.addressing = crate::topology::Addressing::Static;
        }
        if has_own_addresses() {
            return;
        }
        let mut used = BTreeSet::new();
        for instance in &mut topology.instances {
            while !used.insert(instance.replication_port) {
                instance.replication_port += 1;
            }
        }
    }

    /// Claims a cluster until the claim is dropped.
    pub fn lock(&self, cluster: &str) -> Result<Lock, CliError> {
        let path = self.root.join(cluster).join("lock");
        let file = fs::create_dir_all(self.root.join(cluster))
            .and_then(|()| OpenOptions::new().create(true).truncate(false).write(true).open(&path))
            .map_err(|error| failed("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(CliError::new(Exit::Conflict, format!("another mgctl is at work on cluster `{cluster}`"))
                    .code("MG090")
                    .thing(format!("`{}`", path.display()))
                    .help("wait for it; the claim ends with that process"))
            }
            Err(fs::TryLockError::Error(error)) => Err(failed("lock", &path, &error)),
        }
    }

    fn folder(&self, cluster: &str, instance: &str) -> PathBuf {
        self.root.join(cluster).join(instance)
    }

    /// Returns the folder of this user's state.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where is written down what was done to a cluster.
    pub fn diary(&self, cluster: &str) -> PathBuf {
        self.root.join(cluster).join("events.jsonl")
    }

    /// Returns the log of a node.
    pub fn log_path(&self, cluster: &str, instance: &str) -> PathBuf {
        self.folder(cluster, instance).join("log")
    }

    fn network(&self, cluster: &str) -> Result<Option<Subnet>, CliError> {
        let text = read_text(&self.root.join(cluster).join("network"))?;
        Ok(text.and_then(|t| Subnet::parse(t.trim())))
    }

    fn read_machine(&self, cluster: &str, instance: &str) -> Result<Option<Machine>, CliError> {
        let folder = self.folder(cluster, instance);
        let Some(spec) = read_text(&folder.join("spec"))? else { return Ok(None) };
        let command =
            read_text(&folder.join("command"))?.and_then(|t| serde_json::from_str::<Value>(&t).ok());
        let field = |name: &str| command.as_ref().and_then(|c| c.get(name)).and_then(Value::as_str);
        let identity = read_text(&folder.join("pid"))?.and_then(|t| Identity::parse(&t));
        let running = identity.as_ref().filter(|i| i.is_alive());
        Ok(Some(Machine {
            id: identity.as_ref().map_or_else(|| "never started".to_owned(), Identity::to_text),
            name: identity
                .as_ref()
                .map_or_else(|| format!("process of `{instance}`"), |i| format!("process {}", i.pid)),
            state: match (&identity, running) {
                (None, _) => MachineState::Created,
                (Some(_), Some(identity)) if identity.is_frozen() => MachineState::Paused,
                (Some(_), Some(_)) => MachineState::Running,
                (Some(_), None) => MachineState::Exited { code: None, out_of_memory: false },
            },
            spec: Spec::parse(&spec),
            address: field("address").and_then(|ip| ip.parse().ok()),
            bolt: field("bolt").and_then(|a| a.parse::<SocketAddr>().ok()).map(Endpoint::from),
            image_is_current: true,
            started: running.and_then(|_| {
                let changed = fs::metadata(folder.join("pid")).and_then(|m| m.modified()).ok()?;
                Some(changed.duration_since(UNIX_EPOCH).ok()?.as_secs())
            }),
            is_fenced: folder.join("fenced").exists(),
            unhealthy: None,
            host: None,
        }))
    }

    fn create_network(&self, topology: &Topology) -> Result<String, CliError> {
        let folder = self.root.join(&topology.name);
        make_folder(&folder)?;
        let subnet = if has_own_addresses() {
            let taken: BTreeSet<Ipv4Addr> = self
                .others(&topology.name)
                .iter()
                .filter_map(|name| self.network(name).ok().flatten())
                .map(Subnet::base)
                .collect();
            let digest = Sha256::digest(topology.name.as_bytes());
            let seed = u32::from(u16::from_be_bytes([digest[0], digest[1]]));
            // 127.1.0.0 to 127.254.255.0: what people and systems use themselves is below and above.
            let ranges = 254 * 256;
            let base = |i: u32| Ipv4Addr::from(0x7f01_0000 + (((seed + i) % ranges) << 8));
            let free = |b: &Ipv4Addr| {
                let first = Ipv4Addr::from(u32::from(*b) + 11);
                !taken.contains(b) && UdpSocket::bind((first, topology.main().replication_port)).is_ok()
            };
            (0..ranges).map(base).find(free).and_then(|b| Subnet::new(b, 24))
        } else {
            Subnet::parse("127.0.0.0/24")
        };
        let subnet =
            subnet.ok_or_else(|| CliError::new(Exit::Conflict, "no loopback range is free").code("MG021"))?;
        write_text(&folder.join("network"), &subnet.to_string())?;
        Ok(format!("loopback {subnet}"))
    }

    fn others(&self, cluster: &str) -> Vec<String> {
        entries(&self.root).into_iter().filter(|name| name != cluster).collect()
    }

    fn create_volume(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let folder = self.folder(&topology.name, &instance.name);
        make_folder(&folder.join("data"))?;
        write_text(&folder.join("volume"), instance.data.as_str())?;
        Ok(format!("created {}", folder.join("data").display()))
    }

    fn authority_folder(&self, cluster: &str) -> PathBuf {
        // No node can have this name.
        self.root.join(cluster).join(".ca")
    }

    /// Returns the authority of nodes that this user's exports are for, made when it is first asked for. It is not
    /// that of a cluster of processes: nodes there and here do not let each other in.
    pub fn export_authority(&self, cluster: &str) -> Result<Authority, CliError> {
        let _claim = self.lock(cluster)?;
        read_or_make(cluster, &self.root.join(cluster).join(".export-ca"))
    }

    /// Reads the authority, or makes it. The claim on the cluster keeps others from it meanwhile.
    fn authority(&self, cluster: &str) -> Result<Authority, CliError> {
        read_or_make(cluster, &self.authority_folder(cluster))
    }

    fn issue_certificate(&self, topology: &Topology, instance: &str) -> Result<String, CliError> {
        let cluster = &topology.name;
        let leaf = match &topology.tls_files {
            Some(files) => demanded(files, topology, instance)?,
            None => self.authority(cluster)?.issue(instance)?,
        };
        let folder = self.folder(cluster, instance).join("tls");
        make_private_folder(&folder)?;
        write_private(&folder.join(AUTHORITY_CERTIFICATE), &leaf.authority, 0o400)?;
        write_private(&folder.join(NODE_CERTIFICATE), &leaf.certificate, 0o400)?;
        write_private(&folder.join(NODE_KEY), &leaf.key, 0o400)?;
        let days = seconds_left(&leaf.certificate).unwrap_or(0) / 86_400;
        Ok(format!("certificate for {}", count(days, "day")))
    }

    fn create_machine(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let cluster = &topology.name;
        let folder = self.folder(cluster, &instance.name);
        make_folder(&folder)?;
        let subnet = self.network(cluster)?.ok_or_else(|| gone(cluster, "its network"))?;
        let address = self.address(topology, instance, subnet)?;
        let held = |port: u16| ports::is_bound(topology.bind, port);
        let bolt = match self.ports.choose(topology, instance, &held) {
            Some(port) if held(port) => return Err(port_taken(topology, instance, port)),
            Some(port) => SocketAddr::new(topology.bind, port),
            None => SocketAddr::new(IpAddr::V4(address), BOLT),
        };
        let mut arguments = vec![
            "node".to_owned(),
            format!("--bolt-address={}", bolt.ip()),
            format!("--bolt-port={}", bolt.port()),
            format!("--bolt-advertised-address={bolt}"),
            format!("--replication-address={address}"),
            format!("--data-directory={}", folder.join("data").display()),
        ];
        if topology.cluster_tls {
            for (flag, file) in [("cert", NODE_CERTIFICATE), ("key", NODE_KEY), ("ca", AUTHORITY_CERTIFICATE)]
            {
                arguments.push(format!("--cluster-{flag}-file={}", folder.join("tls").join(file).display()));
            }
        }
        arguments.extend(instance.flags.iter().map(|(name, value)| format!("--{name}={value}")));
        if let Data::Folder(path) = &instance.data {
            return Err(CliError::new(
                Exit::Usage,
                format!("processes keep data in a folder of their own, not in `{path}`"),
            )
            .code("MG034")
            .at(instance.place.clone())
            .help("use `volumes: { data: auto }`, or `runtime: docker`"));
        }
        let command = json!({
            "address": address.to_string(), "bolt": bolt.to_string(), "arguments": arguments,
            "ulimits": limits::to_text(&instance.container.ulimits),
        });
        write_text(&folder.join("command"), &command.to_string())?;
        // Whoever starts it again need not have the file: an engine keeps it for a container, too.
        write_private(&folder.join(ENVIRONMENT), &json!(instance.env).to_string(), 0o600)?;
        remove_file(&folder.join("pid"))?;
        // Last: from now on there is a machine.
        write_text(&folder.join("spec"), &Spec::of(topology, instance).to_text())?;
        Ok(format!("Bolt {bolt}"))
    }

    /// The node's loopback address: the one of its place in the file, or the next that no node has.
    fn address(
        &self,
        topology: &Topology,
        instance: &Instance,
        subnet: Subnet,
    ) -> Result<Ipv4Addr, CliError> {
        if !has_own_addresses() {
            return Ok(Ipv4Addr::LOCALHOST);
        }
        let mut taken = BTreeSet::new();
        for other in entries(&self.root.join(&topology.name)).iter().filter(|n| **n != instance.name) {
            if let Some(Machine { address: Some(IpAddr::V4(ip)), .. }) =
                self.read_machine(&topology.name, other)?
            {
                taken.insert(ip);
            }
        }
        let place = topology.instances.iter().position(|i| i.name == instance.name).unwrap_or(0);
        let mut nodes = subnet.nodes().skip(place).chain(subnet.nodes());
        nodes.find(|ip| !taken.contains(ip)).ok_or_else(|| {
            CliError::new(Exit::Conflict, format!("{subnet} has no address left for `{}`", instance.name))
                .code("MG020")
        })
    }

    fn start(&self, topology: &Topology, instance: &Instance) -> Result<String, CliError> {
        let cluster = &topology.name;
        let folder = self.folder(cluster, &instance.name);
        let machine =
            self.read_machine(cluster, &instance.name)?.ok_or_else(|| gone(cluster, &instance.name))?;
        if machine.is_running() {
            return Ok("runs already".into());
        }
        let environment = environment(&folder, instance, machine.spec.as_ref())?;
        let command = read_text(&folder.join("command"))?.unwrap_or_default();
        let command: Value = serde_json::from_str(&command).unwrap_or_default();
        let bolt = command.get("bolt").and_then(Value::as_str).and_then(|a| a.parse::<SocketAddr>().ok());
        if let Some(bolt) = bolt
            && ports::is_bound(bolt.ip(), bolt.port())
        {
            return Err(port_taken(topology, instance, bolt.port()));
        }
        let arguments: Vec<&str> = command
            .get("arguments")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let log_path = folder.join("log");
        if fs::metadata(&log_path).is_ok_and(|m| m.len() > LOG_BYTES_MAX) {
            fs::rename(&log_path, folder.join("log.1")).map_err(|e| failed("rename", &log_path, &e))?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&log_path);
        let log = log.map_err(|e| failed("open", &log_path, &e))?;
        let err = log.try_clone().map_err(|e| failed("open", &log_path, &e))?;
        let program = std::env::current_exe().map_err(|e| failed("find", Path::new("mgctl"), &e))?;
        remove_file(&folder.join("pid"))?;
        let mut child = Command::new(&program);
        child.args(arguments).stdin(Stdio::null()).stdout(log).stderr(err).current_dir(&folder);
        child.env_clear().envs(environment).env(PID_FILE, folder.join("pid"));
        if let Some(limits) = command.get("ulimits").and_then(Value::as_str) {
            child.env(ULIMITS, limits);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut child, 0);
        let child = child.spawn().map_err(|e| failed("start", &program, &e))?;
        if let Some(identity) = Identity::of(child.id()) {
            write_text(&folder.join("pid"), &identity.to_text())?;
        }
        Ok(format!("process {}", child.id()))
    }

    async fn stop(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let folder = self.folder(cluster, instance);
        let Some(identity) = read_text(&folder.join("pid"))?.and_then(|t| Identity::parse(&t)) else {
            return Ok("never started".into());
        };
        if !identity.is_alive() {
            return Ok("ended already".into());
        }
        identity.signal(identity::Signal::Terminate).map_err(|e| failed("stop", &folder, &e))?;
        // One that stands still hears nothing.
        identity.signal(identity::Signal::Continue).map_err(|e| failed("stop", &folder, &e))?;
        let spec = read_text(&folder.join("spec"))?.and_then(|text| Spec::parse(&text));
        let grace = spec.map_or(Container::STOP_GRACE, |spec| spec.stop_grace());
        let until = Instant::now() + grace;
        while identity.is_alive() {
            if Instant::now() > until {
                identity.signal(identity::Signal::Kill).map_err(|e| failed("kill", &folder, &e))?;
                tokio::time::sleep(Duration::from_millis(100)).await;
                return Ok(format!("killed, since it did not end within {}", show_duration(grace)));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok("stopped".into())
    }

    /// Signals a process, and waits until the signal has done what it is for.
    async fn signal(
        &self,
        cluster: &str,
        instance: &str,
        signal: identity::Signal,
        done: &str,
    ) -> Result<String, CliError> {
        let folder = self.folder(cluster, instance);
        let identity = read_text(&folder.join("pid"))?.and_then(|t| Identity::parse(&t));
        let identity = identity.filter(Identity::is_alive).ok_or_else(|| {
            CliError::new(Exit::Degraded, format!("`{instance}` does not run")).code("MG070")
        })?;
        identity.signal(signal).map_err(|e| failed("signal", &folder, &e))?;
        let until = Instant::now() + KILL_TIME_MAX;
        let is_done = || match signal {
            identity::Signal::Terminate | identity::Signal::Kill => !identity.is_alive(),
            identity::Signal::Freeze => identity.is_frozen(),
            identity::Signal::Continue => !identity.is_frozen(),
        };
        while !is_done() {
            if Instant::now() > until {
                let what =
                    format!("process {} is not {done} within {}s", identity.pid, KILL_TIME_MAX.as_secs());
                return Err(CliError::new(Exit::TimedOut, what).code("MG076").thing(format!("`{instance}`")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(done.to_owned())
    }

    /// Writes what an ended process's node keeps into a tar file.
    fn save_data(&self, cluster: &str, instance: &str, path: &Path) -> Result<String, CliError> {
        let data = self.folder(cluster, instance).join("data");
        let save = || {
            let mut archive = tar::Builder::new(File::create_new(path)?);
            archive.append_dir_all("data", &data)?;
            let file = archive.into_inner()?;
            file.sync_all()?;
            file.metadata().map(|m| m.len())
        };
        let bytes = save().map_err(|e| failed("write", path, &e).note("nothing was deleted"))?;
        Ok(format!("{} ({bytes} bytes)", path.display()))
    }

    /// Ends a process at once, and notes that what its node says of its role is over.
    async fn fence(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let folder = self.folder(cluster, instance);
        if self.read_machine(cluster, instance)?.is_none() {
            return Ok("is gone".into());
        }
        write_text(&folder.join("fenced"), "")?;
        let Some(identity) = read_text(&folder.join("pid"))?.and_then(|t| Identity::parse(&t)) else {
            return Ok("never started".into());
        };
        if !identity.is_alive() {
            return Ok("had ended".into());
        }
        identity.signal(identity::Signal::Kill).map_err(|e| failed("kill", &folder, &e))?;
        let until = Instant::now() + KILL_TIME_MAX;
        while identity.is_alive() {
            if Instant::now() > until {
                return Err(CliError::new(
                    Exit::TimedOut,
                    format!("process {} did not end within {}s", identity.pid, KILL_TIME_MAX.as_secs()),
                )
                .code("MG076")
                .thing(format!("`{instance}`")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok("killed".into())
    }

    fn remove(&self, cluster: &str, instance: &str) -> Result<String, CliError> {
        let folder = self.folder(cluster, instance);
        if let Some(machine) = self.read_machine(cluster, instance)?
            && machine.is_running()
        {
            return Err(CliError::new(Exit::Conflict, format!("`{instance}` still runs"))
                .code("MG077")
                .thing(machine.name)
                .help("`mgctl down` stops it first"));
        }
        for name in ["spec", "command", ENVIRONMENT, "pid", "pid.own", "fenced", "log", "log.1"] {
            remove_file(&folder.join(name))?;
        }
        remove_folder(&folder.join("tls"))?;
        remove_if_empty(&folder)?;
        Ok("removed".into())
    }

    fn remove_volume(&self, cluster: &str, name: &str) -> Result<String, CliError> {
        if name == authority_volume(cluster) {
            remove_folder(&self.authority_folder(cluster))?;
            return Ok("removed".into());
        }
        for instance in entries(&self.root.join(cluster)) {
            let folder = self.folder(cluster, &instance);
            if read_text(&folder.join("volume"))?.as_deref() == Some(name) {
                if self.read_machine(cluster, &instance)?.is_some() {
                    return Err(CliError::new(
                        Exit::Conflict,
                        format!("volume `{name}` is in use by `{instance}`"),
                    )
                    .code("MG077"));
                }
                remove_folder(&folder.join("data"))?;
                remove_file(&folder.join("volume"))?;
                remove_if_empty(&folder)?;
                return Ok("removed".into());
            }
        }
        Ok("is gone".into())
    }

    fn remove_network(&self, cluster: &str) -> Result<String, CliError> {
        let folder = self.root.join(cluster);
        remove_file(&folder.join("network"))?;
        // The lock file stays while it is held; an empty folder is no cluster.
        Ok("removed".into())
    }
}

impl Runtime for Processes {
    fn describe(&self) -> String {
        format!("local processes, {}", self.root.display())
    }

    async fn observe(&self, cluster: &str, _: Option<&Topology>) -> Result<Existing, CliError> {
        let mut existing = Existing::default();
        existing.images.insert(Image::BuiltIn.to_string());
        existing.network = self
            .network(cluster)?
            // The file's own network is for an engine; there is nothing to compare it with here.
            .map(|subnet| Subnetwork {
                name: format!("loopback {subnet}"),
                subnet: None,
                driver: None,
                mtu: None,
                is_external: false,
            });
        for instance in entries(&self.root.join(cluster)) {
            let folder = self.folder(cluster, &instance);
            if let (Some(volume), true) = (read_text(&folder.join("volume"))?, folder.join("data").is_dir()) {
                existing.volumes.insert(volume);
            }
            if let Some(machine) = self.read_machine(cluster, &instance)? {
                if let Some(certificate) = read_certificate(&folder)? {
                    existing.certificates.insert(instance.clone(), certificate);
                }
                existing.machines.insert(instance, machine);
            }
        }
        existing.has_authority = self.authority_folder(cluster).join(AUTHORITY_KEY).exists();
        if existing.has_authority {
            existing.volumes.insert(authority_volume(cluster));
        }
        Ok(existing)
    }

    async fn certificates(&self, cluster: &str) -> Result<BTreeMap<String, Certificate>, CliError> {
        let found = entries(&self.root.join(cluster)).into_iter().map(|instance| {
            let read = read_certificate(&self.folder(cluster, &instance))?;
            Ok(read.map(|certificate| (instance, certificate)))
        });
        Ok(found.collect::<Result<Vec<_>, CliError>>()?.into_iter().flatten().collect())
    }

    async fn machine(&self, cluster: &str, instance: &str) -> Result<Option<Machine>, CliError> {
        self.read_machine(cluster, instance)
    }

    async fn carry_out(&self, topology: &Topology, action: &Action) -> Result<String, CliError> {
        let cluster = &topology.name;
        let instance = |name: &str| topology.instance(name).ok_or_else(|| gone(cluster, name));
        match action {
            Action::LoadImage(Image::BuiltIn) => Ok("this executable".into()),
            Action::LoadImage(Image::Named(name)) => {
                Err(CliError::new(Exit::Engine, format!("image `{name}` needs a container engine"))
                    .code("MG062")
                    .thing("runtime `process`")
                    .help("start Docker, or leave `image:` out to run the node that is in mgctl"))
            }
            Action::CreateNetwork(_) => self.create_network(topology),
            Action::CreateVolume(name) => self.create_volume(topology, instance(name)?),
            Action::CreateAuthority => self.authority(cluster).map(|_| "in this user's state folder".into()),
            Action::IssueCertificate(name) => self.issue_certificate(topology, name),
            Action::CreateMachine(name) => self.create_machine(topology, instance(name)?),
            Action::StartMachine(name) => self.start(topology, instance(name)?),
            Action::UnpauseMachine(name) => {
                self.signal(cluster, name, identity::Signal::Continue, "running").await
            }
            Action::KillMachine(name) => self.signal(cluster, name, identity::Signal::Kill, "killed").await,
            Action::PauseMachine(name) => {
                self.signal(cluster, name, identity::Signal::Freeze, "frozen").await
            }
            Action::DisconnectMachine(_) | Action::ConnectMachine(_) => {
                Err(CliError::new(Exit::Usage, "local processes share one network: they cannot be parted")
                    .code("MG092"))
            }
            Action::StopMachine(name) => self.stop(cluster, name).await,
            Action::SaveData { instance, path } => self.save_data(cluster, instance, path),
            Action::FenceMachine(name) => self.fence(cluster, name).await,
            Action::UnfenceMachine(name) => {
                remove_file(&self.folder(cluster, name).join("fenced"))?;
                Ok("counts again".into())
            }
            Action::RemoveMachine(name) => self.remove(cluster, name),
            Action::RemoveVolume(name) => self.remove_volume(cluster, name),
            Action::RemoveNetwork => self.remove_network(cluster),
            other => unreachable!("`{other}` is for nodes, not for machines"),
        }
    }

    async fn last_lines(&self, cluster: &str, instance: &str, lines: usize) -> Vec<String> {
        // They only illustrate another error: without them it is told all the same.
        tail(&self.log_path(cluster, instance), lines).unwrap_or_default()
    }
}

/// Returns the last lines of a file; of a long one no more than those in its last 256 KiB.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    const TAIL_BYTES_MAX: u64 = 256 << 10;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|l| (*l).to_owned()).collect())
}

/// Returns the environment that a node was made with. A mgctl that kept none has left it to the topology file.
fn environment(
    folder: &Path,
    instance: &Instance,
    spec: Option<&Spec>,
) -> Result<BTreeMap<String, String>, CliError> {
    let path = folder.join(ENVIRONMENT);
    match read_text(&path)? {
        Some(text) => serde_json::from_str(&text).map_err(|error| {
            CliError::new(Exit::Other, format!("`{}` cannot be read: {error}", path.display()))
                .code("MG078")
                .help("mgctl up --recreate TOPOLOGY makes it anew, and keeps the data")
        }),
        None if spec.is_some_and(|spec| !spec.has_env_of(instance)) => Err(CliError::new(
            Exit::Usage,
            format!("the environment of `{}` is known from its topology file alone", instance.name),
        )
        .code("MG001")
        .note("the mgctl that made this node kept only a digest of it; nothing was started")
        .help(format!("name the file: mgctl -f TOPOLOGY start {}", instance.name))
        .help("mgctl up --recreate TOPOLOGY makes it anew, and from then on no file is needed")),
        None => Ok(instance.env.clone()),
    }
}

/// Returns true if every address of 127.0.0.0/8 is this system's own, as on Linux.
fn has_own_addresses() -> bool {
    UdpSocket::bind((Ipv4Addr::new(127, 83, 12, 11), 0)).is_ok()
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok())
        .filter(|e| e.path().is_dir())
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn read_text(path: &Path) -> Result<Option<String>, CliError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Ending of what a node has written of its `pid` and not yet named so: its parent may write the same.
const OWN: &str = "own";

/// Replaces a file as a whole, so that a reader sees the old or the new one.
fn write_text(path: &Path, text: &str) -> Result<(), CliError> {
    replace(path, "new", text).map_err(|e| failed("write", path, &e))
}

/// Writes a file with another ending, then gives it its name. Who writes the same file needs an ending of its own.
fn replace(path: &Path, ending: &str, text: &str) -> io::Result<()> {
    let beside = path.with_extension(ending);
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

fn make_folder(path: &Path) -> Result<(), CliError> {
    fs::create_dir_all(path).map_err(|e| failed("make folder", path, &e))
}

/// Makes a folder that only this user can look into.
fn make_private_folder(path: &Path) -> Result<(), CliError> {
    make_folder(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(|e| failed("protect", path, &e))?;
    Ok(())
}

/// Replaces a file as a whole, which only this user can read from its first byte on.
fn write_private(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let beside = path.with_extension("new");
    // A file that is there keeps its mode, and one of an earlier attempt may not be writable.
    remove_file(&beside)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|e| failed("write", path, &e))
}

fn read_or_make(cluster: &str, folder: &Path) -> Result<Authority, CliError> {
    let (certificate, key) = (folder.join(AUTHORITY_CERTIFICATE), folder.join(AUTHORITY_KEY));
    if let Some(key) = read_text(&key)? {
        let certificate = read_text(&certificate)?.unwrap_or_default();
        return Authority::read(cluster, &certificate, &key);
    }
    let made = Authority::make(cluster)?;
    make_private_folder(folder)?;
    write_private(&certificate, made.certificate(), 0o600)?;
    // Last: from now on there is an authority.
    write_private(&key, &made.key(), 0o600)?;
    Ok(made)
}

/// Reads the certificate of the node in `folder`. One that cannot be read is none: the node is given another.
fn read_certificate(folder: &Path) -> Result<Option<Certificate>, CliError> {
    let tls = folder.join("tls");
    let (leaf, authority) =
        (read_text(&tls.join(NODE_CERTIFICATE))?, read_text(&tls.join(AUTHORITY_CERTIFICATE))?);
    Ok(leaf.zip(authority).and_then(|(leaf, authority)| Certificate::read(&leaf, &authority)))
}

fn authority_volume(cluster: &str) -> String {
    format!("mgctl-{cluster}-ca")
}

fn remove_folder(path: &Path) -> Result<(), CliError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

fn remove_if_empty(path: &Path) -> Result<(), CliError> {
    match fs::remove_dir(path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::Other, format!("cannot {verb} `{}`: {error}", path.display())).code("MG078")
}

fn gone(cluster: &str, what: &str) -> CliError {
    CliError::new(Exit::NotFound, format!("`{what}` does not exist"))
        .code("MG065")
        .thing(format!("cluster `{cluster}`"))
        .help("`mgctl up` makes it")
}

fn port_taken(topology: &Topology, instance: &Instance, port: u16) -> CliError {
    CliError::new(
        Exit::Conflict,
        format!("{}:{port} is in use by another process (ss -ltnp 'sport = :{port}')", topology.bind),
    )
    .code("MG019")
    .at(instance.place.clone())
    .thing(format!("Bolt of `{}`", instance.name))
    .help(format!("set instances.{}.ports.bolt to a free port, or `ports.strategy: auto`", instance.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node and the mgctl that started it both write its identity, while others look.
    #[test]
    fn an_identity_that_two_write_at_once_is_always_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let me = Identity::of(std::process::id()).unwrap();
        write_text(&path, &me.to_text()).unwrap();
        std::thread::scope(|scope| {
            let parent = scope.spawn(|| (0..2000).try_for_each(|_| write_text(&path, &me.to_text())));
            let node = scope.spawn(|| (0..2000).try_for_each(|_| replace(&path, OWN, &me.to_text())));
            while !(parent.is_finished() && node.is_finished()) {
                let text = read_text(&path).unwrap().expect("it has its name");
                assert_eq!(Identity::parse(&text).as_ref(), Some(&me));
            }
            parent.join().unwrap().unwrap();
            node.join().unwrap().unwrap();
        });
    }

    fn made(root: &Path, env: &[(&str, &str)]) -> (Processes, Topology) {
        let text = "name: t-env\ninstances:\n  m: { role: main }\n  r: { role: replica }\n";
        let source = crate::topology::Source {
            name: "t.yaml".into(),
            directory: root.to_path_buf(),
            text: text.to_owned(),
        };
        let mut topology = crate::topology::load(&source, &|_| None).unwrap().topology;
        topology.cluster_tls = false;
        topology.instances[0].env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        topology.instances[0].bolt = crate::topology::BoltPort::None;
        let processes = Processes::below(root.to_path_buf());
        processes.create_network(&topology).unwrap();
        processes.create_machine(&topology, &topology.instances[0]).unwrap();
        (processes, topology)
    }

    #[test]
    fn a_node_is_started_with_the_environment_that_it_was_made_with_whoever_has_its_file() {
        let root = tempfile::tempdir().unwrap();
        let (processes, topology) = made(root.path(), &[("RUST_LOG", "debug"), ("TOKEN", "secret")]);
        let folder = processes.folder("t-env", "m");
        let machine = processes.read_machine("t-env", "m").unwrap().unwrap();
        let spec = machine.spec.as_ref();
        assert!(!read_text(&folder.join("spec")).unwrap().unwrap().contains("secret"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.join(ENVIRONMENT)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // As the labels tell the topology: without any environment.
        let mut bare = topology.instances[0].clone();
        bare.env.clear();
        assert_eq!(environment(&folder, &bare, spec).unwrap(), topology.instances[0].env);

        // Made by a mgctl that kept none: only the file knows it, and nothing is started without.
        fs::remove_file(folder.join(ENVIRONMENT)).unwrap();
        assert_eq!(environment(&folder, &topology.instances[0], spec).unwrap(), topology.instances[0].env);
        let error = environment(&folder, &bare, spec).unwrap_err();
        assert!(error.to_string().contains("mgctl -f TOPOLOGY start m"), "{error}");

        processes.remove("t-env", "m").unwrap();
        assert!(!folder.join(ENVIRONMENT).exists());
    }
}
