//! The topology with every default written out. What is written reads back as the same topology.

use serde_json::{Map, Value, json};

use super::container::{self, Mounted};
use super::duration::{show_duration, show_size};
use super::model::{Backup, BoltPort, Driver, Image, Instance, Role, Topology};
use super::secret::PasswordSource;
use super::{API_VERSION, build::BUILT_IN};

/// Returns the topology as a file would give it, every default written out.
pub fn to_json(topology: &Topology) -> Value {
    let strategies = topology.instances.iter().map(|i| match i.bolt {
        BoltPort::Fixed(_) => "fixed",
        BoltPort::From(_) => "auto",
        BoltPort::Random => "random",
        BoltPort::None => "none",
    });
    // A node with a port of its own says nothing about the others.
    let strategy = strategies.clone().find(|s| *s != "fixed").unwrap_or("fixed");
    let mut ports = json!({
        "bind": topology.bind.to_string(), "bolt_base": topology.bolt_base, "strategy": strategy,
    });
    if !topology.bind.is_loopback() && strategies.into_iter().any(|s| s != "none") {
        ports["allow_public"] = json!(true);
    }
    let mut network = json!({ "name": topology.network.name });
    if let Some(subnet) = topology.network.subnet {
        network["subnet"] = json!(subnet.to_string());
    }
    if topology.network.driver != Driver::default() {
        network["driver"] = json!(topology.network.driver.as_str());
    }
    if let Some(mtu) = topology.network.mtu {
        network["mtu"] = json!(mtu);
    }
    if topology.network.is_external {
        network["external"] = json!(true);
    }
    let instances: Map<String, Value> = topology
        .instances
        .iter()
        .map(|i| (i.name.clone(), instance(i, &topology.volume_of(&i.name))))
        .collect();
    let mut file = json!({
        "apiVersion": API_VERSION,
        "name": topology.name,
        "runtime": topology.runtime.as_str(),
        "network": network,
        "addressing": topology.addressing.as_str(),
        // What the declared MAIN is registered as once another node is promoted.
        "replication": { "mode": topology.main().mode.as_str() },
        "ports": ports,
        "tls": { "cluster": topology.cluster_tls },
        "wait": {
            "timeout": show_duration(topology.wait.timeout), "until": topology.wait.until.as_str(),
        },
        "on_failure": topology.on_failure.as_str(),
        "instances": instances,
    });
    if let Some(files) = &topology.tls_files {
        file["tls"]["mode"] = json!("files");
        file["tls"]["folder"] = json!(files.folder.display().to_string().replace('$', "$$"));
    }
    if let Some(auth) = &topology.auth {
        let (key, value) = match &auth.source {
            PasswordSource::File(path) => ("password_file", path.display().to_string()),
            PasswordSource::Env(name) => ("password_env", name.clone()),
            // It is not shown.
            PasswordSource::Written => ("password", "********".to_owned()),
        };
        file["auth"] = json!({ "username": auth.username.replace('$', "$$"), key: value.replace('$', "$$") });
    }
    if let Some(license) = &topology.license {
        file["license"] = json!({ "key_env": license.key_env });
        if let Some(organization) = &license.organization {
            file["license"]["organization"] = json!(organization.replace('$', "$$"));
        }
    }
    if topology.backup != Backup::default() {
        file["backup"] = json!({});
        if let Some(dir) = &topology.backup.dir {
            file["backup"]["dir"] = json!(dir.display().to_string().replace('$', "$$"));
        }
        if let Some(keep) = topology.backup.keep {
            file["backup"]["keep"] = json!(keep);
        }
    }
    if let Some(context) = &topology.context {
        file["context"] = json!(context.replace('$', "$$"));
    }
    if topology.query_timeout != Topology::QUERY_TIMEOUT {
        file["replication"]["query_timeout"] = json!(show_duration(topology.query_timeout));
    }
    if !topology.init.cypher.is_empty() {
        let paths: Vec<String> = topology.init.cypher.iter().map(|p| p.display().to_string()).collect();
        file["init"] = json!({ "cypher": paths, "once": topology.init.once });
    }
    if topology.is_swarm() {
        // Every address of a host: nothing else can be said, and so nothing is.
        file["ports"].as_object_mut().expect("it was made as one").shift_remove("bind");
    }
    if topology.is_external() {
        let keys = file.as_object_mut().expect("it was made as one");
        for key in ["network", "addressing", "ports", "tls", "on_failure"] {
            keys.shift_remove(key);
        }
    }
    file
}

fn instance(instance: &Instance, default_volume: &str) -> Value {
    let image = match &instance.image {
        Image::BuiltIn => BUILT_IN,
        Image::Named(name) => name,
    };
    let mut value = json!({ "role": instance.role.as_str().to_ascii_lowercase() });
    if instance.role == Role::Replica {
        value["mode"] = json!(instance.mode.as_str());
    }
    value["register_as"] = json!(instance.register_as);
    value["replication_port"] = json!(instance.replication_port);
    if let Some(external) = &instance.external {
        value["address"] = json!(external.bolt.to_string());
        value["replication_address"] = json!(external.replication.to_string());
    }
    let mut ports: Map<String, Value> =
        instance.container.ports.published().map(|(key, _, port)| (key.to_owned(), json!(port))).collect();
    if let BoltPort::Fixed(port) = instance.bolt {
        ports.insert("bolt".into(), json!(port));
    }
    if !ports.is_empty() {
        value["ports"] = Value::Object(ports);
    }
    if let Some(host) = &instance.host {
        value["host"] = json!(host.replace('$', "$$"));
    }
    if let Some(ip) = instance.ip {
        value["ip"] = json!(ip.to_string());
    }
    if instance.priority != Instance::PRIORITY {
        value["priority"] = json!(instance.priority);
    }
    if instance.external.is_none() {
        value["image"] = json!(image);
    }
    if !instance.flags.is_empty() {
        value["flags"] = json!(escaped(&instance.flags));
    }
    if !instance.env.is_empty() {
        value["env"] = json!(escaped(&instance.env));
    }
    if let Some(bytes) = instance.memory_bytes {
        value["memory"] = json!(show_size(bytes));
    }
    if let Some(nano) = instance.nano_cpus {
        let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        // A decimal of at most nine places is a number in JSON as it stands.
        value["cpus"] = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    }
    let over = &instance.container.over;
    let volumes: Map<String, Value> = [
        ("data", instance.data.as_str(), instance.volume() == Some(default_volume)),
        ("log", over.log.as_str(), over.log == Mounted::Nothing),
        ("etc", over.etc.as_str(), over.etc == Mounted::Nothing),
    ]
    .into_iter()
    .filter(|(_, _, is_default)| !is_default)
    .map(|(key, text, _)| (key.to_owned(), json!(text.replace('$', "$$"))))
    .collect();
    if !volumes.is_empty() {
        value["volumes"] = Value::Object(volumes);
    }
    container::resolve(&instance.container, &mut value);
    value
}

/// Returns the values with `$` doubled, since variables are already put in.
fn escaped(map: &std::collections::BTreeMap<String, String>) -> std::collections::BTreeMap<&str, String> {
    map.iter().map(|(key, value)| (key.as_str(), value.replace('$', "$$"))).collect()
}

/// Returns the same as YAML.
///
/// # Errors
///
/// When the YAML cannot be written.
pub fn to_yaml(topology: &Topology) -> Result<String, serde_yaml::ser_error::Error> {
    serde_yaml::to_string(&to_json(topology))
}
