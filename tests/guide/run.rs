//! Runs the commands of a page and holds what they print against it.

use crate::mask::{in_order, is_same, mask};
use crate::page::Page;
use mg_tests::mgctl::{User, Where};
use mg_tests::paths;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// How the reader's home is written on the pages.
const HOME: &str = "/home/ada";

/// Runs all commands of a page, puts what came into it where that differs, and returns each difference. An error is
/// what ends the page: a command that fails without a word of it.
pub(crate) fn run(page: &mut Page) -> Result<Vec<String>, String> {
    let home = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let reader = Reader { user: User::new(home.path(), Where::Process) };
    let mut failures = Vec::new();
    // Failures speak of lines of the page as it was read.
    let lines: Vec<usize> = page.commands.iter().map(|command| command.at + 1).collect();
    for (index, line) in lines.into_iter().enumerate() {
        let place = format!("{}:{line}", page.name);
        let command = &page.commands[index];
        let expected = page.output(index);
        reader.make_file(&command.line, expected).map_err(|why| format!("{place}: {why}"))?;
        let (code, output) = reader.run(&command.line).map_err(|why| format!("{place}: {why}"))?;
        let varies = &command.varies;
        if code != Some(0) {
            return Err(format!(
                "{place}: `{}` ended with {code:?}; if it should, let it say so: `; echo \"exit code $?\"`\n{}",
                command.line,
                output.join("\n")
            ));
        }
        let mut masked: Vec<String> = output.iter().map(|line| mask(line, varies)).collect();
        let mut wanted: Vec<String> = expected.iter().map(|line| mask(line, varies)).collect();
        if !wanted.iter().any(|line| line == "...") {
            in_order(&mut masked);
            in_order(&mut wanted);
        }
        if !is_same(&wanted, &masked) {
            failures.push(difference(&page.name, line, &command.line, expected, &output, varies));
            page.set_output(index, output);
        }
    }
    Ok(failures)
}

/// Says where two outputs differ: lines of the page with their numbers, and what came instead.
fn difference(
    name: &str,
    at: usize,
    command: &str,
    expected: &[String],
    found: &[String],
    varies: &[String],
) -> String {
    let is_equal = |(a, b): &(&String, &String)| is_same(&[mask(a, varies)], &[mask(b, varies)]);
    let before = expected.iter().zip(found).take_while(is_equal).count();
    let rest = expected.len().min(found.len()) - before;
    let after = expected.iter().rev().zip(found.iter().rev()).take(rest).take_while(is_equal).count();
    let mut out = format!("{name}:{at}: `{command}` prints something else\n");
    for (offset, line) in expected.iter().enumerate().take(expected.len() - after).skip(before) {
        out += &format!("  {name}:{}: - {line}\n", at + 1 + offset);
    }
    for line in &found[before..found.len() - after] {
        out += &format!("  {name}:{}: + {line}\n", at + 1 + before);
    }
    out
}

/// Somebody who reads the page and types along, in a home of their own.
struct Reader {
    user: User,
}

impl Reader {
    /// Makes the file that `cat FILE` shows, where it is not there yet.
    fn make_file(&self, command: &str, text: &[String]) -> Result<(), String> {
        let Some(file) = command.strip_prefix("cat ") else { return Ok(()) };
        let path = self.user.dir.join(file);
        if file.contains(|c: char| c.is_whitespace() || "|;&<>".contains(c)) || path.exists() {
            return Ok(());
        }
        let text: String = text.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(path, text).map_err(|e| format!("`{file}` cannot be written: {e}"))
    }

    /// Gives a line to `sh` and returns its exit code and what both streams got, line by line.
    fn run(&self, line: &str) -> Result<(Option<i32>, Vec<String>), String> {
        let mgctl = paths::mgctl();
        let bin = mgctl.parent().unwrap_or(Path::new("/"));
        let path = std::env::join_paths(
            [bin.to_owned()]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        )
        .map_err(|e| format!("PATH: {e}"))?;
        let (mut reader, writer) = std::io::pipe().map_err(|e| format!("no pipe: {e}"))?;
        let mut command = Command::new("sh");
        let like = self.user.command();
        command.arg("-c").arg(line).current_dir(&self.user.dir).stdin(Stdio::null());
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("PATH", path);
        command.stdout(writer.try_clone().map_err(|e| format!("no pipe: {e}"))?).stderr(writer);
        let mut child = command.spawn().map_err(|e| format!("`sh` cannot be started: {e}"))?;
        // The command holds the ends that are written to; while they are open here, reading would not end.
        drop(command);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map_err(|e| format!("its output cannot be read: {e}"))?;
        let status = child.wait().map_err(|e| format!("it cannot be waited for: {e}"))?;
        let text = String::from_utf8(text).map_err(|_| "it does not print UTF-8".to_owned())?;
        let home = self.user.dir.to_string_lossy();
        let lines = text.replace(&*home, HOME);
        // What a step says while it waits depends on how long it waits.
        let lines =
            lines.lines().filter(|line| !line.starts_with(" … ")).map(|line| line.trim_end().to_owned());
        Ok((status.code(), lines.collect()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let names = self.user.run(&["ls", "-o", "name"]);
        for name in String::from_utf8_lossy(&names.stdout).lines() {
            // A failure here must not hide the page's own.
            let out = self.user.run(&["-c", name, "down", "--volumes", "--yes"]);
            if !out.status.success() {
                eprintln!("mgctl down: {}", String::from_utf8_lossy(&out.stderr));
            }
        }
    }
}

/// What the pages' own test must find.
pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
    let page =
        |text: &str| Page::read("page.md", text).and_then(|mut page| Ok((run(&mut page)?, page.text())));
    let told: fn(bool, &str) -> Result<(), libtest_mimic::Failed> =
        |is_so, what| if is_so { Ok(()) } else { Err(what.to_owned().into()) };
    vec![
        libtest_mimic::Trial::test("run::a_changed_text_is_told_with_page_and_line", move || {
            let text = "```text\n$ cat a\none\ntwo\n$ printf 'one\\ntwo\\n' | tr w W\none\ntwo\n```\n";
            let (failures, written) = page(text)?;
            let [failure] = &failures[..] else { return Err(format!("{failures:?}").into()) };
            told(failure.starts_with("page.md:5: `printf"), failure)?;
            told(failure.contains("\n  page.md:7: - two\n  page.md:7: + tWo\n"), failure)?;
            told(!failure.contains("- one"), failure)?;
            told(written == text.replace("one\ntwo\n```", "one\ntWo\n```"), &written)
        }),
        libtest_mimic::Trial::test("run::lines_may_be_left_out_where_the_page_says_so", move || {
            let (failures, _) = page("```text\n$ seq 5\n1\n...\n5\n```\n")?;
            told(failures.is_empty(), &failures.join("\n"))?;
            let (failures, _) = page("```text\n$ echo one two three\none two ...\n```\n")?;
            told(failures.is_empty(), &failures.join("\n"))?;
            for wrong in ["$ seq 5\n1\n...\n6", "$ echo one two three\none three ..."] {
                let (failures, _) = page(&format!("```text\n{wrong}\n```\n"))?;
                told(failures.len() == 1, wrong)?;
            }
            Ok(())
        }),
        libtest_mimic::Trial::test("run::a_failure_must_be_told", move || {
            let silent = page("```text\n$ exit 3\n```\n");
            told(silent.is_err_and(|why| why.contains("page.md:2") && why.contains("Some(3)")), "it passes")?;
            let (failures, _) = page("```text\n$ (exit 3); echo \"exit code $?\"\nexit code 3\n```\n")?;
            told(failures.is_empty(), &failures.join("\n"))
        }),
        libtest_mimic::Trial::test("run::what_cannot_be_run_says_why", move || {
            let both =
                |first: &str| page(&format!("```text\n{first}\n$ exit 3\n```\n```text\n$ true\n```\n"));
            told(both("# not re-run: it never ends")?.0.is_empty(), "it is run")?;
            told(both("mgctl up").is_err_and(|why| why.starts_with("page.md:2: ")), "it is not missed")
        }),
    ]
}
