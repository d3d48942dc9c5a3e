//! Nodes as real processes.

use crate::{paths, wait};
use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest wait for a node to open its Bolt port.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A node of a test's own, with an address on loopback that no other test uses.
#[derive(Debug)]
pub struct Node {
    /// Bolt is on port 7687 there, replication on 10000.
    pub ip: IpAddr,
    /// Its log lies here.
    pub dir: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    flags: Vec<String>,
    dies_at: Option<String>,
    stops_at: Option<String>,
    fails_at: Option<String>,
    protocol_max: Option<u16>,
    child: Option<Child>,
}

/// Gives out 127.77.x.y, and then 127.78.x.y and the next; x is from this process, so that test programs do not meet.
fn next_ip() -> IpAddr {
    const OF_ONE_RANGE: u32 = 254;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(n < 4 * OF_ONE_RANGE, "a test program starts at most {} nodes", 4 * OF_ONE_RANGE);
    let small = |n: u32| u8::try_from(n).expect("it is below 256");
    let range = 77 + small(n / OF_ONE_RANGE);
    IpAddr::from([127, range, small(std::process::id() % 256), small(n % OF_ONE_RANGE + 1)])
}

impl Node {
    /// Starts a node whose files lie in `dir/name`, and waits until it answers.
    pub fn start(dir: &Path, name: &str, flags: &[&str]) -> Node {
        let mut node = Node::new(dir, name, flags);
        node.spawn();
        node
    }

    /// A node that does not run yet.
    pub fn new(dir: &Path, name: &str, flags: &[&str]) -> Node {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).expect("the test's folder can be written");
        let data = dir.join("data");
        let flags = flags.iter().map(|s| (*s).to_owned()).collect();
        let (dies_at, stops_at, fails_at, protocol_max) = (None, None, None, None);
        Node { ip: next_ip(), dir, data, flags, dies_at, stops_at, fails_at, protocol_max, child: None }
    }

    /// Has it name its own Bolt address to the cluster, by which clients that route are sent to it.
    pub fn advertise(&mut self) {
        self.flags.push(format!("--bolt-advertised-address={}", self.bolt()));
    }

    /// Starts it again where it was, after [`kill`](Node::kill) or [`stop`](Node::stop).
    pub fn spawn(&mut self) {
        self.launch();
        self.wait_ready();
    }

    /// Starts the process without waiting for it.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "the node runs already");
        let log =
            File::options().create(true).append(true).open(self.log_file()).expect("the log can be opened");
        let ip = self.ip;
        let child = Command::new(paths::mgctl())
            .arg("node")
            .arg(format!("--bolt-address={ip}"))
            .arg(format!("--replication-address={ip}"))
            .arg(format!("--data-directory={}", self.data.display()))
            .args(&self.flags)
            .envs(self.dies_at.iter().map(|place| ("MGNODE_DIE_AT", place)))
            .envs(self.stops_at.iter().map(|place| ("MGNODE_STOP_AT", place)))
            .envs(self.fails_at.iter().map(|place| ("MGNODE_FAIL_AT", place)))
            .envs(self.protocol_max.iter().map(|n| ("MGNODE_PROTOCOL_MAX", n.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mgctl can be started");
        self.child = Some(child);
    }

    /// Waits until the Bolt port is open. Panics with the log where the process ends instead.
    pub fn wait_ready(&mut self) {
        let bolt = self.bolt();
        let log = self.log_file();
        let child = self.child.as_mut().expect("the node was launched");
        wait::until(&format!("node {bolt} opens its port"), START_LIMIT, || {
            if let Ok(Some(status)) = child.try_wait() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("the node ended with {status}:\n{said}");
            }
            TcpStream::connect_timeout(&bolt, Duration::from_millis(200)).map(drop)
        });
    }

    /// Where clients connect.
    pub fn bolt(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 7687)
    }

    /// What to give to `REGISTER REPLICA`, for the usual port.
    pub fn replication(&self) -> String {
        format!("{}:10000", self.ip)
    }

    /// The file that takes its standard error.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The lines of its log that hold a text.
    pub fn log_lines(&self, text: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.log_file()).expect("a node that was started has a log");
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the node runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a killed child can be waited for");
    }

    /// Lets it die at a place of its code, `NAME` or `NAME:n`, in its next lives; `None`: no more.
    pub fn die_at(&mut self, place: Option<&str>) {
        self.dies_at = place.map(str::to_owned);
    }

    /// Waits until it has died where [`die_at`](Node::die_at) said.
    pub fn wait_dead(&mut self) {
        use std::os::unix::process::ExitStatusExt;
        let place = self.dies_at.clone().expect("a place was named");
        let status = self.wait_end(&format!("the node dies at {place}"), START_LIMIT);
        let name = place.split(':').next().expect("a split gives one part");
        let said = self.log_lines(&format!("dies at `{name}`"));
        assert!(
            status.signal() == Some(9) && !said.is_empty(),
            "the node ended with {status}, not at {place}"
        );
    }

    /// Lets it stand still at a place of its code, `NAME` or `NAME:n`, in its next lives; `None`: no more.
    pub fn stop_at(&mut self, place: Option<&str>) {
        self.stops_at = place.map(str::to_owned);
    }

    /// Waits until it stands still. `CONT` lets it go on.
    pub fn wait_stopped(&self) {
        let path = format!("/proc/{}/stat", self.pid());
        wait::until("the node stands still", START_LIMIT, || {
            let stat = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
            // The state follows the name, which is in brackets.
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if state == Some('T') { Ok(()) } else { Err(format!("its state is {state:?}")) }
        });
    }

    /// Lets a call to the disk fail at a place of its code, `NAME` or `NAME:n`, in its next lives; `None`: no
    /// more.
    pub fn fail_at(&mut self, place: Option<&str>) {
        self.fails_at = place.map(str::to_owned);
    }

    /// Makes it an older node in its next lives, which speaks no newer replication protocol; `None`: no more.
    pub fn limit_protocol(&mut self, newest: Option<u16>) {
        self.protocol_max = newest;
    }

    /// Waits until it has ended by its own decision, and returns the last line of its log about that.
    pub fn wait_halted(&mut self) -> String {
        let status = self.wait_end("the node ends by itself", START_LIMIT);
        let said = self.log_lines("the node stops at once");
        assert_eq!(status.code(), Some(1), "the node ended with {status}: {said:?}");
        said.last().expect("it says why").clone()
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid();
        let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
        assert!(status.expect("kill can be started").success());
        if name == "STOP" {
            // A thread that runs goes on until it next enters the kernel.
            wait::until("every thread is stopped", Duration::from_secs(20), || {
                let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("Linux has it");
                let is_stopped = threads.flatten().all(|thread| {
                    let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                    // The name, in parentheses, may hold anything.
                    stat.is_empty() || stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"))
                });
                if is_stopped { Ok(()) } else { Err("a thread runs") }
            });
        }
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let status = self.wait_end("the node ends after SIGTERM", Duration::from_secs(20));
        assert!(status.success(), "after SIGTERM the node ended with {status}");
    }

    /// Waits until the process has ended. Where it does not, it is still this node's to kill.
    fn wait_end(&mut self, what: &str, limit: Duration) -> std::process::ExitStatus {
        let child = self.child.as_mut().expect("the node was launched");
        let status = wait::until(what, limit, || {
            child.try_wait().expect("a child can be asked").ok_or("it still runs")
        });
        self.child = None;
        status
    }

    /// Empties the data directory of a node that does not run.
    pub fn wipe(&self) {
        assert!(self.child.is_none(), "the node runs");
        std::fs::remove_dir_all(&self.data).expect("the data directory can be removed");
    }

    /// Gives further flags to the next start.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|s| (*s).to_owned()).collect();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is fine; it is waited for either way.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
