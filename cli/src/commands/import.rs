//! `mgctl import`: Cypher and CSV files, or the graph of another server, into MAIN.
//!
//! Files are read twice: first to the end without a server, so that what is wrong in them is told before anything is
//! changed. What CSV and other servers bring in is marked until all of it is there; where it is refused half-way, what
//! is marked is removed again. A transaction that nobody has answered may come to be after that, and is told of.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use super::Context;
use super::session::{Session, on_ctrl_c};
use super::transfer::{
    Out, Pace, ToStatements, connect, differs, digest, elements, graph_size, name_of, refused, summary,
    warnings,
};
use crate::args::Import;
use crate::cluster::{Nodes, Target};
use crate::error::{CliError, Exit, Place, Problem};
use crate::graph::csv::{CsvError, Header, Ids, Records, Row};
use crate::graph::cypherl::{Group, MARK, Writer};
use crate::graph::feed::{Fed, Feeder, Item, Refusal};
use crate::graph::read;
use crate::graph::statements::{SplitError, Statements, is_alone};
use crate::query::{Client, Map, QueryError};
use crate::ui::Ui;
use crate::words;

/// How long a source may take for one batch.
const SOURCE_TIME_MAX: Duration = Duration::from_secs(600);

/// Where the password of `--from` is read.
const PASSWORD: &str = "MGCTL_FROM_PASSWORD";

/// A file of CSV, and the labels or the type that were named with it.
struct Csv {
    path: PathBuf,
    name: Arc<str>,
    names: Vec<String>,
    delimiter: u8,
    is_edges: bool,
}

pub(super) async fn run(context: &Context, args: &Import) -> Result<Exit, CliError> {
    if let Some(uri) = &args.from {
        return copy(context, args, uri).await;
    }
    let (csv, cypher): (Vec<&String>, Vec<&String>) =
        args.paths.iter().partition(|path| is_csv(path) || named(path).is_some());
    if !csv.is_empty() && !cypher.is_empty() {
        return Err(CliError::new(Exit::Usage, format!("`{}` is CSV and `{}` is Cypher", csv[0], cypher[0]))
            .help("import them by two commands: each has an order of its own"));
    }
    match csv.is_empty() {
        true => run_cypher(context, args).await,
        false => run_csv(context, args).await,
    }
}

fn is_csv(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
    matches!(extension.to_ascii_lowercase().as_str(), "csv" | "tsv")
}

/// Takes `Label=FILE` apart, unless a file has that name.
fn named(path: &str) -> Option<(&str, &str)> {
    path.split_once('=').filter(|(name, file)| !name.is_empty() && is_csv(file) && !Path::new(path).exists())
}

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(std::io::Error::other("it is a folder")),
        false => Ok(file),
    });
    opened.map(|file| BufReader::with_capacity(1 << 20, file)).map_err(|error| {
        CliError::new(Exit::Usage, format!("cannot read `{}`: {error}", path.display())).code("MG001")
    })
}

// ---------------------------------------------------------------------------------------------- Cypher

async fn run_cypher(context: &Context, args: &Import) -> Result<Exit, CliError> {
    if args.from_line > 1 && args.paths.len() > 1 {
        return Err(CliError::new(Exit::Usage, "--from-line is about one file").help("name that file alone"));
    }
    let mut known = 0;
    for path in args.paths.iter().filter(|path| *path != "-") {
        known += check_cypher(context, path)?;
    }
    if args.dry_run {
        let data = json!({ "files": args.paths, "statements": known, "changed": false });
        let text = |_: &Ui| format!("{} can be read. Nothing was done.", words::count(known, "statement"));
        context.ui.result("Import", None, data, &[], text);
        return Ok(Exit::Ok);
    }
    let began = Instant::now();
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    let mut client = connect(&session, &main).await?;
    let interrupt = on_ctrl_c(&session.ui);
    let mut total = Fed::default();
    for path in &args.paths {
        let name: Arc<str> = if path == "-" { "<stdin>".into() } else { path.as_str().into() };
        let input: Box<dyn BufRead> = match path.as_str() {
            "-" => Box::new(BufReader::new(std::io::stdin())),
            path => Box::new(open(Path::new(path))?),
        };
        let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
        let mut pace = Pace::new(session.ui.step("import", &name), interrupt.clone());
        let fed = feed_cypher(&session, &main, &mut client, (input, bytes), &name, args, &mut pace).await;
        match fed {
            Ok(fed) => {
                pace.done(&summary(fed));
                add(&mut total, fed);
            }
            Err(error) => {
                pace.failed(&error);
                return Err(error);
            }
        }
    }
    client.close().await;
    Ok(told(&session, &args.paths.join(", "), total, began.elapsed(), &[], true, None))
}

/// Reads a file to its end, and returns how many statements it has.
fn check_cypher(context: &Context, path: &str) -> Result<u64, CliError> {
    let step = context.ui.step("check", path);
    let mut statements = Statements::new(open(Path::new(path))?);
    let mut count = 0;
    loop {
        match statements.read_next() {
            Ok(Some(_)) => count += 1,
            Ok(None) => break,
            Err(error) => {
                let error = unsplit(&path.into(), error).note("nothing was changed");
                step.failed(&error.problem().what);
                return Err(error);
            }
        }
    }
    step.done(&words::count(count, "statement"));
    Ok(count)
}

async fn feed_cypher(
    session: &Session,
    main: &Target,
    client: &mut Client,
    (input, size): (Box<dyn BufRead>, u64),
    name: &Arc<str>,
    args: &Import,
    pace: &mut Pace,
) -> Result<Fed, CliError> {
    let mut statements = Statements::new(input);
    let mut feeder = Feeder::new(client, args.batch as usize);
    // The first statement that is not known to be in.
    let mut first: Option<u32> = None;
    let refusal = |refusal: Box<Refusal>, first: Option<u32>| {
        let error = refused(session, main, name, *refusal);
        match first {
            Some(line) => error.help(format!(
                "mend it, then go on with: {}",
                session.command(&format!("import {name} --from-line {line}"))
            )),
            None => error,
        }
    };
    loop {
        let bytes = statements.bytes();
        let next = match statements.read_next() {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(error) => {
                feeder.flush().await.map_err(|r| refusal(r, first))?;
                return Err(unsplit(name, error).note(format!("{} before it are in", summary(feeder.done()))));
            }
        };
        if next.line < args.from_line {
            continue;
        }
        let line = next.line;
        let before = feeder.done().statements;
        first = first.or(Some(line));
        let alone = is_alone(&next.text);
        if alone {
            feeder.flush().await.map_err(|r| refusal(r, first))?;
            first = Some(line);
        }
        let place = Place { file: name.clone(), line, column: next.column };
        let item = Item::Statement { text: next.text, place: Some(place) };
        feeder.push(item).await.map_err(|r| refusal(r, first))?;
        let done = feeder.done();
        if done.statements > before {
            first = None;
        }
        let paced = pace.say(|took| {
            let far = if size > 0 {
                format!("{:.0}%, ", bytes as f64 * 100.0 / size as f64)
            } else {
                String::new()
            };
            let rate = done.statements as f64 / took.as_secs_f64().max(0.001);
            format!("{far}{}, {rate:.0}/s", words::count(done.statements, "statement"))
        });
        if let Err(error) = paced {
            feeder.flush().await.map_err(|r| refusal(r, first))?;
            return Err(error.note(format!("{} are in", summary(feeder.done()))).help(format!(
                "go on with: {}",
                session.command(&format!("import {name} --from-line {}", line + 1))
            )));
        }
    }
    feeder.flush().await.map_err(|r| refusal(r, first))?;
    Ok(feeder.done())
}

/// The error of a text that cannot be split into statements.
pub(super) fn unsplit(name: &Arc<str>, error: SplitError) -> CliError {
    match error {
        SplitError::Read(error) => {
            CliError::new(Exit::Usage, format!("cannot read `{name}`: {error}")).code("MG001")
        }
        SplitError::Text { line, column, what } => {
            CliError::new(Exit::Usage, what).code("MG105").at(Place { file: name.clone(), line, column })
        }
    }
}

// ------------------------------------------------------------------------------------------------- CSV

async fn run_csv(context: &Context, args: &Import) -> Result<Exit, CliError> {
    let mut files = Vec::new();
    for path in &args.paths {
        files.push(header_of(path, args)?);
    }
    // Edges name vertices.
    files.sort_by_key(|file| file.is_edges);
    let began = Instant::now();
    let step = context.ui.step("check", &args.paths.join(" "));
    let mut ids = Ids::default();
    let (mut vertices, mut edges) = (0, 0);
    for file in &files {
        let checked = rows(file, args, &mut ids, |row, _| {
            match row {
                Row::Vertex(_) => vertices += 1,
                Row::Edge(_) => edges += 1,
            }
            Ok(())
        });
        if let Err(error) = checked {
            step.failed(&error.problem().what);
            return Err(error.note("nothing was changed"));
        }
    }
    drop(ids);
    step.done(&graph_size(vertices, edges));
    if args.dry_run {
        let data = json!({ "files": args.paths, "vertices": vertices, "edges": edges, "changed": false });
        let text = |_: &Ui| format!("{} can be read. Nothing was done.", graph_size(vertices, edges));
        context.ui.result("Import", None, data, &[], text);
        return Ok(Exit::Ok);
    }
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    let mut clients = vec![connect(&session, &main).await?];
    refuse_marked(&main, &mut clients[0]).await?;
    // One that is none of ours may refuse two transactions that add edges at one vertex.
    if session.nodes.ask(&main, "SHOW REPLICATION STATE;").await.is_ok() {
        clients.push(connect(&session, &main).await?);
    }
    let mut pace = Pace::new(session.ui.step("import", &main.instance), on_ctrl_c(&session.ui));
    let (writer, fed) = feed_csv(&session, &main, &mut clients, files.into(), args, &mut pace).await;
    let fed = match fed {
        Ok(fed) => fed,
        Err(mut broken) => {
            // One that ended well has nothing open, and one that failed may have its transaction. Of one that is gone
            // nobody knows.
            for client in &mut clients[1..] {
                broken.may_stand |= client.reset().await.is_err();
            }
            let error = take_back(&mut clients[0], &writer, broken).await;
            pace.failed(&error);
            return Err(error);
        }
    };
    for client in clients {
        client.close().await;
    }
    pace.done(&graph_size(fed.vertices, fed.edges));
    if (fed.vertices, fed.edges) != (vertices, edges) {
        return Err(CliError::new(
            Exit::Degraded,
            format!("made were {}", graph_size(fed.vertices, fed.edges)),
        )
        .code("MG106")
        .thing(name_of(&main))
        .note(format!("the files have {}", graph_size(vertices, edges)))
        .help("see that the files do not change, and that nothing else imports, then look at the graph"));
    }
    Ok(told(&session, &args.paths.join(", "), fed, began.elapsed(), &[], true, None))
}

fn header_of(path: &str, args: &Import) -> Result<Csv, CliError> {
    let (names, path) = match named(path) {
        Some((names, path)) => (names.split(':').map(str::to_owned).collect(), path),
        None => (Vec::new(), path),
    };
    let is_tsv = path.to_ascii_lowercase().ends_with(".tsv");
    let delimiter = args.delimiter.unwrap_or(if is_tsv { b'\t' } else { b',' });
    let mut file = Csv { path: path.into(), name: path.into(), names, delimiter, is_edges: false };
    let (header, _) = begin(&file, args)?;
    file.is_edges = header.is_edges();
    Ok(file)
}

/// Opens a file and reads its header.
fn begin(file: &Csv, args: &Import) -> Result<(Header, Records<BufReader<File>>), CliError> {
    let wrong = |error: CsvError| at(&file.name, error);
    let mut records = Records::new(open(&file.path)?, file.delimiter);
    let first = records.read_next().map_err(wrong)?;
    let first = first.ok_or_else(|| {
        let what = "the file has no header".to_owned();
        at(&file.name, CsvError { line: 1, column: 1, what })
    })?;
    let header = Header::parse(&first, file.names.clone(), args.list_delimiter).map_err(wrong)?;
    Ok((header, records))
}

fn at(name: &Arc<str>, error: CsvError) -> CliError {
    CliError::new(Exit::Usage, error.what).code("MG105").at(Place {
        file: name.clone(),
        line: error.line,
        column: error.column,
    })
}

/// Hands every record of a file over, with its line.
fn rows(
    file: &Csv,
    args: &Import,
    ids: &mut Ids,
    mut take: impl FnMut(Row, u32) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let (header, mut records) = begin(file, args)?;
    while let Some(fields) = records.read_next().map_err(|e| at(&file.name, e))? {
        let line = fields[0].line;
        take(header.row(&fields, ids).map_err(|e| at(&file.name, e))?, line)?;
    }
    Ok(())
}

/// As many statements wait, at most, for the server.
const READ_AHEAD: usize = 8;

/// The statements of one file after the other, each file's by themselves.
type Files = mpsc::Receiver<mpsc::Receiver<Item>>;

/// Reads the files, on a thread of its own, while the server works on what was read before; returns the writer for what
/// is to be taken back. Each of the clients takes what comes next: edges at one vertex do not conflict.
async fn feed_csv(
    session: &Session,
    main: &Target,
    clients: &mut [Client],
    files: Arc<[Csv]>,
    args: &Import,
    pace: &mut Pace,
) -> (Writer, Result<Fed, Broken>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let options = args.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut writer = Writer::default();
        let read = read_csv(&files, &options, &mut writer, &sender);
        (writer, read)
    });
    // A statement holds up to a thousand rows.
    let statements_max = (args.batch as usize).min(64);
    let mut feeders: Vec<Feeder<'_>> =
        clients.iter_mut().map(|client| Feeder::new(client, statements_max)).collect();
    let source: Arc<str> = args.paths.join(", ").into();
    let refusal = |r: Box<Refusal>| Broken {
        may_stand: r.error.may_stand(),
        error: refused(session, main, &source, *r),
        left: None,
    };
    let fed = async {
        run_all(&mut feeders[0], Writer::before()).await.map_err(refusal)?;
        feed_files(&mut receiver, &mut feeders, pace, refusal).await
    };
    let fed = fed.await;
    // Where nobody takes any more, the reading ends.
    drop(receiver);
    let (writer, read) = reading.await.expect("reading files does not panic");
    if let Err(broken) = fed.and(read.map_err(Broken::of)) {
        return (writer, Err(broken));
    }
    let ended = take_marks_off(&mut feeders, &writer).await;
    let ended = ended.map_err(|(r, left)| Broken { left: Some(left), ..refusal(r) });
    (writer, ended.map(|()| total(feeders.iter().map(Feeder::done))))
}

/// Takes the marks off; where that is refused, says what is left to do.
async fn take_marks_off(
    feeders: &mut [Feeder<'_>],
    writer: &Writer,
) -> Result<(), (Box<Refusal>, Vec<String>)> {
    let mut left = Writer::after_by_hand();
    let mut off = writer.after();
    let drop_index = off.pop().expect("the index is dropped at the end");
    for statements in [off, vec![drop_index]] {
        if let Err(mut refusal) = run_all(&mut feeders[0], statements).await {
            refusal.done = total(feeders.iter().map(Feeder::done));
            return Err((refusal, left));
        }
        left.remove(0);
    }
    Ok(())
}

/// Why bringing in marked vertices has ended before its end.
struct Broken {
    error: CliError,
    /// Whether a transaction may be in, or come to be, that nobody has confirmed.
    may_stand: bool,
    /// Once all vertices and edges are in: the statements that are not known to be done.
    left: Option<Vec<String>>,
}

impl Broken {
    /// One that no transaction is to blame for.
    fn of(error: CliError) -> Broken {
        Broken { error, may_stand: false, left: None }
    }
}

/// Why one of several feeders ended.
enum LaneEnd {
    Refused(Box<Refusal>),
    Stopped(CliError),
}

async fn run_all(feeder: &mut Feeder<'_>, statements: Vec<String>) -> Result<(), Box<Refusal>> {
    for text in statements {
        feeder.push(Item::Statement { text, place: None }).await?;
    }
    feeder.flush().await
}

/// Has every feeder take statements until the files are at their end. Edges need their ends, and a line of one file is not
/// told for another: what waits is run at the end of each file.
async fn feed_files(
    files: &mut Files,
    feeders: &mut [Feeder<'_>],
    pace: &mut Pace,
    refusal: impl Fn(Box<Refusal>) -> Broken,
) -> Result<(), Broken> {
    let done: Vec<Cell<Fed>> = feeders.iter().map(|feeder| Cell::new(feeder.done())).collect();
    let pace = RefCell::new(pace);
    while let Some(file) = files.recv().await {
        let file = Mutex::new(file);
        let has_failed = Cell::new(false);
        let lanes = feeders.iter_mut().zip(&done).map(|(feeder, own)| async {
            // Each ends what it has begun, so that its connection can be used afterwards.
            while !has_failed.get() {
                let Some(item) = file.lock().await.recv().await else { break };
                let pushed = feeder.push(item).await;
                own.set(feeder.done());
                pushed.map_err(LaneEnd::Refused)?;
                let sum = total(done.iter().map(Cell::get));
                let paced = pace.borrow_mut().say(|took| elements(sum.vertices, sum.edges, took));
                paced.map_err(LaneEnd::Stopped)?;
            }
            let flushed = feeder.flush().await;
            own.set(feeder.done());
            flushed.map_err(LaneEnd::Refused)
        });
        let lanes = lanes.map(|lane| async {
            let ended: Result<(), LaneEnd> = lane.await;
            has_failed.set(has_failed.get() || ended.is_err());
            ended
        });
        let ends = join_all(lanes).await;
        let sum = total(done.iter().map(Cell::get));
        let broken = ends.into_iter().filter_map(Result::err).map(|end| match end {
            LaneEnd::Refused(mut refused) => {
                // What all of them have done, not the one that was refused alone.
                refused.done = sum;
                refusal(refused)
            }
            LaneEnd::Stopped(error) => Broken::of(error),
        });
        if let Some(broken) = worst(broken.collect()) {
            return Err(broken);
        }
    }
    Ok(())
}

/// Makes one of what ended several feeders: the first that leaves something unknown, or else the first. What the others
/// say becomes notes.
fn worst(mut all: Vec<Broken>) -> Option<Broken> {
    all.sort_by_key(|broken| !broken.may_stand);
    let mut all = all.into_iter();
    let mut worst = all.next()?;
    for other in all {
        let what = &other.error.problem().what;
        if *what != worst.error.problem().what {
            worst.error = worst.error.note(format!("on another connection: {what}"));
        }
    }
    Some(worst)
}

fn total(all: impl Iterator<Item = Fed>) -> Fed {
    let mut sum = Fed::default();
    all.for_each(|fed| add(&mut sum, fed));
    sum
}

/// Makes statements of files, until all are read or nobody takes them.
fn read_csv(
    files: &[Csv],
    args: &Import,
    writer: &mut Writer,
    out: &mpsc::Sender<mpsc::Receiver<Item>>,
) -> Result<(), CliError> {
    let mut ids = Ids::default();
    for file in files {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        if out.blocking_send(receiver).is_err() {
            return Ok(());
        }
        // False where nobody takes it.
        let send = |group| sender.blocking_send(Item::Rows { group, file: Some(file.name.clone()) }).is_ok();
        let (header, mut records) = begin(file, args)?;
        while let Some(fields) = records.read_next().map_err(|e| at(&file.name, e))? {
            let line = fields[0].line;
            let row = header.row(&fields, &mut ids).map_err(|e| at(&file.name, e))?;
            let full = match &row {
                Row::Vertex(vertex) => writer.vertex(vertex, line),
                Row::Edge(edge) => writer.edge(edge, line),
            };
            // CSV has no value without a text.
            let full = full.map_err(|(key, kind)| {
                CliError::new(Exit::Other, format!("`{key}` cannot be written as Cypher: {}", kind.0))
                    .code("MG107")
            })?;
            for group in full {
                if !send(group) {
                    return Ok(());
                }
            }
        }
        for group in writer.flush() {
            if !send(group) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Removes what is marked, and adds to the error whether that went well. Where all is in and marks have begun to come
/// off, nothing is removed: what is left to do is said.
async fn take_back(client: &mut Client, writer: &Writer, broken: Broken) -> CliError {
    let Broken { error, may_stand, left } = broken;
    if let Some(left) = left {
        return all_is_in(error, &left);
    }
    // What failed may have left its transaction open. Where this fails, so does what follows.
    let _ = client.reset().await;
    let mut failed: Option<QueryError> = None;
    for text in writer.undo() {
        if let Err(error) = client.run(&text, Map::new()).await {
            failed = Some(error);
            break;
        }
    }
    removed(error, may_stand, failed)
}

fn removed(error: CliError, may_stand: bool, failed: Option<QueryError>) -> CliError {
    let error = match &failed {
        None if !may_stand => {
            return error.note("everything that this import had brought in was removed again");
        }
        None => error.note("what could be seen of this import was removed again"),
        Some(why) => error.note(format!("what it had brought in could not be removed: {why}")),
    };
    let error = match may_stand {
        true => error.note("what was under way on a connection has no sure outcome, and may still appear"),
        false => error,
    };
    let when = if may_stand { "remove what appears" } else { "remove it" };
    error.help(format!("{when}: MATCH (n:`{MARK}`) DETACH DELETE n"))
}

fn all_is_in(error: CliError, left: &[String]) -> CliError {
    let error = error.note("all vertices and edges are in: do not import them again");
    let statements: String = left.iter().map(|text| format!("\n{text};")).collect();
    match left.is_empty() {
        true => error,
        false => error.help(format!("left to do, as far as is known:{statements}")),
    }
}

/// Two imports at once would mix their ids.
async fn refuse_marked(main: &Target, client: &mut Client) -> Result<(), CliError> {
    let found = client.run(&format!("MATCH (n:`{MARK}`) RETURN n LIMIT 1"), Map::new()).await;
    let found = found.map_err(|error| {
        CliError::new(Exit::Degraded, format!("`{}` does not say what it holds: {error}", main.instance))
            .code("MG067")
            .thing(name_of(main))
    })?;
    match found.rows.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(Exit::Conflict, "another import is under way, or was broken off")
            .code("MG108")
            .thing(format!("{}: there are vertices `:{MARK}`", name_of(main)))
            .help(format!(
                "wait for it; one that was broken off leaves them: MATCH (n:`{MARK}`) DETACH DELETE n"
            ))),
    }
}

// ------------------------------------------------------------------------------------- another server

/// An address after `bolt://`.
#[derive(Debug, PartialEq, Eq)]
struct Uri {
    address: String,
    user: Option<String>,
}

fn parse_uri(text: &str) -> Result<Uri, CliError> {
    let wrong = |what: &str| {
        CliError::new(Exit::Usage, format!("`{}` {what}", without_password(text)))
            .code("MG109")
            .help("write bolt://HOST:7687 or bolt://USER@HOST:7687")
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
    match scheme {
        "bolt" | "neo4j" => {}
        "bolt+s" | "bolt+ssc" | "neo4j+s" | "neo4j+ssc" => {
            return Err(wrong("asks for TLS, which mgctl does not speak as a client"));
        }
        _ => return Err(wrong("has a scheme that is none of Bolt's")),
    }
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return Err(wrong("holds a password: others on this machine can read it")
                .help(format!("set it as {PASSWORD}")));
        }
        Some((user, host)) => (Some(user.to_owned()).filter(|u| !u.is_empty()), host),
        None => (None, rest),
    };
    let host = host.trim_end_matches('/');
    let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
        port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
    });
    if host.is_empty() || host.contains(['/', '?', '#']) {
        return Err(wrong("names no host"));
    }
    let address = if has_port { host.to_owned() } else { format!("{host}:7687") };
    Ok(Uri { address, user })
}

fn without_password(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            let user = &text[scheme + 3..at];
            format!("{}{}{}", &text[..scheme + 3], user.split(':').next().unwrap_or(""), &text[at..])
        }
        _ => text.to_owned(),
    }
}

/// Statements to a server. Of a schema that it does not take it goes on.
struct ToServer<'a> {
    session: &'a Session,
    main: &'a Target,
    feeder: Feeder<'a>,
    source: Arc<str>,
    not_taken: Vec<(String, String)>,
    /// Whether the transaction that was refused may stand.
    may_stand: bool,
}

impl Out for ToServer<'_> {
    async fn statement(&mut self, text: String) -> Result<(), CliError> {
        let is_schema = is_alone(&text) && !text.contains(MARK);
        if is_schema {
            self.feeder.flush().await.map_err(|r| self.refused(*r))?;
        }
        match self.feeder.push(Item::Statement { text: text.clone(), place: None }).await {
            Err(refusal) if is_schema && refusal.error.server_message().is_some() => {
                self.not_taken.push((text, refusal.error.to_string()));
                Ok(())
            }
            other => other.map_err(|r| self.refused(*r)),
        }
    }

    async fn rows(&mut self, group: Group) -> Result<(), CliError> {
        self.feeder.push(Item::Rows { group, file: None }).await.map_err(|r| self.refused(*r))
    }

    async fn flush(&mut self) -> Result<(), CliError> {
        self.feeder.flush().await.map_err(|r| self.refused(*r))
    }
}

impl ToServer<'_> {
    fn refused(&mut self, refusal: Refusal) -> CliError {
        self.may_stand |= refusal.error.may_stand();
        refused(self.session, self.main, &self.source, refusal)
    }
}

async fn copy(context: &Context, args: &Import, from: &str) -> Result<Exit, CliError> {
    let began = Instant::now();
    let uri = parse_uri(from)?;
    let source: Arc<str> = format!("bolt://{}", uri.address).into();
    let password = std::env::var(PASSWORD).unwrap_or_default();
    if uri.user.is_some() && password.is_empty() {
        return Err(CliError::new(Exit::Declined, format!("the password for {source} is not known"))
            .code("MG109")
            .help(format!("set {PASSWORD}, or leave the user out where the server needs none")));
    }
    let auth = uri.user.as_deref().map(|user| (user, password.as_str()));
    let unreachable = |error: QueryError| {
        CliError::new(Exit::Other, format!("the graph to copy cannot be reached: {error}"))
            .code("MG109")
            .thing(source.to_string())
            .help("see that it answers Bolt without TLS there, and the user and password")
    };
    let mut reader =
        Client::connect(&uri.address, Duration::from_secs(10), auth).await.map_err(unreachable)?;
    reader.set_timeout(SOURCE_TIME_MAX);
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    if uri.address == main.bolt.to_string() {
        return Err(
            CliError::new(Exit::Usage, format!("{source} is `{}` itself", main.instance)).code("MG109")
        );
    }
    let mut client = connect(&session, &main).await?;
    refuse_marked(&main, &mut client).await?;
    let counted = client.run("MATCH (n) RETURN count(n)", Map::new()).await.ok();
    let was_empty = counted.is_some_and(|r| r.rows.first().and_then(|r| r.first()?.as_int()) == Some(0));
    if args.dry_run {
        let asked = reader.run("MATCH (n) RETURN count(n)", Map::new()).await.map_err(unreachable)?;
        let vertices = asked.rows.first().and_then(|r| r.first()?.as_int()).unwrap_or(0);
        let data = json!({ "from": &*source, "vertices": vertices, "changed": false });
        let text = |_: &Ui| format!("{source} has {}. Nothing was done.", words::count(vertices, "vertex"));
        session.ui.result("Import", Some(session.cluster()), data, &[], text);
        return Ok(Exit::Ok);
    }
    let mut pace = Pace::new(session.ui.step("import", &source), on_ctrl_c(&session.ui));
    // A statement holds up to a thousand rows.
    let feeder = Feeder::new(&mut client, (args.batch as usize).min(64));
    let out = ToServer {
        session: &session,
        main: &main,
        feeder,
        source: source.clone(),
        not_taken: Vec::new(),
        may_stand: false,
    };
    let mut sink = ToStatements::new(out, &mut pace);
    let copied = async {
        let read = read::read(&mut reader, &source, &mut sink).await?;
        sink.write_rest().await?;
        Ok::<_, CliError>(read)
    };
    let copied = copied.await;
    let ToStatements { out, writer, left, .. } = sink;
    let (fed, not_taken, may_stand) = (out.feeder.done(), out.not_taken, out.may_stand);
    let read = match copied {
        Ok(read) => read,
        Err(error) => {
            let error = take_back(&mut client, &writer, Broken { error, may_stand, left }).await;
            pace.failed(&error);
            return Err(error);
        }
    };
    reader.close().await;
    client.close().await;
    pace.done(&read.digest.to_string());
    let mut left_out = warnings(&read.schema);
    for (statement, why) in &not_taken {
        let what = format!("`{}` does not take: {statement}", main.instance);
        left_out.push(Problem::warning(what).code("MG107").note(why.lines().next().unwrap_or_default()));
    }
    let ok = not_taken.iter().all(|(statement, _)| !statement.starts_with("CREATE CONSTRAINT"));
    let mut verified = None;
    if was_empty {
        let step = session.ui.step("verify", &main.instance);
        let is = digest(&session, &main).await?.digest;
        if let Some(error) = differs(&main, is, read.digest, &source) {
            step.failed("it differs");
            return Err(error);
        }
        step.done(&is.text()[..12]);
        verified = Some(is.text());
    }
    Ok(told(&session, &source, fed, began.elapsed(), &left_out, ok, verified))
}

// ------------------------------------------------------------------------------------------------ both

fn add(total: &mut Fed, fed: Fed) {
    total.statements += fed.statements;
    total.vertices += fed.vertices;
    total.edges += fed.edges;
    total.properties += fed.properties;
    total.degraded += fed.degraded;
}

fn told(
    session: &Session,
    source: &str,
    fed: Fed,
    took: Duration,
    left_out: &[Problem],
    ok: bool,
    verified: Option<String>,
) -> Exit {
    let mut warnings = left_out.to_vec();
    if fed.degraded > 0 {
        let what = format!("not every SYNC replica confirmed {}", words::count(fed.degraded, "transaction"));
        warnings.push(Problem::warning(what).code("MG068").help(session.command("status")));
    }
    let seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
    let data: Value = json!({
        "from": source, "statements": fed.statements, "vertices": fed.vertices, "edges": fed.edges,
        "properties": fed.properties, "degraded": fed.degraded, "seconds": seconds, "digest": verified,
        "changed": true,
    });
    let text = |_: &Ui| {
        let proof = verified
            .as_ref()
            .map_or_else(String::new, |d| format!(", the same as there (digest {})", &d[..12]));
        format!("Imported {source}: {} ({seconds:.1}s){proof}", summary(fed))
    };
    session.ui.partial_result("Import", Some(session.cluster()), ok, data, &warnings, text);
    if ok { Exit::Ok } else { Exit::Degraded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::stand_in::{fields, hello, ok, server};
    use mgbolt::{Response, Status, Version};

    /// Connects to a server that answers so, one list for each request.
    async fn client(answers: Vec<Vec<Response>>) -> Client {
        let address = server(Version::V5_2, [hello(), answers].concat()).await;
        Client::connect(&address, Duration::from_secs(5), None).await.unwrap()
    }

    fn no() -> Vec<Response> {
        let code = "Memgraph.ClientError.MemgraphError.MemgraphError".into();
        vec![Response::Failure { code, message: "no".into(), status: Status::ROLLBACK, position: None }]
    }

    fn yes() -> Vec<Response> {
        ok(Map::new())
    }

    #[tokio::test]
    async fn what_was_done_is_counted_over_all_connections() {
        let (sender, mut files) = mpsc::channel(1);
        let (items, file) = mpsc::channel(2);
        sender.send(file).await.unwrap();
        for text in ["a", "b"] {
            items.send(Item::Statement { text: text.into(), place: None }).await.unwrap();
        }
        drop((items, sender));
        // The first takes `a` and does it, the second is refused `b`.
        let made = ok(Map::new().with("stats", Map::new().with("nodes-created", 2i64)));
        let mut clients = [
            client(vec![yes(), fields(), made, yes()]).await,
            client(vec![yes(), no(), vec![Response::Ignored]]).await,
        ];
        let mut feeders: Vec<Feeder<'_>> = clients.iter_mut().map(|c| Feeder::new(c, 1)).collect();
        let (ui, _, _) = Ui::captured(crate::args::Output::Table, crate::args::Progress::Plain, "");
        let mut pace = Pace::new(ui.step("import", "x"), crate::cluster::Interrupt::default());
        let refusal = |r: Box<Refusal>| Broken::of(CliError::new(Exit::Degraded, summary(r.done)));
        let broken = feed_files(&mut files, &mut feeders, &mut pace, refusal).await.unwrap_err();
        assert_eq!(broken.error.problem().what, "1 statement (2 vertices, 0 edges)");
    }

    #[tokio::test]
    async fn marks_that_come_off_half_way_leave_the_rest_to_do() {
        let mut writer = Writer::default();
        writer.vertex(&crate::graph::Vertex::default(), 0).unwrap();
        let by_hand = Writer::after_by_hand();
        // Refused are the removal of the marks, and what drops the index after it.
        let ignored = || vec![Response::Ignored];
        let first = vec![yes(), no(), ignored()];
        let second = vec![yes(), fields(), yes(), yes(), no(), ignored()];
        for (answers, left) in [(first, &by_hand[..]), (second, &by_hand[1..])] {
            let mut client = client(answers).await;
            let (_, is) = take_marks_off(&mut [Feeder::new(&mut client, 64)], &writer).await.unwrap_err();
            assert_eq!(is, left);
        }
    }

    #[test]
    fn addresses_are_taken_apart_and_passwords_never_shown() {
        let parsed = |text| parse_uri(text).map(|uri| (uri.address, uri.user)).unwrap();
        assert_eq!(parsed("bolt://h"), ("h:7687".into(), None));
        assert_eq!(parsed("bolt://ada@10.0.0.1:17687/"), ("10.0.0.1:17687".into(), Some("ada".into())));
        assert_eq!(parsed("neo4j://[::1]:7"), ("[::1]:7".into(), None));
        assert_eq!(parsed("bolt://[::1]"), ("[::1]:7687".into(), None));
        for text in ["h:7687", "http://h", "bolt+s://h", "bolt://", "bolt://h/db"] {
            assert_eq!(parse_uri(text).unwrap_err().problem().code, Some("MG109"), "{text}");
        }
        let error = parse_uri("bolt://ada:hunter2@h").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains(PASSWORD), "{error}");
    }

    #[test]
    fn a_name_stands_before_csv_only() {
        assert_eq!(named("Person:Human=p.csv"), Some(("Person:Human", "p.csv")));
        assert_eq!(named("a=b.cypherl"), None);
        assert_eq!(named("p.csv"), None);
        assert!(is_csv("x/P.TSV") && !is_csv("-"));
    }

    #[test]
    fn nothing_is_called_removed_that_may_still_appear() {
        let error = || CliError::new(Exit::Degraded, "refused");
        let closed = || Some(QueryError::Closed { address: "a".into() });
        let delete = format!("MATCH (n:`{MARK}`) DETACH DELETE n");
        let sure = removed(error(), false, None).to_string();
        assert!(sure.contains("everything") && !sure.contains(&delete), "{sure}");
        for (may_stand, failed) in [(true, None), (true, closed()), (false, closed())] {
            let said = removed(error(), may_stand, failed).to_string();
            assert!(said.contains(&delete) && !said.contains("everything"), "{said}");
            assert_eq!(said.contains("may still appear"), may_stand, "{said}");
        }
    }

    #[test]
    fn what_leaves_something_unknown_is_told_first_and_the_rest_after_it() {
        let broken =
            |what: &str, may_stand| Broken { may_stand, ..Broken::of(CliError::new(Exit::Degraded, what)) };
        assert!(worst(Vec::new()).is_none());
        let one = worst(vec![broken("refused", false), broken("lost", true)]).unwrap();
        assert!(one.may_stand && one.error.problem().what == "lost");
        assert_eq!(one.error.problem().notes, ["on another connection: refused"]);
        let same = worst(vec![broken("refused", false), broken("refused", false)]).unwrap();
        assert!(!same.may_stand && same.error.problem().notes.is_empty());
    }

    #[test]
    fn where_all_is_in_the_statements_that_are_left_are_named() {
        let said = all_is_in(CliError::new(Exit::Degraded, "lost"), &Writer::after_by_hand()).to_string();
        assert!(said.contains("all vertices and edges are in") && !said.contains("DELETE"), "{said}");
        assert!(said.contains("REMOVE n:`__mg_vertex__`") && said.contains("DROP INDEX ON"), "{said}");
    }
}
