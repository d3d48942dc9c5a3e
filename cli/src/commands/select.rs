//! Which cluster a command means: a file, a name, or the only one there is.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{CliError, Exit};
use crate::topology::{Loaded, Source, load_with};

/// Names of topology files that are found without being named.
const FILE_NAMES: [&str; 4] = ["mgctl.yaml", "mgctl.yml", "topology.yaml", "topology.yml"];

/// A topology larger than this is none: somebody named the wrong file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the command line says about the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    file: Option<PathBuf>,
    cluster: Option<String>,
    /// What the command line sets over the file.
    sets: Vec<(String, String)>,
}

/// The cluster that is meant.
#[derive(Clone, Debug)]
pub enum Selected {
    /// The one of a topology file.
    File(Box<Loaded>),
    /// The running one of this name.
    Named(String),
    /// The only running one; the runtime knows, or says that there are none or several.
    Only,
}

impl Selection {
    /// Returns the selection of a command line: the file before the verb, the one after it, `--cluster`.
    ///
    /// # Errors
    ///
    /// When more than one of them is given, or something is set over no file.
    pub fn new(
        before: Option<&PathBuf>,
        after: Option<&PathBuf>,
        cluster: Option<&str>,
        sets: &[(String, String)],
    ) -> Result<Selection, CliError> {
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            let what = format!("two topologies are named: `{}` and `{}`", before.display(), after.display());
            return Err(CliError::new(Exit::Usage, what).help("name one"));
        }
        let file = after.or(before).cloned();
        if let (Some(file), Some(cluster)) = (&file, cluster) {
            let what =
                format!("both a topology (`{}`) and a cluster (`{cluster}`) are named", file.display());
            return Err(CliError::new(Exit::Usage, what).help("name the file, or the cluster"));
        }
        if let (Some((key, _)), Some(cluster)) = (sets.first(), cluster) {
            let what = format!("`--set {key}` changes a topology, and `--cluster {cluster}` reads none");
            return Err(CliError::new(Exit::Usage, what).help("name the file instead"));
        }
        Ok(Selection { file, cluster: cluster.map(str::to_owned), sets: sets.to_vec() })
    }

    /// Returns what names `cluster` again in another command: the flag that was typed, or nothing where the
    /// cluster is found without one.
    pub(super) fn flag(&self, cluster: &str) -> String {
        let sets: String = self
            .sets
            .iter()
            .map(|(key, value)| format!(" --set {}", quoted(&format!("{key}={value}"))))
            .collect();
        match (&self.file, &self.cluster) {
            // Standard input is read once.
            (Some(file), _) if file == Path::new("-") => format!(" -c {cluster}"),
            (Some(file), _) => format!(" -f {}{sets}", quoted(&file.display().to_string())),
            (None, Some(cluster)) => format!(" -c {cluster}"),
            (None, None) => sets,
        }
    }

    /// Finds the cluster: the file that is named, `--cluster`, MGCTL_FILE, a file with a usual name here or in a
    /// directory above, the only running cluster.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has errors.
    pub fn resolve(&self) -> Result<Selected, CliError> {
        if let (None, Some(cluster)) = (&self.file, &self.cluster) {
            return Ok(Selected::Named(cluster.clone()));
        }
        match self.path() {
            Some(path) => Ok(Selected::File(Box::new(self.read(&path)?))),
            None => match self.sets.first() {
                None => Ok(Selected::Only),
                Some((key, _)) => {
                    let what = format!("`--set {key}` changes a topology, and none is named");
                    Err(CliError::new(Exit::Usage, what).help("name the file: `-f TOPOLOGY`"))
                }
            },
        }
    }

    /// Finds the file, for a command that can do nothing without one.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read or has errors.
    pub fn topology(&self) -> Result<Loaded, CliError> {
        if let Some(cluster) = &self.cluster {
            let what = format!("`--cluster {cluster}` names no file, and this command needs one");
            return Err(CliError::new(Exit::Usage, what).help("name the topology: `mgctl up TOPOLOGY`"));
        }
        with_certificates(self.read(&self.existing_path()?)?)
    }

    /// Reads and checks the topology at `path`, with what the command line sets.
    ///
    /// # Errors
    ///
    /// When it cannot be read or has errors: all of them.
    pub(super) fn read(&self, path: &Path) -> Result<Loaded, CliError> {
        self.load(&source(path)?)
    }

    /// As [`Selection::read`], of a text.
    ///
    /// # Errors
    ///
    /// When it has errors: all of them.
    pub(super) fn load(&self, source: &Source) -> Result<Loaded, CliError> {
        load_with(source, &self.sets, &|name| std::env::var(name).ok())
            .map_err(|problems| CliError::of(Exit::Usage, problems))
    }

    /// Finds the file and returns its path.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn existing_path(&self) -> Result<PathBuf, CliError> {
        self.path().ok_or_else(|| {
            CliError::new(Exit::Usage, "no topology is named, and none is here or in a directory above")
                .code("MG001")
                .note(format!("looked for {}", FILE_NAMES.join(", ")))
                .help("name one: `mgctl up topologies/quickstart.yaml`")
        })
    }

    fn path(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os("MGCTL_FILE").filter(|v| !v.is_empty()).map(PathBuf::from);
        let found = || std::env::current_dir().ok().and_then(|directory| discover(&directory));
        self.file.clone().or_else(variable).or_else(found)
    }
}

/// Refuses a topology whose `tls.folder` cannot give each node its certificate.
pub(super) fn with_certificates(loaded: Loaded) -> Result<Loaded, CliError> {
    match loaded.certificate_problems.is_empty() {
        true => Ok(loaded),
        false => Err(CliError::of(Exit::Usage, loaded.certificate_problems)),
    }
}

/// Returns `word` as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Returns the first file with a usual name in `directory` or above it.
fn discover(directory: &Path) -> Option<PathBuf> {
    directory
        .ancestors()
        .flat_map(|directory| FILE_NAMES.map(|name| directory.join(name)))
        .find(|path| path.is_file())
}

fn source(path: &Path) -> Result<Source, CliError> {
    let (name, directory, text) = if path == Path::new("-") {
        let mut text = Vec::new();
        let read = std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
        ("<stdin>".to_owned(), PathBuf::from("."), read.map(|_| text))
    } else if let Some(variable) = path.to_str().and_then(|path| path.strip_prefix("env:")) {
        let read = std::env::var(variable).map(String::into_bytes).map_err(std::io::Error::other);
        (path.display().to_string(), PathBuf::from("."), read)
    } else {
        let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let read = std::fs::File::open(path).and_then(|file| {
            let mut text = Vec::new();
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
            Ok(text)
        });
        (path.display().to_string(), directory, read)
    };
    let fail = |reason: String, help: &str| {
        CliError::new(Exit::Usage, format!("cannot read `{name}`: {reason}")).code("MG001").help(help)
    };
    let bytes = text.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            fail("no such file".into(), "name another: `mgctl up topologies/quickstart.yaml`")
        }
        std::io::ErrorKind::IsADirectory => fail("it is a directory".into(), "name the file in it"),
        _ => fail(error.to_string(), "make the file readable"),
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail("it is larger than 4 MiB".into(), "a topology is a short YAML file"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        fail(format!("byte {at} is not UTF-8"), "save it as UTF-8; a topology is a text file")
    })?;
    Ok(Source { name: name.into(), directory, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_may_stand_before_or_after_the_verb_but_only_one_is_meant() {
        let (a, b) = (PathBuf::from("a.yaml"), PathBuf::from("b.yaml"));
        assert_eq!(Selection::new(Some(&a), None, None, &[]).unwrap().file, Some(a.clone()));
        assert_eq!(Selection::new(Some(&a), Some(&a), None, &[]).unwrap().file, Some(a.clone()));
        assert_eq!(Selection::new(Some(&a), Some(&b), None, &[]).unwrap_err().exit(), Exit::Usage);
        assert_eq!(Selection::new(Some(&a), None, Some("demo"), &[]).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn the_cluster_is_named_again_as_it_was_typed() {
        let flag = |file: Option<&str>, cluster| {
            Selection::new(file.map(PathBuf::from).as_ref(), None, cluster, &[]).unwrap().flag("demo")
        };
        assert_eq!(flag(Some("a/b.yaml"), None), " -f a/b.yaml");
        assert_eq!(flag(Some("my own's.yaml"), None), r" -f 'my own'\''s.yaml'");
        assert_eq!(flag(Some("-"), None), " -c demo");
        assert_eq!(flag(None, Some("demo")), " -c demo");
        assert_eq!(flag(None, None), "");
    }

    #[test]
    fn what_is_set_is_set_again_in_another_command_and_needs_a_file() {
        let sets = [
            ("instances.r1.mode".to_owned(), "ASYNC".to_owned()),
            ("wait".to_owned(), "{ timeout: 1m }".to_owned()),
        ];
        let file = PathBuf::from("a.yaml");
        let selection = Selection::new(Some(&file), None, None, &sets).unwrap();
        assert_eq!(
            selection.flag("demo"),
            " -f a.yaml --set 'instances.r1.mode=ASYNC' --set 'wait={ timeout: 1m }'"
        );
        assert_eq!(Selection::new(None, None, Some("demo"), &sets).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn a_name_is_enough_and_needs_no_file() {
        let selection = Selection::new(None, None, Some("demo"), &[]).unwrap();
        assert!(matches!(selection.resolve().unwrap(), Selected::Named(name) if name == "demo"));
        assert_eq!(selection.topology().unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn a_file_is_found_above() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(discover(&below).filter(|path| path.starts_with(root.path())), None);
        std::fs::write(root.path().join("topology.yaml"), "").unwrap();
        assert_eq!(discover(&below), Some(root.path().join("topology.yaml")));
        std::fs::write(root.path().join("mgctl.yml"), "").unwrap();
        assert_eq!(discover(&below), Some(root.path().join("mgctl.yml")));
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let root = tempfile::tempdir().unwrap();
        let text = |path: &Path| {
            Selection::default()
                .read(path)
                .unwrap_err()
                .to_string()
                .replace(root.path().to_str().unwrap(), "DIR")
        };
        assert_eq!(
            text(&root.path().join("none.yaml")),
            "error[MG001]: cannot read `DIR/none.yaml`: no such file\n\
             help: name another: `mgctl up topologies/quickstart.yaml`"
        );
        assert!(text(root.path()).contains("it is a directory"));
        let file = root.path().join("latin.yaml");
        std::fs::write(&file, b"name: caf\xe9\n").unwrap();
        assert!(text(&file).contains("byte 9 is not UTF-8"));
    }
}
