//! Where things are.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The folder with the workspace's `Cargo.toml`.
pub fn workspace_root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .expect("the folder this was built from is still there")
}

/// Cargo's target folder of the profile that this test was built with.
fn profile_dir() -> PathBuf {
    let mut dir = std::env::current_exe().expect("a running program has a path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir
}

/// Cargo, as from a shell.
///
/// What `cargo test` and `cargo run` tell a program of its package would reach the build scripts of
/// the inner cargo: some of them run anew when it changes, and half of the workspace with them.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_of_package =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| text.starts_with(p));
        if is_of_package || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command.current_dir(workspace_root());
    command
}

/// The `mgctl` executable, built once per test program so that it is never an old one.
pub fn mgctl() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(given) = std::env::var_os("MGCTL_BIN") {
                return PathBuf::from(given);
            }
            let dir = profile_dir();
            let mut build = cargo();
            build.args(["build", "-q", "-p", "mgctl", "--bin", "mgctl"]);
            if dir.ends_with("release") {
                build.arg("--release");
            }
            let status = build.status().expect("cargo can be started");
            assert!(status.success(), "`cargo build -p mgctl` ended with {status}");
            dir.join("mgctl")
        })
        .clone()
}

/// A folder under `target/` that is kept between runs.
pub fn cache(name: &str) -> PathBuf {
    let dir = workspace_root().join("target").join("test-cache").join(name);
    std::fs::create_dir_all(&dir).expect("target/ can be written");
    dir
}
