//! `release/archive`: what a release is made of.

use libtest_mimic::{Completion, Trial};
use mg_tests::paths;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        Trial::test("a_release_of_an_executable_that_is_not_static_is_refused", || {
            refused();
            Ok(())
        }),
        Trial::ignorable_test("a_release_holds_what_belongs_to_it_and_is_the_same_twice", || {
            let dir = tempfile::tempdir()?;
            let Some(stand_in) = stand_in(dir.path()) else {
                return Ok(Completion::ignored_with("no C compiler here links statically"));
            };
            packed(dir.path(), &stand_in);
            Ok(Completion::Completed)
        }),
    ]
}

fn archive(of: &Path, out: &Path) -> Output {
    let script = paths::workspace_root().join("release/archive");
    Command::new(script).arg("--of").arg(of).arg(out).output().expect("bash can be started")
}

/// Tests run a build for this machine, which needs its loader.
fn refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = archive(&paths::mgctl(), dir.path());
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("is not static"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the folder can be read").count(), 0);
}

/// A static executable that answers what the script asks of mgctl: to build that itself takes minutes.
fn stand_in(dir: &Path) -> Option<PathBuf> {
    let (source, binary) = (dir.join("stand_in.c"), dir.join("stand_in"));
    let text = r#"
        #include <stdio.h>
        #include <string.h>
        #include <sys/stat.h>
        int main(int count, char **args) {
            if (count == 2 && !strcmp(args[1], "version")) return puts("mgctl 9.8.7 (some-linux, static, release build)") < 0;
            if (count == 3 && !strcmp(args[1], "completions")) return puts(args[2]) < 0;
            if (count == 3 && !strcmp(args[1], "man")) return mkdir(args[2], 0755);
            return 2;
        }"#;
    std::fs::write(&source, text).expect("the test's folder can be written");
    let made = Command::new("cc").arg("-static").arg("-o").arg(&binary).arg(&source).output();
    made.is_ok_and(|out| out.status.success()).then_some(binary)
}

fn packed(dir: &Path, binary: &Path) {
    let bytes = [dir.join("one"), dir.join("two")].map(|out| {
        let ended = archive(binary, &out);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let file = out.join("mgctl-9.8.7-some-linux.tar.gz");
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), file.display().to_string());
        let sum = Command::new("sha256sum")
            .args(["--check", "mgctl-9.8.7-some-linux.tar.gz.sha256"])
            .current_dir(&out)
            .output()
            .expect("sha256sum can be started");
        assert!(sum.status.success(), "{}", String::from_utf8_lossy(&sum.stderr));
        std::fs::read(file).expect("the archive can be read")
    });
    assert!(bytes[0] == bytes[1], "the same executable gave two archives");
    let listed = Command::new("tar")
        .arg("--list")
        .arg("--file")
        .arg(dir.join("one/mgctl-9.8.7-some-linux.tar.gz"))
        .output()
        .expect("tar can be started");
    let listed = String::from_utf8_lossy(&listed.stdout);
    for name in
        ["mgctl", "README.md", "LICENSE-MIT", "topologies/quickstart.yaml", "man/", "completions/mgctl.fish"]
    {
        assert!(listed.lines().any(|l| l == format!("mgctl-9.8.7-some-linux/{name}")), "{name}: {listed}");
    }
}
