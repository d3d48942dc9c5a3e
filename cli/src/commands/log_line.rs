//! What a line of a log says of itself: when it was written, and how grave it is. A line that says nothing, as those of a
//! stack, belongs to the one before it.

use crate::args::LogLevel;

/// How far into a line its level stands.
const HEAD: usize = 80;

/// When a line was written, and how grave it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// As `2026-11-27T11:38:55.107829000`, in UTC: later is greater.
    pub(super) time: String,
    pub(super) level: Option<LogLevel>,
}

impl Mark {
    /// Takes in the next line of the same log.
    pub(super) fn advance(&mut self, line: &str) {
        if let Some(time) = time(line) {
            *self = Mark { time, level: level(line) };
        }
    }

    /// Returns the second in which it was written, since 1970.
    pub(super) fn second(&self) -> Option<u64> {
        crate::runtime::docker::seconds(&format!("{}Z", self.time.get(..19)?))
    }
}

/// Reads the time at the beginning of a line: `2026-11-27T11:38:55.107829Z` of our node, `[2026-11-27 11:38:55.107]` of
/// Memgraph's.
fn time(line: &str) -> Option<String> {
    let text = line.strip_prefix('[').unwrap_or(line);
    let head = text.get(..19)?;
    let is_there = head.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => matches!(byte, b'T' | b' '),
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let digits = text[19..].strip_prefix('.').unwrap_or_default();
    let digits = digits.find(|c: char| !c.is_ascii_digit()).map_or(digits, |end| &digits[..end]);
    is_there.then(|| format!("{}.{:0<9}", head.replace(' ', "T"), digits.get(..9).unwrap_or(digits)))
}

fn level(line: &str) -> Option<LogLevel> {
    let end = (0..=HEAD.min(line.len())).rev().find(|at| line.is_char_boundary(*at))?;
    line[..end].split_whitespace().find_map(|word| {
        Some(match word.trim_matches(['[', ']', ':']).to_ascii_lowercase().as_str() {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" | "warning" => LogLevel::Warn,
            "error" | "critical" => LogLevel::Error,
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(lines: &[&str]) -> Mark {
        let mut mark = Mark::default();
        lines.iter().for_each(|line| mark.advance(line));
        mark
    }

    #[test]
    fn times_and_levels_of_both_images_are_read() {
        let ours = mark(&["2026-11-27T11:38:55.107829Z  WARN pairing is open"]);
        assert_eq!(ours, Mark { time: "2026-11-27T11:38:55.107829000".into(), level: Some(LogLevel::Warn) });
        assert_eq!(ours.second(), Some(1_795_779_535));
        let theirs = mark(&["[2026-11-27 11:38:55.107] [memgraph_log] [error] it ended"]);
        assert_eq!(
            theirs,
            Mark { time: "2026-11-27T11:38:55.107000000".into(), level: Some(LogLevel::Error) }
        );
        assert!(theirs.time < ours.time);
    }

    #[test]
    fn a_line_without_a_time_belongs_to_the_one_before() {
        let first = "2026-11-27T11:38:55Z ERROR it ended";
        assert_eq!(mark(&[first, "  at src/main.rs:1", "info: é", ""]), mark(&[first]));
        assert_eq!(mark(&["no time", "2026-11-27"]), Mark::default());
        assert_eq!(mark(&["no time"]).second(), None);
    }
}
