//! Values that the command line sets over the file: `--set instances.r1.mode=ASYNC`.
//!
//! A value is YAML, so that `--set 'instances.r2={role: replica}'` adds a node. It counts as if it stood in the file:
//! variables are put in and every rule looks at it; a problem with it is at that `--set`.

use super::report::Report;
use super::tree::{self, Node, Span, Value};

/// Puts the value of each `KEY=VALUE` where its key says, the later over the earlier.
pub(super) fn apply(root: &mut Node, sets: &[(String, String)], report: &mut Report<'_>) {
    for (index, (path, text)) in sets.iter().enumerate() {
        let span = Span::of_set(index);
        let mut value = match tree::read(text) {
            Ok(value) => value,
            Err(error) => {
                report.error(
                    "MG002",
                    span,
                    format!("the value of `{path}` is not valid YAML: {}", error.message),
                );
                continue;
            }
        };
        put_span(&mut value, span);
        if is_password(path, &value) {
            report
                .error("MG026", span, "a password on the command line is seen by every user of this machine")
                .help
                .push("`--set auth.password_env=MG_PASSWORD`, or `auth.password_file`".into());
            continue;
        }
        let parts: Vec<&str> = path.split('.').collect();
        if parts.iter().any(|part| part.trim().is_empty()) {
            report
                .error("MG004", span, format!("`{path}` is no key"))
                .help
                .push("for example `--set instances.r1.mode=ASYNC`".into());
            continue;
        }
        if let Err(at) = put(root, &parts, value, span) {
            let what = format!("`{}` is no mapping, and has no `{}`", parts[..at].join("."), parts[at]);
            report.error("MG004", span, what);
        }
    }
}

/// Is it a password itself, and not the name of a variable with one?
fn is_password(path: &str, value: &Node) -> bool {
    let is_written = |node: &Node| node.value.scalar().is_some_and(|text| !text.contains("${"));
    match (path, &value.value) {
        ("auth.password", _) => is_written(value),
        ("auth", Value::Map(entries)) => {
            entries.iter().any(|(key, node)| key.value.scalar() == Some("password") && is_written(node))
        }
        _ => false,
    }
}

/// Puts `value` at the path; `Err` names the part that is found nowhere because what is above it is no mapping.
fn put(node: &mut Node, parts: &[&str], value: Node, span: Span) -> Result<(), usize> {
    let mut node = node;
    for (depth, part) in parts.iter().enumerate() {
        if node.value == Value::Null {
            node.value = Value::Map(Vec::new());
        }
        let (last, depth) = (depth + 1 == parts.len(), depth);
        node = match &mut node.value {
            Value::Map(entries) => {
                let at = entries.iter().position(|(key, _)| key.value.scalar() == Some(part));
                let at = at.unwrap_or_else(|| {
                    let key = Node { value: Value::Text((*part).to_owned()), span };
                    entries.push((key, Node { value: Value::Null, span }));
                    entries.len() - 1
                });
                &mut entries[at].1
            }
            // The other form of `instances`.
            Value::List(items) if depth == 1 && parts[0] == "instances" => {
                let at = items.iter().position(|item| name_of(item) == Some(part));
                let at = at.unwrap_or_else(|| {
                    let text = |text: &str| Node { value: Value::Text(text.to_owned()), span };
                    items.push(Node { value: Value::Map(vec![(text("name"), text(part))]), span });
                    items.len() - 1
                });
                if last {
                    // Its name stays with it.
                    if let (Value::Map(new), Value::Map(old)) = (&value.value, &mut items[at].value) {
                        old.retain(|(key, _)| key.value.scalar() == Some("name"));
                        old.extend(new.iter().cloned());
                        return Ok(());
                    }
                }
                &mut items[at]
            }
            _ => return Err(depth),
        };
    }
    *node = value;
    Ok(())
}

fn name_of(item: &Node) -> Option<&str> {
    let Value::Map(entries) = &item.value else { return None };
    entries.iter().find(|(key, _)| key.value.scalar() == Some("name"))?.1.value.scalar()
}

fn put_span(node: &mut Node, span: Span) {
    node.span = span;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| put_span(item, span)),
        Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            put_span(key, span);
            put_span(value, span);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::error::{CliError, Exit};
    use crate::topology::{Mode, Source, Topology, load_with};
    use std::time::Duration;

    const FILE: &str =
        "name: demo\nwait: { timeout: 1m }\ninstances:\n  main: { role: main }\n  r1: { role: replica }\n";
    const LISTED: &str =
        "name: demo\ninstances:\n  - { name: main, role: main }\n  - { role: replica, name: r1 }\n";

    fn with(text: &str, sets: &[&str]) -> Result<Topology, String> {
        let source = Source { name: "t.yaml".into(), directory: ".".into(), text: text.into() };
        let sets: Vec<(String, String)> =
            sets.iter().filter_map(|s| s.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        let variable = |name: &str| (name == "SET").then(|| "from-env".to_owned());
        load_with(&source, &sets, &variable)
            .map(|loaded| loaded.topology)
            .map_err(|problems| CliError::of(Exit::Usage, problems).to_string())
    }

    #[test]
    fn what_is_set_stands_over_the_file_and_the_later_over_the_earlier() {
        for text in [FILE, LISTED] {
            let topology = with(
                text,
                &[
                    "instances.r1.mode=SYNC",
                    "instances.r1.mode=async",
                    "wait.timeout=90s",
                    "defaults.labels.team=${SET}",
                    "defaults.flags.ratio=1.10",
                    "instances.r2={role: replica, mode: ASYNC, priority: 7}",
                ],
            )
            .unwrap();
            assert_eq!(topology.wait.timeout, Duration::from_secs(90));
            let r1 = topology.instance("r1").unwrap();
            assert_eq!((r1.mode, r1.container.labels["team"].as_str()), (Mode::Async, "from-env"));
            assert_eq!(r1.flags["ratio"], "1.10", "a number is as it was written");
            assert_eq!(topology.instance("r2").unwrap().priority, 7);
        }
    }

    #[test]
    fn a_problem_with_it_is_at_that_set() {
        for (set, wanted) in [
            ("instances.r1.mode=SNYC", "error[MG014]: unknown mode `SNYC`\n  --> --set instances.r1.mode\n"),
            (
                "instances.r1.prot=1",
                "error[MG004]: unknown key `prot` in `instances.r1`\n  --> --set instances.r1.prot\n",
            ),
            ("name.x=1", "error[MG004]: `name` is no mapping, and has no `x`\n  --> --set name.x"),
            ("a..b=1", "error[MG004]: `a..b` is no key\n  --> --set a..b\n"),
            ("wait={", "error[MG002]: the value of `wait` is not valid YAML"),
            ("wait.timeout=", "error[MG006]: `wait.timeout` has no value\n  --> --set wait.timeout\n"),
            ("auth.password=x", "error[MG026]: a password on the command line"),
            ("auth={username: a, password: x}", "error[MG026]: a password on the command line"),
            ("instances.r1.role=main", "error[MG011]: 2 instances have role main (main, r1)"),
        ] {
            let error = with(FILE, &[set]).unwrap_err();
            assert!(error.contains(wanted), "{set}: {error}");
            assert!(!error.contains("2147483648"), "{error}");
        }
    }
}
