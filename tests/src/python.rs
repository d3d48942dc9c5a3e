//! Clients that are not ours: the official Python drivers, in a virtual environment under `target/`.

use crate::paths;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What is installed, each at a fixed version.
const PACKAGES: [&str; 2] = ["neo4j==5.28.8", "pymgclient==1.6.0"];

/// The newest of the official driver, and what its result transformers need.
const NEWEST: [&str; 2] = ["neo4j==6.4.1", "pandas==3.1.1"];

/// Memgraph's object mapper, with what of its requirements it needs to be imported: all of them are gigabytes.
const MAPPER: [&str; 7] = [
    "pymgclient==1.6.0",
    "pydantic==2.11.7",
    "psutil<7",
    "dacite==1.9.2",
    "networkx==3.4.2",
    "neo4j==5.28.8",
    "numpy<2",
];
const MAPPER_ALONE: &str = "gqlalchemy==1.10.0";

/// What knows the schemas of Kubernetes.
const VALIDATOR: [&str; 1] = ["kubernetes-validate==1.37.0"];

/// The interpreter that has the drivers, or why there is none.
pub fn interpreter() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| make("python", &PACKAGES)).clone()
}

/// The interpreter that has the newest driver, or why there is none.
pub fn newest() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| make("python-newest", &NEWEST)).clone()
}

/// The interpreter that has Memgraph's object mapper, or why there is none.
pub fn mapper() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| {
        let python = make("python-mapper", &MAPPER)?;
        let install =
            ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", MAPPER_ALONE];
        run(Command::new(&python).args(install))
            .map_err(|e| format!("{MAPPER_ALONE} could not be installed: {e}"))?;
        Ok(python)
    })
    .clone()
}

/// `kubernetes-validate`, in an environment of its own, or why there is none.
pub fn validator() -> Result<PathBuf, String> {
    let python = make("kubernetes-validate", &VALIDATOR)?;
    Ok(python.with_file_name("kubernetes-validate"))
}

/// Makes a virtual environment with these packages where it is not there yet, and returns its interpreter.
fn make(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let dir = paths::cache(name);
    let python = dir.join("bin").join("python");
    let stamp = dir.join("installed");
    let wanted = packages.join(" ");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) && python.exists() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&dir))
        .map_err(|e| format!("python3 with venv is needed: {e}"))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
        .args(packages))
    .map_err(|e| format!("{wanted} could not be installed: {e}"))?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<Output, String> {
    let out = command.output().map_err(|e| e.to_string())?;
    if out.status.success() {
        Ok(out)
    } else {
        let text = String::from_utf8_lossy(&out.stderr);
        let last = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
        Err(format!("{} ({last})", out.status))
    }
}
