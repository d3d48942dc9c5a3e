//! Files of Cypher.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::{add, open, told};
use crate::args::Import;
use crate::cluster::Target;
use crate::commands::Context;
use crate::commands::session::{Session, on_ctrl_c};
use crate::commands::transfer::{Pace, connect, refused, summary};
use crate::error::{CliError, Exit, Place};
use crate::graph::feed::{Fed, Feeder, Item, Refusal};
use crate::graph::statements::{SplitError, Statements, is_alone};
use crate::query::Client;
use crate::ui::Ui;
use crate::words;

pub(super) async fn run(context: &Context, args: &Import) -> Result<Exit, CliError> {
    if args.from_line > 1 && args.paths.len() > 1 {
        return Err(CliError::new(Exit::Usage, "--from-line is about one file").help("name that file alone"));
    }
    let mut known = 0;
    for path in args.paths.iter().filter(|path| *path != "-") {
        known += check(context, path)?;
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
        let fed = feed(&session, &main, &mut client, (input, bytes), &name, args, &mut pace).await;
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
fn check(context: &Context, path: &str) -> Result<u64, CliError> {
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

async fn feed(
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
pub(in crate::commands) fn unsplit(name: &Arc<str>, error: SplitError) -> CliError {
    match error {
        SplitError::Read(error) => {
            CliError::new(Exit::Usage, format!("cannot read `{name}`: {error}")).code("MG001")
        }
        SplitError::Text { line, column, what } => {
            CliError::new(Exit::Usage, what).code("MG105").at(Place { file: name.clone(), line, column })
        }
    }
}
