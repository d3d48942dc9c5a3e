//! The node's image, made in memory from the executable that is running.
//!
//! No registry, no Dockerfile, no builder: a `docker save` archive with one layer, which the engine
//! loads. The archive depends on nothing but the executable and its libraries (times are 0, files
//! are sorted), so the image's id is known before the engine is asked, and "is it there?" is one
//! call.
//!
//! ```text
//! layer   /mgctl                          the executable
//!         /lib64/ld-linux-x86-64.so.2     where it is dynamic: its loader, at the path it names,
//!         /lib/lib*.so.*                  and its libraries
//!         /etc/passwd group nsswitch.conf /tmp
//!         /data                           owned by the node's user: a new named volume copies that
//! config  no VOLUME: each container of a bare image would leave one behind
//!         ENTRYPOINT /mgctl node --bolt-address=0.0.0.0 ... ; what a user appends comes after, and wins
//! ```

use super::elf::{self, Search};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// User and group that a node runs as; owner of `/data`.
pub const NODE_UID: u64 = 10001;

/// Name that every built-in image carries, before the tag.
pub const REPOSITORY: &str = "mgctl/mgnode";

/// An image that is ready to be loaded.
#[derive(Clone, Debug)]
pub struct Image {
    /// `sha256:...`, as the engine will call it.
    pub id: String,
    /// `mgctl/mgnode:<version>-<12 digits of the id>`.
    pub tag: String,
    /// The archive, in pieces that follow each other.
    pub archive: Vec<Bytes>,
}

/// Why no image could be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The executable or a library cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The executable does not run on Linux.
    #[error("`{}` cannot be put into a Linux image: {reason}", path.display())]
    NotLinux { path: PathBuf, reason: &'static str },
    /// A library is missing on this system.
    #[error("library `{name}`, which `{}` needs, is not found on this system", by.display())]
    Library { name: String, by: PathBuf },
}

/// Makes the image of the running executable.
pub fn of_this_executable() -> Result<Image, ImageError> {
    let path = std::env::current_exe()
        .map_err(|source| ImageError::Read { path: PathBuf::from("/proc/self/exe"), source })?;
    // A binary that was replaced while it runs is still what the link leads to.
    #[cfg(target_os = "linux")]
    let read = std::fs::read("/proc/self/exe").or_else(|_| std::fs::read(&path));
    #[cfg(not(target_os = "linux"))]
    let read = std::fs::read(&path);
    let executable = read.map_err(|source| ImageError::Read { path: path.clone(), source })?;
    of_executable(&path, executable)
}

/// Makes the image of an executable that was read from `path`.
pub fn of_executable(path: &Path, executable: Vec<u8>) -> Result<Image, ImageError> {
    let elf =
        elf::read(&executable).map_err(|reason| ImageError::NotLinux { path: path.to_path_buf(), reason })?;
    let mut files: BTreeMap<String, Entry> = BTreeMap::new();
    let folder = |mode, owner| Entry { kind: Kind::Folder, mode, owner };
    let text = |content: String| Entry { kind: Kind::File(content.into_bytes()), mode: 0o644, owner: 0 };
    files.insert("data/".into(), folder(0o750, NODE_UID));
    files.insert("tmp/".into(), folder(0o1777, 0));
    files.insert("etc/".into(), folder(0o755, 0));
    files.insert(
        "etc/passwd".into(),
        text(format!("root:x:0:0:root:/:/mgctl\nmgnode:x:{NODE_UID}:{NODE_UID}:mgnode:/data:/mgctl\n")),
    );
    files.insert("etc/group".into(), text(format!("root:x:0:\nmgnode:x:{NODE_UID}:\n")));
    files.insert("etc/nsswitch.conf".into(), text("hosts: files dns\n".into()));

    let mut env = vec!["PATH=/".to_string(), "HOME=/data".to_string()];
    if let Some(interpreter) = &elf.interpreter {
        add_libraries(path, &elf, interpreter, &mut files)?;
        // Wherever the loader's built-in folders are, the libraries are found.
        env.push("LD_LIBRARY_PATH=/lib".into());
    }
    files.insert("mgctl".into(), Entry { kind: Kind::File(executable), mode: 0o755, owner: 0 });
    add_parents(&mut files);

    let layer = layer_of(&files);
    let layer_digest = hex(&Sha256::digest(&layer));
    let config = config_of(&layer_digest, &env);
    let id = hex(&Sha256::digest(&config));
    let tag = format!("{REPOSITORY}:{}-{}", env!("CARGO_PKG_VERSION"), &id[..12]);

    let manifest = serde_json::json!([{
        "Config": format!("{id}.json"),
        "RepoTags": [tag],
        "Layers": [format!("{layer_digest}/layer.tar")],
    }]);
    let mut archive = Vec::new();
    member(&mut archive, &format!("{id}.json"), Bytes::from(config));
    member(&mut archive, &format!("{layer_digest}/layer.tar"), Bytes::from(layer));
    member(&mut archive, "manifest.json", Bytes::from(manifest.to_string()));
    archive.push(Bytes::from_static(&[0; 2 * BLOCK]));
    Ok(Image { id: format!("sha256:{id}"), tag, archive })
}

enum Kind {
    Folder,
    File(Vec<u8>),
}

struct Entry {
    kind: Kind,
    mode: u32,
    owner: u64,
}

/// Adds the loader at the path that the executable names, and into `/lib` every library that it
/// needs, and those that they need.
fn add_libraries(
    executable: &Path,
    elf: &elf::Elf,
    interpreter: &str,
    files: &mut BTreeMap<String, Entry>,
) -> Result<(), ImageError> {
    let loader = std::fs::read(interpreter)
        .map_err(|source| ImageError::Read { path: PathBuf::from(interpreter), source })?;
    let file = |bytes| Entry { kind: Kind::File(bytes), mode: 0o755, owner: 0 };
    files.insert(interpreter.trim_start_matches('/').to_string(), file(loader));

    let search = Search::of_this_system();
    let loader_name = interpreter.rsplit('/').next().unwrap_or(interpreter);
    let mut seen = BTreeSet::from([loader_name.to_string()]);
    // (name, who asks, its run path, must it be there)
    let mut wanted: Vec<(String, PathBuf, Vec<String>, bool)> = elf
        .needed
        .iter()
        .map(|name| (name.clone(), executable.to_path_buf(), elf.run_path.clone(), true))
        .collect();
    // Up to glibc 2.33 name resolution is in libraries that are loaded when they are first used.
    for name in ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"] {
        wanted.push((name.into(), executable.to_path_buf(), Vec::new(), false));
    }
    while let Some((name, by, run_path, required)) = wanted.pop() {
        let short = name.rsplit('/').next().unwrap_or(&name).to_string();
        if !seen.insert(short.clone()) {
            continue;
        }
        let origin = by.parent().unwrap_or(Path::new("/"));
        let Some((path, bytes)) = search.find(&name, elf.machine, &run_path, origin) else {
            if required {
                return Err(ImageError::Library { name, by });
            }
            continue;
        };
        let library =
            elf::read(&bytes).map_err(|reason| ImageError::NotLinux { path: path.clone(), reason })?;
        for needed in library.needed {
            wanted.push((needed, path.clone(), library.run_path.clone(), required));
        }
        files.insert(format!("lib/{short}"), file(bytes));
    }
    Ok(())
}

/// Adds the folders that files lie in, so that none is left to the engine's taste.
fn add_parents(files: &mut BTreeMap<String, Entry>) {
    let mut parents = BTreeSet::new();
    for name in files.keys() {
        let mut rest = name.trim_end_matches('/');
        while let Some((parent, _)) = rest.rsplit_once('/') {
            parents.insert(format!("{parent}/"));
            rest = parent;
        }
    }
    for parent in parents {
        files.entry(parent).or_insert(Entry { kind: Kind::Folder, mode: 0o755, owner: 0 });
    }
}

const BLOCK: usize = 512;

fn layer_of(files: &BTreeMap<String, Entry>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, entry) in files {
        let (content, kind): (&[u8], _) = match &entry.kind {
            Kind::Folder => (&[], tar::EntryType::Directory),
            Kind::File(content) => (content, tar::EntryType::Regular),
        };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner);
        header.set_gid(entry.owner);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).expect("memory takes every write");
    }
    tar.into_inner().expect("memory takes every write")
}

/// Adds a file to the outer archive without copying what is in it.
fn member(archive: &mut Vec<Bytes>, name: &str, content: Bytes) {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("names here are shorter than a header's field");
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.push(Bytes::copy_from_slice(header.as_bytes()));
    let rest = content.len() % BLOCK;
    archive.push(content);
    if rest != 0 {
        archive.push(Bytes::from(vec![0; BLOCK - rest]));
    }
}

/// The image's config, whose SHA-256 is the image's id.
fn config_of(layer_digest: &str, env: &[String]) -> Vec<u8> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64" => "riscv64",
        other => other,
    };
    serde_json::json!({
        "architecture": architecture,
        "config": {
            "Cmd": null,
            "Entrypoint": [
                "/mgctl",
                "node",
                "--bolt-address=0.0.0.0",
                "--replication-address=0.0.0.0",
                "--data-directory=/data",
            ],
            "Env": env,
            "ExposedPorts": { "7687/tcp": {} },
            "Labels": {
                "dev.mgctl.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.title": "mgnode",
            },
            "StopSignal": "SIGTERM",
            "User": format!("{NODE_UID}:{NODE_UID}"),
            "WorkingDir": "/data",
        },
        "created": "1970-01-01T00:00:00Z",
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "mgctl" }],
        "os": "linux",
        "rootfs": { "diff_ids": [format!("sha256:{layer_digest}")], "type": "layers" },
    })
    .to_string()
    .into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        write!(text, "{b:02x}").expect("a String takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn members(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(name, content);
        }
        found
    }

    #[test]
    fn the_archive_is_whole_the_same_each_time_and_its_digests_are_true() {
        let image = of_this_executable().unwrap();
        let again = of_this_executable().unwrap();
        assert_eq!(image.id, again.id);
        assert_eq!(image.archive, again.archive);

        let outer = members(&image.archive.concat());
        let manifest: serde_json::Value = serde_json::from_slice(&outer["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], image.tag.as_str());
        let config = &outer[manifest[0]["Config"].as_str().unwrap()];
        assert_eq!(format!("sha256:{}", hex(&Sha256::digest(config))), image.id);
        let layer = &outer[manifest[0]["Layers"][0].as_str().unwrap()];
        let config: serde_json::Value = serde_json::from_slice(config).unwrap();
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            format!("sha256:{}", hex(&Sha256::digest(layer))).as_str()
        );

        let files = members(layer);
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(files["mgctl"] == me, "the executable is not in the layer as it is");
        if let Some(loader) = elf::read(&me).unwrap().interpreter {
            assert!(files.contains_key(loader.trim_start_matches('/')), "no loader at {loader}");
            assert!(files.keys().any(|n| n.starts_with("lib/libc.")), "no libc: {:?}", files.keys());
        }
    }

    #[test]
    fn a_script_is_refused_by_name() {
        let error = of_executable(Path::new("/bin/x"), b"#!/bin/sh\n".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "`/bin/x` cannot be put into a Linux image: it is not an ELF file");
    }
}
