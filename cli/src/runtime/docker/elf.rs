//! Reads from an ELF file what a loader needs: its interpreter, and the libraries it names.
//!
//! Only what is needed to carry a dynamic executable into an image that has nothing else: the
//! program headers, and of the dynamic section `DT_NEEDED`, `DT_RPATH`, `DT_RUNPATH`. 64-bit,
//! little-endian files, which are all that mgctl is built as.

use std::path::{Path, PathBuf};

/// What one ELF file asks of its loader.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Elf {
    /// `e_machine`; a library for another one is not the library that is wanted.
    pub(super) machine: u16,
    /// The loader, where the file is a dynamic executable.
    pub(super) interpreter: Option<String>,
    /// Names or paths of libraries, in the order of the file.
    pub(super) needed: Vec<String>,
    /// Folders to search first, `$ORIGIN` not yet replaced.
    pub(super) run_path: Vec<String>,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads the headers of `file`, a whole ELF file.
pub(super) fn read(file: &[u8]) -> Result<Elf, &'static str> {
    if file.get(..4) != Some(b"\x7fELF") {
        return Err("it is not an ELF file");
    }
    if file.get(4..6) != Some(&[2, 1]) {
        return Err("it is not a 64-bit little-endian ELF file");
    }
    let table = u64_at(file, 32)?;
    let entry = u64::from(u16_at(file, 54)?);
    let count = u64::from(u16_at(file, 56)?);
    let mut segments = Vec::new();
    for i in 0..count {
        let at = table.checked_add(i * entry).ok_or(CUT)?;
        segments.push(Segment {
            kind: u32_at(file, at)?,
            offset: u64_at(file, at + 8)?,
            address: u64_at(file, at + 16)?,
            size: u64_at(file, at + 32)?,
        });
    }

    let mut elf = Elf { machine: u16_at(file, 18)?, ..Elf::default() };
    if let Some(s) = segments.iter().find(|s| s.kind == PT_INTERP) {
        elf.interpreter = Some(text_at(file, s.offset)?);
    }
    let Some(dynamic) = segments.iter().find(|s| s.kind == PT_DYNAMIC) else {
        return Ok(elf);
    };
    let mut entries = Vec::new();
    for i in 0..dynamic.size / 16 {
        let at = dynamic.offset + i * 16;
        let (tag, value) = (u64_at(file, at)?, u64_at(file, at + 8)?);
        if tag == DT_NULL {
            break;
        }
        entries.push((tag, value));
    }
    let Some((_, strings)) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB) else {
        return Ok(elf);
    };
    // The string table is given by where it is loaded, not by where it lies in the file.
    let home = segments
        .iter()
        .find(|s| s.kind == PT_LOAD && s.address <= *strings && *strings - s.address < s.size)
        .ok_or("its string table is in no segment")?;
    let strings = home.offset + (*strings - home.address);
    for (tag, value) in entries {
        let text = || text_at(file, strings.checked_add(value).ok_or(CUT)?);
        match tag {
            DT_NEEDED => elf.needed.push(text()?),
            DT_RPATH | DT_RUNPATH => {
                elf.run_path.extend(text()?.split(':').filter(|p| !p.is_empty()).map(String::from));
            }
            _ => {}
        }
    }
    Ok(elf)
}

const CUT: &str = "it ends too early";

fn bytes_at<const N: usize>(file: &[u8], at: u64) -> Result<[u8; N], &'static str> {
    let at = usize::try_from(at).map_err(|_| CUT)?;
    let end = at.checked_add(N).ok_or(CUT)?;
    file.get(at..end).and_then(|b| b.try_into().ok()).ok_or(CUT)
}

fn u16_at(file: &[u8], at: u64) -> Result<u16, &'static str> {
    bytes_at(file, at).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], at: u64) -> Result<u32, &'static str> {
    bytes_at(file, at).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: u64) -> Result<u64, &'static str> {
    bytes_at(file, at).map(u64::from_le_bytes)
}

fn text_at(file: &[u8], at: u64) -> Result<String, &'static str> {
    let at = usize::try_from(at).map_err(|_| CUT)?;
    let rest = file.get(at..).ok_or(CUT)?;
    let end = rest.iter().position(|b| *b == 0).ok_or(CUT)?;
    String::from_utf8(rest[..end].to_vec()).map_err(|_| "a name in it is not text")
}

/// Where this system's loader looks for libraries.
#[derive(Clone, Debug)]
pub(super) struct Search {
    folders: Vec<PathBuf>,
}

impl Search {
    /// Reads `/etc/ld.so.conf` and adds the folders that loaders have built in.
    pub(super) fn of_this_system() -> Search {
        let mut folders = Vec::new();
        read_conf(Path::new("/etc/ld.so.conf"), &mut folders, 0);
        let arch = std::env::consts::ARCH;
        for prefix in ["/lib", "/usr/lib"] {
            for libc in ["gnu", "musl"] {
                folders.push(PathBuf::from(format!("{prefix}/{arch}-linux-{libc}")));
            }
        }
        for plain in ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"] {
            folders.push(PathBuf::from(plain));
        }
        Search { folders }
    }

    /// Returns the file that a loader would take for `name`, asked for by a file in `origin`, and
    /// what is in it.
    pub(super) fn find(
        &self,
        name: &str,
        machine: u16,
        run_path: &[String],
        origin: &Path,
    ) -> Option<(PathBuf, Vec<u8>)> {
        let fits = |path: PathBuf| {
            let bytes = std::fs::read(&path).ok()?;
            (read(&bytes).ok()?.machine == machine).then_some((path, bytes))
        };
        if name.contains('/') {
            return fits(PathBuf::from(name));
        }
        let origin = origin.to_string_lossy();
        run_path
            .iter()
            .map(|p| PathBuf::from(p.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)))
            .chain(self.folders.iter().cloned())
            .find_map(|folder| fits(folder.join(name)))
    }
}

/// Adds the folders that an `ld.so.conf` names; files that are not there name none.
fn read_conf(path: &Path, folders: &mut Vec<PathBuf>, depth: u32) {
    const INCLUDES_DEEP_MAX: u32 = 4;
    let Ok(text) = std::fs::read_to_string(path) else { return };
    for line in text.lines().map(|l| l.split('#').next().unwrap_or("").trim()) {
        if let Some(pattern) = line.strip_prefix("include ") {
            if depth < INCLUDES_DEEP_MAX {
                for file in matches_of(pattern.trim()) {
                    read_conf(&file, folders, depth + 1);
                }
            }
        } else if line.starts_with('/') {
            folders.push(PathBuf::from(line));
        }
    }
}

/// Files that a pattern such as `/etc/ld.so.conf.d/*.conf` stands for, in order of name.
fn matches_of(pattern: &str) -> Vec<PathBuf> {
    let Some((folder, name)) = pattern.rsplit_once('/') else { return Vec::new() };
    let Some((before, after)) = name.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| {
            p.file_name().and_then(|n| n.to_str()).is_some_and(|n| {
                n.len() >= before.len() + after.len() && n.starts_with(before) && n.ends_with(after)
            })
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_names_its_loader_and_every_library_is_found() {
        let path = std::env::current_exe().unwrap();
        let elf = read(&std::fs::read(&path).unwrap()).unwrap();
        let search = Search::of_this_system();
        for name in &elf.needed {
            let found = search.find(name, elf.machine, &elf.run_path, path.parent().unwrap());
            assert!(found.is_some(), "{name} is not found");
        }
        assert_eq!(elf.interpreter.is_some(), !elf.needed.is_empty());
    }

    #[test]
    fn a_file_that_ends_anywhere_is_an_error_or_a_shorter_answer_but_never_a_panic() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for end in (0..4096.min(whole.len())).chain([whole.len() / 2]) {
            let _ = read(&whole[..end]);
        }
        assert_eq!(read(b"#!/bin/sh\n"), Err("it is not an ELF file"));
    }
}
