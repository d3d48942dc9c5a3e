//! From words to named values.

use super::flags::{FLAGS, Flag, Kind};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A flag that cannot be obeyed, in words for the one who typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// A flag and what it is set to.
#[derive(Clone, Debug)]
pub struct Setting {
    pub flag: &'static Flag,
    /// As given, or the default.
    pub value: String,
}

/// The values as text: given ones over defaults.
pub(super) struct Raw {
    given: BTreeMap<&'static str, String>,
    pub(super) ignored: Vec<String>,
}

fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|f| f.name == name)
}

pub(super) fn raw(args: impl IntoIterator<Item = String>) -> Result<Raw, ConfigError> {
    let mut given = BTreeMap::new();
    let mut ignored = Vec::new();
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let Some(body) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|b| !b.is_empty())
        else {
            return Err(ConfigError(format!("`{arg}` is not a flag; flags look like --bolt-port=7687")));
        };
        let (name, mut value) = match body.split_once('=') {
            Some((n, v)) => (n, Some(v.to_owned())),
            None => (body, None),
        };
        let name = name.replace('_', "-");
        let (flag, negated) = match (find(&name), name.strip_prefix("no").and_then(find)) {
            (Some(f), _) => (f, false),
            (None, Some(f)) if f.kind == Kind::Switch => (f, true),
            _ => return Err(unknown(&name)),
        };
        if negated {
            if value.is_some() {
                return Err(ConfigError(format!("`--{name}` takes no value")));
            }
            value = Some("false".to_owned());
        }
        let value = match value {
            Some(v) => v,
            None if flag.kind == Kind::Switch => {
                // A switch takes a following word only where that word can be nothing else.
                match args.peek().map(String::as_str) {
                    Some("true" | "false") => args.next().expect("peeked"),
                    _ => "true".to_owned(),
                }
            }
            None => args
                .next_if(|next| !next.starts_with("--"))
                .ok_or_else(|| ConfigError(format!("`--{}` needs a value: {}", flag.name, flag.help)))?,
        };
        if flag.served {
            given.insert(flag.name, value);
        } else {
            ignored.push(flag.name.to_owned());
        }
    }
    Ok(Raw { given, ignored })
}

fn unknown(name: &str) -> ConfigError {
    let nearest = FLAGS
        .iter()
        .map(|f| (distance(name, f.name), f.name))
        .min()
        .filter(|(d, _)| *d <= 3)
        .map(|(_, n)| format!("; did you mean `--{n}`?"))
        .unwrap_or_else(|| "; `--help` lists them".to_owned());
    ConfigError(format!("unknown flag `--{name}`{nearest}"))
}

/// Levenshtein distance over bytes.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Reads `250ms`, `10s`, `2m`, or plain seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let n: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(n)),
        "" | "s" => Some(Duration::from_secs(n)),
        "m" => n.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

impl Raw {
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|v| v == "true")
    }

    /// Returns every flag that is served, as it stands now.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let is_setting = |flag: &&Flag| flag.served && !matches!(flag.name, "help" | "version");
        FLAGS
            .iter()
            .filter(is_setting)
            .map(|flag| Setting { flag, value: self.text(flag.name).to_owned() })
            .collect()
    }

    pub(super) fn was_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        match self.given.get(name) {
            Some(v) => v,
            None => find(name).map(|f| f.default).expect("asked only for flags in the table"),
        }
    }

    pub(super) fn bad(&self, name: &str, wanted: &str) -> ConfigError {
        ConfigError(format!("`--{name}={}` is not usable: give {wanted}", self.text(name)))
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, ConfigError> {
        self.text(name).parse().map_err(|_| self.bad(name, "a whole number"))
    }

    pub(super) fn count(&self, name: &str) -> Result<usize, ConfigError> {
        self.text(name).parse().map_err(|_| self.bad(name, "a whole number"))
    }

    pub(super) fn port(&self, name: &str) -> Result<u16, ConfigError> {
        self.text(name).parse().map_err(|_| self.bad(name, "a port, 0 to 65535"))
    }

    pub(super) fn address(&self, name: &str) -> Result<IpAddr, ConfigError> {
        self.text(name).parse().map_err(|_| self.bad(name, "an IP address, such as 127.0.0.1 or 0.0.0.0"))
    }

    pub(super) fn duration(&self, name: &str) -> Result<Duration, ConfigError> {
        duration(self.text(name))
            .filter(|d| !d.is_zero())
            .ok_or_else(|| self.bad(name, "a duration, such as 250ms, 10s or 2m"))
    }

    pub(super) fn switch(&self, name: &str) -> Result<bool, ConfigError> {
        match self.text(name) {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(self.bad(name, "true or false")),
        }
    }
}
