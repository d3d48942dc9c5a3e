//! The cluster as a file for Docker Compose, for one machine.

use super::{BOLT, DATA, check, comment, document, external, lost};
use crate::error::CliError;
use crate::topology::{BoltPort, Data, Instance, Restart, Topology, show_duration};
use serde_json::{Map, Value, json};

/// The variable in which the topology reaches the mgctl inside: an image without a shell needs no file then.
const VARIABLE: &str = "MGCTL_TOPOLOGY";

/// Returns the file. `image` is the node's, as the engine knows it.
///
/// # Errors
///
/// When the topology has what cannot be exported.
pub fn compose(topology: &Topology, image: &str) -> Result<String, CliError> {
    check(topology)?;
    let mut services = Map::new();
    let mut volumes = Map::new();
    for instance in &topology.instances {
        services.insert(instance.name.clone(), service(topology, instance, image));
        if let Data::Volume(_) = instance.data {
            volumes.insert(format!("{}-data", instance.name), json!({}));
        }
    }
    let names: Vec<&str> = topology.instances.iter().map(|i| i.name.as_str()).collect();
    // Compose puts variables in for a single `$`.
    let inside = external(topology, |i| i.name.clone())?.replace('$', "$$");
    services.insert(
        "mgctl-up".into(),
        json!({
            "image": image,
            "entrypoint": ["/mgctl"],
            "command": ["-f", format!("env:{VARIABLE}"), "up"],
            "environment": { VARIABLE: inside, "XDG_STATE_HOME": "/tmp" },
            "depends_on": names,
            "restart": "on-failure",
            "read_only": true,
            "tmpfs": ["/tmp:mode=1777"],
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
        }),
    );
    let file = json!({ "version": "2.4", "services": services, "volumes": volumes });

    let name = &topology.name;
    let mut head = vec![
        format!("Cluster {name} for Docker Compose, written by `mgctl export compose`."),
        format!("docker-compose -p {name} -f FILE up -d; the service mgctl-up sets the roles and ends."),
        format!("Status: docker-compose -p {name} -f FILE run --rm mgctl-up -f env:{VARIABLE} status"),
        String::new(),
        "Lost in translation:".into(),
    ];
    head.extend(lost(topology));
    if topology.cluster_tls {
        head.push("- Certificates. Nodes know each other by the keys that they make themselves, from the first pairing on.".into());
    }
    head.push("- Static addresses: nodes are registered by name.".into());
    if topology.instances.iter().any(|i| matches!(i.bolt, BoltPort::From(_) | BoltPort::Random)) {
        head.push("- Free ports are not looked for: a port that is taken is an error.".into());
    }
    Ok(comment(&head) + &document(&file)?)
}

fn service(topology: &Topology, instance: &Instance, image: &str) -> Value {
    let name = &instance.name;
    let port = match instance.bolt {
        BoltPort::Fixed(port) | BoltPort::From(port) => Some(port),
        BoltPort::Random | BoltPort::None => None,
    };
    let mut advertised: Vec<String> =
        port.map(|port| std::net::SocketAddr::new(topology.bind, port).to_string()).into_iter().collect();
    advertised.push(format!("{name}:{BOLT}"));
    let mut command = vec![format!("--bolt-advertised-address={}", advertised.join(","))];
    command.extend(instance.flags.iter().map(|(flag, value)| format!("--{flag}={value}").replace('$', "$$")));
    let source = match &instance.data {
        Data::Volume(_) => format!("{name}-data"),
        Data::Folder(path) => path.clone(),
    };
    let restart = match instance.container.restart {
        Restart::UnlessStopped => "unless-stopped",
        Restart::Always => "always",
        Restart::OnFailure => "on-failure",
    };
    let mut service = json!({
        "image": image,
        "hostname": name,
        "command": command,
        "volumes": [format!("{source}:{DATA}")],
        "restart": restart,
        "stop_grace_period": show_duration(instance.container.stop_grace),
        "read_only": true,
        "tmpfs": ["/tmp:mode=1777"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "logging": { "driver": instance.container.logging.driver, "options": instance.container.logging.options },
    });
    let published = match (instance.bolt, port) {
        (_, Some(port)) => Some(format!("{}:{port}:{BOLT}", bracketed(topology))),
        (BoltPort::Random, _) => Some(format!("{}::{BOLT}", bracketed(topology))),
        _ => None,
    };
    if let Some(published) = published {
        service["ports"] = json!([published]);
    }
    if !instance.env.is_empty() {
        let env: Map<String, Value> =
            instance.env.iter().map(|(k, v)| (k.clone(), json!(v.replace('$', "$$")))).collect();
        service["environment"] = Value::Object(env);
    }
    if !instance.container.labels.is_empty() {
        service["labels"] = json!(instance.container.labels);
    }
    if let Some(bytes) = instance.memory_bytes {
        service["mem_limit"] = json!(bytes);
        service["memswap_limit"] = json!(bytes);
    }
    if let Some(nano) = instance.nano_cpus {
        service["cpus"] = json!(nano as f64 / 1e9);
    }
    service
}

fn bracketed(topology: &Topology) -> String {
    match topology.bind {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
