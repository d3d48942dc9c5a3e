//! What scripts rely on: exit codes, and which stream carries what. Runs the executable, without engine or cluster.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const VALID: &str = "name: demo\ninstances:\n  main: { role: main }\n  r1: { role: replica }\n";
const BROKEN: &str =
    "name: demo\ninstances:\n  main: { role: main, prot: 1 }\n  r1: { role: replica, mode: SNYC }\n";

fn mgctl(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mgctl"));
    command.current_dir(directory).stdin(Stdio::null());
    for name in ["MGCTL_FILE", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Room {
        let room = Room(tempfile::tempdir().unwrap());
        room.write("valid.yaml", VALID);
        room.write("broken.yaml", BROKEN);
        room
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        said(mgctl(self.0.path()).args(args).output().unwrap())
    }
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_valid_file_is_a_result_and_exit_0() {
    let (code, out, err) = Room::new().run(&["validate", "valid.yaml"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("`valid.yaml` is valid: cluster `demo` with 1 MAIN, 1 SYNC\n"), "{out}");
}

#[test]
fn every_problem_is_talk_and_exit_2() {
    let (code, out, err) = Room::new().run(&["validate", "broken.yaml"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("error[MG004]") && err.contains("error[MG014]"), "{err}");
    assert!(err.contains(" --> broken.yaml:4:30"), "{err}");
}

#[test]
fn problems_for_scripts_are_a_result() {
    let (code, out, err) = Room::new().run(&["validate", "broken.yaml", "-o", "json"]);
    assert_eq!((code, err.as_str()), (2, ""));
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["apiVersion"], "mgctl/v1");
    assert_eq!((&value["ok"], &value["exit"]), (&Value::Bool(false), &Value::from(2)));
    assert_eq!(value["error"]["code"], "MG004");
    assert_eq!((&value["error"]["line"], &value["error"]["column"]), (&Value::from(3), &Value::from(23)));
    assert_eq!(value["errors"].as_array().unwrap().len(), 2);
}

#[test]
fn the_resolved_file_is_valid_again() {
    let room = Room::new();
    let (code, out, _) = room.run(&["validate", "--resolved", "valid.yaml"]);
    assert_eq!(code, 0);
    room.write("resolved.yaml", &out);
    let (code, again, _) = room.run(&["validate", "--resolved", "resolved.yaml"]);
    assert_eq!((code, again), (0, out));
    let (_, json, _) = room.run(&["validate", "valid.yaml", "-o", "json"]);
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["kind"], &value["cluster"]), (&Value::from("Topology"), &Value::from("demo")));
    assert_eq!(value["data"]["topology"]["instances"]["r1"]["mode"], "SYNC");
}

#[test]
fn strict_takes_warnings_for_errors() {
    let room = Room::new();
    room.write("one.yaml", "name: one\ninstances:\n  main: { role: main }\n");
    let (code, out, err) = room.run(&["validate", "one.yaml"]);
    assert_eq!(code, 0);
    assert!(out.contains("is valid") && err.starts_with("warning[MG031]"), "{out}{err}");
    let (code, _, err) = room.run(&["validate", "--strict", "one.yaml"]);
    assert_eq!(code, 2);
    assert!(err.starts_with("error[MG031]"), "{err}");
}

#[test]
fn a_file_is_named_in_any_of_its_ways() {
    let room = Room::new();
    for args in [
        ["validate", "valid.yaml", "-q"],
        ["-f", "valid.yaml", "validate"],
        ["validate", "-f", "valid.yaml"],
        ["config", "--file", "valid.yaml"],
    ] {
        assert_eq!(room.run(&args).0, 0, "{args:?}");
    }
    let (code, _, err) = room.run(&["validate"]);
    assert_eq!(code, 2);
    assert!(err.contains("no topology is named"), "{err}");
    let output = mgctl(room.0.path()).arg("validate").env("MGCTL_FILE", "valid.yaml").output().unwrap();
    assert_eq!(said(output).0, 0);
    room.write("topology.yaml", VALID);
    assert_eq!(room.run(&["validate"]).0, 0);
    let (code, _, err) = room.run(&["-f", "valid.yaml", "validate", "broken.yaml"]);
    assert_eq!(code, 2);
    assert!(err.contains("two topologies are named"), "{err}");
}

#[test]
fn a_dash_reads_standard_input() {
    let room = Room::new();
    let mut child = mgctl(room.0.path())
        .args(["validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(BROKEN.as_bytes()).unwrap();
    let (code, _, err) = said(child.wait_with_output().unwrap());
    assert_eq!(code, 2);
    assert!(err.contains(" --> <stdin>:3:23"), "{err}");
}

#[test]
fn a_missing_file_says_so() {
    let (code, _, err) = Room::new().run(&["validate", "none.yaml"]);
    assert_eq!(code, 2);
    assert!(err.starts_with("error[MG001]: cannot read `none.yaml`: no such file\n"), "{err}");
}

#[test]
fn colour_is_for_terminals_or_by_wish() {
    let room = Room::new();
    let coloured = |args: &[&str], variable: Option<&str>| {
        let mut command = mgctl(room.0.path());
        command.args(args);
        if let Some(name) = variable {
            command.env(name, "1");
        }
        said(command.output().unwrap()).2.contains('\x1b')
    };
    let plain = ["validate", "broken.yaml"];
    assert!(!coloured(&plain, None));
    assert!(coloured(&plain, Some("CLICOLOR_FORCE")));
    assert!(coloured(&["validate", "broken.yaml", "--color", "always"], Some("NO_COLOR")));
    assert!(!coloured(&["validate", "broken.yaml", "--color=never"], Some("CLICOLOR_FORCE")));
}

#[test]
fn wrong_usage_is_exit_2_and_help_is_exit_0() {
    let room = Room::new();
    for args in [&["nonsense"][..], &[], &["up", "--nonsense"], &["status", "--check=fine"]] {
        let (code, out, err) = room.run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains("Usage") || err.contains("possible values"), "{err}");
    }
    for args in [&["--help"][..], &["up", "--help"], &["--version"]] {
        let (code, out, err) = room.run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        assert!(out.contains("mgctl"), "{out}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let room = Room::new();
    let mut child =
        mgctl(room.0.path()).arg("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = match std::fs::OpenOptions::new().write(true).open("/dev/full") {
        Ok(full) => full,
        // Only Linux has it.
        Err(_) => return,
    };
    let room = Room::new();
    let output = mgctl(room.0.path()).arg("schema").stdout(full).output().unwrap();
    let (code, _, err) = said(output);
    assert_eq!(code, 1);
    assert!(err.starts_with("error: cannot write the result"), "{err}");
}

#[test]
fn the_schema_is_one_json_document() {
    let (code, out, _) = Room::new().run(&["schema"]);
    assert_eq!(code, 0);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["instances"].is_object());
}

#[test]
fn what_the_command_line_sets_stands_over_the_file_and_is_told_apart_from_it() {
    let room = Room::new();
    let (code, out, err) =
        room.run(&["validate", "valid.yaml", "--set", "instances.r1.mode=ASYNC", "--set=name=other"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("`valid.yaml` is valid: cluster `other` with 1 MAIN, 1 ASYNC\n"), "{out}");
    let (code, _, err) = room.run(&["validate", "valid.yaml", "--set", "instances.r1.mode=SNYC"]);
    assert_eq!(code, 2);
    assert!(err.contains("MG014") && err.contains("--> --set instances.r1.mode\n"), "{err}");
    for (args, wanted) in [
        (&["validate", "valid.yaml", "--set", "mode"][..], "KEY=VALUE"),
        (&["status", "--set", "name=x"][..], "none is named"),
        (&["status", "-c", "demo", "--set", "name=x"][..], "reads none"),
    ] {
        let (code, _, err) = room.run(args);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(err.contains(wanted), "{args:?}: {err}");
    }
}
