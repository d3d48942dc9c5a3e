//! What is compared of a line, where a run differs from the run before.
//!
//! Written as such, and not compared: times and durations (`<time>`), addresses and ports (`<address>`), digests and other
//! words of eight and more hexadecimal digits (`<id>`), process ids (`process <n>`), numbers beside the words that the page
//! names (`<n>`), and how wide columns are.

/// Units of a duration. `m` and `h` only count behind a number.
const UNITS: &[&str] = &["ms", "µs", "s", "m", "h"];

/// Returns what is compared of a line.
pub(crate) fn mask(line: &str, varies: &[String]) -> String {
    let words: Vec<String> = line.split_whitespace().map(word).collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let bare = |i: usize| words.get(i).map_or("", |w| trimmed(w));
        let is_beside = |i: usize| {
            varies.iter().any(|v| v == bare(i + 1) || i > 0 && v == bare(i - 1)) && is_number(bare(i))
        };
        if is_number(bare(at)) && UNITS.contains(&bare(at + 1)) {
            // `0.7 ms`, in two words.
            out.push(
                words[at].replacen(bare(at), "<time>", 1) + &words[at + 1].replacen(bare(at + 1), "", 1),
            );
            at += 1;
        } else if at > 0 && bare(at - 1) == "process" && is_number(bare(at)) || is_beside(at) {
            out.push(words[at].replacen(bare(at), "<n>", 1));
        } else {
            out.push(words[at].clone());
        }
        at += 1;
    }
    out.join(" ")
}

/// A word without what stands around it in a sentence.
fn trimmed(word: &str) -> &str {
    word.trim_matches(|c: char| "()[],;:'\"`".contains(c)).trim_end_matches('.')
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// Masks the parts of a word: maximal runs of letters, digits and what joins them.
fn word(text: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || ".:".contains(c);
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if end == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out += &rest[..next];
            rest = &rest[next..];
            continue;
        }
        // What ends a sentence is no part of a number.
        let part = rest[..end].trim_end_matches(['.', ':']);
        out += part_of(part).unwrap_or(part);
        out += &rest[part.len()..end];
        rest = &rest[end..];
    }
    // A day, and a day with a time, are joined by `-`.
    let day = |t: &str| {
        t.len() >= 10 && t.is_char_boundary(10) && {
            let parts: Vec<&str> = t[..10].split('-').collect();
            parts.len() == 3 && parts.iter().all(|p| is_number(p)) && parts[0].len() == 4
        }
    };
    if day(text) { "<time>".into() } else { out }
}

fn part_of(part: &str) -> Option<&'static str> {
    let (host, port) = match part.split_once(':') {
        Some((host, port)) if is_number(port) => (host, Some(port)),
        Some(_) => (part, None),
        None => (part, None),
    };
    let is_address = host.split('.').count() == 4 && host.split('.').all(is_number);
    if is_address || port.is_some_and(|p| p.len() >= 4) {
        return Some("<address>");
    }
    // 11:28:22
    if part.len() == 8 && part.split(':').count() == 3 && part.split(':').all(is_number) {
        return Some("<time>");
    }
    if is_duration(part) {
        return Some("<time>");
    }
    (part.len() >= 8
        && part.bytes().all(|b| b.is_ascii_hexdigit())
        && part.bytes().any(|b| b.is_ascii_digit()))
    .then_some("<id>")
}

/// `0.1s`, `20ms`, `1m30s`.
fn is_duration(mut part: &str) -> bool {
    let mut is_any = false;
    while !part.is_empty() {
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(part.len());
        if !is_number(&part[..digits]) {
            return false;
        }
        let unit = &part[digits..];
        let letters = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        if !UNITS.contains(&&unit[..letters]) {
            return false;
        }
        part = &unit[letters..];
        is_any = true;
    }
    is_any
}

/// Whether what came is what is expected, both masked. Of what is expected, a line `...` is any number of lines, and a
/// line that ends with ` ...` is any line that begins so.
pub(crate) fn is_same(expected: &[String], found: &[String]) -> bool {
    let Some(first) = expected.first() else { return found.is_empty() };
    if first == "..." {
        return (0..=found.len()).any(|skipped| is_same(&expected[1..], &found[skipped..]));
    }
    let is_line = |found: &String| match first.strip_suffix(" ...") {
        Some(begin) => found.starts_with(begin),
        None => found == first,
    };
    found.first().is_some_and(is_line) && is_same(&expected[1..], &found[1..])
}

/// Steps that go on at the same time end in any order: each run of their lines is put in one.
pub(crate) fn in_order(lines: &mut [String]) {
    for run in lines.chunk_by_mut(|a, b| is_step(a) && is_step(b)) {
        run.sort();
    }
}

fn is_step(line: &str) -> bool {
    line.trim_start().starts_with('✔')
}

/// Tests that run before the pages do.
pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
    let cases: &[(&str, &str)] = &[
        (" ✔ start    main     process 14409      0.0s", "✔ start main process <n> <time>"),
        ("127.0.0.1:7687 answers as MAIN", "<address> answers as MAIN"),
        ("loopback 127.43.151.0/24", "loopback <address>/24"),
        ("bolt://127.0.0.1:7687", "bolt://<address>"),
        ("30 rows, digest f4e1087018a2, the same", "30 rows, digest <id>, the same"),
        ("2 rows (0.7 ms on main)", "2 rows (<time> on main)"),
        ("(3.8s)", "(<time>)"),
        ("Write pause 0.024 s, full after 0.060 s.", "Write pause <time>, full after <time>."),
        ("2026-11-27 11:28:22  0.3s  0  up", "<time> <time> <time> 0 up"),
        ("main | 2026-11-27T11:28:28.749521Z  INFO", "main | <time> INFO"),
        ("export MG_PORT='7687'", "export MG_PORT='7687'"),
        ("obeys nobody below epoch 3", "obeys nobody below epoch 3"),
        ("certificate for 396 days", "certificate for 396 days"),
        ("acknowledged 664 · lost 0", "acknowledged <n> · lost 0"),
        ("both at 12", "both at 12"),
    ];
    let varies = ["acknowledged".to_owned()];
    cases
        .iter()
        .map(|(line, masked)| {
            let varies = varies.clone();
            libtest_mimic::Trial::test(format!("mask::{masked}"), move || {
                let found = mask(line, &varies);
                if found == *masked { Ok(()) } else { Err(format!("`{line}` became `{found}`").into()) }
            })
        })
        .collect()
}
