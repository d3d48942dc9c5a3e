//! How long writes stand still when MAIN dies while `mgctl supervise --auto-failover` watches.
//!
//! A cluster of three processes, both replicas SYNC: MAIN is killed (`kill -9`), or frozen
//! (SIGSTOP), and clients try to write to every other node until one of them takes it. Between two faults the
//! guardian brings the old MAIN back as a replica. No reads, no load: what counts is detection, fencing and promotion.

use crate::Samples;
use mg_tests::bolt::Bolt;
use mg_tests::mgctl::{User, Where};
use mg_tests::wait;
use mgbolt::PackValue;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const NAME: &str = "bench-heal";
const NODES: [&str; 3] = ["n0", "n1", "n2"];
const PORT_BASE: usize = 27787;
const FILE: &str = "heal.yaml";
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two tries to write to a node.
const PAUSE: Duration = Duration::from_millis(2);

/// What happens to MAIN.
#[derive(Clone, Copy)]
enum Fault {
    Crash,
    Hang,
}

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let user = User::new(dir.path(), Where::Process);
    user.file(
        FILE,
        &format!(
            "name: {NAME}\nports: {{ bolt_base: {PORT_BASE} }}\ninstances:\n  n0: {{ role: main }}\n  \
             n1: {{ role: replica, mode: SYNC }}\n  n2: {{ role: replica, mode: SYNC }}\n"
        ),
    );
    user.ok(&["up", FILE]);
    let measured = measure(&user, rounds);
    user.ok(&["-f", FILE, "down", "--volumes", "--yes"]);
    let faults = measured?;
    println!("| MAIN, and what is wanted | p50 ms | longest ms | of | wanted | |");
    println!("|---|---|---|---|---|---|");
    for (name, limit, samples) in faults {
        let longest = samples.times.last().copied().unwrap_or_default();
        let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
        let sign = if longest <= limit { "✓" } else { "✗" };
        println!(
            "| {name}: from the fault to the first write that another node takes | {} | {} | {} | at most {} | {sign} |",
            ms(samples.p50()),
            ms(longest),
            samples.times.len(),
            ms(limit)
        );
    }
    Ok(())
}

type Measured = Vec<(&'static str, Duration, Samples)>;

fn measure(user: &User, rounds: usize) -> Result<Measured, Box<dyn Error>> {
    let log = user.dir.join("guard");
    let mut command = user.command();
    command.args(["supervise", FILE, "--auto-failover"]).stderr(File::create(&log)?);
    let _guard = Guard(command.spawn()?);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait::until("it watches", LIMIT, || if said().contains("watched") { Ok(()) } else { Err(said()) });
    let mut all = vec![
        ("killed", Duration::from_secs(2), Samples::default()),
        ("frozen", Duration::from_secs(5), Samples::default()),
    ];
    for _ in 0..rounds {
        for (fault, (_, _, samples)) in [Fault::Crash, Fault::Hang].into_iter().zip(&mut all) {
            let main = wait::until("one MAIN, and two replicas that have everything", LIMIT, || {
                well().map_err(|e| format!("{e}\n{}", said()))
            });
            samples.add_round(vec![strike(&user.dir, main, fault)?]);
        }
    }
    wait::until("all is well again", LIMIT, || well().map_err(|e| format!("{e}\n{}", said())));
    Ok(all)
}

/// Harms MAIN; returns how long it took until another node had written.
fn strike(dir: &Path, main: usize, fault: Fault) -> Result<Duration, Box<dyn Error>> {
    let others: Vec<usize> = (0..NODES.len()).filter(|i| *i != main).collect();
    let mut clients = others.iter().map(|i| connect(*i)).collect::<Result<Vec<_>, _>>()?;
    let signal = match fault {
        Fault::Crash => "-KILL",
        Fault::Hang => "-STOP",
    };
    let pid = pid(dir, NODES[main])?;
    let begun = Instant::now();
    let status = Command::new("kill").args([signal, &pid]).status()?;
    if !status.success() {
        return Err(format!("kill {signal} {pid} ended with {status}").into());
    }
    loop {
        for client in &mut clients {
            if client.run("CREATE (:Written)").is_ok() {
                return Ok(begun.elapsed());
            }
        }
        if begun.elapsed() > LIMIT {
            return Err(format!("no node took a write within {LIMIT:?}").into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// The place of the one MAIN, where both others follow it and lack nothing.
fn well() -> Result<usize, String> {
    let mut mains = Vec::new();
    for (i, node) in NODES.iter().enumerate() {
        let mut client = connect(i).map_err(|e| format!("{node}: {e}"))?;
        let said = client.run("SHOW REPLICATION ROLE").map_err(|e| format!("{node}: {e}"))?;
        if said.rows.first().and_then(|row| row.first()) == Some(&PackValue::from("main")) {
            let replicas = client.run("SHOW REPLICAS").map_err(|e| e.to_string())?;
            let is_ready = |row: &Vec<PackValue>| format!("{row:?}").contains("ready");
            let ready = replicas.rows.iter().filter(|row| is_ready(row)).count();
            if ready != NODES.len() - 1 {
                return Err(format!("{ready} replicas are ready: {:?}", replicas.rows));
            }
            mains.push(i);
        }
    }
    match mains[..] {
        [main] => Ok(main),
        _ => Err(format!("{} nodes are MAIN", mains.len())),
    }
}

fn connect(node: usize) -> Result<Bolt, mgctl::query::QueryError> {
    Bolt::connect(&format!("127.0.0.1:{}", PORT_BASE + node))
}

fn pid(dir: &Path, node: &str) -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string(dir.join("state/mgctl").join(NAME).join(node).join("pid"))?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// The guardian; it ends with the measurement.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
