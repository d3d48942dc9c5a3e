//! Rules about who may ask the nodes, and what the wire between shows.

use super::visible;
use crate::topology::build::Draft;
use crate::topology::model::{BoltPort, Image, Runtime};
use crate::topology::report::Report;
use crate::topology::secret;

/// Checks the rules and reports every breach.
pub(super) fn check(draft: &Draft<'_>, report: &mut Report<'_>) {
    public(draft, report);
    cluster_tls(draft, report);
    client_tls(draft, report);
    users(draft, report);
}

fn has_built_in(draft: &Draft<'_>) -> bool {
    draft.nodes.iter().any(|node| node.image == Image::BuiltIn)
}

/// MG027: Bolt that others than this machine reach.
fn public(draft: &Draft<'_>, report: &mut Report<'_>) {
    let ports = draft.file.section("ports");
    let published = draft.nodes.iter().any(|n| n.bolt != BoltPort::None);
    let accepted = ports.and_then(|p| p.flag("allow_public")).unwrap_or(false);
    let is_swarm = draft.runtime == Runtime::Swarm;
    let asked = match is_swarm {
        true => draft.file.span("runtime"),
        false => ports.and_then(|p| p.span("bind")).filter(|_| !draft.bind.is_loopback() && published),
    };
    let Some(span) = asked else { return };
    let docker = "a port that Docker publishes goes past ufw and firewalld";
    let how = match draft.auth {
        None => "open to the network without a password",
        Some(_) => "open to the network without encryption, and its password readable there",
    };
    if accepted {
        report.warning("MG027", span, format!("Bolt is {how}")).notes.push(docker.into());
    } else {
        let problem = report.error("MG027", span, format!("Bolt would be {how}"));
        problem.notes.push(docker.into());
        problem.help.push(match is_swarm {
            true => "a swarm publishes on every address of a host: keep the network of the hosts private, and accept it: `ports.allow_public: true`".into(),
            false => "keep `bind: 127.0.0.1`, or accept it: `ports.allow_public: true`".into(),
        });
    }
}

/// MG036: certificates are for the node that mgctl knows to give them to.
fn cluster_tls(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Some(tls) = draft.file.section("tls") else { return };
    let mode = tls.word("mode");
    let (cluster, span) = (tls.flag("cluster"), tls.span("cluster").or(tls.span("mode")).unwrap_or_default());
    if mode == Some("off") && cluster == Some(true) {
        report
            .error("MG036", span, "`tls.cluster: true` contradicts `tls.mode: off`")
            .help
            .push("remove one of them".into());
        report.also(tls.span("mode").unwrap_or_default());
        return;
    }
    if mode == Some("files") && cluster == Some(false) {
        report
            .error("MG036", span, "`tls.cluster: false` contradicts `tls.mode: files`")
            .help
            .push("remove one of them".into());
        report.also(tls.span("mode").unwrap_or_default());
        return;
    }
    match (mode, tls.key_span("folder")) {
        (Some("files"), None) => {
            report
                .error("MG036", tls.span("mode").unwrap_or(span), "`tls.mode: files` needs a `folder`")
                .help
                .push("`folder: ./tls`, with ca.crt, and NAME.crt and NAME.key of each node".into());
        }
        (Some("files"), Some(_)) => {}
        (_, Some(folder)) if !tls.is_bad("mode") => {
            report
                .error("MG036", folder, "`tls.folder` is for certificates that somebody else issued")
                .help
                .push("add `mode: files`, or remove it: mgctl issues the certificates".into());
        }
        _ => {}
    }
    let asks = cluster == Some(true) || matches!(mode, Some("generate" | "files")) && cluster != Some(false);
    let Some(node) = draft.nodes.iter().find(|n| n.image != Image::BuiltIn).filter(|_| asks) else { return };
    let key = match mode {
        _ if cluster == Some(true) => "tls.cluster",
        Some("files") => "tls.mode: files",
        _ => "tls.mode: generate",
    };
    let what = format!("`{key}` is served by the built-in image, and `{}` runs {}", node.name, node.image);
    report.error("MG036", span, what).help.push(format!(
        "leave `image` out, or remove `{}` and keep the network between the nodes private",
        if cluster == Some(true) { "tls.cluster" } else { "tls.mode" }
    ));
    report.also(node.image_span);
}

/// MG037: encrypted Bolt, which neither the built-in image nor mgctl speaks.
fn client_tls(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Some(tls) = draft.file.section("tls") else { return };
    if let (Some(word), Some(span)) = (tls.word("client"), tls.span("client"))
        && word != "off"
    {
        let who = match has_built_in(draft) {
            true => "the built-in image does not encrypt Bolt yet",
            false => "mgctl does not speak encrypted Bolt yet, and could not reach such a node",
        };
        report.error("MG037", span, format!("`tls.client: {word}` is not served: {who}")).help.push(
            "use `client: off`, keep `ports.bind: 127.0.0.1`, and let clients come through a tunnel".into(),
        );
    }
    if let Some(span) = tls.key_span("sans") {
        report
            .error(
                "MG037",
                span,
                "`tls.sans` names hosts for certificates of Bolt, and Bolt is not encrypted yet",
            )
            .help
            .push("remove it".into());
    }
}

/// MG035, MG037: users and the licence.
fn users(draft: &Draft<'_>, report: &mut Report<'_>) {
    if let Some(span) = draft.file.key_span("auth")
        && has_built_in(draft)
    {
        report
            .error("MG037", span, "`auth` is not served by the built-in image, which knows no users yet")
            .help
            .push("remove it and keep `ports.bind: 127.0.0.1`, or name Memgraph's image".into());
    }
    if let Some(span) = draft.file.key_span("license")
        && has_built_in(draft)
    {
        report
            .warning("MG037", span, "`license` has no effect: the built-in image needs none")
            .help
            .push("remove it".into());
    }
    let own = secret::environment(draft.auth.as_ref(), draft.license.as_ref());
    let mut said = Vec::new();
    for node in &draft.nodes {
        for (name, (_, span)) in node.env.iter().filter(|(name, _)| own.contains_key(*name)) {
            if !said.contains(span) {
                said.push(*span);
                let key = if name.contains("LICENSE") || name.contains("ORG") { "license" } else { "auth" };
                report
                    .error("MG035", *span, format!("`{}` is set by `{key}`", visible(name)))
                    .help
                    .push("keep one of them".into());
            }
        }
    }
}
