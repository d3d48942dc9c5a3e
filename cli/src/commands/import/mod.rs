//! `mgctl import`: Cypher and CSV files, or the graph of another server, into MAIN.
//!
//! Files are first read to the end without a server, so that what is wrong in them is told before anything is changed,
//! and then again; the statements of small CSV files are kept instead. What CSV and other servers bring in is marked until
//! all of it is there; where it is refused half-way, what is marked is removed again. A transaction that nobody has
//! answered may come to be after that, and is told of.

mod copy;
mod csv;
mod cypher;
mod undo;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

pub(super) use self::cypher::unsplit;
use super::Context;
use super::session::Session;
use super::transfer::summary;
use crate::args::Import;
use crate::error::{CliError, Exit, Problem};
use crate::graph::feed::Fed;
use crate::ui::Ui;
use crate::words;

pub(super) async fn run(context: &Context, args: &Import) -> Result<Exit, CliError> {
    if let Some(uri) = &args.from {
        return copy::copy(context, args, uri).await;
    }
    let (csv, cypher): (Vec<&String>, Vec<&String>) =
        args.paths.iter().partition(|path| is_csv(path) || named(path).is_some());
    if !csv.is_empty() && !cypher.is_empty() {
        return Err(CliError::new(Exit::Usage, format!("`{}` is CSV and `{}` is Cypher", csv[0], cypher[0]))
            .help("import them by two commands: each has an order of its own"));
    }
    match csv.is_empty() {
        true => cypher::run(context, args).await,
        false => csv::run(context, args).await,
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

/// Stand-ins for servers.
#[cfg(test)]
mod stand_in {
    use std::time::Duration;

    use mgbolt::{Response, Status, Version};

    use crate::query::stand_in::{hello, ok, server};
    use crate::query::{Client, Map};

    /// Connects to a server that answers so, one list for each request.
    pub(super) async fn client(answers: Vec<Vec<Response>>) -> Client {
        let address = server(Version::V5_2, [hello(), answers].concat()).await;
        Client::connect(&address, Duration::from_secs(5), None).await.unwrap()
    }

    pub(super) fn no() -> Vec<Response> {
        let code = "Memgraph.ClientError.MemgraphError.MemgraphError".into();
        vec![Response::Failure { code, message: "no".into(), status: Status::ROLLBACK, position: None }]
    }

    pub(super) fn yes() -> Vec<Response> {
        ok(Map::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_before_csv_only() {
        assert_eq!(named("Person:Human=p.csv"), Some(("Person:Human", "p.csv")));
        assert_eq!(named("a=b.cypherl"), None);
        assert_eq!(named("p.csv"), None);
        assert!(is_csv("x/P.TSV") && !is_csv("-"));
    }
}
