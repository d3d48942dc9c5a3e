//! `mgctl rejoin` and `mgctl reinit`: one node becomes a REPLICA of MAIN that is ready.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::promote::one_line;
use super::session::{Session, Shown, on_ctrl_c};
use super::{Context, diff, status};
use crate::args::{Reinit, Rejoin};
use crate::cluster::repair::{self, Wipe};
use crate::cluster::{NodeView, Observed, Options, Plan, execute};
use crate::error::{CliError, Exit};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, args: &Rejoin) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    if args.wipe {
        let rewind = session.command(&format!("rejoin {} --rewind", args.name));
        session
            .must_run_nodes("rejoin --wipe", &format!("keep what MAIN lacks aside, and follow: {rewind}"))?;
        session.must_reach_machines(
            "rejoin --wipe",
            &format!("keep what MAIN lacks aside, and follow: {rewind}"),
        )?;
    }
    let wipe = args
        .wipe
        .then(|| Wipe { save_to: (!args.no_backup).then(|| backup_path(session.cluster(), &args.name)) });
    let (name, rewind) = (&args.name, args.rewind);
    let work = Work { verb: "rejoin", kind: "Rejoin", name, wipe, rewind, timeout: args.timeout.timeout };
    work.run(&session, args.dry_run.dry_run, |_| Ok(())).await
}

pub(super) async fn reinit(context: &Context, args: &Reinit) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let instead = format!(
        "stop `{}` where it runs, empty its data directory, start it, then {}",
        args.name,
        session.up()
    );
    session.must_run_nodes("reinit", &instead)?;
    let instead = format!(
        "take it out and begin anew: {0} --volumes, what that asks for on its host, then {1}",
        session.command(&format!("remove {}", args.name)),
        session.up()
    );
    session.must_reach_machines("reinit", &instead)?;
    let wipe = Some(Wipe { save_to: None });
    let work = Work {
        verb: "reinit",
        kind: "Reinit",
        name: &args.name,
        wipe,
        rewind: false,
        timeout: args.timeout.timeout,
    };
    // What MAIN does not have would be gone: that is for `rejoin --wipe`, which saves it first.
    let only_a_follower = |seen: &Observed| {
        let main = session.main(seen)?;
        let rows = seen.nodes.get(&main.instance).and_then(NodeView::facts).map_or(&[][..], |f| &f.replicas);
        let instance = session.topology.instance(&args.name);
        let row = instance.and_then(|i| rows.iter().find(|r| r.name == i.register_as));
        match row {
            Some(row) if row.status != "diverged" => Ok(()),
            _ if instance.is_none() || main.instance == args.name => Ok(()),
            row => Err(CliError::new(
                Exit::Unsafe,
                format!("`{}` does not follow MAIN: it may hold what MAIN lacks", args.name),
            )
            .code("MG046")
            .note(row.map_or("MAIN does not know it".to_owned(), |r| format!("MAIN calls it {}", r.status)))
            .help(format!(
                "save its data and give them up: {}",
                session.command(&format!("rejoin {} --wipe", args.name))
            ))),
        }
    };
    work.run(&session, args.dry_run.dry_run, only_a_follower).await
}

fn backup_path(cluster: &str, node: &str) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    PathBuf::from(format!("mgctl-{cluster}-{node}-{now}.tar"))
}

/// One node, and how it is brought back.
struct Work<'a> {
    verb: &'a str,
    kind: &'a str,
    name: &'a str,
    wipe: Option<Wipe>,
    rewind: bool,
    timeout: Option<Duration>,
}

impl Work<'_> {
    async fn run(
        &self,
        session: &Session,
        dry_run: bool,
        check: impl Fn(&Observed) -> Result<(), CliError>,
    ) -> Result<Exit, CliError> {
        let name = self.name;
        if self.wipe.is_some() && !session.has_file() {
            return Err(CliError::new(
                Exit::Usage,
                format!(
                    "to make `{name}` anew its topology file is needed: labels do not keep its environment"
                ),
            )
            .code("MG001")
            .help(format!("name it: -f TOPOLOGY {} {name}", self.verb)));
        }
        let seen = session.look_at_existing().await?;
        let plan = self.plan(session, &seen, &check)?;
        if dry_run {
            return Ok(diff::dry_run(session, &plan));
        }
        let ui = &session.ui;
        if let Some(wipe) = &self.wipe {
            let kept = match &wipe.save_to {
                Some(path) => format!("; they are saved to `{}` first", path.display()),
                None => String::new(),
            };
            let question =
                format!("This deletes the data of node `{name}` of cluster `{}`{kept}", session.cluster());
            if !ui.confirm_typed(&question, name)? {
                return Err(CliError::new(Exit::Declined, "nothing was changed").code("MG091"));
            }
        }
        let mut wish = session.wish(Options::default());
        if let Some(timeout) = self.timeout {
            wish.topology.wait.timeout = timeout;
        }
        let shown = Shown::new(session);
        let interrupt = on_ctrl_c(ui);
        let work = async {
            // What was seen before the claim may be over.
            let plan = self.plan(session, &session.look().await?, &check)?;
            execute(&session.execution(&wish, &shown, interrupt), &plan).await
        };
        session.locked(wish.topology.wait.timeout, work).await?;

        let seen = session.look().await?;
        let main = session.main(&seen)?.instance;
        let report = status::report(session, &seen);
        if !report.lines.iter().any(|l| l.name == name && l.is_ready()) {
            return Err(CliError::new(
                Exit::Degraded,
                format!("`{name}` was registered, and the nodes do not say that it is ready"),
            )
            .code("MG071")
            .thing(format!("cluster `{}`", session.cluster()))
            .help(format!("see {}", session.command("status"))));
        }
        let saved = self.wipe.as_ref().and_then(|w| w.save_to.as_ref()).map(|p| p.display().to_string());
        let mut data = status::to_json(session, &report);
        data["node"] = json!(name);
        data["saved_to"] = json!(saved);
        let text = |_: &Ui| {
            let saved = saved.as_ref().map_or(String::new(), |path| format!("\nIts former data: {path}"));
            format!("{}\n{name} is a REPLICA of {main}: ready, 0 behind{saved}", one_line(session, &seen))
        };
        ui.result(self.kind, Some(session.cluster()), data, &[], text);
        Ok(Exit::Ok)
    }

    fn plan(
        &self,
        session: &Session,
        seen: &Observed,
        check: &impl Fn(&Observed) -> Result<(), CliError>,
    ) -> Result<Plan, CliError> {
        let main = session.main(seen)?.instance;
        check(seen)?;
        repair::rejoin(&session.topology, seen, self.name, &main, self.wipe.as_ref(), self.rewind)
    }
}
