//! A backup: a graph's statements in a tar file, with what proves them whole.
//!
//! ```text
//! mgctl-backup            "1\n", the version of this format; always the first entry
//! data/000001.cypherl     statements, a line each, in pieces of some MiB; a statement is never cut
//! data/000002.cypherl     ...
//! manifest.json           what it is of, counts, the graph's digest; of each piece its size and SHA-256
//! manifest.json.sha256    SHA-256 of the manifest, in hexadecimal; always the last entry
//! ```
//!
//! It can be read without mgctl: `tar -xOf FILE --wildcards 'data/*' | mgconsole` makes the graph again. It is written
//! from front to back, so that nothing but one piece is in memory, and it gets its name only when it is whole.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use crate::error::{CliError, Exit};

const MARKER: &str = "mgctl-backup";
/// Version of the format that is written and read.
pub const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const CHECKSUM: &str = "manifest.json.sha256";

/// A piece with so many bytes is full.
const PIECE_BYTES: usize = 4 << 20;

/// A piece that says it is longer is not one of ours.
const PIECE_BYTES_MAX: u64 = 256 << 20;

/// What a manifest may have at most; a piece takes some 100 bytes of it.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What a backup is of. Free words for people; nothing is decided by them.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    pub cluster: String,
    pub node: String,
    /// What the server calls itself.
    pub server: String,
    /// Seconds since 1970.
    pub taken: u64,
    /// Where in the log the graph is: epoch, LSN, chain hash; null where that is not known.
    pub position: Value,
}

/// A file under way.
pub struct Writer {
    path: PathBuf,
    partial: PathBuf,
    tar: tar::Builder<File>,
    piece: Vec<u8>,
    pieces: Vec<Piece>,
    statements: u64,
    taken: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    name: String,
    bytes: u64,
    sha256: String,
    /// Where it lies in the file; known to a reader.
    offset: u64,
}

/// A backup whose manifest and checksums were found to be true.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    pieces: Vec<Piece>,
    pub manifest: Value,
    pub digest: Digest,
    pub statements: u64,
    /// Size of the statements.
    pub bytes: u64,
}

impl Writer {
    /// Begins a backup at `path`, which must not exist.
    pub fn create(path: &Path, taken: u64) -> Result<Writer, CliError> {
        refuse_existing(path)?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        // The data of a graph are not for everybody.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&partial).map_err(|e| unwritable(&partial, &e))?;
        let mut writer = Writer {
            path: path.to_owned(),
            partial,
            tar: tar::Builder::new(file),
            piece: Vec::new(),
            pieces: Vec::new(),
            statements: 0,
            taken,
        };
        writer.entry(MARKER, format!("{VERSION}\n").as_bytes())?;
        Ok(writer)
    }

    /// Adds a statement that has no line break and no semicolon at its end.
    pub fn statement(&mut self, text: &str) -> Result<(), CliError> {
        self.piece.extend_from_slice(text.as_bytes());
        self.piece.extend_from_slice(b";\n");
        self.statements += 1;
        if self.piece.len() >= PIECE_BYTES { self.end_piece() } else { Ok(()) }
    }

    /// Ends the file: from now on there is a backup, synced to the disk.
    pub fn finish(mut self, about: &About, digest: Digest, left_out: &[String]) -> Result<Backup, CliError> {
        if !self.piece.is_empty() {
            self.end_piece()?;
        }
        let pieces: Vec<Value> = self
            .pieces
            .iter()
            .map(|p| json!({ "name": p.name, "bytes": p.bytes, "sha256": p.sha256 }))
            .collect();
        let manifest = json!({
            "format": MARKER, "version": VERSION, "mgctl": env!("CARGO_PKG_VERSION"), "cluster": about.cluster,
            "node": about.node, "server": about.server, "taken": about.taken, "position": about.position,
            "vertices": digest.vertices, "edges": digest.edges, "digest": digest.text(),
            "statements": self.statements, "left_out": left_out, "pieces": pieces,
        });
        let text = format!("{manifest:#}\n");
        self.entry(MANIFEST, text.as_bytes())?;
        self.entry(CHECKSUM, format!("{}\n", sha256(text.as_bytes())).as_bytes())?;
        let path = self.path.clone();
        let partial = self.partial.clone();
        let failed = |e: io::Error| unwritable(&partial, &e);
        self.tar.finish().map_err(failed)?;
        self.tar.get_ref().sync_all().map_err(failed)?;
        // What was written is read again before it gets its name.
        let backup = Backup::open(&partial)?;
        refuse_existing(&path)?;
        std::fs::rename(&partial, &path).map_err(|e| unwritable(&path, &e))?;
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            // The name lies in the folder. Not every file system can sync one.
            let _ = File::open(folder).and_then(|f| f.sync_all());
        }
        Ok(Backup { path, ..backup })
    }

    fn end_piece(&mut self) -> Result<(), CliError> {
        let piece = std::mem::take(&mut self.piece);
        let name = format!("data/{:06}.cypherl", self.pieces.len() + 1);
        self.entry(&name, &piece)?;
        self.pieces.push(Piece { name, bytes: piece.len() as u64, sha256: sha256(&piece), offset: 0 });
        Ok(())
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<(), CliError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.taken);
        header.set_cksum();
        self.tar.append_data(&mut header, name, bytes).map_err(|e| unwritable(&self.partial, &e))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Where it was finished it has its name already. What cannot be removed is only in the way.
        let _ = std::fs::remove_file(&self.partial);
    }
}

impl Backup {
    /// Opens a backup and checks every byte of it against its checksums.
    ///
    /// # Errors
    ///
    /// A file that is none, that a newer mgctl wrote, or that is damaged: by name, and where.
    pub fn open(path: &Path) -> Result<Backup, CliError> {
        let file = File::open(path).map_err(|error| {
            CliError::new(Exit::Usage, format!("cannot read `{}`: {error}", path.display())).code("MG001")
        })?;
        Backup::read(path, BufReader::with_capacity(1 << 20, file))
    }

    /// As [`Backup::open`], of what is in the file.
    pub(super) fn read(path: &Path, input: impl Read) -> Result<Backup, CliError> {
        let mut tar = tar::Archive::new(input);
        let mut found: Vec<Piece> = Vec::new();
        let mut manifest: Option<String> = None;
        let mut checksum: Option<String> = None;
        let mut is_ours = false;
        let entries = tar.entries().map_err(|_| foreign(path))?;
        for (index, entry) in entries.enumerate() {
            let unread = |e: io::Error| match index {
                0 => foreign(path),
                _ => damaged(path, &format!("after entry {index} it cannot be read: {e}")),
            };
            let mut entry = entry.map_err(unread)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if index == 0 && name != MARKER {
                return Err(foreign(path));
            }
            is_ours = true;
            if !entry.header().entry_type().is_file() {
                // E.g. one with holes, which is longer than what is there of it.
                return Err(damaged(path, &format!("`{name}` is no plain file")));
            }
            let size = entry.size();
            let limit = if name == MANIFEST { MANIFEST_BYTES_MAX } else { PIECE_BYTES_MAX };
            if size > limit {
                return Err(damaged(path, &format!("`{name}` says it has {size} bytes")));
            }
            if checksum.is_some() {
                return Err(damaged(path, &format!("`{name}` stands behind its end")));
            }
            let offset = entry.raw_file_position();
            // What an entry says of its size may be wrong.
            let mut bytes = Vec::with_capacity(size.min(2 * PIECE_BYTES as u64) as usize);
            entry.read_to_end(&mut bytes).map_err(unread)?;
            if bytes.len() as u64 != size {
                return Err(damaged(path, &format!("it ends within `{name}`")));
            }
            let text = |bytes: Vec<u8>| {
                String::from_utf8(bytes).map_err(|_| damaged(path, &format!("`{name}` is not UTF-8")))
            };
            match name.as_str() {
                MARKER if index == 0 => match text(bytes)?.trim_end().parse() {
                    Ok(VERSION) => {}
                    Ok(version) => return Err(newer(path, version)),
                    Err(_) => return Err(damaged(path, "its version cannot be read")),
                },
                MANIFEST if manifest.is_none() => manifest = Some(text(bytes)?),
                CHECKSUM if manifest.is_some() => checksum = Some(text(bytes)?.trim_end().to_owned()),
                _ if name.starts_with("data/") && manifest.is_none() => {
                    found.push(Piece { name, bytes: size, sha256: sha256(&bytes), offset });
                }
                _ => return Err(damaged(path, &format!("`{name}` does not belong into it"))),
            }
        }
        if !is_ours {
            return Err(foreign(path));
        }
        let manifest = manifest.ok_or_else(|| damaged(path, "it has no manifest: it is cut off"))?;
        match checksum {
            Some(checksum) if checksum == sha256(manifest.as_bytes()) => {}
            Some(_) => return Err(damaged(path, "the manifest is not what its checksum says")),
            None => return Err(damaged(path, "its manifest has no checksum: it is cut off")),
        }
        Backup::of(path, found, &manifest)
    }

    /// Compares what was found with what the manifest says.
    fn of(path: &Path, pieces: Vec<Piece>, manifest: &str) -> Result<Backup, CliError> {
        let manifest: Value =
            serde_json::from_str(manifest).map_err(|e| damaged(path, &format!("its manifest: {e}")))?;
        let incomplete = |what: &str| damaged(path, &format!("its manifest has no `{what}`"));
        let number = |key: &str| manifest[key].as_u64().ok_or_else(|| incomplete(key));
        let digest = manifest["digest"].as_str().unwrap_or_default();
        let digest = Digest::parse(digest, number("vertices")?, number("edges")?)
            .ok_or_else(|| incomplete("digest"))?;
        let listed = manifest["pieces"].as_array().ok_or_else(|| incomplete("pieces"))?;
        for (index, says) in listed.iter().enumerate() {
            let name = says["name"].as_str().unwrap_or_default();
            let Some(is) = pieces.get(index).filter(|p| p.name == name) else {
                return Err(damaged(path, &format!("`{name}` is missing")));
            };
            if says["bytes"].as_u64() != Some(is.bytes) || says["sha256"].as_str() != Some(&is.sha256) {
                return Err(damaged(path, &format!("`{name}` is not what its checksum says"))
                    .note(format!("from byte {} of the file on, {} bytes", is.offset, is.bytes)));
            }
        }
        if let Some(extra) = pieces.get(listed.len()) {
            return Err(damaged(path, &format!("`{}` is not in its manifest", extra.name)));
        }
        let statements = number("statements")?;
        let bytes = pieces.iter().map(|p| p.bytes).sum();
        Ok(Backup { path: path.to_owned(), pieces, manifest, digest, statements, bytes })
    }

    /// Returns its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the statements as one text. Each piece is checked again as it is read.
    pub fn text(&self) -> Result<Text, CliError> {
        let unreadable = |e: io::Error| {
            CliError::new(Exit::Usage, format!("cannot read `{}`: {e}", self.path.display())).code("MG001")
        };
        let file = File::open(&self.path).map_err(unreadable)?;
        Ok(Text { file, pieces: self.pieces.clone(), next: 0, piece: Vec::new(), at: 0 })
    }
}

/// The statements of a backup.
pub struct Text {
    file: File,
    pieces: Vec<Piece>,
    next: usize,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Text {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            let Some(piece) = self.pieces.get(self.next) else { return Ok(0) };
            self.file.seek(SeekFrom::Start(piece.offset))?;
            self.piece.resize(piece.bytes as usize, 0);
            self.file.read_exact(&mut self.piece)?;
            if sha256(&self.piece) != piece.sha256 {
                let what = format!("`{}` changed since it was checked", piece.name);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.at = 0;
            self.next += 1;
        }
        let count = out.len().min(self.piece.len() - self.at);
        out[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Names the text of a backup in messages.
pub fn text_name(backup: &Backup) -> Arc<str> {
    format!("{} (statements)", backup.path.display()).into()
}

/// Refuses to write over a file.
pub fn refuse_existing(path: &Path) -> Result<(), CliError> {
    match path.symlink_metadata() {
        Ok(_) => Err(CliError::new(Exit::Conflict, format!("`{}` exists already", path.display()))
            .code("MG078")
            .help("name another file, or remove it first")),
        Err(_) => Ok(()),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::Other, format!("cannot write `{}`: {error}", path.display())).code("MG078")
}

fn damaged(path: &Path, what: &str) -> CliError {
    CliError::new(Exit::Other, format!("backup `{}` is damaged: {what}", path.display()))
        .code("MG100")
        .help("nothing was changed; use another backup")
}

fn foreign(path: &Path) -> CliError {
    CliError::new(Exit::Usage, format!("`{}` is no backup of mgctl", path.display()))
        .code("MG101")
        .help("`mgctl backup` writes one; Cypher and CSV files are for `mgctl import`")
}

fn newer(path: &Path, version: u32) -> CliError {
    CliError::new(
        Exit::Usage,
        format!("backup `{}` has version {version}, and this mgctl reads {VERSION}", path.display()),
    )
    .code("MG102")
    .help("restore it with the mgctl that wrote it, or a newer one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Vertex;
    use crate::graph::digest::Summing;

    fn about() -> About {
        About {
            cluster: "demo".into(),
            node: "main".into(),
            server: "x".into(),
            taken: 1_795_732_821,
            position: Value::Null,
        }
    }

    fn written(folder: &Path, statements: usize) -> PathBuf {
        let path = folder.join("b.tar");
        let mut writer = Writer::create(&path, about().taken).unwrap();
        for i in 0..statements {
            writer.statement(&format!("CREATE (:A {{x: '{}', i: {i}}})", "é".repeat(100_000))).unwrap();
        }
        let mut summing = Summing::default();
        summing.vertex(&Vertex::default()).unwrap();
        writer.finish(&about(), summing.digest(), &[]).unwrap();
        path
    }

    #[test]
    fn what_was_written_is_read_again_in_pieces_without_a_cut_statement() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 50);
        let backup = Backup::open(&path).unwrap();
        assert_eq!((backup.statements, backup.digest.vertices), (50, 1));
        assert!(backup.pieces.len() > 1, "{:?}", backup.pieces);
        let mut text = String::new();
        backup.text().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 50);
        assert!(text.lines().enumerate().all(|(i, l)| l.ends_with(&format!("i: {i}}});"))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the partial file is gone");
        let again = Writer::create(&path, 0).err().unwrap();
        assert_eq!(again.exit(), Exit::Conflict);
    }

    #[test]
    fn every_flipped_byte_that_counts_and_every_cut_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        let mut writer = Writer::create(&path, 7).unwrap();
        writer.statement("CREATE (:A)").unwrap();
        writer.finish(&about(), Summing::default().digest(), &["trigger t".into()]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let other = folder.path().join("damaged.tar");
        let manifest = Backup::open(&path).unwrap().manifest;
        let mut noticed = 0;
        // Most zeroes are padding; some of them will do.
        for at in (0..whole.len()).filter(|at| whole[*at] != 0 || at % 61 == 0) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            std::fs::write(&other, &bytes).unwrap();
            match Backup::open(&other) {
                Err(error) => {
                    noticed += 1;
                    assert!(
                        ["MG100", "MG101", "MG102"].contains(&error.problem().code.unwrap()),
                        "byte {at}: {error}"
                    );
                }
                // The end of a line, or of a field of a header: it says the same still.
                Ok(read) => {
                    let mut text = String::new();
                    read.text().unwrap().read_to_string(&mut text).unwrap();
                    assert_eq!(text, "CREATE (:A);\n", "byte {at} changed what is restored");
                    assert_eq!(read.manifest, manifest, "byte {at} changed what is said");
                }
            }
        }
        assert!(noticed > 700, "{noticed}");
        let end = whole.len() - 1024 - 512;
        for cut in (0..end).step_by(37) {
            std::fs::write(&other, &whole[..cut]).unwrap();
            let error = Backup::open(&other).err().unwrap_or_else(|| panic!("cut at {cut} went unnoticed"));
            assert!(["MG100", "MG101"].contains(&error.problem().code.unwrap()), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn other_files_and_newer_ones_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let code = |path: &Path| Backup::open(path).err().unwrap().problem().code;
        for text in ["", "CREATE (:A);\n", &"x".repeat(5000)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(code(&path), Some("MG101"), "{text:.20}");
        }
        let make = |entries: &[(&str, &str)]| {
            let mut tar = tar::Builder::new(File::create(&path).unwrap());
            for (name, text) in entries {
                let mut header = tar::Header::new_gnu();
                header.set_size(text.len() as u64);
                header.set_cksum();
                tar.append_data(&mut header, name, text.as_bytes()).unwrap();
            }
            tar.finish().unwrap();
        };
        make(&[("report/version.txt", "x")]);
        assert_eq!(code(&path), Some("MG101"));
        make(&[(MARKER, "2\n"), ("whatever", "x")]);
        assert_eq!(code(&path), Some("MG102"));
        make(&[(MARKER, "1\n"), ("data/000001.cypherl", "CREATE ();\n")]);
        assert_eq!(code(&path), Some("MG100"));
        // What is no plain file may say that it is longer than it is.
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_cksum();
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        tar.append_data(&mut header, MARKER, io::empty()).unwrap();
        tar.finish().unwrap();
        let text = Backup::open(&path).unwrap_err().to_string();
        assert!(text.contains("`mgctl-backup` is no plain file"), "{text}");
    }
}
