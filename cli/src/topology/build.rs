//! Fills in the defaults: from the sections of the file to drafts of the nodes, and from checked drafts to the
//! [`Topology`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::certificates::CertificateFiles;
use super::container::{Container, container};
use super::duration::show_duration;
use super::endpoint::Endpoint;
use super::model::*;
use super::read::{Named, Section, UNNAMED_PORT};
use super::report::Report;
use super::secret::{self, Auth, License};
use super::tree::Span;

const REPLICATION_PORT: u16 = 10_000;
const BOLT_BASE: u16 = 7687;
const WAIT: Duration = Duration::from_secs(120);
/// The word for the node inside mgctl, where an image can be named.
pub(super) const BUILT_IN: &str = "built-in";
/// The word for the volume that mgctl names.
pub(super) const AUTO: &str = "auto";

/// A cluster before the cross-checks: what the file says and what follows from it.
pub(super) struct Draft<'s> {
    pub(super) file: &'s Section,
    /// What relative paths start from.
    directory: PathBuf,
    pub(super) name: Option<String>,
    pub(super) runtime: Runtime,
    pub(super) addressing: Addressing,
    pub(super) subnet: Option<Subnet>,
    pub(super) is_external: bool,
    pub(super) bind: IpAddr,
    pub(super) bolt_base: u16,
    pub(super) nodes: Vec<NodeDraft<'s>>,
    pub(super) init: Vec<(PathBuf, Span)>,
    pub(super) auth: Option<Auth>,
    pub(super) license: Option<License>,
    pub(super) backup: Backup,
}

/// A node before the cross-checks.
pub(super) struct NodeDraft<'s> {
    pub(super) name: &'s str,
    pub(super) span: Span,
    pub(super) section: &'s Section,
    /// `None` if it is missing or wrong.
    pub(super) role: Option<Role>,
    /// How it is registered, or `None` if that is wrong.
    pub(super) mode: Option<Mode>,
    pub(super) register_as: String,
    pub(super) replication_port: u16,
    pub(super) bolt: BoltPort,
    pub(super) ip: Option<Ipv4Addr>,
    /// Where it is, if the file says so.
    pub(super) external: Option<External>,
    pub(super) host: Option<String>,
    pub(super) image: Image,
    pub(super) image_span: Span,
    /// With the places of their names.
    pub(super) flags: BTreeMap<String, (String, Span)>,
    pub(super) env: BTreeMap<String, (String, Span)>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) nano_cpus: Option<u64>,
    pub(super) priority: u16,
    /// What `volumes.data` says, and where; `None` for the volume that mgctl names.
    pub(super) data: Option<(String, Span)>,
    pub(super) container: Container,
}

impl NodeDraft<'_> {
    /// Returns the place of a value of the node, or of its name.
    pub(super) fn at(&self, key: &str) -> Span {
        self.section.span(key).unwrap_or(self.span)
    }

    /// Returns the place of one of its ports, or of its name.
    pub(super) fn port_at(&self, key: &str) -> Span {
        self.section.section("ports").and_then(|ports| ports.span(key)).unwrap_or(self.span)
    }
}

impl<'s> Draft<'s> {
    /// Drafts the cluster of `file`.
    pub(super) fn new(
        file: &'s Section,
        directory: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
        report: &mut Report<'_>,
    ) -> Draft<'s> {
        let empty: &'s Section = &EMPTY;
        let part = |key: &str| file.section(key).unwrap_or(empty);
        let (replication, ports, defaults) = (part("replication"), part("ports"), part("defaults"));
        let rules = replication_flags(replication);
        let checks = check_flag(replication);
        let instances = file.named("instances");
        let modes = Modes::new(replication, instances);
        let runtime = file.word("runtime").and_then(Runtime::parse).unwrap_or_default();
        let mut bolt = BoltPorts::new(ports, instances);
        let is_external = part("network").flag("external").unwrap_or(false);
        let nodes = instances
            .iter()
            .map(|instance| {
                let section = &instance.value;
                let role = section.word("role").and_then(Role::parse);
                let (image, image_span) = image(&[section, defaults, file], instance.span);
                // Any of the nodes may become MAIN, so all of them get the rules.
                let rules = if image == Image::BuiltIn { &rules[..] } else { &[] };
                let flags = [&checks[..], rules, defaults.scalars("flags"), section.scalars("flags")];
                let replication_port = section
                    .port("replication_port")
                    .or_else(|| replication.port("port"))
                    .unwrap_or(REPLICATION_PORT);
                NodeDraft {
                    name: &instance.name,
                    span: instance.span,
                    section,
                    role,
                    mode: modes.of(section, role),
                    register_as: section
                        .text("register_as")
                        .unwrap_or_else(|| instance.name.replace('-', "_")),
                    replication_port,
                    bolt: match runtime {
                        Runtime::External => BoltPort::None,
                        _ => bolt.next(instance, report),
                    },
                    ip: section.ipv4("ip"),
                    external: external(section, replication_port),
                    host: section.text("host"),
                    image,
                    image_span,
                    flags: merge(flags, |name| name.replace('_', "-")),
                    env: merge([defaults.scalars("env"), section.scalars("env")], str::to_owned),
                    memory_bytes: section.size("memory").or_else(|| defaults.size("memory")),
                    nano_cpus: section.cpus("cpus").or_else(|| defaults.cpus("cpus")),
                    priority: section.priority("priority").unwrap_or(Instance::PRIORITY),
                    data: data(&[section, defaults]),
                    container: container(section, defaults),
                }
            })
            .collect();
        Draft {
            file,
            directory: directory.to_owned(),
            name: file.text("name"),
            runtime,
            // In a network of others addresses are theirs to give, and in a swarm each start gives another; names are
            // there anyway.
            addressing: file.word("addressing").and_then(Addressing::parse).unwrap_or(
                match is_external || runtime == Runtime::Swarm {
                    true => Addressing::Dns,
                    false => Addressing::default(),
                },
            ),
            is_external,
            subnet: part("network").subnet("subnet"),
            bind: ports.ip("bind").unwrap_or(IpAddr::V4(match runtime {
                // A swarm publishes on every address of a host.
                Runtime::Swarm => Ipv4Addr::UNSPECIFIED,
                _ => Ipv4Addr::LOCALHOST,
            })),
            bolt_base: bolt.base,
            nodes,
            init: part("init").texts("cypher").iter().map(|(p, span)| (directory.join(p), *span)).collect(),
            auth: file.section("auth").and_then(|auth| secret::auth(auth, directory, variable, report)),
            license: file.section("license").and_then(|l| secret::license(l, variable, report)),
            backup: Backup {
                dir: part("backup").text("dir").map(|dir| directory.join(dir)),
                keep: part("backup").number("keep"),
            },
        }
    }

    /// Returns the topology of a draft without errors.
    pub(super) fn finish(self, report: &Report<'_>) -> Topology {
        let file = self.file;
        let name = self.name.expect("a topology without a name has an error");
        let wait = file.section("wait");
        let network = file.section("network");
        let once = file.section("init").and_then(|init| init.flag("once")).unwrap_or(true);
        let is_built_in = self.nodes.iter().all(|node| node.image == Image::BuiltIn);
        let tls = file.section("tls");
        let cluster_tls =
            tls.and_then(|tls| tls.flag("cluster")).unwrap_or(match tls.and_then(|t| t.word("mode")) {
                Some("off") => false,
                Some("generate" | "files") => true,
                // Who runs the nodes gives them their certificates.
                _ => is_built_in && self.runtime != Runtime::External,
            });
        // What is in them is read when there is no error left.
        let tls_files = tls
            .filter(|tls| cluster_tls && tls.word("mode") == Some("files"))
            .and_then(|tls| tls.text("folder"))
            .map(|folder| CertificateFiles { folder: self.directory.join(folder), leaves: BTreeMap::new() });
        let secrets = secret::environment(self.auth.as_ref(), self.license.as_ref());
        let mut instances: Vec<Instance> =
            self.nodes.into_iter().map(|node| node.finish(&name, report)).collect();
        for instance in instances.iter_mut().filter(|i| i.image != Image::BuiltIn) {
            instance.secrets = secrets.clone();
        }
        Topology {
            network: Network {
                name: network.and_then(|n| n.text("name")).unwrap_or_else(|| format!("mgctl-{name}")),
                subnet: self.subnet,
                driver: network.and_then(|n| n.word("driver")).and_then(Driver::parse).unwrap_or(match self
                    .runtime
                {
                    Runtime::Swarm => Driver::Overlay,
                    _ => Driver::default(),
                }),
                mtu: network.and_then(|n| n.number("mtu")),
                is_external: self.is_external,
            },
            query_timeout: file
                .section("replication")
                .and_then(|r| r.duration("query_timeout"))
                .unwrap_or(Topology::QUERY_TIMEOUT),
            context: file.text("context"),
            auth: self.auth,
            license: self.license,
            backup: self.backup,
            // The file itself, also where its name was set over it.
            place: report.place(file.span("name").filter(|span| span.set().is_none()).unwrap_or_default()),
            name,
            runtime: self.runtime,
            addressing: self.addressing,
            bind: self.bind,
            bolt_base: self.bolt_base,
            cluster_tls,
            tls_files,
            wait: Wait {
                timeout: wait.and_then(|w| w.duration("timeout")).unwrap_or(WAIT),
                until: wait.and_then(|w| w.word("until")).and_then(Until::parse).unwrap_or(Until::Redundant),
            },
            on_failure: file.word("on_failure").and_then(OnFailure::parse).unwrap_or_default(),
            init: Init { cypher: self.init.into_iter().map(|(path, _)| path).collect(), once },
            instances,
        }
    }
}

static EMPTY: Section = Section::EMPTY;

impl NodeDraft<'_> {
    fn finish(self, cluster: &str, report: &Report<'_>) -> Instance {
        let plain =
            |map: BTreeMap<String, (String, Span)>| map.into_iter().map(|(k, (v, _))| (k, v)).collect();
        Instance {
            role: self.role.expect("a node without a role has an error"),
            mode: self.mode.expect("a node without a mode has an error"),
            data: match self.data {
                Some((text, _)) => Data::of(&text),
                None => Data::Volume(format!("mgctl-{cluster}-{}-data", self.name)),
            },
            container: self.container,
            name: self.name.to_owned(),
            register_as: self.register_as,
            replication_port: self.replication_port,
            bolt: self.bolt,
            ip: self.ip,
            external: self.external,
            host: self.host,
            image: self.image,
            flags: plain(self.flags),
            env: plain(self.env),
            secrets: BTreeMap::new(),
            memory_bytes: self.memory_bytes,
            nano_cpus: self.nano_cpus,
            priority: self.priority,
            place: report.place(self.span),
        }
    }
}

/// Which mode a node gets that names none.
struct Modes {
    default: Option<Mode>,
    main: Option<Mode>,
}

impl Modes {
    fn new(replication: &Section, instances: &[Named<Section>]) -> Modes {
        let written = replication.word("mode").and_then(Mode::parse);
        let default = if replication.is_bad("mode") { None } else { Some(written.unwrap_or(Mode::Sync)) };
        // The declared MAIN becomes a replica once another node is promoted. It then waits as the others do, so
        // that SYNC and STRICT_SYNC are not mixed.
        let strict = instances.iter().any(|i| i.value.word("mode") == Some(Mode::StrictSync.as_str()));
        let main = if written.is_none() && strict { Some(Mode::StrictSync) } else { default };
        Modes { default, main }
    }

    fn of(&self, section: &Section, role: Option<Role>) -> Option<Mode> {
        match role {
            Some(Role::Main) => self.main,
            _ if section.has("mode") => section.word("mode").and_then(Mode::parse),
            _ => self.default,
        }
    }
}

/// Gives out the Bolt ports of this machine.
struct BoltPorts {
    base: u16,
    strategy: &'static str,
    given: Vec<u16>,
    next: u32,
}

impl BoltPorts {
    fn new(ports: &Section, instances: &[Named<Section>]) -> BoltPorts {
        let base = ports.port("bolt_base").unwrap_or(BOLT_BASE);
        let given = instances.iter().filter_map(|i| i.value.section("ports")?.port("bolt")).collect();
        BoltPorts { base, strategy: ports.word("strategy").unwrap_or("auto"), given, next: u32::from(base) }
    }

    fn next(&mut self, instance: &Named<Section>, report: &mut Report<'_>) -> BoltPort {
        let ports = instance.value.section("ports");
        let mut port = self.next;
        self.next += 1;
        if let Some(port) = ports.and_then(|ports| ports.port("bolt")) {
            return BoltPort::Fixed(port);
        }
        match self.strategy {
            "none" => return BoltPort::None,
            "random" => return BoltPort::Random,
            _ => {}
        }
        // With `auto` a port that the file gives to another node is taken as any other.
        while self.strategy == "auto" && self.given.iter().any(|given| u32::from(*given) == port) {
            port += 1;
            self.next = self.next.max(port + 1);
        }
        let Ok(port) = u16::try_from(port) else {
            let what =
                format!("no port is left for `{}` after `ports.bolt_base` {}", instance.name, self.base);
            report.error("MG018", instance.span, what).help.push("use a lower `ports.bolt_base`".into());
            return BoltPort::None;
        };
        match self.strategy {
            "fixed" => BoltPort::Fixed(port),
            _ => BoltPort::From(port),
        }
    }
}

/// Returns where a node is that names its address.
fn external(section: &Section, replication_port: u16) -> Option<External> {
    let with = |endpoint: Endpoint, port: u16| match endpoint.port {
        UNNAMED_PORT => Endpoint { port, ..endpoint },
        _ => endpoint,
    };
    let bolt = with(section.endpoint("address")?, BOLT_BASE);
    let replication = match section.endpoint("replication_address") {
        Some(endpoint) => with(endpoint, replication_port),
        None => Endpoint { host: bolt.host.clone(), port: replication_port },
    };
    Some(External { bolt, replication })
}

/// Returns the image of the first section that names one.
fn image(sections: &[&Section], node: Span) -> (Image, Span) {
    let named = sections.iter().find_map(|s| Some((s.text("image")?, s.span("image")?)));
    match named {
        Some((text, span)) if text == BUILT_IN => (Image::BuiltIn, span),
        Some((text, span)) => (Image::Named(text), span),
        None => (Image::BuiltIn, node),
    }
}

/// Returns the first `volumes.data` that names something.
fn data(sections: &[&Section]) -> Option<(String, Span)> {
    let said = sections.iter().filter_map(|s| s.section("volumes")).find(|v| v.has("data"))?;
    let text = said.text("data").filter(|text| text != AUTO)?;
    Some((text, said.span("data").unwrap_or_default()))
}

/// Keys of `replication` that the built-in image takes as flags, each with its flag.
pub(super) const REPLICATION_FLAGS: [(&str, &str); 7] = [
    ("sync_policy", "replication-sync-policy"),
    ("sync_min_acks", "replication-sync-min-acks"),
    ("sync_timeout", "replication-sync-timeout"),
    ("in_doubt", "replication-in-doubt"),
    ("main_lease", "main-lease"),
    ("main_confirm", "main-confirm"),
    ("auto_rewind", "auto-rewind"),
];

fn replication_flags(replication: &Section) -> Vec<Named<String>> {
    let value = |key: &str| {
        let word = replication.word(key).map(str::to_owned);
        word.or_else(|| replication.priority(key).map(|n| n.to_string()))
            .or_else(|| replication.duration(key).map(show_duration))
            .or_else(|| replication.flag(key).map(|yes| yes.to_string()))
    };
    let flag = |(key, name): &(&str, &str)| {
        let span = replication.span(key)?;
        Some(Named { name: (*name).to_owned(), span, value: value(key)? })
    };
    REPLICATION_FLAGS.iter().filter_map(flag).collect()
}

/// Returns the flag for `check_frequency`, which every image has.
fn check_flag(replication: &Section) -> Vec<Named<String>> {
    let of = |span| {
        let seconds = replication.duration("check_frequency")?.as_secs().to_string();
        Some(Named { name: "replication-replica-check-frequency-sec".to_owned(), span, value: seconds })
    };
    replication.span("check_frequency").and_then(of).into_iter().collect()
}

/// Joins what all nodes get with what one node gets; what comes later wins.
fn merge<const N: usize>(
    parts: [&[Named<String>]; N],
    name: impl Fn(&str) -> String,
) -> BTreeMap<String, (String, Span)> {
    let all = parts.into_iter().flatten();
    all.map(|scalar| (name(&scalar.name), (scalar.value.clone(), scalar.span))).collect()
}
