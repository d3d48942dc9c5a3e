//! Every key of a topology file, in one table. The reader and the JSON Schema both follow it, so that they agree.

use super::container::{Pull, Restart};
use super::model::{Addressing, Driver, Mode, OnFailure, Role, Runtime, Until};

/// What a value must look like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A text; numbers count as written.
    Text,
    /// A text that is not shown.
    Secret,
    /// `true` or `false`.
    Bool,
    /// A port, 1 to 65535.
    Port,
    /// A time with a unit.
    Duration,
    /// A size in bytes with or without a unit.
    Size,
    /// A number of CPUs, as `1.5`.
    Cpus,
    /// A number from 0 to 1000.
    Priority,
    /// A whole number from the first to the second.
    Number(u32, u32),
    /// One of these words, in capitals or not.
    Words(&'static [&'static str]),
    /// An IPv4 or IPv6 address.
    Ip,
    /// An IPv4 address.
    Ipv4,
    /// An IPv4 range.
    Subnet,
    /// A host by address or name, and a port where it is not the usual one.
    Endpoint,
    /// Names with a scalar each.
    Scalars,
    /// A text, or a list of texts.
    Texts,
    /// Limits of the system by name: a number each, or `soft` and `hard`.
    Limits,
    /// A mapping with these keys.
    Map(&'static Table),
    /// Names with such a mapping each, or a list of such mappings with `name`.
    Named(&'static Table),
}

/// A key and what it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) about: &'static str,
}

/// The keys of one mapping.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) keys: &'static [Key],
    /// Keys of the format that this version does not serve.
    pub(super) later: &'static [&'static str],
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, about }
}

const STRATEGIES: &[&str] = &["auto", "fixed", "random", "none"];

/// The whole file.
pub(super) static FILE: Table = Table {
    keys: &[
        key("apiVersion", Shape::Text, "Version of this format: mgctl/v1."),
        key("name", Shape::Text, "Name of the cluster: lower-case letters, digits and hyphens."),
        key(
            "runtime",
            Shape::Words(Runtime::WORDS),
            "What runs the nodes. auto: docker where an engine answers, else process. swarm: the engines of several hosts. external: someone else, at the `address` of each.",
        ),
        key("context", Shape::Text, "The engine's docker context. Default: the current one."),
        key(
            "env_file",
            Shape::Texts,
            "Files of NAME=value lines, which ${NAME} then stands for; the environment stands over them.",
        ),
        key("image", Shape::Text, "Image of all nodes. Without it, or built-in: the node inside mgctl."),
        key("network", Shape::Map(&NETWORK), "The network between the nodes."),
        key(
            "addressing",
            Shape::Words(Addressing::WORDS),
            "How MAIN names its replicas. Default: static; dns with `runtime: swarm`.",
        ),
        key("replication", Shape::Map(&REPLICATION), "Defaults of replication."),
        key("ports", Shape::Map(&PORTS), "Where Bolt is published on this machine."),
        key("auth", Shape::Map(&AUTH), "The user that Memgraph's image lets in, and mgctl uses."),
        key("tls", Shape::Map(&TLS), "Encryption between the nodes."),
        key("license", Shape::Map(&LICENSE), "The licence of Memgraph's image."),
        key("wait", Shape::Map(&WAIT), "How long `up` waits, and for what."),
        key(
            "on_failure",
            Shape::Words(OnFailure::WORDS),
            "What becomes of a first `up` that fails. rollback: it is taken back; keep: it stays, to be looked at.",
        ),
        key("defaults", Shape::Map(&DEFAULTS), "What every node gets unless it says otherwise."),
        key("instances", Shape::Named(&INSTANCE), "The nodes, by name. Exactly one has the role main."),
        key("init", Shape::Map(&INIT), "What is run on MAIN of a new cluster."),
        key("backup", Shape::Map(&BACKUP), "Where `mgctl backup` writes, and how many it keeps."),
    ],
    later: &["hooks", "hosts"],
};

static NETWORK: Table = Table {
    keys: &[
        key("name", Shape::Text, "Name of the network at the engine. Default: mgctl-NAME."),
        key("subnet", Shape::Subnet, "Its addresses, as 172.28.37.0/24. Default: a free /24."),
        key(
            "driver",
            Shape::Words(Driver::WORDS),
            "bridge: within one machine; overlay: over all machines of a swarm. Default: bridge, and overlay with `runtime: swarm`.",
        ),
        key("mtu", Shape::Number(68, 65535), "Largest packet in bytes. Default: the engine's."),
        key("external", Shape::Bool, "The network is there already; mgctl neither makes nor removes it."),
    ],
    later: &[],
};

static REPLICATION: Table = Table {
    keys: &[
        key("port", Shape::Port, "Where replicas listen for MAIN. Default: 10000."),
        key("mode", Shape::Words(Mode::WORDS), "Mode of replicas that name none. Default: SYNC."),
        key(
            "sync_policy",
            Shape::Words(&["degrade", "block", "reject"]),
            "A commit that too few SYNC replicas can confirm: degrade commits with a warning; block waits; reject refuses.",
        ),
        key(
            "sync_min_acks",
            Shape::Priority,
            "SYNC replicas that must confirm a commit. Default: all of them.",
        ),
        key("sync_timeout", Shape::Duration, "Longest wait for a replica that says nothing. Default: 10s."),
        key(
            "in_doubt",
            Shape::Words(&["report", "wait"]),
            "A STRICT_SYNC commit in doubt: report says so at once; wait waits for the outcome.",
        ),
        key(
            "main_lease",
            Shape::Duration,
            "A MAIN that heard from no majority for that long takes no writes. Default: none.",
        ),
        key(
            "main_confirm",
            Shape::Words(&["auto", "required"]),
            "A restarted MAIN whose replicas are silent: auto takes writes; required waits for them, or for an operator.",
        ),
        key(
            "check_frequency",
            Shape::Duration,
            "How often MAIN looks for replicas that it lost, in whole seconds. Default: 1s.",
        ),
        key("query_timeout", Shape::Duration, "How long mgctl waits for each answer of a node. Default: 5s."),
        key(
            "auto_rewind",
            Shape::Bool,
            "A diverged replica cuts its log back by itself; the rest is kept aside.",
        ),
    ],
    later: &[],
};

static PORTS: Table = Table {
    keys: &[
        key("bind", Shape::Ip, "Address of this machine on which Bolt is published. Default: 127.0.0.1."),
        key("bolt_base", Shape::Port, "Bolt port of the first node; the next ones follow. Default: 7687."),
        key(
            "strategy",
            Shape::Words(STRATEGIES),
            "auto: the next free port if one is taken; fixed: an error; random: the system chooses; none: not published.",
        ),
        key("allow_public", Shape::Bool, "Accepts that Bolt is open to the network without a password."),
    ],
    later: &[],
};

static TLS: Table = Table {
    keys: &[
        key(
            "mode",
            Shape::Words(&["off", "generate", "files"]),
            "off: none; generate: mgctl issues the certificates; files: those in `folder`. Default: generate for the node inside mgctl.",
        ),
        key(
            "cluster",
            Shape::Bool,
            "Nodes let in only nodes of this cluster, by certificates. Default: true for the node inside mgctl.",
        ),
        key(
            "folder",
            Shape::Text,
            "With `mode: files`: ca.crt, and NAME.crt and NAME.key of each node, relative to this file.",
        ),
        key(
            "client",
            Shape::Words(&["off", "optional", "required"]),
            "Encrypted Bolt. Only off is served yet.",
        ),
        key("sans", Shape::Texts, "Hosts for certificates of Bolt; not served yet."),
    ],
    later: &[],
};

static AUTH: Table = Table {
    keys: &[
        key("username", Shape::Text, "Its name."),
        key("password_file", Shape::Text, "File with its password, relative to this file."),
        key("password_env", Shape::Text, "Variable of the environment with its password."),
        key("password", Shape::Secret, "The password itself; best as a variable, \"${MG_PASSWORD}\"."),
    ],
    later: &[],
};

static LICENSE: Table = Table {
    keys: &[
        key("organization", Shape::Text, "Who has it."),
        key(
            "key_env",
            Shape::Text,
            "Variable of the environment with its key. Default: MEMGRAPH_ENTERPRISE_LICENSE.",
        ),
    ],
    later: &[],
};

static BACKUP: Table = Table {
    keys: &[
        key(
            "dir",
            Shape::Text,
            "Folder for backups, relative to this file. Default: where mgctl is started.",
        ),
        key(
            "keep",
            Shape::Number(1, 10_000),
            "How many of this cluster's backups stay there; older ones are removed after a new one is whole. Default: all.",
        ),
    ],
    later: &[],
};

static WAIT: Table = Table {
    keys: &[
        key("timeout", Shape::Duration, "How long at most. Default: 2m."),
        key(
            "until",
            Shape::Words(Until::WORDS),
            "For what. Default: redundant, every replica ready and 0 behind.",
        ),
    ],
    later: &[],
};

const IMAGE: Key = key("image", Shape::Text, "Image of the node.");
const FLAGS: Key = key("flags", Shape::Scalars, "Flags of the node, without their dashes.");
const ENV: Key = key("env", Shape::Scalars, "Its environment.");
const MEMORY: Key = key("memory", Shape::Size, "Memory limit, as 1GiB.");
const CPUS: Key = key("cpus", Shape::Cpus, "CPU limit, as 1.5.");
const PULL: Key = key(
    "pull",
    Shape::Words(Pull::WORDS),
    "When the image is pulled. missing: where the engine has none; always: before a container is made; never. Default: missing.",
);
const RESTART: Key = key(
    "restart",
    Shape::Words(Restart::WORDS),
    "When the engine starts a container that ended again. Default: unless-stopped.",
);
const STOP_GRACE: Key = key(
    "stop_grace_period",
    Shape::Duration,
    "How long it may take to end before it is killed. Default: 30s.",
);
const HEALTHCHECK: Key = key(
    "healthcheck",
    Shape::Map(&HEALTHCHECK_TABLE),
    "How it is found out that it is well. Without test: mgctl asks its Bolt from outside while it starts.",
);
const LOGGING: Key = key("logging", Shape::Map(&LOGGING_TABLE), "Where the engine puts what it says.");
const ULIMITS: Key = key("ulimits", Shape::Limits, "Limits of the system, as nofile: 65536.");
const LABELS: Key = key("labels", Shape::Scalars, "Labels of its container, for your own tools.");
const VOLUMES: Key = key("volumes", Shape::Map(&VOLUMES_TABLE), "Where its files are.");

pub(super) static DEFAULTS: Table = Table {
    keys: &[
        IMAGE,
        PULL,
        FLAGS,
        ENV,
        MEMORY,
        CPUS,
        RESTART,
        STOP_GRACE,
        HEALTHCHECK,
        LOGGING,
        ULIMITS,
        LABELS,
        VOLUMES,
    ],
    later: &[],
};

pub(super) static HEALTHCHECK_TABLE: Table = Table {
    keys: &[
        key(
            "test",
            Shape::Texts,
            "Command that the engine runs in the container: a text for its shell, or a list that begins with CMD or CMD-SHELL.",
        ),
        key("interval", Shape::Duration, "Pause between two probes."),
        key("timeout", Shape::Duration, "Longest time for a probe."),
        key("retries", Shape::Number(1, 1000), "Probes that fail in a row until it is unwell."),
        key("start_period", Shape::Duration, "Time after its start in which failures do not count."),
    ],
    later: &[],
};

static LOGGING_TABLE: Table = Table {
    keys: &[
        key("driver", Shape::Text, "The engine's log driver. Default: json-file."),
        key("max_size", Shape::Size, "Size at which a file is put aside (json-file, local). Default: 10MiB."),
        key("max_file", Shape::Number(1, 1000), "Files that are kept (json-file, local). Default: 3."),
        key("options", Shape::Scalars, "Options of another driver, as it names them."),
    ],
    later: &[],
};

static VOLUMES_TABLE: Table = Table {
    keys: &[
        key(
            "data",
            Shape::Text,
            "Its data: auto, the name of a volume, or a folder of the engine's machine. Default: auto, mgctl-CLUSTER-NODE-data.",
        ),
        key(
            "log",
            Shape::Text,
            "Log files of Memgraph's image: none, tmpfs or a folder. Default: none, as the image has it.",
        ),
        key(
            "etc",
            Shape::Text,
            "Settings of Memgraph's image: none or a folder. Default: none, as the image has it.",
        ),
    ],
    later: &[],
};

pub(super) static INSTANCE: Table = Table {
    keys: &[
        key("role", Shape::Words(Role::WORDS), "The role it starts with."),
        key("mode", Shape::Words(Mode::WORDS), "How MAIN waits for it; replicas only."),
        key("register_as", Shape::Text, "Name under which MAIN registers it. Default: its own, - as _."),
        key("replication_port", Shape::Port, "Where it listens for MAIN. Default: replication.port."),
        key("ports", Shape::Map(&INSTANCE_PORTS), "Where it is published on this machine."),
        key(
            "address",
            Shape::Endpoint,
            "Where its Bolt is reached, as HOST or HOST:PORT; with `runtime: external`.",
        ),
        key(
            "replication_address",
            Shape::Endpoint,
            "Where other nodes reach it, as HOST or HOST:PORT. Default: the host of `address`, and replication_port.",
        ),
        key(
            "host",
            Shape::Text,
            "The host that it runs on, by id, host name or label (rack=1); with `runtime: swarm`. Default: the hosts in turn.",
        ),
        key("ip", Shape::Ipv4, "Its address in network.subnet. Default: .11, .12 and so on."),
        key(
            "priority",
            Shape::Priority,
            "Which of equals `failover` promotes: the higher. 0: never chosen by itself. Default: 100.",
        ),
        IMAGE,
        PULL,
        FLAGS,
        ENV,
        MEMORY,
        CPUS,
        RESTART,
        STOP_GRACE,
        HEALTHCHECK,
        LOGGING,
        ULIMITS,
        LABELS,
        VOLUMES,
    ],
    later: &["container_name"],
};

static INSTANCE_PORTS: Table = Table {
    keys: &[
        key("bolt", Shape::Port, "Bolt port on this machine."),
        key("metrics", Shape::Port, "Port on this machine for the metrics of Memgraph's image."),
        key("monitoring", Shape::Port, "Port on this machine for the log stream of Memgraph's image."),
    ],
    later: &[],
};

static INIT: Table = Table {
    keys: &[
        key("cypher", Shape::Texts, "Files of Cypher statements, relative to this file."),
        key("once", Shape::Bool, "Only while the graph is empty. Default: true."),
    ],
    later: &[],
};
