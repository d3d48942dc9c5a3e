//! Work as it goes on: lines that change in place on a terminal, a line per finished step elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::Ui;
use crate::args::Progress;
use crate::error::printable;
use crate::output;

/// The steps on a terminal, if any is shown.
#[derive(Default)]
pub struct Work(Mutex<Option<MultiProgress>>);

impl Work {
    fn bars(&self) -> std::sync::MutexGuard<'_, Option<MultiProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) -> ProgressBar {
        let mut bars = self.bars();
        let bars = bars
            .get_or_insert_with(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        bars.add(ProgressBar::new_spinner())
    }

    /// Does `work` while no line moves, so that other text is not overwritten.
    pub(super) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        let bars = self.bars().clone();
        match bars {
            Some(bars) => bars.suspend(work),
            None => work(),
        }
    }

    /// Writes a line above those that move.
    fn print(&self, line: &str) {
        if let Some(bars) = &*self.bars() {
            // Nobody can be told that standard error is gone.
            let _ = bars.println(line);
        }
    }

    pub(super) fn clear(&self) {
        *self.bars() = None;
    }
}

/// A step of work that is shown. It ends by [`Step::done`] or [`Step::failed`]; dropped, it ends as interrupted.
pub struct Step {
    ui: Ui,
    verb: String,
    subject: String,
    began: Instant,
    bar: Option<ProgressBar>,
    said: Mutex<String>,
    ended: bool,
}

impl Step {
    pub(super) fn new(ui: Ui, verb: &str, subject: &str) -> Step {
        let (verb, subject) = (printable(verb), printable(subject));
        let bar = (ui.0.progress == Progress::Tty).then(|| {
            let bar = ui.0.work.add();
            bar.set_style(style());
            bar.set_message(format!("{verb:<8} {subject}"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let began = Instant::now();
        let step = Step { ui, verb, subject, began, bar, said: Mutex::default(), ended: false };
        step.json("started", "");
        step
    }

    /// Says how the step goes on.
    pub fn say(&self, detail: &str) {
        let detail = printable(detail);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said == detail {
            return;
        }
        *said = detail.clone();
        match self.ui.0.progress {
            Progress::Tty => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{:<8} {:<28} {detail}", self.verb, self.subject));
                }
            }
            Progress::Plain => self.ui.talk(&format!(" … {:<8} {:<28} {detail}\n", self.verb, self.subject)),
            Progress::Json => self.json("running", &detail),
            Progress::Auto | Progress::None => {}
        }
    }

    /// Ends the step: it is true now.
    pub fn done(mut self, detail: &str) {
        self.end("done", "✔", detail);
    }

    /// Ends the step: it is not.
    pub fn failed(mut self, detail: &str) {
        self.end("failed", "✘", detail);
    }

    fn end(&mut self, state: &str, mark: &str, detail: &str) {
        self.ended = true;
        let detail = printable(detail);
        let seconds = self.began.elapsed().as_secs_f64();
        let line = format!(" {mark} {:<8} {:<28} {detail:<34} {seconds:>5.1}s", self.verb, self.subject);
        match self.ui.0.progress {
            Progress::Tty => {
                // What is done does not move: a plan may have more steps than the terminal has lines.
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                self.ui.0.work.print(&line);
            }
            Progress::Plain => self.ui.talk(&format!("{line}\n")),
            Progress::Json => self.json(state, &detail),
            Progress::Auto | Progress::None => {}
        }
    }

    fn json(&self, state: &str, detail: &str) {
        if self.ui.0.progress == Progress::Json {
            let seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            let event = json!({
                "apiVersion": output::VERSION, "kind": "Progress", "step": self.verb, "subject": self.subject, "state": state, "detail": detail, "seconds": seconds,
            });
            self.ui.line(&event);
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.end("interrupted", "✘", "interrupted");
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(" {spinner} {msg}")
        .expect("the template is a constant that indicatif can read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Output;

    /// Returns the lines without their times.
    fn lines(text: &str) -> Vec<String> {
        text.lines().map(|line| line.rsplit_once(' ').unwrap().0.trim_end().to_owned()).collect()
    }

    #[test]
    fn plain_progress_is_a_line_per_change() {
        let (ui, out, err) = Ui::captured(Output::Table, Progress::Plain, "");
        ui.step("network", "mgctl-demo").done("created 172.28.37.0/24");
        let step = ui.step("image", "memgraph/memgraph:3.5.1");
        step.say("pulling 1");
        step.say("pulling 1");
        step.failed("no such image");
        drop(ui.step("start", "m1"));
        assert_eq!(out.text(), "");
        assert_eq!(
            lines(&err.text()),
            [
                " ✔ network  mgctl-demo                   created 172.28.37.0/24",
                " … image    memgraph/memgraph:3.5.1      pulling",
                " ✘ image    memgraph/memgraph:3.5.1      no such image",
                " ✘ start    m1                           interrupted",
            ]
        );
    }

    #[test]
    fn progress_for_scripts_is_a_json_object_per_change() {
        let (ui, _, err) = Ui::captured(Output::Table, Progress::Json, "");
        let step = ui.step("start", "m1");
        step.say("waits");
        step.done("running");
        let lines: Vec<serde_json::Value> =
            err.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let states: Vec<&str> = lines.iter().map(|line| line["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["started", "running", "done"]);
        assert!(lines.iter().all(|line| line["apiVersion"] == "mgctl/v1" && line["kind"] == "Progress"));
    }

    #[test]
    fn with_progress_for_scripts_all_talk_is_json() {
        let (ui, out, err) = Ui::captured(Output::Table, Progress::Json, "");
        ui.say("Before  main MAIN");
        ui.problem(&crate::error::Problem::warning("one node is no cluster").code("MG031"));
        ui.error(&crate::error::CliError::new(crate::error::Exit::NotFound, "no cluster `x`"));
        let lines: Vec<serde_json::Value> =
            err.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["text"], "Before  main MAIN");
        assert_eq!(
            (&lines[1]["severity"], &lines[1]["problem"]["code"]),
            (&json!("warning"), &json!("MG031"))
        );
        assert_eq!(
            (&lines[2]["severity"], &lines[2]["problem"]["message"]),
            (&json!("error"), &json!("no cluster `x`"))
        );
        assert_eq!((lines.len(), out.text().as_str()), (3, ""));
    }

    #[test]
    fn no_progress_is_silent() {
        let (ui, _, err) = Ui::captured(Output::Table, Progress::None, "");
        ui.step("start", "m1").done("running");
        assert_eq!(err.text(), "");
    }
}
