//! `mgctl backup` and `mgctl restore`: a graph into a file that proves itself whole, and into a new cluster.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Context;
use super::session::{Session, Shown, on_ctrl_c};
use super::transfer::{
    Out, Pace, ToStatements, connect, differs, digest, graph_size, name_of, refused, warnings,
};
use crate::args::{Backup, Restore};
use crate::cluster::{self, Nodes, Observed, Options, Position, Target, Wish, decode_state};
use crate::error::{CliError, Exit, Place, Problem};
use crate::graph::archive::{self, About};
use crate::graph::digest::Digest;
use crate::graph::feed::{Fed, Feeder, Item};
use crate::graph::read;
use crate::graph::schema::{self, Dialect};
use crate::graph::statements::{SplitError, Statements};
use crate::query::Map;
use crate::topology::{self, Until};
use crate::ui::Ui;
use crate::words;

/// Most statements of a transaction: each has up to a thousand rows.
const STATEMENTS_MAX: usize = 64;

impl Out for archive::Writer {
    async fn statement(&mut self, text: String) -> Result<(), CliError> {
        archive::Writer::statement(self, &text)
    }
}

pub(super) async fn run(context: &Context, args: &Backup) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let [target] = <[_; 1]>::try_from(super::query::targets(&session, &seen, &args.on)?).map_err(|_| {
        CliError::new(Exit::Usage, "a backup is of one node").help("--on main, --on replica, or its name")
    })?;
    let began = Instant::now();
    let taken = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let shelf = Shelf::new(session.cluster(), &session.topology.backup);
    let path = match &args.path {
        Some(path) => path.clone(),
        None => shelf.place(taken)?,
    };
    let out = archive::Writer::create(&path, taken)?;
    let mut client = connect(&session, &target).await?;
    let server = client.server().to_owned();
    let before = position(&session, &target).await;
    let mut pace = Pace::new(session.ui.step("backup", &target.instance), on_ctrl_c(&session.ui));
    let written = async {
        let mut sink = ToStatements::new(out, &mut pace);
        let read = read::read(&mut client, &name_of(&target), &mut sink).await?;
        let out = sink.finish().await?;
        let after = position(&session, &target).await;
        let about = About {
            cluster: session.cluster().to_owned(),
            node: target.instance.clone(),
            server,
            taken,
            position: place(before.as_ref(), after.as_ref()),
        };
        let backup = out.finish(&about, read.digest, &read.schema.left_out)?;
        Ok::<_, CliError>((backup, read))
    };
    let (backup, read) = match written.await {
        Ok(written) => written,
        Err(error) => {
            pace.failed(&error);
            return Err(error);
        }
    };
    client.close().await;
    pace.done(&read.digest.to_string());
    // Only where mgctl itself chose the name is the room its own to keep.
    let (removed, failed) = if args.path.is_none() { shelf.prune() } else { Default::default() };
    let mut warnings = warnings(&read.schema);
    warnings.extend(failed);
    let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
    let seconds = rounded(began.elapsed());
    let data = json!({
        "file": path.display().to_string(), "node": target.instance, "vertices": read.digest.vertices,
        "edges": read.digest.edges, "digest": read.digest.text(), "bytes": bytes, "seconds": seconds,
        "position": backup.manifest["position"], "left_out": read.schema.left_out,
        "removed": removed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
    });
    let text = |_: &Ui| {
        let gone: String = removed.iter().map(|path| format!("Removed {}\n", path.display())).collect();
        format!(
            "Wrote {}: {}, {bytes} bytes, checked ({seconds:.1}s)\n{gone}\nNext:  {} restore {} -f TOPOLOGY",
            path.display(),
            read.digest,
            context.program,
            path.display(),
        )
    };
    session.ui.result("Backup", Some(session.cluster()), data, &warnings, text);
    Ok(Exit::Ok)
}

/// Where a cluster's backups are that have no name of their own.
struct Shelf<'a> {
    dir: PathBuf,
    prefix: String,
    wish: &'a topology::Backup,
}

impl Shelf<'_> {
    fn new<'a>(cluster: &str, wish: &'a topology::Backup) -> Shelf<'a> {
        let dir = wish.dir.clone().unwrap_or_default();
        Shelf { dir, prefix: format!("mgctl-{cluster}-backup-"), wish }
    }

    /// Returns the path for a backup of that moment, in a folder that is there.
    fn place(&self, taken: u64) -> Result<PathBuf, CliError> {
        if let Some(dir) = &self.wish.dir {
            std::fs::create_dir_all(dir).map_err(|error| {
                CliError::new(Exit::Other, format!("cannot make folder `{}`: {error}", dir.display()))
                    .code("MG078")
                    .help("see `backup.dir` of the topology")
            })?;
        }
        Ok(self.dir.join(format!("{}{taken}.tar", self.prefix)))
    }

    /// Returns when a file of that name was taken, if it is one of the shelf's.
    fn taken(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(&self.prefix)?.strip_suffix(".tar")?;
        number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok()).flatten()
    }

    /// Removes all but the newest ones, as many as the topology keeps; returns them, and what could not be removed.
    fn prune(&self) -> (Vec<PathBuf>, Vec<Problem>) {
        let Some(keep) = self.wish.keep else { return Default::default() };
        let failed = |path: &Path, error: &std::io::Error| {
            Problem::warning(format!("an older backup stays: `{}`: {error}", path.display())).code("MG078")
        };
        let here = if self.dir.as_os_str().is_empty() { Path::new(".") } else { &self.dir };
        let entries = match std::fs::read_dir(here) {
            Ok(entries) => entries,
            Err(error) => return (Vec::new(), vec![failed(here, &error)]),
        };
        let mut found: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                Some((self.taken(&name)?, self.dir.join(name)))
            })
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        let (mut removed, mut stayed) = (Vec::new(), Vec::new());
        for (_, path) in found.into_iter().skip(keep as usize) {
            match std::fs::remove_file(&path) {
                Ok(()) => removed.push(path),
                Err(error) => stayed.push(failed(&path, &error)),
            }
        }
        (removed, stayed)
    }
}

/// Where a node is in its log; Memgraph's image does not say.
async fn position(session: &Session, target: &Target) -> Option<Position> {
    decode_state(&session.nodes.ask(target, "SHOW REPLICATION STATE;").await.ok()?)
}

/// Names the state that was read: exactly where nothing was written meanwhile, else between which two it is.
fn place(before: Option<&Position>, after: Option<&Position>) -> Value {
    let (Some(before), Some(after)) = (before, after) else { return Value::Null };
    match (before.applied, &before.chain) == (after.applied, &after.chain) {
        true => json!({ "epoch": before.epoch, "lsn": before.applied, "chain": before.chain }),
        false => json!({ "epoch": before.epoch, "lsn_min": before.applied, "lsn_max": after.applied }),
    }
}

pub(super) async fn restore(context: &Context, args: &Restore) -> Result<Exit, CliError> {
    let began = Instant::now();
    let step = context.ui.step("check", &args.path.display().to_string());
    let backup = match archive::Backup::open(&args.path) {
        Ok(backup) => backup,
        Err(error) => {
            step.failed(&error.problem().what);
            return Err(error);
        }
    };
    step.done(&format!("{}, whole", backup.digest));
    let mut session = Session::open(context).await?;
    let seen = session.look().await?;
    let is_new = seen.existing.machines.is_empty();
    if is_new && !session.has_file() {
        return Err(CliError::new(Exit::NotFound, format!("cluster `{}` is not up", session.cluster()))
            .code("MG065")
            .help(format!(
                "name its topology: {} restore {} -f TOPOLOGY",
                context.program,
                args.path.display()
            )));
    }
    if let Some(timeout) = args.timeout.timeout {
        session.topology.wait.timeout = timeout;
    }
    if !is_new {
        refuse_unless_empty(&session, &session.main(&seen)?).await?;
    }
    if args.dry_run {
        let data =
            json!({ "file": args.path.display().to_string(), "changed": false, "manifest": backup.manifest });
        let text = |_: &Ui| {
            let first = if is_new { "is brought up first" } else { "is empty" };
            format!(
                "{} is whole: {}\nCluster {} {first}; it would be restored there. Nothing was done.",
                args.path.display(),
                backup.digest,
                session.cluster()
            )
        };
        session.ui.result("Restore", Some(session.cluster()), data, &session.warnings, text);
        return Ok(Exit::Ok);
    }
    let done = session.locked(Duration::from_secs(24 * 3600), bring_in(&session, &backup)).await?;
    let seconds = rounded(began.elapsed());
    let data = json!({
        "file": args.path.display().to_string(), "changed": true, "vertices": done.fed.vertices,
        "edges": done.fed.edges, "digest": backup.digest.text(), "verified": done.verified, "seconds": seconds,
        "brought_up": is_new,
    });
    let text = |_: &Ui| {
        format!(
            "Restored {} into cluster {}: {}, the same on {} ({seconds:.1}s)",
            args.path.display(),
            session.cluster(),
            backup.digest,
            done.verified.join(", ")
        )
    };
    session.ui.result("Restore", Some(session.cluster()), data, &session.warnings, text);
    Ok(Exit::Ok)
}

struct Restored {
    fed: Fed,
    /// Nodes whose graph is that of the backup.
    verified: Vec<String>,
}

async fn bring_in(session: &Session, backup: &archive::Backup) -> Result<Restored, CliError> {
    let interrupt = on_ctrl_c(&session.ui);
    let shown = Shown::new(session);
    let seen: Observed = match session.has_file() {
        true => {
            // Without its init files: what they make would be in the way.
            let wish = Wish { init: Vec::new(), ..session.wish(Options::default()) };
            cluster::converge(&session.execution(&wish, &shown, interrupt.clone())).await?.0
        }
        false => session.look_at_existing().await?,
    };
    let main = session.main(&seen)?;
    // Looked at again: now nobody else of mgctl's is at work here.
    refuse_unless_empty(session, &main).await?;
    let mut pace = Pace::new(session.ui.step("restore", &main.instance), interrupt);
    let fed = match feed(session, &main, backup, &mut pace).await {
        Ok(fed) => {
            pace.done(&graph_size(fed.vertices, fed.edges));
            fed
        }
        Err(error) => {
            pace.failed(&error);
            return Err(error.help(format!(
                "the cluster holds a part of it; empty it before the next try: {}",
                session.command("down --volumes")
            )));
        }
    };
    let step = session.ui.step("verify", &main.instance);
    let is = digest(session, &main).await?.digest;
    if let Some(error) = differs(&main, is, backup.digest, "the backup") {
        step.failed("it differs");
        return Err(error);
    }
    step.done(&is.text()[..12]);
    let mut verified = vec![main.instance.clone()];
    for target in replicas(session, &main).await? {
        let step = session.ui.step("verify", &target.instance);
        match wait_for(session, &main, &target, backup.digest).await {
            Ok(()) => step.done(&backup.digest.text()[..12]),
            Err(error) => {
                step.failed(&error.problem().what);
                return Err(error);
            }
        }
        verified.push(target.instance);
    }
    Ok(Restored { fed, verified })
}

/// The nodes beside MAIN that have to have everything.
async fn replicas(session: &Session, main: &Target) -> Result<Vec<Target>, CliError> {
    if session.topology.wait.until < Until::Redundant {
        return Ok(Vec::new());
    }
    let seen = session.look_at_existing().await?;
    let all = super::query::targets(session, &seen, "all")?;
    Ok(all.into_iter().filter(|t| t.instance != main.instance).collect())
}

/// Waits until a replica has as many elements, and compares its graph.
async fn wait_for(session: &Session, main: &Target, target: &Target, should: Digest) -> Result<(), CliError> {
    let until = Instant::now() + session.topology.wait.timeout;
    // Where nodes say how far they are, the graph is read once; elsewhere until it is the same.
    if let Some(last) = position(session, main).await {
        while Instant::now() < until
            && position(session, target).await.is_some_and(|own| own.applied < last.applied)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    loop {
        let is = digest(session, target).await;
        match is {
            Ok(read) if read.digest == should => return Ok(()),
            // It is on its way: marks are still on, or elements are missing.
            Ok(_) | Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(read) => {
                return Err(differs(target, read.digest, should, "the backup")
                    .unwrap_or_else(|| CliError::new(Exit::TimedOut, "it took too long")));
            }
            Err(error) => return Err(error),
        }
    }
}

async fn feed(
    session: &Session,
    main: &Target,
    backup: &archive::Backup,
    pace: &mut Pace,
) -> Result<Fed, CliError> {
    let mut client = connect(session, main).await?;
    let source = archive::text_name(backup);
    let mut statements = Statements::new(BufReader::with_capacity(1 << 20, backup.text()?));
    let mut feeder = Feeder::new(&mut client, STATEMENTS_MAX);
    loop {
        let bytes = statements.bytes();
        let Some(statement) = statements.read_next().map_err(|error| unreadable(&source, error))? else {
            break;
        };
        let place = Place { file: source.clone(), line: statement.line, column: statement.column };
        let item = Item::Statement { text: statement.text, place: Some(place) };
        feeder.push(item).await.map_err(|r| refused(session, main, &source, *r))?;
        let done = feeder.done();
        pace.say(|took| {
            let percent = bytes as f64 * 100.0 / backup.bytes.max(1) as f64;
            let rate = (done.vertices + done.edges) as f64 / took.as_secs_f64().max(0.001);
            format!("{percent:.0}%, {}, {rate:.0}/s", graph_size(done.vertices, done.edges))
        })?;
    }
    feeder.flush().await.map_err(|r| refused(session, main, &source, *r))?;
    let done = feeder.done();
    client.close().await;
    Ok(done)
}

fn unreadable(source: &std::sync::Arc<str>, error: SplitError) -> CliError {
    match error {
        SplitError::Read(error) => {
            CliError::new(Exit::Other, format!("cannot read `{source}`: {error}")).code("MG100")
        }
        SplitError::Text { line, column, what } => {
            CliError::new(Exit::Other, what).code("MG100").at(Place { file: source.clone(), line, column })
        }
    }
}

/// Nothing is overwritten, and nothing is mixed.
async fn refuse_unless_empty(session: &Session, main: &Target) -> Result<(), CliError> {
    let mut client = connect(session, main).await?;
    let unread = |error: crate::query::QueryError| {
        CliError::new(Exit::Degraded, format!("`{}` does not say what it holds: {error}", main.instance))
            .code("MG067")
            .thing(name_of(main))
    };
    let counted = client.run("MATCH (n) RETURN count(n)", Map::new()).await.map_err(unread)?;
    let vertices = counted.rows.first().and_then(|r| r.first()?.as_int()).unwrap_or(i64::MAX);
    let dialect = Dialect::of(&client);
    let schema = schema::read(&mut client, dialect).await.map_err(unread)?;
    client.close().await;
    let count = schema.after.len() + schema.before.len() + schema.left_out.len();
    if vertices == 0 && count == 0 {
        return Ok(());
    }
    Err(CliError::new(Exit::Unsafe, format!("cluster `{}` is not empty", session.cluster()))
        .code("MG103")
        .thing(name_of(main))
        .note(format!(
            "it holds {}, and {} of indexes and constraints; nothing was changed",
            words::count(vertices, "vertex"),
            words::count(count, "definition")
        ))
        .help("restore into a new cluster: a topology with another `name`")
        .help(format!("or delete what this one holds: {}", session.command("down --volumes"))))
}

fn rounded(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_backups_of_this_very_cluster_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let wish = topology::Backup { dir: Some(folder.path().join("backups")), keep: Some(2) };
        let shelf = Shelf::new("a", &wish);
        let names = [
            "mgctl-a-backup-5.tar",
            "mgctl-a-backup-30.tar",
            "mgctl-a-backup-200.tar",
            "mgctl-a-backup-4.tar.partial",
            "mgctl-a-backup-x.tar",
            "mgctl-a-backup-.tar",
            "mgctl-a-backup-1-backup-1.tar",
            "mgctl-b-backup-1.tar",
            "mine.tar",
        ];
        for name in names {
            let path = shelf.place(0).unwrap().with_file_name(name);
            std::fs::write(path, "").unwrap();
        }
        let (removed, failed) = shelf.prune();
        assert_eq!(removed, [folder.path().join("backups/mgctl-a-backup-5.tar")]);
        assert!(failed.is_empty());
        assert_eq!(std::fs::read_dir(folder.path().join("backups")).unwrap().count(), names.len() - 1);
        assert!(shelf.prune().0.is_empty());
        let all = topology::Backup { keep: None, ..wish.clone() };
        assert!(Shelf::new("a", &all).prune().0.is_empty());

        // What cannot be removed is told.
        std::fs::create_dir(folder.path().join("backups/mgctl-a-backup-3.tar")).unwrap();
        let (removed, failed) = shelf.prune();
        assert_eq!((removed.len(), failed.len()), (0, 1));
        assert!(failed[0].what.contains("an older backup stays"), "{}", failed[0].what);
    }
}
