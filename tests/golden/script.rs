//! The words of a script, one line each. Lines that begin with `#` and empty lines mean nothing.
//!
//! ```text
//! main M, replica R [at ADDRESS]          a node with an empty disk starts in this role
//! register R as SYNC at M, drop R at M    queries of an operator, as all up to `bookmark`
//! promote R [with epoch 5], demote M
//! fence R with epoch 5 by OPERATION
//! confirm M, snapshot M
//! rewind R to 1.m.1:3
//! release R
//! show replicas of M                      also: role, state, lag
//! outcome of 1.m.1:3 at M                 SHOW TRANSACTION OUTCOME
//! bookmark 1.m.1:3 at R                   may a reader who has this bookmark read here?
//! commit at M, commit 3 at M              clients commit, each in a transaction of its own
//! deliver [M to R]                        what is under way arrives; without names: everything, and
//!                                         what is sent in answer too, dials first
//! sync [R]                                the disk does all that waits for it
//! settle                                  both, until nothing is left to do, for 10 ms
//! wait 3s                                 time goes by; signs of life are given and heard
//! hold M R, release M R                   a line that carries nothing for a while
//! cut M R                                 their connection ends
//! kill M, cut power of M, start M         the process dies; what was not synced is lost too; it is back
//! fill disk of R, free disk of R
//! fill memory of R, free memory of R
//! damage 3 in log of M                    that record cannot be read back any more
//! newer record from M to R                what a MAIN of a later version might send
//! with read_bytes_max 200                 a limit or a policy, for nodes that start after that
//! with protocol 1                         what connections settle on from now on
//! quietly ...                             does it and says nothing
//! ```

use crate::tale::{Tale, epoch, mode};
use mg_stage::{PORT, Stage};
use mgnode_core::engine::{Admin, EngineConfig, SyncPolicy, Token};
use mgnode_core::types::{Lsn, Position, Role};
use std::time::Duration;

struct Script {
    stage: Stage<Tale>,
    clients: u64,
}

/// Runs a script and returns its output.
pub(crate) fn run(input: &str) -> Result<String, String> {
    let mut script = Script { stage: Stage::new(Tale::default(), EngineConfig::default()), clients: 0 };
    let mut output = String::new();
    for (number, line) in input.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (words, is_quiet) = match line.strip_prefix("quietly ") {
            Some(words) => (words, true),
            None => (line, false),
        };
        script.line(words).map_err(|why| format!("line {}, `{line}`: {why}", number + 1))?;
        let told = std::mem::take(&mut script.stage.audience.lines);
        if !is_quiet {
            output += &format!("> {line}\n");
            output.extend(told.iter().map(|line| format!("  {line}\n")));
        }
    }
    Ok(output)
}

impl Script {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["main", name] => self.add(name, name, Role::Main),
            ["replica", name] => self.add(name, name, Role::Replica { port: PORT }),
            ["replica", name, "at", address] => self.add(name, address, Role::Replica { port: PORT }),
            ["register", name, "as", word, "at", main] => {
                let mode = mode(word)?;
                let command = Admin::Register { name: name.into(), mode, address: format!("{name}:{PORT}") };
                self.ask(main, command)
            }
            ["drop", name, "at", main] => self.ask(main, Admin::Drop { name: name.into() }),
            ["promote", name] => self.ask(name, Admin::SetRoleMain { epoch: None }),
            ["promote", name, "with", "epoch", number] => {
                let epoch = Some(parse(number)?);
                self.ask(name, Admin::SetRoleMain { epoch })
            }
            ["demote", name] => self.ask(name, Admin::SetRoleReplica { port: PORT }),
            ["fence", name, "with", "epoch", number, "by", by] => {
                self.ask(name, Admin::Fence { epoch: parse(number)?, by: by.into() })
            }
            ["confirm", name] => self.ask(name, Admin::ConfirmMain),
            ["snapshot", name] => self.ask(name, Admin::CreateSnapshot),
            ["release", name] => self.ask(name, Admin::Release),
            ["rewind", name, "to", position] => {
                let to = self.position(position)?;
                self.ask(name, Admin::Rewind { to })
            }
            ["show", "replicas", "of", name] => self.ask(name, Admin::ShowReplicas),
            ["show", "role", "of", name] => self.ask(name, Admin::ShowRole),
            ["show", "state", "of", name] => self.ask(name, Admin::ShowState),
            ["show", "lag", "of", name] => self.ask(name, Admin::ShowLag),
            ["outcome", "of", position, "at", name] => {
                let position = self.position(position)?;
                self.ask(name, Admin::TransactionOutcome { position })
            }
            ["bookmark", position, "at", name] => self.bookmark(position, name),
            ["commit", "at", name] => self.commit(1, name),
            ["commit", count, "at", name] => self.commit(parse(count)?, name),
            ["deliver"] => {
                while self.deliver_all() {}
                Ok(())
            }
            ["deliver", from, "to", to] => self.deliver(from, to),
            ["sync"] => {
                self.sync_all();
                Ok(())
            }
            ["sync", name] => {
                let node = self.node(name)?;
                while self.stage.work(node) {}
                Ok(())
            }
            ["settle"] => {
                while self.deliver_all() | self.sync_all() {}
                // Records for ASYNC replicas gather for a moment.
                self.stage.leap(Duration::from_millis(10));
                while self.deliver_all() | self.sync_all() {}
                Ok(())
            }
            ["wait", time] => self.wait(time),
            ["hold", a, b] => self.hold(a, b, true),
            ["release", a, b] => self.hold(a, b, false),
            ["cut", a, b] => {
                let wire = self.wire(a, b)?;
                self.stage.cut(wire);
                Ok(())
            }
            ["kill", name] => {
                let node = self.node(name)?;
                self.stage.kill(node);
                Ok(())
            }
            ["cut", "power", "of", name] => {
                let node = self.node(name)?;
                self.stage.cut_power(node);
                Ok(())
            }
            ["start", name] => {
                let node = self.node(name)?;
                self.stage.start(node);
                Ok(())
            }
            ["damage", lsn, "in", "log", "of", name] => {
                let node = self.node(name)?;
                self.stage.damage(node, Lsn(parse(lsn)?));
                Ok(())
            }
            ["fill", "disk", "of", name] => self.space(name, false),
            ["free", "disk", "of", name] => self.space(name, true),
            ["fill", "memory", "of", name] => self.memory(name, false),
            ["free", "memory", "of", name] => self.memory(name, true),
            ["newer", "record", "from", main, "to", name] => {
                let wire = self.wire(main, name)?;
                self.stage.send_unreadable_record(wire);
                Ok(())
            }
            ["with", limit, value] => self.set(limit, value),
            _ => Err("these words mean nothing".into()),
        }
    }

    fn node(&self, name: &str) -> Result<usize, String> {
        let place = self.stage.audience.names.iter().position(|n| n == name);
        place.ok_or(format!("there is no node `{name}`"))
    }

    fn add(&mut self, name: &str, address: &str, role: Role) -> Result<(), String> {
        self.stage.audience.names.push(name.to_owned());
        self.stage.add(role, &format!("{address}:{PORT}"));
        Ok(())
    }

    fn ask(&mut self, name: &str, command: Admin) -> Result<(), String> {
        let node = self.node(name)?;
        self.stage.ask(node, Token(0), command);
        Ok(())
    }

    fn commit(&mut self, count: u64, name: &str) -> Result<(), String> {
        let node = self.node(name)?;
        for _ in 0..count {
            self.clients += 1;
            self.stage.commit(node, Token(self.clients));
        }
        Ok(())
    }

    fn bookmark(&mut self, position: &str, name: &str) -> Result<(), String> {
        let (node, position) = (self.node(name)?, self.position(position)?);
        let shared = self.stage.shared(node).ok_or("it does not run")?.clone();
        let text = match shared.history_says(position) {
            Some(false) => "lost: another record stands in its place",
            None => "not yet: the log does not reach it",
            Some(true) if shared.graph().published() < position.lsn => "not yet: it is not shown",
            Some(true) => "the reader sees it",
        };
        self.stage.audience.lines.push(text.into());
        Ok(())
    }

    fn position(&self, text: &str) -> Result<Position, String> {
        let parts = text.split_once(':').ok_or("a position is written epoch:lsn")?;
        Ok(Position { epoch: epoch(parts.0, &self.stage.audience.names)?, lsn: Lsn(parse(parts.1)?) })
    }

    /// Returns the newest connection between two nodes.
    fn wire(&self, a: &str, b: &str) -> Result<usize, String> {
        let pair = (self.node(a)?, self.node(b)?);
        let is_theirs = |ends: [(usize, _); 2]| [pair, (pair.1, pair.0)].contains(&(ends[0].0, ends[1].0));
        let place = self.stage.wires().iter().rposition(|wire| is_theirs(wire.ends()) && !wire.is_over());
        place.ok_or(format!("`{a}` and `{b}` are not connected"))
    }

    /// Connects whoever dials and delivers what is under way now. False where there was nothing.
    fn deliver_all(&mut self) -> bool {
        let mut is_any = false;
        for dial in (0..self.stage.dials().len()).rev() {
            self.stage.connect(dial);
            is_any = true;
        }
        for wire in 0..self.stage.wires().len() {
            for end in [1, 0] {
                for _ in 0..self.stage.wires()[wire].waiting(end) {
                    is_any |= self.stage.deliver(wire, end);
                }
            }
        }
        is_any
    }

    fn deliver(&mut self, from: &str, to: &str) -> Result<(), String> {
        let pair = (self.node(from)?, self.node(to)?);
        if let Some(dial) =
            self.stage.dials().iter().position(|(by, at)| (*by, *at) == (pair.0, Some(pair.1)))
        {
            self.stage.connect(dial);
        }
        for wire in 0..self.stage.wires().len() {
            let ends = self.stage.wires()[wire].ends();
            let Some(end) = (0..2).find(|end| (ends[1 - end].0, ends[*end].0) == pair) else { continue };
            for _ in 0..self.stage.wires()[wire].waiting(end) {
                self.stage.deliver(wire, end);
            }
        }
        Ok(())
    }

    fn sync_all(&mut self) -> bool {
        let mut is_any = false;
        for node in 0..self.stage.nodes().len() {
            while self.stage.work(node) {
                is_any = true;
            }
        }
        is_any
    }

    fn hold(&mut self, a: &str, b: &str, is_held: bool) -> Result<(), String> {
        let wire = self.wire(a, b)?;
        self.stage.hold(wire, is_held);
        Ok(())
    }

    fn space(&mut self, name: &str, enough: bool) -> Result<(), String> {
        let node = self.node(name)?;
        self.stage.set_space(node, enough);
        Ok(())
    }

    fn memory(&mut self, name: &str, enough: bool) -> Result<(), String> {
        let node = self.node(name)?;
        self.stage.set_memory(node, enough);
        Ok(())
    }

    fn wait(&mut self, time: &str) -> Result<(), String> {
        self.stage.wait(duration(time)?);
        Ok(())
    }

    fn set(&mut self, limit: &str, value: &str) -> Result<(), String> {
        let config = &mut self.stage.config;
        match limit {
            "read_bytes_max" => config.read_bytes_max = parse(value)?,
            "live_bytes_max" => config.live_bytes_max = parse(value)?,
            "catch_up_window_bytes" => config.catch_up_window_bytes = parse(value)?,
            "keep_for_absent_bytes" => config.keep_for_absent_bytes = parse(value)?,
            "snapshots_kept" => config.snapshots_kept = parse(value)?,
            "sync_timeout" => config.sync_timeout = duration(value)?,
            "confirm_required" => config.confirm_required = parse(value)?,
            "sync_policy" => {
                config.sync_policy = match value {
                    "degrade" => SyncPolicy::Degrade,
                    "block" => SyncPolicy::Block,
                    "reject" => SyncPolicy::Reject,
                    _ => return Err(format!("there is no policy `{value}`")),
                }
            }
            "sync_min_acks" => config.sync_min_acks = Some(parse(value)?),
            "wait_in_doubt" => config.wait_in_doubt = parse(value)?,
            "block_timeout" => config.block_timeout = duration(value)?,
            "main_lease" => config.main_lease = Some(duration(value)?),
            "auto_rewind" => config.auto_rewind = parse(value)?,
            "protocol" => self.stage.protocol = parse(value)?,
            _ => return Err(format!("there is no limit `{limit}` here")),
        }
        Ok(())
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not what belongs here"))
}

fn duration(text: &str) -> Result<Duration, String> {
    if let Some(millis) = text.strip_suffix("ms") {
        return Ok(Duration::from_millis(parse(millis)?));
    }
    let seconds = text.strip_suffix('s').ok_or(format!("`{text}` is no time"))?;
    Ok(Duration::from_secs(parse(seconds)?))
}
