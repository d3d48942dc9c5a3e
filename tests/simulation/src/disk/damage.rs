//! Bytes that are not what was written.

use super::{Disk, PART, STATE};
use crate::files::FileId;
use crate::rng::Rng;
use mgnode_core::durability::SEGMENT_HEADER_BYTES;

impl Disk {
    /// A byte of what came in turns over.
    pub(crate) fn flip_part(&mut self, rng: &mut Rng) {
        if let Some(part) = self.files.find(PART) {
            let length = self.files.read(part).len() as u64;
            self.files.flip(part, rng.below(length) as usize, rng.below(8) as u32);
        }
    }

    /// Returns a byte of a file whose loss would be found out: of a synced record, a header, a snapshot
    /// or the state file.
    ///
    /// The third part says whether a whole sector may be lost there: not in the segment that is written
    /// to, where that looks as an unfinished write does.
    pub(crate) fn weak_spot(&self, rng: &mut Rng) -> Option<(FileId, usize, bool)> {
        let names: Vec<String> = match rng.below(6) {
            0 => vec![STATE.to_owned()],
            1 => self.snapshots().into_iter().map(|(_, name)| name).collect(),
            _ => self.log.segments.iter().map(|s| s.name.clone()).collect(),
        };
        let name = names.get(rng.below(names.len() as u64) as usize)?;
        let id = self.files.find(name)?;
        let segment = self.log.segments.iter().find(|s| s.name == *name);
        let end = match segment {
            Some(segment) => {
                let records = segment.marks.range(..=self.log.synced);
                records.map(|(_, offset)| *offset).next_back()?
            }
            None => self.files.read(id).len(),
        };
        let byte = rng.below(end as u64) as usize;
        // The rest of a segment's header is zeroes that nobody reads on their own.
        let byte = if segment.is_some() && byte < SEGMENT_HEADER_BYTES { byte % 60 } else { byte };
        let is_live = self.log.segments.last().is_some_and(|s| s.name == *name);
        (!self.files.is_dirty(id, byte)).then_some((id, byte, !is_live))
    }
}
