//! Feature files: as much of Gherkin as the TCK uses.

use std::path::Path;

/// A scenario with its outline's values filled in.
pub(crate) struct Scenario {
    /// File and name, unique.
    pub(crate) id: String,
    /// Folder below `features`.
    pub(crate) category: String,
    pub(crate) steps: Vec<Step>,
}

/// A step with the text or the table below it.
#[derive(Clone, Default)]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) doc: String,
    pub(crate) table: Vec<Vec<String>>,
}

/// Reads all features below a folder, in order of their paths.
pub(crate) fn read_all(root: &Path) -> Vec<Scenario> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "feature") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("the feature can be read");
        let inside = file.strip_prefix(root).expect("found below it");
        let category = inside.parent().map(|p| p.display().to_string()).unwrap_or_default();
        read(&text, &inside.display().to_string(), &category, &mut out);
    }
    out
}

enum Section {
    None,
    Background,
    Scenario,
    Examples,
}

struct Draft {
    name: String,
    steps: Vec<Step>,
    /// Tables of examples, each with its header.
    examples: Vec<Vec<Vec<String>>>,
    is_outline: bool,
}

fn read(text: &str, file: &str, category: &str, out: &mut Vec<Scenario>) {
    let mut background: Vec<Step> = Vec::new();
    let mut draft: Option<Draft> = None;
    let mut section = Section::None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        // A tag is for other runners: every scenario is run.
        if trimmed.is_empty() || trimmed.starts_with(['#', '@']) || trimmed.starts_with("Feature:") {
            continue;
        }
        if trimmed.starts_with("Background:") {
            section = Section::Background;
        } else if let Some(name) =
            trimmed.strip_prefix("Scenario Outline:").or_else(|| trimmed.strip_prefix("Scenario:"))
        {
            finish(draft.take(), &background, file, category, out);
            draft = Some(Draft {
                name: name.trim().to_owned(),
                steps: Vec::new(),
                examples: Vec::new(),
                is_outline: trimmed.starts_with("Scenario Outline:"),
            });
            section = Section::Scenario;
        } else if trimmed.starts_with("Examples:") {
            section = Section::Examples;
            if let Some(d) = &mut draft {
                d.examples.push(Vec::new());
            }
        } else if trimmed.starts_with("\"\"\"") {
            let indent = line.len() - line.trim_start().len();
            let mut doc = Vec::new();
            for line in lines.by_ref() {
                if line.trim() == "\"\"\"" {
                    break;
                }
                doc.push(
                    if line.len() >= indent
                        && line.is_char_boundary(indent)
                        && line[..indent].trim().is_empty()
                    {
                        &line[indent..]
                    } else {
                        line.trim_start()
                    },
                );
            }
            let steps = match (&section, &mut draft) {
                (Section::Background, _) | (_, None) => &mut background,
                (_, Some(d)) => &mut d.steps,
            };
            steps.last_mut().expect("a text belongs to a step").doc = doc.join("\n");
        } else if trimmed.starts_with('|') {
            let row = cells(trimmed);
            match (&section, &mut draft) {
                (Section::Examples, Some(d)) => d.examples.last_mut().expect("begun above").push(row),
                (Section::Background, _) | (_, None) => {
                    background.last_mut().expect("a table belongs to a step").table.push(row);
                }
                (_, Some(d)) => d.steps.last_mut().expect("a table belongs to a step").table.push(row),
            }
        } else {
            let words = ["Given ", "When ", "Then ", "And ", "But "];
            let text = words.iter().find_map(|w| trimmed.strip_prefix(w)).unwrap_or(trimmed);
            let step = Step { text: text.trim().to_owned(), ..Step::default() };
            match (&section, &mut draft) {
                (Section::Background, _) | (_, None) => background.push(step),
                (_, Some(d)) => d.steps.push(step),
            }
        }
    }
    finish(draft, &background, file, category, out);
}

/// Splits a row of a table; `\|` is a bar inside a cell, `\\` a backslash, `\n` a line's end.
fn cells(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut cell = String::new();
    let mut chars = line.chars().skip(1);
    while let Some(c) = chars.next() {
        match c {
            '|' => out.push(std::mem::take(&mut cell).trim().to_owned()),
            '\\' => match chars.next() {
                Some('|') => cell.push('|'),
                Some('n') => cell.push('\n'),
                Some('\\') => cell.push('\\'),
                Some(other) => cell.extend(['\\', other]),
                None => cell.push('\\'),
            },
            c => cell.push(c),
        }
    }
    out
}

fn finish(draft: Option<Draft>, background: &[Step], file: &str, category: &str, out: &mut Vec<Scenario>) {
    let Some(draft) = draft else { return };
    let mut add = |name: String, fill: &dyn Fn(&str) -> String| {
        let steps = background
            .iter()
            .chain(&draft.steps)
            .map(|s| Step {
                text: fill(&s.text),
                doc: fill(&s.doc),
                table: s.table.iter().map(|r| r.iter().map(|c| fill(c)).collect()).collect(),
            })
            .collect();
        out.push(Scenario { id: format!("{file}: {name}"), category: category.to_owned(), steps });
    };
    if !draft.is_outline {
        add(draft.name.clone(), &str::to_owned);
        return;
    }
    let mut number = 0;
    for table in &draft.examples {
        let Some((header, rows)) = table.split_first() else { continue };
        for row in rows {
            number += 1;
            let fill = |text: &str| {
                let mut text = text.to_owned();
                for (name, value) in header.iter().zip(row) {
                    text = text.replace(&format!("<{name}>"), value);
                }
                text
            };
            add(format!("{} ({number})", draft.name), &fill);
        }
    }
}
