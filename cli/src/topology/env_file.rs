//! Files of variables, as Compose reads them: `NAME=value` lines, which values of the topology may name.
//!
//! ```text
//! # a comment
//! PLAIN=as it stands   # up to here
//! export SINGLE='nothing in it means anything: ${X} \n #'
//! DOUBLE="escapes \n \t \" \\ \$, ${PLAIN}, and
//! further lines"
//! ```
//!
//! What is set in the environment of mgctl stands over a file, and a later file over an earlier one.

use std::collections::BTreeMap;

use super::interpolate::{InterpolationError, interpolate};

/// Why a file cannot be read: the line, from 1, and what is wrong there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads `text` into `known`. `variable` answers for the environment.
pub(super) fn read(
    text: &str,
    known: &mut BTreeMap<String, String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let wrong = |what: String| Wrong { line: index + 1, what };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, rest) = line.split_once('=').unwrap_or((line, ""));
        let name = name.trim_end();
        if !super::is_symbol(name) {
            return Err(wrong(format!("`{}` is not the name of a variable", shown(name))));
        }
        if !line.contains('=') {
            // The one of the environment, which counts anyway.
            continue;
        }
        let rest = rest.trim_start();
        let value = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let mut raw = rest[1..].to_owned();
                let (inside, after) = loop {
                    if let Some(end) = end_of(&raw, quote) {
                        break (raw[..end].to_owned(), raw[end + 1..].to_owned());
                    }
                    let Some((_, next)) = lines.next() else {
                        return Err(wrong(format!("the {quote} of `{name}` is not closed")));
                    };
                    raw.push('\n');
                    raw.push_str(next);
                };
                let after = after.trim_start();
                if !after.is_empty() && !after.starts_with('#') {
                    return Err(wrong(format!(
                        "`{}` stands after the value of `{name}`",
                        shown(after.trim_end())
                    )));
                }
                if quote == '\'' { Ok(inside) } else { expand(&unescaped(&inside), known, variable) }
            }
            _ => {
                let end =
                    rest.find(" #").or_else(|| rest.starts_with('#').then_some(0)).unwrap_or(rest.len());
                expand(rest[..end].trim_end(), known, variable)
            }
        };
        let value = value.map_err(|error| wrong(format!("`{name}`: {}", words(&error))))?;
        known.insert(name.to_owned(), value);
    }
    Ok(())
}

fn expand(
    text: &str,
    known: &BTreeMap<String, String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, InterpolationError> {
    interpolate(text, &|name| variable(name).or_else(|| known.get(name).cloned()))
}

/// Returns where the quote ends.
fn end_of(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// Puts the escapes of double quotes in; an escaped dollar sign becomes two, which stand for one.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('$') => out.push_str("$$"),
            Some(c @ ('"' | '\\')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

fn words(error: &InterpolationError) -> String {
    match error {
        InterpolationError::Unset(name) => format!("`${{{name}}}` is not set"),
        InterpolationError::Required { name, text } if text.is_empty() => format!("`{name}` is not set"),
        InterpolationError::Required { name, text } => format!("{text} (`{name}` is not set)"),
        InterpolationError::Open => "`${` has no closing brace".to_owned(),
        InterpolationError::Malformed(inside) => format!("`${{{}}}` is not a variable", shown(inside)),
    }
}

/// Returns the beginning of what may be a secret in the wrong place.
fn shown(text: &str) -> String {
    match text.char_indices().nth(20) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str) -> Result<BTreeMap<String, String>, Wrong> {
        let mut known = BTreeMap::new();
        read(text, &mut known, &|name| (name == "HOME").then(|| "/root".to_owned()))?;
        Ok(known)
    }

    #[test]
    fn lines_are_read_as_compose_reads_them() {
        let text = "\u{feff}# first\n\nPLAIN=as it stands   # a comment\n EMPTY=\nHASH=a#b\n\
            export SINGLE='${X} \\n # $'\nDOUBLE=\"a\\tb \\\"q\\\" \\\\ \\$ ${PLAIN}\" # said\n\
            MANY=\"one\ntwo\"\nOF=${HOME}/x\nNONE=${UNSET:-other}\nINHERITED\nSPACED = here\nCOMMENT=#none\nCRLF=x\r\n";
        let known = variables(text).unwrap();
        let expected = [
            ("COMMENT", ""),
            ("CRLF", "x"),
            ("DOUBLE", "a\tb \"q\" \\ $ as it stands"),
            ("EMPTY", ""),
            ("HASH", "a#b"),
            ("MANY", "one\ntwo"),
            ("NONE", "other"),
            ("OF", "/root/x"),
            ("PLAIN", "as it stands"),
            ("SINGLE", "${X} \\n # $"),
            ("SPACED", "here"),
        ];
        let found: Vec<(&str, &str)> = known.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, line, what) in [
            ("A=1\nB C=2", 2, "`B C` is not the name of a variable"),
            (
                "just a sentence that goes on and on",
                1,
                "`just a sentence that…` is not the name of a variable",
            ),
            ("A='x\n\n", 1, "the ' of `A` is not closed"),
            ("A=\"x\" y", 1, "`y` stands after the value of `A`"),
            ("A=${B}", 1, "`A`: `${B}` is not set"),
            ("A=${B:?needed}", 1, "`A`: needed (`B` is not set)"),
            ("A=\"${B\"", 1, "`A`: `${` has no closing brace"),
        ] {
            assert_eq!(variables(text), Err(Wrong { line, what: what.to_owned() }), "{text}");
        }
    }
}
