//! The user guide, run again: what its pages show is what mgctl prints.
//!
//! Each page of `docs/guide/` is a story of one or more clusters of local processes. Its `text` blocks are transcripts:
//! lines that begin with `$ ` are given to `sh`, in order, in a folder of the page's own, and what follows is what they
//! print, both streams together.
//!
//! - `$ cat FILE` of a file that is not there yet makes it, with what the block shows.
//! - Times, addresses, ids and the like are compared as such, see [`mask`].
//! - A line `...` stands for any number of lines, ` ...` at the end of a line for any end.
//! - A command that ends with another code than 0 must say so itself: `$ mgctl ...; echo "exit code $?"`.
//! - `<!-- varies: WORD ... -->` before a block: numbers beside these words are not compared.
//! - A block that begins with `# not re-run: WHY` is shown and not run.
//!
//! `UPDATE=1 cargo test -p mg-tests --test guide` writes what really came into the pages, where it differs; read the
//! diff.

mod mask;
mod page;
mod run;

use libtest_mimic::{Arguments, Failed, Trial};
use mg_tests::paths::workspace_root;
use page::Page;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const INDEX: &str = "README.md";

/// Pages elsewhere whose transcripts are run, too.
const BESIDE: [&str; 1] = ["docs/coming-from-memgraph-or-neo4j.md"];

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Each page takes the first free ports from 7687 on, as its reader would.
    args.test_threads = Some(1);
    let guide = workspace_root().join("docs/guide");
    let mut pages = markdown(&guide);
    let texts: Vec<PathBuf> =
        markdown(&guide).into_iter().chain(markdown(&workspace_root().join("docs"))).collect();
    pages.retain(|path| path.file_name().is_some_and(|name| name != INDEX));
    assert!(!pages.is_empty(), "there is no page in `{}`", guide.display());
    let names: Vec<String> = pages.iter().map(|path| name(path)).collect();
    pages.extend(BESIDE.map(|page| workspace_root().join(page)));
    let index = guide.join(INDEX);
    let trials = pages
        .into_iter()
        .map(|path| Trial::test(format!("guide::{}", stem(&path)), move || check(&path)))
        .chain([
            Trial::test("guide::its_index_names_every_page", move || is_complete(&index, &names)),
            Trial::test("guide::links_lead_somewhere", move || links(&texts)),
        ])
        .chain(mask::tests())
        .chain(run::tests())
        .collect();
    libtest_mimic::run(&args, trials).exit_code()
}

fn markdown(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name under which a page is spoken of: from the root of the workspace on.
fn shown(path: &Path) -> String {
    path.strip_prefix(workspace_root()).unwrap_or(path).display().to_string()
}

fn check(path: &Path) -> Result<(), Failed> {
    let mut page = Page::read(&shown(path), &std::fs::read_to_string(path)?)?;
    let failures = run::run(&mut page)?;
    if failures.is_empty() {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, page.text())?;
        return Ok(());
    }
    Err(format!(
        "{}\n`UPDATE=1 cargo test -p mg-tests --test guide` writes what came into the page",
        failures.join("\n")
    )
    .into())
}

fn is_complete(index: &Path, pages: &[String]) -> Result<(), Failed> {
    let text = std::fs::read_to_string(index)?;
    let missing: Vec<&str> =
        pages.iter().map(String::as_str).filter(|page| !text.contains(&format!("]({page})"))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("{} has no link to {}", shown(index), missing.join(", ")).into())
}

/// Links to files of the project lead to files that are there.
fn links(texts: &[PathBuf]) -> Result<(), Failed> {
    let mut dead = Vec::new();
    for path in texts {
        for (number, line) in std::fs::read_to_string(path)?.lines().enumerate() {
            for rest in line.split("](").skip(1) {
                let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
                let is_file = !target.is_empty() && !target.contains("://");
                if is_file && !path.with_file_name(target).exists() {
                    dead.push(format!("{}:{}: `{target}` is not there", shown(path), number + 1));
                }
            }
        }
    }
    if dead.is_empty() { Ok(()) } else { Err(dead.join("\n").into()) }
}
