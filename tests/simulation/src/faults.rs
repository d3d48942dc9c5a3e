//! What goes wrong: processes, disks, clocks, links. Then nothing does any more.

use crate::rng::Rng;
use crate::world::{Event, MS, Passing, SECOND, World};
use mgnode_core::engine::{Admin, Input};
use mgnode_core::replication::PROTOCOL;

impl World {
    pub(crate) fn fault(&mut self) -> Result<(), String> {
        let every = self.options.fault_every;
        let delay = self.fault_rng.range(every / 4, every * 2);
        self.after(delay, Event::Fault);
        if self.is_calm {
            return Ok(());
        }
        if let Some(mut rng) = self.disturbance(0xfa17) {
            self.disturb(&mut rng)?;
        }
        Ok(())
    }

    fn disturb(&mut self, rng: &mut Rng) -> Result<(), String> {
        let nodes = self.nodes.len() as u64;
        let node = rng.below(nodes) as usize;
        let other = (node + 1 + rng.below(nodes - 1) as usize) % self.nodes.len();
        match rng.below(24) {
            0..=2 => {
                let (is_power, down) = (rng.one_in(2), rng.range(5, 1_500) * MS);
                let is_asked = rng.clone().one_in(4);
                self.light_fuse_at_start(node, rng);
                if is_asked && !is_power {
                    self.stop(node)?;
                }
                self.kill(node, is_power, down);
            }
            3..=7 => {
                let fuse = rng.below(60);
                self.light_fuse_at_start(node, rng);
                self.nodes[node].fuse_is_power = rng.one_in(2);
                self.nodes[node].fuse = Some(fuse);
            }
            8 | 9 => self.pause(node, rng.range(1, 2_000) * MS),
            10 | 11 => {
                let (one_way, long) = (rng.one_in(2), rng.range(5, 2_500) * MS);
                self.note(|| format!("link {node}-{other} is cut, one way: {one_way}"));
                self.count("partitions");
                self.block((node, other), long);
                if !one_way {
                    self.block((other, node), long);
                }
            }
            12 => self.clog(rng),
            13 => {
                let open: Vec<u64> =
                    self.nodes[node].process.iter().flat_map(|p| p.conns.values().copied()).collect();
                if !open.is_empty() {
                    let conn = rng.pick(&open);
                    self.count("broken connections");
                    self.break_conn(conn);
                }
            }
            14 => self.disk_fault(node, rng),
            15 => {
                let rate = rng.pick(&[900, 990, 1_000, 1_010, 1_100]);
                let leap = if rng.one_in(4) { 3_600 * SECOND } else { 0 };
                self.note(|| format!("clock of node {node}: {rate} ms a second, {leap} ns ahead"));
                self.count(if leap > 0 { "clocks that leapt" } else { "clocks that drift" });
                let now = self.now;
                self.nodes[node].set_clock(now, leap, rate);
            }
            16 => {
                // All at once, as in a cellar.
                for node in 0..self.nodes.len() {
                    let down = rng.range(5, 500) * MS;
                    self.kill(node, true, down);
                }
            }
            17 => {
                let main = self.operator.main;
                let (is_power, down) = (rng.one_in(2), rng.range(3, 8) * SECOND);
                self.kill(main, is_power, down);
            }
            18 if rng.one_in(4) => self.nodes[node].greets_foreign = true,
            18 => {
                if let Some(conn) =
                    self.nodes[node].process.as_ref().and_then(|p| p.conns.values().next().copied())
                    && let Some(c) = self.conns.get_mut(&conn)
                {
                    c.is_newer = true;
                }
            }
            19 | 20 => self.damage(node, rng),
            _ => self.disk_fault(node, rng),
        }
        if rng.one_in(3) {
            self.check_fold(node)?;
        }
        if rng.one_in(3) {
            self.ask(other, Admin::CreateSnapshot)?;
        }
        Ok(())
    }

    /// A process is asked to end: it says how every commit that it has taken stands.
    fn stop(&mut self, node: usize) -> Result<(), String> {
        let n = &self.nodes[node];
        let Some(boot) = n.process.as_ref().map(|p| p.boot).filter(|_| n.paused_until <= self.now) else {
            return Ok(());
        };
        self.note(|| format!("node {node} is asked to end"));
        self.count("stops");
        self.step(node, Input::Stop)?;
        if self.oracle.proposals.values().any(|p| p.is_taken && p.to == (node, boot)) {
            return Err(format!("1.2: node {node} ends without a word about a commit"));
        }
        Ok(())
    }

    fn light_fuse_at_start(&mut self, node: usize, rng: &mut Rng) {
        if rng.one_in(3) {
            self.nodes[node].fuse_at_start = Some(rng.below(12));
        }
    }

    fn pause(&mut self, node: usize, long: u64) {
        if self.nodes[node].process.is_some() {
            self.note(|| format!("node {node} is stopped"));
            let until = self.now + long;
            let n = &mut self.nodes[node];
            n.paused_until = until;
            n.resumed_at = until;
            self.count("pauses");
        }
    }

    fn block(&mut self, link: (usize, usize), long: u64) {
        self.blocked.insert(link);
        self.after(long, Event::Calm { fault: Passing::Link(link.0, link.1) });
    }

    /// Directions all over the cluster stop and go, as a switch that is too busy makes them.
    fn clog(&mut self, rng: &mut Rng) {
        self.count("clogged networks");
        self.note(|| "the network is clogged".into());
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if from != to && rng.one_in(2) {
                    self.block((from, to), rng.range(1, 400) * MS);
                }
            }
        }
    }

    fn disk_fault(&mut self, node: usize, rng: &mut Rng) {
        let long = rng.range(50, 3_000) * MS;
        let disk = &mut self.nodes[node].disk;
        let (what, fault) = match rng.below(6) {
            0 => {
                disk.must_fail = true;
                ("a sync fails", None)
            }
            1 | 2 => {
                disk.is_full = true;
                ("the disk is full", Some(Passing::Full(node)))
            }
            3 if rng.one_in(3) => {
                disk.is_read_only = true;
                ("the disk is read-only", Some(Passing::ReadOnly(node)))
            }
            _ => {
                disk.slowness_us = rng.pick(&[200, 30_000, 400_000, 2_000_000]);
                ("the disk is slow", Some(Passing::Slow(node)))
            }
        };
        self.note(|| format!("node {node}: {what}"));
        self.count(what);
        if let Some(fault) = fault {
            self.after(long, Event::Calm { fault });
        }
    }

    /// One copy of what all have is damaged. Never two at a time, and never the only one.
    fn damage(&mut self, node: usize, rng: &mut Rng) {
        if self.nodes.len() == 1 || self.nodes.iter().any(|n| n.is_damaged()) || !self.is_whole() {
            return;
        }
        if let Some(what) = self.nodes[node].damage(rng) {
            self.note(|| format!("node {node}: {what}"));
            self.count(what);
        }
    }

    pub(crate) fn pass(&mut self, fault: Passing) {
        match fault {
            Passing::Link(from, to) => {
                self.blocked.remove(&(from, to));
            }
            Passing::Full(node) => self.nodes[node].disk.is_full = false,
            Passing::ReadOnly(node) => self.nodes[node].disk.is_read_only = false,
            Passing::Slow(node) => self.nodes[node].disk.slowness_us = 2_000,
        }
    }

    /// No more faults; everyone is back.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.is_calm = true;
        self.blocked.clear();
        self.note(|| "all is healed".into());
        let now = self.now;
        for node in 0..self.nodes.len() {
            let n = &mut self.nodes[node];
            n.undo_damage();
            n.set_clock(now, 0, 1_000);
            n.greets_foreign = false;
            // Else what an earlier version cannot read would never reach it.
            n.protocol = PROTOCOL;
            // A stopped one goes on when its time is over: what waits for it keeps its order.
            n.down_until = 0;
            n.fuse = None;
            n.fuse_at_start = None;
            n.disk.slowness_us = 2_000;
            n.disk.is_full = false;
            n.disk.is_read_only = false;
            n.disk.must_fail = false;
            if n.process.is_none() && !n.refuses {
                self.start(node)?;
            }
        }
        Ok(())
    }
}
