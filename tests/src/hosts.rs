//! Hosts of a swarm on one machine: engines of their own, each in namespaces of its own, over a bridge between them.
//!
//! A host has a name, an address and processes of its own; to kill its first process is to cut its power: the engine
//! and every container end at once, and its disk stays. All of it goes with the test, also with one that fails or is
//! killed.

use crate::docker::Engine;
use crate::wait;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The range between the hosts.
const NET: &str = "10.213.77";
const BRIDGE: &str = "mgt-br";
/// Two engines share the cores of one machine, beside whatever else runs there.
const LIMIT: Duration = Duration::from_secs(300);

/// Engines that are one swarm. The first manages it.
pub struct Hosts {
    dir: tempfile::TempDir,
    pub hosts: Vec<Host>,
}

/// One of them.
pub struct Host {
    /// Its host name.
    pub name: String,
    /// Where the others, and the test, reach it.
    pub address: String,
    dir: PathBuf,
    process: Option<Child>,
}

/// Runs a command to its end; `Err` is what it said.
fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output();
    let out = out.map_err(|e| format!("{program}: {e}"))?;
    match out.status.success() {
        true => Ok(()),
        false => {
            Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim()))
        }
    }
}

/// Between containers of a bridge the kernel asks the firewall, and Docker's says no.
const FORWARD: [&str; 7] = ["FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"];

impl Hosts {
    /// Starts so many hosts and makes them one swarm; `Err` says why this machine cannot have them.
    pub fn start(count: usize) -> Result<Hosts, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("hosts of their own need root".to_owned());
        }
        for program in ["dockerd", "containerd", "ip", "iptables", "nsenter", "unshare", "setpriv"] {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            if !std::env::split_paths(&paths).any(|dir| dir.join(program).exists()) {
                return Err(format!("hosts of their own need `{program}`"));
            }
        }
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        std::fs::write(dir.path().join("engine.json"), "{}").map_err(|e| e.to_string())?;
        let hosts = (0..count).map(|i| Host {
            name: format!("host-{}", (b'a' + i as u8) as char),
            address: format!("{NET}.{}", 11 + i),
            dir: dir.path().join(format!("{i}")),
            process: None,
        });
        let mut all = Hosts { hosts: hosts.collect(), dir };
        all.sweep();
        run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
        run("ip", &["addr", "add", &format!("{NET}.1/24"), "dev", BRIDGE])?;
        run("ip", &["link", "set", BRIDGE, "up"])?;
        run("iptables", &[&["-I"], &FORWARD[..]].concat())?;
        for host in &all.hosts {
            host.connect()?;
        }
        for index in 0..count {
            all.begin(index);
        }
        for host in &all.hosts {
            host.await_engine()?;
        }
        let (first, rest) = all.hosts.split_first().ok_or("no hosts are asked for")?;
        let token = first.engine().begin_swarm(&first.address)?;
        for host in rest {
            host.engine().join_swarm(&host.address, &first.address, &token)?;
        }
        Ok(all)
    }

    fn begin(&mut self, index: usize) {
        let config = self.dir.path().join("engine.json");
        self.hosts[index].begin(&config);
    }

    /// Cuts the power of a host.
    pub fn kill(&mut self, index: usize) {
        self.hosts[index].end();
        self.hosts[index].disconnect();
    }

    /// Gives it power again: its engine starts with what is on its disk.
    pub fn restart(&mut self, index: usize) {
        self.hosts[index].connect().unwrap_or_else(|e| panic!("{e}"));
        self.begin(index);
        self.hosts[index].await_engine().unwrap_or_else(|e| panic!("{e}"));
    }

    /// Removes what has the names of hosts, of this test or of one that was cut off.
    fn sweep(&mut self) {
        for host in &mut self.hosts {
            host.end();
        }
        for host in &self.hosts {
            host.disconnect();
            host.sweep_groups();
        }
        let _ = run("iptables", &[&["-D"], &FORWARD[..]].concat());
        let _ = run("ip", &["link", "del", BRIDGE]);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.sweep();
    }
}

impl Host {
    /// What `--host` and `DOCKER_HOST` take.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its engine.
    pub fn engine(&self) -> Engine {
        Engine::at(&self.socket()).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("engine.sock")
    }

    fn space(&self) -> String {
        format!("mgt-{}", self.name)
    }

    fn wire(&self) -> String {
        format!("mgt-{}", self.name)
    }

    fn connect(&self) -> Result<(), String> {
        let (space, wire) = (self.space(), self.wire());
        run("ip", &["netns", "add", &space])?;
        run("ip", &["link", "add", &wire, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
        run("ip", &["link", "set", &wire, "master", BRIDGE, "up"])?;
        run("ip", &["-n", &space, "addr", "add", &format!("{}/24", self.address), "dev", "eth0"])?;
        run("ip", &["-n", &space, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", &space, "link", "set", "lo", "up"])?;
        run("ip", &["-n", &space, "route", "add", "default", "via", &format!("{NET}.1")])
    }

    /// Takes it off the net, with all that its engine made there.
    fn disconnect(&self) {
        // They may not be there, and what stays in the way is told when it is made.
        let _ = run("ip", &["link", "del", &self.wire()]);
        let _ = run("ip", &["netns", "del", &self.space()]);
    }

    /// Starts its engine. Should the test be killed, it goes too.
    fn begin(&mut self, config: &Path) {
        std::fs::create_dir_all(&self.dir).expect("the test's folder can be written");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log"));
        let log = log.expect("the test's folder can be written");
        let dir = self.dir.display();
        // A host that lost its power has none of what its engine kept in memory.
        let script = format!(
            "hostname {} && mkdir -p /run/docker /run/containerd && mount -t tmpfs none /run/docker && \
             mount -t tmpfs none /run/containerd && rm -f {dir}/engine.pid && exec dockerd --config-file {} \
             -H unix://{} --data-root {dir}/data --pidfile {dir}/engine.pid --cgroup-parent /{}",
            self.name,
            config.display(),
            self.socket().display(),
            self.space(),
        );
        let net = format!("--net=/run/netns/{}", self.space());
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter", &net, "unshare", "--mount", "--uts", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("setpriv can be started"));
    }

    fn await_engine(&self) -> Result<(), String> {
        let socket = self.socket();
        let answer =
            std::panic::catch_unwind(|| wait::until("the engine answers", LIMIT, || Engine::at(&socket)));
        answer.map(|_| ()).map_err(|_| {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            format!("the engine of {} does not start: {}", self.name, last.join(" / "))
        })
    }

    /// Ends it at once, with all that runs there.
    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Gone already is as good.
            let _ = process.kill();
            let _ = process.wait();
            // The kernel ends the rest of the namespace with its first process.
            wait::until("nothing runs on the host", LIMIT, || {
                let out = Command::new("ip").args(["netns", "pids", &self.space()]).output();
                let pids = out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
                match pids {
                    Ok(pids) if pids.is_empty() => Ok(()),
                    Ok(pids) => Err(format!("processes {pids}")),
                    Err(e) => Err(e.to_string()),
                }
            });
        }
    }

    /// Removes the control groups that killed containers leave, deepest first.
    fn sweep_groups(&self) {
        fn remove(dir: &Path) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    remove(&entry.path());
                }
            }
            // One that is still in use is empty, and harms nobody.
            let _ = std::fs::remove_dir(dir);
        }
        let root = Path::new("/sys/fs/cgroup");
        let controllers = std::fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path());
        for base in controllers.chain([root.to_owned()]) {
            let own = base.join(self.space());
            if own.is_dir() {
                remove(&own);
            }
        }
    }
}
