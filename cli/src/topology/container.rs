//! What an engine is told of a node's container beside its image, its flags and its environment: how it is kept
//! running, where its words and its files go, what the system allows it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::duration::{show_duration, show_size};
use super::model::words;
use super::read::Section;

/// Limits that Linux has, by the names that engines give them.
pub const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Drivers that write files of their own and know `max-size` and `max-file`.
pub(super) const FILE_DRIVERS: [&str; 2] = ["json-file", "local"];
const DRIVER: &str = FILE_DRIVERS[0];
const LOG_BYTES_MAX: u64 = 10 << 20;
const LOG_FILES: u32 = 3;

/// How a node's container is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// When its image is pulled.
    pub pull: Pull,
    /// When the engine starts it again.
    pub restart: Restart,
    /// How long it may take to end before it is killed.
    pub stop_grace: Duration,
    /// How it is found out that the node is well.
    pub healthcheck: Healthcheck,
    /// Where the engine puts what it says.
    pub logging: Logging,
    /// Limits of the system, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Labels for other tools.
    pub labels: BTreeMap<String, String>,
    /// What lies over folders of Memgraph's image.
    pub over: Over,
    /// Further ports of Memgraph's image that are published on this machine.
    pub ports: MorePorts,
}

impl Container {
    /// How long a node may take to end where the file says nothing.
    pub const STOP_GRACE: Duration = Duration::from_secs(30);
}

impl Default for Container {
    fn default() -> Container {
        Container {
            pull: Pull::default(),
            restart: Restart::default(),
            stop_grace: Container::STOP_GRACE,
            healthcheck: Healthcheck::default(),
            logging: Logging::default(),
            ulimits: BTreeMap::new(),
            labels: BTreeMap::new(),
            over: Over::default(),
            ports: MorePorts::default(),
        }
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// Where the engine has none of that name.
    #[default]
    Missing,
    /// Before a container is made of it.
    Always,
    /// Never: without one nothing is made.
    Never,
}

/// When an engine starts a container again that ended. Never is not among them: by that a fenced node is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Always, but for one that was stopped.
    #[default]
    UnlessStopped,
    /// Always; a stopped one too, when the engine itself starts.
    Always,
    /// When it ended with an error.
    OnFailure,
}

words!(Pull, Missing = "missing", Always = "always", Never = "never");
words!(Restart, UnlessStopped = "unless-stopped", Always = "always", OnFailure = "on-failure");

/// How it is found out that a node is well. Without a test mgctl asks its Bolt from outside until it answers; with
/// one the engine also runs that in the container, over and over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// As the engine takes it: `CMD` or `CMD-SHELL`, then the command. Empty: none.
    pub test: Vec<String>,
    /// Pause between two probes.
    pub interval: Option<Duration>,
    /// Longest time for a probe.
    pub timeout: Option<Duration>,
    /// Probes that fail in a row until the node is unwell; without a test and without this mgctl asks as long as
    /// it waits at all.
    pub retries: Option<u32>,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Duration>,
}

/// Where an engine puts what a container says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The engine's name of the driver.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

impl Default for Logging {
    fn default() -> Logging {
        Logging { driver: DRIVER.to_owned(), options: file_options(LOG_BYTES_MAX, LOG_FILES) }
    }
}

/// A limit of the system; -1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// What counts.
    pub soft: i64,
    /// How far the process itself may raise it.
    pub hard: i64,
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.soft == self.hard {
            true => write!(f, "{}", self.soft),
            false => write!(f, "{}:{}", self.soft, self.hard),
        }
    }
}

/// What lies over folders of Memgraph's image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Over `/var/log/memgraph`.
    pub log: Mounted,
    /// Over `/etc/memgraph`.
    pub etc: Mounted,
}

/// What lies over a folder of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mounted {
    /// Nothing: what the image has there.
    #[default]
    Nothing,
    /// Memory, gone with the container.
    Tmpfs,
    /// A folder of the engine's machine.
    Folder(String),
}

impl Mounted {
    fn parse(text: &str) -> Option<Mounted> {
        match text {
            "none" => Some(Mounted::Nothing),
            "tmpfs" => Some(Mounted::Tmpfs),
            path if path.starts_with('/') => Some(Mounted::Folder(path.to_owned())),
            _ => None,
        }
    }

    /// Returns the word for it in a file.
    pub fn as_str(&self) -> &str {
        match self {
            Mounted::Nothing => "none",
            Mounted::Tmpfs => "tmpfs",
            Mounted::Folder(path) => path,
        }
    }
}

/// Further ports of Memgraph's image, as published on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MorePorts {
    /// Of its metrics, 9091 inside.
    pub metrics: Option<u16>,
    /// Of its stream of log lines, 7444 inside.
    pub monitoring: Option<u16>,
}

impl MorePorts {
    /// Returns key, port inside and port on this machine of those that are published.
    pub fn published(self) -> impl Iterator<Item = (&'static str, u16, u16)> {
        let of = |key, inside, host: Option<u16>| host.map(|host| (key, inside, host));
        [of("metrics", 9091, self.metrics), of("monitoring", 7444, self.monitoring)].into_iter().flatten()
    }
}

/// Reads what is told of a node's container: what the node says goes before what `defaults` says, key by key.
pub(super) fn container(node: &Section, defaults: &Section) -> Container {
    let both = [node, defaults];
    let word = |key: &str| both.iter().find_map(|s| s.word(key));
    let ports = node.section("ports");
    let port = |key: &str| ports.and_then(|p| p.port(key));
    let over = |key: &str| of(both, "volumes", |s| s.text(key)).and_then(|text| Mounted::parse(&text));
    let named = |key: &str| both.map(|s| s.scalars(key));
    Container {
        pull: word("pull").and_then(Pull::parse).unwrap_or_default(),
        restart: word("restart").and_then(Restart::parse).unwrap_or_default(),
        stop_grace: both
            .iter()
            .find_map(|s| s.duration("stop_grace_period"))
            .unwrap_or(Container::STOP_GRACE),
        healthcheck: Healthcheck {
            test: of(both, "healthcheck", |s| s.has("test").then(|| test(s))).unwrap_or_default(),
            interval: of(both, "healthcheck", |s| s.duration("interval")),
            timeout: of(both, "healthcheck", |s| s.duration("timeout")),
            retries: of(both, "healthcheck", |s| s.number("retries")),
            start_period: of(both, "healthcheck", |s| s.duration("start_period")),
        },
        logging: logging(both),
        ulimits: both
            .iter()
            .rev()
            .flat_map(|s| s.limits("ulimits"))
            .map(|l| (l.name.clone(), l.value))
            .collect(),
        labels: named("labels")
            .into_iter()
            .rev()
            .flatten()
            .map(|l| (l.name.clone(), l.value.clone()))
            .collect(),
        over: Over { log: over("log").unwrap_or_default(), etc: over("etc").unwrap_or_default() },
        ports: MorePorts { metrics: port("metrics"), monitoring: port("monitoring") },
    }
}

/// Returns the keys that local processes do without.
pub fn without_effect(container: &Container) -> Vec<&'static str> {
    let default = Container::default();
    [
        ("restart", container.restart != default.restart),
        ("healthcheck.test", !container.healthcheck.test.is_empty()),
        ("logging", container.logging != default.logging),
        ("labels", !container.labels.is_empty()),
    ]
    .into_iter()
    .filter_map(|(key, is_there)| is_there.then_some(key))
    .collect()
}

/// Returns what the first of the two that says something says within a part.
fn of<T>(both: [&Section; 2], part: &str, get: impl Fn(&Section) -> Option<T>) -> Option<T> {
    both.into_iter().filter_map(|section| section.section(part)).find_map(get)
}

fn test(section: &Section) -> Vec<String> {
    let texts: Vec<String> = section.texts("test").iter().map(|(text, _)| text.clone()).collect();
    match texts.as_slice() {
        // Not even the one that the image has.
        [none] if none == "NONE" => texts,
        [command] => vec!["CMD-SHELL".to_owned(), command.clone()],
        _ => texts,
    }
}

fn logging(both: [&Section; 2]) -> Logging {
    let [node, defaults] = both.map(|s| s.section("logging"));
    let driver = |section: Option<&Section>| section.and_then(|s| s.text("driver"));
    let default_driver = driver(defaults).unwrap_or_else(|| DRIVER.to_owned());
    let driver = driver(node).unwrap_or_else(|| default_driver.clone());
    // Options of one driver mean nothing to another.
    let parts: Vec<&Section> = match driver == default_driver {
        true => [node, defaults].into_iter().flatten().collect(),
        false => node.into_iter().collect(),
    };
    let bytes = parts.iter().find_map(|s| s.size("max_size"));
    let files = parts.iter().find_map(|s| s.number("max_file"));
    let mut options = match FILE_DRIVERS.contains(&driver.as_str()) {
        true => file_options(bytes.unwrap_or(LOG_BYTES_MAX), files.unwrap_or(LOG_FILES)),
        false => BTreeMap::new(),
    };
    let more = parts.iter().rev().flat_map(|s| s.scalars("options"));
    options.extend(more.map(|o| (o.name.clone(), o.value.clone())));
    Logging { driver, options }
}

fn file_options(bytes: u64, files: u32) -> BTreeMap<String, String> {
    [("max-size", bytes.to_string()), ("max-file", files.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Adds the keys of a node that say otherwise than the default.
pub(super) fn resolve(container: &Container, value: &mut Value) {
    let default = Container::default();
    let mut put = |key: &str, is_default: bool, text: Value| {
        if !is_default {
            value[key] = text;
        }
    };
    put("pull", container.pull == default.pull, json!(container.pull.as_str()));
    put("restart", container.restart == default.restart, json!(container.restart.as_str()));
    put(
        "stop_grace_period",
        container.stop_grace == default.stop_grace,
        json!(show_duration(container.stop_grace)),
    );
    put("healthcheck", container.healthcheck == default.healthcheck, container.healthcheck.to_json());
    put("logging", container.logging == default.logging, container.logging.to_json());
    let ulimits: Map<String, Value> = container
        .ulimits
        .iter()
        .map(|(name, limit)| match limit.soft == limit.hard {
            true => (name.clone(), json!(limit.soft)),
            false => (name.clone(), json!({ "soft": limit.soft, "hard": limit.hard })),
        })
        .collect();
    put("ulimits", ulimits.is_empty(), Value::Object(ulimits));
    let labels: Map<String, Value> =
        container.labels.iter().map(|(name, text)| (name.clone(), json!(text.replace('$', "$$")))).collect();
    put("labels", labels.is_empty(), Value::Object(labels));
}

impl Healthcheck {
    /// Returns it as a file gives it.
    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({});
        let escaped = |text: &String| text.replace('$', "$$");
        match self.test.as_slice() {
            [] => {}
            [none] => value["test"] = json!(none),
            [shell, command] if shell == "CMD-SHELL" => value["test"] = json!(escaped(command)),
            test => value["test"] = json!(test.iter().map(escaped).collect::<Vec<_>>()),
        }
        let times =
            [("interval", self.interval), ("timeout", self.timeout), ("start_period", self.start_period)];
        for (key, time) in times {
            if let Some(time) = time {
                value[key] = json!(show_duration(time));
            }
        }
        if let Some(retries) = self.retries {
            value["retries"] = json!(retries);
        }
        value
    }
}

impl Logging {
    /// Returns it as a file gives it.
    fn to_json(&self) -> Value {
        let mut value = json!({ "driver": self.driver });
        let mut options = self.options.clone();
        if FILE_DRIVERS.contains(&self.driver.as_str()) {
            if let Some(bytes) = options.get("max-size").and_then(|text| text.parse().ok()) {
                options.remove("max-size");
                value["max_size"] = json!(show_size(bytes));
            }
            if let Some(files) = options.get("max-file").and_then(|text| text.parse::<u32>().ok()) {
                options.remove("max-file");
                value["max_file"] = json!(files);
            }
        }
        if !options.is_empty() {
            let escaped: BTreeMap<_, _> = options.iter().map(|(k, v)| (k, v.replace('$', "$$"))).collect();
            value["options"] = json!(escaped);
        }
        value
    }
}
