//! The page of the language, statement by statement: what it shows as served is served, and what it shows as refused
//! is refused with that text.

use super::*;

const PAGE: &str = include_str!("../../../../docs/language.md");

/// The lines of the page's blocks of one kind, each with its number.
fn lines(kind: &str) -> Vec<(usize, &'static str)> {
    let mut within = None;
    let mut found = Vec::new();
    for (i, line) in PAGE.lines().enumerate() {
        match (line.strip_prefix("```"), within) {
            (Some(info), None) => within = Some(info),
            (Some(_), Some(_)) => within = None,
            (None, Some(info)) if info == kind && !line.is_empty() => found.push((i + 1, line)),
            _ => {}
        }
    }
    assert!(within.is_none(), "a block has no end");
    found
}

async fn begin() -> (tempfile::TempDir, Server, Client) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("snapshots")).unwrap();
    std::fs::write(folder.path().join("people.csv"), "name,age\nAda,36\nAlan,41\n").unwrap();
    let empty = Arc::new(Graph::new(Arc::new(Names::default())));
    std::fs::write(folder.path().join("people.snap"), recover::snapshot(&empty)).unwrap();
    let directory = folder.path().to_owned();
    let server = start_with(BoltConfig {
        import_directory: Some(directory.clone()),
        data_directory: directory,
        ..config()
    });
    let client = Client::connect(&server).await;
    (folder, server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_is_served() {
    let (_folder, _server, mut client) = begin().await;
    let served = lines("cypher");
    for (number, statement) in &served {
        let answer = client.run(statement).await;
        assert!(
            matches!(answer.end, Response::Success(_)),
            "docs/language.md:{number}: {statement}\n{:?}",
            answer.end
        );
    }
    assert!(served.len() >= 90, "{} statements are shown", served.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_as_refused_is_refused_with_its_text() {
    let (_folder, _server, mut client) = begin().await;
    let refused = lines("cypher refused");
    for pair in refused.chunks(2) {
        let [(number, statement), (_, text)] = pair else {
            panic!("a statement has no text behind it: {pair:?}")
        };
        let text =
            text.strip_prefix("// ").unwrap_or_else(|| panic!("docs/language.md:{number}: no text follows"));
        let answer = client.run(statement).await;
        let Response::Failure { message, .. } = &answer.end else {
            panic!("docs/language.md:{number}: {statement}\n{:?}", answer.end)
        };
        let version = format!(" by mgnode {}", env!("CARGO_PKG_VERSION"));
        let message = message.replace(&version, "");
        assert!(message.starts_with(text), "docs/language.md:{number}: {statement}\n{message}");
        client.reset().await;
    }
    assert!(refused.len() > 40, "{} lines are shown", refused.len());
}

#[test]
fn the_page_names_every_statement_that_is_refused() {
    for what in mgcypher::refused_statements() {
        assert!(PAGE.contains(&format!("// {what} is not supported.")), "{what} is not on the page");
    }
}
