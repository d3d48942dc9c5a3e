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

/// Draws over what was drawn before: each line ends what stood there, and so does the whole.
fn draw(ui: &Ui, frame: &str) {
    let lines: String = frame.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    ui.raw(&format!("\x1b[H{lines}\x1b[J"));
}
