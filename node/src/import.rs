//! The files that queries may read, with `LOAD CSV` and `RECOVER SNAPSHOT`: those below one directory, whatever a query calls them.
//!
//! `file:///a/b.csv`, `/a/b.csv` and `a/b.csv` mean the file `a/b.csv` in that directory, and so does its full path.
//! Nothing leads out of it: neither `..` nor a link. No other URL is fetched.

use mgcypher::{CypherError, ErrorKind, Import};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Opens files below a directory; without one, none.
#[derive(Clone, Debug)]
pub(crate) struct ImportDirectory(pub(crate) Option<PathBuf>);

impl Import for ImportDirectory {
    fn open(&self, url: &str) -> Result<Box<dyn Read + Send + Sync>, CypherError> {
        Ok(Box::new(self.open_file(url)?))
    }
}

impl ImportDirectory {
    /// Opens the file that a URL or a path names.
    pub(crate) fn open_file(&self, url: &str) -> Result<File, CypherError> {
        let Some(root) = &self.0 else {
            return Err(refused(
                "LOAD CSV is off on this node, which reads no files. Start it with `--import-directory=DIRECTORY` and \
                 put the file there, or send the rows as a parameter: `UNWIND $rows AS row`."
                    .to_owned(),
            ));
        };
        let path = path_of(url).map_err(|why| refused(format!("'{url}' cannot be loaded: {why}.")))?;
        let path = below(root, &path).map_err(|why| refused(format!("'{url}' cannot be loaded: {why}.")))?;
        let place = root.display();
        let file = open_below(root, &path).map_err(|e| {
            refused(match e.kind() {
                io::ErrorKind::NotFound => format!("There is no '{}' in the import directory `{place}`.", path.display()),
                io::ErrorKind::CrossesDevices | io::ErrorKind::PermissionDenied => {
                    format!("'{url}' cannot be loaded: it leads out of the import directory `{place}`, or may not be read.")
                }
                _ => format!("'{}' in the import directory `{place}` cannot be opened: {e}.", path.display()),
            })
        })?;
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(file),
            Ok(_) => Err(refused(format!("'{url}' is no file."))),
            Err(e) => Err(refused(format!("'{url}' cannot be read: {e}."))),
        }
    }
}

fn refused(message: String) -> CypherError {
    CypherError::runtime(ErrorKind::ExternalResourceFailed, "", message)
}

/// Returns the path that a URL or a path names.
fn path_of(url: &str) -> Result<PathBuf, String> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("file") => {
            let rest = &url["file://".len()..];
            let path = rest.strip_prefix("localhost/").unwrap_or(rest);
            decode(path).map(PathBuf::from)
        }
        Some(scheme) => Err(format!(
            "no URL is fetched, and so none of `{scheme}`; copy the file into the import directory"
        )),
        None => Ok(PathBuf::from(url)),
    }
}

/// Takes the `%20` out of a URL.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let mut byte = *first;
        rest = tail;
        if byte == b'%' {
            let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let value =
                digits.filter(|two| !two.starts_with('+')).and_then(|two| u8::from_str_radix(two, 16).ok());
            byte = value.ok_or("behind a `%` of a URL stand two hexadecimal digits")?;
            rest = &tail[2..];
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| "its name is not UTF-8".to_owned())
}

/// Returns a path relative to the directory, none of whose parts leads up.
fn below(root: &Path, path: &Path) -> Result<PathBuf, &'static str> {
    let path = path.strip_prefix(root).unwrap_or(path);
    let mut relative = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => relative.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err("a path has no `..` here"),
        }
    }
    if relative.as_os_str().is_empty() { Err("it names no file") } else { Ok(relative) }
}

/// Something that is no file, such as a pipe, must not keep a query waiting.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

fn open_below(root: &Path, relative: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{ResolveFlags, openat2};
        let folder = File::open(root)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(&folder, relative, FLAGS, Mode::empty(), resolve) {
            Ok(file) => return Ok(File::from(file)),
            // Old kernels, and containers that know only older calls.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            Err(e) => return Err(e.into()),
        }
    }
    open_resolved(root, relative)
}

/// Follows links first and looks where they lead, then goes there.
fn open_resolved(root: &Path, relative: &Path) -> io::Result<File> {
    let root = root.canonicalize()?;
    let path = root.join(relative).canonicalize()?;
    let inside = path.strip_prefix(&root).map_err(|_| io::ErrorKind::CrossesDevices)?;
    open_without_links(File::open(&root)?, inside)
}

/// Opens what a path without links names, folder by folder: should a link have come into it meanwhile, it is not followed.
fn open_without_links(root: File, path: &Path) -> io::Result<File> {
    let mut at = root;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let kind = if parts.peek().is_some() { OFlags::DIRECTORY } else { OFlags::empty() };
        let flags = FLAGS | OFlags::NOFOLLOW | kind;
        at = File::from(rustix::fs::openat(&at, part.as_os_str(), flags, Mode::empty())?);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn read(directory: &ImportDirectory, url: &str) -> Result<String, String> {
        let mut text = String::new();
        directory.open(url).map_err(|e| e.message)?.read_to_string(&mut text).map_err(|e| e.to_string())?;
        Ok(text)
    }

    #[test]
    fn files_below_the_directory_have_many_names() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a b")).unwrap();
        std::fs::write(root.path().join("a b/c.csv"), "1").unwrap();
        symlink("a b/c.csv", root.path().join("link.csv")).unwrap();
        let directory = ImportDirectory(Some(root.path().to_owned()));
        let full = root.path().join("a b/c.csv").display().to_string();
        for url in [
            "file:///a%20b/c.csv",
            "file://localhost/a b/c.csv",
            "/a b/c.csv",
            "a b/./c.csv",
            "link.csv",
            &full,
        ] {
            assert_eq!(read(&directory, url).as_deref(), Ok("1"), "{url}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "1").unwrap();
        let root = outside.path().join("import");
        std::fs::create_dir(&root).unwrap();
        symlink("../secret", root.join("file")).unwrap();
        symlink(outside.path(), root.join("folder")).unwrap();
        let directory = ImportDirectory(Some(root.clone()));
        let secret = outside.path().join("secret").display().to_string();
        for (url, why) in [
            ("../secret", "a path has no `..` here"),
            ("file:///..%2fsecret", "a path has no `..` here"),
            ("/a/../../secret", "a path has no `..` here"),
            ("file", "leads out of the import directory"),
            ("folder/secret", "leads out of the import directory"),
            (&secret, "There is no"),
            ("http://example.com/x.csv", "no URL is fetched"),
            ("FTP://example.com/x.csv", "no URL is fetched"),
            ("", "it names no file"),
            ("file:///%2", "two hexadecimal digits"),
            ("file:///%zz", "two hexadecimal digits"),
        ] {
            let error = read(&directory, url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
        for link in ["file", "folder/secret"] {
            assert_eq!(
                open_resolved(&root, Path::new(link)).unwrap_err().kind(),
                io::ErrorKind::CrossesDevices
            );
        }
    }

    #[test]
    fn where_links_are_resolved_first_none_is_followed_later() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("c.csv"), "secret").unwrap();
        let root = outside.path().join("import");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/c.csv"), "1").unwrap();
        symlink("a/b", root.join("short")).unwrap();
        let open = |path: &str| open_without_links(File::open(&root).unwrap(), Path::new(path));
        let text = |file: File| io::read_to_string(file).unwrap();
        assert_eq!(text(open_resolved(&root, Path::new("short/c.csv")).unwrap()), "1");
        assert_eq!(text(open("a/b/c.csv").unwrap()), "1");
        // What was looked at is swapped for a link before it is opened.
        assert!(open("short/c.csv").is_err());
        std::fs::remove_dir_all(root.join("a/b")).unwrap();
        symlink(outside.path(), root.join("a/b")).unwrap();
        symlink("../../c.csv", root.join("a/c.csv")).unwrap();
        assert!(open("a/b/c.csv").is_err() && open("a/c.csv").is_err());
    }

    #[test]
    fn what_is_no_file_keeps_nobody_waiting() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let directory = ImportDirectory(Some(root.path().to_owned()));
        assert_eq!(read(&directory, "pipe"), Err("'pipe' is no file.".to_owned()));
        std::fs::create_dir(root.path().join("folder")).unwrap();
        assert_eq!(read(&directory, "folder"), Err("'folder' is no file.".to_owned()));
    }

    #[test]
    fn without_a_directory_nothing_is_read() {
        let error = read(&ImportDirectory(None), "x.csv").unwrap_err();
        assert!(error.contains("--import-directory=DIRECTORY"), "{error}");
    }
}
