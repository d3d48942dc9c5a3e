//! What Tab knows: the words of Cypher, and the names that a graph uses.

use std::collections::BTreeSet;

use crate::query::{Client, Map};

/// Words that a statement is made of.
pub(super) const KEYWORDS: [&str; 62] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "ASSERT",
    "BEGIN",
    "BY",
    "CALL",
    "CASE",
    "COMMIT",
    "CONSTRAINT",
    "CONTAINS",
    "CREATE",
    "DELETE",
    "DESC",
    "DETACH",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ENDS",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "IN",
    "INDEX",
    "INFO",
    "IS",
    "LIMIT",
    "MAIN",
    "MATCH",
    "MERGE",
    "NOT",
    "NULL",
    "ON",
    "OPTIONAL",
    "OR",
    "ORDER",
    "PROFILE",
    "REGISTER",
    "REMOVE",
    "REPLICA",
    "REPLICAS",
    "REPLICATION",
    "RETURN",
    "ROLE",
    "ROLLBACK",
    "SET",
    "SHOW",
    "SKIP",
    "SNAPSHOT",
    "STARTS",
    "STATE",
    "STORAGE",
    "THEN",
    "TRUE",
    "UNION",
    "UNIQUE",
    "UNWIND",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Commands of the console.
pub(super) const COMMANDS: [&str; 9] =
    [":main", ":replica", ":on", ":nodes", ":param", ":params", ":refresh", ":help", ":quit"];

/// Names that a graph uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) labels: BTreeSet<String>,
    pub(super) types: BTreeSet<String>,
    pub(super) properties: BTreeSet<String>,
}

/// A server without the procedures for names is asked for those of so many vertices and edges.
const SAMPLE: u32 = 1000;

/// Reads the names of a graph. They are a convenience: a server that tells none is none the worse.
pub(super) async fn of_graph(client: Option<&mut Client>) -> Words {
    let Some(client) = client else { return Words::default() };
    let labels = format!("MATCH (n) WITH n LIMIT {SAMPLE} UNWIND labels(n) AS name RETURN DISTINCT name");
    let types = format!("MATCH ()-[r]->() WITH r LIMIT {SAMPLE} RETURN DISTINCT type(r) AS name");
    let properties = format!("MATCH (n) WITH n LIMIT {SAMPLE} UNWIND keys(n) AS name RETURN DISTINCT name");
    Words {
        labels: names(client, "CALL db.labels() YIELD label RETURN label", &labels).await,
        types: names(
            client,
            "CALL db.relationshiptypes() YIELD relationshipType RETURN relationshipType",
            &types,
        )
        .await,
        properties: names(client, "CALL db.propertykeys() YIELD propertyKey RETURN propertyKey", &properties)
            .await,
    }
}

async fn names(client: &mut Client, query: &str, otherwise: &str) -> BTreeSet<String> {
    for query in [query, otherwise] {
        if let Ok(result) = client.run(query, Map::new()).await {
            let texts = result.rows.iter().filter_map(|row| row.first()?.as_str().map(str::to_owned));
            return texts.collect();
        }
    }
    BTreeSet::new()
}

/// Returns where the word before the cursor begins, and what it can become.
pub(super) fn complete(words: &Words, nodes: &[String], before: &str) -> (usize, Vec<String>) {
    let trimmed = before.trim_start();
    if trimmed.starts_with(':') && !trimmed.contains('\n') {
        let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let is_name = trimmed.starts_with(":on ");
        let all: Vec<&str> =
            if is_name { nodes.iter().map(String::as_str).collect() } else { COMMANDS.to_vec() };
        return (start, beginning_with(all.into_iter(), &before[start..], true));
    }
    if is_quoted(before) {
        return (before.len(), Vec::new());
    }
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || *c == '_')
        .last()
        .map_or(before.len(), |(at, _)| at);
    let word = &before[start..];
    let found = match before[..start].chars().next_back() {
        // `:` in `{key: value}` stands before a value.
        Some(':' | '|') if opened(&before[..start]) == Some('[') => {
            quoted(beginning_with(words.types.iter().map(String::as_str), word, false))
        }
        Some(':') if opened(&before[..start]) != Some('{') => {
            quoted(beginning_with(words.labels.iter().map(String::as_str), word, false))
        }
        Some('.') => quoted(beginning_with(words.properties.iter().map(String::as_str), word, false)),
        Some('{' | ',' | ' ') if is_key(&before[..start]) => {
            quoted(beginning_with(words.properties.iter().map(String::as_str), word, false))
        }
        _ if word.is_empty() => Vec::new(),
        _ => {
            let is_small = word.chars().all(|c| c.is_lowercase());
            let all = beginning_with(KEYWORDS.into_iter(), &word.to_ascii_uppercase(), true);
            all.into_iter().map(|k| if is_small { k.to_ascii_lowercase() } else { k }).collect()
        }
    };
    (start, found)
}

/// Names that a statement can only hold in backquotes get them.
fn quoted(names: Vec<String>) -> Vec<String> {
    let is_plain = |name: &str| {
        name.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    names
        .into_iter()
        .map(|name| if is_plain(&name) { name } else { crate::graph::literal::name(&name) })
        .collect()
}

fn beginning_with<'a>(all: impl Iterator<Item = &'a str>, word: &str, exact: bool) -> Vec<String> {
    let lower = word.to_lowercase();
    let fits = |name: &str| match exact {
        true => name.starts_with(word),
        false => name.to_lowercase().starts_with(&lower),
    };
    all.filter(|name| fits(name)).map(str::to_owned).collect()
}

/// Returns whether the text ends inside of quotes.
fn is_quoted(text: &str) -> bool {
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(q) if c == '\\' && q != '`' => drop(chars.next()),
            Some(q) if c == q => quote = None,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            _ => {}
        }
    }
    quote.is_some()
}

/// Returns the innermost bracket that is open at the end of a text.
fn opened(text: &str) -> Option<char> {
    let mut open = Vec::new();
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.pop()
}

/// Returns whether a key of a map stands next.
fn is_key(text: &str) -> bool {
    opened(text) == Some('{') && matches!(text.trim_end().chars().next_back(), Some('{' | ','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str) -> Vec<String> {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let words = Words {
            labels: set(&["Person", "Place", "odd one"]),
            types: set(&["KNOWS", "KEEPS"]),
            properties: set(&["name", "nick", "age"]),
        };
        let (start, found) = complete(&words, &["main".into(), "rep1".into()], before);
        assert!(before.is_char_boundary(start));
        found
    }

    #[test]
    fn what_tab_offers_fits_the_place() {
        assert_eq!(found("MATCH (n:P"), ["Person", "Place"]);
        assert_eq!(found("MATCH (n:Person:pl"), ["Place"]);
        assert_eq!(found("MATCH (n:o"), ["`odd one`"]);
        assert_eq!(found("MATCH (a)-[r:K"), ["KEEPS", "KNOWS"]);
        assert_eq!(found("MATCH (a)-[:KNOWS|ke"), ["KEEPS"]);
        assert_eq!(found("MATCH (n) WHERE n.n"), ["name", "nick"]);
        assert_eq!(found("MATCH (n {a"), ["age"]);
        assert_eq!(found("MATCH (n {age: 3, n"), ["name", "nick"]);
        assert_eq!(found("MATCH (n {age:n"), ["not", "null"]);
        assert_eq!(found("OPT"), ["OPTIONAL"]);
        assert_eq!(found("MATCH (n) ret"), ["return"]);
        assert_eq!(found("RETURN 'é MAT"), [""; 0]);
        assert_eq!(found("RETURN "), [""; 0]);
        assert_eq!(found(":re"), [":replica", ":refresh"]);
        assert_eq!(found(":on re"), ["rep1"]);
    }

    #[test]
    fn keywords_are_in_order_and_once() {
        assert!(KEYWORDS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
