//! What must not be shown: passwords and licence keys.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::read::Section;
use super::report::Report;
use crate::error::printable;

/// A text that is never shown: not in an error, not in a log, not in `--resolved`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Returns the text, for whoever it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Who may ask the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The user.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Where the file takes it from.
    pub source: PasswordSource,
}

/// Where a password stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// In this file.
    File(PathBuf),
    /// In this variable of the environment.
    Env(String),
    /// In the topology itself.
    Written,
}

/// The licence of Memgraph's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct License {
    /// Who has it.
    pub organization: Option<String>,
    /// The variable of the environment with its key.
    pub key_env: String,
    /// The key.
    pub key: Secret,
}

/// The variable in which Memgraph itself looks for its key.
const LICENSE_KEY: &str = "MEMGRAPH_ENTERPRISE_LICENSE";

/// Reads `auth`, and says what is wrong with it.
pub(super) fn auth(
    section: &Section,
    directory: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    report: &mut Report<'_>,
) -> Option<Auth> {
    const KEYS: [&str; 3] = ["password", "password_file", "password_env"];
    let place = section.first_span();
    let username = section.text("username").filter(|name| !name.is_empty());
    if let Some(name) = username.as_ref().filter(|name| name.contains(char::is_control)) {
        let span = section.span("username").unwrap_or(place);
        report.error("MG026", span, format!("user `{}` has a control character", printable(name)));
    }
    if username.is_none() && !section.is_bad("username") {
        report
            .error("MG026", place, "`auth` has no `username`")
            .help
            .push("for example `username: admin`".into());
    }
    let given: Vec<&str> = KEYS.into_iter().filter(|key| section.has(key)).collect();
    let key = match given.as_slice() {
        [key] => *key,
        [] => {
            report
                .error("MG026", place, "`auth` has no password")
                .help
                .push("name a file, `password_file: ./secrets/admin.txt`, or a variable, `password_env: MG_PASSWORD`".into());
            return None;
        }
        several => {
            let span = section.key_span(several[1]).unwrap_or(place);
            report
                .error("MG026", span, format!("`auth` has more than one password: {}", several.join(", ")))
                .help
                .push("keep one of them".into());
            return None;
        }
    };
    let span = section.span(key).unwrap_or(place);
    let (password, source) = match key {
        "password_file" => {
            let path = directory.join(section.text(key)?);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => {
                    report
                        .error("MG001", span, format!("cannot read `{}`: {}", path.display(), why(&error)))
                        .help
                        .push("the path starts from the directory of the topology".into());
                    return None;
                }
            };
            if is_open(&path) {
                report
                    .warning(
                        "MG026",
                        span,
                        format!("`{}` can be read by every user of this machine", path.display()),
                    )
                    .help
                    .push(format!("chmod 600 {}", path.display()));
            }
            (text.trim_end_matches(['\n', '\r']).to_owned(), PasswordSource::File(path))
        }
        "password_env" => {
            let name = section.text(key)?;
            let Some(text) = variable(&name) else {
                not_set(&name, span, report);
                return None;
            };
            (text, PasswordSource::Env(name))
        }
        _ => {
            let (text, is_written) = section.secret(key)?;
            if is_written {
                report
                    .warning("MG026", span, "`auth.password` in the file is readable by anyone with the file")
                    .help
                    .push("use `password_file`, or `password_env`".into());
            }
            (text, PasswordSource::Written)
        }
    };
    if password.is_empty() || password.contains(['\0', '\n']) {
        let what = if password.is_empty() { "the password is empty" } else { "a password is one line" };
        report.error("MG026", span, what);
        return None;
    }
    Some(Auth { username: username?, password: Secret::new(password), source })
}

/// Reads `license`, and says what is wrong with it.
pub(super) fn license(
    section: &Section,
    variable: &dyn Fn(&str) -> Option<String>,
    report: &mut Report<'_>,
) -> Option<License> {
    let key_env = section.text("key_env").unwrap_or_else(|| LICENSE_KEY.to_owned());
    let Some(key) = variable(&key_env) else {
        not_set(&key_env, section.span("key_env").unwrap_or_else(|| section.first_span()), report);
        return None;
    };
    let organization = section.text("organization").filter(|name| !name.is_empty());
    Some(License { organization, key_env, key: Secret::new(key) })
}

fn not_set(name: &str, span: super::tree::Span, report: &mut Report<'_>) {
    report.error("MG007", span, format!("`{name}` is not set")).help.push(format!(
        "set it: `{}=... mgctl ...`, or write it into a file that `env_file` names",
        printable(name)
    ));
}

pub(super) fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(unix)]
pub(super) fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_open(_: &Path) -> bool {
    false
}

/// Returns what Memgraph's image is told by its environment.
pub(super) fn environment(auth: Option<&Auth>, license: Option<&License>) -> BTreeMap<String, Secret> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: Secret| drop(all.insert(name.to_owned(), value));
    if let Some(auth) = auth {
        put("MEMGRAPH_USER", Secret::new(&auth.username));
        put("MEMGRAPH_PASSWORD", auth.password.clone());
    }
    if let Some(license) = license {
        put(LICENSE_KEY, license.key.clone());
        if let Some(organization) = &license.organization {
            put("MEMGRAPH_ORGANIZATION_NAME", Secret::new(organization));
        }
    }
    all
}
