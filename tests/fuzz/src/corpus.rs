//! Inputs that are right, made by the product's own writers.

use mgbolt::{
    AccessMode, Auth, Encoder, Map, NotificationFilter, PackValue, Request, Response, Route, Severity,
    Status, Stream, Threshold, TransactionExtra, Version, handshake,
};
use mgnode_core::durability::{
    DECIDED_SLOT_BYTES, Decided, LoggedRecord, SegmentHeader, SnapshotEncoder, SnapshotHeader, encode_state,
    put_frame,
};
use mgnode_core::replication::{LogEnd, Message, PROTOCOL, PROTOCOL_MIN, RefusalReason, SnapshotStream};
use mgnode_core::storage::Graph;
use mgnode_core::types::{
    ClusterId, CommitRecord, Epoch, History, Identity, KeyPrint, Lsn, Member, NodeId, NodeState,
    PartialSnapshot, Position, Registration, Role, SnapshotId, SyncMode, Value, chain_next,
};
use std::sync::Arc;

const QUERIES: &[&str] = &[
    "MATCH (n) RETURN n",
    "MATCH (a:Person {name: 'Ada'})-[r:KNOWS*1..3]->(b) WHERE a.age > 30 AND NOT b.name STARTS WITH 'B' RETURN DISTINCT b, count(*) AS c ORDER BY c DESC SKIP 1 LIMIT 10;",
    "CREATE (a:A:B {x: 1, y: 2.5e-3, z: [1, 'two', null, true]})-[:R {since: date('2020-01-01')}]->(b)",
    "MERGE (n:City {name: $name}) ON CREATE SET n.made = timestamp(), n += {a: 1} ON MATCH SET n:Seen REMOVE n.old",
    "UNWIND range(1, 10, 2) AS x WITH x, x % 3 AS g WHERE g <> 0 RETURN g, collect(x)[1..] AS xs, sum(x), avg(x)",
    "MATCH p = shortestPath((a)-[*..5]-(b)) RETURN length(p), [n IN nodes(p) WHERE n.x > 0 | n.name] AS names",
    "RETURN CASE WHEN 1 < 2 THEN 'a' ELSE 'b' END, CASE $x WHEN 1 THEN 2 END, reduce(s = 0, x IN [1, 2] | s + x)",
    "MATCH (n) WHERE EXISTS { MATCH (n)-->(m) WHERE m.x = 1 } AND all(x IN n.list WHERE x > 0) DETACH DELETE n",
    "CALL { MATCH (n) RETURN n LIMIT 1 UNION ALL MATCH (m) RETURN m AS n } RETURN n",
    "CALL db.labels() YIELD label RETURN label",
    "FOREACH (x IN [1, 2, 3] | CREATE (:X {v: x}) SET x.y = 1)",
    "EXPLAIN MATCH (a)<-[:R|S]-(b) OPTIONAL MATCH (b)--(c) RETURN a, b, c",
    "CREATE INDEX ON :Person(name, age); ",
    "CREATE CONSTRAINT ON (n:Person) ASSERT n.email IS UNIQUE",
    "SHOW REPLICATION LAG",
    "REGISTER REPLICA r SYNC TO \"127.0.0.1:10000\"",
    "SET REPLICATION ROLE TO MAIN WITH EPOCH 4;",
    "FENCE REPLICATION EPOCH 7 BY \"failover\"",
    "RETURN `a b`.`c``d`, 0x1F, 0o17, 1e308 * 10, -9223372036854775808, 'it\\'s \\u00e9', \"\\n\"",
    "// comment\nMATCH (n) /* another\n one */ RETURN n.`x`[0], n['y'], {a: [{b: 1}]}.a[0].b",
    "MATCH (n) RETURN n {.name, .*, extra: 1, other} ORDER BY n.name ASCENDING",
    "RETURN (((((((((1 + 2) * 3) ^ 2) % 7))) = 4))) XOR NOT (true OR false) IS NOT NULL",
];

/// The first byte says how the rest is written, see its target.
pub(crate) fn csv() -> Vec<Vec<u8>> {
    let texts = [
        "0name,age\nAda,36\r\n\"A, \"\"B\"\"\",\n\n,\n",
        "1\u{feff}a::b\n'::\"::\"\"\n\"x\"y\nz",
        "6'it''s','a\\'b\\\\'\n'more\nlines'",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

pub(crate) fn queries() -> Vec<Vec<u8>> {
    QUERIES.iter().map(|query| query.as_bytes().to_vec()).collect()
}

fn map(pairs: &[(&str, PackValue)]) -> Map {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn some_values() -> Vec<PackValue> {
    let text = |s: &str| PackValue::String(s.to_owned());
    vec![
        PackValue::Null,
        PackValue::Int(-17),
        PackValue::Int(i64::MAX),
        PackValue::Float(1.5),
        PackValue::Bytes(vec![1, 2, 3]),
        text("été"),
        text(&"x".repeat(300)),
        PackValue::List(vec![PackValue::Bool(true), PackValue::List(vec![PackValue::Null; 20]), text("a")]),
        PackValue::Map(map(&[
            ("k", PackValue::Int(1)),
            ("m", PackValue::Map(map(&[("n", PackValue::Null)]))),
        ])),
        PackValue::Date(19_000),
        PackValue::LocalTime(86_399_999_999_999),
    ]
}

pub(crate) fn values() -> Vec<Vec<u8>> {
    let write = |value: &PackValue| {
        let mut out = Vec::new();
        Encoder::new(&mut out, Version::V5_4).value(value).expect("it is right");
        out
    };
    let mut all: Vec<Vec<u8>> = some_values().iter().map(write).collect();
    all.push(write(&PackValue::List(some_values())));
    // Node, Relationship, Path, DateTime, Duration and Point as structures, in both forms of Bolt.
    all.push(vec![0xb4, 0x4e, 1, 0x91, 0x81, b'L', 0xa1, 0x81, b'p', 7, 0x81, b'1']);
    all.push(vec![0xb3, 0x4e, 1, 0x91, 0x81, b'L', 0xa0]);
    all.push(vec![0xb5, 0x52, 1, 2, 3, 0x81, b'T', 0xa0]);
    all.push(vec![0xb3, 0x50, 0x91, 0xb3, 0x4e, 1, 0x90, 0xa0, 0x90, 0x90]);
    all.push(vec![0xb3, 0x49, 0xc9, 0x10, 0, 5, 0xc9, 0x0e, 0x10]);
    all.push(vec![0xb3, 0x46, 0xc9, 0x10, 0, 5, 0xc9, 0x0e, 0x10]);
    all.push(vec![0xb3, 0x69, 1, 2, 0x83, b'U', b'T', b'C']);
    all.push(vec![0xb4, 0x45, 1, 2, 3, 4]);
    all.push(vec![
        0xb3, 0x58, 0xc9, 0x1c, 0x23, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xc1, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0,
    ]);
    all
}

fn some_requests() -> Vec<Request> {
    let extra = TransactionExtra {
        bookmarks: vec!["1.7.1:9".to_owned()],
        timeout_ms: Some(1000),
        metadata: map(&[("app", PackValue::Int(1))]),
        mode: AccessMode::Read,
        db: Some("memgraph".to_owned()),
        imp_user: None,
        filter: NotificationFilter {
            threshold: Some(Threshold::From(Severity::Warning)),
            disabled: Some(vec!["SCHEMA".to_owned()]),
        },
    };
    let parameters = map(&[("x", PackValue::List(some_values()))]);
    vec![
        Request::Hello {
            user_agent: Some("client/1".to_owned()),
            auth: Auth::basic("user", "secret"),
            routing: Some(map(&[("address", PackValue::String("localhost:7687".to_owned()))])),
            bolt_agent: Some(map(&[("product", PackValue::String("client/1".to_owned()))])),
            filter: NotificationFilter::default(),
        },
        Request::Logon(Auth::none()),
        Request::Logoff,
        Request::Goodbye,
        Request::Reset,
        Request::Run { query: "RETURN $x".to_owned(), parameters, extra: extra.clone() },
        Request::Begin(extra),
        Request::Commit,
        Request::Rollback,
        Request::Pull(Stream { n: 1000, qid: Some(0) }),
        Request::Discard(Stream::default()),
        Request::Route(Route {
            routing: Map::default(),
            bookmarks: vec!["1.7.1:9".to_owned()],
            db: None,
            imp_user: None,
        }),
        Request::Telemetry { api: 1 },
    ]
}

fn in_chunks(request: &Request, version: Version) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    request.write(&mut out, version).ok().map(|()| out)
}

/// The bytes of one message, without its chunk's length and end.
fn bare(chunks: Vec<u8>) -> Vec<u8> {
    chunks[2..chunks.len() - 2].to_vec()
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    let of = |version| {
        some_requests().into_iter().filter_map(move |request| in_chunks(&request, version)).map(bare)
    };
    of(Version::NEWEST).chain(of(Version::V5_4)).chain(of(Version::V4_4)).collect()
}

pub(crate) fn responses() -> Vec<Vec<u8>> {
    let all = [
        Response::Success(map(&[("fields", PackValue::List(vec![PackValue::String("n".to_owned())]))])),
        Response::Record(some_values()),
        Response::Failure {
            code: "Memgraph.ClientError.Transaction.InDoubt".to_owned(),
            message: "it may stand".to_owned(),
            status: Status::UNKNOWN_COMPLETION,
            position: Some("1.7.1:9".to_owned()),
        },
        Response::Ignored,
    ];
    let write = |(response, version): (&Response, Version)| {
        let mut out = Vec::new();
        response.write(&mut out, version).expect("it is right");
        bare(out)
    };
    let of = |version| all.iter().map(move |response| (response, version));
    of(Version::NEWEST).chain(of(Version::V5_4)).map(write).collect()
}

pub(crate) fn chunks() -> Vec<Vec<u8>> {
    let all: Vec<Vec<u8>> = some_requests().iter().filter_map(|r| in_chunks(r, Version::V5_4)).collect();
    vec![all.concat(), [&[0, 0], &all[0][..], &[0, 0, 0, 0]].concat(), vec![0, 1, 0xb0, 0, 1, 0x0f, 0, 0]]
}

pub(crate) fn handshakes() -> Vec<Vec<u8>> {
    let mut old = handshake::proposals();
    old[4..8].copy_from_slice(&[0, 0, 1, 4]);
    let mut manifest = old;
    manifest[4..8].copy_from_slice(&[0, 0, 1, 0xFF]);
    vec![handshake::proposals().to_vec(), old.to_vec(), manifest.to_vec()]
}

const EPOCH: Epoch = Epoch { number: 3, node: NodeId(7), incarnation: 2 };

fn history() -> History {
    History { starts: vec![(Epoch { number: 1, ..EPOCH }, Lsn(1)), (EPOCH, Lsn(5))] }
}

fn position(lsn: u64) -> Position {
    Position { epoch: EPOCH, lsn: Lsn(lsn) }
}

fn member(mode: Option<SyncMode>) -> Member {
    let identity = Identity { key: Some(KeyPrint([9; 32])), certified: Some("mg1.demo".to_owned()) };
    Member { node: NodeId(7), identity, bolt: vec!["127.0.0.1:7687".to_owned(), "mg1:7687".to_owned()], mode }
}

fn snapshot_id() -> SnapshotId {
    SnapshotId { position: position(9), chain: 11, bytes: 4096, digest: 12 }
}

/// What one commit of each kind of change is in the log.
pub(crate) fn changes() -> Vec<Vec<u8>> {
    let graph = Arc::new(Graph::new(Arc::default()));
    let names = graph.names();
    let (label, key) = (names.label("Person"), names.key("name"));
    let knows = names.edge_type("KNOWS").expect("the first one");
    let mut tx = graph.begin(true);
    let text = |s: &str| Value::String(s.into());
    let list = Value::List(Arc::new(vec![Value::Int(1), Value::Null, Value::Float(0.5), Value::Bool(true)]));
    let a =
        tx.create_vertex(&[label], vec![(key, text("Ada")), (names.key("list"), list)]).expect("a vertex");
    let b = tx.create_vertex(&[], vec![(key, Value::Bytes(vec![1, 2].into()))]).expect("a vertex");
    let c = tx.create_vertex(&[label], Vec::new()).expect("a vertex");
    let edge = tx.create_edge(a, b, knows, vec![(key, Value::Int(i64::MIN))]).expect("an edge");
    tx.set_vertex_property(b, key, text("Bo")).expect("it is there");
    tx.delete_vertex(c).expect("it has no edges");
    let made = tx.finish().expect("it fits").expect("it writes");
    graph.apply(Lsn(1), &made.changes).expect("it fits");
    graph.publish(Lsn(1), 1);
    let mut tx = graph.begin(true);
    tx.set_vertex_property(a, key, Value::Null).expect("it is there");
    tx.delete_edge(edge).expect("it is there");
    tx.delete_vertex(b).expect("it has no edges left");
    let unmade = tx.finish().expect("it fits").expect("it writes");
    vec![made.payload.to_vec(), unmade.payload.to_vec()]
}

fn records() -> Vec<CommitRecord> {
    let payloads = changes();
    let record = |(n, payload): (usize, Vec<u8>)| CommitRecord {
        epoch: EPOCH,
        lsn: Lsn(n as u64 + 5),
        ts: 2 * n as u64,
        payload: payload.into(),
    };
    payloads.into_iter().chain([Vec::new(), vec![7; 700]]).enumerate().map(record).collect()
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let end = LogEnd { last: position(9), chain: 13, history: history() };
    let all = [
        Message::Hello {
            protocol: PROTOCOL,
            node: NodeId(7),
            to: NodeId(8),
            epoch: EPOCH,
            end: end.clone(),
            cluster: Some(ClusterId(5)),
            members: vec![member(None), member(Some(SyncMode::Sync))],
        },
        Message::Welcome {
            protocol: PROTOCOL,
            node: NodeId(8),
            promised: EPOCH,
            end: end.clone(),
            partial: Some(PartialSnapshot { snapshot: snapshot_id(), bytes: 17 }),
            bolt: vec!["127.0.0.1:7687".to_owned()],
        },
        Message::Refused {
            node: NodeId(8),
            reason: RefusalReason::Fenced,
            promised: EPOCH,
            end,
            text: "it obeys another".to_owned(),
        },
        Message::Append { epoch: EPOCH, prev: Lsn(4), prev_chain: 3, apply_to: Lsn(6), records: records() },
        Message::Ack { durable: Lsn(8), applied: Lsn(7) },
        Message::Publish { apply_to: Lsn(8) },
        Message::Fetch { from: Lsn(3) },
        Message::Tail { prev: Lsn(4), prev_chain: 3, records: records() },
        Message::Ping { sequence: 1 },
        Message::Pong { sequence: 1 },
        Message::Members { members: vec![member(Some(SyncMode::Async))] },
        Message::Release,
        Message::Diverged { common: position(6) },
    ];
    let mut inputs = Vec::new();
    for protocol in PROTOCOL_MIN..=PROTOCOL {
        for message in all.iter().filter(|message| message.is_in(protocol)) {
            let mut out = Vec::new();
            message.encode(protocol, &mut out);
            inputs.push(out);
        }
    }
    inputs
}

pub(crate) fn snapshot_streams() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    SnapshotStream::Part { snapshot: snapshot_id(), offset: 96 }.encode(&mut out);
    vec![out, b"\x89MGSNP\r\n".to_vec()]
}

pub(crate) fn segments() -> Vec<Vec<u8>> {
    const BYTES: usize = 4096;
    let header =
        SegmentHeader { node: NodeId(7), sequence: 2, first: Lsn(5), chain: 99, bytes: BYTES as u64 };
    let mut whole = header.encode();
    let mut chain = header.chain;
    for record in records() {
        chain = chain_next(chain, &record);
        let synced = Lsn(record.lsn.0 - 1);
        let offset = whole.len() as u64;
        put_frame(&mut whole, offset, &LoggedRecord { record, chain, synced });
    }
    let cut = whole.len() - 40;
    let mut torn = whole[..cut].to_vec();
    for file in [&mut whole, &mut torn] {
        file.resize(BYTES, 0);
    }
    vec![whole, torn, vec![0; 1024]]
}

pub(crate) fn snapshots() -> Vec<Vec<u8>> {
    let header = SnapshotHeader { position: position(9), chain: 13, ts: 18, history: history() };
    let file = |blocks: &[Vec<u8>]| {
        let mut out = Vec::new();
        let mut encoder = SnapshotEncoder::new(&header, &mut out);
        for block in blocks {
            encoder.block(block, &mut out);
        }
        encoder.finish(&mut out);
        out
    };
    vec![file(&changes()), file(&[])]
}

pub(crate) fn states() -> Vec<Vec<u8>> {
    let identity = Identity { key: Some(KeyPrint([3; 32])), certified: None };
    let registration = Registration {
        name: "r1".to_owned(),
        mode: SyncMode::StrictSync,
        address: "10.0.0.2:10000".to_owned(),
        node: NodeId(8),
        identity,
    };
    let main = NodeState {
        promised: EPOCH,
        promised_by: "failover".to_owned(),
        replicas: vec![registration],
        cluster: Some(ClusterId(5)),
        members: vec![member(None), member(Some(SyncMode::StrictSync))],
        ..NodeState::fresh(NodeId(7))
    };
    let replica = NodeState { role: Role::Replica { port: 10000 }, ..NodeState::fresh(NodeId(8)) };
    vec![encode_state(&main), encode_state(&replica)]
}

pub(crate) fn notes() -> Vec<Vec<u8>> {
    let (first, second) = (Decided { number: 4, lsn: Lsn(9) }, Decided { number: 5, lsn: Lsn(10) });
    let both = [first.encode(), second.encode()].concat();
    vec![both, [vec![0; DECIDED_SLOT_BYTES], second.encode()].concat(), first.encode()]
}

/// What is in the corpus can be read: a reader that refuses everything would pass for right otherwise.
#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mgnode_core::durability::{Scanner, SnapshotIndex, decode_decided, decode_state};

    #[test]
    fn everything_in_the_corpus_can_be_read() {
        let graph = Graph::new(Arc::default());
        assert!(changes().iter().all(|bytes| graph.decode(bytes).is_ok()));
        assert!(values().iter().all(|bytes| {
            let reads = |v| mgbolt::Decoder::new(bytes, v).value().is_ok();
            reads(Version::NEWEST) || reads(Version::V4_4)
        }));
        assert!(
            requests()
                .iter()
                .all(|b| Request::decode(b, Version::V5_4).or(Request::decode(b, Version::V4_4)).is_ok())
        );
        assert!(responses().iter().all(|bytes| Response::decode(bytes, Version::V5_4).is_ok()));
        assert!(messages().iter().all(|bytes| {
            let reads = |protocol| Message::decode(protocol, Bytes::copy_from_slice(bytes)).is_ok();
            reads(PROTOCOL) || reads(PROTOCOL_MIN)
        }));
        assert!(states().iter().all(|bytes| decode_state(bytes).is_ok()));
        assert!(notes().iter().all(|bytes| matches!(decode_decided(bytes), Ok(Some(_)))));
        assert!(snapshots().iter().all(|bytes| SnapshotIndex::read(&Bytes::copy_from_slice(bytes)).is_ok()));
        let records = |bytes: &Vec<u8>| {
            let scanner = Scanner::new(Bytes::copy_from_slice(bytes)).expect("it is a segment");
            scanner.map_or(0, |mut scanner| std::iter::from_fn(|| scanner.next_record().ok()).count())
        };
        assert_eq!(segments().iter().map(records).collect::<Vec<_>>(), [4, 3, 0]);
        let parse = |bytes: &Vec<u8>| mgcypher::parse(str::from_utf8(bytes).expect("text")).map(drop);
        for query in queries() {
            assert_eq!(parse(&query), Ok(()), "{}", String::from_utf8_lossy(&query));
        }
    }
}
