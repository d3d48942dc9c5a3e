//! A registry of images that an engine can push to, just as much of one as that needs.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A registry on loopback, which engines speak to without TLS.
pub struct Registry {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, Vec<u8>>,
    uploads: HashMap<String, Vec<u8>>,
    refuses: bool,
}

impl Registry {
    /// Begins to listen at a free port.
    pub fn start() -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = shared.clone();
                std::thread::spawn(move || while serve(&stream, &kept).is_some() {});
            }
        });
        Registry { address, kept }
    }

    /// As it stands in the name of an image.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The manifest that was pushed for a tag.
    pub fn manifest(&self, repository: &str, tag: &str) -> Option<Vec<u8>> {
        self.kept().manifests.get(&format!("{repository}/{tag}")).cloned()
    }

    /// Whether a blob of that digest was pushed, and is what its digest says.
    pub fn has_blob(&self, digest: &str) -> bool {
        self.kept().blobs.get(digest).is_some_and(|bytes| sha256(bytes) == digest)
    }

    /// Answers everything with 401 from now on.
    pub fn refuse_all(&self) {
        self.kept().refuses = true;
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, b| format!("{text}{b:02x}"))
}

/// Answers one request; `None` when the connection has ended.
fn serve(stream: &TcpStream, kept: &Mutex<Kept>) -> Option<()> {
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let mut header = String::new();
        input.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        match header.split_once(':') {
            None => break,
            Some(("content-length", n)) => length = n.trim().parse().ok()?,
            Some(("transfer-encoding", how)) => is_chunked = how.contains("chunked"),
            Some(_) => {}
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            let mut size = String::new();
            input.read_line(&mut size).ok()?;
            let size = u64::from_str_radix(size.trim(), 16).ok()?;
            (&mut input).take(size).read_to_end(&mut body).ok()?;
            input.read_line(&mut String::new()).ok()?;
            if size == 0 {
                break;
            }
        }
    } else {
        (&mut input).take(length).read_to_end(&mut body).ok()?;
    }
    let (status, headers) = answer(&method, &target, body, kept);
    let mut text = format!("HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n");
    if !headers.iter().any(|(name, _)| *name == "Content-Length") {
        text += "Content-Length: 0\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all(format!("{text}\r\n").as_bytes()).ok()
}

fn answer(
    method: &str,
    target: &str,
    body: Vec<u8>,
    kept: &Mutex<Kept>,
) -> (&'static str, Vec<(&'static str, String)>) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.refuses {
        return ("401 Unauthorized", Vec::new());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.trim_start_matches("/v2/");
    let upload = |id: &str| ("Location", format!("/v2/{id}"));
    if path.is_empty() {
        return ("200 OK", Vec::new());
    }
    if let Some((_, digest)) = path.split_once("/blobs/sha256:") {
        return match kept.blobs.get(&format!("sha256:{digest}")) {
            Some(bytes) => ("200 OK", vec![("Content-Length", bytes.len().to_string())]),
            None => ("404 Not Found", Vec::new()),
        };
    }
    if path.contains("/blobs/uploads/") {
        return match method {
            "POST" => {
                let id = format!("{path}{}", kept.uploads.len());
                kept.uploads.insert(id.clone(), Vec::new());
                ("202 Accepted", vec![upload(&id), ("Range", "0-0".into())])
            }
            "PATCH" => {
                let bytes = kept.uploads.entry(path.to_owned()).or_default();
                bytes.extend(body);
                let range = format!("0-{}", bytes.len().saturating_sub(1));
                ("202 Accepted", vec![upload(path), ("Range", range)])
            }
            _ => {
                let mut bytes = kept.uploads.remove(path).unwrap_or_default();
                bytes.extend(body);
                let digest = sha256(&bytes);
                let is_right = query.replace("%3A", ":").contains(&digest);
                kept.blobs.insert(digest.clone(), bytes);
                match is_right {
                    true => ("201 Created", vec![("Docker-Content-Digest", digest)]),
                    false => ("400 Bad Request", Vec::new()),
                }
            }
        };
    }
    match (method, path.split_once("/manifests/")) {
        ("PUT", Some((repository, tag))) => {
            let digest = sha256(&body);
            kept.manifests.insert(format!("{repository}/{tag}"), body);
            ("201 Created", vec![("Docker-Content-Digest", digest)])
        }
        _ => ("404 Not Found", Vec::new()),
    }
}
