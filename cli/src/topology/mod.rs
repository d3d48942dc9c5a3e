//! From the YAML that asks for a cluster to a [`Topology`] with every default filled in, or to every problem of
//! the file at once, each with its line.
//!
//! `tree` reads the YAML into a tree in which every value knows its place. `read` walks it by the table in `keys`,
//! puts in variables (`interpolate`) and yields typed sections. `build` fills in defaults. `check` holds the rules
//! that span more than one value. All of them write into one `report`, and only a file without errors becomes a
//! [`Topology`]. `schema` is the same table as JSON Schema.
//!
//! Nothing here asks an engine or a node: whether a port or a subnet is free is found out later. Keys of the format
//! that this version does not serve are refused by name, never ignored.

mod build;
mod certificates;
mod check;
mod container;
mod duration;
mod edit;
mod endpoint;
mod env_file;
mod interpolate;
mod keys;
mod model;
mod notes;
mod read;
mod report;
mod resolved;
mod schema;
mod secret;
mod set;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Problem, Severity};

pub use certificates::{CertificateFile, CertificateFiles};
pub use check::{is_cluster_name, is_symbol};
pub use container::{
    Container, Healthcheck, Logging, MorePorts, Mounted, Over, Pull, Restart, ULIMITS, Ulimit, without_effect,
};
pub use duration::{parse_duration, parse_size, show_duration, show_size};
pub use edit::{with_node, without_node};
pub use endpoint::Endpoint;
pub use model::*;
pub use notes::notes;
pub use report::{list, nearest};
pub use resolved::{to_json, to_yaml};
pub use schema::json_schema;
pub use secret::{Auth, License, PasswordSource, Secret};

/// The version of topology files that this mgctl reads.
pub const API_VERSION: &str = "mgctl/v1";

/// What an empty file is answered with.
const QUICKSTART: &str = "begin with this:\nname: quickstart\ninstances:\n  main: { role: main }\n  \
    rep1: { role: replica, mode: SYNC, register_as: REP1 }\n  rep2: { role: replica, mode: ASYNC, register_as: REP2 }";

/// The text of a topology and where it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file as the user named it.
    pub name: Arc<str>,
    /// What relative paths in the file start from.
    pub directory: PathBuf,
    /// The YAML.
    pub text: String,
}

/// A topology without errors.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// With every default filled in.
    pub topology: Topology,
    /// What is doubtful in it.
    pub warnings: Vec<Problem>,
    /// Why certificates of `tls.folder` cannot be used. Only what gives certificates to nodes cannot do without.
    pub certificate_problems: Vec<Problem>,
}

/// Reads a topology. `variable` answers for the environment.
///
/// # Errors
///
/// All problems of the file, warnings among them.
pub fn load(source: &Source, variable: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Problem>> {
    load_with(source, &[], variable)
}

/// As [`load`], with values that the command line sets over those of the file: keys with dots, and YAML.
///
/// # Errors
///
/// As there.
pub fn load_with(
    source: &Source,
    sets: &[(String, String)],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Problem>> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut report = report::Report::new(source.name.clone(), text);
    report.set(sets);
    let mut root = match tree::read(text) {
        Ok(root) => root,
        Err(error) => {
            syntax(&mut report, text, &error);
            return Err(report.finish());
        }
    };
    set::apply(&mut root, sets, &mut report);
    let entries = match &root.value {
        tree::Value::Map(entries) => entries.as_slice(),
        tree::Value::Null => {
            report
                .error("MG003", tree::Span::default(), "the topology is empty")
                .help
                .push(QUICKSTART.into());
            return Err(report.finish());
        }
        value => {
            let what = format!("a topology must be a mapping, got {}", value.kind());
            report.error("MG003", root.span, what).help.push(QUICKSTART.into());
            return Err(report.finish());
        }
    };
    hide_password(entries, &mut report);
    let known = env_files(entries, &source.directory, variable, &mut report);
    let variable = |name: &str| variable(name).or_else(|| known.get(name).cloned());
    let mut reader = read::Reader { report: &mut report, variable: &variable };
    let file = reader.section(entries, &keys::FILE, "");
    let draft = build::Draft::new(&file, &source.directory, &variable, &mut report);
    check::check(&draft, &mut report);
    if report.has_errors() {
        return Err(report.finish());
    }
    let mut topology = draft.finish(&report);
    if let Some(files) = &mut topology.tls_files {
        let span = file.section("tls").and_then(|tls| tls.span("folder")).unwrap_or_default();
        let nodes: Vec<&str> = topology.instances.iter().map(|i| i.name.as_str()).collect();
        *files = certificates::read(&files.folder, &topology.name, &nodes, span, &mut report);
    }
    // There was no error before them.
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    let (certificate_problems, warnings) = report.finish().into_iter().partition(is_error);
    Ok(Loaded { topology, warnings, certificate_problems })
}

/// Keeps a password that stands in the file out of every problem of the file.
fn hide_password(entries: &[(tree::Node, tree::Node)], report: &mut report::Report<'_>) {
    let named =
        |name: &'static str| move |entry: &&(tree::Node, tree::Node)| entry.0.value.scalar() == Some(name);
    for (_, auth) in entries.iter().filter(named("auth")) {
        let tree::Value::Map(entries) = &auth.value else { continue };
        for (_, password) in entries.iter().filter(named("password")) {
            if password.value.scalar().is_some_and(|text| !text.contains("${")) {
                report.hide(password.span);
            }
        }
    }
}

/// Reads the files of `env_file`, which the rest of the topology may already name variables of.
fn env_files(
    entries: &[(tree::Node, tree::Node)],
    directory: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    report: &mut report::Report<'_>,
) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    let Some((_, node)) = entries.iter().find(|(key, _)| key.value.scalar() == Some("env_file")) else {
        return known;
    };
    let named = match &node.value {
        tree::Value::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    for node in named {
        // What is not the name of a file is in the report when the key itself is read.
        let Some(Ok(name)) = node.value.scalar().map(|text| interpolate::interpolate(text, variable)) else {
            continue;
        };
        let path = directory.join(&name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                let why = match error.kind() {
                    std::io::ErrorKind::NotFound => "no such file".to_owned(),
                    std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
                    std::io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
                    _ => error.to_string(),
                };
                report
                    .error("MG001", node.span, format!("cannot read `{}`: {why}", path.display()))
                    .help
                    .push("the path starts from the directory of the topology".into());
                continue;
            }
        };
        if let Err(wrong) = env_file::read(&text, &mut known, variable) {
            let what = format!("`{}`, line {}: {}", path.display(), wrong.line, wrong.what);
            report.error("MG007", node.span, what).help.push("a line is `NAME=value`".into());
        }
    }
    known
}

/// Reports that the text is no YAML, with a word on the mistakes that are made most.
fn syntax(report: &mut report::Report<'_>, text: &str, error: &tree::SyntaxError) {
    let line = text.lines().nth(error.span.line.saturating_sub(1) as usize).unwrap_or("");
    let what = match error.message.contains("limits breached") || error.message.contains("recursion limit") {
        true => "nested too deep, or too large, for a topology".to_owned(),
        false => format!("not valid YAML: {}", error.message),
    };
    let problem = report.error("MG002", error.span, what);
    let indent = &line[..line.len() - line.trim_start().len()];
    if indent.contains('\t') {
        problem.help.push("indent with spaces".into());
    } else if line.contains("${") && line.contains('{') {
        problem.help.push("inside of `{ }` and `[ ]` a variable needs quotes: `\"${NAME}\"`".into());
    } else if error.message.contains("flow") {
        problem.help.push("close every `{` and `[` that is open before this".into());
    }
}
