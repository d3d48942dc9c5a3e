//! Writes under load, by many clients that remember what they were told; and `mgctl load`.
//!
//! Every write creates one vertex `(:MgctlLoad {run, id})` with an id that is used once, so that afterwards each
//! answer can be held against what the nodes have: an acknowledged id that is missing was lost, one that is there
//! twice was duplicated, a refused one that is there was not refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::session::{Session, on_ctrl_c};
use super::{Context, diff};
use crate::args;
use crate::cluster::{Interrupt, Observed, Plan, Target};
use crate::error::{CliError, Exit, Problem};
use crate::query::{BoltNodes, Client, Map, QueryError};
use crate::topology::Endpoint;
use crate::ui::Ui;
use crate::words::count;

/// How long a client looks for MAIN at one node.
const PROBE_TIME_MAX: Duration = Duration::from_millis(500);

/// How long a client waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long the questions after a load may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(60);

/// What a client was told about a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// It stands.
    Ok,
    /// It stands, and a SYNC replica missed it.
    Degraded,
    /// It did not and will not happen.
    Refused,
    /// Nothing, or that it is in doubt.
    Unknown,
}

/// One write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) id: u64,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) told: Told,
    /// Where it was sent, as a place in the list of nodes.
    pub(super) node: usize,
}

/// What is broken, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken {
    pub(super) since: Instant,
    /// A MAIN that is to be replaced, as a place in the list of nodes: what it still acknowledges is not the end of
    /// the outage.
    pub(super) main: Option<usize>,
}

impl Broken {
    /// Returns true if such a write shows that writes go on.
    pub(super) fn is_over_by(&self, began: Instant, node: usize) -> bool {
        began >= self.since && self.main != Some(node)
    }
}

/// Who writes, and how much.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) clients: u32,
    /// Writes a second, of all clients together; `None`: as many as are answered.
    pub(super) rate: Option<u32>,
    /// How long one answer is awaited.
    pub(super) patience: Duration,
}

/// Clients at work. They end when it is dropped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<Write>>>,
    acknowledged: Arc<AtomicU64>,
    broken: Arc<OnceLock<Broken>>,
    is_over: Arc<AtomicBool>,
    nodes: Vec<Endpoint>,
    pub(super) run: String,
}

impl Load {
    /// Lets the clients begin. They look for MAIN among `nodes` by themselves, and reach them as mgctl does.
    pub(super) fn start(reach: &BoltNodes, nodes: &[Endpoint], shape: &Shape, run: String) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let ids = Arc::new(AtomicU64::new(1));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let pause =
            shape.rate.map(|rate| Duration::from_secs_f64(f64::from(shape.clients) / f64::from(rate.max(1))));
        let broken: Arc<OnceLock<Broken>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = (0..shape.clients).map(|index| {
            let writer = Writer {
                reach: reach.clone(),
                nodes: nodes.to_vec(),
                run: run.clone(),
                ids: ids.clone(),
                stop: stop.clone(),
                acknowledged: acknowledged.clone(),
                broken: broken.clone(),
                is_over: is_over.clone(),
                pause,
                // Not all at the same moment.
                first: pause.unwrap_or_default().mul_f64(f64::from(index) / f64::from(shape.clients)),
                patience: shape.patience,
            };
            tokio::spawn(writer.write())
        });
        let clients = clients.collect();
        Load { stop, clients, acknowledged, broken, is_over, nodes: nodes.to_vec(), run }
    }

    /// Returns how many writes were acknowledged so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Notes that something is broken now: this MAIN, or something else.
    pub(super) fn break_now(&self, main: Option<&Endpoint>) -> Broken {
        let main = main.and_then(|main| self.nodes.iter().position(|node| node == main));
        *self.broken.get_or_init(|| Broken { since: Instant::now(), main })
    }

    /// Returns true once a write that began after that was acknowledged, by another MAIN if that is what broke.
    pub(super) fn goes_on(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Lets each client end after the write that it is at, and returns all writes.
    pub(super) async fn stop(mut self) -> Result<Vec<Write>, CliError> {
        self.stop.store(true, Ordering::SeqCst);
        let mut writes = Vec::new();
        for client in std::mem::take(&mut self.clients) {
            writes.extend(
                client
                    .await
                    .map_err(|error| CliError::new(Exit::Other, format!("a client ended: {error}")))?,
            );
        }
        writes.sort_by_key(|w| w.began);
        Ok(writes)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in &self.clients {
            client.abort();
        }
    }
}

struct Writer {
    reach: BoltNodes,
    nodes: Vec<Endpoint>,
    run: String,
    ids: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    broken: Arc<OnceLock<Broken>>,
    is_over: Arc<AtomicBool>,
    pause: Option<Duration>,
    first: Duration,
    patience: Duration,
}

impl Writer {
    async fn write(self) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut main: Option<(Client, usize)> = None;
        let mut next = Instant::now() + self.first;
        while !self.stop.load(Ordering::Relaxed) {
            let Some((client, node)) = main.as_mut() else {
                main = find_main(&self.reach, &self.nodes).await;
                if main.is_none() {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                continue;
            };
            if let Some(pause) = self.pause {
                tokio::time::sleep_until(next.into()).await;
                next = (next + pause).max(Instant::now());
            }
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            client.set_timeout(self.patience);
            let node = *node;
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            let parameters = Map::new().with("run", self.run.as_str()).with("id", id.cast_signed());
            let began = Instant::now();
            let result = client.run("CREATE (:MgctlLoad {run: $run, id: $id})", parameters).await;
            let told = match &result {
                Ok(result) => {
                    let is_degraded =
                        result.summary.notifications.iter().any(|n| n.code == "SyncReplicationFailure");
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    if self.broken.get().is_some_and(|b| b.is_over_by(began, node)) {
                        self.is_over.store(true, Ordering::Relaxed);
                    }
                    if is_degraded { Told::Degraded } else { Told::Ok }
                }
                Err(error) => told_by(error),
            };
            writes.push(Write { id, began, ended: Instant::now(), told, node });
            // A transient refusal comes from a MAIN; anything else means to look for it anew.
            if result.is_err_and(|e| !e.is_transient()) {
                main = None;
            }
        }
        writes
    }
}

/// What an error says about its write.
fn told_by(error: &QueryError) -> Told {
    match error {
        QueryError::Server { message, .. } if message.to_lowercase().contains("in doubt") => Told::Unknown,
        error if error.is_outcome_unknown() => Told::Unknown,
        _ => Told::Refused,
    }
}

/// Returns a connection to the first node that says it is MAIN, and its place in the list. One that hangs does not
/// hold up the others.
async fn find_main(reach: &BoltNodes, nodes: &[Endpoint]) -> Option<(Client, usize)> {
    let ask = |place: usize, bolt: Endpoint| async move {
        let mut client = reach.client(&bolt, PROBE_TIME_MAX).await.ok()?;
        let answer = client.run("SHOW REPLICATION ROLE;", Map::new()).await.ok()?;
        let role = answer.rows.first()?.first()?.as_str()?.to_owned();
        (role == "main").then_some((client, place))
    };
    let mut asked: FuturesUnordered<_> =
        nodes.iter().enumerate().map(|(place, bolt)| ask(place, bolt.clone())).collect();
    while let Some(answer) = asked.next().await {
        if answer.is_some() {
            return answer;
        }
    }
    None
}

/// What the clients were told, held against what a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) attempted: usize,
    pub(super) ok: usize,
    pub(super) degraded: usize,
    pub(super) refused: usize,
    pub(super) unknown: usize,
    /// Acknowledged OK and not there.
    pub(super) lost: usize,
    /// Acknowledged with a warning and not there.
    pub(super) lost_degraded: usize,
    /// There more than once.
    pub(super) duplicated: usize,
    /// There although refused.
    pub(super) refused_and_there: usize,
    /// There, of those whose clients heard nothing.
    pub(super) unknown_and_there: usize,
}

impl Counts {
    /// Counts. `there` are the ids that a node has.
    pub(super) fn of(writes: &[Write], there: &[u64]) -> Counts {
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        for id in there {
            *times.entry(*id).or_default() += 1;
        }
        let mut counts = Counts { attempted: writes.len(), ..Counts::default() };
        for write in writes {
            let is_there = times.contains_key(&write.id);
            match write.told {
                Told::Ok => {
                    counts.ok += 1;
                    counts.lost += usize::from(!is_there);
                }
                Told::Degraded => {
                    counts.degraded += 1;
                    counts.lost_degraded += usize::from(!is_there);
                }
                Told::Refused => {
                    counts.refused += 1;
                    counts.refused_and_there += usize::from(is_there);
                }
                Told::Unknown => {
                    counts.unknown += 1;
                    counts.unknown_and_there += usize::from(is_there);
                }
            }
        }
        counts.duplicated = times.values().filter(|n| **n > 1).count();
        counts
    }

    /// Adds those of another run.
    pub(super) fn add(&mut self, more: &Counts) {
        self.attempted += more.attempted;
        self.ok += more.ok;
        self.degraded += more.degraded;
        self.refused += more.refused;
        self.unknown += more.unknown;
        self.lost += more.lost;
        self.lost_degraded += more.lost_degraded;
        self.duplicated += more.duplicated;
        self.refused_and_there += more.refused_and_there;
        self.unknown_and_there += more.unknown_and_there;
    }

    /// Returns true if every answer was true.
    pub(super) fn is_true(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.refused_and_there == 0
    }

    /// Returns them in one sentence.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "writes attempted {} · acknowledged {} · lost {} · duplicated {} · refused {} · unknown {}",
            self.attempted,
            self.ok + self.degraded,
            self.lost,
            self.duplicated,
            self.refused,
            self.unknown
        );
        if self.degraded > 0 {
            text += &format!(
                " · acknowledged with a warning {} (of these lost {})",
                self.degraded, self.lost_degraded
            );
        }
        if self.refused_and_there > 0 {
            text += &format!(" · refused and there all the same {}", self.refused_and_there);
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "attempted": self.attempted, "acknowledged": self.ok + self.degraded, "acknowledged_ok": self.ok,
            "acknowledged_with_warning": self.degraded, "refused": self.refused, "unknown": self.unknown,
            "lost": self.lost, "lost_with_warning": self.lost_degraded, "duplicated": self.duplicated,
            "refused_and_there": self.refused_and_there, "unknown_and_there": self.unknown_and_there,
        })
    }

    /// Returns the error for answers that were not true.
    pub(super) fn error(&self, session: &Session) -> Option<Problem> {
        (!self.is_true()).then(|| {
            Problem::error(format!(
                "of the writes {} acknowledged OK are lost, {} are there twice, {} refused are there",
                self.lost, self.duplicated, self.refused_and_there
            ))
            .code("MG048")
            .thing(format!("cluster `{}`", session.cluster()))
            .note("a promise was broken: this is a defect of the database, or somebody else changed its data")
            .help(session.command("verify"))
        })
    }
}

/// Returns the ids of a run that a node has.
pub(super) async fn ids_on(nodes: &BoltNodes, target: &Target, run: &str) -> Result<Vec<u64>, CliError> {
    let failed = |error: QueryError| {
        CliError::new(
            Exit::Degraded,
            format!("`{}` does not say which writes it has: {error}", target.instance),
        )
        .code("MG068")
        .thing(format!("Bolt {}", target.bolt))
    };
    let mut client = nodes.client(&target.bolt, ASK_TIME_MAX).await.map_err(failed)?;
    let query = "MATCH (n:MgctlLoad) WHERE n.run = $run RETURN n.id";
    let result = client.run(query, Map::new().with("run", run)).await.map_err(failed)?;
    client.close().await;
    Ok(result.rows.iter().filter_map(|r| r.first()?.as_int()).map(i64::cast_unsigned).collect())
}

/// Holds the writes against every node that answers: what is lost on any of them is lost.
pub(super) async fn check(
    session: &Session,
    seen: &Observed,
    writes: &[Write],
    run: &str,
) -> Result<Counts, CliError> {
    let main = session.main(seen)?;
    let of_main = ids_on(&session.nodes, &main, run).await?;
    let counts = Counts::of(writes, &of_main);
    let expected: BTreeSet<u64> = of_main.into_iter().collect();
    for (name, view) in &seen.nodes {
        if *name == main.instance || view.facts().is_none() {
            continue;
        }
        let own: BTreeSet<u64> =
            ids_on(&session.nodes, &session.target(seen, name)?, run).await?.into_iter().collect();
        if own != expected {
            let differ = own.symmetric_difference(&expected).count();
            return Err(CliError::new(
                Exit::Degraded,
                format!("`{name}` and MAIN `{}` differ in {differ} of the writes", main.instance),
            )
            .code("MG048")
            .note(counts.text())
            .help(session.command("verify")));
        }
    }
    Ok(counts)
}

/// Deletes what a run wrote.
pub(super) async fn clean_up(session: &Session, run: &str) -> Result<(), CliError> {
    let main = session.main(&session.look().await?)?;
    let failed = |error: QueryError| {
        CliError::new(
            Exit::Degraded,
            format!("the vertices `:MgctlLoad` of this run were not deleted: {error}"),
        )
        .code("MG067")
        .help(session.command(&format!("query \"MATCH (n:MgctlLoad) WHERE n.run = '{run}' DELETE n\"")))
    };
    let mut client = session.nodes.client(&main.bolt, ASK_TIME_MAX).await.map_err(failed)?;
    let query = "MATCH (n:MgctlLoad) WHERE n.run = $run WITH n LIMIT 5000 DELETE n";
    loop {
        let result = client.run(query, Map::new().with("run", run)).await.map_err(failed)?;
        if result.summary.stat("nodes-deleted") == 0 {
            client.close().await;
            return Ok(());
        }
    }
}

/// Returns where every node's Bolt is.
pub(super) fn bolts(seen: &Observed) -> Vec<Endpoint> {
    seen.existing.machines.values().filter_map(|m| m.bolt.clone()).collect()
}

/// Returns the value below which a share of the `values` is, by nearest rank; `None` without any.
pub(super) fn percentile(values: &[Duration], share: f64) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Waits, and ends early when the user wishes it.
pub(super) async fn sleep(time: Duration, interrupt: &Interrupt) {
    let until = Instant::now() + time;
    while Instant::now() < until && !interrupt.is_raised() {
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(Duration::from_millis(50))).await;
    }
}

pub(super) async fn run(context: &Context, args: &args::Load) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    if args.dry_run.dry_run {
        let mut plan = Plan::default();
        plan.notes.push(format!(
            "{} would write vertices `:MgctlLoad` on {} for {}s{}",
            count(args.load.clients, "client"),
            main.instance,
            args.time.as_secs(),
            if args.load.keep { "" } else { ", and delete them afterwards" }
        ));
        return Ok(diff::dry_run(&session, &plan));
    }
    let name = run_name()?;
    let shape = args.load.shape(Duration::from_secs(15));
    let interrupt = on_ctrl_c(&session.ui);
    let step =
        session.ui.step("load", &format!("{}, {}s", count(shape.clients, "client"), args.time.as_secs()));
    let began = Instant::now();
    let load = Load::start(&session.nodes, &bolts(&seen), &shape, name.clone());
    sleep(args.time, &interrupt).await;
    let writes = load.stop().await?;
    let took = began.elapsed();
    step.done(&count(writes.len(), "write"));

    let seen = session.look().await?;
    let of_main = ids_on(&session.nodes, &session.main(&seen)?, &name).await?;
    let counts = Counts::of(&writes, &of_main);
    // What was counted is told, whatever becomes of the vertices.
    let mut warnings = Vec::new();
    if !args.load.keep
        && let Err(error) = clean_up(&session, &name).await
    {
        let problem = error.problem();
        let warning = Problem::warning(problem.what.clone());
        warnings.push(problem.help.iter().fold(warning, |warning, help| warning.help(help.clone())));
    }
    let times: Vec<Duration> = writes
        .iter()
        .filter(|w| matches!(w.told, Told::Ok | Told::Degraded))
        .map(|w| w.ended.duration_since(w.began))
        .collect();
    let rate = times.len() as f64 / took.as_secs_f64();
    let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
    let mut data = counts.to_json();
    data["seconds"] = json!((took.as_secs_f64() * 1000.0).round() / 1000.0);
    data["acknowledged_per_second"] = json!((rate * 10.0).round() / 10.0);
    data["p50_ms"] = json!(p50.map(milliseconds));
    data["p99_ms"] = json!(p99.map(milliseconds));
    let shown =
        |time: Option<Duration>| time.map_or("–".to_owned(), |t| format!("{:.1} ms", milliseconds(t)));
    let text = |_: &Ui| {
        format!(
            "{}\n{rate:.0} acknowledged a second, each after p50 {}, p99 {}",
            counts.text(),
            shown(p50),
            shown(p99)
        )
    };
    let problem = counts.error(&session);
    let ok = problem.is_none() && !times.is_empty();
    session.ui.partial_result("Load", Some(session.cluster()), ok, data, &warnings, text);
    if let Some(problem) = problem {
        session.ui.problem(&problem);
        return Ok(Exit::Degraded);
    }
    if times.is_empty() {
        return Err(CliError::new(Exit::Degraded, "no write was acknowledged").code("MG068"));
    }
    Ok(if interrupt.is_raised() { Exit::Interrupted } else { Exit::Ok })
}

/// Returns a name that no other run has.
pub(super) fn run_name() -> Result<String, CliError> {
    let name = super::failover::new_operation()?;
    Ok(name.rsplit(' ').next().unwrap_or_default().to_owned())
}

impl args::LoadShape {
    pub(super) fn shape(&self, patience: Duration) -> Shape {
        Shape { clients: self.clients.max(1), rate: self.rate, patience }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: u64, told: Told) -> Write {
        let now = Instant::now();
        Write { id, began: now, ended: now, told, node: 0 }
    }

    #[test]
    fn every_kind_of_untrue_answer_is_counted() {
        let writes = [
            write(1, Told::Ok),
            write(2, Told::Ok),
            write(3, Told::Degraded),
            write(4, Told::Refused),
            write(5, Told::Refused),
            write(6, Told::Unknown),
            write(7, Told::Unknown),
            write(8, Told::Ok),
        ];
        // 1 is there, 2 is lost, 3 is lost with a warning, 4 is there although refused, 6 is there, 8 twice.
        let counts = Counts::of(&writes, &[1, 4, 6, 8, 8]);
        let expected = Counts {
            attempted: 8,
            ok: 3,
            degraded: 1,
            refused: 2,
            unknown: 2,
            lost: 1,
            lost_degraded: 1,
            duplicated: 1,
            refused_and_there: 1,
            unknown_and_there: 1,
        };
        assert_eq!(counts, expected);
        assert!(!counts.is_true());
        assert!(Counts::of(&writes[..1], &[1]).is_true());
        for (told, there) in [(Told::Ok, vec![]), (Told::Ok, vec![1, 1]), (Told::Refused, vec![1])] {
            assert!(!Counts::of(&[write(1, told)], &there).is_true(), "{told:?} {there:?}");
        }
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let times: Vec<Duration> = [30, 10, 20].map(Duration::from_millis).to_vec();
        assert_eq!(percentile(&times, 0.5), Some(Duration::from_millis(20)));
        assert_eq!(percentile(&times, 0.99), Some(Duration::from_millis(30)));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn an_answer_that_says_in_doubt_is_no_refusal() {
        let server = |code: &str, message: &str| QueryError::Server {
            code: code.into(),
            message: message.into(),
            position: None,
        };
        assert_eq!(told_by(&server("Memgraph.ClientError.X.X", "the commit is in doubt")), Told::Unknown);
        assert_eq!(told_by(&server("Memgraph.TransientError.X.X", "not now")), Told::Refused);
        let lost = std::io::ErrorKind::UnexpectedEof.into();
        assert_eq!(told_by(&QueryError::Lost { address: String::new(), error: lost }), Told::Unknown);
    }
}
