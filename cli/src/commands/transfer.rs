//! What `backup`, `restore`, `dump` and `import` have in common: reaching a server, saying how far it is, the text of a
//! graph, and what a refusal means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::session::Session;
use crate::cluster::{Interrupt, Target};
use crate::error::{CliError, Exit, Place, Problem};
use crate::graph::cypherl::{Form, Group, Writer};
use crate::graph::digest::Digest;
use crate::graph::feed::{Fed, Refusal};
use crate::graph::literal::Unwritable;
use crate::graph::read::{Nowhere, Sink};
use crate::graph::schema::Schema;
use crate::graph::{Edge, Vertex, read};
use crate::query::Client;
use crate::ui::Step;
use crate::words::count;

/// How long a server may take for one batch.
const TIME_MAX: Duration = Duration::from_secs(600);

/// How often is said how far it is.
const PACE: Duration = Duration::from_secs(2);

/// How a node is named where something goes wrong with it.
pub(super) fn name_of(target: &Target) -> String {
    format!("`{}`, Bolt {}", target.instance, target.bolt)
}

/// Connects to a node for long work.
pub(super) async fn connect(session: &Session, target: &Target) -> Result<Client, CliError> {
    let mut client = session.nodes.client(&target.bolt, Duration::from_secs(10)).await.map_err(|error| {
        CliError::new(Exit::Degraded, format!("`{}` does not answer: {error}", target.instance))
            .code("MG068")
            .help(format!("see {}", session.command("status")))
    })?;
    client.set_timeout(TIME_MAX);
    Ok(client)
}

/// Reads a node's graph for its digest alone.
pub(super) async fn digest(session: &Session, target: &Target) -> Result<read::Read, CliError> {
    let mut client = connect(session, target).await?;
    let read = read::read(&mut client, &name_of(target), &mut Nowhere).await?;
    client.close().await;
    Ok(read)
}

/// Says how far a long work is, not too often, and ends it when that is asked for.
pub(super) struct Pace {
    step: Step,
    last: Instant,
    began: Instant,
    interrupt: Interrupt,
}

impl Pace {
    pub(super) fn new(step: Step, interrupt: Interrupt) -> Pace {
        let now = Instant::now();
        Pace { step, last: now, began: now, interrupt }
    }

    /// Says it, if the last time is long enough ago.
    ///
    /// # Errors
    ///
    /// When an end was asked for.
    pub(super) fn say(&mut self, detail: impl FnOnce(Duration) -> String) -> Result<(), CliError> {
        if self.interrupt.is_raised() {
            return Err(CliError::new(Exit::Interrupted, "interrupted"));
        }
        if self.last.elapsed() >= PACE {
            self.last = Instant::now();
            self.step.say(&detail(self.began.elapsed()));
        }
        Ok(())
    }

    pub(super) fn done(self, detail: &str) {
        self.step.done(detail);
    }

    pub(super) fn failed(self, error: &CliError) {
        self.step.failed(&error.problem().what);
    }
}

/// Returns a number of elements with their speed.
pub(super) fn elements(vertices: u64, edges: u64, took: Duration) -> String {
    let rate = (vertices + edges) as f64 / took.as_secs_f64().max(0.001);
    format!("{}, {rate:.0}/s", graph_size(vertices, edges))
}

/// Returns how large a graph is, in words.
pub(super) fn graph_size(vertices: u64, edges: u64) -> String {
    format!("{}, {}", count(vertices, "vertex"), count(edges, "edge"))
}

/// Where statements go.
#[allow(async_fn_in_trait, reason = "everything that calls it runs on one task; no future crosses threads")]
pub(super) trait Out {
    /// How it takes rows.
    const FORM: Form = Form::Text;

    async fn statement(&mut self, text: String) -> Result<(), CliError>;
    /// Takes rows. Whoever wants them as a parameter takes more than their text.
    async fn rows(&mut self, group: Group) -> Result<(), CliError> {
        self.statement(group.text()).await
    }
    /// Has everything so far take effect, where that is put off.
    async fn flush(&mut self) -> Result<(), CliError> {
        Ok(())
    }
}

/// Turns a graph that is read into statements.
pub(super) struct ToStatements<'a, O> {
    pub(super) out: O,
    pub(super) writer: Writer,
    pace: &'a mut Pace,
    vertices: u64,
    edges: u64,
    after: Vec<String>,
    /// Once all vertices and edges are out: the statements that are not known to be done.
    pub(super) left: Option<Vec<String>>,
}

impl<'a, O: Out> ToStatements<'a, O> {
    pub(super) fn new(out: O, pace: &'a mut Pace) -> ToStatements<'a, O> {
        let writer = Writer::new(O::FORM);
        ToStatements { out, writer, pace, vertices: 0, edges: 0, after: Vec::new(), left: None }
    }

    /// Writes what comes after the last edge.
    pub(super) async fn finish(mut self) -> Result<O, CliError> {
        self.write_rest().await?;
        Ok(self.out)
    }

    /// As [`ToStatements::finish`], for who still needs what was written.
    pub(super) async fn write_rest(&mut self) -> Result<(), CliError> {
        for group in self.writer.flush() {
            self.out.rows(group).await?;
        }
        // What is refused before here is taken back by the marks; from here on they come off.
        self.out.flush().await?;
        let by_hand = if self.vertices > 0 { Writer::after_by_hand() } else { Vec::new() };
        let left = self.left.insert([by_hand, std::mem::take(&mut self.after)].concat());
        if self.vertices > 0 {
            let mut off = self.writer.after();
            let drop_index = off.pop().expect("the index is dropped at the end");
            for text in off {
                self.out.statement(text).await?;
            }
            self.out.flush().await?;
            left.remove(0);
            self.out.statement(drop_index).await?;
            left.remove(0);
        }
        while let Some(text) = left.first() {
            self.out.statement(text.clone()).await?;
            left.remove(0);
        }
        self.out.flush().await
    }

    async fn write(&mut self, groups: Vec<Group>) -> Result<(), CliError> {
        for group in groups {
            self.out.rows(group).await?;
        }
        let (vertices, edges) = (self.vertices, self.edges);
        self.pace.say(|took| elements(vertices, edges, took))
    }
}

fn unwritable(of: &str, (key, kind): (String, Unwritable)) -> CliError {
    CliError::new(
        Exit::Other,
        format!("property `{key}` of {of} is of a kind that Cypher has no text for: {}", kind.0),
    )
    .code("MG107")
    .help("remove it, or store it as a list of numbers or as text")
}

impl<O: Out> Sink for ToStatements<'_, O> {
    async fn begin(&mut self, schema: &Schema) -> Result<(), CliError> {
        self.after.clone_from(&schema.after);
        for text in &schema.before {
            self.out.statement(text.clone()).await?;
        }
        Ok(())
    }

    async fn vertex(&mut self, vertex: Vertex) -> Result<(), CliError> {
        if self.vertices == 0 {
            for text in Writer::before() {
                self.out.statement(text).await?;
            }
        }
        self.vertices += 1;
        let full = self.writer.vertex(&vertex);
        let full = full.map_err(|e| unwritable(&format!("the vertex with id {}", vertex.id), e))?;
        self.write(full).await
    }

    async fn edge(&mut self, edge: Edge) -> Result<(), CliError> {
        if self.edges == 0 {
            // An edge needs both of its ends.
            let waiting = self.writer.flush();
            self.write(waiting).await?;
        }
        self.edges += 1;
        let full = self.writer.edge(&edge);
        let full =
            full.map_err(|e| unwritable(&format!("an edge `:{}` of vertex {}", edge.kind, edge.start), e))?;
        self.write(full).await
    }
}

/// Warns of what has no statement.
pub(super) fn warnings(schema: &Schema) -> Vec<Problem> {
    let warn = |what: &String| {
        Problem::warning(format!("{what} is left out"))
            .code("MG107")
            .help("there is no statement for it that every server knows; make it by hand")
    };
    schema.left_out.iter().map(warn).collect()
}

/// Turns a refusal into an error. `source` names what was being brought in.
pub(super) fn refused(session: &Session, target: &Target, source: &Arc<str>, refusal: Refusal) -> CliError {
    let done = refusal.done;
    let text = refusal.error.server_message().map_or_else(|| refusal.error.to_string(), str::to_owned);
    let mut lines = text.lines();
    let mut problem = Problem::error(lines.next().unwrap_or_default()).code("MG104");
    problem = match refusal.place {
        Some(place) => problem.at(place),
        None => problem.at(Place { file: source.clone(), ..Place::default() }),
    };
    problem = problem.thing(format!("refused by {}", name_of(target)));
    problem.snippets.extend(refusal.snippet);
    problem.notes.extend(lines.map(str::to_owned));
    if let (Some(statement), true) = (refusal.statement, problem.snippets.is_empty()) {
        problem = problem.note(format!("in: {statement}"));
    }
    problem = problem.note(match refusal.error.may_stand() {
        true => format!(
            "{} before it are in; whether the transaction that it was in is, is not known",
            summary(done)
        ),
        false => format!("{} before it are in; the transaction that it was in left nothing", summary(done)),
    });
    if text.contains("forbidden on the replica") {
        problem = problem.help(format!("MAIN has moved; see {}", session.command("status")));
    }
    CliError::of(Exit::Degraded, vec![problem])
}

/// Returns in words what was done.
pub(super) fn summary(done: Fed) -> String {
    format!("{} ({})", count(done.statements, "statement"), graph_size(done.vertices, done.edges))
}

/// Compares what is there with what should be.
pub(super) fn differs(target: &Target, is: Digest, should: Digest, of: &str) -> Option<CliError> {
    (is != should).then(|| {
        CliError::new(Exit::Degraded, format!("the graph of `{}` is not that of {of}", target.instance))
            .code("MG106")
            .thing(format!("Bolt {}", target.bolt))
            .note(format!("there are {is}"))
            .note(format!("{of} has {should}"))
            .help("see that nothing else writes; then begin again with an empty cluster")
    })
}
