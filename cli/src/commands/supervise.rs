//! `mgctl supervise`: watches MAIN, and fails over when it is gone.
//!
//! It keeps nothing: what it knows it asks, and whoever else acts meanwhile holds the claim on the cluster, so that
//! two guardians never fail over at once. A MAIN that crashed is gone when its machine has ended and is not being
//! started again; one that hangs is gone when it has not answered for a while.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;

use super::failover::{new_operation, to_json};
use super::session::{Session, Shown, mains, on_ctrl_c};
use super::{Context, failover};
use crate::args::Supervise;
use crate::cluster::failover::{Decision, FailedOver, Request};
use crate::cluster::{self, Interrupt, MachineState, NodeError, Nodes, Options, Runtime, Target, execute};
use crate::error::{CliError, Exit};
use crate::ui::Ui;
use crate::words::count;

/// How long a probe may take.
const PROBE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a machine that ended may take to be started again by its engine.
const RESTART_TIME_MAX: Duration = Duration::from_millis(400);

/// How long MAIN may be silent.
const SILENCE_MAX: Duration = Duration::from_millis(2500);

/// How often it is looked; what an engine tells is heard at once.
const TICK: Duration = Duration::from_millis(100);

/// How long after a failover that was refused the next is tried.
const AGAIN: Duration = Duration::from_secs(2);

/// What is seen of MAIN at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// It answers as MAIN.
    Well,
    /// It answers, and is not MAIN any more.
    Moved,
    /// Its machine runs, and it does not answer.
    Silent,
    /// Its machine is frozen, or between two starts.
    Halted,
    /// Its machine has ended, or is not there.
    Ended,
}

/// What is known of MAIN over time. Pure.
#[derive(Clone, Debug, Default)]
struct Watch {
    ended_since: Option<Instant>,
    bad_since: Option<Instant>,
}

/// What that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong, or not yet for long enough.
    Wait,
    /// Another node may be MAIN.
    Moved,
    /// It is gone.
    Gone,
}

impl Watch {
    fn see(&mut self, now: Instant, sight: Sight) -> Verdict {
        match sight {
            Sight::Well => *self = Watch::default(),
            Sight::Moved => return Verdict::Moved,
            Sight::Silent | Sight::Halted => self.ended_since = None,
            Sight::Ended => {}
        }
        if sight == Sight::Well {
            return Verdict::Wait;
        }
        let bad = *self.bad_since.get_or_insert(now);
        if sight == Sight::Ended {
            let ended = *self.ended_since.get_or_insert(now);
            if now.duration_since(ended) >= RESTART_TIME_MAX {
                return Verdict::Gone;
            }
        }
        if now.duration_since(bad) >= SILENCE_MAX { Verdict::Gone } else { Verdict::Wait }
    }
}

async fn look_at(session: &Session, main: &str) -> Result<Sight, CliError> {
    let Some(machine) = session.runtime.machine(session.cluster(), main).await? else {
        return Ok(Sight::Ended);
    };
    let bolt = match (machine.state, machine.bolt) {
        (MachineState::Exited { .. } | MachineState::Created, _) => return Ok(Sight::Ended),
        (MachineState::Paused | MachineState::Starting | MachineState::Restarting, _) => {
            return Ok(Sight::Halted);
        }
        (MachineState::Running | MachineState::Elsewhere | MachineState::Lost { .. }, None) => {
            return Ok(Sight::Silent);
        }
        (MachineState::Running | MachineState::Elsewhere | MachineState::Lost { .. }, Some(bolt)) => bolt,
    };
    let target = Target { instance: main.to_owned(), bolt };
    let asked = tokio::time::timeout(PROBE_TIME_MAX, session.nodes.ask(&target, "SHOW REPLICATION ROLE;"));
    Ok(match asked.await {
        Ok(Ok(rows)) => match rows.rows.first().and_then(|r| r.first()).and_then(|v| v.as_str()) {
            Some("main") => Sight::Well,
            _ => Sight::Moved,
        },
        // It speaks: it is starting, or refuses strangers.
        Ok(Err(NodeError::Refused { .. })) => Sight::Well,
        Ok(Err(_)) | Err(_) => Sight::Silent,
    })
}

/// Waits until MAIN is gone, or another node may be MAIN, or the user ends it.
pub(super) async fn until_gone(
    session: &Session,
    main: &str,
    interrupt: &Interrupt,
) -> Result<Verdict, CliError> {
    let mut watch = Watch::default();
    let mut changes = session.runtime.changes(session.cluster());
    while !interrupt.is_raised() {
        // An engine that does not answer says nothing about MAIN.
        match look_at(session, main).await {
            Ok(sight) => match watch.see(Instant::now(), sight) {
                Verdict::Wait => {}
                verdict => return Ok(verdict),
            },
            Err(error) if error.exit() == Exit::TimedOut || error.exit() == Exit::Engine => {
                session.ui.detail(&error.problem().what);
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            _ = changes.next() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
    Ok(Verdict::Wait)
}

pub(super) async fn run(context: &Context, args: &Supervise) -> Result<Exit, CliError> {
    let mut session = Session::open(context).await?;
    if args.auto_failover || args.print_unit {
        let verb = if args.print_unit { "supervise --print-unit" } else { "supervise --auto-failover" };
        let instead = format!(
            "it could not fence a MAIN that is silent: see that it has ended, then {}",
            session.command("failover --force-unfenced")
        );
        session.must_run_nodes(verb, &instead)?;
        session.must_reach_machines(verb, &instead)?;
    }
    if args.print_unit {
        let unit = unit(&session)?;
        let data = json!({ "unit": unit });
        session.ui.result("Unit", Some(session.cluster()), data, &[], |_| unit.clone());
        return Ok(Exit::Ok);
    }
    session.set_patience(Duration::from_millis(1500));
    let session = session;
    session.look_at_existing().await?;
    let interrupt = on_ctrl_c(&session.ui);
    match session.prepare().await {
        Err(error) if error.exit() != Exit::Conflict => return Err(error),
        _ => {}
    }
    let mut guardian = Guardian { session: &session, args, interrupt, failovers: 0, said: String::new() };
    guardian.watch().await?;
    let text = |_: &Ui| count(guardian.failovers, "failover");
    let data = json!({ "failovers": guardian.failovers });
    session.ui.result("Supervise", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

struct Guardian<'a> {
    session: &'a Session,
    args: &'a Supervise,
    interrupt: Interrupt,
    failovers: u32,
    said: String,
}

impl Guardian<'_> {
    /// Says something once, not every two seconds.
    fn say(&mut self, line: &str) {
        if self.said != line {
            self.session.ui.say(line);
            self.said = line.to_owned();
        }
    }

    async fn watch(&mut self) -> Result<(), CliError> {
        while !self.interrupt.is_raised() {
            let seen = match self.session.look().await {
                Ok(seen) => seen,
                Err(error) => {
                    self.say(&format!("the cluster cannot be seen: {}", error.problem().what));
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            if let [main] = mains(&seen).as_slice() {
                self.say(&format!("{main} is MAIN and watched"));
                match until_gone(self.session, main, &self.interrupt).await? {
                    Verdict::Gone => {}
                    Verdict::Moved | Verdict::Wait => continue,
                }
                self.say(&format!("{main} is gone"));
            }
            if self.interrupt.is_raised() {
                return Ok(());
            }
            if !self.args.auto_failover {
                self.say("no node is MAIN; without --auto-failover nothing is done");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            match self.fail_over().await {
                Ok(Some(done)) => {
                    self.failovers += 1;
                    let line = format!(
                        "{} is MAIN after {:.3} s; estimated loss: {}",
                        done.main,
                        done.writable_after.as_secs_f64(),
                        done.loss
                    );
                    self.say(&line);
                    self.session.ui.detail(&to_json(&done).to_string());
                    for problem in &done.left {
                        self.session.ui.problem(problem);
                    }
                    if !self.args.no_rejoin {
                        self.rejoin().await;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    // Another mgctl is at work, or MAIN is back: what is so is looked at again.
                    let line = format!("no failover: {}", error.problem().what);
                    self.say(&line);
                    for note in &error.problem().notes {
                        self.session.ui.detail(note);
                    }
                    tokio::time::sleep(if error.exit() == Exit::Conflict { TICK } else { AGAIN }).await;
                }
            }
        }
        Ok(())
    }

    async fn fail_over(&self) -> Result<Option<FailedOver>, CliError> {
        let session = self.session;
        let request = Request { operation: new_operation()?, ..Request::default() };
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
        session.locked(failover::TIME_MAX, work).await
    }

    /// Brings back what was fenced. What cannot follow stays as it is and is named.
    async fn rejoin(&mut self) {
        let session = self.session;
        let names: Vec<String> = match session.look().await {
            Ok(seen) => {
                let fenced = seen.existing.machines.iter().filter(|(_, m)| m.is_fenced);
                fenced.map(|(name, _)| name.clone()).collect()
            }
            Err(_) => return,
        };
        for name in names {
            // Two guardians come at the same moment, and the cluster may refuse both.
            const TRIES: u32 = 8;
            let mut tries = 1;
            let rejoined = loop {
                match self.rejoin_one(&name).await {
                    Err(error) if error.exit() == Exit::Conflict && tries < TRIES => {
                        let of_this_one = u64::from(std::process::id() % 7) * 50;
                        tokio::time::sleep(Duration::from_millis(300 + of_this_one)).await;
                        tries += 1;
                    }
                    result => break result,
                }
            };
            match rejoined {
                Ok(true) => self.say(&format!("{name} is a REPLICA and follows")),
                Ok(false) => {}
                Err(error) => {
                    self.say(&format!("{name} is not back: {}", error.problem().what));
                    for help in &error.problem().help {
                        self.session.ui.say(help);
                    }
                }
            }
        }
    }

    /// Brings one fenced node back; false where another mgctl has done so meanwhile.
    async fn rejoin_one(&self, name: &str) -> Result<bool, CliError> {
        let session = self.session;
        let wish = session.wish(Options::default());
        let shown = Shown::new(session);
        let work = async {
            let seen = session.look().await?;
            if !seen.existing.machines.get(name).is_some_and(|m| m.is_fenced) {
                return Ok(false);
            }
            let main = session.main(&seen)?.instance;
            let plan = cluster::repair::rejoin(&session.topology, &seen, name, &main, None, false)?;
            execute(&session.execution(&wish, &shown, self.interrupt.clone()), &plan).await?;
            Ok(true)
        };
        session.locked(failover::TIME_MAX, work).await
    }
}

/// Returns a unit for systemd that supervises this cluster.
fn unit(session: &Session) -> Result<String, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::new(Exit::Other, format!("mgctl does not find itself: {error}")))?;
    let docker = match &session.runtime {
        crate::runtime::Any::Docker(_) => "After=docker.service\nRequires=docker.service\n",
        crate::runtime::Any::Swarm(_)
        | crate::runtime::Any::Process(_)
        | crate::runtime::Any::External(_) => "",
    };
    let runtime = match &session.runtime {
        crate::runtime::Any::Docker(_) => "docker",
        crate::runtime::Any::Process(_) => "process",
        crate::runtime::Any::Swarm(_) => "swarm",
        crate::runtime::Any::External(_) => "external",
    };
    Ok(format!(
        "[Unit]\nDescription=Fails over cluster {name} of mgctl\n{docker}\n[Service]\n\
         ExecStart=\"{}\" --cluster {name} --runtime {runtime} --progress plain supervise --auto-failover\n\
         Restart=always\nRestartSec=1\n\n[Install]\nWantedBy=multi-user.target",
        program.display(),
        name = session.cluster(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(sights: &[(u64, Sight)]) -> Vec<Verdict> {
        let mut watch = Watch::default();
        let start = Instant::now();
        sights.iter().map(|(ms, sight)| watch.see(start + Duration::from_millis(*ms), *sight)).collect()
    }

    #[test]
    fn a_crash_is_told_from_a_restart_and_a_hang_from_a_hiccup() {
        use Sight::*;
        use Verdict::{Gone, Wait};
        assert_eq!(
            verdicts(&[(0, Well), (100, Ended), (300, Ended), (500, Ended)]),
            [Wait, Wait, Wait, Gone]
        );
        // The engine starts it again; it answers; nothing is held against it later.
        assert_eq!(
            verdicts(&[(0, Ended), (300, Halted), (600, Silent), (2000, Well), (2600, Ended), (2900, Ended)]),
            [Wait; 6]
        );
        assert_eq!(
            verdicts(&[(0, Silent), (1000, Silent), (2400, Silent), (2500, Silent)]),
            [Wait, Wait, Wait, Gone]
        );
        assert_eq!(verdicts(&[(0, Halted), (2500, Halted)]), [Wait, Gone]);
        // One that ends again and again does not count as well in between.
        assert_eq!(
            verdicts(&[(0, Ended), (300, Silent), (1300, Ended), (1600, Silent), (2600, Silent)])[4],
            Gone
        );
        assert_eq!(verdicts(&[(0, Moved)]), [Verdict::Moved]);
    }
}
