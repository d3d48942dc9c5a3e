//! What a machine was made from, as kept in its label.
//!
//! The label holds the whole of it, not a hash: so that `diff` can say which field changed and from what,
//! and so that a cluster can be operated without its file. Values of the environment may be secrets; of
//! them only a digest is kept.

use crate::error::Place;
use crate::topology::{
    Addressing, Backup, BoltPort, CertificateFiles, Container, Data, Driver, Image, Init, Instance, Mode,
    Network, OnFailure, Restart, Role, Runtime, Subnet, Topology, Until, Wait, parse_duration, show_duration,
    show_size,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Returns the name of a node's container.
pub fn container_name(cluster: &str, instance: &str) -> String {
    format!("mgctl-{cluster}-{instance}")
}

/// What a machine was made from: the fields of its instance and of its cluster, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    fields: Map<String, Value>,
}

/// A field that a machine has otherwise than the topology wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The field, as "memory" or "flags.log-level".
    pub field: String,
    /// What it is.
    pub was: String,
    /// What it should be.
    pub wanted: String,
}

/// Values of `tls_mode`: who issues the certificates.
const GENERATE: &str = "generate";
const FILES: &str = "files";

/// Fields that a machine is made from: with another value it has to be made anew. The others say how the
/// node is used, which queries change.
const MADE_FROM: [&str; 20] = [
    "image",
    "cluster_tls",
    "tls_mode",
    "flags",
    "env",
    "memory",
    "nano_cpus",
    "volume",
    "bind",
    "bolt",
    "ip",
    "network",
    "restart",
    "stop_grace_period",
    "healthcheck",
    "logging",
    "ulimits",
    "labels",
    "volumes",
    "ports",
];

impl Spec {
    /// Returns the spec that `topology` has for `instance`.
    pub fn of(topology: &Topology, instance: &Instance) -> Spec {
        let order = topology.instances.iter().position(|i| i.name == instance.name).unwrap_or(0);
        let mut fields = kept(&instance.container);
        for (name, value) in [
            ("addressing", json!(topology.addressing.as_str())),
            ("bind", json!(topology.bind.to_string())),
            ("bolt", json!(bolt_text(instance.bolt))),
            ("cluster_tls", json!(topology.cluster_tls)),
            ("env", json!(digests(instance))),
            ("flags", json!(instance.flags)),
            ("host", json!(instance.host)),
            ("image", json!(instance.image.to_string())),
            ("instance", json!(instance.name)),
            ("ip", json!(instance.ip.map(|ip| ip.to_string()))),
            ("memory", json!(instance.memory_bytes)),
            ("mode", json!(instance.mode.as_str())),
            ("nano_cpus", json!(instance.nano_cpus)),
            ("network", json!(topology.network.name)),
            ("network_external", json!(topology.network.is_external)),
            ("order", json!(order)),
            ("priority", json!(instance.priority)),
            ("register_as", json!(instance.register_as)),
            ("replication_port", json!(instance.replication_port)),
            ("role", json!(instance.role.as_str())),
            ("tls_folder", json!(topology.tls_files.as_ref().map(|f| absolute(&f.folder)))),
            ("tls_mode", json!(if topology.tls_files.is_some() { FILES } else { GENERATE })),
            ("subnet", json!(topology.network.subnet.map(|s| s.to_string()))),
            ("volume", json!(instance.data.as_str())),
        ] {
            fields.insert(name.into(), value);
        }
        Spec { fields }
    }

    /// Reads what [`Spec::to_text`] wrote.
    pub fn parse(text: &str) -> Option<Spec> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Some(Spec { fields }),
            _ => None,
        }
    }

    /// Returns it as one line of JSON, fields in order of their names.
    pub fn to_text(&self) -> String {
        Value::Object(self.fields.clone()).to_string()
    }

    /// Returns a short digest of the fields that a machine is made from.
    pub fn hash(&self) -> String {
        let made: Vec<(&str, Option<&Value>)> =
            MADE_FROM.iter().map(|name| (*name, self.fields.get(*name))).collect();
        digest(&json!(made).to_string())
    }

    /// Returns the fields for which a machine of this spec would have to be made anew to be one of
    /// `wanted`.
    pub fn drift(&self, wanted: &Spec) -> Vec<Drift> {
        let mut found = Vec::new();
        let (before, generate) = (kept(&Container::default()), json!(GENERATE));
        for field in MADE_FROM {
            let (was, wants) = (self.fields.get(field), wanted.fields.get(field));
            // A mgctl that did not know certificates gave none, and kept containers in one way only.
            let was = was.or_else(|| match field {
                "cluster_tls" => Some(&Value::Bool(false)),
                // Later it knew them, and issued all of them.
                "tls_mode" => Some(&generate),
                _ => before.get(field),
            });
            match (was.and_then(Value::as_object), wants.and_then(Value::as_object)) {
                (Some(was), Some(wants)) => {
                    let names: std::collections::BTreeSet<&String> = was.keys().chain(wants.keys()).collect();
                    for name in names {
                        push(&mut found, format!("{field}.{name}"), was.get(name), wants.get(name));
                    }
                }
                // A mgctl that did not know the field made no machine that differs in it.
                _ if was.is_some() => push(&mut found, field.to_owned(), was, wants),
                _ => {}
            }
        }
        found
    }

    /// Returns what it runs.
    pub fn image(&self) -> Option<Image> {
        self.text("image").map(|name| match name {
            "built-in" => Image::BuiltIn,
            named => Image::Named(named.to_owned()),
        })
    }

    /// Returns the name under which the node is registered while it is a REPLICA.
    pub fn register_as(&self) -> Option<&str> {
        self.text("register_as")
    }

    /// Returns where MAIN reaches the node as a REPLICA, `host:port`: `name`, or its machine's `address`.
    pub fn replication_address(&self, name: &str, address: Option<IpAddr>) -> Option<String> {
        let port = self.fields.get("replication_port")?.as_u64()?;
        let is_by_name = self.fields.get("addressing").and_then(Value::as_str) == Some("dns");
        let host = if is_by_name { name.to_owned() } else { address?.to_string() };
        Some(format!("{host}:{port}"))
    }

    /// Returns the volume that its data are in; `None` where they are in a folder.
    pub fn volume(&self) -> Option<&str> {
        self.text("volume").filter(|place| matches!(Data::of(place), Data::Volume(_)))
    }

    /// Returns the network that it is in, where that is not one of mgctl's own.
    pub fn external_network(&self) -> Option<&str> {
        let is_external = self.fields.get("network_external") == Some(&Value::Bool(true));
        self.text("network").filter(|_| is_external)
    }

    /// Returns whether an instance has the environment that the machine was made with.
    pub fn has_env_of(&self, instance: &Instance) -> bool {
        let none = Value::Object(Map::new());
        *self.fields.get("env").unwrap_or(&none) == json!(digests(instance))
    }

    /// Returns when its engine starts it again.
    pub fn restart(&self) -> Restart {
        self.text("restart").and_then(Restart::parse).unwrap_or_default()
    }

    /// Returns how long the machine may take to end.
    pub fn stop_grace(&self) -> Duration {
        self.text("stop_grace_period").and_then(parse_duration).unwrap_or(Container::STOP_GRACE)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// Returns the instance as far as the label tells it; flags and environment are left out.
    fn instance(&self, name: &str, place: &Place) -> Instance {
        let port = |field: &str, default| {
            self.fields
                .get(field)
                .and_then(Value::as_u64)
                .and_then(|p| u16::try_from(p).ok())
                .unwrap_or(default)
        };
        Instance {
            name: name.to_owned(),
            role: self.text("role").and_then(Role::parse).unwrap_or(Role::Replica),
            mode: self.text("mode").and_then(Mode::parse).unwrap_or(Mode::Async),
            register_as: self.text("register_as").unwrap_or(name).to_owned(),
            replication_port: port("replication_port", 10000),
            bolt: self.text("bolt").and_then(parse_bolt).unwrap_or(BoltPort::Random),
            ip: self.text("ip").and_then(|ip| ip.parse::<Ipv4Addr>().ok()),
            external: None,
            host: self.text("host").map(str::to_owned),
            image: match self.text("image") {
                Some("built-in") | None => Image::BuiltIn,
                Some(named) => Image::Named(named.to_owned()),
            },
            flags: BTreeMap::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            memory_bytes: self.fields.get("memory").and_then(Value::as_u64),
            nano_cpus: self.fields.get("nano_cpus").and_then(Value::as_u64),
            priority: port("priority", Instance::PRIORITY),
            data: Data::of(self.text("volume").unwrap_or_default()),
            container: Container {
                restart: self.restart(),
                stop_grace: self.stop_grace(),
                ..Container::default()
            },
            place: place.clone(),
        }
    }
}

/// Returns the topology that the labels of a cluster's machines tell, for when there is no file. `None`
/// without any label that can be read.
///
/// It is good for every verb but `up`: values of flags and environment are not in the labels.
pub fn rebuild(cluster: &str, specs: &BTreeMap<String, &Spec>) -> Option<Topology> {
    let first = specs.values().next()?;
    let place = Place { file: Arc::from(format!("labels of cluster {cluster}")), line: 0, column: 0 };
    let mut ordered: Vec<(u64, &String, &&Spec)> = specs
        .iter()
        .map(|(name, spec)| {
            (spec.fields.get("order").and_then(Value::as_u64).unwrap_or(u64::MAX), name, spec)
        })
        .collect();
    ordered.sort_by_key(|(order, name, _)| (*order, (*name).clone()));
    let mut instances: Vec<Instance> =
        ordered.into_iter().map(|(_, name, spec)| spec.instance(name, &place)).collect();
    // The one that was declared MAIN may be gone; who is MAIN the nodes say.
    if !instances.iter().any(|i| i.role == Role::Main) {
        instances[0].role = Role::Main;
    }
    Some(Topology {
        name: cluster.to_owned(),
        runtime: Runtime::Auto,
        network: Network {
            name: first.text("network").unwrap_or_default().to_owned(),
            subnet: first.text("subnet").and_then(Subnet::parse),
            driver: Driver::default(),
            mtu: None,
            is_external: first.external_network().is_some(),
        },
        query_timeout: Topology::QUERY_TIMEOUT,
        context: None,
        auth: None,
        license: None,
        backup: Backup::default(),
        addressing: first.text("addressing").and_then(Addressing::parse).unwrap_or_default(),
        bind: first.text("bind").and_then(|ip| ip.parse().ok()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        bolt_base: 7687,
        cluster_tls: first.fields.get("cluster_tls") == Some(&Value::Bool(true)),
        tls_files: (first.text("tls_mode") == Some(FILES)).then(|| {
            let names: Vec<&str> = instances.iter().map(|i| i.name.as_str()).collect();
            CertificateFiles::read(Path::new(first.text("tls_folder").unwrap_or_default()), cluster, &names)
        }),
        wait: Wait { timeout: Duration::from_secs(120), until: Until::Redundant },
        on_failure: OnFailure::default(),
        init: Init::default(),
        instances,
        place,
    })
}

/// The fields that say how a container is kept.
fn kept(container: &Container) -> Map<String, Value> {
    let check = &container.healthcheck;
    // Without a test it is mgctl that probes, and no container differs by that.
    let healthcheck = match check.test.is_empty() {
        true => json!({}),
        false => json!({
            "test": check.test.join(" "),
            "interval": check.interval.map(show_duration),
            "timeout": check.timeout.map(show_duration),
            "retries": check.retries,
            "start_period": check.start_period.map(show_duration),
        }),
    };
    let mut logging = json!(container.logging.options);
    logging["driver"] = json!(container.logging.driver);
    let ulimits: BTreeMap<&String, String> =
        container.ulimits.iter().map(|(name, limit)| (name, limit.to_string())).collect();
    let ports: BTreeMap<&str, u16> = container.ports.published().map(|(key, _, port)| (key, port)).collect();
    [
        ("restart", json!(container.restart.as_str())),
        ("stop_grace_period", json!(show_duration(container.stop_grace))),
        ("healthcheck", healthcheck),
        ("logging", logging),
        ("ulimits", json!(ulimits)),
        ("labels", json!(container.labels)),
        ("volumes", json!({ "log": container.over.log.as_str(), "etc": container.over.etc.as_str() })),
        ("ports", json!(ports)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn push(found: &mut Vec<Drift>, field: String, was: Option<&Value>, wants: Option<&Value>) {
    if was.unwrap_or(&Value::Null) != wants.unwrap_or(&Value::Null) {
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let show = |value: Option<&Value>| match (field.as_str(), value.and_then(number)) {
            ("memory" | "logging.max-size", Some(bytes)) => show_size(bytes),
            ("nano_cpus", Some(nano)) => (nano as f64 / 1e9).to_string(),
            _ => short(value),
        };
        let (was, wanted) = (show(was), show(wants));
        // As the file calls it.
        let field = if field == "nano_cpus" { "cpus".to_owned() } else { field };
        found.push(Drift { field, was, wanted });
    }
}

fn short(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Digests of the values of an instance's environment.
fn digests(instance: &Instance) -> BTreeMap<&String, String> {
    let secrets = instance.secrets.iter().map(|(name, secret)| (name, digest(secret.expose())));
    instance.env.iter().map(|(name, value)| (name, digest(value))).chain(secrets).collect()
}

/// The same folder from wherever a command is given.
fn absolute(folder: &Path) -> String {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

fn digest(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text.as_bytes()).iter().take(8).fold("sha256:".to_owned(), |mut out, b| {
        write!(out, "{b:02x}").expect("a String takes every write");
        out
    })
}

fn bolt_text(bolt: BoltPort) -> String {
    match bolt {
        BoltPort::Fixed(port) => port.to_string(),
        BoltPort::From(port) => format!("{port}+"),
        BoltPort::Random => "random".into(),
        BoltPort::None => "none".into(),
    }
}

fn parse_bolt(text: &str) -> Option<BoltPort> {
    Some(match text {
        "random" => BoltPort::Random,
        "none" => BoltPort::None,
        _ => match text.strip_suffix('+') {
            Some(first) => BoltPort::From(first.parse().ok()?),
            None => BoltPort::Fixed(text.parse().ok()?),
        },
    })
}
