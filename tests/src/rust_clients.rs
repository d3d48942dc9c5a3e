//! Clients in Rust that are not ours: programs of `tests/clients`, built in a folder of their own.

use crate::paths;
use std::path::PathBuf;
use std::process::Command;

/// The program that uses neo4rs, or why there is none.
pub fn neo4rs() -> Result<PathBuf, String> {
    build("neo4rs", &[])
}

/// The program that uses rsmgclient, or why there is none: Memgraph's C client is built with cmake, and its Rust face
/// with libclang.
pub fn rsmgclient() -> Result<PathBuf, String> {
    let has =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !has("cmake") {
        return Err(
            "cmake is needed to build Memgraph's C client (Debian: apt-get install cmake libclang-dev)"
                .into(),
        );
    }
    let found = std::env::var_os("LIBCLANG_PATH").is_some()
        || ["/usr/lib", "/usr/lib64"].iter().any(|lib| has_libclang(lib.as_ref(), 3));
    if !found {
        return Err("libclang is needed to build rsmgclient (Debian: apt-get install libclang-dev)".into());
    }
    build("rsmgclient", &["--features", "mgclient"])
}

/// Whether such a library is below a folder, so many levels deep at most.
fn has_libclang(dir: &std::path::Path, depth: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libclang") && name.contains(".so")
            || depth > 0
                && (name.starts_with("llvm") || name == "lib" || name.ends_with("linux-gnu"))
                && has_libclang(&entry.path(), depth - 1)
    })
}

fn build(name: &str, more: &[&str]) -> Result<PathBuf, String> {
    let target = paths::cache("rust-clients");
    let manifest = paths::workspace_root().join("tests/clients/Cargo.toml");
    let cargo = |verb: &str| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args([verb, "--quiet", "--locked", "--manifest-path"]).arg(&manifest);
        command
    };
    let run = |command: &mut Command| {
        let out = command.output().map_err(|e| format!("cargo cannot be started: {e}"))?;
        Ok::<_, String>((out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned()))
    };
    // Where there is no way to a registry there is no client; what is fetched and does not build is a fault.
    let (is_fetched, said) = run(&mut cargo("fetch"))?;
    if !is_fetched {
        return Err(format!("{name} could not be fetched: {}", said.lines().next().unwrap_or_default()));
    }
    let mut build = cargo("build");
    build.args(["--offline", "--bin", name, "--target-dir"]).arg(&target).args(more);
    let (is_built, said) = run(&mut build)?;
    assert!(is_built, "{name} does not build:\n{said}");
    Ok(target.join("debug").join(name))
}
