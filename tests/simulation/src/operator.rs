//! An operator, as `mgctl` is one: looks at the nodes, and brings them to where they should be.
//!
//! It keeps nothing but its intent. Whatever a command's fate (answered, refused, lost with the
//! node), it looks again and goes on from what the nodes say.

use crate::rng::Rng;
use crate::world::{MS, PORT, SECOND, World};
use mgnode_core::engine::{Admin, AdminAnswer, AdminError, StateReport};
use mgnode_core::types::{Role, SyncMode};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Intent {
    /// One MAIN, all others registered.
    Stable,
    /// The MAIN hands over: demote, compare, promote.
    Switch { to: usize },
    /// The MAIN is gone: fence everyone else, take the best.
    Failover { number: u64, fenced: BTreeSet<usize>, since: u64 },
}

#[derive(Clone, Debug)]
struct Outstanding {
    token: u64,
    node: usize,
    boot: u64,
    since: u64,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Register { replica: usize },
    Promote,
    Fence,
    Other,
}

#[derive(Debug)]
pub(crate) struct Operator {
    /// Which node should be MAIN.
    pub(crate) main: usize,
    /// The number of its reign, as far as the operator gave it.
    pub(crate) number: u64,
    intent: Intent,
    outstanding: Option<Outstanding>,
    /// Seen ready at the present MAIN since they were registered there.
    seen_ready: BTreeSet<usize>,
    next_whim: u64,
    main_gone_since: Option<u64>,
    stuck_since: u64,
    /// A replica promised more than the MAIN's epoch, for an operation that was given up.
    must_raise: bool,
}

impl Operator {
    pub(crate) fn new() -> Operator {
        Operator {
            main: 0,
            number: 0,
            intent: Intent::Stable,
            outstanding: None,
            seen_ready: BTreeSet::new(),
            next_whim: 2 * SECOND,
            main_gone_since: None,
            stuck_since: 0,
            must_raise: false,
        }
    }
}

fn name(node: usize) -> String {
    format!("r{node}")
}

impl World {
    fn role(&self, node: usize) -> Option<Role> {
        let n = &self.nodes[node];
        n.process.as_ref().filter(|_| n.paused_until <= self.now).map(|p| p.shared.role())
    }

    fn is_main(&self, node: usize) -> bool {
        self.role(node) == Some(Role::Main)
    }

    fn state(&mut self, node: usize) -> Result<Option<StateReport>, String> {
        Ok(match self.ask(node, Admin::ShowState)? {
            Some(AdminAnswer::State(report)) => Some(report),
            _ => None,
        })
    }

    /// One more than every epoch number that any node that answers has promised.
    fn next_number(&mut self) -> Result<u64, String> {
        let mut highest = self.operator.number;
        for node in 0..self.nodes.len() {
            if let Some(report) = self.state(node)? {
                highest = highest.max(report.state.promised.number).max(report.epoch.number);
            }
        }
        Ok(highest + 1)
    }

    fn order(&mut self, node: usize, command: Admin, what: What) {
        let since = self.now;
        if let Some((token, boot)) = self.command(node, command) {
            self.operator.outstanding = Some(Outstanding { token, node, boot, since, what });
        }
    }

    pub(crate) fn operate(&mut self) -> Result<(), String> {
        if let Some(o) = self.operator.outstanding.clone() {
            let is_gone = self.nodes[o.node].process.as_ref().is_none_or(|p| p.boot != o.boot);
            if is_gone {
                self.operator.outstanding = None;
            } else if self.now - o.since > 40 * SECOND {
                return Err(format!("26: node {} does not answer {:?}", o.node, o.what));
            } else {
                return Ok(());
            }
        }
        match self.operator.intent.clone() {
            Intent::Stable => self.reconcile(),
            Intent::Switch { to } => self.switch(to),
            Intent::Failover { number, fenced, since } => self.fail_over(number, fenced, since),
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        node: usize,
        token: u64,
        result: Result<AdminAnswer, AdminError>,
    ) -> Result<(), String> {
        let Some(o) = self.operator.outstanding.take_if(|o| o.token == token) else { return Ok(()) };
        if let Err(error) = &result {
            let text = format!("{error:?}");
            let word = text.split(['(', ' ']).next().unwrap_or_default().to_owned();
            self.count(&format!("refused command: {word}"));
        }
        match (&o.what, result) {
            (What::Register { replica }, Err(AdminError::Diverged(_))) => {
                self.count("divergences");
                if self.nodes[node].disk.state.replicas.iter().any(|r| r.name == name(*replica)) {
                    return Err("a refused registration is left behind".into());
                }
                self.wipe(*replica);
            }
            (What::Register { .. }, Err(AdminError::Fenced(_))) => self.operator.must_raise = true,
            // It was paired when this MAIN was not yet a member, and missed the news since. As a MAIN it
            // belongs to nobody; that it is then demoted again opens it.
            (What::Register { replica }, Err(AdminError::Unreachable(why))) if why.contains("release it") => {
                self.count("released");
                self.order(*replica, Admin::SetRoleMain { epoch: None }, What::Other);
            }
            (What::Register { replica }, Ok(_)) => {
                self.operator.seen_ready.remove(replica);
            }
            (What::Fence, Ok(_)) => {
                if let Intent::Failover { number, fenced, .. } = &mut self.operator.intent {
                    let promised = self.nodes[node].disk.state.promised.number;
                    if promised < *number {
                        return Err(format!("4: node {node} answers a fence of {number} at {promised}"));
                    }
                    fenced.insert(node);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Brings the cluster to: `main` is MAIN, everyone else is registered there.
    fn reconcile(&mut self) -> Result<(), String> {
        let main = self.operator.main;
        let Some(role) = self.role(main) else { return self.miss_main() };
        self.operator.main_gone_since = None;
        if role != Role::Main {
            let number = self.next_number()?;
            self.order(main, Admin::SetRoleMain { epoch: Some(number) }, What::Promote);
            return Ok(());
        }
        let Some(report) = self.state(main)? else { return Ok(()) };
        self.operator.number = self.operator.number.max(report.epoch.number);
        let is_writable = self.nodes[main].process.as_ref().is_some_and(|p| p.shared.is_writable());
        if is_writable {
            self.operator.stuck_since = self.now;
        }
        let is_stuck = self.now - self.operator.stuck_since > 4 * SECOND && report.confirmed;
        if is_stuck || self.operator.must_raise {
            // Fenced for an operation that was given up.
            self.operator.must_raise = false;
            self.operator.stuck_since = self.now;
            let number = self.next_number()?;
            self.count("reigns raised");
            self.order(main, Admin::SetRoleMain { epoch: Some(number) }, What::Promote);
            return Ok(());
        }
        for node in 0..self.nodes.len() {
            if node != main && self.is_main(node) {
                self.count("demotions");
                self.order(node, Admin::SetRoleReplica { port: PORT }, What::Other);
                return Ok(());
            }
        }
        let Some(AdminAnswer::Replicas(rows)) = self.ask(main, Admin::ShowReplicas)? else { return Ok(()) };
        let mut is_whole = true;
        for node in 0..self.nodes.len() {
            if node == main {
                continue;
            }
            let Some(row) = rows.iter().find(|row| row.name == name(node)) else {
                is_whole = false;
                if self.role(node).is_some() {
                    let (mode, address) = (self.options.modes[node], self.nodes[node].address.clone());
                    let command = Admin::Register { name: name(node), mode, address };
                    self.order(main, command, What::Register { replica: node });
                    return Ok(());
                }
                continue;
            };
            let registered = self.nodes[main].disk.state.replicas.iter().find(|r| r.name == name(node));
            if registered.is_some_and(|r| r.node != self.nodes[node].id) {
                self.count("wrong nodes");
                self.operator.seen_ready.remove(&node);
                self.order(main, Admin::Drop { name: name(node) }, What::Other);
                return Ok(());
            }
            if row.status == "diverged" {
                self.count("divergences");
                self.wipe(node);
                return Ok(());
            }
            if row.status == "ready" {
                self.operator.seen_ready.insert(node);
            } else {
                is_whole = false;
            }
        }
        if !self.is_calm && self.now > self.operator.next_whim {
            let number = self.disturbances;
            self.disturbances += 1;
            let mut rng = Rng::new(self.options.seed ^ 0x3a4a ^ (number << 20));
            self.operator.next_whim = self.now + rng.range(500, 3_000) * MS;
            if !self.options.tweaks.skip.contains(&number) {
                self.whim(&mut rng, main, is_whole);
            }
        }
        Ok(())
    }

    fn whim(&mut self, rng: &mut Rng, main: usize, is_whole: bool) {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|n| *n != main).collect();
        let node = rng.pick(&others);
        match rng.below(6) {
            0..=3 if is_whole => {
                self.operator.intent = Intent::Switch { to: node };
                self.count("switchovers begun");
            }
            4 => {
                self.operator.seen_ready.remove(&node);
                self.count("drops");
                self.order(main, Admin::Drop { name: name(node) }, What::Other);
            }
            _ => self.order(main, Admin::CreateSnapshot, What::Other),
        }
    }

    fn switch(&mut self, to: usize) -> Result<(), String> {
        let from = self.operator.main;
        let Some(role) = self.role(from) else { return Ok(()) };
        if role == Role::Main {
            let Some(AdminAnswer::Replicas(rows)) = self.ask(from, Admin::ShowReplicas)? else {
                return Ok(());
            };
            let is_ready =
                rows.iter().any(|row| row.name == name(to) && matches!(row.status, "ready" | "replicating"));
            if !is_ready || self.role(to).is_none() {
                self.operator.intent = Intent::Stable;
                return Ok(());
            }
            self.order(from, Admin::SetRoleReplica { port: PORT }, What::Other);
            return Ok(());
        }
        if self.is_main(to) {
            return self.promoted(to, false);
        }
        // Demoted. Nothing may be left behind, else the old MAIN takes over again.
        let (Some(old), Some(new)) = (self.state(from)?, self.state(to)?) else { return Ok(()) };
        let number = self.next_number()?;
        let is_equal = |a: &StateReport, b: &StateReport| {
            (a.durable, a.applied, a.chain) == (b.durable, b.applied, b.chain) && a.durable == a.applied
        };
        if is_equal(&old, &new) {
            self.order(to, Admin::SetRoleMain { epoch: Some(number) }, What::Promote);
        } else if old.durable >= new.durable {
            self.count("switchovers given up");
            self.operator.intent = Intent::Stable;
        }
        Ok(())
    }

    fn promoted(&mut self, to: usize, is_failover: bool) -> Result<(), String> {
        let tip = self.nodes[to].process.as_ref().map_or(0, |p| p.tip);
        let lost = self.oracle.check_survivors(tip, is_failover)?;
        self.coverage.add("degraded or ASYNC commits lost with a MAIN", lost);
        self.count(if is_failover { "failovers" } else { "promotions" });
        if let Some(report) = self.state(to)? {
            self.operator.number = self.operator.number.max(report.state.promised.number);
        }
        self.note(|| format!("node {to} is the MAIN now"));
        self.operator.main = to;
        self.operator.seen_ready.clear();
        self.operator.intent = Intent::Stable;
        self.operator.stuck_since = self.now;
        self.operator.must_raise = false;
        Ok(())
    }

    fn keepers(&self) -> Vec<usize> {
        let main = &self.nodes[self.operator.main];
        (0..self.nodes.len())
            .filter(|node| {
                let id = self.nodes[*node].id;
                let is_kept =
                    main.disk.state.replicas.iter().any(|r| r.node == id && r.mode != SyncMode::Async);
                is_kept && self.operator.seen_ready.contains(node)
            })
            .collect()
    }

    fn miss_main(&mut self) -> Result<(), String> {
        let gone = *self.operator.main_gone_since.get_or_insert(self.now);
        if self.is_calm || self.now - gone < SECOND || self.keepers().is_empty() {
            return Ok(());
        }
        let number = self.next_number()?;
        let since = self.now;
        self.note(|| format!("operator fails over with epoch {number}"));
        self.operator.intent = Intent::Failover { number, fenced: BTreeSet::new(), since };
        Ok(())
    }

    fn fail_over(&mut self, number: u64, fenced: BTreeSet<usize>, since: u64) -> Result<(), String> {
        let old = self.operator.main;
        let keepers = self.keepers();
        let is_complete = !keepers.is_empty() && keepers.iter().all(|node| fenced.contains(node));
        for node in fenced.clone() {
            if self.is_main(node) {
                return self.promoted(node, true);
            }
        }
        if !is_complete && (self.now - since > 6 * SECOND || self.is_calm) {
            self.count("failovers given up");
            self.operator.main_gone_since = None;
            self.operator.intent = Intent::Stable;
            return Ok(());
        }
        for node in 0..self.nodes.len() {
            if node != old && !fenced.contains(&node) && self.role(node) == Some(Role::Replica { port: PORT })
            {
                self.order(node, Admin::Fence { epoch: number, by: "failover".into() }, What::Fence);
                return Ok(());
            }
        }
        if !is_complete {
            return Ok(());
        }
        let now = self.now;
        if !self.oracle.fences.iter().any(|(n, _)| *n == number) {
            self.oracle.fences.push((number, now));
        }
        let mut best = None;
        for node in fenced {
            let Some(report) = self.state(node)? else { return Ok(()) };
            let end = report.history.starts.last().map(|(epoch, _)| *epoch);
            best = best.max(Some((end, report.durable, node)));
        }
        if let Some((_, _, node)) = best {
            self.order(node, Admin::SetRoleMain { epoch: Some(number) }, What::Promote);
        }
        Ok(())
    }

    /// Whether everyone is ready and shows the same.
    pub(crate) fn is_converged(&mut self) -> Result<bool, String> {
        let main = self.operator.main;
        if self.operator.intent != Intent::Stable || self.operator.outstanding.is_some() {
            return Ok(false);
        }
        let lsn =
            |w: &World, node: usize| w.nodes[node].process.as_ref().map(|p| p.shared.graph().published());
        let main_lsn = lsn(self, main);
        if !self.is_main(main) || (0..self.nodes.len()).any(|node| lsn(self, node) != main_lsn) {
            return Ok(false);
        }
        let Some(AdminAnswer::Replicas(rows)) = self.ask(main, Admin::ShowReplicas)? else {
            return Ok(false);
        };
        Ok(rows.len() + 1 == self.nodes.len() && rows.iter().all(|r| r.status == "ready" && r.behind == 0))
    }

    pub(crate) fn describe(&mut self) -> String {
        let mut text = format!("operator: {:?}\n", self.operator);
        for node in 0..self.nodes.len() {
            let main = self.ask(node, Admin::ShowReplicas).ok().flatten();
            let state = self.state(node).ok().flatten();
            text += &format!("node {node} {}: {state:?}\n  {main:?}\n", self.nodes[node].id);
        }
        text
    }
}
