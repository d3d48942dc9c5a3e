//! Golden scripts: input, `---`, output. One behaviour a file, and its name says which.
//!
//! `UPDATE=1 cargo test -p mg-tests --test golden` writes the outputs anew; read the diff. The words
//! of the scripts under `replication/` are those of [`script`]; what comes out is written by [`tale`].

mod script;
mod tale;

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const RULE: &str = "---\n";

fn main() -> ExitCode {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/replication");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the scripts lie there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there is no script in `{}`", dir.display());
    let trial = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(format!("replication::{name}"), move || check(&path))
    };
    let trials = files.into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn check(path: &Path) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path)?;
    let (input, expected) = text.split_once(RULE).unwrap_or((&text, ""));
    let output = script::run(input)?;
    if output == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{}\n{RULE}{output}", input.trim_end()))?;
        return Ok(());
    }
    let differs = output.lines().zip(expected.lines()).position(|(is, was)| is != was);
    let at = differs.unwrap_or_else(|| output.lines().count().min(expected.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
    Err(format!(
        "`{}`, line {} of its output\n  expected: {}\n  found:    {}\n\
         `UPDATE=1 cargo test -p mg-tests --test golden` writes the outputs anew",
        path.display(),
        at + 1,
        line(expected),
        line(&output)
    )
    .into())
}
