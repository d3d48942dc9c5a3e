//! A page: its lines, and the transcripts among them.

/// A command and what the page says that it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// What follows `$ `.
    pub(crate) line: String,
    /// Number of that line, from 0.
    pub(crate) at: usize,
    /// How many lines of output follow it.
    pub(crate) lines: usize,
    /// Words beside which numbers vary.
    pub(crate) varies: Vec<String>,
}

/// A page of the guide.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its name, for messages.
    pub(crate) name: String,
    lines: Vec<String>,
    /// Its commands, in order.
    pub(crate) commands: Vec<Command>,
}

const FENCE: &str = "```";
const VARIES: &str = "<!-- varies:";
const NOT_RUN: &str = "# not re-run: ";

impl Page {
    /// Reads a page. An error names the line that is not understood.
    pub(crate) fn read(name: &str, text: &str) -> Result<Page, String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut commands: Vec<Command> = Vec::new();
        let mut varies = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let line = &lines[at];
            if let Some(words) = line.strip_prefix(VARIES) {
                let words =
                    words.trim_end().strip_suffix("-->").ok_or(format!("{name}:{}: no `-->`", at + 1))?;
                varies = words.split_whitespace().map(str::to_owned).collect();
            } else if let Some(kind) = line.strip_prefix(FENCE) {
                let length = lines[at + 1..].iter().position(|l| l == FENCE);
                let end = at + 1 + length.ok_or(format!("{name}:{}: the block has no end", at + 1))?;
                let block = &lines[at + 1..end];
                let is_command = |l: &String| l.starts_with("$ ");
                match (kind, block.first()) {
                    ("text", Some(first)) if is_command(first) => {
                        for (offset, line) in block.iter().enumerate() {
                            match (line.strip_prefix("$ "), commands.last_mut()) {
                                (Some(command), _) => commands.push(Command {
                                    line: command.to_owned(),
                                    at: at + 1 + offset,
                                    lines: 0,
                                    varies: varies.clone(),
                                }),
                                (None, Some(last)) => last.lines += 1,
                                (None, None) => unreachable!("the block begins with a command"),
                            }
                        }
                    }
                    ("text", Some(first)) if first.starts_with(NOT_RUN) => {}
                    ("text", _) => {
                        return Err(format!(
                            "{name}:{}: a `text` block begins with `$ COMMAND`, or with `{NOT_RUN}WHY`",
                            at + 2
                        ));
                    }
                    (_, _) if block.iter().any(is_command) => {
                        return Err(format!("{name}:{}: a transcript is a `text` block", at + 1));
                    }
                    _ => {}
                }
                varies.clear();
                at = end;
            }
            at += 1;
        }
        if commands.is_empty() {
            return Err(format!("{name}: there is no transcript on this page"));
        }
        Ok(Page { name: name.to_owned(), lines, commands })
    }

    /// What the page says that a command prints.
    pub(crate) fn output(&self, command: usize) -> &[String] {
        let Command { at, lines, .. } = self.commands[command];
        &self.lines[at + 1..at + 1 + lines]
    }

    /// Puts something else there.
    pub(crate) fn set_output(&mut self, command: usize, output: Vec<String>) {
        let Command { at, lines, .. } = self.commands[command];
        let grown = output.len();
        self.lines.splice(at + 1..at + 1 + lines, output);
        self.commands[command].lines = grown;
        for later in &mut self.commands[command + 1..] {
            later.at = later.at + grown - lines;
        }
    }

    /// The whole page.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
