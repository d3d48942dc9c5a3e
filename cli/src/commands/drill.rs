//! `mgctl drill`: what happens when a node dies, tried out under write load, and counted.
//!
//! Many clients write; then MAIN is killed and failed over, or moved, or a replica is killed. Afterwards every
//! answer is held against what the nodes have. The cluster is put in order again, also between several runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::load::{self, Broken, Counts, Load, Shape, Told, Write, milliseconds, percentile};
use super::session::{Session, Shown, on_ctrl_c};
use super::{Context, diff, failover, promote, status};
use crate::args::{Check, Drill, DrillKind, Fault};
use crate::cluster::failover::{Decision, Request};
use crate::cluster::{self, Action, Interrupt, Options, Plan, Runtime, execute};
use crate::error::{CliError, Exit, Problem};
use crate::topology::{Endpoint, Mode};
use crate::ui::Ui;
use crate::words::count;

/// How often it is asked whether a machine has ended.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// How long writes may take to go on after a fault, over the time of the run.
const WRITABLE_TIME_MAX: Duration = Duration::from_secs(30);

/// One run, as it was measured.
#[derive(Clone, Debug, Default)]
struct Run {
    counts: Counts,
    /// From the fault until it was noticed.
    detection: Option<Duration>,
    /// From then until another node was MAIN; of a switchover until writes went on.
    promotion: Option<Duration>,
    /// From the fault until a write that began after it was acknowledged, by the new MAIN where there is one.
    first_write: Option<Duration>,
    /// The longest time without any acknowledgement, from the fault on.
    longest_gap: Option<Duration>,
    main_before: String,
    main_after: String,
}

pub(super) async fn run(context: &Context, args: &Drill) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    if args.kind != DrillKind::Switchover {
        let instead = format!("what can be tried from here: {}", session.command("drill switchover"));
        session.must_run_nodes("drill failover and replica-loss", &instead)?;
        session.must_reach_machines("drill failover and replica-loss", &instead)?;
    }
    session.look_at_existing().await?;
    if let Err(error) = await_redundant(&session, Duration::from_secs(5)).await {
        let mut refusal =
            CliError::new(Exit::Unsafe, "the cluster is not redundant: a drill would be an accident")
                .code("MG047")
                .thing(format!("cluster `{}`", session.cluster()));
        for note in &error.problem().notes {
            refusal = refusal.note(note);
        }
        return Err(refusal.help(format!("bring it in order: {}", session.up())));
    }
    let seen = session.look().await?;
    let original = session.main(&seen)?.instance;
    if args.dry_run.dry_run {
        return Ok(diff::dry_run(&session, &announcement(args, &original)));
    }
    let ui = &session.ui;
    for note in announcement(args, &original).notes {
        ui.say(&note);
    }
    if !ui.confirm("Begin?")? {
        return Err(CliError::new(Exit::Declined, "nothing was changed").code("MG091"));
    }
    let interrupt = on_ctrl_c(ui);
    session.prepare().await?;

    let mut runs: Vec<Run> = Vec::new();
    for number in 1..=args.runs {
        let step = ui.step("run", &format!("{number} of {}", args.runs));
        let drill = One { session: &session, args, interrupt: &interrupt };
        let done = match args.kind {
            DrillKind::Failover => drill.failover().await,
            DrillKind::Switchover => drill.switchover().await,
            DrillKind::ReplicaLoss => drill.replica_loss().await,
        };
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                step.failed(&error.problem().what);
                return Err(error.note(format!("{} runs before this one ended well", runs.len())));
            }
        };
        step.done(&format!(
            "first write after {}, lost {}",
            done.first_write.map_or("–".to_owned(), seconds),
            done.counts.lost
        ));
        runs.push(done);
        if interrupt.is_raised() {
            break;
        }
    }
    let mut warnings = Vec::new();
    if let Err(error) = bring_home(&session, &original).await {
        warnings.push(
            Problem::warning(format!("MAIN is not back on `{original}`: {}", error.problem().what))
                .help(session.command(&format!("promote {original}"))),
        );
    }
    conclude(&session, args, &runs, &warnings, &interrupt)
}

fn announcement(args: &Drill, main: &str) -> Plan {
    let fault = match (args.kind, args.fault) {
        (DrillKind::Failover, Fault::Kill) => format!("`{main}` is killed and failed over"),
        (DrillKind::Failover, Fault::Pause) => format!("`{main}` is frozen and failed over"),
        (DrillKind::Switchover, _) => format!("MAIN moves away from `{main}`"),
        (DrillKind::ReplicaLoss, _) => "a replica is killed and brought back".to_owned(),
    };
    let mut plan = Plan::default();
    plan.notes.push(format!(
        "vertices `:MgctlLoad` are written by {} for {}s, {}; {fault} each time",
        count(args.load.clients, "client"),
        args.time.as_secs(),
        count(args.runs, "time")
    ));
    plan
}

/// Moves MAIN back to where it was.
async fn bring_home(session: &Session, original: &str) -> Result<(), CliError> {
    let seen = session.look().await?;
    if session.main(&seen)?.instance == original {
        return Ok(());
    }
    let time_max = Duration::from_secs(60);
    session
        .locked(time_max, promote::switch(session, original, time_max, Interrupt::default()))
        .await
        .map(|_| ())
}

fn conclude(
    session: &Session,
    args: &Drill,
    runs: &[Run],
    warnings: &[Problem],
    interrupt: &Interrupt,
) -> Result<Exit, CliError> {
    let mut total = Counts::default();
    for run in runs {
        total.add(&run.counts);
    }
    let spread =
        |of: &dyn Fn(&Run) -> Option<Duration>| -> Vec<Duration> { runs.iter().filter_map(of).collect() };
    let detection = spread(&|r| r.detection);
    let promotion = spread(&|r| r.promotion);
    let first_write = spread(&|r| r.first_write);
    let gap = spread(&|r| r.longest_gap);
    let problem = total.error(session);
    // Without any write after the fault there is nothing to be proud of.
    let is_writable = first_write.len() == runs.len() && !runs.is_empty();
    let ok = problem.is_none() && is_writable;

    let percentiles = |times: &[Duration]| {
        json!({
            "p50_ms": percentile(times, 0.5).map(milliseconds), "p99_ms": percentile(times, 0.99).map(milliseconds),
            "runs_ms": times.iter().copied().map(milliseconds).collect::<Vec<_>>(),
        })
    };
    let mut data = json!({
        "drill": args.kind.word(), "fault": args.fault.word(), "runs": runs.len(), "clients": args.load.clients,
        "rate": args.load.rate,
    });
    data["writes"] = total.to_json();
    data["detection"] = percentiles(&detection);
    data["promotion"] = percentiles(&promotion);
    data["first_write_after_fault"] = percentiles(&first_write);
    data["longest_gap"] = percentiles(&gap);
    data["details"] = runs.iter().map(Run::to_json).collect::<Vec<Value>>().into();
    let text = |_: &Ui| {
        let shown = |times: &[Duration]| match (percentile(times, 0.5), percentile(times, 0.99)) {
            (Some(p50), Some(p99)) => format!("p50 {}, p99 {}", seconds(p50), seconds(p99)),
            _ => "–".to_owned(),
        };
        let mut parts = Vec::new();
        if !detection.is_empty() {
            parts.push(format!("detection {}", shown(&detection)));
        }
        match args.kind {
            DrillKind::Failover => parts.push(format!("promotion {}", shown(&promotion))),
            DrillKind::Switchover => parts.push(format!("write pause {}", shown(&promotion))),
            DrillKind::ReplicaLoss => {}
        }
        parts.push(format!("first successful write after it {}", shown(&first_write)));
        parts.push(format!("longest time without one {}", shown(&gap)));
        format!("{}\n{} (over {})", total.text(), parts.join(" · "), count(runs.len(), "run"))
    };
    session.ui.partial_result("Drill", Some(session.cluster()), ok, data, warnings, text);
    if let Some(problem) = problem {
        session.ui.problem(&problem);
    } else if !is_writable {
        session
            .ui
            .problem(&Problem::error("no write succeeded after the fault in at least one run").code("MG048"));
    }
    Ok(match (ok, interrupt.is_raised()) {
        (true, false) => Exit::Ok,
        (true, true) => Exit::Interrupted,
        (false, _) => Exit::Degraded,
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

impl Run {
    fn to_json(&self) -> Value {
        json!({
            "main_before": self.main_before, "main_after": self.main_after, "writes": self.counts.to_json(),
            "detection_ms": self.detection.map(milliseconds), "promotion_ms": self.promotion.map(milliseconds),
            "first_write_ms": self.first_write.map(milliseconds), "longest_gap_ms": self.longest_gap.map(milliseconds),
        })
    }

    /// Takes from the writes what happened after the fault.
    fn measure(&mut self, writes: &[Write], broken: Broken) {
        let fault = broken.since;
        let is_ack = |w: &&Write| matches!(w.told, Told::Ok | Told::Degraded);
        self.first_write = writes
            .iter()
            .filter(is_ack)
            .filter(|w| broken.is_over_by(w.began, w.node))
            .map(|w| w.ended.duration_since(fault))
            .min();
        let mut acks: Vec<Instant> =
            writes.iter().filter(is_ack).map(|w| w.ended).filter(|t| *t > fault).collect();
        acks.sort();
        let mut last = fault;
        for ack in acks {
            self.longest_gap = self.longest_gap.max(Some(ack.duration_since(last)));
            last = ack;
        }
    }
}

/// Waits until every node is there, follows, and is 0 behind.
async fn await_redundant(session: &Session, time_max: Duration) -> Result<(), CliError> {
    let (_, report) = status::await_redundant(session, time_max).await?;
    if report.level == Some(Check::Redundant) {
        return Ok(());
    }
    let what = format!("the cluster is not redundant within {}s", time_max.as_secs());
    let mut error =
        CliError::new(Exit::TimedOut, what).code("MG071").thing(format!("cluster `{}`", session.cluster()));
    for (what, _) in &report.findings {
        error = error.note(what);
    }
    Err(error.help(session.command("status")))
}

/// One run.
struct One<'a> {
    session: &'a Session,
    args: &'a Drill,
    interrupt: &'a Interrupt,
}

impl One<'_> {
    fn shape(&self) -> Shape {
        // What hangs with MAIN is given up, as an application would; a replica's time-out is waited for.
        let patience = match self.args.kind {
            DrillKind::Failover => Duration::from_secs(2),
            DrillKind::Switchover | DrillKind::ReplicaLoss => Duration::from_secs(15),
        };
        self.args.load.shape(patience)
    }

    /// Lets the clients begin and get going.
    async fn begin(&self, nodes: &[Endpoint]) -> Result<Load, CliError> {
        let load = Load::start(&self.session.nodes, nodes, &self.shape(), load::run_name()?);
        let until = Instant::now() + Duration::from_secs(10);
        load::sleep(self.args.time / 3, self.interrupt).await;
        while load.acknowledged() == 0 {
            if Instant::now() > until {
                return Err(
                    CliError::new(Exit::Degraded, "no write was acknowledged before the fault").code("MG068")
                );
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
        Ok(load)
    }

    /// Lets the clients end, and counts.
    async fn end(&self, load: Load, broken: Broken, run: &mut Run) -> Result<(), CliError> {
        load::sleep(self.args.time.saturating_mul(2) / 3, self.interrupt).await;
        let until = Instant::now() + WRITABLE_TIME_MAX;
        while !load.goes_on() && Instant::now() < until {
            tokio::time::sleep(WATCH_EVERY).await;
        }
        let name = load.run.clone();
        let writes = load.stop().await?;
        run.measure(&writes, broken);
        await_redundant(self.session, Duration::from_secs(60)).await?;
        let seen = self.session.look().await?;
        run.main_after = self.session.main(&seen)?.instance;
        run.counts = load::check(self.session, &seen, &writes, &name).await?;
        if !self.args.load.keep {
            load::clean_up(self.session, &name).await?;
        }
        Ok(())
    }

    async fn act(&self, id: &str, action: Action) -> Result<(), CliError> {
        let runtime = &self.session.runtime;
        runtime
            .carry_out(&self.session.topology, &action)
            .await
            .map(|_| ())
            .map_err(|error| error.note(format!("while the drill was to {id}: {action}")))
    }

    /// Makes a node a REPLICA that is ready again.
    async fn bring_back(&self, name: &str) -> Result<(), CliError> {
        let wish = self.session.wish(Options::default());
        let shown = Shown::new(self.session);
        let work = async {
            let seen = self.session.look().await?;
            let main = self.session.main(&seen)?.instance;
            let plan = cluster::repair::rejoin(&self.session.topology, &seen, name, &main, None, true)?;
            execute(&self.session.execution(&wish, &shown, Interrupt::default()), &plan).await
        };
        self.session.locked(wish.topology.wait.timeout, work).await
    }

    async fn failover(&self) -> Result<Run, CliError> {
        let session = self.session;
        let seen = session.look().await?;
        let main = session.main(&seen)?.instance;
        let mut run = Run { main_before: main.clone(), ..Run::default() };
        let load = self.begin(&load::bolts(&seen)).await?;
        let broken = load.break_now(Some(&session.target(&seen, &main)?.bolt));
        match self.args.fault {
            Fault::Kill => self.act("kill MAIN", Action::KillMachine(main.clone())).await?,
            Fault::Pause => self.act("freeze MAIN", Action::PauseMachine(main.clone())).await?,
        }
        super::supervise::until_gone(session, &main, self.interrupt).await?;
        run.detection = Some(broken.since.elapsed());
        let noticed = Instant::now();
        let request = Request { operation: failover::new_operation()?, ..Request::default() };
        let wish = session.wish(Options::default());
        let shown = Shown::new(session);
        let work = async {
            let seen = session.look().await?;
            match cluster::failover::decide(&session.topology, &seen, &request)? {
                Decision::Go(failover) => {
                    let execution = session.execution(&wish, &shown, Interrupt::default());
                    cluster::failover::run(&execution, &failover).await.map(Some)
                }
                Decision::Nothing { .. } => Ok(None),
            }
        };
        let began = Instant::now();
        let done = session.locked(Duration::from_secs(60), work).await?;
        // The rest of the time went into registering; clients could write before.
        run.promotion = done.map(|d| {
            let all = began.elapsed().saturating_sub(d.redundant_after.saturating_sub(d.writable_after));
            all.max(d.writable_after).min(noticed.elapsed())
        });
        self.bring_back(&main).await?;
        self.end(load, broken, &mut run).await?;
        Ok(run)
    }

    async fn switchover(&self) -> Result<Run, CliError> {
        let session = self.session;
        let seen = session.look().await?;
        let main = session.main(&seen)?.instance;
        let mut run = Run { main_before: main.clone(), ..Run::default() };
        let is_sync = |name: &str| session.topology.instance(name).is_some_and(|i| i.mode != Mode::Async);
        let others: Vec<&String> = seen.nodes.keys().filter(|n| **n != main).collect();
        let candidate = others
            .iter()
            .find(|n| is_sync(n))
            .or(others.first())
            .ok_or_else(|| CliError::new(Exit::Unsafe, "there is no replica to be MAIN").code("MG041"))?;
        let load = self.begin(&load::bolts(&seen)).await?;
        let broken = load.break_now(Some(&session.target(&seen, &main)?.bolt));
        let time_max = Duration::from_secs(60);
        let work = promote::switch(session, candidate, time_max, Interrupt::default());
        let done = session.locked(time_max, work).await?;
        run.promotion = done.write_pause;
        self.end(load, broken, &mut run).await?;
        Ok(run)
    }

    async fn replica_loss(&self) -> Result<Run, CliError> {
        let session = self.session;
        let seen = session.look().await?;
        let main = session.main(&seen)?.instance;
        let mut run = Run { main_before: main.clone(), ..Run::default() };
        let replicas = || session.topology.instances.iter().filter(|i| i.name != main);
        let victim = match &self.args.node {
            Some(name) => replicas().find(|i| i.name == *name),
            None => replicas().find(|i| i.mode != Mode::Async).or_else(|| replicas().next()),
        };
        let victim = victim.map(|i| i.name.clone()).ok_or_else(|| {
            CliError::new(Exit::NotFound, "there is no such replica")
                .code("MG065")
                .note(format!("`{main}` is MAIN"))
        })?;
        let load = self.begin(&load::bolts(&seen)).await?;
        match self.args.fault {
            Fault::Kill => self.act("kill a replica", Action::KillMachine(victim.clone())).await?,
            Fault::Pause => self.act("freeze a replica", Action::PauseMachine(victim.clone())).await?,
        }
        // From the moment when it is gone.
        let broken = load.break_now(None);
        load::sleep(self.args.time / 3, self.interrupt).await;
        self.bring_back(&victim).await?;
        self.end(load, broken, &mut run).await?;
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_that_began_after_the_fault_ends_the_outage() {
        let fault = Instant::now();
        let at = |ms: u64| fault + Duration::from_millis(ms);
        let before = fault.checked_sub(Duration::from_millis(20)).unwrap();
        let (old, new) = (0, 1);
        let write = |id, began, ended, told| Write { id, began, ended, told, node: new };
        let writes = [
            // Under way when MAIN died, and acknowledged in its last moment.
            write(1, before, at(1), Told::Ok),
            // Sent while it was being killed, and acknowledged all the same.
            Write { node: old, ..write(6, at(1), at(2), Told::Ok) },
            write(2, at(2), at(3), Told::Refused),
            write(3, at(4), at(900), Told::Unknown),
            write(4, at(700), at(710), Told::Degraded),
            write(5, at(720), at(730), Told::Ok),
        ];
        let broken = Broken { since: fault, main: Some(old) };
        let mut run = Run::default();
        run.measure(&writes, broken);
        assert_eq!(run.first_write, Some(Duration::from_millis(710)));
        assert_eq!(run.longest_gap, Some(Duration::from_millis(708)));
        let mut none = Run::default();
        none.measure(&writes[2..4], broken);
        assert_eq!((none.first_write, none.longest_gap), (None, None));
    }
}
