//! What is looked at again and again: on a terminal each look is drawn over the one before.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::error::{CliError, Exit};
use crate::ui::Ui;

/// How many samples are shown beside each other.
const SAMPLES_SHOWN: usize = 40;

/// The last values of several things, by name.
pub(super) type Samples = BTreeMap<String, VecDeque<u64>>;

/// Notes a value; nothing where there is none.
pub(super) fn note(samples: &mut Samples, name: &str, value: Option<u64>) {
    let of_it = samples.entry(name.to_owned()).or_default();
    of_it.extend(value);
    while of_it.len() > SAMPLES_SHOWN {
        of_it.pop_front();
    }
}

/// Whether a view is drawn, rather than each look said for itself.
pub(super) fn is_drawn(ui: &Ui) -> bool {
    ui.is_for_people() && ui.is_terminal()
}

/// Looks until Ctrl-C, until nobody reads any more, or until a look fails. What a look returns is drawn where views are
/// drawn; else it has said by itself what there is to say.
pub(super) async fn show(
    ui: &Ui,
    every: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<String>, CliError>,
) -> Result<Exit, CliError> {
    let is_drawn = is_drawn(ui);
    let mut stopped = std::pin::pin!(tokio::signal::ctrl_c());
    if is_drawn {
        ui.raw("\x1b[?1049h");
    }
    let outcome = loop {
        match look().await {
            Ok(Some(frame)) => draw(ui, &frame),
            Ok(None) => ui.flush(),
            Err(error) => break Err(error),
        }
        if ui.is_closed() {
            break Ok(Exit::Ok);
        }
        tokio::select! {
            _ = &mut stopped => break Ok(Exit::Ok),
            () = tokio::time::sleep(every) => {}
        }
    };
    if is_drawn {
        ui.raw("\x1b[?1049l");
    }
    outcome
}

/// Draws over what was drawn before: each line ends what stood there, and so does the whole. A line that is longer than
/// the terminal is wide is cut, since one that goes on below would move all others.
fn draw(ui: &Ui, frame: &str) {
    let width = ui.terminal_width().map_or(usize::MAX, usize::from);
    let lines: String = frame.lines().map(|line| format!("{}\x1b[K\n", cut(line, width))).collect();
    ui.raw(&format!("\x1b[H{lines}\x1b[J"));
}

/// Returns the first `width` cells of a line; colours count for none, and end with it.
fn cut(line: &str, width: usize) -> String {
    let (mut out, mut cells, mut is_coloured) = (String::new(), 0, false);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            is_coloured = true;
            out.push(c);
            for c in rest.by_ref() {
                out.push(c);
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
            continue;
        }
        cells += 1;
        if cells > width {
            break;
        }
        out.push(c);
    }
    if is_coloured && cells > width { out + "\x1b[0m" } else { out }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_line_is_cut_where_the_terminal_ends() {
        assert_eq!(cut("main · 2/2", 8), "main · 2");
        assert_eq!(cut("main", 8), "main");
        assert_eq!(cut("", 8), "");
        // Colours take no room, and do not go on below.
        assert_eq!(cut("\x1b[1;32mmain\x1b[0m is it", 6), "\x1b[1;32mmain\x1b[0m i\x1b[0m");
        assert_eq!(cut("\x1b[32mmain\x1b[0m", 4), "\x1b[32mmain\x1b[0m");
    }
}
