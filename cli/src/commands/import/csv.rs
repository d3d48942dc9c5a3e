//! Files of CSV.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use super::undo::{Broken, refuse_marked, take_back, worst};
use super::{add, named, open, told};
use crate::args::Import;
use crate::cluster::{Nodes, Target};
use crate::commands::Context;
use crate::commands::session::{Session, on_ctrl_c};
use crate::commands::transfer::{Pace, connect, elements, graph_size, name_of, refused};
use crate::error::{CliError, Exit, Place};
use crate::graph::csv::{CsvError, Header, Ids, Records, Row};
use crate::graph::cypherl::{Form, Group, Writer};
use crate::graph::feed::{Fed, Feeder, Item, Refusal};
use crate::query::Client;
use crate::ui::Ui;

/// A file of CSV, and the labels or the type that were named with it.
struct Csv {
    path: PathBuf,
    name: Arc<str>,
    names: Vec<String>,
    delimiter: u8,
    is_edges: bool,
}

pub(super) async fn run(context: &Context, args: &Import) -> Result<Exit, CliError> {
    let mut files = Vec::new();
    for path in &args.paths {
        files.push(header_of(path, args)?);
    }
    // Edges name vertices.
    files.sort_by_key(|file| file.is_edges);
    let began = Instant::now();
    let step = context.ui.step("check", &args.paths.join(" "));
    let checked = match check(&files, args) {
        Ok(checked) => checked,
        Err(error) => {
            step.failed(&error.problem().what);
            return Err(error.note("nothing was changed"));
        }
    };
    let (vertices, edges) = (checked.vertices, checked.edges);
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
    let (writer, fed) = feed(&session, &main, &mut clients, (files, checked.kept), args, &mut pace).await;
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
    let header = Header::parse(first, file.names.clone(), args.list_delimiter).map_err(wrong)?;
    Ok((header, records))
}

fn at(name: &Arc<str>, error: CsvError) -> CliError {
    CliError::new(Exit::Usage, error.what).code("MG105").at(Place {
        file: name.clone(),
        line: error.line,
        column: error.column,
    })
}

/// What the first reading of files has found.
struct Checked {
    vertices: u64,
    edges: u64,
    kept: Option<Kept>,
}

/// All statements of small files, so that these are not read again.
struct Kept {
    writer: Writer,
    /// Those of each file.
    groups: Vec<Vec<Group>>,
}

/// As much of the statements is kept, at most.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Reads the files to their end.
fn check(files: &[Csv], args: &Import) -> Result<Checked, CliError> {
    let mut writer = Writer::new(Form::Parameter);
    let (mut vertices, mut edges, mut bytes) = (0, 0, 0);
    let mut groups: Vec<Vec<Group>> = Vec::new();
    read(files, args, &mut writer, |index, group| {
        let (more_vertices, more_edges) = group.makes();
        vertices += more_vertices;
        edges += more_edges;
        bytes += group.size();
        if bytes <= KEPT_BYTES_MAX {
            groups.resize_with(index + 1, Vec::new);
            groups[index].push(group);
        } else {
            groups = Vec::new();
        }
        true
    })?;
    let kept = (bytes <= KEPT_BYTES_MAX).then_some(Kept { writer, groups });
    Ok(Checked { vertices, edges, kept })
}

/// As many statements wait, at most, for the server.
const READ_AHEAD: usize = 16;

/// The statements of one file after the other, each file's by themselves.
type Files = mpsc::Receiver<mpsc::Receiver<Item>>;

/// Reads the files again where not all of them was kept, on a thread of its own, while the server works on what was
/// read before; returns the writer for what is to be taken back. Each of the clients takes what comes next: edges at one
/// vertex do not conflict.
async fn feed(
    session: &Session,
    main: &Target,
    clients: &mut [Client],
    (files, kept): (Vec<Csv>, Option<Kept>),
    args: &Import,
    pace: &mut Pace,
) -> (Writer, Result<Fed, Broken>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let options = args.clone();
    let reading = tokio::task::spawn_blocking(move || match kept {
        Some(Kept { writer, groups }) => {
            let all = groups.into_iter().enumerate();
            let mut all = all.flat_map(|(index, groups)| groups.into_iter().map(move |group| (index, group)));
            let mut out = ToLanes::new(&files, sender);
            // Where nobody takes them, that is told elsewhere.
            let _ = all.all(|(index, group)| out.send(index, group));
            (writer, Ok(()))
        }
        None => {
            let mut writer = Writer::new(Form::Parameter);
            let mut out = ToLanes::new(&files, sender);
            let read = read(&files, &options, &mut writer, |index, group| out.send(index, group));
            (writer, read)
        }
    });
    // A statement holds up to a thousand rows.
    let statements_max = (args.batch as usize).min(64);
    let mut feeders: Vec<Feeder<'_>> =
        clients.iter_mut().map(|client| Feeder::new(client, statements_max)).collect();
    let source: Arc<str> = args.paths.join(", ").into();
    let refusal = |r: Box<Refusal>| Broken {
        may_stand: r.error.may_stand(),
        ..Broken::of(refused(session, main, &source, *r))
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

fn total(all: impl Iterator<Item = Fed>) -> Fed {
    let mut sum = Fed::default();
    all.for_each(|fed| add(&mut sum, fed));
    sum
}

/// Where statements go that the server is to be fed with.
struct ToLanes<'a> {
    files: &'a [Csv],
    out: mpsc::Sender<mpsc::Receiver<Item>>,
    /// The file that statements are of, and where they go.
    of: Option<(usize, mpsc::Sender<Item>)>,
}

impl<'a> ToLanes<'a> {
    fn new(files: &'a [Csv], out: mpsc::Sender<mpsc::Receiver<Item>>) -> ToLanes<'a> {
        ToLanes { files, out, of: None }
    }

    /// Sends a statement of a file; false where nobody takes it.
    fn send(&mut self, index: usize, group: Group) -> bool {
        let sender = match &self.of {
            Some((of, sender)) if *of == index => sender,
            _ => {
                let (sender, receiver) = mpsc::channel(READ_AHEAD);
                // What came before ends with its sender.
                self.of = None;
                if self.out.blocking_send(receiver).is_err() {
                    return false;
                }
                &self.of.insert((index, sender)).1
            }
        };
        sender.blocking_send(Item::Rows { group, file: Some(self.files[index].name.clone()) }).is_ok()
    }
}

/// Makes statements of files and hands them over with the number of their file, until all are read or `take` says that
/// nobody takes them.
fn read(
    files: &[Csv],
    args: &Import,
    writer: &mut Writer,
    mut take: impl FnMut(usize, Group) -> bool,
) -> Result<(), CliError> {
    let mut ids = Ids::default();
    for (index, file) in files.iter().enumerate() {
        let (header, mut records) = begin(file, args)?;
        while let Some(record) = records.read_next().map_err(|e| at(&file.name, e))? {
            let line = record.line();
            let full = match header.row(record, &mut ids).map_err(|e| at(&file.name, e))? {
                Row::Vertex { id, labels, properties } => writer.vertex_row(id, labels, properties, line),
                Row::Edge { start, end, kind, properties } => {
                    writer.edge_row([start, end], kind, properties, line)
                }
            };
            // CSV has no value without a text.
            let full = full.map_err(|(key, kind)| {
                CliError::new(Exit::Other, format!("`{key}` cannot be written as Cypher: {}", kind.0))
                    .code("MG107")
            })?;
            for group in full {
                if !take(index, group) {
                    return Ok(());
                }
            }
        }
        for group in writer.flush() {
            if !take(index, group) {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::import::stand_in::{client, no, yes};
    use crate::commands::transfer::summary;
    use crate::query::Map;
    use crate::query::stand_in::{fields, ok};
    use mgbolt::Response;

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
        writer.vertex(&crate::graph::Vertex::default()).unwrap();
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
}
