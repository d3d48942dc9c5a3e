//! Files as a platter keeps them: bytes that a process sees, and what of them a power cut leaves.
//!
//! Every file has two images of 512-byte sectors: the one that processes see, and the synced one. A
//! write changes the first and remembers each version of each sector it touched since the last sync.
//! When the power goes, every such sector comes back as any of its versions, each on its own: writes
//! are torn and reordered. Names are a list of changes since the last sync of their folder; of each
//! folder's a prefix survives, and a rename is one change.

use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const SECTOR: usize = 512;

/// A file, by a number that a rename does not change.
pub(crate) type FileId = u64;

#[derive(Clone, Debug, Default)]
struct File {
    seen: Vec<u8>,
    synced: Vec<u8>,
    /// Versions of each sector since the last sync, the newest last.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Lengths since the last sync.
    lengths: Vec<usize>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(String, FileId),
    Moved(String, String, FileId),
    Gone(String),
}

impl NameChange {
    fn folder(&self) -> &str {
        match self {
            NameChange::Put(name, _) | NameChange::Moved(_, name, _) | NameChange::Gone(name) => {
                folder_of(name)
            }
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            NameChange::Put(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Moved(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
            NameChange::Gone(name) => {
                names.remove(name);
            }
        }
    }
}

/// Returns the folder of a file, empty for the root.
fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// One disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<FileId, File>,
    names: BTreeMap<String, FileId>,
    synced_names: BTreeMap<String, FileId>,
    /// Since the last sync of the folder.
    changes: Vec<NameChange>,
    next: FileId,
}

impl Files {
    /// Makes a file, empty, in place of one of that name.
    pub(crate) fn create(&mut self, name: &str) -> FileId {
        self.next += 1;
        let id = self.next;
        self.files.insert(id, File::default());
        self.put_name(name.to_owned(), id);
        id
    }

    fn put_name(&mut self, name: String, id: FileId) {
        self.names.insert(name.clone(), id);
        self.changes.push(NameChange::Put(name, id));
    }

    pub(crate) fn find(&self, name: &str) -> Option<FileId> {
        self.names.get(name).copied()
    }

    /// Returns the names that begin with `prefix`, sorted.
    pub(crate) fn list(&self, prefix: &str) -> Vec<String> {
        let from = self.names.range(prefix.to_owned()..);
        from.map(|(name, _)| name).take_while(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// Returns what a process reads.
    pub(crate) fn read(&self, id: FileId) -> &[u8] {
        self.files.get(&id).map_or(&[], |file| &file.seen)
    }

    pub(crate) fn write(&mut self, id: FileId, offset: usize, bytes: &[u8]) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let end = offset + bytes.len();
        if file.seen.len() < end {
            file.seen.resize(end, 0);
            file.lengths.push(end);
        }
        file.seen[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let to = ((sector + 1) * SECTOR).min(file.seen.len());
            file.dirty.entry(sector).or_default().push(file.seen[sector * SECTOR..to].to_vec());
        }
    }

    /// Adds zeroes that are synced with the file; cheap, for files that are made ahead of their use.
    pub(crate) fn prepare(&mut self, id: FileId, bytes: usize) {
        if let Some(file) = self.files.get_mut(&id) {
            file.seen = vec![0; bytes];
            file.synced = vec![0; bytes];
        }
    }

    pub(crate) fn set_length(&mut self, id: FileId, length: usize) {
        if let Some(file) = self.files.get_mut(&id) {
            file.seen.resize(length, 0);
            file.lengths.push(length);
        }
    }

    pub(crate) fn sync(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if !file.lengths.is_empty() {
            file.lengths.clear();
            // A cut and what was written after it.
            file.synced.clone_from(&file.seen);
        }
        for sector in std::mem::take(&mut file.dirty).into_keys() {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(file.seen.len());
            if from < to {
                file.synced[from..to].copy_from_slice(&file.seen[from..to]);
            }
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(id) = self.names.remove(from) {
            self.names.insert(to.to_owned(), id);
            self.changes.push(NameChange::Moved(from.to_owned(), to.to_owned(), id));
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if self.names.remove(name).is_some() {
            self.changes.push(NameChange::Gone(name.to_owned()));
        }
    }

    /// Makes the names in a folder last.
    pub(crate) fn sync_names(&mut self, folder: &str) {
        let names = &mut self.synced_names;
        self.changes.retain(|change| {
            let is_here = change.folder() == folder;
            if is_here {
                change.apply(names);
            }
            !is_here
        });
        self.forget_nameless();
    }

    fn forget_nameless(&mut self) {
        if self.changes.is_empty() && self.files.len() > self.names.len() {
            let kept: BTreeSet<FileId> = self.names.values().copied().collect();
            self.files.retain(|id, _| kept.contains(id));
        }
    }

    /// The power goes.
    pub(crate) fn cut(&mut self, rng: &mut Rng) {
        let folders: BTreeSet<String> = self.changes.iter().map(|c| c.folder().to_owned()).collect();
        for folder in folders {
            let here = self.changes.iter().filter(|c| c.folder() == folder);
            let kept = rng.below(here.clone().count() as u64 + 1) as usize;
            here.take(kept).for_each(|change| change.apply(&mut self.synced_names));
        }
        self.changes.clear();
        self.names.clone_from(&self.synced_names);
        self.forget_nameless();
        for file in self.files.values_mut() {
            file.cut(rng);
        }
    }

    /// A sync of this file has failed: what it left is not known, to the process least of all.
    pub(crate) fn fail(&mut self, id: FileId, rng: &mut Rng) {
        if let Some(file) = self.files.get_mut(&id) {
            file.cut(rng);
        }
    }

    /// Turns one bit over, on the platter and for whoever reads it back.
    pub(crate) fn flip(&mut self, id: FileId, byte: usize, bit: u32) {
        let Some(file) = self.files.get_mut(&id) else { return };
        for image in [&mut file.seen, &mut file.synced] {
            if let Some(byte) = image.get_mut(byte) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Zeroes a sector, as if it had never been written.
    pub(crate) fn lose_sector(&mut self, id: FileId, byte: usize) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let from = byte / SECTOR * SECTOR;
        for image in [&mut file.seen, &mut file.synced] {
            let to = (from + SECTOR).min(image.len());
            if from < to {
                image[from..to].fill(0);
            }
        }
    }

    /// Returns a sector, to put it back later.
    pub(crate) fn sector(&self, id: FileId, byte: usize) -> Option<(usize, Vec<u8>)> {
        let seen = &self.files.get(&id)?.seen;
        let from = byte / SECTOR * SECTOR;
        let to = (from + SECTOR).min(seen.len());
        (from < to).then(|| (from, seen[from..to].to_vec()))
    }

    /// Puts those bytes of a sector back that are still `after`, in every version of it: what was written
    /// there since stays.
    pub(crate) fn restore(&mut self, id: FileId, from: usize, before: &[u8], after: &[u8]) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let mend = |place: &mut [u8]| {
            for ((byte, before), after) in place.iter_mut().zip(before).zip(after) {
                if *byte == *after {
                    *byte = *before;
                }
            }
        };
        for image in [&mut file.seen, &mut file.synced] {
            mend(image.get_mut(from..).unwrap_or_default());
        }
        for version in file.dirty.get_mut(&(from / SECTOR)).into_iter().flatten() {
            mend(version);
        }
    }

    pub(crate) fn exists(&self, id: FileId) -> bool {
        self.files.contains_key(&id)
    }

    /// Whether the sector that holds `byte` waits for a sync.
    pub(crate) fn is_dirty(&self, id: FileId, byte: usize) -> bool {
        self.files
            .get(&id)
            .is_none_or(|file| file.dirty.contains_key(&(byte / SECTOR)) || !file.lengths.is_empty())
    }
}

impl File {
    fn cut(&mut self, rng: &mut Rng) {
        let choice = rng.below(self.lengths.len() as u64 + 1) as usize;
        let length = if choice == 0 { self.synced.len() } else { self.lengths[choice - 1] };
        self.lengths.clear();
        self.synced.resize(length, 0);
        // Often all of them, often none, else each on its own.
        let way = rng.below(4);
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            let choice = match way {
                0 => 0,
                1 => versions.len(),
                _ => rng.below(versions.len() as u64 + 1) as usize,
            };
            let from = sector * SECTOR;
            if choice == 0 || from >= length {
                continue;
            }
            let version = &versions[choice - 1];
            let to = (from + version.len()).min(length);
            self.synced[from..to].copy_from_slice(&version[..to - from]);
        }
        self.seen.clone_from(&self.synced);
    }
}
