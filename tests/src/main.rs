//! Runs every test of the project and ends with one count.
//!
//! `cargo run -p mg-tests` builds what is needed, runs `cargo test --workspace`, passes its output
//! through, and closes with how many tests ran, failed and were ignored, and why each ignored one was.
//! Words that follow are handed to `cargo test`.

use mg_tests::paths::cargo;
use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
    failures: Vec<String>,
    reasons: Vec<String>,
}

impl Totals {
    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            for part in rest.split([';', '.']).map(str::trim) {
                let Some((count, word)) = part.split_once(' ') else { continue };
                let Ok(count) = count.parse::<u64>() else { continue };
                match word {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        } else if let Some(rest) = line.strip_prefix("test ")
            && let Some((name, how)) = rest.split_once(" ... ")
        {
            if how.starts_with("ignored") {
                let reason = how.trim_start_matches("ignored").trim_start_matches([',', ':', ' ']);
                let reason = if reason.is_empty() { "no reason given" } else { reason };
                self.reasons.push(format!("{}: {reason}", name.trim()));
            } else if how.starts_with("FAILED") {
                self.failures.push(name.trim().to_owned());
            }
        }
    }
}

fn main() -> ExitCode {
    println!("building mgctl, which the tests start");
    let built = cargo().args(["build", "-p", "mgctl", "--bin", "mgctl"]).status();
    match built {
        Ok(status) if status.success() => {}
        Ok(status) => return fail(&format!("`cargo build -p mgctl` ended with {status}")),
        Err(e) => return fail(&format!("`cargo build -p mgctl` could not be started: {e}")),
    }
    let child = cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(std::env::args_os().skip(1))
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return fail(&format!("`cargo test` could not be started: {e}")),
    };
    let mut totals = Totals::default();
    let mut out = std::io::stdout();
    for line in BufReader::new(child.stdout.take().expect("it is piped")).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        totals.read(&line);
        // A reader that went away (`| head`) is no reason to stop testing.
        let _ = writeln!(out, "{line}");
    }
    let status = match child.wait() {
        Ok(status) => status,
        Err(e) => return fail(&format!("`cargo test` was lost: {e}")),
    };

    println!("\nAll tests of the workspace:");
    for reason in &totals.reasons {
        println!("  ignored  {reason}");
    }
    for name in &totals.failures {
        println!("  FAILED   {name}");
    }
    println!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.ignored);
    if !status.success() && totals.failed == 0 {
        return fail(&format!(
            "`cargo test` ended with {status}: something did not build, or a test program died"
        ));
    }
    if totals.passed == 0 {
        return fail("no test ran");
    }
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
