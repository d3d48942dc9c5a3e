//! The rules of nodes that someone else runs: each says where it is, and nothing says how it is run.

use crate::topology::build::{Draft, NodeDraft};
use crate::topology::endpoint::Endpoint;
use crate::topology::model::{External, Runtime};
use crate::topology::read::Section;
use crate::topology::report::Report;

/// Keys of the file that say how nodes are run.
const RUN_KEYS: [&str; 7] = ["addressing", "context", "image", "network", "on_failure", "ports", "tls"];

/// Keys of `defaults` and of a node that say so.
const RUN_NODE: [&str; 15] = [
    "cpus",
    "env",
    "healthcheck",
    "host",
    "image",
    "ip",
    "labels",
    "logging",
    "memory",
    "ports",
    "pull",
    "restart",
    "stop_grace_period",
    "ulimits",
    "volumes",
];

/// MG029: what it takes to reach nodes that someone else runs, and what has no meaning for them.
pub(super) fn check(draft: &Draft<'_>, report: &mut Report<'_>) {
    if draft.runtime != Runtime::External {
        let nodes = if draft.file.is_bad("runtime") { &[][..] } else { &draft.nodes };
        for node in nodes {
            let key = ["address", "replication_address"].into_iter().find(|key| node.section.has(key));
            if let Some(key) = key {
                let what = format!("`{key}` is for nodes that someone else runs");
                report
                    .error("MG029", node.section.key_span(key).unwrap_or(node.span), what)
                    .help
                    .push("add `runtime: external`, or remove it: mgctl finds the nodes that it runs".into());
            }
        }
        return;
    }
    let mut refuse = |section: &Section, path: &str, keys: &[&str]| {
        for key in keys {
            let Some(span) = section.key_span(key) else { continue };
            let what = format!(
                "`{path}{key}` has no meaning with `runtime: external`: mgctl does not run the nodes"
            );
            report.error("MG029", span, what).help.push("remove it; whoever runs them sets it".into());
        }
    };
    refuse(draft.file, "", &RUN_KEYS);
    if let Some(defaults) = draft.file.section("defaults") {
        refuse(defaults, "defaults.", &RUN_NODE);
    }
    for node in &draft.nodes {
        refuse(node.section, &format!("instances.{}.", node.name), &RUN_NODE);
    }
    for (index, node) in draft.nodes.iter().enumerate() {
        let Some(own) = &node.external else {
            if !node.section.is_bad("address") {
                let what = format!("`{}` has no `address`: where does its Bolt answer?", node.name);
                report
                    .error("MG029", node.span, what)
                    .help
                    .push("with `runtime: external` each node has one, as `address: 10.0.0.5:7687`".into());
            }
            continue;
        };
        let same = |of: fn(&External) -> &Endpoint| {
            let is_same = |other: &&NodeDraft<'_>| other.external.as_ref().is_some_and(|e| of(e) == of(own));
            draft.nodes[..index].iter().find(is_same)
        };
        for (key, first, endpoint) in [
            ("address", same(|e| &e.bolt), &own.bolt),
            ("replication_address", same(|e| &e.replication), &own.replication),
        ] {
            let Some(first) = first else { continue };
            let what = format!("`{}` and `{}` have the same `{key}`, {endpoint}", first.name, node.name);
            let at = |node: &NodeDraft<'_>| node.section.span(key).unwrap_or_else(|| node.at("address"));
            report.error("MG016", at(node), what).help.push("give each its own".into());
            report.also(at(first));
        }
    }
}
