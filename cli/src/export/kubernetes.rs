//! The cluster as Kubernetes objects: a StatefulSet for each node, and a Job that runs `mgctl up`.

use super::{BOLT, DATA, check, comment, document, external, lost};
use crate::authority::Leaf;
use crate::error::CliError;
use crate::topology::{Data, Instance, Topology};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Label that tells the parts of a cluster from each other.
const COMPONENT: &str = "app.kubernetes.io/component";

/// User and group of the node in its image.
const USER: u64 = crate::runtime::docker::image::NODE_UID;

/// Where a node's certificate is.
const TLS: &str = "/etc/mgnode/tls";

/// What the topology does not say.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The node's image, as the cluster pulls it.
    pub image: &'a str,
    /// Size of each node's volume, as `10Gi`.
    pub storage: &'a str,
}

/// Returns the objects. `leaves` are the certificates of the nodes, by name, where the topology wants them.
///
/// # Errors
///
/// When the topology has what cannot be exported.
pub fn kubernetes(
    topology: &Topology,
    settings: Settings<'_>,
    leaves: &BTreeMap<String, Leaf>,
) -> Result<String, CliError> {
    check(topology)?;
    let name = &topology.name;
    let mut objects = Vec::new();
    for instance in &topology.instances {
        if let Some(leaf) = leaves.get(&instance.name) {
            objects.push(json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": metadata(topology, &format!("{}-tls", full(topology, instance)), "node"),
                "type": "Opaque",
                "stringData": {
                    "node.crt": leaf.certificate, "node.key": leaf.key, "ca.crt": leaf.authority,
                },
            }));
        }
        objects.push(service(topology, instance));
        objects.push(stateful_set(topology, instance, settings, leaves.contains_key(&instance.name)));
    }
    objects.push(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": metadata(topology, name, "node"),
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels(topology, "node") } },
    }));
    objects.push(network_policy(topology));
    objects.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": metadata(topology, &format!("{name}-topology"), "mgctl"),
        "data": { "topology.yaml": external(topology, |i| full(topology, i))? },
    }));
    objects.push(job(topology, settings.image));

    let mut head = vec![
        format!("Cluster {name} for Kubernetes, written by `mgctl export kubernetes`. Validated against the schemas of"),
        "Kubernetes, not applied: try it where nothing depends on it.".to_owned(),
        "kubectl -n NAMESPACE apply -f FILE; the Job sets roles and registrations. To run it again (it repairs them too):".to_owned(),
        "kubectl -n NAMESPACE replace --force -f FILE would make all anew; delete the Job alone, and apply.".to_owned(),
    ];
    if !leaves.is_empty() {
        head.push("It holds private keys, good for 397 days. Their authority's key is not in it: it stays with whoever".into());
        head.push("exported this, and exporting again renews them.".into());
    }
    head.extend([String::new(), "Lost in translation:".into()]);
    head.extend(lost(topology));
    head.push(
        "- A rolling restart moves MAIN nowhere: run `mgctl promote` before its pod is drained.".into(),
    );
    head.push(format!("- Ports of this machine. Clients need the label `mgctl.dev/client: {name}` to reach Bolt at a node's Service."));
    if topology.instances.iter().any(|i| !i.container.labels.is_empty()) {
        head.push("- `labels` of containers.".into());
    }
    if topology.instances.iter().any(|i| matches!(i.data, Data::Folder(_))) {
        head.push("- Folders of a machine: each node has a volume claim.".into());
    }
    let documents: Result<Vec<String>, CliError> = objects.iter().map(document).collect();
    Ok(comment(&head) + "---\n" + &documents?.join("---\n"))
}

/// The name of a node's objects, which is also its host name.
fn full(topology: &Topology, instance: &Instance) -> String {
    format!("{}-{}", topology.name, instance.name)
}

fn labels(topology: &Topology, component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "mgnode", "app.kubernetes.io/instance": topology.name, COMPONENT: component,
    })
}

fn metadata(topology: &Topology, name: &str, component: &str) -> Value {
    let mut labels = labels(topology, component);
    labels["app.kubernetes.io/managed-by"] = json!("mgctl");
    json!({ "name": name, "labels": labels })
}

fn of_node(topology: &Topology, instance: &Instance) -> Value {
    let mut labels = labels(topology, "node");
    labels["mgctl.dev/node"] = json!(instance.name);
    labels
}

fn service(topology: &Topology, instance: &Instance) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(topology, &full(topology, instance), "node"),
        "spec": {
            // The name stands for the pod itself, also while it is not ready: mgctl sets its role first.
            "clusterIP": "None", "publishNotReadyAddresses": true,
            "selector": of_node(topology, instance),
            "ports": [
                { "name": "bolt", "port": BOLT, "targetPort": BOLT, "protocol": "TCP" },
                {
                    "name": "replication", "port": instance.replication_port,
                    "targetPort": instance.replication_port, "protocol": "UDP",
                },
            ],
        },
    })
}

/// What every container here does without.
fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    })
}

fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

fn stateful_set(topology: &Topology, instance: &Instance, settings: Settings<'_>, has_leaf: bool) -> Value {
    let name = full(topology, instance);
    let mut args = vec![format!("--bolt-advertised-address={name}:{BOLT}")];
    if has_leaf {
        for (flag, file) in [("cert", "node.crt"), ("key", "node.key"), ("ca", "ca.crt")] {
            args.push(format!("--cluster-{flag}-file={TLS}/{file}"));
        }
    }
    // Kubernetes puts variables in for `$(NAME)`.
    let plain = |text: &str| text.replace("$(", "$$(");
    args.extend(instance.flags.iter().map(|(flag, value)| plain(&format!("--{flag}={value}"))));
    let mut mounts = vec![
        json!({ "name": "data", "mountPath": DATA, "subPath": "data" }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
    ];
    let mut volumes = vec![json!({ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } })];
    if has_leaf {
        mounts.push(json!({ "name": "tls", "mountPath": TLS, "readOnly": true }));
        let secret = json!({ "secretName": format!("{name}-tls"), "defaultMode": 0o440 });
        volumes.push(json!({ "name": "tls", "secret": secret }));
    }
    let mut limits = serde_json::Map::new();
    if let Some(bytes) = instance.memory_bytes {
        limits.insert("memory".into(), json!(bytes.to_string()));
    }
    if let Some(nano) = instance.nano_cpus {
        limits.insert("cpu".into(), json!(format!("{}m", nano.div_ceil(1_000_000))));
    }
    let alive = json!({ "tcpSocket": { "port": BOLT }, "periodSeconds": 5, "timeoutSeconds": 3 });
    let mut container = json!({
        "name": "mgnode", "image": settings.image, "args": args,
        "ports": [
            { "name": "bolt", "containerPort": BOLT, "protocol": "TCP" },
            { "name": "replication", "containerPort": instance.replication_port, "protocol": "UDP" },
        ],
        // A node that reads a long log opens Bolt late; it is not ended for that.
        "readinessProbe": alive,
        "securityContext": restricted(),
        "volumeMounts": mounts,
    });
    if !limits.is_empty() {
        container["resources"] = json!({ "limits": limits, "requests": limits });
    }
    if !instance.env.is_empty() {
        let env: Vec<Value> =
            instance.env.iter().map(|(k, v)| json!({ "name": k, "value": plain(v) })).collect();
        container["env"] = json!(env);
    }
    let apart = json!({
        "weight": 100,
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": labels(topology, "node") },
        },
    });
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": metadata(topology, &name, "node"),
        "spec": {
            "serviceName": name, "replicas": 1,
            "selector": { "matchLabels": of_node(topology, instance) },
            "template": {
                "metadata": { "labels": of_node(topology, instance) },
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": instance.container.stop_grace.as_secs().max(1),
                    "securityContext": pod_security(),
                    "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [apart] } },
                    "containers": [container],
                    "volumes": volumes,
                },
            },
            "volumeClaimTemplates": [{
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": { "name": "data" },
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": settings.storage } },
                },
            }],
        },
    })
}

/// Nodes replicate with each other; Bolt is for mgctl and for pods that carry the label of a client.
fn network_policy(topology: &Topology) -> Value {
    let pods = |labels: Value| json!({ "podSelector": { "matchLabels": labels } });
    let mut ports: Vec<u16> = topology.instances.iter().map(|i| i.replication_port).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<Value> = ports.iter().map(|port| json!({ "port": port, "protocol": "UDP" })).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": metadata(topology, &topology.name, "node"),
        "spec": {
            "podSelector": { "matchLabels": labels(topology, "node") },
            "policyTypes": ["Ingress"],
            "ingress": [
                { "from": [pods(labels(topology, "node"))], "ports": ports },
                {
                    "from": [pods(labels(topology, "mgctl")), pods(json!({ "mgctl.dev/client": topology.name }))],
                    "ports": [{ "port": BOLT, "protocol": "TCP" }],
                },
            ],
        },
    })
}

fn job(topology: &Topology, image: &str) -> Value {
    let name = format!("{}-up", topology.name);
    let container = json!({
        "name": "mgctl", "image": image,
        "command": ["/mgctl"], "args": ["-f", "/etc/mgctl/topology.yaml", "up"],
        "env": [{ "name": "XDG_STATE_HOME", "value": "/tmp" }],
        "securityContext": restricted(),
        "volumeMounts": [
            { "name": "topology", "mountPath": "/etc/mgctl", "readOnly": true },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
    });
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": metadata(topology, &name, "mgctl"),
        "spec": {
            "backoffLimit": 20,
            "template": {
                "metadata": { "labels": labels(topology, "mgctl") },
                "spec": {
                    "restartPolicy": "OnFailure", "automountServiceAccountToken": false,
                    "securityContext": pod_security(),
                    "containers": [container],
                    "volumes": [
                        { "name": "topology", "configMap": { "name": format!("{}-topology", topology.name) } },
                        { "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } },
                    ],
                },
            },
        },
    })
}
