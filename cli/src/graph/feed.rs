//! Runs statements at a server, many in one transaction, and says which one was refused.

use std::sync::Arc;
use std::time::Duration;

use super::cypherl::Group;
use super::statements::{is_alone, place_within};
use crate::error::{Place, Snippet, printable};
use crate::query::{Client, Map, QueryError, Statement};

/// A transaction with so many bytes of statements is full.
const BYTES_MAX: usize = 1 << 20;

/// How often a transaction is tried that conflicts with another one.
const ATTEMPTS_MAX: u32 = 8;

/// Something to run.
#[derive(Clone, Debug)]
pub enum Item {
    /// A statement as somebody wrote it, and where.
    Statement { text: String, place: Option<Place> },
    /// Rows of a file, or of a server.
    Rows { group: Group, file: Option<Arc<str>> },
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    pub statements: u64,
    pub vertices: u64,
    pub edges: u64,
    pub properties: u64,
    /// Transactions that a SYNC replica missed; they stand.
    pub degraded: u64,
}

/// Why it did not go on. What [`Fed`] counts is done; the transaction that was refused is not.
#[derive(Debug)]
pub struct Refusal {
    pub error: QueryError,
    /// Where the refused statement or row is.
    pub place: Option<Place>,
    /// The text of a statement, and the line of it that is meant.
    pub snippet: Option<Snippet>,
    /// Its first line.
    pub statement: Option<String>,
    pub done: Fed,
}

/// Feeds one server.
pub struct Feeder<'a> {
    client: &'a mut Client,
    statements_max: usize,
    waiting: Vec<(Item, String)>,
    bytes: usize,
    done: Fed,
}

impl<'a> Feeder<'a> {
    /// Begins, with at most `statements_max` statements in one transaction.
    pub fn new(client: &'a mut Client, statements_max: usize) -> Feeder<'a> {
        Feeder {
            client,
            statements_max: statements_max.max(1),
            waiting: Vec::new(),
            bytes: 0,
            done: Fed::default(),
        }
    }

    /// Returns what is done; what waits is not.
    pub fn done(&self) -> Fed {
        self.done
    }

    /// Takes one more, and runs what waits if that is enough.
    pub async fn push(&mut self, item: Item) -> Result<(), Box<Refusal>> {
        let text = match &item {
            Item::Statement { text, .. } => text.clone(),
            Item::Rows { group, .. } => group.text(),
        };
        if is_alone(&text) {
            self.flush().await?;
            return self.alone(&item, &text).await;
        }
        self.bytes += statement(&item, &text).size();
        self.waiting.push((item, text));
        if self.waiting.len() >= self.statements_max || self.bytes >= BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// Runs what waits.
    pub async fn flush(&mut self) -> Result<(), Box<Refusal>> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let statements: Vec<Statement<'_>> =
            waiting.iter().map(|(item, text)| statement(item, text)).collect();
        let mut attempts = 0;
        let refused = loop {
            attempts += 1;
            match self.client.transact(&statements).await {
                Ok(done) => {
                    let count = |name| u64::try_from(done.stat(name)).unwrap_or(0);
                    self.done.statements += statements.len() as u64;
                    self.done.vertices += count("nodes-created");
                    self.done.edges += count("relationships-created");
                    self.done.properties += count("properties-set");
                    self.done.degraded += u64::from(
                        done.commit.notifications.iter().any(|n| n.code == "SyncReplicationFailure"),
                    );
                    return Ok(());
                }
                // Nothing of it was done, and a conflict passes.
                Err(refused) if refused.error.is_transient() && attempts < ATTEMPTS_MAX => {
                    // What failed may have left the transaction open.
                    let _ = self.client.rollback().await;
                    tokio::time::sleep(Duration::from_millis(20) * attempts).await;
                }
                Err(refused) => break refused,
            }
        };
        let at = refused.statement;
        let mut found = at.map(|index| &waiting[index]);
        let mut error = refused.error;
        let mut row = None;
        if let Some((Item::Rows { group, .. }, _)) = found {
            if let Some((index, own)) = self.find_row(&statements[..at.unwrap_or(0)], group, &error).await {
                row = Some(index);
                error = own;
            }
        } else if at.is_none() && waiting.len() == 1 {
            found = waiting.first();
        }
        Err(Box::new(self.refusal(found, row, error)))
    }

    /// Finds the row that a statement was refused for: each of them alone, in a transaction that is given up.
    async fn find_row(
        &mut self,
        before: &[Statement<'_>],
        group: &Group,
        error: &QueryError,
    ) -> Option<(usize, QueryError)> {
        if !matches!(error, QueryError::Server { .. }) {
            return None;
        }
        let mut found = None;
        // A connection that fails now only leaves it unknown which row it was.
        self.client.rollback().await.ok()?;
        self.client.begin().await.ok()?;
        for statement in before {
            self.client.execute(*statement).await.ok()?;
        }
        for index in 0..group.len() {
            let text = group.row_text(index);
            match self.client.execute(group.row_statement(&text, index)).await {
                Ok(_) => {}
                Err(error) => {
                    found = Some((index, error));
                    break;
                }
            }
        }
        self.client.rollback().await.ok()?;
        found
    }

    async fn alone(&mut self, item: &Item, text: &str) -> Result<(), Box<Refusal>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.client.run(text, Map::new()).await {
                Ok(_) => {
                    self.done.statements += 1;
                    return Ok(());
                }
                // Nothing of it was done; what the failure left is cleared away by the next try.
                Err(error) if error.is_transient() && attempts < ATTEMPTS_MAX => {
                    tokio::time::sleep(Duration::from_millis(20) * attempts).await;
                }
                Err(error) => {
                    let found = (item.clone(), text.to_owned());
                    return Err(Box::new(self.refusal(Some(&found), None, error)));
                }
            }
        }
    }

    fn refusal(&self, found: Option<&(Item, String)>, row: Option<usize>, error: QueryError) -> Refusal {
        let first_line = |text: &str| text.lines().next().unwrap_or("").chars().take(200).collect::<String>();
        let mut refusal = Refusal { error, place: None, snippet: None, statement: None, done: self.done };
        match found {
            Some((Item::Statement { text, place }, _)) => {
                refusal.statement = Some(first_line(text));
                let Some(begin) = place else { return refusal };
                let inner = refusal.error.server_message().and_then(place_in_message);
                let (line, column) = inner.unwrap_or((1, 1));
                let index = index_of(text, line, column);
                let (line_in_file, column_in_file) = place_within(text, index, begin.line, begin.column);
                refusal.snippet = snippet(text, line, column, line_in_file);
                refusal.place = Some(Place { line: line_in_file, column: column_in_file, ..begin.clone() });
            }
            Some((Item::Rows { group, file: Some(file) }, _)) => {
                let line = group.line(row.unwrap_or(0));
                refusal.place = Some(Place { file: file.clone(), line, column: 1 });
            }
            _ => {}
        }
        refusal
    }
}

/// Makes a statement of an item and its text.
fn statement<'a>(item: &'a Item, text: &'a str) -> Statement<'a> {
    match item {
        Item::Statement { .. } => text.into(),
        Item::Rows { group, .. } => group.statement(text),
    }
}

/// Finds where in a query a server says that it is wrong: `line 1, column 19`, `line 1:19`, `line 1 position 19`.
fn place_in_message(message: &str) -> Option<(u32, u32)> {
    // That place is in the statement of a trigger.
    if message.starts_with("Trigger '") || message.starts_with("Failed creating the trigger:") {
        return None;
    }
    let at = message.rfind("line ")?;
    let mut numbers = message[at + 5..].split(|c: char| !c.is_ascii_digit()).filter(|p| !p.is_empty());
    let line: u32 = numbers.next()?.parse().ok()?;
    let column: u32 = numbers.next()?.parse().ok()?;
    (line > 0).then_some((line, column.max(1)))
}

/// Returns how many characters stand before a place.
fn index_of(text: &str, line: u32, column: u32) -> usize {
    let before: usize = text.split('\n').take(line as usize - 1).map(|l| l.chars().count() + 1).sum();
    before + column as usize - 1
}

fn snippet(text: &str, line: u32, column: u32, line_in_file: u32) -> Option<Snippet> {
    const WIDTH: usize = 100;
    let whole: Vec<char> = text.split('\n').nth(line as usize - 1)?.chars().collect();
    // Of a long line what is around the place.
    let from = (column as usize - 1).saturating_sub(WIDTH / 2).min(whole.len());
    let shown: String = whole[from..].iter().take(WIDTH).collect();
    let lead = if from > 0 { "…" } else { "" };
    let column = (column as usize - from + lead.chars().count()) as u32;
    Some(Snippet { line: line_in_file, text: format!("{lead}{}", printable(&shown)), column, width: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgbolt::{Response, Version};

    #[test]
    fn servers_say_where_in_their_own_words() {
        assert_eq!(place_in_message("Unexpected `x`. (line 1, column 19) [SyntaxError: X]"), Some((1, 19)));
        assert_eq!(place_in_message("Error on line 2 position 7. The query was: ..."), Some((2, 7)));
        assert_eq!(place_in_message("line 3:0 no viable alternative"), Some((3, 1)));
        assert_eq!(place_in_message("Unable to commit due to a constraint"), None);
        assert_eq!(place_in_message("deadline passed"), None);
        let trigger = "Trigger 't' caused the transaction to fail: x (line 1, column 9) [TypeError]";
        assert_eq!(place_in_message(trigger), None);
    }

    #[tokio::test]
    async fn a_statement_of_its_own_is_tried_again_where_that_can_help() {
        use crate::query::stand_in::{failure, fields, hello, ok, server};
        let mut answers = hello();
        answers.extend([vec![failure()], vec![Response::Ignored], ok(Map::new()), fields(), ok(Map::new())]);
        let address = server(Version::V5_2, answers).await;
        let mut client = Client::connect(&address, Duration::from_secs(5), None).await.unwrap();
        let mut feeder = Feeder::new(&mut client, 1);
        feeder.push(Item::Statement { text: "DROP INDEX ON :L(p)".into(), place: None }).await.unwrap();
        assert_eq!(feeder.done().statements, 1);
    }

    #[tokio::test]
    async fn the_row_that_was_refused_is_found_among_parameters() {
        use crate::graph::cypherl::{Form, Writer};
        use crate::query::stand_in::{failure, fields, hello, ok, server};
        let mut writer = Writer::new(Form::Parameter);
        for (id, line) in [(0, 2), (1, 3)] {
            let no: Vec<(&str, mgbolt::PackValue)> = Vec::new();
            assert!(writer.vertex_row(id, vec!["L"], no, line).unwrap().is_empty());
        }
        let (yes, ignored) = (|| ok(Map::new()), || vec![Response::Ignored]);
        let no = || {
            let Response::Failure { message, status, .. } = failure() else { panic!("a failure") };
            let code = "Memgraph.ClientError.MemgraphError.MemgraphError".into();
            vec![Response::Failure { code, message, status, position: None }]
        };
        let mut answers = hello();
        // BEGIN, the statement, a RESET; BEGIN, each row, a RESET.
        answers.extend([yes(), no(), ignored(), yes(), yes(), fields(), yes(), no(), ignored(), yes()]);
        let address = server(Version::V5_2, answers).await;
        let mut client = Client::connect(&address, Duration::from_secs(5), None).await.unwrap();
        let mut feeder = Feeder::new(&mut client, 64);
        let group = writer.flush().remove(0);
        feeder.push(Item::Rows { group, file: Some("x.csv".into()) }).await.unwrap();
        let refusal = feeder.flush().await.unwrap_err();
        assert_eq!(refusal.place.map(|place| place.line), Some(3));
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("RETURN 1,\n{}!{}", "é".repeat(300), "z".repeat(300));
        let shown = snippet(&text, 2, 301, 12).unwrap();
        assert_eq!(shown.text.chars().nth(shown.column as usize - 1), Some('!'));
        assert!(shown.text.chars().count() <= 101 && shown.line == 12);
        assert_eq!(index_of(&text, 2, 301), 10 + 300);
    }
}
