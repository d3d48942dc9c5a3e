//! Writes data directories of the present formats, for later versions to read: see
//! `mg_tests::fixture`.
//!
//! `cargo run -p mg-tests --bin fixture -- NAME` makes `tests/fixtures/NAME`.

use mg_tests::{fixture, paths};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("error: give the fixture a name, such as state-1-wal-1-snapshot-1");
        return ExitCode::FAILURE;
    };
    let folder = paths::workspace_root().join("tests/fixtures").join(name);
    if folder.exists() {
        eprintln!("error: {} is there already; what a version wrote is never written anew", folder.display());
        return ExitCode::FAILURE;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let answers = fixture::write(dir.path());
    let data = fixture::NODES.map(|name| dir.path().join(name).join("data"));
    std::fs::create_dir_all(&folder).expect("the repository can be written");
    let dirs = [(fixture::NODES[0], data[0].as_path()), (fixture::NODES[1], data[1].as_path())];
    fixture::pack(&dirs, &folder.join("nodes.tar")).expect("the archive can be written");
    std::fs::write(folder.join("answers.txt"), answers).expect("the answers can be written");
    println!("{} was written", folder.display());
    ExitCode::SUCCESS
}
