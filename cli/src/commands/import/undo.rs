//! What is left of an import that has ended before its end: taken back, or told of.

use crate::cluster::Target;
use crate::commands::transfer::name_of;
use crate::error::{CliError, Exit};
use crate::graph::cypherl::{MARK, Writer};
use crate::query::{Client, Map, QueryError};

/// Why bringing in marked vertices has ended before its end.
pub(super) struct Broken {
    pub(super) error: CliError,
    /// Whether a transaction may be in, or come to be, that nobody has confirmed.
    pub(super) may_stand: bool,
    /// Once all vertices and edges are in: the statements that are not known to be done.
    pub(super) left: Option<Vec<String>>,
    /// Statements of the schema that are done, or may be: those are not taken back.
    pub(super) schema: Vec<String>,
}

impl Broken {
    /// One that no transaction is to blame for.
    pub(super) fn of(error: CliError) -> Broken {
        Broken { error, may_stand: false, left: None, schema: Vec::new() }
    }
}

/// Makes one of what ended several feeders: the first that leaves something unknown, or else the first. What the others
/// say becomes notes.
pub(super) fn worst(mut all: Vec<Broken>) -> Option<Broken> {
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

/// Removes what is marked, and adds to the error whether that went well. Where all is in and marks have begun to come
/// off, nothing is removed: what is left to do is said.
pub(super) async fn take_back(client: &mut Client, writer: &Writer, broken: Broken) -> CliError {
    let Broken { error, may_stand, left, schema } = broken;
    if let Some(left) = left {
        return all_is_in(error, &left);
    }
    // What failed may have left its transaction open. Where this fails, so does what follows.
    let _ = client.reset().await;
    let mut failed: Option<NotRemoved> = None;
    let mut statements = writer.undo().into_iter().peekable();
    while let Some(text) = statements.next() {
        if let Err(why) = client.run(&text, Map::new()).await {
            // The index goes last.
            failed = Some(NotRemoved { is_index_alone: statements.peek().is_none(), why });
            break;
        }
    }
    removed(error, may_stand, failed, &schema)
}

/// What could not be removed.
struct NotRemoved {
    /// Whether vertices and edges were, and only the index of the marks was not.
    is_index_alone: bool,
    why: QueryError,
}

fn removed(error: CliError, may_stand: bool, failed: Option<NotRemoved>, schema: &[String]) -> CliError {
    let by_hand = Writer::undo_by_hand();
    let (note, left) = match (&failed, may_stand) {
        (None, false) if schema.is_empty() => {
            return error.note("everything that this import had brought in was removed again");
        }
        (None, false) => {
            ("the vertices and edges that it had brought in were removed again".to_owned(), &[][..])
        }
        (None, true) => ("what could be seen of this import was removed again".to_owned(), &by_hand[..1]),
        (Some(NotRemoved { is_index_alone: true, why }), false) => {
            let what = "the vertices and edges that it had brought in were removed again, but its index";
            (format!("{what} may be left: {why}"), &by_hand[1..])
        }
        (Some(NotRemoved { is_index_alone: true, why }), true) => {
            let what = "what could be seen of its vertices and edges was removed again, but its index";
            (format!("{what} may be left: {why}"), &by_hand[..])
        }
        (Some(NotRemoved { why, .. }), _) => {
            (format!("what it had brought in could not be removed, or not all of it: {why}"), &by_hand[..])
        }
    };
    let mut error = error.note(note);
    if may_stand {
        error = error.note("what was under way on a connection has no sure outcome, and may still appear");
    }
    if !schema.is_empty() {
        error = error.note(format!("what it did to the schema before that stays: {}", schema.join("; ")));
    }
    if left.is_empty() {
        return error;
    }
    let when = if may_stand { "remove what appears" } else { "remove it" };
    error.help(format!("{when}: {}", left.join("; ")))
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
pub(super) async fn refuse_marked(main: &Target, client: &mut Client) -> Result<(), CliError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::import::stand_in::{client, no, yes};

    fn closed(is_index_alone: bool) -> Option<NotRemoved> {
        Some(NotRemoved { is_index_alone, why: QueryError::Closed { address: "a".into() } })
    }

    fn refused() -> CliError {
        CliError::new(Exit::Degraded, "refused")
    }

    #[test]
    fn nothing_is_called_removed_that_may_still_appear() {
        let delete = format!("MATCH (n:`{MARK}`) DETACH DELETE n");
        let sure = removed(refused(), false, None, &[]).to_string();
        assert!(sure.contains("everything") && !sure.contains(&delete), "{sure}");
        for (may_stand, failed) in [(true, None), (true, closed(false)), (false, closed(false))] {
            let said = removed(refused(), may_stand, failed, &[]).to_string();
            assert!(said.contains(&delete) && !said.contains("everything"), "{said}");
            assert_eq!(said.contains("may still appear"), may_stand, "{said}");
        }
    }

    #[tokio::test]
    async fn where_only_the_index_is_left_that_is_said() {
        let mut writer = Writer::default();
        writer.vertex(&crate::graph::Vertex::default()).unwrap();
        // The RESET; the vertices; the index.
        let ignored = || vec![mgbolt::Response::Ignored];
        let index = vec![yes(), yes(), yes(), no(), ignored()];
        let vertices = vec![yes(), no(), ignored()];
        for (answers, is_index_alone) in [(index, true), (vertices, false)] {
            let mut client = client(answers).await;
            let said = take_back(&mut client, &writer, Broken::of(refused())).await.to_string();
            assert_eq!(
                said.contains("edges that it had brought in were removed again"),
                is_index_alone,
                "{said}"
            );
            assert_eq!(said.contains("DETACH DELETE"), !is_index_alone, "{said}");
            assert!(said.contains("DROP INDEX ON :`__mg_vertex__`(`__mg_id__`)"), "{said}");
        }
        // What was under way may need both.
        let said = removed(refused(), true, closed(true), &[]).to_string();
        assert!(said.contains("DETACH DELETE") && said.contains("DROP INDEX"), "{said}");
    }

    #[test]
    fn what_the_schema_keeps_is_named() {
        let schema = ["CREATE ENUM Status VALUES { Good }".to_owned()];
        for (may_stand, failed) in [(false, None), (true, None), (false, closed(true))] {
            let said = removed(refused(), may_stand, failed, &schema).to_string();
            assert!(said.contains("stays: CREATE ENUM Status") && !said.contains("everything"), "{said}");
        }
        let said = removed(refused(), false, None, &schema).to_string();
        assert!(said.contains("vertices and edges that it had brought in were removed again"), "{said}");
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
