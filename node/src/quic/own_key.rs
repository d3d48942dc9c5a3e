//! The key that a node makes for itself at its first start, and keeps.
//!
//! Others know the node by it, so it is made once, before it is ever used, and never replaced: a file
//! that cannot be read is the end of the start. The file is PEM (PKCS #8, P-256), readable by its owner
//! alone.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Its name in the data directory.
pub(super) const FILE: &str = "replication.key";
const MODE: u32 = 0o600;

/// Reads the key, or makes it where there is none.
pub(super) fn open(path: &Path) -> Result<KeyPair, String> {
    let shown = path.display();
    match fs::read_to_string(path) {
        Ok(text) => {
            let mode =
                fs::metadata(path).map_err(|e| format!("cannot read `{shown}`: {e}"))?.permissions().mode();
            if mode & 0o077 != 0 {
                tracing::warn!(
                    "`{shown}` is the private key of this node, and others can read it: chmod 600 {shown}"
                );
            }
            KeyPair::from_pem(&text).map_err(|e| {
                format!(
                    "the private key in `{shown}` is damaged: {e}; put it back from a backup, or remove it, and \
                     other nodes will take this one for a stranger until it is registered again"
                )
            })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|e| format!("cannot make `{shown}`: {e}"))
        }
        Err(e) => Err(format!("cannot read the private key in `{shown}`: {e}")),
    }
}

fn make(path: &Path) -> Result<KeyPair, String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())?;
    // What is left of an attempt goes with the other temporary files, at the next start.
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&temporary)?;
        file.write_all(key.serialize_pem().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(path.parent().expect("a file in the data directory"))?.sync_all()
    };
    write().map_err(|e| e.to_string())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let made = open(&path).unwrap().serialize_der();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(open(&path).unwrap().serialize_der(), made);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_damaged_key_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let made = open(&path).unwrap().serialize_der();
        let whole = fs::read(&path).unwrap();
        let mut tried = 0;
        for at in 0..whole.len() {
            for damaged in [
                whole[..at].to_vec(),
                whole.iter().enumerate().map(|(i, b)| if i == at { b ^ 1 } else { *b }).collect(),
            ] {
                fs::write(&path, &damaged).unwrap();
                match open(&path) {
                    // White space around the text carries nothing.
                    Ok(key) => assert_eq!(key.serialize_der(), made, "byte {at}"),
                    Err(e) => assert!(e.contains("damaged") || e.contains("cannot read"), "{e}"),
                }
                assert_eq!(fs::read(&path).unwrap(), damaged, "the file was touched");
                tried += 1;
            }
        }
        assert!(tried > 400);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(open(&path).unwrap_err().contains("cannot read"));
    }
}
