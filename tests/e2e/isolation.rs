//! Many clients at once, whose history is judged by the isolation levels they asked for.
//!
//! `MG_ISOLATION_SEED` repeats the choices of a run, though not its timing; `MG_ISOLATION_CLIENTS` and
//! `MG_ISOLATION_TRANSACTIONS` (of each client) make a larger one.

use libtest_mimic::Trial;
use mg_tests::bolt::{Bolt, all_ready, register};
use mg_tests::chaos::book::Told;
use mg_tests::dice::Dice;
use mg_tests::isolation::{History, Key, Level, Op, Outcome, Transaction, judge};
use mg_tests::node::Node;
use mg_tests::wait;
use mgbolt::{Map, PackValue};
use mgctl::query::{QueryError, QueryResult, Summary};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// `(:K {id, list, last})`, whose list is one.
const LISTS: std::ops::Range<Key> = 0..8;
/// `(:H {id})`, whose edges are a set.
const SETS: std::ops::Range<Key> = 100..104;
const KINDS_OF_NODES: usize = 3;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        super::plain("concurrent_transactions_are_isolated_on_a_main_and_its_replicas", isolated),
        super::plain("concurrent_transactions_are_isolated_over_a_main_that_is_killed", isolated_and_killed),
    ]
}

/// What the clients of a run share.
struct Run {
    addresses: [String; KINDS_OF_NODES],
    /// For each node, a position that it has shown.
    shown: [AtomicU64; KINDS_OF_NODES],
    next: AtomicI64,
    /// Transactions that have ended, and clients that write still.
    ended: AtomicUsize,
    writing: AtomicUsize,
    transactions: Mutex<Vec<Transaction>>,
}

/// A client that writes. The others go on until none is left, whether it is done or has panicked.
struct Writing<'a>(&'a Run);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.fetch_sub(1, Ordering::SeqCst);
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

fn isolated() {
    run(false);
}

fn isolated_and_killed() {
    run(true);
}

fn run(kill: bool) {
    let dice = Dice::new(setting("MG_ISOLATION_SEED"));
    let seed = dice.seed();
    println!("repeat the choices: MG_ISOLATION_SEED={seed}");
    let clients = usize::try_from(setting("MG_ISOLATION_CLIENTS").unwrap_or(8)).expect("it is small");
    let each = usize::try_from(setting("MG_ISOLATION_TRANSACTIONS").unwrap_or(120)).expect("it is small");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut main = start(dir.path());
    let run = Run {
        addresses: [&main[0], &main[1], &main[2]].map(|node| node.bolt().to_string()),
        shown: Default::default(),
        next: AtomicI64::new(1),
        ended: AtomicUsize::new(0),
        writing: AtomicUsize::new(clients),
        transactions: Mutex::new(Vec::new()),
    };
    std::thread::scope(|scope| {
        for n in 0..clients {
            let level = if n % 4 == 3 { Level::ReadCommitted } else { Level::Snapshot };
            let (run, dice) = (&run, Dice::new(Some(seed ^ (n as u64 + 1) << 40)));
            scope.spawn(move || {
                let _writing = Writing(run);
                Client::new(run, format!("w{n}"), 0, level, dice).work(each);
            });
        }
        for n in 0..4 {
            let level = if n == 3 { Level::ReadCommitted } else { Level::Snapshot };
            let (run, dice) = (&run, Dice::new(Some(seed ^ (n as u64 + 1) << 48)));
            scope.spawn(move || Client::new(run, format!("r{n}"), 1 + n % 2, level, dice).read(each));
        }
        scope.spawn(|| stop_some(&run, Dice::new(Some(!seed))));
        if kill {
            let half = clients * each / 2;
            wait::until("half is done", 4 * LIMIT, || match run.ended.load(Ordering::SeqCst) {
                n if n >= half => Ok(()),
                n => Err(format!("{n} so far")),
            });
            main[0].kill();
            main[0].spawn();
        }
    });
    wait::until("the replicas have everything", LIMIT, || all_ready(&run.addresses[0], 2));
    let all = run.shown[0].load(Ordering::SeqCst);
    for place in 0..KINDS_OF_NODES {
        run.shown[place].fetch_max(all, Ordering::SeqCst);
        let dice = Dice::new(Some(seed));
        Client::new(&run, format!("last{place}"), place, Level::Snapshot, dice).read_all();
    }
    let transactions = run.transactions.into_inner().expect("no client panicked");
    let history = History { transactions, sets: SETS.collect() };
    let count = |outcome| history.transactions.iter().filter(|t| t.outcome == outcome).count();
    let [committed, refused, unknown] = [Outcome::Committed, Outcome::Refused, Outcome::Unknown].map(count);
    let writes = history.transactions.iter().filter(|t| t.committed_at.is_some()).count();
    println!("{committed} committed, {writes} of them wrote; {refused} refused, {unknown} unknown");
    let found = judge(&history);
    let told: Vec<String> = found.iter().take(10).map(ToString::to_string).collect();
    assert!(found.is_empty(), "seed {seed}: {} anomalies\n{}", found.len(), told.join("\n"));
    assert!(writes >= each, "too few have written for a judgement: {writes}");
}

fn start(dir: &Path) -> [Node; KINDS_OF_NODES] {
    let nodes = ["main", "sync", "async"].map(|name| Node::start(dir, name, &["--storage-gc-cycle-sec=1"]));
    let mut main = connect(&nodes[0].bolt().to_string());
    for (node, (name, mode)) in nodes[1..].iter().zip([("one", "SYNC"), ("two", "ASYNC")]) {
        connect(&node.bolt().to_string())
            .run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000;")
            .expect("a fresh node becomes REPLICA");
        register(&mut main, name, mode, &node.replication());
    }
    let lists =
        format!("UNWIND range(0, {}) AS id CREATE (:K {{id: id, list: [], last: 0}});", LISTS.end - 1);
    let sets = format!("UNWIND range({}, {}) AS id CREATE (:H {{id: id}});", SETS.start, SETS.end - 1);
    for query in [
        "CREATE INDEX ON :K(id);",
        "CREATE INDEX ON :K(last);",
        "CREATE INDEX ON :H(id);",
        "CREATE INDEX ON :T(of);",
        &lists,
        &sets,
    ] {
        main.run(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    }
    wait::until("the replicas are ready", LIMIT, || all_ready(&nodes[0].bolt().to_string(), 2));
    nodes
}

fn connect(address: &str) -> Bolt {
    wait::until("the node answers", LIMIT, || Bolt::connect(address))
}

/// Stops transactions of others as long as someone writes.
fn stop_some(run: &Run, mut dice: Dice) {
    let mut bolt = connect(&run.addresses[0]);
    while run.writing.load(Ordering::SeqCst) > 0 {
        let answer = bolt.run("SHOW TRANSACTIONS;");
        let Ok(result) = answer else {
            bolt = connect(&run.addresses[0]);
            continue;
        };
        let column = result.fields.iter().position(|field| field == "transaction_id").expect("it has ids");
        if !result.rows.is_empty() {
            let one = usize::try_from(dice.below(result.rows.len() as u64)).expect("it is small");
            if let PackValue::String(id) = &result.rows[one][column] {
                // It may have ended, and may be this one itself.
                let _ = bolt.run(&format!("TERMINATE TRANSACTIONS '{id}';"));
            }
        }
        std::thread::sleep(dice.millis(5, 50));
    }
}

/// A statement, and how its answer is read.
struct Statement {
    query: String,
    appends: Option<(Key, i64)>,
    shows: Shows,
}

enum Shows {
    Nothing,
    /// One row, one value.
    One(Key),
    /// Rows of a key and its numbers; each of these keys is there once.
    Each(Vec<Key>),
    /// Rows of a key and one number; none for a key that has none.
    Pairs(Vec<Key>),
}

struct Client<'a> {
    run: &'a Run,
    name: String,
    place: usize,
    level: Level,
    dice: Dice,
    bolt: Bolt,
    bookmark: Option<String>,
    count: usize,
}

/// The number of a bookmark's record.
fn lsn(bookmark: &str) -> u64 {
    let number = bookmark.rsplit_once(':').and_then(|(_, n)| n.parse().ok());
    number.unwrap_or_else(|| panic!("a bookmark ends with a number: {bookmark}"))
}

impl<'a> Client<'a> {
    fn new(run: &'a Run, name: String, place: usize, level: Level, dice: Dice) -> Client<'a> {
        let bolt = connect(&run.addresses[place]);
        let mut client = Client { run, name, place, level, dice, bolt, bookmark: None, count: 0 };
        client.set_level();
        client
    }

    fn set_level(&mut self) {
        if self.level == Level::ReadCommitted {
            wait::until("the level is set", LIMIT, || {
                let set = self.bolt.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;");
                if set.as_ref().is_err_and(QueryError::is_outcome_unknown) {
                    self.bolt = connect(&self.run.addresses[self.place]);
                }
                set
            });
        }
    }

    fn reconnect(&mut self) {
        self.bolt = connect(&self.run.addresses[self.place]);
        self.set_level();
    }

    fn begin(&mut self) -> Transaction {
        self.count += 1;
        let floor = self.run.shown[self.place].load(Ordering::SeqCst);
        Transaction::new(format!("{}.{}", self.name, self.count), self.level, floor)
    }

    /// Enters what came of a transaction.
    fn end(&mut self, mut transaction: Transaction, told: Told) {
        let wrote = transaction.appends().next().is_some();
        transaction.outcome = match told {
            Told::Ok { bookmark } | Told::Degraded { bookmark } => {
                if !bookmark.is_empty() {
                    let position = lsn(&bookmark);
                    if wrote {
                        transaction.committed_at = Some(position);
                    } else if self.level == Level::Snapshot {
                        transaction.seen = Some(position);
                    }
                    self.run.shown[self.place].fetch_max(position, Ordering::SeqCst);
                    self.bookmark = Some(bookmark);
                }
                Outcome::Committed
            }
            Told::Failed { .. } => Outcome::Refused,
            Told::InDoubt { .. } => Outcome::Unknown,
            Told::Unknown => {
                self.reconnect();
                if wrote { Outcome::Unknown } else { Outcome::Refused }
            }
        };
        self.run.transactions.lock().expect("no client panicked").push(transaction);
        self.run.ended.fetch_add(usize::from(self.place == 0), Ordering::SeqCst);
    }

    fn work(&mut self, transactions: usize) {
        for _ in 0..transactions {
            let mut transaction = self.begin();
            if self.dice.below(5) == 0 {
                let statement = self.any();
                let told = Told::from_answer(self.ask(&mut transaction, &statement));
                self.end(transaction, told);
            } else {
                self.explicit(transaction, true);
            }
        }
    }

    fn explicit(&mut self, mut transaction: Transaction, writes: bool) {
        if let Err(e) = self.bolt.begin() {
            return self.refused(transaction, &e);
        }
        for _ in 0..=self.dice.below(6) {
            let statement = if writes { self.any() } else { self.reading() };
            if let Err(e) = self.ask(&mut transaction, &statement) {
                // The answer to it tells all: nothing of an open transaction is kept.
                let _ = self.bolt.rollback();
                return self.refused(transaction, &e);
            }
        }
        let ended = match self.dice.below(20) {
            0 => self.bolt.rollback(),
            1 => self.bolt.reset(),
            // The connection ends in the middle of it.
            2 => {
                self.reconnect();
                Ok(())
            }
            _ => {
                let told = Told::from_answer(self.bolt.commit());
                return self.end(transaction, told);
            }
        };
        let refused = QueryError::TimedOut { address: String::new(), after: LIMIT };
        self.refused(transaction, &ended.err().unwrap_or(refused));
    }

    /// Enters a transaction that was never asked to be committed.
    fn refused(&mut self, transaction: Transaction, why: &QueryError) {
        if matches!(why, QueryError::Lost { .. } | QueryError::Protocol { .. }) {
            self.reconnect();
        }
        self.end(transaction, Told::Failed { code: String::new(), message: why.to_string() });
    }

    /// Reads, often after what it has seen elsewhere, as long as someone writes.
    fn read(&mut self, least: usize) {
        while self.run.writing.load(Ordering::SeqCst) > 0 || self.count < least {
            let mut transaction = self.begin();
            if self.dice.below(2) == 0 {
                self.explicit(transaction, false);
                continue;
            }
            let statement = self.reading();
            let mut bookmarks: Vec<String> = self.bookmark.iter().cloned().collect();
            if self.dice.below(4) == 0 {
                bookmarks.clear();
            }
            let passed = bookmarks.iter().map(|b| lsn(b)).max().unwrap_or(0);
            transaction.floor = transaction.floor.max(passed);
            let names: Vec<&str> = bookmarks.iter().map(String::as_str).collect();
            transaction.statements.push(Vec::new());
            let answer = self.bolt.run_after(&statement.query, &names);
            let told = Told::from_answer(answer.map(|result| note(&mut transaction, &statement, result)));
            self.end(transaction, told);
        }
    }

    /// Reads every key.
    fn read_all(&mut self) {
        let mut transaction = self.begin();
        self.bolt.begin().expect("nothing else is under way");
        for statement in [all_lists(), all_sets()] {
            self.ask(&mut transaction, &statement).expect("nothing else is under way");
        }
        let told = Told::from_answer(self.bolt.commit());
        assert!(matches!(told, Told::Ok { .. }), "{told:?}");
        self.end(transaction, told);
    }

    fn ask(&mut self, transaction: &mut Transaction, statement: &Statement) -> Result<Summary, QueryError> {
        let append = statement.appends.map(|(key, value)| Op::Append { key, value });
        transaction.statements.push(append.into_iter().collect());
        let mut parameters = Map::new();
        if let Some((key, value)) = statement.appends {
            parameters = parameters.with("id", key).with("v", value);
        }
        let result = self.bolt.run_with(&statement.query, parameters)?;
        Ok(note(transaction, statement, result))
    }

    fn any(&mut self) -> Statement {
        if self.dice.below(5) < 2 { self.writing() } else { self.reading() }
    }

    fn list(&mut self) -> Key {
        LISTS.start + Key::try_from(self.dice.below(8)).expect("it is small")
    }

    fn set(&mut self) -> Key {
        SETS.start + Key::try_from(self.dice.below(4)).expect("it is small")
    }

    fn writing(&mut self) -> Statement {
        let value = self.run.next.fetch_add(1, Ordering::SeqCst);
        let (list, set) = (self.list(), self.set());
        let (query, key, shows) = match self.dice.below(6) {
            0 => (
                "MATCH (k:K {id: $id}) SET k.list = k.list + [$v], k.last = $v RETURN k.list;",
                list,
                Shows::One(list),
            ),
            1 => ("MATCH (k:K {id: $id}) SET k.last = $v, k.list = k.list + [$v];", list, Shows::Nothing),
            2 => (
                "MATCH (k:K) WHERE k.id + 0 = $id SET k += {list: k.list + [$v], last: $v} RETURN k.list;",
                list,
                Shows::One(list),
            ),
            3 => (
                "MATCH (k:K {id: $id}) WITH k, k.list + [$v] AS list DELETE k \
                 CREATE (n:K {id: $id, list: list, last: $v});",
                list,
                Shows::Nothing,
            ),
            4 => {
                ("MATCH (h:H {id: $id}) CREATE (h)-[:E {n: $v}]->(:T {of: $id, n: $v});", set, Shows::Nothing)
            }
            _ => (
                "MATCH (h:H {id: $id}), (k:K {id: 0}) CREATE (h)-[:E {n: $v}]->(h) CREATE (:T {of: $id, n: $v});",
                set,
                Shows::Nothing,
            ),
        };
        Statement { query: query.into(), appends: Some((key, value)), shows }
    }

    fn reading(&mut self) -> Statement {
        let (list, set) = (self.list(), self.set());
        let (query, shows) = match self.dice.below(11) {
            0 | 1 => (format!("MATCH (k:K {{id: {list}}}) RETURN k.list;"), Shows::One(list)),
            2 => (format!("MATCH (k) WHERE k:K AND k.id + 0 = {list} RETURN k.list;"), Shows::One(list)),
            3 => return all_lists(),
            4 => ("MATCH (k:K) WHERE k.last >= 0 RETURN k.id, k.list;".into(), Shows::Each(LISTS.collect())),
            5 => (
                format!("MATCH (k:K) WHERE k.id >= {list} RETURN k.id, k.list;"),
                Shows::Each((list..LISTS.end).collect()),
            ),
            6 => (format!("MATCH (:H {{id: {set}}})-[e:E]->() RETURN collect(e.n);"), Shows::One(set)),
            7 => (format!("MATCH ()<-[e:E]-(h:H) WHERE h.id = {set} RETURN collect(e.n);"), Shows::One(set)),
            8 => (format!("MATCH (t:T {{of: {set}}}) RETURN collect(t.n);"), Shows::One(set)),
            9 => ("MATCH (t:T) RETURN t.of, t.n;".into(), Shows::Pairs(SETS.collect())),
            _ => return all_sets(),
        };
        Statement { query, appends: None, shows }
    }
}

fn all_lists() -> Statement {
    let query = "MATCH (k:K) RETURN k.id, k.list;".into();
    Statement { query, appends: None, shows: Shows::Each(LISTS.collect()) }
}

fn all_sets() -> Statement {
    let query = "MATCH (h:H)-[e:E]->() RETURN h.id, e.n;".into();
    Statement { query, appends: None, shows: Shows::Pairs(SETS.collect()) }
}

/// Enters what a statement has shown.
fn note(transaction: &mut Transaction, statement: &Statement, result: QueryResult) -> Summary {
    let said = || format!("{}: {}: {:?}", transaction, statement.query, result.rows);
    let mut found: BTreeMap<Key, Vec<i64>> = BTreeMap::new();
    match &statement.shows {
        Shows::Nothing => {}
        Shows::One(key) => {
            let [row] = &result.rows[..] else { panic!("one row was wanted: {}", said()) };
            found.insert(*key, numbers(&row[0]));
        }
        Shows::Each(keys) => {
            for row in &result.rows {
                let before = found.insert(number(&row[0]), numbers(&row[1]));
                assert!(before.is_none(), "a key is there twice: {}", said());
            }
            assert!(found.keys().eq(keys.iter()), "a key is not there: {}", said());
        }
        Shows::Pairs(keys) => {
            found.extend(keys.iter().map(|key| (*key, Vec::new())));
            for row in &result.rows {
                found.entry(number(&row[0])).or_default().push(number(&row[1]));
            }
        }
    }
    let ops = transaction.statements.last_mut().expect("it is entered before it is asked");
    ops.extend(found.into_iter().map(|(key, values)| Op::Read { key, values }));
    result.summary
}

fn number(value: &PackValue) -> i64 {
    match value {
        PackValue::Int(n) => *n,
        other => panic!("a number was wanted, not {other:?}"),
    }
}

fn numbers(value: &PackValue) -> Vec<i64> {
    match value {
        PackValue::List(items) => items.iter().map(number).collect(),
        other => panic!("a list was wanted, not {other:?}"),
    }
}
