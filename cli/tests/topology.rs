//! One file per behaviour of the topology reader: the YAML, `---- expected`, and what `mgctl validate` says.
//! `UPDATE=1 cargo test -p mgctl --test topology` rewrites the expected part; read the diff.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mgctl::error::CliError;
use mgctl::error::Exit;
use mgctl::topology::{Loaded, PasswordSource, Source, load, notes, to_yaml};

const MARK: &str = "---- expected\n";

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topology")
}

/// The environment of these tests.
fn variable(name: &str) -> Option<String> {
    match name {
        "SET" => Some("from-env".to_owned()),
        "PORT" => Some("7777".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn read(name: &str, directory: &Path, text: &str) -> Result<Loaded, CliError> {
    let source = Source { name: name.into(), directory: directory.into(), text: text.into() };
    load(&source, &variable).map_err(|problems| CliError::of(Exit::Usage, problems))
}

fn answer(text: &str) -> String {
    let directory = Path::new("no-such-directory");
    match read("topology.yaml", directory, text) {
        Err(error) => error.render(false),
        Ok(loaded) => {
            let mut out: String = loaded.warnings.iter().map(|w| w.render(false) + "\n").collect();
            out.extend(loaded.certificate_problems.iter().map(|p| p.render(false) + "\n"));
            for note in notes(&loaded.topology) {
                writeln!(out, "note: {note}").unwrap();
            }
            reads_back(&loaded);
            out + "valid\n" + &to_yaml(&loaded.topology).unwrap()
        }
    }
}

/// Sees that what `--resolved` prints is the same topology.
fn reads_back(loaded: &Loaded) {
    let yaml = to_yaml(&loaded.topology).unwrap();
    let mut again =
        read("resolved", Path::new(""), &yaml).unwrap_or_else(|error| panic!("{yaml}\n{error}")).topology;
    // The two stand in different files, at different lines.
    again.place = loaded.topology.place.clone();
    for (a, b) in again.instances.iter_mut().zip(&loaded.topology.instances) {
        a.place = b.place.clone();
    }
    // A password that stands in the file is not shown.
    if loaded.topology.auth.as_ref().is_some_and(|auth| auth.source == PasswordSource::Written) {
        assert!(!yaml.contains(loaded.topology.auth.as_ref().unwrap().password.expose()), "{yaml}");
        again.auth = loaded.topology.auth.clone();
        for (a, b) in again.instances.iter_mut().zip(&loaded.topology.instances) {
            a.secrets = b.secrets.clone();
        }
    }
    assert_eq!(again, loaded.topology, "{yaml}");
}

#[test]
fn every_file_is_answered_as_written() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(room()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 30, "the golden files are there");
    let mut wrong = String::new();
    for file in files {
        let script = std::fs::read_to_string(&file).unwrap();
        let (input, expected) = script.split_once(MARK).unwrap_or((script.as_str(), ""));
        let actual = answer(input);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, format!("{input}{MARK}{}\n", actual.trim_end())).unwrap();
        } else if actual.trim_end() != expected.trim_end() {
            let name = file.file_stem().unwrap().to_string_lossy();
            writeln!(
                wrong,
                "== {name}\n-- expected\n{}\n-- actual\n{}",
                expected.trim_end(),
                actual.trim_end()
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nUPDATE=1 rewrites the expected part");
}

#[test]
fn every_example_is_valid_and_reads_back_the_same() {
    let topologies = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("topologies");
    let mut count = 0;
    for entry in std::fs::read_dir(&topologies).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        count += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let loaded = read(&name, &topologies, &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            path.file_stem().unwrap().to_string_lossy().split('-').next(),
            loaded.topology.name.split('-').next()
        );
        // A swarm has no other way to publish Bolt, and is told each time what that means.
        let allowed = if loaded.topology.is_swarm() { "MG027" } else { "MG031" };
        for warning in &loaded.warnings {
            assert_eq!(warning.code, Some(allowed), "{}", warning.render(false));
        }
        reads_back(&loaded);
    }
    assert!(count >= 5);
}

#[test]
fn the_quickstart_people_know_each_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("topologies/quickstart.cypherl");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        text.matches(":Person {name: ").count()
            - text.matches("(a:Person {name: ").count()
            - text.matches("(b:Person {name: ").count(),
        30
    );
    let statements = text.lines().filter(|line| !line.starts_with("//") && !line.is_empty());
    assert!(statements.clone().count() > 10);
    for statement in statements {
        assert!(statement.ends_with(';'), "one statement a line: {statement}");
    }
}

#[test]
fn a_password_is_read_from_a_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.txt");
    std::fs::write(&path, "hunter2\n").unwrap();
    let text = "name: demo\nimage: memgraph/memgraph:3.5.1\nauth: { username: admin, password_file: ./secret.txt }\n\
        instances:\n  main: { role: main }\n  r1: { role: replica }\n";
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let loaded = read("topology.yaml", folder.path(), text).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let main = loaded.topology.main();
    assert_eq!(main.secrets["MEMGRAPH_USER"].expose(), "admin");
    assert_eq!(main.secrets["MEMGRAPH_PASSWORD"].expose(), "hunter2");
    reads_back(&loaded);
    let shown = format!("{:?}{}", loaded.topology, to_yaml(&loaded.topology).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = read("topology.yaml", folder.path(), text).unwrap().warnings;
    assert_eq!(warnings.iter().map(|w| w.code.unwrap_or("")).collect::<Vec<_>>(), ["MG026"]);
    assert!(warnings[0].what.contains("can be read by every user"), "{}", warnings[0].what);
}

#[test]
fn variables_of_files_are_put_in_and_the_environment_stands_over_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "SET=from-file\nIMAGE=memgraph/memgraph:3.5.1\nTEAM=a\n")
        .unwrap();
    std::fs::write(folder.path().join("more.env"), "TEAM=\"b and ${SET}\"\n").unwrap();
    let text = |files: &str| {
        format!(
            "name: demo\nenv_file: {files}\nimage: ${{IMAGE}}\ninstances:\n  main: {{ role: main, \
             labels: {{ set: \"${{SET}}\", team: \"${{TEAM}}\" }} }}\n"
        )
    };
    let loaded = read("topology.yaml", folder.path(), &text("[.env, more.env]")).unwrap();
    let main = loaded.topology.main();
    assert_eq!(main.image.to_string(), "memgraph/memgraph:3.5.1");
    assert_eq!(main.container.labels["set"], "from-env");
    assert_eq!(main.container.labels["team"], "b and from-env");
    let loaded = read("topology.yaml", folder.path(), &text(".env")).unwrap();
    assert_eq!(loaded.topology.main().container.labels["team"], "a");

    std::fs::write(folder.path().join("more.env"), "TEAM=b\nno variable\n").unwrap();
    let error = read("topology.yaml", folder.path(), &text("[.env, more.env]")).unwrap_err().to_string();
    assert!(error.contains("more.env`, line 2: `no variable` is not the name of a variable"), "{error}");
    assert!(error.contains("--> topology.yaml:2:18"), "{error}");
}
