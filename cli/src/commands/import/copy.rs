//! The graph of another server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::told;
use super::undo::{Broken, refuse_marked, take_back};
use crate::args::Import;
use crate::cluster::Target;
use crate::commands::Context;
use crate::commands::session::{Session, on_ctrl_c};
use crate::commands::transfer::{Out, Pace, ToStatements, connect, differs, digest, refused, warnings};
use crate::error::{CliError, Exit, Problem};
use crate::graph::cypherl::{Form, Group, MARK};
use crate::graph::feed::{Feeder, Item, Refusal};
use crate::graph::read;
use crate::graph::statements::is_alone;
use crate::query::{Client, Map, QueryError};
use crate::ui::Ui;
use crate::words;

/// How long a source may take for one batch.
const SOURCE_TIME_MAX: Duration = Duration::from_secs(600);

/// Where the password of `--from` is read.
const PASSWORD: &str = "MGCTL_FROM_PASSWORD";

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
    /// Statements of the schema that it took.
    schema: Vec<String>,
    not_taken: Vec<NotTaken>,
    /// Whether the transaction that was refused may stand.
    may_stand: bool,
}

/// A statement of the schema that the server did not confirm.
struct NotTaken {
    statement: String,
    /// Whether it may be done all the same.
    may_stand: bool,
    why: String,
}

impl NotTaken {
    /// Makes one of a refusal, unless no server has spoken.
    fn of(statement: &str, error: &QueryError) -> Option<NotTaken> {
        error.server_message().map(|why| NotTaken {
            statement: statement.to_owned(),
            may_stand: error.may_stand(),
            why: why.lines().next().unwrap_or_default().to_owned(),
        })
    }

    fn warning(&self, instance: &str) -> Problem {
        let NotTaken { statement, .. } = self;
        let what = match self.may_stand {
            true => format!("whether `{instance}` has taken it is not known: {statement}"),
            false => format!("`{instance}` does not take: {statement}"),
        };
        Problem::warning(what).code("MG107").note(&self.why)
    }
}

impl Out for ToServer<'_> {
    const FORM: Form = Form::Parameter;

    async fn statement(&mut self, text: String) -> Result<(), CliError> {
        let is_schema = is_alone(&text) && !text.contains(MARK);
        if is_schema {
            self.feeder.flush().await.map_err(|r| self.refused(*r))?;
        }
        match self.feeder.push(Item::Statement { text: text.clone(), place: None }).await {
            Ok(()) if is_schema => {
                self.schema.push(text);
                Ok(())
            }
            Err(refusal) if is_schema => match NotTaken::of(&text, &refusal.error) {
                Some(not_taken) => {
                    self.not_taken.push(not_taken);
                    Ok(())
                }
                None => {
                    // It may be done, too.
                    self.schema.extend(refusal.error.may_stand().then_some(text));
                    Err(self.refused(*refusal))
                }
            },
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

pub(super) async fn copy(context: &Context, args: &Import, from: &str) -> Result<Exit, CliError> {
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
        schema: Vec::new(),
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
    let ToServer { feeder, mut schema, not_taken, may_stand, .. } = out;
    let fed = feeder.done();
    let read = match copied {
        Ok(read) => read,
        Err(error) => {
            let uncertain = not_taken.into_iter().filter(|not_taken| not_taken.may_stand);
            schema.extend(uncertain.map(|not_taken| format!("{} (if it was taken)", not_taken.statement)));
            let error = take_back(&mut client, &writer, Broken { error, may_stand, left, schema }).await;
            pace.failed(&error);
            return Err(error);
        }
    };
    reader.close().await;
    client.close().await;
    pace.done(&read.digest.to_string());
    let mut left_out = warnings(&read.schema);
    left_out.extend(not_taken.iter().map(|not_taken| not_taken.warning(&main.instance)));
    let ok = not_taken.iter().all(|not_taken| !not_taken.statement.starts_with("CREATE CONSTRAINT"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_statement_in_doubt_is_not_called_refused() {
        let error =
            |code: &str| QueryError::Server { code: code.into(), message: "no\nmore".into(), position: None };
        let said = |code| {
            let not_taken = NotTaken::of("CREATE ENUM E VALUES { A }", &error(code)).expect("a server spoke");
            (not_taken.may_stand, not_taken.warning("n0").what)
        };
        let (may_stand, what) = said("Memgraph.ClientError.Transaction.InDoubt");
        assert!(may_stand && what.contains("is not known: CREATE ENUM E"), "{what}");
        let (may_stand, what) = said("Memgraph.ClientError.MemgraphError.MemgraphError");
        assert!(!may_stand && what.contains("does not take: CREATE ENUM E"), "{what}");
        assert!(NotTaken::of("x", &QueryError::Closed { address: "a".into() }).is_none());
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
}
