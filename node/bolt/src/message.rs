//! The messages of both sides.
//!
//! A message is a structure whose tag says which it is:
//!
//! ```text
//! 01 HELLO extra              0F RESET                    10 RUN query params extra   11 BEGIN extra
//! 02 GOODBYE                  12 COMMIT   13 ROLLBACK     2F DISCARD {n, qid}         3F PULL {n, qid}
//! 6A LOGON auth (5.1)         6B LOGOFF (5.1)             66 ROUTE routing bookmarks {db, imp_user} (4.3)
//! 54 TELEMETRY api (5.4)
//! 70 SUCCESS meta             71 RECORD values            7E IGNORED                  7F FAILURE meta
//! ```
//!
//! A FAILURE is `{code, message}`, from 5.7 on `{neo4j_code, message, gql_status, description, diagnostic_record}`.
//! Keys of `extra` that mean nothing here are skipped, so newer clients are served.

use crate::filter::NotificationFilter;
use crate::status::Status;
use crate::value::{Map, PackValue};
use crate::{DecodeError, Decoder, EncodeError, Encoder, Version, write_message};

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `auth` is what a version without LOGON authenticates by; `routing` is there for `neo4j://`.
    Hello {
        user_agent: Option<String>,
        auth: Auth,
        routing: Option<Map>,
        bolt_agent: Option<Map>,
        filter: NotificationFilter,
    },
    Logon(Auth),
    Logoff,
    Goodbye,
    Reset,
    Run {
        query: String,
        parameters: Map,
        extra: TransactionExtra,
    },
    Begin(TransactionExtra),
    Commit,
    Rollback,
    Pull(Stream),
    Discard(Stream),
    Route(Route),
    Telemetry {
        api: i64,
    },
}

/// Which [`Request`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Hello,
    Logon,
    Logoff,
    Goodbye,
    Reset,
    Run,
    Begin,
    Commit,
    Rollback,
    Pull,
    Discard,
    Route,
    Telemetry,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Success(Map),
    Record(Vec<PackValue>),
    /// `position` names the commit where the failure is about one that may stand, or does. `status` travels
    /// from 5.7 on; before, it reads as [`Status::UNEXPECTED`].
    Failure {
        code: String,
        message: String,
        status: Status,
        position: Option<String>,
    },
    Ignored,
}

/// Who someone says to be. A missing scheme means "none".
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Auth {
    pub scheme: Option<String>,
    pub principal: Option<String>,
    pub credentials: Option<String>,
}

/// How a transaction is to run.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TransactionExtra {
    pub bookmarks: Vec<String>,
    pub timeout_ms: Option<i64>,
    pub metadata: Map,
    pub mode: AccessMode,
    pub db: Option<String>,
    pub imp_user: Option<String>,
    pub filter: NotificationFilter,
}

/// What a client means to do; only routing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AccessMode {
    Read,
    #[default]
    Write,
}

/// Which rows of which result. `n` is [`ALL`] for all, `qid` `None` for the last result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub n: i64,
    pub qid: Option<i64>,
}

/// Every row that is left.
pub const ALL: i64 = -1;

impl Default for Stream {
    fn default() -> Stream {
        Stream { n: ALL, qid: None }
    }
}

/// A question for the cluster's addresses.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Route {
    /// Holds `address`: how the client itself reached this node.
    pub routing: Map,
    pub bookmarks: Vec<String>,
    pub db: Option<String>,
    pub imp_user: Option<String>,
}

impl RequestKind {
    /// Returns the message's name.
    pub fn name(self) -> &'static str {
        match self {
            RequestKind::Hello => "HELLO",
            RequestKind::Logon => "LOGON",
            RequestKind::Logoff => "LOGOFF",
            RequestKind::Goodbye => "GOODBYE",
            RequestKind::Reset => "RESET",
            RequestKind::Run => "RUN",
            RequestKind::Begin => "BEGIN",
            RequestKind::Commit => "COMMIT",
            RequestKind::Rollback => "ROLLBACK",
            RequestKind::Pull => "PULL",
            RequestKind::Discard => "DISCARD",
            RequestKind::Route => "ROUTE",
            RequestKind::Telemetry => "TELEMETRY",
        }
    }

    /// Whether a version knows this message.
    pub fn exists_in(self, version: Version) -> bool {
        match self {
            RequestKind::Logon | RequestKind::Logoff => version.has_logon(),
            RequestKind::Route => version.has_route(),
            RequestKind::Telemetry => version.has_telemetry(),
            _ => true,
        }
    }

    fn tag(self) -> u8 {
        match self {
            RequestKind::Hello => 0x01,
            RequestKind::Goodbye => 0x02,
            RequestKind::Reset => 0x0F,
            RequestKind::Run => 0x10,
            RequestKind::Begin => 0x11,
            RequestKind::Commit => 0x12,
            RequestKind::Rollback => 0x13,
            RequestKind::Discard => 0x2F,
            RequestKind::Pull => 0x3F,
            RequestKind::Telemetry => 0x54,
            RequestKind::Route => 0x66,
            RequestKind::Logon => 0x6A,
            RequestKind::Logoff => 0x6B,
        }
    }

    fn of(tag: u8, fields: usize, version: Version) -> Option<RequestKind> {
        let (kind, expected) = match tag {
            0x01 => (RequestKind::Hello, 1),
            0x02 => (RequestKind::Goodbye, 0),
            0x0F => (RequestKind::Reset, 0),
            0x10 => (RequestKind::Run, 3),
            0x11 => (RequestKind::Begin, 1),
            0x12 => (RequestKind::Commit, 0),
            0x13 => (RequestKind::Rollback, 0),
            0x2F => (RequestKind::Discard, 1),
            0x3F => (RequestKind::Pull, 1),
            0x54 => (RequestKind::Telemetry, 1),
            0x66 => (RequestKind::Route, 3),
            0x6A => (RequestKind::Logon, 1),
            0x6B => (RequestKind::Logoff, 0),
            _ => return None,
        };
        (expected == fields && kind.exists_in(version)).then_some(kind)
    }
}

impl Request {
    /// Returns which request it is.
    pub fn kind(&self) -> RequestKind {
        match self {
            Request::Hello { .. } => RequestKind::Hello,
            Request::Logon(_) => RequestKind::Logon,
            Request::Logoff => RequestKind::Logoff,
            Request::Goodbye => RequestKind::Goodbye,
            Request::Reset => RequestKind::Reset,
            Request::Run { .. } => RequestKind::Run,
            Request::Begin(_) => RequestKind::Begin,
            Request::Commit => RequestKind::Commit,
            Request::Rollback => RequestKind::Rollback,
            Request::Pull(_) => RequestKind::Pull,
            Request::Discard(_) => RequestKind::Discard,
            Request::Route(_) => RequestKind::Route,
            Request::Telemetry { .. } => RequestKind::Telemetry,
        }
    }

    /// Reads a whole message.
    pub fn decode(bytes: &[u8], version: Version) -> Result<Request, DecodeError> {
        let mut decoder = Decoder::new(bytes, version);
        let (tag, fields) = decoder.message_header()?;
        let kind =
            RequestKind::of(tag, fields, version).ok_or(DecodeError::UnknownMessage { tag, fields })?;
        let request = match kind {
            RequestKind::Hello => {
                let extra = map_field(&mut decoder, "extra")?;
                Request::Hello {
                    user_agent: text(&extra, "user_agent")?,
                    auth: Auth::from_map(&extra)?,
                    routing: sub_map(&extra, "routing")?,
                    bolt_agent: sub_map(&extra, "bolt_agent")?,
                    filter: NotificationFilter::from_map(&extra, version)?,
                }
            }
            RequestKind::Logon => Request::Logon(Auth::from_map(&map_field(&mut decoder, "auth")?)?),
            RequestKind::Logoff => Request::Logoff,
            RequestKind::Goodbye => Request::Goodbye,
            RequestKind::Reset => Request::Reset,
            RequestKind::Run => {
                let query = match decoder.value()? {
                    PackValue::String(query) => query,
                    _ => return Err(DecodeError::Field { name: "query", expected: "string" }),
                };
                let parameters = map_field(&mut decoder, "parameters")?;
                let extra = TransactionExtra::from_map(map_field(&mut decoder, "extra")?, version)?;
                Request::Run { query, parameters, extra }
            }
            RequestKind::Begin => {
                Request::Begin(TransactionExtra::from_map(map_field(&mut decoder, "extra")?, version)?)
            }
            RequestKind::Commit => Request::Commit,
            RequestKind::Rollback => Request::Rollback,
            RequestKind::Pull => Request::Pull(Stream::from_map(&map_field(&mut decoder, "extra")?)?),
            RequestKind::Discard => Request::Discard(Stream::from_map(&map_field(&mut decoder, "extra")?)?),
            RequestKind::Route => Request::Route(Route::decode(&mut decoder)?),
            RequestKind::Telemetry => Request::Telemetry {
                api: decoder
                    .value()?
                    .as_int()
                    .ok_or(DecodeError::Field { name: "api", expected: "integer" })?,
            },
        };
        decoder.end()?;
        Ok(request)
    }

    /// Appends the message in chunks.
    pub fn write(&self, out: &mut Vec<u8>, version: Version) -> Result<(), EncodeError> {
        write_message(out, version, |e| self.encode(e))
    }

    /// Appends a RUN without extra, whose parameters `write` writes as a map: straight from values of its own.
    pub fn write_run(
        out: &mut Vec<u8>,
        version: Version,
        query: &str,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        write_message(out, version, |e| {
            e.structure_header(RequestKind::Run.tag(), 3);
            e.string(query)?;
            write(e)?;
            e.map_header(0)
        })
    }

    fn encode(&self, e: &mut Encoder<'_>) -> Result<(), EncodeError> {
        let tag = self.kind().tag();
        match self {
            Request::Hello { user_agent, auth, routing, bolt_agent, filter } => {
                let mut extra = Map::new();
                put(&mut extra, "user_agent", user_agent);
                if !e.version().has_logon() {
                    auth.put_into(&mut extra);
                }
                if let Some(routing) = routing {
                    extra.insert("routing", routing.clone());
                }
                if let Some(agent) = bolt_agent {
                    extra.insert("bolt_agent", agent.clone());
                }
                filter.put_into(&mut extra, e.version());
                e.structure_header(tag, 1);
                e.map(&extra)
            }
            Request::Logon(auth) => {
                let mut extra = Map::new();
                auth.put_into(&mut extra);
                e.structure_header(tag, 1);
                e.map(&extra)
            }
            Request::Run { query, parameters, extra } => {
                e.structure_header(tag, 3);
                e.string(query)?;
                e.map(parameters)?;
                e.map(&extra.to_map(e.version()))
            }
            Request::Begin(extra) => {
                e.structure_header(tag, 1);
                e.map(&extra.to_map(e.version()))
            }
            Request::Pull(stream) | Request::Discard(stream) => {
                let mut extra = Map::new().with("n", stream.n);
                if let Some(qid) = stream.qid {
                    extra.insert("qid", qid);
                }
                e.structure_header(tag, 1);
                e.map(&extra)
            }
            Request::Route(route) => {
                e.structure_header(tag, 3);
                e.map(&route.routing)?;
                e.value(&PackValue::List(route.bookmarks.iter().map(|b| b.as_str().into()).collect()))?;
                if e.version().has_route_extra() {
                    let mut extra = Map::new();
                    put(&mut extra, "db", &route.db);
                    put(&mut extra, "imp_user", &route.imp_user);
                    e.map(&extra)
                } else {
                    e.value(&route.db.clone().into())
                }
            }
            Request::Telemetry { api } => {
                e.structure_header(tag, 1);
                e.int(*api);
                Ok(())
            }
            Request::Logoff | Request::Goodbye | Request::Reset | Request::Commit | Request::Rollback => {
                e.structure_header(tag, 0);
                Ok(())
            }
        }
    }
}

impl Response {
    /// Reads a whole message.
    pub fn decode(bytes: &[u8], version: Version) -> Result<Response, DecodeError> {
        let mut decoder = Decoder::new(bytes, version);
        let response = match decoder.message_header()? {
            (0x70, 1) => Response::Success(map_field(&mut decoder, "metadata")?),
            (0x71, 1) => match decoder.value()? {
                PackValue::List(values) => Response::Record(values),
                _ => return Err(DecodeError::Field { name: "values", expected: "list" }),
            },
            (0x7E, 0) => Response::Ignored,
            (0x7F, 1) => {
                let metadata = map_field(&mut decoder, "metadata")?;
                let code = if version.has_gql_failures() { "neo4j_code" } else { "code" };
                Response::Failure {
                    code: text(&metadata, code)?.unwrap_or_default(),
                    message: text(&metadata, "message")?.unwrap_or_default(),
                    status: match version.has_gql_failures() {
                        true => Status::of_code(&text(&metadata, "gql_status")?.unwrap_or_default()),
                        false => Status::UNEXPECTED,
                    },
                    position: text(&metadata, "position")?,
                }
            }
            (tag, fields) => return Err(DecodeError::UnknownMessage { tag, fields }),
        };
        decoder.end()?;
        Ok(response)
    }

    /// Appends the message in chunks.
    pub fn write(&self, out: &mut Vec<u8>, version: Version) -> Result<(), EncodeError> {
        write_message(out, version, |e| match self {
            Response::Success(metadata) => {
                e.structure_header(0x70, 1);
                e.map(metadata)
            }
            Response::Record(values) => {
                Response::record_header(e, values.len())?;
                values.iter().try_for_each(|v| e.value(v))
            }
            Response::Failure { code, message, status, position } => {
                e.structure_header(0x7F, 1);
                let mut metadata = Map::new().with("message", message.as_str());
                if version.has_gql_failures() {
                    let class = Map::new().with("_classification", classification(code));
                    metadata = metadata
                        .with("neo4j_code", code.as_str())
                        .with("gql_status", status.code)
                        .with("description", status.text)
                        .with("diagnostic_record", Status::diagnostic_record(class));
                } else {
                    metadata = metadata.with("code", code.as_str());
                }
                if let Some(position) = position {
                    metadata = metadata.with("position", position.as_str());
                }
                e.map(&metadata)
            }
            Response::Ignored => {
                e.structure_header(0x7E, 0);
                Ok(())
            }
        })
    }

    /// Begins a RECORD whose `width` values the caller writes.
    pub fn record_header(e: &mut Encoder<'_>, width: usize) -> Result<(), EncodeError> {
        e.structure_header(0x71, 1);
        e.list_header(width)
    }
}

impl Auth {
    /// Makes the scheme "none".
    pub fn none() -> Auth {
        Auth { scheme: Some("none".into()), ..Auth::default() }
    }

    /// Makes the scheme "basic".
    pub fn basic(principal: impl Into<String>, credentials: impl Into<String>) -> Auth {
        Auth {
            scheme: Some("basic".into()),
            principal: Some(principal.into()),
            credentials: Some(credentials.into()),
        }
    }

    fn from_map(map: &Map) -> Result<Auth, DecodeError> {
        Ok(Auth {
            scheme: text(map, "scheme")?,
            principal: text(map, "principal")?,
            credentials: text(map, "credentials")?,
        })
    }

    fn put_into(&self, map: &mut Map) {
        put(map, "scheme", &self.scheme);
        put(map, "principal", &self.principal);
        put(map, "credentials", &self.credentials);
    }
}

impl TransactionExtra {
    fn from_map(map: Map, version: Version) -> Result<TransactionExtra, DecodeError> {
        Ok(TransactionExtra {
            filter: NotificationFilter::from_map(&map, version)?,
            bookmarks: match map.get("bookmarks") {
                None | Some(PackValue::Null) => Vec::new(),
                Some(value) => texts(value, "bookmarks")?,
            },
            timeout_ms: number(&map, "tx_timeout")?,
            metadata: sub_map(&map, "tx_metadata")?.unwrap_or_default(),
            mode: match text(&map, "mode")?.as_deref() {
                Some("r") => AccessMode::Read,
                _ => AccessMode::Write,
            },
            db: text(&map, "db")?,
            imp_user: text(&map, "imp_user")?,
        })
    }

    fn to_map(&self, version: Version) -> Map {
        let mut map = Map::new();
        if !self.bookmarks.is_empty() {
            let bookmarks: Vec<PackValue> = self.bookmarks.iter().map(|b| b.as_str().into()).collect();
            map.insert("bookmarks", bookmarks);
        }
        if let Some(timeout) = self.timeout_ms {
            map.insert("tx_timeout", timeout);
        }
        if !self.metadata.is_empty() {
            map.insert("tx_metadata", self.metadata.clone());
        }
        if self.mode == AccessMode::Read {
            map.insert("mode", "r");
        }
        put(&mut map, "db", &self.db);
        put(&mut map, "imp_user", &self.imp_user);
        self.filter.put_into(&mut map, version);
        map
    }
}

impl Stream {
    fn from_map(map: &Map) -> Result<Stream, DecodeError> {
        let n = number(map, "n")?.unwrap_or(ALL);
        if n < ALL || n == 0 {
            return Err(DecodeError::Field { name: "n", expected: "positive integer or -1" });
        }
        Ok(Stream { n, qid: number(map, "qid")?.filter(|qid| *qid >= 0) })
    }
}

impl Route {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Route, DecodeError> {
        let routing = map_field(decoder, "routing")?;
        let bookmarks = texts(&decoder.value()?, "bookmarks")?;
        let (db, imp_user) = match decoder.value()? {
            PackValue::Null => (None, None),
            PackValue::String(db) => (Some(db), None),
            PackValue::Map(extra) => (text(&extra, "db")?, text(&extra, "imp_user")?),
            _ => return Err(DecodeError::Field { name: "extra", expected: "map" }),
        };
        Ok(Route { routing, bookmarks, db, imp_user })
    }
}

/// Returns the class of a failure by the second part of its code, in the words of a diagnostic record.
fn classification(code: &str) -> &'static str {
    match code.split('.').nth(1) {
        Some("ClientError") => "CLIENT_ERROR",
        Some("TransientError") => "TRANSIENT_ERROR",
        _ => "DATABASE_ERROR",
    }
}

fn put(map: &mut Map, key: &'static str, value: &Option<String>) {
    if let Some(value) = value {
        map.insert(key, value.as_str());
    }
}

fn map_field(decoder: &mut Decoder<'_>, name: &'static str) -> Result<Map, DecodeError> {
    match decoder.value()? {
        PackValue::Map(map) => Ok(map),
        // Some drivers write null where nothing is to be said.
        PackValue::Null => Ok(Map::new()),
        _ => Err(DecodeError::Field { name, expected: "map" }),
    }
}

pub(crate) fn text(map: &Map, name: &'static str) -> Result<Option<String>, DecodeError> {
    match map.get(name) {
        None | Some(PackValue::Null) => Ok(None),
        Some(PackValue::String(s)) => Ok(Some(s.clone())),
        Some(_) => Err(DecodeError::Field { name, expected: "string" }),
    }
}

pub(crate) fn texts(value: &PackValue, name: &'static str) -> Result<Vec<String>, DecodeError> {
    let wrong = DecodeError::Field { name, expected: "list of strings" };
    let items = match value {
        PackValue::Null => return Ok(Vec::new()),
        other => other.as_list().ok_or(wrong.clone())?,
    };
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(wrong.clone())).collect()
}

fn number(map: &Map, name: &'static str) -> Result<Option<i64>, DecodeError> {
    match map.get(name) {
        None | Some(PackValue::Null) => Ok(None),
        Some(value) => value.as_int().map(Some).ok_or(DecodeError::Field { name, expected: "integer" }),
    }
}

fn sub_map(map: &Map, name: &'static str) -> Result<Option<Map>, DecodeError> {
    match map.get(name) {
        None | Some(PackValue::Null) => Ok(None),
        Some(PackValue::Map(inner)) => Ok(Some(inner.clone())),
        Some(_) => Err(DecodeError::Field { name, expected: "map" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dechunker;
    use proptest::prelude::*;

    fn unchunk(line: &[u8]) -> Vec<u8> {
        let mut dechunker = Dechunker::new(usize::MAX);
        dechunker.input().extend_from_slice(line);
        dechunker.next_message().unwrap().unwrap().to_vec()
    }

    #[test]
    fn a_run_of_values_of_ones_own_is_a_run() {
        let whole = Request::Run {
            query: "RETURN $x".into(),
            parameters: Map::new().with("x", 1i64),
            extra: TransactionExtra::default(),
        };
        for version in [Version::V4_4, Version::V5_4] {
            let mut line = Vec::new();
            Request::write_run(&mut line, version, "RETURN $x", |e| {
                e.map_header(1)?;
                e.string("x")?;
                e.int(1);
                Ok(())
            })
            .unwrap();
            assert_eq!(Request::decode(&unchunk(&line), version).unwrap(), whole);
        }
    }

    fn requests() -> Vec<Request> {
        let extra = TransactionExtra {
            bookmarks: vec!["1.00000000000000aa.1:7".into()],
            timeout_ms: Some(5000),
            metadata: Map::new().with("app", "test"),
            mode: AccessMode::Read,
            db: Some("memgraph".into()),
            imp_user: None,
            filter: NotificationFilter::default(),
        };
        vec![
            Request::Hello {
                user_agent: Some("mgctl/0.1".into()),
                auth: Auth::default(),
                routing: Some(Map::new().with("address", "a:7687")),
                bolt_agent: Some(Map::new().with("product", "mgctl")),
                filter: NotificationFilter::default(),
            },
            Request::Logoff,
            Request::Goodbye,
            Request::Reset,
            Request::Run {
                query: "RETURN $x".into(),
                parameters: Map::new().with("x", 1i64),
                extra: extra.clone(),
            },
            Request::Begin(extra),
            Request::Begin(TransactionExtra::default()),
            Request::Commit,
            Request::Rollback,
            Request::Pull(Stream { n: 1000, qid: Some(0) }),
            Request::Discard(Stream::default()),
            Request::Route(Route {
                bookmarks: vec!["b".into()],
                db: Some("memgraph".into()),
                ..Route::default()
            }),
            Request::Telemetry { api: 1 },
            Request::Logon(Auth::basic("u", "p")),
        ]
    }

    #[test]
    fn requests_come_back_in_every_version_that_knows_them() {
        for version in Version::SERVED {
            for request in requests() {
                let mut line = Vec::new();
                request.write(&mut line, version).unwrap();
                let back = Request::decode(&unchunk(&line), version);
                if request.kind().exists_in(version) {
                    assert_eq!(back.as_ref(), Ok(&request), "{version}");
                } else {
                    assert!(matches!(back, Err(DecodeError::UnknownMessage { .. })), "{version} {request:?}");
                }
            }
        }
    }

    #[test]
    fn hello_authenticates_only_where_there_is_no_logon() {
        let hello = Request::Hello {
            user_agent: None,
            auth: Auth::basic("u", "p"),
            routing: None,
            bolt_agent: None,
            filter: NotificationFilter::default(),
        };
        for (version, expected) in [(Version::V4_4, Auth::basic("u", "p")), (Version::V5_1, Auth::default())]
        {
            let mut line = Vec::new();
            hello.write(&mut line, version).unwrap();
            let Ok(Request::Hello { auth, .. }) = Request::decode(&unchunk(&line), version) else { panic!() };
            assert_eq!(auth, expected, "{version}");
        }
    }

    #[test]
    fn responses_come_back() {
        for response in [
            Response::Success(Map::new().with("fields", vec![PackValue::from("a")])),
            Response::Record(vec![PackValue::Int(1), PackValue::Null]),
            Response::Ignored,
            Response::Failure {
                code: "Memgraph.ClientError.Transaction.InDoubt".into(),
                message: "no".into(),
                status: Status::UNKNOWN_COMPLETION,
                position: Some("1.7.1:9".into()),
            },
        ] {
            let mut line = Vec::new();
            response.write(&mut line, Version::NEWEST).unwrap();
            assert_eq!(Response::decode(&unchunk(&line), Version::NEWEST), Ok(response));
        }
    }

    #[test]
    fn a_failure_has_the_keys_of_its_version() {
        let failure = Response::Failure {
            code: "Memgraph.TransientError.MemgraphError.MemgraphError".into(),
            message: "no".into(),
            status: Status::ROLLBACK,
            position: None,
        };
        for version in Version::SERVED {
            let mut line = Vec::new();
            failure.write(&mut line, version).unwrap();
            let bytes = unchunk(&line);
            let mut decoder = Decoder::new(&bytes, version);
            assert_eq!(decoder.message_header(), Ok((0x7F, 1)));
            let metadata = map_field(&mut decoder, "metadata").unwrap();
            let mut keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            if version >= Version::V5_7 {
                assert_eq!(keys, ["description", "diagnostic_record", "gql_status", "message", "neo4j_code"]);
                let record = metadata.get("diagnostic_record").unwrap().as_map().unwrap();
                assert_eq!(record.get("_classification"), Some(&"TRANSIENT_ERROR".into()));
                assert_eq!(metadata.get("gql_status"), Some(&"40000".into()));
            } else {
                assert_eq!(keys, ["code", "message"], "{version}");
            }
        }
    }

    #[test]
    fn numbers_of_javascript_count_as_integers() {
        // PULL {n: 1000.0}
        let mut bytes = vec![0xB1, 0x3F, 0xA1, 0x81, b'n', 0xC1];
        bytes.extend(1000f64.to_be_bytes());
        let pull = Request::decode(&bytes, Version::V5_4);
        assert_eq!(pull, Ok(Request::Pull(Stream { n: 1000, qid: None })));
        // {n: 0} and {n: -2} ask for nothing that exists.
        for n in [0x00, 0xFE] {
            let bytes = [0xB1, 0x3F, 0xA1, 0x81, b'n', n];
            assert!(matches!(
                Request::decode(&bytes, Version::V5_4),
                Err(DecodeError::Field { name: "n", .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn damaged_messages_never_panic(
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let all = requests();
            let mut line = Vec::new();
            all[which.index(all.len())].write(&mut line, Version::V5_4).unwrap();
            let mut bytes = unchunk(&line);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Request::decode(&bytes, Version::V5_4);
            let _ = Response::decode(&bytes, Version::V5_4);
            prop_assert!(at == 0 || Request::decode(&bytes[..at], Version::V5_4).is_err());
        }
    }
}
