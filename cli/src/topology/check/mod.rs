//! The rules that span more than one value. Each has a code under which the documents explain it.

mod container;
mod external;
mod security;
mod swarm;

use std::net::Ipv4Addr;

use super::build::{Draft, NodeDraft, REPLICATION_FLAGS};
use super::duration::show_size;
use super::model::{Addressing, BoltPort, Image, Mode, Role, Runtime, Subnet};
use super::read::Section;
use super::report::{Report, nearest};
use super::tree::Span;

/// Bolt inside of a container.
const BOLT_INSIDE: u16 = 7687;
/// Flags that mgctl sets itself, and the key that does it.
const MANAGED_FLAGS: [(&str, &str); 10] = [
    ("bolt-port", "`ports.bolt` says where Bolt is published"),
    ("bolt-address", "`ports.bind` says where Bolt is published"),
    ("bolt-advertised-address", "mgctl sets it to the address where Bolt is published"),
    ("replication-address", "a node listens on its own address"),
    ("cluster-cert-file", "`tls.cluster` gives each node its certificate"),
    ("cluster-key-file", "`tls.cluster` gives each node its certificate"),
    ("cluster-ca-file", "`tls.cluster` gives each node its certificate"),
    ("data-directory", "the data is on the node's volume"),
    ("help", "see `mgctl node --help`"),
    ("version", "see `mgctl version`"),
];
/// Names that `--on` and `uri` understand as something else.
const TAKEN_NAMES: [&str; 3] = ["all", "replica", "replicas"];
/// Most nodes in a /24, whose addresses for nodes begin at .11.
const NODES_MAX: usize = 244;
/// Longest name of a file or folder.
const FILE_NAME_MAX: usize = 255;
/// Longest name of a container that is also a host name.
const CONTAINER_NAME_MAX: usize = 63;

/// Checks the rules and reports every breach.
pub(super) fn check(draft: &Draft<'_>, report: &mut Report<'_>) {
    names(draft, report);
    roles(draft, report);
    modes(draft, report);
    registrations(draft, report);
    replication_ports(draft, report);
    replication_rules(draft, report);
    check_frequency(draft, report);
    published_ports(draft, report);
    addresses(draft, report);
    images(draft, report);
    security::check(draft, report);
    limits(draft, report);
    flags(draft, report);
    environment(draft, report);
    container::check(draft, report);
    runtime(draft, report);
    external::check(draft, report);
    swarm::check(draft, report);
    init(draft, report);
}

/// MG008, MG015: versions and names.
fn names(draft: &Draft<'_>, report: &mut Report<'_>) {
    let file = draft.file;
    if let (Some(version), Some(span)) = (file.text("apiVersion"), file.span("apiVersion"))
        && version != super::API_VERSION
    {
        let number = version.strip_prefix("mgctl/v").and_then(|n| n.parse::<u32>().ok());
        if number.is_some_and(|n| n > 1) {
            let what = format!("apiVersion `{version}` is newer than this mgctl (v1)");
            report.error("MG008", span, what).help.push("use a newer mgctl".into());
        } else {
            let what = format!("apiVersion `{version}` is not known");
            report
                .error("MG008", span, what)
                .help
                .push(format!("write `apiVersion: {}`", super::API_VERSION));
        }
    }
    let name_span = file.span("name").unwrap_or(START);
    match &draft.name {
        Some(name) if !is_cluster_name(name) => {
            let what = format!("cluster name `{}` is not usable", visible(name));
            let problem = report.error("MG015", name_span, what);
            problem.help.push("1 to 31 lower-case letters, digits and hyphens; no hyphen at the ends".into());
        }
        Some(_) => {}
        None if file.is_bad("name") => {}
        None => {
            report
                .error("MG015", START, "the topology has no `name`")
                .help
                .push("add a line: `name: quickstart`".into());
        }
    }
    places(file, report);
    if let Some(network) = draft.file.section("network") {
        self::network(network, report);
    }
    if let Some(network) = draft.file.section("network")
        && let (Some(name), Some(span)) = (network.text("name"), network.span("name"))
        && !is_engine_name(&name)
    {
        report
            .error("MG015", span, format!("network name `{}` is not usable", visible(&name)))
            .help
            .push("letters, digits, `_`, `.` and `-`, beginning with a letter or digit".into());
    }
    for node in &draft.nodes {
        if !is_instance_name(node.name) {
            report
                .error("MG015", node.span, format!("instance name `{}` is not usable", visible(node.name)))
                .help
                .push("1 to 31 lower-case letters, digits and hyphens, beginning with a letter".into());
        } else if TAKEN_NAMES.contains(&node.name) {
            let what = format!("instance name `{}` means something else on the command line", node.name);
            let help = format!("use another name, as `{}-1`", node.name);
            report.error("MG015", node.span, what).help.push(help);
        } else if let Some(cluster) = draft.name.as_deref().filter(|name| is_cluster_name(name)) {
            let container = format!("mgctl-{cluster}-{}", node.name);
            if container.len() > CONTAINER_NAME_MAX {
                let what =
                    format!("container name `{container}` is longer than {CONTAINER_NAME_MAX} characters");
                report
                    .error("MG015", node.span, what)
                    .help
                    .push("shorten the name of the cluster or node".into());
            }
        }
    }
    let instances = file.span("instances");
    // With a misspelt `instances`, the unknown key says it all.
    if draft.nodes.is_empty() && !file.is_bad("instances") && !report.mentions("`instances`") {
        let (span, what) = match instances {
            Some(span) => (span, "`instances` is empty"),
            None => (START, "the topology has no `instances`"),
        };
        report.error("MG003", span, what).help.push(super::QUICKSTART.into());
    }
}

/// MG039: a network of mgctl's own, or one that is there.
fn network(network: &Section, report: &mut Report<'_>) {
    const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];
    if let (Some(name), Some(span)) = (network.text("name"), network.span("name"))
        && PREDEFINED.contains(&name.as_str())
    {
        report
            .error(
                "MG039",
                span,
                format!("the engine's network `{name}` has neither names nor lasting addresses"),
            )
            .help
            .push("use another: docker network create NAME; or leave `network` out".into());
    }
    if network.flag("external") != Some(true) {
        return;
    }
    let span = network.span("external").unwrap_or(START);
    if !network.has("name") {
        report
            .error("MG039", span, "`network.external` does not say which network")
            .help
            .push("add its name: `network: { name: shared, external: true }`".into());
    }
    for key in ["subnet", "driver", "mtu"] {
        if let Some(span) = network.key_span(key) {
            report
                .error(
                    "MG039",
                    span,
                    format!("`network.{key}` is for a network that mgctl makes, and this one is external"),
                )
                .help
                .push("remove it; the network is as it was made".into());
        }
    }
}

/// MG006: a flag of whole seconds.
fn check_frequency(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Some(replication) = draft.file.section("replication") else { return };
    for (key, is_whole) in [("check_frequency", true), ("query_timeout", false)] {
        if let (Some(time), Some(span)) = (replication.duration(key), replication.span(key))
            && (time.is_zero() || is_whole && time.subsec_nanos() > 0)
        {
            let wanted = if is_whole { "whole seconds, at least 1s" } else { "longer than 0" };
            let what = format!("`replication.{key}` must be {wanted}");
            report.error("MG006", span, what).help.push("for example `5s`".into());
        }
    }
}

/// MG010, MG011, MG031: exactly one MAIN.
fn roles(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut unknown = draft.nodes.is_empty() || !draft.file.is_complete("instances");
    for node in &draft.nodes {
        if node.role.is_none() {
            unknown = true;
            if !node.section.has("role") {
                report
                    .error("MG010", node.span, format!("`{}` has no role", node.name))
                    .help
                    .push("add `role: main` or `role: replica`".into());
            }
        }
    }
    let mains: Vec<&NodeDraft<'_>> = draft.nodes.iter().filter(|n| n.role == Some(Role::Main)).collect();
    if mains.len() > 1 {
        let names: Vec<&str> = mains.iter().map(|n| n.name).collect();
        let what = format!(
            "{} instances have role main ({}); a cluster has exactly one",
            mains.len(),
            names.join(", ")
        );
        let help = format!("keep it on `{}` and make the others replicas", names[0]);
        report.error("MG011", mains[1].at("role"), what).help.push(help);
        report.also(mains[0].at("role"));
        for main in &mains[2..] {
            report.also(main.at("role"));
        }
    } else if mains.is_empty() && !unknown {
        let first = &draft.nodes[0];
        report
            .error("MG010", draft.file.key_span("instances").unwrap_or(START), "no instance has role main")
            .help
            .push(format!("set `role: main` on one instance, as `{}`", first.name));
    }
    if draft.nodes.len() == 1 && mains.len() == 1 {
        report
            .warning(
                "MG031",
                mains[0].span,
                format!("`{}` has no replica: its data is on one disk only", mains[0].name),
            )
            .help
            .push("add one: `r1: { role: replica, mode: SYNC }`".into());
    }
}

/// MG012, MG013: modes.
fn modes(draft: &Draft<'_>, report: &mut Report<'_>) {
    for node in &draft.nodes {
        if node.role == Some(Role::Main) && node.section.has("mode") {
            let span = node.section.key_span("mode").unwrap_or(node.span);
            report
                .error("MG013", span, format!("`mode` has no meaning on the MAIN (`{}`)", node.name))
                .help
                .push("remove it; replicas have modes".into());
        }
    }
    let replicas = || draft.nodes.iter().filter(|n| n.role == Some(Role::Replica));
    let with = |mode: Mode| replicas().find(move |n| n.mode == Some(mode));
    if let (Some(sync), Some(strict)) = (with(Mode::Sync), with(Mode::StrictSync)) {
        let what = format!("SYNC (`{}`) and STRICT_SYNC (`{}`) cannot be mixed", sync.name, strict.name);
        let help = match sync.section.has("mode")
            || draft.file.section("replication").is_some_and(|r| r.has("mode"))
        {
            true => "use STRICT_SYNC and ASYNC, or SYNC and ASYNC".to_owned(),
            false => format!(
                "`{}` is SYNC because it names no mode; use STRICT_SYNC and ASYNC, or SYNC and ASYNC",
                sync.name
            ),
        };
        let problem = report.error("MG012", strict.at("mode"), what);
        problem.notes.push("Memgraph's Community server would accept this without a word".into());
        problem.help.push(help);
        report.also(sync.at("mode"));
    }
}

/// MG015, MG016: the names under which replicas are registered.
fn registrations(draft: &Draft<'_>, report: &mut Report<'_>) {
    for (index, node) in draft.nodes.iter().enumerate() {
        if !is_symbol(&node.register_as) && node.section.has("register_as") {
            let what = format!("`register_as: {}` is not usable", visible(&node.register_as));
            report.error("MG015", node.at("register_as"), what).help.push(
                "a Cypher name: letters, digits and `_`, not beginning with a digit, at most 63".into(),
            );
        }
        let earlier = &draft.nodes[..index];
        if let Some(first) = earlier.iter().find(|other| other.register_as == node.register_as) {
            let what =
                format!("`{}` and `{}` are both registered as `{}`", first.name, node.name, node.register_as);
            let help = "every node has a name of its own, MAIN too: it is a replica after a promotion";
            report.error("MG016", node.at("register_as"), what).help.push(help.into());
            report.also(first.at("register_as"));
        }
    }
}

/// MG025: rules of replication that only the built-in image knows.
fn replication_rules(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Some(replication) = draft.file.section("replication") else { return };
    if draft.nodes.iter().all(|node| node.image == Image::BuiltIn) {
        return;
    }
    for (key, _) in REPLICATION_FLAGS {
        if let Some(span) = replication.key_span(key) {
            let what =
                format!("`replication.{key}` is a rule of the built-in image, and not all nodes have that");
            report.error("MG025", span, what).help.push("remove it, or remove `image`".into());
        }
    }
}

/// MG015: names of folders of this machine, and of contexts.
fn places(file: &Section, report: &mut Report<'_>) {
    let of = |part: &str, key: &str| {
        let section = file.section(part)?;
        Some((format!("{part}.{key}"), section.text(key)?, section.span(key)?))
    };
    for (key, text, span) in [of("backup", "dir"), of("tls", "folder")].into_iter().flatten() {
        let is_long = |part: &str| part.len() > FILE_NAME_MAX;
        if text.is_empty() || text.contains(char::is_control) || text.split('/').any(is_long) {
            let what = format!("`{key}`: `{}` is not usable as the name of a folder", visible(&text));
            let help = format!("no control characters, and at most {FILE_NAME_MAX} bytes between two `/`");
            report.error("MG015", span, what).help.push(help);
        }
    }
    if let (Some(text), Some(span)) = (file.text("context"), file.span("context"))
        && !is_engine_name(&text)
    {
        report
            .error("MG015", span, format!("`{}` is not the name of a docker context", visible(&text)))
            .help
            .push("docker context ls shows them".into());
    }
}

/// MG017: ports of replication.
fn replication_ports(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut said: Vec<Span> = Vec::new();
    for node in &draft.nodes {
        if node.section.is_bad("replication_port") {
            continue;
        }
        let key = node.section.span("replication_port");
        let default = draft.file.section("replication").and_then(|r| r.span("port"));
        let Some(span) = key.or(default).filter(|span| !said.contains(span)) else { continue };
        let name = if key.is_some() { "replication_port" } else { "replication.port" };
        let port = node.replication_port;
        said.push(span);
        if port == BOLT_INSIDE {
            report
                .error("MG017", span, format!("`{name}` must differ from the Bolt port {BOLT_INSIDE}"))
                .help
                .push("use 10000".into());
        } else if !(1000..=10_000).contains(&port) {
            report
                .warning(
                    "MG017",
                    span,
                    format!("`{name}` {port} is outside 1000–10000, the documented range"),
                )
                .help
                .push("use 10000 unless something else needs it".into());
        }
    }
}

/// MG018: where Bolt and the rest are published.
fn published_ports(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut taken: Vec<(u16, &NodeDraft<'_>, Span)> = Vec::new();
    for node in &draft.nodes {
        let bolt = match node.bolt {
            BoltPort::Fixed(port) => Some(("bolt", port)),
            BoltPort::From(_) | BoltPort::Random | BoltPort::None => None,
        };
        let more = node.container.ports.published().map(|(key, _, host)| (key, host));
        for (key, port) in bolt.into_iter().chain(more) {
            let b = node.port_at(key);
            let Some((_, first, a)) = taken.iter().find(|(other, _, _)| *other == port) else {
                taken.push((port, node, b));
                continue;
            };
            let address = std::net::SocketAddr::new(draft.bind, port);
            let lines = match a.line == b.line {
                true => format!("line {}", a.line),
                false => format!("lines {} and {}", a.line, b.line),
            };
            let what = match first.name == node.name {
                true => format!("`{}` publishes {address} twice ({lines})", node.name),
                false => format!("`{}` and `{}` both publish {address} ({lines})", first.name, node.name),
            };
            report.error("MG018", b, what).help.push(format!("give each its own `ports.{key}`, or none"));
            report.also(*a);
        }
    }
}

/// MG020: addresses between the nodes.
fn addresses(draft: &Draft<'_>, report: &mut Report<'_>) {
    for (index, node) in draft.nodes.iter().enumerate() {
        let Some(ip) = node.ip else { continue };
        let span = node.at("ip");
        if draft.addressing != Addressing::Static {
            let what = format!("`ip` has no effect with `addressing: {}`", draft.addressing);
            report.error("MG020", span, what).help.push("remove it, or use `addressing: static`".into());
            continue;
        }
        match draft.subnet {
            None if draft.file.section("network").is_some_and(|n| n.is_bad("subnet")) => {}
            // Its addresses are known to the engine.
            None if draft.is_external => {}
            None => {
                report
                    .error("MG020", span, format!("`ip` {ip} needs a `network.subnet` that it lies in"))
                    .help
                    .push(format!("add `network: {{ subnet: {} }}`, or remove `ip`", subnet_of(ip)));
            }
            Some(subnet) => in_subnet(ip, subnet, span, report),
        }
        if let Some(first) = draft.nodes[..index].iter().find(|other| other.ip == Some(ip)) {
            let what = format!("`{}` and `{}` have the same address {ip}", first.name, node.name);
            report.error("MG016", span, what).help.push("give each its own, or none".into());
            report.also(first.at("ip"));
        }
    }
    if draft.subnet.is_none() && draft.nodes.len() > NODES_MAX {
        let what = format!("{} nodes do not fit into one network of 256 addresses", draft.nodes.len());
        let span = draft.file.key_span("instances").unwrap_or(START);
        report
            .error("MG020", span, what)
            .help
            .push("give a larger `network.subnet`, as `172.28.0.0/16`".into());
    }
    if let Some(subnet) = draft.subnet {
        let given: Vec<Ipv4Addr> = draft.nodes.iter().filter_map(|n| n.ip).collect();
        let free = subnet.nodes().filter(|ip| !given.contains(ip)).take(draft.nodes.len()).count();
        let needed = draft.nodes.len() - given.len();
        if free < needed
            && let Some(span) = draft.file.section("network").and_then(|n| n.span("subnet"))
        {
            let what = format!("network.subnet {subnet} has no room for {} nodes", draft.nodes.len());
            report.error("MG020", span, what).help.push("use a /24".into());
        }
    }
}

fn in_subnet(ip: Ipv4Addr, subnet: Subnet, span: Span, report: &mut Report<'_>) {
    let what = if !subnet.contains(ip) {
        format!("ip {ip} is outside network.subnet {subnet}")
    } else if ip == subnet.gateway() {
        format!("ip {ip} is the gateway of network.subnet {subnet}")
    } else if ip == subnet.base() || ip == subnet.broadcast() {
        format!("ip {ip} names network.subnet {subnet} itself; no node can have it")
    } else {
        return;
    };
    let free = subnet.nodes().next().map(|ip| ip.to_string()).unwrap_or_default();
    report.error("MG020", span, what).help.push(format!("for example `ip: {free}`, or no `ip` at all"));
}

/// MG032: images that can be told apart and that work together.
fn images(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut said: Vec<Span> = Vec::new();
    for node in &draft.nodes {
        let Image::Named(name) = &node.image else { continue };
        if said.contains(&node.image_span) {
            continue;
        }
        said.push(node.image_span);
        if !is_image(name) {
            let what = format!("`{}` is not the name of an image", visible(name));
            let problem = report.error("MG032", node.image_span, what);
            if nearest(name, [super::build::BUILT_IN]).is_some() {
                problem.help.push("did you mean `built-in`?".into());
            }
            problem
                .help
                .push("as `memgraph/memgraph:3.5.1`; without `image` it is the node inside mgctl".into());
        } else if matches!(tag(name), None | Some("latest")) {
            report
                .warning("MG032", node.image_span, format!("image `{name}` may be another one tomorrow"))
                .help
                .push("name a version, as `memgraph/memgraph:3.5.1`".into());
        }
    }
    let Some(main) = draft.nodes.iter().find(|n| n.role == Some(Role::Main)) else { return };
    for node in draft.nodes.iter().filter(|n| n.image != main.image) {
        let (a, b) = (&main.image, &node.image);
        let (works, why) = match (a, b) {
            (Image::Named(a), Image::Named(b)) if repository(a) == repository(b) => {
                (major(a).is_none() || major(a) == major(b), "different versions")
            }
            _ => (false, "different databases"),
        };
        let what = format!("`{}` runs {a} and `{}` runs {b}: {why}", main.name, node.name);
        if works {
            report
                .warning("MG032", node.image_span, what)
                .help
                .push("all nodes of a cluster run the same version, but for the time of an upgrade".into());
        } else {
            report.error("MG032", node.image_span, what).help.push("use one image for all nodes".into());
        }
        if main.image_span != node.image_span {
            report.also(main.image_span);
        }
    }
}

/// MG022, MG023: memory and CPUs.
fn limits(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut said: Vec<Span> = Vec::new();
    for node in draft.nodes.iter().filter(|n| !n.section.is_bad("memory")) {
        let floor: u64 = match node.image {
            Image::BuiltIn => 64 << 20,
            Image::Named(_) => 256 << 20,
        };
        let default = draft.file.section("defaults").and_then(|d| d.span("memory"));
        let span = node.section.span("memory").or(default).unwrap_or(node.span);
        if let Some(bytes) = node.memory_bytes.filter(|bytes| *bytes < floor)
            && !said.contains(&span)
        {
            said.push(span);
            let what = format!("memory {} is unlikely to be enough", show_size(bytes));
            report.warning("MG022", span, what).help.push(format!("use {} or more", show_size(floor)));
        }
    }
    let Some(main) = draft.nodes.iter().find(|n| n.role == Some(Role::Main)) else { return };
    let waited_for = |n: &&NodeDraft<'_>| {
        n.role == Some(Role::Replica)
            && matches!(n.mode, Some(Mode::Sync | Mode::StrictSync))
            && [&main.section, &n.section].iter().all(|s| !s.is_bad("memory") && !s.is_bad("cpus"))
    };
    for node in draft.nodes.iter().filter(waited_for) {
        let key = match () {
            () if node.memory_bytes != main.memory_bytes => "memory",
            () if node.nano_cpus != main.nano_cpus => "cpus",
            () => continue,
        };
        let what = format!("`{}` and `{}` have different limits ({key})", main.name, node.name);
        let problem = report.warning("MG023", node.at(key), what);
        problem.notes.push(format!("MAIN waits for `{}`, and it may have to be MAIN itself", node.name));
        problem.help.push("give both the same, best in `defaults`".into());
    }
}

/// MG024, MG025: flags of the nodes.
fn flags(draft: &Draft<'_>, report: &mut Report<'_>) {
    const FLUSH: &str = "storage-wal-file-flush-every-n-tx";
    let main = draft.nodes.iter().find(|n| n.role == Some(Role::Main));
    let mut said: Vec<Span> = Vec::new();
    for node in &draft.nodes {
        for (name, (value, span)) in &node.flags {
            if said.contains(span) {
                continue;
            }
            said.push(*span);
            if let Some((_, instead)) = MANAGED_FLAGS.iter().find(|(managed, _)| managed == name) {
                report
                    .error("MG025", *span, format!("flag `{name}` is managed by mgctl"))
                    .help
                    .push((*instead).into());
            } else if !is_flag(name) {
                let what = format!("`{}` is not the name of a flag", visible(name));
                let problem = report.error("MG025", *span, what);
                problem.help.push(match name.trim_start_matches('-') {
                    bare if bare != name && is_flag(bare) => format!("write it without dashes: `{bare}`"),
                    _ => "lower-case letters, digits and hyphens".into(),
                });
            } else if value.contains(['\0', '\n']) {
                report.error("MG025", *span, format!("the value of flag `{name}` has a control character"));
            } else if name == "replication-restore-state-on-startup" && value == "false" {
                let problem =
                    report.warning("MG025", *span, "after a restart the node is a MAIN without replicas");
                problem.help.push("`mgctl up` repairs it; remove the flag to keep role and replicas".into());
            } else if name == "storage-mode" && !value.eq_ignore_ascii_case("IN_MEMORY_TRANSACTIONAL") {
                let what = format!("storage mode `{}` does not replicate", visible(value));
                report
                    .error("MG025", *span, what)
                    .help
                    .push("use IN_MEMORY_TRANSACTIONAL, the default".into());
            }
        }
        let flush = |node: &NodeDraft<'_>| node.flags.get(FLUSH).cloned();
        if let Some(main) = main
            && node.role == Some(Role::Replica)
            && node.mode == Some(Mode::Sync)
            && flush(main).map(|f| f.0) != flush(node).map(|f| f.0)
        {
            let span = flush(node).or_else(|| flush(main)).map_or(node.span, |f| f.1);
            let what = format!(
                "flag `{FLUSH}` differs between `{}` and its SYNC replica `{}`",
                main.name, node.name
            );
            report.warning("MG024", span, what).help.push("set it in `defaults.flags`".into());
        }
    }
}

/// MG035: environment of the nodes.
fn environment(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut said: Vec<Span> = Vec::new();
    for node in &draft.nodes {
        for (name, (value, span)) in &node.env {
            if said.contains(span) {
                continue;
            }
            said.push(*span);
            if !is_symbol(name) {
                report
                    .error("MG035", *span, format!("`{}` is not the name of a variable", visible(name)))
                    .help
                    .push("letters, digits and `_`, not beginning with a digit".into());
            } else if value.contains('\0') {
                report.error("MG035", *span, format!("the value of `{name}` has a null character"));
            }
        }
    }
}

/// MG034: what processes cannot do.
fn runtime(draft: &Draft<'_>, report: &mut Report<'_>) {
    if draft.runtime != Runtime::Process {
        return;
    }
    let mut said: Vec<Span> = Vec::new();
    for node in draft.nodes.iter().filter(|n| n.image != Image::BuiltIn) {
        if said.contains(&node.image_span) {
            continue;
        }
        said.push(node.image_span);
        let what = format!("`runtime: process` runs no images, and `{}` has one", node.name);
        report.error("MG034", node.image_span, what).help.push("use `runtime: docker`, or no `image`".into());
    }
    let limited = draft.nodes.iter().find(|n| n.memory_bytes.is_some() || n.nano_cpus.is_some());
    if let Some(node) = limited {
        report
            .warning(
                "MG034",
                node.span,
                "memory and cpus limit containers only; `runtime: process` has no limits",
            )
            .help
            .push("use `runtime: docker` to have them".into());
    }
    if let Some(span) = draft.file.key_span("network") {
        report
            .warning(
                "MG034",
                span,
                "`network` has no meaning with `runtime: process`, which uses loopback addresses",
            )
            .help
            .push("remove it, or use `runtime: docker`".into());
    }
}

/// MG001: files that are named.
fn init(draft: &Draft<'_>, report: &mut Report<'_>) {
    for (path, span) in &draft.init {
        let why = match std::fs::metadata(path) {
            Ok(file) if file.is_file() => continue,
            Ok(_) => "not a file".to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "no such file".to_owned(),
            Err(error) => error.to_string(),
        };
        report
            .error("MG001", *span, format!("cannot read `{}`: {why}", path.display()))
            .help
            .push("the path starts from the directory of the topology".into());
    }
}

/// The first character of the file.
const START: Span = Span { line: 1, column: 1, width: 1 };

fn is_name(name: &str, max: usize) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=max).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Returns whether a cluster can have this name.
pub fn is_cluster_name(name: &str) -> bool {
    is_name(name, 31)
}

fn is_instance_name(name: &str) -> bool {
    is_name(name, 31) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Returns whether `name` is a Cypher name that needs no quotes.
pub fn is_symbol(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_engine_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_flag(name: &str) -> bool {
    is_name(name, 100)
}

fn is_image(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    let path = repository(name);
    (1..=255).contains(&name.len())
        && name.bytes().all(plain)
        && path.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()))
        && !path.bytes().any(|b| b.is_ascii_uppercase())
        && tag(name).is_none_or(|tag| !tag.is_empty())
}

/// Returns the name without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rfind(':') {
        Some(at) if !name[at..].contains('/') => &name[..at],
        _ => name,
    }
}

/// Returns the tag, or the digest of an image that is named by one.
fn tag(image: &str) -> Option<&str> {
    let rest = &image[repository(image).len()..];
    rest.strip_prefix(':').or_else(|| rest.strip_prefix('@'))
}

fn major(image: &str) -> Option<u32> {
    tag(image)?.split(['.', '-', '@']).next()?.parse().ok()
}

fn subnet_of(ip: Ipv4Addr) -> String {
    let [a, b, c, _] = ip.octets();
    format!("{a}.{b}.{c}.0/24")
}

/// Returns at most 60 characters, for a message.
fn visible(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names() {
        for name in ["a", "m1", "rep-1", "a234567890123456789012345678901"] {
            assert!(is_instance_name(name), "{name}");
        }
        let bad = [
            "",
            "1a",
            "-a",
            "a-",
            "A",
            "my node",
            "a.b",
            "../x",
            "a\n",
            "ä",
            "a2345678901234567890123456789012",
        ];
        for name in bad {
            assert!(!is_instance_name(name), "{name:?}");
        }
        assert!(is_cluster_name("1a"));
    }

    #[test]
    fn images_have_repositories_and_tags() {
        for (image, path, name) in [
            ("memgraph/memgraph:3.5.1", "memgraph/memgraph", Some("3.5.1")),
            ("localhost:5000/x", "localhost:5000/x", None),
            ("localhost:5000/x:1-relwithdebinfo", "localhost:5000/x", Some("1-relwithdebinfo")),
            ("x@sha256:00", "x", Some("sha256:00")),
        ] {
            assert_eq!((repository(image), tag(image)), (path, name), "{image}");
            assert!(is_image(image), "{image}");
        }
        for image in ["", "a b", "/x", "X/y:1", "x:", "a//b", "-x", "a\nb"] {
            assert!(!is_image(image), "{image:?}");
        }
        assert_eq!((major("m:3.5.1"), major("m:latest"), major("m")), (Some(3), None, None));
    }
}
