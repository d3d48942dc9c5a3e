//! An operator, as `mgctl` is one: looks at the nodes, and brings them to where they should be.
//!
//! It keeps nothing but its intent. Whatever a command's fate (answered, refused, lost with the
//! node), it looks again and goes on from what the nodes say.

use crate::oracle::Fence;
use crate::rng::Rng;
use crate::world::{ADMIN_TOKENS, Event, MS, PORT, SECOND, World};
use mgnode_core::engine::{Admin, AdminAnswer, AdminError, Effect, Input, StateReport, Token};
use mgnode_core::types::{History, Lsn, NodeId, Position, Role, SyncMode};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Intent {
    /// One MAIN, all others registered.
    Stable,
    /// The MAIN hands over: demote, compare, promote.
    Switch { to: usize },
    /// The MAIN is gone: fence everyone else, take the best.
    Failover { number: u64, fenced: BTreeSet<usize>, since: u64 },
    /// Someone is made MAIN, whatever that loses.
    Force { to: usize, number: u64, since: u64 },
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
    Register {
        replica: usize,
    },
    Promote,
    Fence,
    Rewind {
        node: usize,
    },
    /// What must be refused.
    Nonsense,
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
    next_question: u64,
    is_whole: bool,
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
            next_question: 0,
            is_whole: false,
            main_gone_since: None,
            stuck_since: 0,
            must_raise: false,
        }
    }

    /// Whether this node is MAIN by the operator's will, or about to be.
    pub(crate) fn means(&self, node: usize) -> bool {
        match &self.intent {
            _ if node == self.main => true,
            Intent::Stable => false,
            Intent::Switch { to } | Intent::Force { to, .. } => node == *to,
            Intent::Failover { fenced, .. } => fenced.contains(&node),
        }
    }
}

impl World {
    /// A promotion is given up that may have happened: another MAIN goes on, and what was committed there is
    /// owed by nobody.
    fn take_back(&mut self, nodes: &BTreeSet<usize>, number: u64) {
        let ids: BTreeSet<NodeId> = nodes.iter().map(|node| self.nodes[*node].id).collect();
        self.oracle.excuse(|epoch| epoch.number >= number && ids.contains(&epoch.node));
    }
}

/// How a node came to be MAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Switch,
    Failover,
    Force,
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
            Some(AdminAnswer::State(report)) => Some(*report),
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
            Intent::Force { to, number, since } => self.force(to, number, since),
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
                self.bring_back(*replica)?;
            }
            (What::Register { .. }, Err(AdminError::Fenced(_))) => self.operator.must_raise = true,
            // It was paired when this MAIN was not yet a member, and missed the news since.
            (What::Register { replica }, Err(AdminError::Unreachable(why))) if why.contains("release it") => {
                self.count("released");
                self.order(*replica, Admin::Release, What::Other);
            }
            (What::Register { replica }, Ok(_)) => {
                self.operator.seen_ready.remove(replica);
            }
            (What::Rewind { node }, Err(_)) if !self.is_main(*node) => self.wipe(*node),
            (What::Nonsense, Ok(AdminAnswer::Done)) => self.count("commands that had a place after all"),
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
        let stuck_for = self.now - self.operator.stuck_since;
        let is_stuck = stuck_for > 4 * SECOND && report.confirmed || stuck_for > 10 * SECOND;
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
            if node != main && self.nodes[node].refuses {
                self.wipe(node);
                return Ok(());
            }
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
                if !self.options.config.auto_rewind || self.rng.one_in(40) {
                    self.count("divergences");
                    self.bring_back(node)?;
                    return Ok(());
                }
                is_whole = false;
                continue;
            }
            if row.status == "ready" {
                self.operator.seen_ready.insert(node);
                continue;
            }
            is_whole = false;
            // It follows another MAIN's cluster since, and must be told to leave it.
            if row.status == "invalid" && self.role(node) == Some(Role::Replica { port: PORT }) {
                let Some(AdminAnswer::Lag(lag)) = self.ask(main, Admin::ShowLag)? else { continue };
                let error = lag.into_iter().find(|l| l.name == name(node)).and_then(|l| l.last_error);
                if error.is_some_and(|error| error.contains("release it")) {
                    self.count("released");
                    self.order(node, Admin::Release, What::Other);
                    return Ok(());
                }
            }
        }
        self.operator.is_whole = is_whole;
        if self.now > self.operator.next_question {
            self.operator.next_question = self.now + self.rng.range(100, 1_500) * MS;
            self.ask_after(main)?;
        }
        if !self.is_calm && self.now > self.operator.next_whim {
            match self.disturbance(0x3a4a) {
                Some(mut rng) => {
                    self.operator.next_whim = self.now + rng.range(500, 3_000) * MS;
                    self.whim(&mut rng, main, is_whole)?;
                }
                None => self.operator.next_whim = self.now + SECOND,
            }
        }
        Ok(())
    }

    /// A node holds records that the MAIN does not: they are cut off and kept, or the node is emptied.
    fn bring_back(&mut self, node: usize) -> Result<(), String> {
        let (theirs, ours) = (self.state(node)?, self.state(self.operator.main)?);
        if let (Some(theirs), Some(ours)) = (theirs, ours)
            && self.rng.one_in(2)
        {
            let end = |report: &StateReport| report.durable.max(report.applied);
            let lsn = ours.history.common_end(end(&ours), &theirs.history, end(&theirs));
            if let Some(epoch) = theirs.history.epoch_of(lsn)
                && lsn > Lsn::ZERO
            {
                let to = Position { epoch, lsn };
                self.order(node, Admin::Rewind { to }, What::Rewind { node });
                return Ok(());
            }
        }
        self.wipe(node);
        Ok(())
    }

    /// Looks what became of some commit.
    fn ask_after(&mut self, main: usize) -> Result<(), String> {
        let at = self.rng.next();
        if let Some(position) = self.oracle.some_told(at) {
            let node =
                if self.rng.one_in(3) { self.rng.below(self.nodes.len() as u64) as usize } else { main };
            self.check_outcome(node, position)?;
        }
        Ok(())
    }

    /// Whether everyone but for those who are ASYNC was seen ready since the MAIN is MAIN.
    pub(crate) fn is_whole(&self) -> bool {
        self.operator.is_whole && self.operator.intent == Intent::Stable
    }

    fn whim(&mut self, rng: &mut Rng, main: usize, is_whole: bool) -> Result<(), String> {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|n| *n != main).collect();
        if others.is_empty() {
            self.order(main, Admin::CreateSnapshot, What::Other);
            return Ok(());
        }
        let node = rng.pick(&others);
        let (number, since) = (self.next_number()?, self.now);
        match rng.below(14) {
            0..=4 if is_whole => {
                self.operator.intent = Intent::Switch { to: node };
                self.count("switchovers begun");
            }
            5 | 6 => {
                self.operator.seen_ready.remove(&node);
                self.count("drops");
                self.order(main, Admin::Drop { name: name(node) }, What::Other);
            }
            // An operation that is given up after its first step.
            7 => {
                let node = if rng.one_in(3) { main } else { node };
                self.count("fences without promotion");
                self.order(node, Admin::Fence { epoch: number, by: "whim".into() }, What::Other);
            }
            8 if self.nodes.iter().all(|n| !n.is_damaged()) => {
                self.note(|| format!("operator forces node {node} to be MAIN with epoch {number}"));
                self.operator.intent = Intent::Force { to: node, number, since };
            }
            9..=11 => {
                let (asked, command) = self.nonsense(rng, main, node);
                self.count("commands that must be refused");
                self.order(asked, command, What::Nonsense);
            }
            _ => self.order(main, Admin::CreateSnapshot, What::Other),
        }
        Ok(())
    }

    /// Returns a command that has no place here.
    fn nonsense(&self, rng: &mut Rng, main: usize, node: usize) -> (usize, Admin) {
        let register =
            |name: String, address: &str, mode| Admin::Register { name, mode, address: address.to_owned() };
        let (mode, own, address) =
            (self.options.modes[node], &self.nodes[main].address, &self.nodes[node].address);
        match rng.below(10) {
            0 => (main, register(name(node), "elsewhere:1", mode)),
            1 => (main, register("other".into(), address, mode)),
            2 => (main, register("itself".into(), own, mode)),
            3 => (node, register("third".into(), own, mode)),
            4 => (main, Admin::Drop { name: "nobody".into() }),
            5 => (node, Admin::SetRoleReplica { port: PORT }),
            6 => (main, Admin::SetRoleMain { epoch: None }),
            7 if matches!(self.role(node), Some(Role::Replica { .. })) => {
                (node, Admin::Drop { name: name(main) })
            }
            8 => (main, Admin::SetRoleMain { epoch: Some(1) }),
            _ => (main, register("nowhere".into(), "nowhere:1", mode)),
        }
    }

    fn switch(&mut self, to: usize) -> Result<(), String> {
        let from = self.operator.main;
        if self.nodes[from].refuses || self.nodes[to].refuses {
            self.operator.intent = Intent::Stable;
            return Ok(());
        }
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
            return self.promoted(to, How::Switch);
        }
        // Demoted. Nothing may be left behind, else the old MAIN takes over again.
        let (Some(old), Some(new)) = (self.state(from)?, self.state(to)?) else { return Ok(()) };
        let number = self.next_number()?;
        let is_equal = |a: &StateReport, b: &StateReport| {
            (a.durable, a.applied, a.chain) == (b.durable, b.applied, b.chain) && a.durable == a.applied
        };
        if is_equal(&old, &new) {
            self.order(to, Admin::SetRoleMain { epoch: Some(number) }, What::Promote);
        } else if old.durable >= new.durable || self.now - self.operator.stuck_since > 15 * SECOND {
            self.count("switchovers given up");
            self.take_back(&BTreeSet::from([to]), number);
            self.operator.intent = Intent::Stable;
        }
        Ok(())
    }

    fn fenced(&self) -> BTreeSet<NodeId> {
        match &self.operator.intent {
            Intent::Failover { fenced, .. } => fenced.iter().map(|node| self.nodes[*node].id).collect(),
            _ => BTreeSet::new(),
        }
    }

    fn promoted(&mut self, to: usize, how: How) -> Result<(), String> {
        self.nodes[to].undo_damage();
        let tip = self.nodes[to].process.as_ref().map_or(0, |p| p.tip);
        let id = self.nodes[to].id;
        let lost = match how {
            How::Switch => self.oracle.check_survivors(tip, |_| true)?,
            // The best of those that were fenced was taken. With `sync_min_acks` one that is no replica any more
            // may have been the only one that confirmed.
            How::Failover => {
                let fenced = self.fenced();
                self.oracle.check_survivors(tip, |yes| !yes.keepers.is_disjoint(&fenced))?
            }
            How::Force => {
                self.oracle.forget_denied();
                self.oracle.check_survivors(tip, |yes| yes.keepers.contains(&id))?
            }
        };
        self.coverage.add("commits lost with a MAIN, as their mode allows", lost);
        self.count(match how {
            How::Switch => "promotions",
            How::Failover => "failovers",
            How::Force => "forced promotions",
        });
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
        let main = self.operator.main;
        let is_lost = self.nodes[main].refuses;
        let gone = *self.operator.main_gone_since.get_or_insert(self.now);
        if (self.is_calm && !is_lost) || self.now - gone < SECOND {
            return Ok(());
        }
        if self.keepers().is_empty() {
            return if is_lost { self.take_the_best() } else { Ok(()) };
        }
        let number = self.next_number()?;
        let since = self.now;
        self.note(|| format!("operator fails over with epoch {number}"));
        self.operator.intent = Intent::Failover { number, fenced: BTreeSet::new(), since };
        Ok(())
    }

    /// The MAIN will not come back, and nobody has all that it told: whoever has most goes on.
    fn take_the_best(&mut self) -> Result<(), String> {
        let mut best = None;
        for node in 0..self.nodes.len() {
            if node != self.operator.main
                && let Some(report) = self.state(node)?
            {
                let end = report.history.starts.last().map(|(epoch, _)| *epoch);
                best = best.max(Some((end, report.durable, node)));
            }
        }
        let Some((.., to)) = best else { return Ok(()) };
        let (number, since) = (self.next_number()?, self.now);
        self.operator.intent = Intent::Force { to, number, since };
        Ok(())
    }

    fn force(&mut self, to: usize, number: u64, since: u64) -> Result<(), String> {
        let is_new = self.state(to)?.is_some_and(|report| report.state.promised.number >= number);
        if self.is_main(to) && is_new {
            return self.promoted(to, How::Force);
        }
        if self.now - since > 6 * SECOND {
            self.count("forced promotions given up");
            self.take_back(&BTreeSet::from([to]), number);
            self.operator.intent = Intent::Stable;
            return Ok(());
        }
        if self.role(to).is_some() {
            self.order(to, Admin::SetRoleMain { epoch: Some(number) }, What::Promote);
        }
        Ok(())
    }

    fn fail_over(&mut self, number: u64, fenced: BTreeSet<usize>, since: u64) -> Result<(), String> {
        let old = self.operator.main;
        let keepers = self.keepers();
        let is_complete = !keepers.is_empty() && keepers.iter().all(|node| fenced.contains(node));
        for node in fenced.clone() {
            if self.is_main(node) {
                return self.promoted(node, How::Failover);
            }
        }
        let is_lost = self.nodes[old].refuses;
        let is_late = self.now - since > 6 * SECOND;
        if is_late || !is_complete && self.is_calm && !is_lost {
            self.count("failovers given up");
            self.take_back(&fenced, number);
            for fence in self.oracle.fences.iter_mut().filter(|fence| fence.number <= number) {
                fence.is_given_up = true;
            }
            if is_lost {
                return self.take_the_best();
            }
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
        if !self.oracle.fences.iter().any(|fence| fence.number == number) {
            let has_majority = fenced.len() > self.nodes.len() / 2;
            // Clocks are a tenth slow at worst.
            let lease_over = self
                .options
                .config
                .main_lease
                .filter(|_| has_majority)
                .map(|lease| now + u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX) / 8 * 9);
            let main = self.nodes[old].id;
            let holders: BTreeSet<NodeId> = fenced.iter().map(|node| self.nodes[*node].id).collect();
            // Of all that may confirm a commit so many must be in the set that too few are left.
            let counted = self.nodes[old].disk.state.replicas.iter().filter(|r| r.mode != SyncMode::Async);
            let (strict, all) =
                (counted.clone().any(|r| r.mode == SyncMode::StrictSync), counted.clone().count());
            let asked = self.options.config.sync_min_acks.filter(|_| !strict).map_or(all, |k| k.min(all));
            let stops_ok = all - counted.filter(|r| holders.contains(&r.node)).count() < asked;
            let is_given_up = false;
            self.oracle.fences.push(Fence {
                number,
                main,
                at: now,
                stops_ok,
                lease_over,
                holders,
                is_given_up,
            });
        }
        // What only this one confirmed may be nowhere else but at the old MAIN, which is waited for.
        if keepers.iter().any(|node| self.nodes[*node].refuses) && !is_lost {
            self.count("failovers given up");
            self.take_back(&fenced, number);
            self.operator.main_gone_since = None;
            self.operator.intent = Intent::Stable;
            return Ok(());
        }
        let mut reports = Vec::new();
        for node in fenced {
            if self.nodes[node].refuses {
                continue;
            }
            let Some(report) = self.state(node)? else { return Ok(()) };
            let end = report.history.starts.last().map(|(epoch, _)| *epoch);
            reports.push((end, report.durable, node, report.history));
        }
        let of_keepers = reports.iter().filter(|(.., node, _)| keepers.contains(node));
        let Some((_, durable, _, history)) = of_keepers.max_by_key(|(end, durable, ..)| (end, durable))
        else {
            return Ok(());
        };
        // One that was made MAIN to release it, and took commits then, may have the highest epoch of all, and not
        // what the others have.
        let goes_on = |theirs: &&(_, Lsn, usize, History)| {
            history.common_end(*durable, &theirs.3, theirs.1) == *durable
        };
        let best =
            reports.iter().filter(goes_on).max_by_key(|(end, durable, node, _)| (*end, *durable, *node));
        let best = best.map(|(end, durable, node, _)| (*end, *durable, *node));
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
            let lag = self.ask(node, Admin::ShowLag).ok().flatten();
            text += &format!("node {node} {}: {state:?}\n  {main:?}\n  {lag:?}\n", self.nodes[node].id);
        }
        text
    }

    // ---- the operator's wire ----

    /// Asks a node something that it answers at once.
    pub(crate) fn ask(&mut self, node: usize, command: Admin) -> Result<Option<AdminAnswer>, String> {
        if self.nodes[node].paused_until > self.now {
            return Ok(None);
        }
        let token = Token(ADMIN_TOKENS);
        let now = self.time_of(node);
        let Some(process) = &mut self.nodes[node].process else { return Ok(None) };
        let mut effects = Vec::new();
        process.engine.step(now, Input::Admin { token, command }, &mut effects);
        let at = effects.iter().position(|e| matches!(e, Effect::Answer { token: t, .. } if *t == token));
        let answer = at.map(|at| effects.remove(at));
        self.carry_out(node, effects)?;
        self.check(node)?;
        match answer {
            Some(Effect::Answer { result: Ok(answer), .. }) => Ok(Some(answer)),
            _ => Ok(None),
        }
    }

    /// Sends a command; its answer comes back to the operator.
    pub(crate) fn command(&mut self, node: usize, command: Admin) -> Option<(u64, u64)> {
        let boot = self.nodes[node].process.as_ref()?.boot;
        self.next_token += 1;
        let token = ADMIN_TOKENS + self.next_token;
        self.note(|| format!("operator asks node {node}: {command:?}"));
        let delay = self.rng.delay(50, 2_000);
        self.after(delay, Event::Input { node, boot, input: Input::Admin { token: Token(token), command } });
        Some((token, boot))
    }

    pub(crate) fn answered(
        &mut self,
        node: usize,
        token: Token,
        result: Result<AdminAnswer, AdminError>,
    ) -> Result<(), String> {
        self.note(|| format!("node {node} answers: {result:?}"));
        self.on_answer(node, token.0, result)
    }
}
