//! What was done to a cluster from this machine: one line for each operation, written down when it ends; and
//! `mgctl history`.
//!
//! It is a diary and no state: nothing reads it but people, and nothing depends on it. It lies beside the state of
//! local processes, as `<cluster>/events.jsonl`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Context;
use super::session::Session;
use crate::args::History;
use crate::error::{CliError, Exit};
use crate::runtime::process::Processes;
use crate::ui::{Cell, Table, Tone, Ui};

/// A diary longer than this is put aside.
const BYTES_MAX: u64 = 1 << 20;

fn path(cluster: &str) -> Option<PathBuf> {
    Some(Processes::of_this_user().ok()?.diary(cluster))
}

/// Writes down what was done. That it cannot be written down does not make it undone, and is not an error.
pub(super) fn record(cluster: &str, took: Duration, error: Option<&CliError>) {
    let Some(path) = path(cluster) else { return };
    let command: Vec<String> = std::env::args().skip(1).collect();
    let line = json!({
        "time": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        "command": command.join(" "),
        "user": std::env::var("USER").unwrap_or_default(),
        "seconds": (took.as_secs_f64() * 1000.0).round() / 1000.0,
        "exit": error.map_or(0, |e| e.exit().code()),
        "error": error.map(|e| &e.problem().what),
    });
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if fs::metadata(&path).is_ok_and(|m| m.len() > BYTES_MAX) {
            fs::rename(&path, path.with_extension("1.jsonl"))?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())
    };
    let _: std::io::Result<()> = write();
}

pub(super) async fn run(context: &Context, args: &History) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let text = path(session.cluster()).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    // A line that was cut off by a full disk or a crash is left out.
    let mut entries: Vec<Value> = text.lines().filter_map(operation).collect();
    let skip = entries.len().saturating_sub(args.lines);
    entries.drain(..skip);
    let data = json!({ "operations": entries });
    let text = |ui: &Ui| {
        if entries.is_empty() {
            return "Nothing was done to this cluster from this machine".to_owned();
        }
        let mut table = Table::new(["WHEN (UTC)", "TOOK", "EXIT", "COMMAND", "ERROR"]).spare(["ERROR"]);
        for entry in &entries {
            let exit = entry["exit"].as_u64().unwrap_or(0);
            let error = entry["error"].as_str().unwrap_or("");
            table.row([
                Cell::from(date(entry["time"].as_u64().unwrap_or(0))),
                Cell::from(format!("{:.1}s", entry["seconds"].as_f64().unwrap_or(0.0))),
                Cell::new(exit.to_string(), if exit == 0 { Tone::Good } else { Tone::Bad }),
                Cell::from(entry["command"].as_str().unwrap_or("")),
                Cell::from(error.to_owned()),
            ]);
        }
        table.render(ui)
    };
    session.ui.result("History", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}

/// Reads a line of the diary.
fn operation(line: &str) -> Option<Value> {
    let read: Value = serde_json::from_str(line).ok()?;
    Some(json!({
        "time": read["time"].as_u64()?, "command": read["command"].as_str()?, "user": read["user"].as_str()?,
        "seconds": read["seconds"].as_f64()?, "exit": read["exit"].as_u64()?, "error": read["error"].as_str(),
    }))
}

/// Returns a moment as `2026-11-26 22:40:21`.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, in eras of 400 years, so that leap days are last.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn seconds_become_a_date() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(1_795_732_821), "2026-11-26 22:40:21");
    }
}
