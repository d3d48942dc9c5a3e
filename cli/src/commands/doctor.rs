//! `mgctl doctor`: is everything here that a cluster needs, and is the cluster well; and `mgctl report`, the same and
//! more in one file for whoever helps.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::session::{Session, Shown, mains, on_ctrl_c};
use super::{Context, Selected, diff, status};
use crate::args::{Doctor, Report};
use crate::authority::show_seconds_left;
use crate::cluster::{NodeView, Nodes, Options, Plan, Runtime, Target, execute, fixes};
use crate::error::{CliError, Exit, printable};
use crate::runtime::Any;
use crate::runtime::swarm::Swarm;
use crate::ui::{Cell, Table, Tone, Ui};
use crate::words::count;

/// An answer slower than this is worth a word.
const SLOW: Duration = Duration::from_millis(200);

/// Seconds of a day.
const DAY: i64 = 86_400;

/// How long what was mended may take until it follows again, before it is looked at.
const SETTLE: Duration = Duration::from_secs(10);

/// Lines of each log that a report holds.
const LOG_LINES: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Pass,
    Warn,
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Pass => "pass",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

struct Finding {
    name: String,
    level: Level,
    text: String,
    help: Option<String>,
}

fn finding(name: &str, level: Level, text: impl Into<String>, help: Option<String>) -> Finding {
    Finding { name: name.into(), level, text: text.into(), help }
}

fn of_error(name: &str, error: &CliError) -> Finding {
    let problem = error.problem();
    finding(name, Level::Fail, &problem.what, problem.help.first().cloned())
}

/// A check for each problem that ended `--fix`.
fn of_failed_fix(error: &CliError) -> impl Iterator<Item = Finding> {
    error.problems().iter().map(|p| finding("fix", Level::Fail, &p.what, p.help.first().cloned()))
}

/// How often what the nodes say is mended anew: a node that starts shows what else is to be done.
const ROUNDS_MAX: u32 = 4;

/// What `--fix` did, and what it leaves to a person.
struct Fixed {
    done: Vec<String>,
    left: Vec<String>,
}

/// Mends what can be mended without a risk, and returns what was done before the error, too.
async fn fix(session: &Session) -> (Fixed, Option<CliError>) {
    let wish = session.wish(Options::default());
    let shown = Shown::new(session);
    let interrupt = on_ctrl_c(&session.ui);
    let mut fixed = Fixed { done: Vec::new(), left: Vec::new() };
    let work = async {
        for _ in 0..ROUNDS_MAX {
            let plan = fixes(&session.topology, &session.look_closely().await?);
            if plan.steps.is_empty() {
                fixed.left = plan.notes;
                return Ok(());
            }
            execute(&session.execution(&wish, &shown, interrupt.clone()), &plan).await?;
            let changes = plan.steps.iter().filter(|s| !s.action.only_waits());
            fixed.done.extend(changes.map(|s| format!("{} ({})", s.action, s.cause)));
        }
        let what = "every step succeeded, and there is still more to mend";
        let error = CliError::new(Exit::Degraded, what).code("MG060");
        Err(error.help(format!("see {}", session.command("status"))))
    };
    let outcome = session.locked(wish.topology.wait.timeout, work).await;
    (fixed, outcome.err())
}

pub(super) async fn run(context: &Context, args: &Doctor) -> Result<Exit, CliError> {
    let mut findings = Vec::new();
    let session = open(context, &mut findings).await;
    let mut fixed = None;
    let mut exit = None;
    if let (Some(session), true) = (&session, args.fix) {
        let seen = session.look_closely().await?;
        let plan = match seen.existing.machines.is_empty() {
            // To bring a cluster up is for `up`.
            true => Plan::default(),
            false => fixes(&session.topology, &seen),
        };
        if args.dry_run {
            return Ok(diff::dry_run(session, &plan));
        }
        let (done, error) = match plan.steps.is_empty() {
            true => (Fixed { done: Vec::new(), left: plan.notes }, None),
            false => fix(session).await,
        };
        if error.is_none() && !done.done.is_empty() {
            status::await_redundant(session, SETTLE).await?;
        }
        if let Some(error) = error {
            if error.exit() == Exit::Interrupted {
                return Err(error);
            }
            // What was found is worth as much where not all could be mended.
            findings.extend(of_failed_fix(&error));
            exit = Some(error.exit());
        }
        fixed = Some(done);
    }
    if let Some(session) = &session {
        look(session, &mut findings).await;
    }
    let worst = findings.iter().map(|f| f.level).max().unwrap_or(Level::Pass);
    let mut data = json!({ "checks": to_json(&findings), "worst": worst.word() });
    if let Some(fixed) = &fixed {
        data["fixed"] = json!(fixed.done);
        data["left"] = json!(fixed.left);
    }
    let text = |ui: &Ui| {
        let mut table = Table::new(["CHECK", "RESULT", "DETAIL"]);
        for f in &findings {
            let tone = match f.level {
                Level::Pass => Tone::Good,
                Level::Warn => Tone::Doubtful,
                Level::Fail => Tone::Bad,
            };
            let help = f.help.as_ref().map_or(String::new(), |help| format!("  → {help}"));
            table.row([
                Cell::from(f.name.clone()),
                Cell::new(f.level.word(), tone),
                Cell::from(format!("{}{help}", f.text)),
            ]);
        }
        let mut lines: Vec<String> = Vec::new();
        if let Some(fixed) = &fixed {
            lines.extend(fixed.done.iter().map(|what| format!("fixed: {what}")));
            if fixed.done.is_empty() && exit.is_none() {
                lines.push("fixed: nothing; what is wrong is not for --fix, or nothing is".to_owned());
            }
            lines.extend(fixed.left.iter().map(|what| format!("left: {what}")));
        }
        lines.push(table.render(ui));
        lines.join("\n")
    };
    let cluster = session.as_ref().map(|s| s.cluster().to_owned());
    context.ui.partial_result("Doctor", cluster.as_deref(), worst < Level::Fail, data, &[], text);
    Ok(exit.unwrap_or(if worst == Level::Fail { Exit::Degraded } else { Exit::Ok }))
}

fn to_json(findings: &[Finding]) -> Vec<Value> {
    findings
        .iter()
        .map(|f| json!({ "name": f.name, "result": f.level.word(), "text": f.text, "hint": f.help }))
        .collect()
}

/// Finds the cluster that is meant, or says why there is none; the machine is looked at in either case.
async fn open(context: &Context, findings: &mut Vec<Finding>) -> Option<Session> {
    match context.selection.resolve() {
        Ok(Selected::File(loaded)) => {
            let nodes = count(loaded.topology.instances.len(), "node");
            let text = format!("{}: {nodes}", loaded.topology.place.file);
            findings.push(finding("topology", Level::Pass, text, None));
            for warning in &loaded.warnings {
                let help = warning.help.first().cloned();
                findings.push(finding("topology", Level::Warn, &warning.what, help));
            }
            for problem in &loaded.certificate_problems {
                let help = problem.help.first().cloned();
                findings.push(finding("certificates", Level::Warn, &problem.what, help));
            }
        }
        Ok(_) => {}
        Err(error) => {
            for problem in error.problems() {
                findings.push(finding("topology", Level::Fail, &problem.what, problem.help.first().cloned()));
            }
            return None;
        }
    }
    match Session::open(context).await {
        Ok(session) => {
            let text = session.runtime.describe();
            match &session.fallback {
                Some(why) => findings.push(finding("runtime", Level::Warn, format!("{text}; {why}"), None)),
                None => findings.push(finding("runtime", Level::Pass, text, None)),
            }
            if let Any::Docker(docker) = &session.runtime {
                findings.push(match docker.built_in().await {
                    Ok(image) => {
                        finding("image", Level::Pass, format!("{} of this executable", image.tag), None)
                    }
                    Err(error) => of_error("image", &error),
                });
            }
            if let Any::Swarm(swarm) = &session.runtime {
                hosts(swarm, findings).await;
            }
            Some(session)
        }
        Err(error) => {
            findings.push(of_error("runtime", &error));
            None
        }
    }
}

/// Whether the managers of a swarm hear of its hosts.
async fn hosts(swarm: &Swarm, findings: &mut Vec<Finding>) {
    match swarm.hosts().await {
        Ok(all) => findings.extend(all.into_iter().map(|(name, is_ready)| {
            let check = format!("host {name}");
            match is_ready {
                true => finding(&check, Level::Pass, "ready", None),
                false => finding(&check, Level::Fail, "is not reached", Some("docker node ls".to_owned())),
            }
        })),
        Err(error) => findings.push(of_error("hosts", &error)),
    }
}

async fn look(session: &Session, findings: &mut Vec<Finding>) {
    let seen = match session.look_closely().await {
        Ok(seen) => seen,
        Err(error) => return findings.push(of_error("cluster", &error)),
    };
    if seen.existing.machines.is_empty() {
        return findings.push(finding("cluster", Level::Warn, "it is not up", Some(session.up())));
    }
    for (name, view) in &seen.nodes {
        let Ok(target) = session.target(&seen, name) else { continue };
        let check = format!("answer {name}");
        if let NodeView::Silent(why) = view {
            let help = session.logs(name);
            findings.push(finding(&check, Level::Fail, why, Some(help)));
            continue;
        }
        let took = time(session, &target).await;
        let text = format!("{} in {:.1} ms", target.bolt, took.as_secs_f64() * 1e3);
        findings.push(finding(&check, if took > SLOW { Level::Warn } else { Level::Pass }, text, None));
    }
    let mains = mains(&seen);
    findings.push(match mains.as_slice() {
        [main] => finding("one MAIN", Level::Pass, main, None),
        [] => finding("one MAIN", Level::Fail, "no node answers as MAIN", Some(session.command("failover"))),
        several => {
            let help = session.command("repair --main NAME");
            finding("one MAIN", Level::Fail, several.join(", "), Some(help))
        }
    });
    let without: Vec<&str> = seen
        .nodes
        .iter()
        .filter(|(_, v)| v.facts().is_some_and(|f| f.position.is_none()))
        .map(|(n, _)| n.as_str())
        .collect();
    if !without.is_empty() {
        let text = format!(
            "{}: this image cannot say where it stands; failover goes by modes alone",
            without.join(", ")
        );
        findings.push(finding("positions", Level::Warn, text, None));
    }
    let report = status::report(session, &seen);
    let ending = status::ending(session, &report.certificates);
    for (what, help) in &ending {
        findings.push(finding("certificates", Level::Warn, what, Some(help.clone())));
    }
    let first = report.certificates.iter().min_by_key(|(_, certificate)| certificate.seconds_left / DAY);
    if let (Some((name, certificate)), true) = (first, ending.is_empty()) {
        let left = show_seconds_left(certificate.seconds_left);
        let nodes = count(report.certificates.len(), "node");
        let text = format!("of {nodes}; the first, of {name}, {left}");
        findings.push(finding("certificates", Level::Pass, text, None));
    }
    let others: Vec<_> = report.findings.iter().filter(|found| !ending.contains(found)).collect();
    for (what, help) in &others {
        findings.push(finding("replication", Level::Warn, what, Some(help.clone())));
    }
    if others.is_empty() {
        findings.push(finding("replication", Level::Pass, "nothing is wrong", None));
    }
}

async fn time(session: &Session, target: &Target) -> Duration {
    let began = Instant::now();
    // What it answers was looked at before; here it is only how long that takes.
    let _ = session.nodes.ask(target, "SHOW REPLICATION ROLE;").await;
    began.elapsed()
}

pub(super) async fn report(context: &Context, args: &Report) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.must_exist(session.look_closely().await?)?;
    let mut findings = Vec::new();
    look(&session, &mut findings).await;
    let mut files: Vec<(String, String)> = vec![
        (
            "version.txt".into(),
            format!("mgctl {}\n{}\n", env!("CARGO_PKG_VERSION"), session.runtime.describe()),
        ),
        ("doctor.json".into(), format!("{:#}", json!(to_json(&findings)))),
        ("status.json".into(), format!("{:#}", status::to_json(&session, &status::report(&session, &seen)))),
    ];
    for (name, machine) in &seen.existing.machines {
        // Values of the environment are digests in there.
        let spec = machine.spec.as_ref().map_or_else(String::new, crate::cluster::Spec::to_text);
        files.push((format!("nodes/{name}/spec.json"), spec));
        if let Ok(target) = session.target(&seen, name) {
            for (file, query) in [
                ("state", "SHOW REPLICATION STATE;"),
                ("lag", "SHOW REPLICATION LAG;"),
                ("replicas", "SHOW REPLICAS;"),
                ("storage", "SHOW STORAGE INFO;"),
            ] {
                let text = match session.nodes.ask(&target, query).await {
                    Ok(rows) => format!("{:#}", json!({ "fields": rows.fields, "rows": rows.rows })),
                    Err(error) => error.to_string(),
                };
                files.push((format!("nodes/{name}/{file}.json"), text));
            }
        }
        let log = session.runtime.last_lines(session.cluster(), name, LOG_LINES).await;
        let log: Vec<String> = log.iter().map(|line| redact(&printable(line))).collect();
        files.push((format!("nodes/{name}/log.txt"), log.join("\n")));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let path =
        args.path.clone().unwrap_or_else(|| format!("mgctl-{}-report-{now}.tar", session.cluster()).into());
    let write = || {
        let mut archive = tar::Builder::new(std::fs::File::create_new(&path)?);
        for (name, text) in &files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(now);
            header.set_cksum();
            archive.append_data(&mut header, format!("report/{name}"), text.as_bytes())?;
        }
        archive.into_inner()?.flush()
    };
    write().map_err(|error| {
        CliError::new(Exit::Other, format!("cannot write `{}`: {error}", path.display())).code("MG078")
    })?;
    let names: Vec<&String> = files.iter().map(|(name, _)| name).collect();
    let data = json!({ "file": path.display().to_string(), "contents": names });
    let text = |_: &Ui| {
        format!(
            "Wrote {} ({}). It holds states, settings and logs, no data of the graph and no passwords;\n\
             read it before you pass it on.",
            path.display(),
            count(files.len(), "file")
        )
    };
    session.ui.result("Report", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

/// Replaces what stands after a word that announces a secret.
fn redact(line: &str) -> String {
    const WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "license", "credentials"];
    let lower = line.to_ascii_lowercase();
    let mut out = String::new();
    let mut from = 0;
    while let Some((at, word)) = WORDS.iter().filter_map(|w| Some((from + lower[from..].find(w)?, *w))).min()
    {
        let after = at + word.len();
        let mark = lower[after..].find(|c: char| !"\"'_- ".contains(c) && !c.is_ascii_lowercase());
        match mark.map(|m| after + m).filter(|m| matches!(lower.as_bytes()[*m], b'=' | b':')) {
            Some(mark) => {
                out += &line[from..=mark];
                let rest = &line[mark + 1..];
                let start = rest.len() - rest.trim_start_matches([' ', '"', '\'']).len();
                let end =
                    rest[start..].find([' ', '"', '\'', ',', ';', '}']).map_or(rest.len(), |e| start + e);
                out += &rest[..start];
                out += "***";
                from = mark + 1 + end;
            }
            None => {
                out += &line[from..after];
                from = after;
            }
        }
    }
    out + &line[from..]
}

#[cfg(test)]
mod tests {
    use super::{Level, of_failed_fix, redact};
    use crate::error::{CliError, Exit};

    #[test]
    fn what_ended_a_fix_is_a_check_that_failed() {
        let error = CliError::new(Exit::TimedOut, "`far` did not answer").help("see `mgctl logs far`");
        let found: Vec<_> = of_failed_fix(&error).collect();
        assert_eq!((found.len(), found[0].name.as_str(), found[0].level), (1, "fix", Level::Fail));
        assert_eq!(found[0].text, "`far` did not answer");
        assert_eq!(found[0].help.as_deref(), Some("see `mgctl logs far`"));
    }

    #[test]
    fn what_follows_a_word_for_a_secret_is_left_out() {
        assert_eq!(redact("auth password=hunter2 user=ada"), "auth password=*** user=ada");
        assert_eq!(redact("{\"token\": \"abc\", \"n\": 1}"), "{\"token\": \"***\", \"n\": 1}");
        assert_eq!(redact("MEMGRAPH_ENTERPRISE_LICENSE=xyz"), "MEMGRAPH_ENTERPRISE_LICENSE=***");
        assert_eq!(redact("the password was wrong"), "the password was wrong");
        assert_eq!(redact("nothing here: 1"), "nothing here: 1");
        assert_eq!(redact("Passwort: über, password: für, rest"), "Passwort: über, password: ***, rest");
    }
}
