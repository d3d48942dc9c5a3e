//! Where mutants are made and run.

use super::{MUTANTS, Mutant};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The copy under `target/mutants`, built.
pub struct Workshop {
    runner: PathBuf,
}

/// How a run of one seed ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held.
    Passed,
    /// It broke the invariant of that number.
    Broke { invariant: String, what: String },
    /// It ended otherwise: an assertion of the code itself, a halt, or no end at all.
    Died { what: String },
}

impl Verdict {
    fn of(text: &str) -> Verdict {
        if text == "passed" {
            return Verdict::Passed;
        }
        let what = text.to_owned();
        match text.split_once(':') {
            Some((number, _)) if number.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
                Verdict::Broke { invariant: number.to_owned(), what }
            }
            _ => Verdict::Died { what },
        }
    }
}

impl Workshop {
    /// Copies, changes and builds. What did not change since the last time is not built again.
    ///
    /// # Errors
    /// Words about a mutant that does not fit the code any more, or what the compiler said.
    pub fn open() -> Result<Workshop, String> {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let shop = root.join("target/mutants");
        let mut files = Files::new();
        for below in ["node/core/src", "tests/simulation", "tests/stage"] {
            gather(&root, Path::new(below), &mut files)?;
        }
        for name in ["Cargo.toml", "Cargo.lock", "node/core/Cargo.toml"] {
            files.insert(PathBuf::from(name), read(&root.join(name))?);
        }
        change(&mut files)?;
        furnish(&mut files);
        remove_others(&shop, &files)?;
        for (path, text) in &files {
            write_if_new(&shop.join(path), text)?;
        }
        build(&shop)?;
        Ok(Workshop { runner: shop.join("target/debug/mg-mutant") })
    }

    /// Lets the model try every order of a small bound, with a mutant or with none.
    ///
    /// # Errors
    /// Words about a runner that does not answer.
    pub fn model(&self, mutant: Option<&Mutant>) -> Result<Verdict, String> {
        let output = Command::new(&self.runner)
            .args([mutant.map_or("", |m| m.name), "model"])
            .output()
            .map_err(|e| format!("the runner cannot be started: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().next() {
            Some("passed") => Ok(Verdict::Passed),
            Some(what) => Ok(Verdict::Died { what: what.to_owned() }),
            None => Err(format!("the runner says nothing: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Runs `count` seeds from `first` on, up to the first that breaks an invariant; `mutant` is
    /// `None` for the shipped code. Each verdict is shown to `each`.
    ///
    /// # Errors
    /// Words about a runner that does not answer.
    pub fn run(
        &self,
        mutant: Option<&Mutant>,
        first: u64,
        count: u64,
        mut each: impl FnMut(&Verdict),
    ) -> Result<Option<(u64, String)>, String> {
        let (mut seed, end) = (first, first + count);
        while seed < end {
            let mut child = Command::new(&self.runner)
                .args([mutant.map_or("", |m| m.name), &seed.to_string(), &(end - seed).to_string()])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|e| format!("the runner cannot be started: {e}"))?;
            let mut broken = None;
            let from = seed;
            for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
                let line = line.map_err(|e| format!("the runner cannot be read: {e}"))?;
                let verdict = Verdict::of(&line);
                each(&verdict);
                if let Verdict::Broke { invariant, .. } = verdict {
                    broken = Some((seed, invariant));
                }
                seed += 1;
            }
            child.wait().map_err(|e| format!("the runner is lost: {e}"))?;
            if broken.is_some() {
                return Ok(broken);
            }
            if seed == from {
                return Err("the runner says nothing".into());
            }
        }
        Ok(None)
    }
}

fn build(shop: &Path) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What the outer cargo tells this program of its package is nothing to the inner one.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| text.starts_with(p)) {
            cargo.env_remove(&name);
        }
    }
    let built = cargo
        .args(["build", "--quiet", "--package", "mg-mutant"])
        .current_dir(shop)
        .env("CARGO_TARGET_DIR", shop.join("target"))
        .output()
        .map_err(|e| format!("cargo cannot be started: {e}"))?;
    if built.status.success() {
        return Ok(());
    }
    Err(format!("the mutants do not build:\n{}", String::from_utf8_lossy(&built.stderr)))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("`{}` cannot be read: {e}", path.display()))
}

type Files = BTreeMap<PathBuf, String>;

fn gather(root: &Path, below: &Path, files: &mut Files) -> Result<(), String> {
    let entries = fs::read_dir(root.join(below)).map_err(|e| format!("`{}`: {e}", below.display()))?;
    for entry in entries {
        let entry = entry.map_err(|e| format!("`{}`: {e}", below.display()))?;
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            gather(root, &path, files)?;
        } else {
            files.insert(path.clone(), read(&root.join(&path))?);
        }
    }
    Ok(())
}

/// A mutant's place in its file: the bytes of the changed part.
struct Place {
    mutant: usize,
    start: usize,
    end: usize,
}

/// Puts all mutants into the core, each behind its switch.
fn change(files: &mut Files) -> Result<(), String> {
    let mut places: BTreeMap<PathBuf, Vec<Place>> = BTreeMap::new();
    for (number, mutant) in MUTANTS.iter().enumerate() {
        let path = Path::new("node/core/src").join(mutant.file);
        let text = files.get(&path).ok_or(format!("{}: no file `{}`", mutant.name, mutant.file))?;
        let (start, end) = find(text, mutant.find).map_err(|why| format!("{}: {why}", mutant.name))?;
        places.entry(path).or_default().push(Place { mutant: number, start, end });
    }
    for (path, mut places) in places {
        let text = files.get_mut(&path).expect("looked at before");
        places.sort_by_key(|p| p.start);
        if let Some(pair) = places.windows(2).find(|p| p[0].end > p[1].start) {
            let names = pair.iter().map(|p| MUTANTS[p.mutant].name).collect::<Vec<_>>();
            return Err(format!("{} and {} change the same text", names[0], names[1]));
        }
        for place in places.iter().rev() {
            let changed = switched(&text[place.start..place.end], place.mutant);
            text.replace_range(place.start..place.end, &changed);
        }
    }
    Ok(())
}

/// Returns where the marked part of `pattern` stands in `text`, which holds the pattern once.
fn find(text: &str, pattern: &str) -> Result<(usize, usize), String> {
    let (before, rest) = pattern.split_once('«').ok_or("`find` marks nothing")?;
    let (marked, after) = rest.split_once('»').ok_or("`find` does not end its mark")?;
    let mut found = Vec::new();
    for (at, _) in text.char_indices() {
        let Some(start) = skip(text, at, before) else { continue };
        let Some(end) = skip(text, start, marked) else { continue };
        if skip(text, end, after).is_some() {
            found.push((start, end));
        }
    }
    // Blanks at the head of a pattern match from several places, all the same.
    found.dedup();
    match found[..] {
        [place] => Ok(place),
        [] => Err(format!("the code does not hold `{pattern}`")),
        _ => Err(format!("the code holds `{pattern}` {} times", found.len())),
    }
}

/// Returns where `pattern` ends, if it stands at `at`. Any white space matches any other, or none
/// where the code needs none.
fn skip(text: &str, mut at: usize, pattern: &str) -> Option<usize> {
    for word in pattern.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        if !text[at..].starts_with(bare) {
            return None;
        }
        at += bare.len();
        if bare.len() < word.len() {
            at = text.len() - text[at..].trim_start().len();
        }
    }
    Some(at)
}

/// Returns code that does what stood there, or what the mutant does.
fn switched(original: &str, mutant: usize) -> String {
    let with = MUTANTS[mutant].with;
    let is_statement = [original, with].iter().any(|s| s.trim_end().ends_with([';', '}']) && !s.is_empty());
    if original.is_empty() {
        format!("if crate::mutant::is_on({mutant}) {{ {with} }}")
    } else if is_statement && original.trim_end().ends_with(';') {
        format!("if crate::mutant::is_on({mutant}) {{ {with} }} else {{ {original} }}")
    } else {
        format!("(if crate::mutant::is_on({mutant}) {{ {with} }} else {{ {original} }})")
    }
}

/// Adds what makes the copy a workspace of its own: manifests, the switch, the runner.
fn furnish(files: &mut Files) {
    let root = files.get_mut(Path::new("Cargo.toml")).expect("it was read");
    let line = |line: &str| match line {
        _ if line.starts_with("members = ") => {
            r#"members = ["node/core", "tests/simulation", "tests/stage", "runner"]"#.to_owned()
        }
        _ if line.starts_with("default-members = ") => String::new(),
        // Lints are for the code as it is shipped.
        _ if line.starts_with("[workspace.lints.") => line.replace("workspace.lints", "workspace.metadata"),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = root.lines().map(line).collect();
    *root = lines.join("\n") + "\n[workspace.lints]\n";

    let lib = files.get_mut(Path::new("node/core/src/lib.rs")).expect("it was gathered");
    lib.push_str("\npub mod mutant;\n");
    let names: Vec<_> = MUTANTS.iter().map(|m| m.name).collect();
    files.insert("node/core/src/mutant.rs".into(), SWITCH.replace("NAMES", &format!("{names:?}")));
    files.insert("runner/Cargo.toml".into(), MANIFEST.to_owned());
    files.insert("runner/src/main.rs".into(), include_str!("../runner.rs").to_owned());
}

const SWITCH: &str = r#"//! Which mutant is switched on.

use std::sync::atomic::{AtomicUsize, Ordering};

static ON: AtomicUsize = AtomicUsize::new(usize::MAX);

const ALL: &[&str] = &NAMES;

/// Switches one on.
pub fn switch_on(name: &str) {
    let number = ALL.iter().position(|n| *n == name).expect("there is a mutant of that name");
    ON.store(number, Ordering::Relaxed);
}

pub(crate) fn is_on(number: usize) -> bool {
    ON.load(Ordering::Relaxed) == number
}
"#;

const MANIFEST: &str = r#"[package]
name = "mg-mutant"
version.workspace = true
edition.workspace = true
rust-version.workspace = true

[dependencies]
mgnode-core.workspace = true
mg-simulation = { path = "../tests/simulation" }
mg-stage.workspace = true
"#;

/// Removes sources that the project no longer has.
fn remove_others(shop: &Path, files: &Files) -> Result<(), String> {
    let mut old = Files::new();
    for below in ["node", "tests", "runner"] {
        if shop.join(below).is_dir() {
            gather(shop, Path::new(below), &mut old)?;
        }
    }
    for path in old.into_keys().filter(|p| !files.contains_key(p)) {
        fs::remove_file(shop.join(&path)).map_err(|e| format!("`{}`: {e}", path.display()))?;
    }
    Ok(())
}

/// Leaves a file with the same text alone, so that cargo does not build it again.
fn write_if_new(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let error = |e: std::io::Error| format!("`{}` cannot be written: {e}", path.display());
    fs::create_dir_all(path.parent().expect("it lies in the workshop")).map_err(error)?;
    fs::write(path, text).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_once_whatever_its_white_space() {
        let text = "fn f() {\n    if a\n        && b {\n        c();\n    }\n}\n";
        let (start, end) = find(text, "if a && «b» {").expect("it is there");
        assert_eq!(&text[start..end], "b");
        assert!(find(text, "«x»").is_err());
        assert!(find("a b a b", "«a»").is_err());
    }

    #[test]
    fn a_verdict_has_the_number_of_its_invariant() {
        assert_eq!(Verdict::of("passed"), Verdict::Passed);
        let what = "12: node 1 acks".to_owned();
        assert_eq!(Verdict::of(&what), Verdict::Broke { invariant: "12".to_owned(), what: what.clone() });
        assert!(matches!(Verdict::of("assertion failed"), Verdict::Died { .. }));
    }
}
