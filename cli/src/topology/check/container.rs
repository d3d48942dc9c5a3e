//! Rules about how containers are kept, and where files are.

use super::{is_engine_name, visible};
use crate::topology::build::{AUTO, Draft, NodeDraft};
use crate::topology::container::{FILE_DRIVERS, without_effect};
use crate::topology::model::{Image, Role, Runtime};
use crate::topology::read::{Named, Section};
use crate::topology::report::{Report, list};
use crate::topology::tree::Span;

/// Labels that are mgctl's own begin so.
const RESERVED: &str = "dev.mgctl.";
/// Longest name, and longest value, of a label.
const LABEL_MAX: usize = 255;
/// Longest name of a file or folder, of Linux's file systems.
const FILE_NAME_MAX: usize = 255;

/// Checks the rules and reports every breach, once for each place.
pub(super) fn check(draft: &Draft<'_>, report: &mut Report<'_>) {
    let defaults = draft.file.section("defaults");
    let sections = || {
        let nodes = draft.nodes.iter().map(|node| (node.section, Some(node)));
        defaults.map(|section| (section, None)).into_iter().chain(nodes)
    };
    for (section, _) in sections() {
        labels(section.scalars("labels"), report);
        if let Some(check) = section.section("healthcheck") {
            healthcheck(check, report);
        }
        if let Some(volumes) = section.section("volumes") {
            paths(volumes, report);
        }
    }
    let mut said = Vec::new();
    for node in &draft.nodes {
        logging(node, defaults, report, &mut said);
        if node.image == Image::BuiltIn {
            built_in(node, defaults, report, &mut said);
        }
    }
    volumes(draft, report);
    priorities(draft, report);
    processes(draft, report);
}

/// Returns the place of a key within a part: the node's own, or that of `defaults`.
fn place(node: &NodeDraft<'_>, defaults: Option<&Section>, part: &str, key: &str) -> Span {
    let of = |section: &Section| section.section(part)?.key_span(key);
    of(node.section).or_else(|| of(defaults?)).unwrap_or(node.span)
}

/// MG033: labels.
fn labels(labels: &[Named<String>], report: &mut Report<'_>) {
    for label in labels {
        if label.name.starts_with(RESERVED) {
            report
                .error("MG033", label.span, format!("label `{}` is one of mgctl's own", visible(&label.name)))
                .help
                .push(format!("labels that begin with `{RESERVED}` are how mgctl knows its containers"));
        } else if label.name.is_empty()
            || label.name.len() > LABEL_MAX
            || label.name.contains(|c: char| c == '=' || c.is_control())
        {
            let what = format!("`{}` is not the name of a label", visible(&label.name));
            report.error("MG033", label.span, what).help.push("for example `team: graph`".into());
        } else if label.value.len() > LABEL_MAX || label.value.contains(|c: char| c.is_control()) {
            let what = format!("label `{}` cannot be `{}`", label.name, visible(&label.value));
            let help = format!("at most {LABEL_MAX} bytes, and no control characters");
            report.error("MG033", label.span, what).help.push(help);
        }
    }
}

/// MG038: what the engine would refuse, or understand as something else.
fn healthcheck(check: &Section, report: &mut Report<'_>) {
    let texts = check.texts("test");
    if let [(first, span), _, ..] = texts
        && !["CMD", "CMD-SHELL"].contains(&first.as_str())
    {
        report
            .error(
                "MG038",
                *span,
                format!(
                    "a list of `healthcheck.test` begins with CMD or CMD-SHELL, got `{}`",
                    visible(first)
                ),
            )
            .help
            .push(
                "`test: [CMD, mgconsole, --version]`, or a text for the shell: `test: mgconsole --version`"
                    .into(),
            );
    }
    if check.has("test") && texts.is_empty() && !check.is_bad("test") {
        let span = check.span("test").unwrap_or_default();
        report.error("MG038", span, "`healthcheck.test` is empty").help.push("remove it".into());
    }
    for key in ["interval", "timeout"] {
        if let (Some(time), Some(span)) = (check.duration(key), check.span(key))
            && time.is_zero()
        {
            let what = format!("`healthcheck.{key}` must be longer than 0");
            report.error("MG038", span, what).help.push("for example `5s`".into());
        }
    }
}

/// MG031, MG038: what can be a place for files.
fn paths(volumes: &Section, report: &mut Report<'_>) {
    if let (Some(text), Some(span)) = (volumes.text("data"), volumes.span("data")) {
        if ["none", "tmpfs"].contains(&text.as_str()) {
            report
                .error("MG031", span, "without a place that lasts the data are gone with the container")
                .notes
                .push("a node that comes back without its data cannot be told from a new one".into());
        } else if text != AUTO && !is_folder(&text) && !is_engine_name(&text) {
            let what = format!("`volumes.data`: `{}` is no volume and no folder", visible(&text));
            report.error("MG038", span, what).help.push(
                "auto, the name of a volume, or the absolute path of a folder of the engine's machine".into(),
            );
        }
    }
    for (key, choice) in [("log", "none, tmpfs or an absolute path"), ("etc", "none or an absolute path")] {
        if let (Some(text), Some(span)) = (volumes.text(key), volumes.span(key))
            && text != "none"
            && !(key == "log" && text == "tmpfs")
            && !is_folder(&text)
        {
            let what = format!("`volumes.{key}` cannot be `{}`", visible(&text));
            report.error("MG038", span, what).help.push(choice.into());
        }
    }
}

/// Is it an absolute path that names one place?
fn is_folder(text: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "." | "..") && part.len() <= FILE_NAME_MAX;
    text.len() > 1
        && text.len() <= 4096
        && text.starts_with('/')
        && text.split('/').all(is_plain)
        && !text.contains(|c: char| c.is_control())
}

/// MG038: options of log drivers.
fn logging(node: &NodeDraft<'_>, defaults: Option<&Section>, report: &mut Report<'_>, said: &mut Vec<Span>) {
    let driver = &node.container.logging.driver;
    let at = |key: &str| place(node, defaults, "logging", key);
    let mut once = |span: Span| {
        let is_new = !said.contains(&span);
        said.push(span);
        is_new
    };
    if !is_engine_name(driver) {
        if once(at("driver")) {
            let what = format!("`{}` is not the name of a log driver", visible(driver));
            report
                .error("MG038", at("driver"), what)
                .help
                .push("for example json-file, local or journald".into());
        }
        return;
    }
    let own = node.section.section("logging");
    let of_defaults = defaults.and_then(|d| d.section("logging"));
    let counts = [own, of_defaults.filter(|d| d.text("driver").as_ref() == Some(driver))];
    for section in counts.into_iter().flatten() {
        for key in ["max_size", "max_file"] {
            if let Some(span) = section.key_span(key)
                && !FILE_DRIVERS.contains(&driver.as_str())
                && once(span)
            {
                let what = format!("log driver `{driver}` has no `{key}`");
                report
                    .error("MG038", span, what)
                    .help
                    .push("it is for json-file and local; options of others go under `options`".into());
            }
        }
    }
}

/// MG037: what the built-in image does not have.
fn built_in(node: &NodeDraft<'_>, defaults: Option<&Section>, report: &mut Report<'_>, said: &mut Vec<Span>) {
    let over = &node.container.over;
    for (key, text) in [("log", over.log.as_str()), ("etc", over.etc.as_str())] {
        let span = place(node, defaults, "volumes", key);
        if text != "none" && !said.contains(&span) {
            said.push(span);
            let what = format!("the built-in image has nothing at `volumes.{key}`");
            report
                .error("MG037", span, what)
                .help
                .push("it logs to the engine (`logging`) and is set by `flags`; remove the key".into());
        }
    }
    for (key, _, _) in node.container.ports.published() {
        let what = format!("the built-in image serves nothing at `ports.{key}`");
        report
            .error("MG037", node.port_at(key), what)
            .help
            .push("remove it, or name Memgraph's image".into());
    }
    let pull = |section: &Section| section.key_span("pull");
    if let Some(span) = pull(node.section).or_else(|| pull(defaults?))
        && !said.contains(&span)
    {
        said.push(span);
        report
            .warning("MG037", span, "`pull` has no effect: the built-in image comes with mgctl")
            .help
            .push("remove it".into());
    }
}

/// MG030: one place for the data of one node.
fn volumes(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Some(cluster) = &draft.name else { return };
    let defaults = draft.file.section("defaults");
    let mut taken: Vec<(String, &NodeDraft<'_>, Span)> = Vec::new();
    for node in &draft.nodes {
        let (data, span) =
            node.data.clone().unwrap_or_else(|| (format!("mgctl-{cluster}-{}-data", node.name), node.span));
        if data == format!("mgctl-{cluster}-ca") {
            report
                .error("MG030", span, format!("volume `{data}` holds the cluster's authority"))
                .help
                .push("use another, or `auto`".into());
        }
        let log = match node.container.over.log.as_str() {
            "none" | "tmpfs" => None,
            path => Some((path.to_owned(), place(node, defaults, "volumes", "log"))),
        };
        for (name, span) in [Some((data, span)), log].into_iter().flatten() {
            match taken.iter().find(|(other, _, _)| *other == name) {
                Some((_, first, place)) => {
                    let what = match first.name == node.name {
                        true => format!("`{}` would keep data and log in one place, `{name}`", node.name),
                        false => format!("`{}` and `{}` would share `{name}`", first.name, node.name),
                    };
                    report
                        .error("MG030", span, what)
                        .help
                        .push("give each node a place of its own; `data: auto` does".into());
                    report.also(*place);
                }
                None => taken.push((name, node, span)),
            }
        }
    }
}

/// MG031: somebody should be there to take over.
fn priorities(draft: &Draft<'_>, report: &mut Report<'_>) {
    let replicas: Vec<&NodeDraft<'_>> =
        draft.nodes.iter().filter(|n| n.role == Some(Role::Replica)).collect();
    if let [first, ..] = replicas.as_slice()
        && replicas.iter().all(|n| n.priority == 0)
    {
        report
            .warning(
                "MG031",
                first.at("priority"),
                "every replica has priority 0: a failover chooses none by itself",
            )
            .help
            .push("give one of them a higher `priority`".into());
    }
}

/// MG034: what processes do without.
fn processes(draft: &Draft<'_>, report: &mut Report<'_>) {
    if draft.runtime != Runtime::Process {
        return;
    }
    let mut keys: Vec<&str> = Vec::new();
    for node in &draft.nodes {
        keys.extend(without_effect(&node.container));
        if let Some((path, span)) = node.data.as_ref().filter(|(text, _)| text.starts_with('/')) {
            report
                .error(
                    "MG034",
                    *span,
                    format!("`runtime: process` keeps data in its own folder, not in `{}`", visible(path)),
                )
                .help
                .push("use `data: auto`, or `runtime: docker`".into());
        }
    }
    keys.sort_unstable();
    keys.dedup();
    if !keys.is_empty() {
        let what = format!(
            "{} {} no effect with `runtime: process`",
            list(&keys),
            if keys.len() == 1 { "has" } else { "have" }
        );
        let span = draft.file.span("runtime").unwrap_or_default();
        report
            .warning("MG034", span, what)
            .help
            .push("they are for containers; use `runtime: docker`".into());
    }
}
