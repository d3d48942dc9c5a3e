//! The topology with every default filled in: plain data, what the rest of mgctl works with.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::certificates::CertificateFiles;
use super::container::{Container, without_effect};
use super::endpoint::Endpoint;
use super::secret::{Auth, License, Secret};
use crate::error::Place;

/// A cluster as the file asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// Name of the cluster.
    pub name: String,
    /// What runs the nodes.
    pub runtime: Runtime,
    /// The network between the nodes.
    pub network: Network,
    /// How MAIN names its replicas.
    pub addressing: Addressing,
    /// Address of this machine on which Bolt is published.
    pub bind: IpAddr,
    /// Bolt port of the first node, for those that name none.
    pub bolt_base: u16,
    /// Nodes let in only nodes of this cluster, by certificates.
    pub cluster_tls: bool,
    /// Where those certificates come from; `None`: mgctl issues them.
    pub tls_files: Option<CertificateFiles>,
    /// How long `up` waits, and for what.
    pub wait: Wait,
    /// Who may ask the nodes; `None`: everybody.
    pub auth: Option<Auth>,
    /// The licence of Memgraph's image.
    pub license: Option<License>,
    /// Where backups go.
    pub backup: Backup,
    /// How long mgctl waits for each answer of a node.
    pub query_timeout: Duration,
    /// The docker context of the engine; `None` for the current one.
    pub context: Option<String>,
    /// What becomes of a first `up` that fails.
    pub on_failure: OnFailure,
    /// What is run on MAIN of a new cluster.
    pub init: Init,
    /// The nodes, in the order of the file. Exactly one is declared MAIN.
    pub instances: Vec<Instance>,
    /// Where `name:` stands, or the file as a whole.
    pub place: Place,
}

impl Topology {
    /// How long mgctl waits for an answer where the file says nothing.
    pub const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

    /// Returns the node that is MAIN when the cluster is new.
    ///
    /// # Panics
    ///
    /// The checks refuse a topology without a MAIN; one built by hand must have it too.
    pub fn main(&self) -> &Instance {
        let main = self.instances.iter().find(|i| i.role == Role::Main);
        main.expect("a checked topology has a MAIN")
    }

    /// Returns the nodes that are REPLICA when the cluster is new.
    pub fn replicas(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|i| i.role == Role::Replica)
    }

    /// Returns the node of that name.
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|i| i.name == name)
    }

    /// Returns true if someone else runs the nodes: mgctl only asks and tells them.
    pub fn is_external(&self) -> bool {
        self.runtime == Runtime::External
    }

    /// Returns true if the nodes are services of a swarm, each on a host of its own or not.
    pub fn is_swarm(&self) -> bool {
        self.runtime == Runtime::Swarm
    }

    /// Returns the keys that local processes do without.
    pub fn without_effect_on_processes(&self) -> Vec<&'static str> {
        let mut keys: Vec<&str> = self.instances.iter().flat_map(|i| without_effect(&i.container)).collect();
        let is_any = |has: fn(&Instance) -> bool| self.instances.iter().any(has);
        keys.extend(is_any(|i| i.memory_bytes.is_some()).then_some("memory"));
        keys.extend(is_any(|i| i.nano_cpus.is_some()).then_some("cpus"));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Returns the name of the volume that a node's data are in unless the file says otherwise.
    pub fn volume_of(&self, instance: &str) -> String {
        format!("mgctl-{}-{instance}-data", self.name)
    }

    /// Returns the name of the volume that holds the cluster's authority.
    pub fn authority_volume(&self) -> String {
        format!("mgctl-{}-ca", self.name)
    }

    /// Returns the static address of each node in `subnet`, in the order of the file: the one the file gives,
    /// else the next free one from .11 on. `None` when the subnet is too small.
    pub fn addresses(&self, subnet: Subnet) -> Option<Vec<Ipv4Addr>> {
        let given: Vec<Ipv4Addr> = self.instances.iter().filter_map(|i| i.ip).collect();
        let mut free = subnet.nodes().filter(|ip| !given.contains(ip));
        self.instances.iter().map(|i| i.ip.or_else(|| free.next())).collect()
    }
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Name of the node: its host name and its name on the command line.
    pub name: String,
    /// The role it starts with.
    pub role: Role,
    /// How it is registered while it is a REPLICA. For the declared MAIN: how it is registered once another node
    /// is promoted.
    pub mode: Mode,
    /// The name under which MAIN registers it.
    pub register_as: String,
    /// Where it listens for MAIN while it is a REPLICA.
    pub replication_port: u16,
    /// Where its Bolt is published on this machine.
    pub bolt: BoltPort,
    /// The address the file gives. Without one see [`Topology::addresses`].
    pub ip: Option<Ipv4Addr>,
    /// What it runs.
    pub image: Image,
    /// Flags of the node, without their dashes.
    pub flags: BTreeMap<String, String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Further variables, whose values are not shown.
    pub secrets: BTreeMap<String, Secret>,
    /// Memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU limit in billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Which of equals a failover promotes: the higher. 0: it is never chosen, only named.
    pub priority: u16,
    /// Where its data are.
    pub data: Data,
    /// How its container is kept.
    pub container: Container,
    /// Where it is, if someone else runs it.
    pub external: Option<External>,
    /// The host of a swarm that it is to run on: an id, a host name, or a label as `rack=1`. `None`: mgctl chooses.
    pub host: Option<String>,
    /// Where the node stands in the file.
    pub place: Place,
}

/// Where a node is that someone else runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Where its Bolt is reached from here.
    pub bolt: Endpoint,
    /// Where the other nodes reach it while it is a REPLICA.
    pub replication: Endpoint,
}

impl Instance {
    /// The priority of a node that names none.
    pub const PRIORITY: u16 = 100;

    /// Returns the name of the volume with its data, where that is a volume.
    pub fn volume(&self) -> Option<&str> {
        match &self.data {
            Data::Volume(name) => Some(name),
            Data::Folder(_) => None,
        }
    }
}

/// Where a node's data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In a volume of this name, which mgctl makes and, when asked, removes.
    Volume(String),
    /// In a folder of the engine's machine, which mgctl neither makes nor removes.
    Folder(String),
}

impl Data {
    /// Reads what a label holds: a path, or the name of a volume.
    pub fn of(text: &str) -> Data {
        match text.starts_with('/') {
            true => Data::Folder(text.to_owned()),
            false => Data::Volume(text.to_owned()),
        }
    }

    /// Returns the path, or the name of the volume.
    pub fn as_str(&self) -> &str {
        match self {
            Data::Volume(text) | Data::Folder(text) => text,
        }
    }
}

/// What runs the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Docker where an engine answers, else processes.
    #[default]
    Auto,
    /// Containers.
    Docker,
    /// Local processes on loopback addresses.
    Process,
    /// Services of a swarm of engines, one for each node, each kept on one host.
    Swarm,
    /// Someone else, each node on a machine of its own or not: mgctl only asks and tells them.
    External,
}

/// The role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes writes.
    Main,
    /// Follows MAIN.
    Replica,
}

/// How long MAIN waits for a REPLICA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// For its answer, else reports it.
    Sync,
    /// Not at all.
    Async,
    /// For all of them, or the commit is refused.
    StrictSync,
}

/// How MAIN names its replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// By an address that never changes.
    #[default]
    Static,
    /// By host name.
    Dns,
    /// By the address found at start, which may change.
    Ip,
}

/// The network between the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name at the engine.
    pub name: String,
    /// Its addresses; without, a free /24 is chosen.
    pub subnet: Option<Subnet>,
    /// How far it reaches.
    pub driver: Driver,
    /// Largest packet in bytes; without, the engine's.
    pub mtu: Option<u32>,
    /// It is there already: mgctl neither makes nor removes it.
    pub is_external: bool,
}

/// How far a network reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// Within one machine.
    #[default]
    Bridge,
    /// Over all machines of a swarm.
    Overlay,
}

/// An IPv4 range as `172.28.37.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    base: Ipv4Addr,
    bits: u8,
}

/// Where a node's Bolt is published on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoltPort {
    /// Here, or it is an error.
    Fixed(u16),
    /// Here, or at the next free port.
    From(u16),
    /// At a port that the system chooses.
    Random,
    /// Nowhere.
    None,
}

/// What a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// The node inside this executable.
    BuiltIn,
    /// An image from the engine or a registry.
    Named(String),
}

/// How long `up` waits, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long at most.
    pub timeout: Duration,
    /// For what.
    pub until: Until,
}

/// What `up` waits for. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// The nodes run.
    Started,
    /// They answer queries.
    Bolt,
    /// Roles are set, replicas registered.
    Registered,
    /// Every replica is ready and 0 behind.
    Redundant,
}

/// What becomes of a first `up` that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// What it made is taken back.
    #[default]
    Rollback,
    /// All stays, to be looked at; the next `up` goes on from there.
    Keep,
}

/// What is run on MAIN of a new cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// Files of Cypher statements. Relative ones were resolved against the directory of the topology.
    pub cypher: Vec<PathBuf>,
    /// Only on a graph that is empty; else on every `up` that changes something.
    pub once: bool,
}

/// Where `mgctl backup` writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// The folder, resolved against the directory of the topology; `None`: where mgctl is started.
    pub dir: Option<PathBuf>,
    /// How many of the cluster's backups stay in it; `None`: all.
    pub keep: Option<u32>,
}

impl Subnet {
    /// Returns the range of the first `bits` bits of `base`, or `None` if `base` has more bits set or `bits` is
    /// no prefix with room for a gateway and a node.
    pub fn new(base: Ipv4Addr, bits: u8) -> Option<Subnet> {
        let subnet = Subnet { base, bits };
        ((8..=29).contains(&bits) && u32::from(base) & !subnet.mask() == 0).then_some(subnet)
    }

    /// Reads `172.28.37.0/24`.
    pub fn parse(text: &str) -> Option<Subnet> {
        let (base, bits) = text.split_once('/')?;
        Subnet::new(base.parse().ok()?, bits.parse().ok()?)
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.bits))
    }

    /// Returns the first address, which names the range.
    pub fn base(self) -> Ipv4Addr {
        self.base
    }

    /// Returns the length of the prefix.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Returns the address that the engine keeps for itself.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// Returns the last address, which no node can have.
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) | !self.mask())
    }

    /// Returns whether `ip` lies in it.
    pub fn contains(self, ip: Ipv4Addr) -> bool {
        u32::from(ip) & self.mask() == u32::from(self.base)
    }

    /// Returns whether the two share an address.
    pub fn overlaps(self, other: Subnet) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// Returns the addresses given to nodes: from .11 on, or from .2 on in a range too small for that.
    pub fn nodes(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = if self.bits > 27 { 2 } else { 11 };
        (u32::from(self.base) + first..u32::from(self.broadcast())).map(Ipv4Addr::from)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// Gives an enum of the file its words: `ALL`, `as_str`, `parse` (in any case) and `Display`.
macro_rules! words {
    ($type:ident, $($variant:ident = $word:literal),+ $(,)?) => {
        impl $type {
            /// Every value, in the order in which help lists them.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// Their words, in the same order.
            pub(super) const WORDS: &'static [&'static str] = &[$($word),+];

            /// Returns the word for it.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }

            /// Reads the word, in capitals or not.
            pub fn parse(text: &str) -> Option<$type> {
                $type::ALL.iter().copied().find(|v| v.as_str().eq_ignore_ascii_case(text))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(super) use words;

words!(
    Runtime,
    Auto = "auto",
    Docker = "docker",
    Process = "process",
    Swarm = "swarm",
    External = "external"
);
words!(Role, Main = "MAIN", Replica = "REPLICA");
words!(Mode, Sync = "SYNC", Async = "ASYNC", StrictSync = "STRICT_SYNC");
words!(Addressing, Static = "static", Dns = "dns", Ip = "ip");
words!(Driver, Bridge = "bridge", Overlay = "overlay");
words!(OnFailure, Rollback = "rollback", Keep = "keep");
words!(Until, Started = "started", Bolt = "bolt", Registered = "registered", Redundant = "redundant");

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Image::BuiltIn => f.write_str("built-in"),
            Image::Named(name) => f.write_str(name),
        }
    }
}
