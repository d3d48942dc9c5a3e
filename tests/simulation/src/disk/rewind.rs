//! Cutting the log back, and what is kept aside of it.

use super::log::records_of;
use super::view::View;
use super::{Disk, NoStart, Op, REWIND, Rewound};
use mgnode_core::durability::{Decided, LoggedRecord, OnDamage, SegmentHeader, put_frame};
use mgnode_core::engine::recover_node;
use mgnode_core::types::{Lsn, OneByOne, Position};

impl Disk {
    /// Returns what cuts the log back to a record, and where it then ends; or why it cannot be done.
    pub(super) fn rewind(&self, to: Position) -> Result<(Vec<Op>, Rewound), String> {
        let state = self.state.clone();
        let mut view = View { disk: self, up_to: Some(to.lsn) };
        let found = recover_node(&mut view, OnDamage::Refuse, self.names.clone(), &OneByOne, || state);
        let (recovered, found) = found.map_err(|e| e.to_string())?;
        let found = found.ok_or("there is no state file")?;
        if found.last != to {
            return Err(format!("what is left ends at {}", found.last));
        }
        let mut ops = Vec::new();
        self.keep_tail(to, found.chain, &mut ops)?;
        self.replace(REWIND, to.to_string().into_bytes().into(), &mut ops);
        self.cut_to(to.lsn, &mut ops);
        Ok((ops, Rewound { recovered: Box::new(recovered), to, chain: found.chain, live: found.live }))
    }

    /// Copies every record after `to` into a segment of its own.
    pub(super) fn keep_tail(&self, to: Position, chain: u64, ops: &mut Vec<Op>) -> Result<(), String> {
        let (node, first) = (self.node, to.lsn.next());
        let mut next = first;
        let header = SegmentHeader { node, sequence: 1, first, chain, bytes: 0 };
        let mut bytes = header.encode();
        for (_, name) in self.segments() {
            for (logged, _) in self.records(&name) {
                if logged.record.lsn > to.lsn {
                    let offset = bytes.len() as u64;
                    put_frame(&mut bytes, offset, &logged);
                    if logged.record.lsn == next {
                        next = next.next();
                    }
                }
            }
        }
        if next != self.log.last.next() {
            return Err(format!("record {next}, to be kept aside, cannot be read"));
        }
        let name = self.free_aside(&format!("{}-{}.wal", to.epoch, to.lsn));
        ops.push(Op::Create(name.clone()));
        ops.push(Op::Write(name.clone(), 0, bytes.into()));
        ops.push(Op::Sync(name));
        ops.push(Op::SyncNames("diverged"));
        Ok(())
    }

    pub(super) fn rewind_completion(&self) -> Result<Vec<Op>, NoStart> {
        let mut ops = Vec::new();
        let Some(id) = self.files.find(REWIND) else { return Ok(ops) };
        let text = String::from_utf8_lossy(self.files.read(id)).into_owned();
        let to: Position = text.parse().map_err(|()| NoStart::Unusable(REWIND.to_owned()))?;
        self.cut_to(to.lsn, &mut ops);
        Ok(ops)
    }

    pub(super) fn cut_to(&self, to: Lsn, ops: &mut Vec<Op>) {
        // A later note would let records of the next branch pass for decided ones.
        if let Some(note) = self.newest_note().filter(|note| note.lsn > to) {
            self.note(Decided { number: note.number + 1, lsn: to }, true, ops);
        }
        for (_, name) in self.segments().into_iter().rev() {
            let bytes = self.files.read(self.files.find(&name).unwrap_or(0));
            let Ok(Some(header)) = SegmentHeader::decode(bytes) else { continue };
            if header.first > to {
                ops.push(Op::Remove(name));
            } else if let Some((_, offset)) =
                self.records(&name).into_iter().find(|(logged, _)| logged.record.lsn > to)
            {
                self.wipe_after(&name, offset, ops);
            }
        }
        ops.push(Op::SyncNames("wal"));
        for (_, name) in self.snapshots().into_iter().filter(|(lsn, _)| *lsn > to) {
            ops.push(Op::Rename(name.clone(), self.free_aside(&name)));
            ops.push(Op::SyncNames("diverged"));
        }
        ops.push(Op::SyncNames("snapshots"));
        ops.push(Op::Remove(REWIND.to_owned()));
        ops.push(Op::SyncNames(""));
    }

    pub(super) fn wipe_after(&self, name: &str, from: usize, ops: &mut Vec<Op>) {
        let file = self.files.read(self.files.find(name).unwrap_or(0));
        let header = SegmentHeader::decode(file).ok().flatten();
        let bytes = file.len().max(header.map_or(0, |header| header.bytes as usize));
        let say_length = |bytes: usize, ops: &mut Vec<Op>| {
            if let Some(header) = header {
                let header = SegmentHeader { bytes: bytes as u64, ..header };
                ops.push(Op::Write(name.to_owned(), 0, header.encode().into()));
            }
        };
        say_length(0, ops);
        ops.push(Op::Sync(name.to_owned()));
        ops.push(Op::SetLength(name.to_owned(), from));
        ops.push(Op::Sync(name.to_owned()));
        ops.push(Op::Write(name.to_owned(), from, vec![0; bytes - from].into()));
        ops.push(Op::Sync(name.to_owned()));
        say_length(bytes, ops);
        ops.push(Op::Sync(name.to_owned()));
    }

    /// Returns the records that were put aside, with their chain hashes.
    pub(crate) fn aside(&self) -> Vec<LoggedRecord> {
        let names = self.files.list("diverged/");
        let files = names.iter().filter_map(|name| self.files.find(name)).map(|id| self.files.read(id));
        files.flat_map(records_of).map(|(logged, _)| logged).collect()
    }

    pub(super) fn free_aside(&self, name: &str) -> String {
        let name = name.rsplit('/').next().unwrap_or_default();
        let numbered = |n: u64| match n {
            0 => format!("diverged/{name}"),
            n => format!("diverged/{name}.{n}"),
        };
        (0..).map(numbered).find(|n| self.files.find(n).is_none()).expect("numbers do not end")
    }
}
