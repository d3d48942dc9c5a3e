//! Every query of the openCypher TCK through parser and analysis: the valid ones pass, and those with
//! a compile-time error get the error that is expected. Running them is another test's business.

use mgcypher::ast::{Name, Statement};
use mgcypher::semantics::{Analyzed, ArgumentKind, Arity, Catalog, ProcedureShape, VariableKind, analyze};
use mgcypher::{CypherError, parse};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Scenarios that pass, of all that can be judged here. May only rise.
const PASSED_MIN: usize = 3249;

#[test]
fn every_query_of_the_tck_is_accepted_or_refused_as_it_says() {
    let Some(folder) = tck_folder() else {
        println!("ignored: no openCypher TCK in `TCK_DIR` or `../shared/tck`");
        return;
    };
    let mut files = Vec::new();
    feature_files(&folder.join("features"), &mut files);
    files.sort();
    let (mut passed, mut failures) = (0, Vec::new());
    let (mut valid, mut invalid) = (0, 0);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for scenario in scenarios(&text) {
            match scenario.expected {
                Expected::CompileError(_) => invalid += 1,
                _ => valid += 1,
            }
            match scenario.judge() {
                Ok(()) => passed += 1,
                Err(reason) => {
                    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
                    failures.push(format!("{name} {}: {reason}", scenario.name));
                }
            }
        }
    }
    println!(
        "TCK: {passed} of {} pass parser and analysis ({valid} valid, {invalid} not)",
        passed + failures.len()
    );
    for failure in &failures {
        println!("  {failure}");
    }
    assert!(passed >= PASSED_MIN, "{passed} pass, {PASSED_MIN} did before");
}

fn tck_folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("TCK_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tck"),
    };
    folder.join("features").is_dir().then_some(folder)
}

fn feature_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            feature_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "feature") {
            files.push(path);
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Result,
    /// Kind and detail.
    CompileError((String, String)),
    /// The query is well formed and fails when it runs, or needs its parameters to be judged.
    LaterError,
    /// Detail; found whenever.
    AnyTimeError,
}

#[derive(Clone, Debug)]
struct Scenario {
    name: String,
    /// Queries that prepare the graph, or ask about it afterwards.
    others: Vec<String>,
    query: String,
    expected: Expected,
    procedures: Vec<String>,
}

impl Scenario {
    fn judge(&self) -> Result<(), String> {
        let catalog = TestCatalog::new(&self.procedures);
        for query in &self.others {
            check(query, &catalog).map_err(|error| format!("{error}\n{query}"))?;
        }
        let outcome = check(&self.query, &catalog);
        match (&self.expected, outcome) {
            (Expected::Result | Expected::LaterError, Ok(_)) | (Expected::AnyTimeError, _) => Ok(()),
            (Expected::CompileError((kind, detail)), Err(error))
                if error.kind.word() == kind && error.detail == detail && error.line > 0 =>
            {
                Ok(())
            }
            (expected, Ok(_)) => Err(format!("accepted, {expected:?} expected\n{}", self.query)),
            (expected, Err(error)) => Err(format!("{error}, {expected:?} expected\n{}", self.query)),
        }
    }
}

fn check(query: &str, catalog: &TestCatalog) -> Result<Analyzed, CypherError> {
    match parse(query)? {
        Statement::Query(parsed) => analyze(&parsed, catalog),
        other => panic!("no query: {other:?}"),
    }
}

/// Reads the scenarios of a feature, outlines expanded.
fn scenarios(text: &str) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("Scenario") {
            blocks.push(Vec::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push(line);
        }
    }
    for block in blocks {
        let examples = block.iter().position(|line| line.trim().starts_with("Examples:"));
        let (body, tables) = block.split_at(examples.unwrap_or(block.len()));
        let mut rows: Vec<BTreeMap<String, String>> = Vec::new();
        let mut header: Vec<String> = Vec::new();
        for line in tables.iter().map(|line| line.trim()) {
            if line.starts_with("Examples:") {
                header.clear();
            } else if line.starts_with('|') && header.is_empty() {
                header = cells(line);
            } else if line.starts_with('|') {
                rows.push(header.iter().cloned().zip(cells(line)).collect());
            }
        }
        if examples.is_none() {
            rows.push(BTreeMap::new());
        }
        for row in rows {
            let body = body.iter().map(|line| {
                row.iter()
                    .fold(line.to_string(), |line, (key, value)| line.replace(&format!("<{key}>"), value))
            });
            all.extend(scenario(&body.collect::<Vec<_>>()));
        }
    }
    all
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    inner.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

fn scenario(lines: &[String]) -> Option<Scenario> {
    let name = lines[0].trim().trim_start_matches("Scenario Outline:").trim_start_matches("Scenario:").trim();
    let mut scenario = Scenario {
        name: name.into(),
        others: Vec::new(),
        query: String::new(),
        expected: Expected::Result,
        procedures: Vec::new(),
    };
    let mut step = String::new();
    let mut at = 1;
    while at < lines.len() {
        let line = lines[at].trim();
        at += 1;
        if line == "\"\"\"" {
            let end = (at..lines.len()).find(|n| lines[*n].trim() == "\"\"\"").unwrap();
            let text = lines[at..end].join("\n");
            at = end + 1;
            if step.contains("executing query:") {
                scenario.query = text;
            } else {
                scenario.others.push(text);
            }
            continue;
        }
        step = line.into();
        if let Some((_, procedure)) = line.split_once("there exists a procedure ") {
            scenario.procedures.push(procedure.trim_end_matches(':').into());
        }
        if let Some((error, rest)) = line.split_once(" should be raised at ") {
            let kind = error.rsplit(' ').next().unwrap().to_string();
            let (phase, detail) = rest.split_once(": ").unwrap();
            scenario.expected = match phase {
                "compile time" if kind != "ParameterMissing" => {
                    Expected::CompileError((kind, detail.trim().into()))
                }
                "any time" => Expected::AnyTimeError,
                _ => Expected::LaterError,
            };
        }
    }
    (!scenario.query.is_empty()).then_some(scenario)
}

// ---------------------------------------------------------------------------------------- catalog

struct TestCatalog {
    procedures: BTreeMap<String, ProcedureShape>,
}

impl TestCatalog {
    /// Reads `name(arg :: TYPE?, ...) :: (field :: TYPE?, ...)`.
    fn new(texts: &[String]) -> Self {
        let mut procedures = BTreeMap::new();
        for text in texts {
            let (name, rest) = text.split_once('(').unwrap();
            let (args, fields) = rest.split_once(") :: ").unwrap();
            let pairs = |list: &str| -> Vec<(Name, String)> {
                let list = list.trim().trim_start_matches('(').trim_end_matches(')');
                list.split(',')
                    .filter_map(|pair| pair.split_once("::"))
                    .map(|(name, kind)| (name.trim().into(), kind.trim().trim_end_matches('?').into()))
                    .collect()
            };
            let args: Vec<(Name, ArgumentKind)> = pairs(args)
                .into_iter()
                .map(|(name, kind)| {
                    let kind = match kind.as_str() {
                        "STRING" => ArgumentKind::String,
                        "INTEGER" => ArgumentKind::Integer,
                        "FLOAT" => ArgumentKind::Float,
                        "NUMBER" => ArgumentKind::Number,
                        "BOOLEAN" => ArgumentKind::Boolean,
                        _ => ArgumentKind::Any,
                    };
                    (name, kind)
                })
                .collect();
            let fields = pairs(fields).into_iter().map(|(name, _)| (name, VariableKind::Unknown)).collect();
            let args_needed = args.len();
            let shape = ProcedureShape { args, args_needed, fields, writes: false };
            procedures.insert(name.to_string(), shape);
        }
        TestCatalog { procedures }
    }
}

const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("abs", 1, 1),
    ("acos", 1, 1),
    ("asin", 1, 1),
    ("atan", 1, 1),
    ("atan2", 2, 2),
    ("ceil", 1, 1),
    ("coalesce", 1, usize::MAX),
    ("cos", 1, 1),
    ("cot", 1, 1),
    ("date", 0, 1),
    ("date.truncate", 2, 3),
    ("datetime", 0, 1),
    ("datetime.fromepoch", 2, 2),
    ("datetime.fromepochmillis", 1, 1),
    ("datetime.truncate", 2, 3),
    ("degrees", 1, 1),
    ("duration", 1, 1),
    ("duration.between", 2, 2),
    ("duration.indays", 2, 2),
    ("duration.inmonths", 2, 2),
    ("duration.inseconds", 2, 2),
    ("e", 0, 0),
    ("endnode", 1, 1),
    ("exp", 1, 1),
    ("floor", 1, 1),
    ("haversin", 1, 1),
    ("head", 1, 1),
    ("id", 1, 1),
    ("keys", 1, 1),
    ("labels", 1, 1),
    ("last", 1, 1),
    ("left", 2, 2),
    ("length", 1, 1),
    ("localdatetime", 0, 1),
    ("localdatetime.truncate", 2, 3),
    ("localtime", 0, 1),
    ("localtime.truncate", 2, 3),
    ("log", 1, 1),
    ("log10", 1, 1),
    ("ltrim", 1, 1),
    ("nodes", 1, 1),
    ("pi", 0, 0),
    ("point", 1, 1),
    ("properties", 1, 1),
    ("radians", 1, 1),
    ("rand", 0, 0),
    ("range", 2, 3),
    ("relationships", 1, 1),
    ("replace", 3, 3),
    ("reverse", 1, 1),
    ("right", 2, 2),
    ("round", 1, 1),
    ("rtrim", 1, 1),
    ("sign", 1, 1),
    ("sin", 1, 1),
    ("size", 1, 1),
    ("split", 2, 2),
    ("sqrt", 1, 1),
    ("startnode", 1, 1),
    ("substring", 2, 3),
    ("tail", 1, 1),
    ("tan", 1, 1),
    ("time", 0, 1),
    ("time.truncate", 2, 3),
    ("timestamp", 0, 0),
    ("toboolean", 1, 1),
    ("tofloat", 1, 1),
    ("tointeger", 1, 1),
    ("tolower", 1, 1),
    ("tostring", 1, 1),
    ("toupper", 1, 1),
    ("trim", 1, 1),
    ("type", 1, 1),
    ("date.transaction", 0, 1),
    ("date.statement", 0, 1),
    ("date.realtime", 0, 1),
    ("localtime.transaction", 0, 1),
    ("localtime.statement", 0, 1),
    ("localtime.realtime", 0, 1),
    ("time.transaction", 0, 1),
    ("time.statement", 0, 1),
    ("time.realtime", 0, 1),
    ("localdatetime.transaction", 0, 1),
    ("localdatetime.statement", 0, 1),
    ("localdatetime.realtime", 0, 1),
    ("datetime.transaction", 0, 1),
    ("datetime.statement", 0, 1),
    ("datetime.realtime", 0, 1),
];

impl Catalog for TestCatalog {
    fn function(&self, name: &str) -> Option<Arity> {
        let found = FUNCTIONS.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, min, max)| Arity { min: *min, max: *max })
    }

    fn function_names(&self) -> Vec<&str> {
        FUNCTIONS.iter().map(|(name, _, _)| *name).collect()
    }

    fn procedure(&self, name: &str) -> Option<ProcedureShape> {
        self.procedures.get(name).cloned()
    }
}
