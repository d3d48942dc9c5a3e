//! The rules of nodes that are services of a swarm: each is kept on one host, and a manager alone is spoken to.

use super::visible;
use crate::topology::build::Draft;
use crate::topology::container::Mounted;
use crate::topology::model::{Addressing, Driver, Runtime};
use crate::topology::read::Section;
use crate::topology::report::Report;
use crate::topology::tree::Span;

/// Longest `host`.
const HOST_MAX: usize = 128;

/// MG028: what a swarm cannot do, and what only a swarm can.
pub(super) fn check(draft: &Draft<'_>, report: &mut Report<'_>) {
    if draft.runtime != Runtime::Swarm {
        let nodes = if draft.file.is_bad("runtime") { &[][..] } else { &draft.nodes };
        // Of nodes that someone else runs another rule speaks.
        for node in nodes.iter().filter(|_| draft.runtime != Runtime::External) {
            if let Some(span) = node.section.key_span("host") {
                report
                    .error("MG028", span, "`host` is for nodes of a swarm, which reaches over several hosts")
                    .help
                    .push("add `runtime: swarm`, or remove it".into());
            }
        }
        return;
    }
    let mut refuse = |span: Option<Span>, what: &str, help: &str| {
        if let Some(span) = span {
            report.error("MG028", span, what.to_owned()).help.push(help.to_owned());
        }
    };
    let file = draft.file;
    if draft.addressing != Addressing::Dns {
        let what = format!(
            "`addressing: {}` cannot be had in a swarm, which gives a node another address at each start",
            draft.addressing
        );
        refuse(file.span("addressing"), &what, "use `addressing: dns`, the default there");
    }
    let network = file.section("network");
    if network.and_then(|n| n.word("driver")).and_then(Driver::parse) == Some(Driver::Bridge) {
        refuse(
            network.and_then(|n| n.span("driver")),
            "`network.driver: bridge` ends at one host, and a swarm has several",
            "use `driver: overlay`, the default there",
        );
    }
    let ports = file.section("ports");
    refuse(
        ports.and_then(|p| p.span("bind")),
        "`ports.bind` has no meaning in a swarm, which publishes on every address of a host",
        "remove it, and keep the network of the hosts private",
    );
    if let Some(word @ ("random" | "none")) = ports.and_then(|p| p.word("strategy")) {
        let what = format!("`ports.strategy: {word}`: no node of a swarm could be reached from here");
        refuse(ports.and_then(|p| p.span("strategy")), &what, "use auto or fixed");
    }
    let defaults = file.section("defaults");
    let sections: Vec<&Section> = defaults.into_iter().chain(draft.nodes.iter().map(|n| n.section)).collect();
    for section in &sections {
        refuse(
            section.key_span("pull"),
            "`pull` has no meaning in a swarm: each host looks for an image of that name by itself",
            "remove it; an image that a host does not have is told when the node starts",
        );
        let test = section.section("healthcheck").and_then(|check| check.key_span("test"));
        refuse(
            test,
            "with `healthcheck.test` a swarm ends a node that is unwell, a busy MAIN too",
            "remove it: mgctl asks Bolt from outside while the node starts",
        );
    }
    for node in &draft.nodes {
        if let Some((path, span)) = node.data.as_ref().filter(|(text, _)| text.starts_with('/')) {
            let what = format!(
                "the data of `{}` in the folder `{}`: of a folder nobody can tell on which host it is",
                node.name,
                visible(path)
            );
            refuse(Some(*span), &what, "use `data: auto`: mgctl keeps which host has the volume");
        }
        for (key, over) in [("log", &node.container.over.log), ("etc", &node.container.over.etc)] {
            if let Mounted::Folder(path) = over {
                let what = format!(
                    "`volumes.{key}` of `{}` is a folder of one host: `{}`",
                    node.name,
                    visible(path)
                );
                let span = |section: &Section| section.section("volumes").and_then(|v| v.span(key));
                refuse(span(node.section).or_else(|| defaults.and_then(span)), &what, "leave it out");
            }
        }
        if let Some(host) = &node.host {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-=/:".contains(&b);
            if host.is_empty() || host.len() > HOST_MAX || !host.bytes().all(plain) {
                let what = format!("`{}` is no host", visible(host));
                let help = "the id, the host name or a label (`rack=1`) of a host: docker node ls";
                refuse(Some(node.at("host")), &what, help);
            }
        }
    }
}
