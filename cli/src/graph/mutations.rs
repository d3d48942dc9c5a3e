//! Every reader of files that others wrote, as a plain function over bytes, on inputs that are right and on seeded
//! mutations of them. None may panic, hang or take memory out of proportion, and each has what must hold of whatever it
//! reads.

use std::fmt::Write as _;
use std::io::{BufReader, Read};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::archive::{About, Backup, Writer as ArchiveWriter};
use super::csv::{CsvError, Header, Ids, Records, Row};
use super::cypherl::{Form, Group, Writer};
use super::digest::Summing;
use super::statements::{SplitError, Statement, Statements};
use crate::error::{Problem, Severity};
use crate::topology;

/// Mutations of a target.
const COUNT: u64 = 10_000;

/// A topology takes about a millisecond.
const COUNT_OF_TOPOLOGIES: u64 = 3_000;

const SEED: u64 = 1;

/// Runs a target on its corpus and on mutations of it.
fn run(name: &str, corpus: Vec<Vec<u8>>, count: u64, target: impl Fn(&[u8])) {
    mg_fuzz::run(name, corpus, count, SEED, target);
}

fn without_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// Whether there is such a line, and such a column in it or right behind its end.
fn is_place(text: &[u8], line: u32, column: u32) -> bool {
    let found = (line as usize).checked_sub(1).and_then(|i| text.split(|b| *b == b'\n').nth(i));
    found.is_some_and(|l| (1..=String::from_utf8_lossy(l).chars().count() + 1).contains(&(column as usize)))
}

const CSVS: [&str; 7] = [
    "0id:ID(P),name,born:int,tags:string[],:LABEL\r\n1,Ada,1815,a;b,Person;Writer\r\n2,\"A, \"\"B\"\"\",,\"\",\n",
    "0\u{feff}:ID,text\n1,\"more\nlines\"\n\n2,\"é\"\n",
    "1n:ID{id-type:long};x:float;y:boolean;z:long[]\n1;1.5;true;1\n2;-1e300;FALSE;\n",
    "0d:date,t:localtime,l:localdatetime,m:datetime\n2024-02-29,13:45:00.5,1969-12-31T23:59:59,\
     2024-02-29T13:45:00+01:00\n-0044-03-15,23:00,9999-12-31 00:00,2024-02-29T13:45:00-9223372036854775807:9\n",
    "2:ID\tname:string\n1\tx\n",
    "4:ID(P),a,:IGNORE\n1,2,3\n2,3,4\n",
    "8:ID,name\n1,\"x\n",
];

/// The records, as text and whether it was quoted, up to an error.
fn records(text: &[u8], delimiter: u8, piece: usize) -> (Vec<Vec<(String, bool)>>, Option<CsvError>) {
    let mut records = Records::new(BufReader::with_capacity(piece, text), delimiter);
    let mut all = Vec::new();
    loop {
        match records.read_next() {
            Ok(Some(record)) => {
                all.push(record.fields().map(|f| (f.text.to_owned(), f.is_quoted)).collect());
            }
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Any bytes are records up to an error with its place. With every field in quotes they mean the same. The first byte
/// says how the rest is read.
fn csv_records(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    let delimiter = b",;\t|"[usize::from(how & 3)];
    let (found, error) = records(text, delimiter, 1 << 16);
    assert_eq!(records(text, delimiter, 3), (found.clone(), error.clone()), "pieces make no difference");
    if let Some(CsvError { line, column, what }) = error {
        assert!(is_place(without_order_mark(text), line, column), "{line}:{column} {what}");
    }
    let size: usize = found.iter().flatten().map(|(text, _)| text.len()).sum();
    assert!(size <= text.len(), "nothing is made up");
    let mut written = String::new();
    for record in &found {
        let fields: Vec<String> =
            record.iter().map(|(text, _)| format!("\"{}\"", text.replace('"', "\"\""))).collect();
        writeln!(written, "{}", fields.join(&char::from(delimiter).to_string())).unwrap();
    }
    let quoted = |record: &Vec<(String, bool)>| record.iter().map(|(text, _)| (text.clone(), true)).collect();
    let again: Vec<Vec<(String, bool)>> = found.iter().map(quoted).collect();
    assert_eq!(records(written.as_bytes(), delimiter, 1 << 16), (again, None), "{written}");
}

/// What a header and its rows say is written as statements, or is refused by its place.
fn csv_rows(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    if let Err(CsvError { line, column, what }) = read_rows(*how, text) {
        assert!(is_place(without_order_mark(text), line, column), "{line}:{column} {what}");
    }
}

fn read_rows(how: u8, text: &[u8]) -> Result<(), CsvError> {
    let mut records = Records::new(text, b",;\t|"[usize::from(how & 3)]);
    let names = if how & 4 == 0 { Vec::new() } else { vec!["Named".to_owned()] };
    let Some(first) = records.read_next()? else { return Ok(()) };
    let header = Header::parse(first, names, ';')?;
    // So that files of edges find some.
    let (mut ids, mut writer) = (Ids::default(), Writer::new(Form::Parameter));
    let vertices = b"a:ID,:IGNORE\n1,x\n2,x\n";
    let mut before = Records::new(&vertices[..], b',');
    let of_vertices = Header::parse(before.read_next()?.expect("it has a header"), Vec::new(), ';')?;
    while let Some(record) = before.read_next()? {
        of_vertices.row(record, &mut ids)?;
    }
    let (mut count, mut size) = (0, 0);
    let mut look = |groups: Vec<Group>| {
        for group in groups {
            assert!(group.text().starts_with("UNWIND "), "{}", group.text());
            count += group.len();
            size += group.size();
        }
    };
    let (mut rows, mut last) = (0, 1);
    let mut wrong = None;
    loop {
        let record = match records.read_next() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(error) => {
                wrong = Some(error);
                break;
            }
        };
        let full = match header.row(record, &mut ids) {
            Ok(Row::Vertex { id, labels, properties }) => {
                assert!(id > last, "ids are given one after the other");
                last = id;
                writer.vertex_row(id, labels, properties, record.line())
            }
            Ok(Row::Edge { start, end, kind, properties }) => {
                assert!(header.is_edges() && [start, end].iter().all(|id| (0..2).contains(id)));
                writer.edge_row([start, end], kind, properties, record.line())
            }
            Err(error) => {
                wrong = Some(error);
                break;
            }
        };
        look(full.expect("CSV has no value without a text"));
        rows += 1;
    }
    look(writer.flush());
    assert_eq!(count, rows);
    assert!(size <= 1000 * (text.len() + 1), "{size} of {}", text.len());
    wrong.map_or(Ok(()), Err)
}

#[test]
fn csv() {
    let corpus = || {
        let edges =
            ["0:START_ID,:END_ID,since:date,:TYPE\n1,2,2024-02-29,KNOWS\n", "4:START_ID,:END_ID\n2,1\n"];
        CSVS.iter().chain(&edges).map(|text| text.as_bytes().to_vec()).collect()
    };
    run("csv_records", corpus(), COUNT, csv_records);
    run("csv_rows", corpus(), COUNT, csv_rows);
}

const STATEMENTS: [&str; 5] = [
    "CREATE (:A {s: 'a;\\'b'}); // one; two\n\n  /* x; */ MATCH (`n;\"`)\nRETURN 1;;\n// end",
    "\u{feff}:begin\nCREATE (a);\n:commit\n:auto CREATE\n(b);\r\nCREATE (c:A);",
    "RETURN 4/2;RETURN 6 / /* ; */ 3; RETURN 'é' /; RETURN \"\\\"\"",
    "UNWIND [[0, \"Ada\"]] AS r CREATE (:`__mg_vertex__`:`Per``son` {`__mg_id__`: r[0], `name`: r[1]});\n",
    "// x\n/* y */ // z\n:auto\n\u{3000}RETURN 1 ;\u{a0}\n;",
];

fn split(text: &[u8], piece: usize) -> (Vec<Statement>, Option<(u32, u32, String)>) {
    let mut statements = Statements::new(BufReader::with_capacity(piece, text));
    let mut all = Vec::new();
    loop {
        match statements.read_next() {
            Ok(Some(statement)) => all.push(statement),
            Ok(None) => {
                assert_eq!(statements.bytes(), text.len() as u64);
                return (all, None);
            }
            Err(SplitError::Text { line, column, what }) => return (all, Some((line, column, what))),
            Err(SplitError::Read(error)) => panic!("memory can be read: {error}"),
        }
    }
}

/// Each statement stands in the text where it says that it begins, and splits into itself.
fn statements(bytes: &[u8]) {
    let (found, error) = split(bytes, 1 << 16);
    assert_eq!(split(bytes, 1), (found.clone(), error.clone()), "pieces make no difference");
    let text = without_order_mark(bytes);
    if let Some((line, column, what)) = error {
        assert!(is_place(text, line, column), "{line}:{column} {what}");
        assert!(what != "it is not UTF-8" || std::str::from_utf8(bytes).is_err(), "it is");
    }
    let mut end = 0;
    for Statement { text: statement, line, column } in found {
        let begin = offset(text, line, column).expect("it begins in the text");
        assert!(
            begin >= end && text[begin..].starts_with(statement.as_bytes()),
            "{line}:{column} {statement}"
        );
        end = begin + statement.len();
        assert!(!statement.is_empty());
        let again = Statement { text: statement, line: 1, column: 1 };
        let (same, error) = split(format!("{};", again.text).as_bytes(), 1 << 16);
        // What follows `:auto`, or an order mark within the text, is left as it is.
        if !again.text.contains("//") && !again.text.starts_with([':', '/', '\u{feff}']) {
            assert_eq!((same, error), (vec![again], None));
        }
    }
}

/// Returns where in a text a character is; what is before it is UTF-8.
fn offset(text: &[u8], line: u32, column: u32) -> Option<usize> {
    let breaks = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    let begin = std::iter::once(0).chain(breaks).nth(line as usize - 1)?;
    let is_first = |(_, byte): &(usize, &u8)| **byte & 0xC0 != 0x80;
    let found = text[begin..].iter().enumerate().filter(is_first).nth(column as usize - 1);
    found.map(|(at, _)| begin + at)
}

#[test]
fn statements_of_a_text() {
    run("statements", STATEMENTS.map(|text| text.as_bytes().to_vec()).into(), COUNT, statements);
}

/// Backups of some statements, in pieces, and their texts.
fn backups(folder: &Path) -> (Vec<Vec<u8>>, Vec<String>) {
    let about = || About {
        cluster: "demo".into(),
        node: "main".into(),
        server: "x".into(),
        taken: 1_795_732_821,
        position: Value::Null,
    };
    let write = |statements: &[&str]| {
        let path = folder.join(format!("{}.tar", statements.len()));
        let mut writer = ArchiveWriter::create(&path, about().taken).unwrap();
        statements.iter().for_each(|statement| writer.statement(statement).unwrap());
        writer.finish(&about(), Summing::default().digest(), &["trigger t".into()]).unwrap();
        let text = statements.iter().map(|statement| format!("{statement};\n")).collect();
        (std::fs::read(path).unwrap(), text)
    };
    let all: [&[&str]; 3] = [&[], &["CREATE (:A)"], &["CREATE (:A {x: 'é'})", "CREATE (:B)"]];
    all.map(write).into_iter().unzip()
}

/// Opens what is in the bytes, and returns the text of what is no damaged backup.
fn opened(folder: &Path, bytes: &[u8]) -> Option<(Backup, String)> {
    let path = folder.join("mutation.tar");
    let backup = match Backup::read(&path, bytes) {
        Ok(backup) => backup,
        Err(error) => {
            let code = error.problem().code.unwrap_or_default();
            assert!(["MG100", "MG101", "MG102"].contains(&code), "{error}");
            return None;
        }
    };
    assert!(backup.bytes <= bytes.len() as u64, "nothing is made up");
    std::fs::write(&path, bytes).unwrap();
    let mut text = String::new();
    backup.text().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.len() as u64, backup.bytes);
    Some((backup, text))
}

/// Sets the checksums of the entries and of the manifest to what they are, so that mutations get past them.
fn mend(bytes: &mut [u8]) {
    let mut manifest: Option<String> = None;
    let mut at = 0;
    while at + 512 <= bytes.len() {
        let header = &mut bytes[at..at + 512];
        if header.iter().all(|byte| *byte == 0) {
            return;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).ok();
        let Some(size) = size.and_then(|text| usize::from_str_radix(text, 8).ok()) else { return };
        let is_named = |name: &[u8]| header.starts_with(name) && header[name.len()] == 0;
        let (is_manifest, is_checksum) = (is_named(b"manifest.json"), is_named(b"manifest.json.sha256"));
        let begin = at + 512;
        let Some(data) = bytes.get_mut(begin..begin.saturating_add(size)) else { return };
        if is_manifest {
            manifest = Some(Sha256::digest(&*data).iter().map(|byte| format!("{byte:02x}")).collect());
        } else if let (true, Some(sum), true) = (is_checksum, &manifest, size >= 64) {
            data[..64].copy_from_slice(sum.as_bytes());
        }
        at = begin + size.div_ceil(512) * 512;
    }
}

#[test]
fn backups_are_found_damaged_or_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, texts) = backups(folder.path());
    for (bytes, text) in corpus.iter().zip(&texts) {
        assert_eq!(&opened(folder.path(), bytes).unwrap().1, text);
    }
    run("backups", corpus, COUNT, |bytes| {
        if let Some((_, text)) = opened(folder.path(), bytes) {
            assert!(texts.contains(&text), "{text:?}");
        }
    });
}

#[test]
fn backups_with_checksums_of_whatever_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, _) = backups(folder.path());
    let taken = std::cell::Cell::new(0);
    run("backups", corpus, COUNT, |bytes| {
        let mut bytes = bytes.to_vec();
        mend(&mut bytes);
        if let Some((backup, _)) = opened(folder.path(), &bytes) {
            let pieces = backup.manifest["pieces"].as_array().expect("it has pieces");
            let listed: u64 = pieces.iter().filter_map(|piece| piece["bytes"].as_u64()).sum();
            assert_eq!(listed, backup.bytes);
            taken.set(taken.get() + 1);
        }
    });
    assert!(taken.get() > 100, "{} get past the checksums", taken.get());
}

const TOPOLOGIES: [&str; 4] = [
    "name: demo\ninstances:\n  main: { role: main }\n  r1: { role: replica }\n",
    "name: demo # x\ntls: { mode: none }\nnetwork: { subnet: 10.1.0.0/24, mtu: 1400 }\nports: { bolt: 7700 }\n\
     instances:\n  - name: main\n    role: main\n    memory: 512MiB\n    cpus: 1.5\n  - { name: r1, role: replica, mode: ASYNC }\n",
    "name: \"${NAME:-demo}\"\nx: &more\n  role: replica\ninstances:\n  main: { role: main }\n  r1: { <<: *more }\n  \
     r2: { <<: *more, failover_priority: 2 }\nwait: { until: redundant, timeout: 90s }\n",
    "# text\nname: é\nauth: { username: u, password: \"p$$w\" }\ninstances: { main: { role: main, env: { A: b } } }\n",
];

fn load(name: &str, text: &str) -> Result<topology::Loaded, Vec<Problem>> {
    let source =
        topology::Source { name: name.into(), directory: "no-such-directory".into(), text: text.into() };
    topology::load(&source, &|name| (name == "SET").then(|| "from-env".to_owned()))
}

/// A file is a topology, which is the same when it is written and read again, or has a problem at a place.
fn topology_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // YAML knows more ends of a line than there are in other files.
    let lines = 1 + text.chars().filter(|c| "\n\r\u{85}\u{2028}\u{2029}".contains(*c)).count();
    match load("topology.yaml", &text) {
        Ok(loaded) => {
            let yaml = topology::to_yaml(&loaded.topology).unwrap();
            let again = load("again.yaml", &yaml).unwrap_or_else(|problems| panic!("{yaml}\n{problems:?}"));
            assert_eq!(topology::to_yaml(&again.topology).unwrap(), yaml);
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error), "{problems:?}");
            for problem in problems {
                assert!(!problem.render(false).is_empty());
                let line = problem.place.as_ref().map_or(0, |place| place.line);
                assert!(line as usize <= lines, "{problem:?}");
            }
        }
    }
}

#[test]
fn topologies() {
    run(
        "topologies",
        TOPOLOGIES.map(|text| text.as_bytes().to_vec()).into(),
        COUNT_OF_TOPOLOGIES,
        topology_file,
    );
}
