//! `mgctl init`: a topology to begin with.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::Context;
use crate::args::{Init, Preset};
use crate::error::{CliError, Exit};
use crate::topology::{Source, load};
use crate::ui::Ui;
use crate::words::count;

pub(super) fn run(context: &Context, args: &Init) -> Result<Exit, CliError> {
    let text = write(args)?;
    // What this version writes it must also read.
    let source = Source { name: "the preset".into(), directory: ".".into(), text: text.clone() };
    load(&source, &|_| None).map_err(|problems| CliError::of(Exit::Usage, problems))?;
    let Some(path) = args.path.as_deref().filter(|p| *p != Path::new("-")) else {
        let data = json!({ "file": null, "topology": text });
        context.ui.result("Init", None, data, &[], |_| text.clone());
        return Ok(Exit::Ok);
    };
    let written =
        std::fs::File::create_new(path).and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::new(Exit::Conflict, format!("`{}` exists", path.display()))
                .code("MG001")
                .help("name another file, or remove this one")
        }
        _ => CliError::new(Exit::Other, format!("cannot write `{}`: {error}", path.display())).code("MG078"),
    })?;
    let shown = path.display().to_string();
    let data = json!({ "file": shown, "topology": text });
    let next = |_: &Ui| format!("Wrote {shown}\n\nNext:  {} up {shown}", context.program);
    context.ui.result("Init", None, data, &[], next);
    Ok(Exit::Ok)
}

fn write(args: &Init) -> Result<String, CliError> {
    let (replicas, sync) = match args.preset {
        Preset::Quickstart | Preset::Memgraph => (2, 1),
        Preset::Ha => (2, 2),
        Preset::Full => (3, 1),
        Preset::Ci => (1, 1),
    };
    let replicas = args.replicas.unwrap_or(replicas);
    let sync = args.sync.unwrap_or(sync.min(replicas));
    if sync > replicas {
        let what = format!("{} of {} cannot be", count(sync, "SYNC replica"), count(replicas, "replica"));
        return Err(CliError::new(Exit::Usage, what).help("give --replicas as many or more"));
    }
    let mut out =
        "# yaml-language-server: $schema=./mgctl.schema.json   (mgctl schema > mgctl.schema.json)\n"
            .to_owned();
    let mut line = |text: &str| writeln!(out, "{text}").expect("a String takes every write");
    line(&format!("name: {}", args.name));
    if args.preset == Preset::Memgraph {
        line("image: memgraph/memgraph:3.5.1");
    }
    if args.preset == Preset::Ci {
        line("ports: { strategy: random }          # several clusters side by side");
    }
    if args.preset == Preset::Full {
        line("runtime: auto                        # docker where an engine answers, else local processes");
        line("addressing: static                   # addresses that never change; or dns, or ip");
        line("replication: { port: 10000, mode: SYNC }");
        line("ports: { bind: 127.0.0.1, bolt_base: 7687, strategy: auto }");
        line("wait: { timeout: 2m, until: redundant }");
        line("backup: { dir: ./backups, keep: 7 }   # where `mgctl backup` writes, and how many stay");
        line("defaults:");
        line("  memory: 1GiB");
        line("  env: { TZ: UTC }");
        line("  restart: unless-stopped");
        line("  logging: { max_size: 10m, max_file: 3 }");
        line("  ulimits: { nofile: 65536 }");
    }
    line("instances:");
    line(
        "  main: { role: main }               # where it begins; `mgctl promote` moves it, and `up` leaves it there",
    );
    for number in 1..=replicas {
        let mode = if number <= sync { "SYNC" } else { "ASYNC" };
        let priority = if args.preset == Preset::Full && mode == "ASYNC" { ", priority: 0" } else { "" };
        line(&format!(
            "  rep{number}: {{ role: replica, mode: {mode}, register_as: REP{number}{priority} }}"
        ));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Mode;
    use clap::ValueEnum;

    #[test]
    fn every_preset_is_a_topology() {
        for preset in Preset::value_variants() {
            for (replicas, sync) in [(None, None), (Some(4), Some(2)), (Some(0), Some(0))] {
                let args = Init { preset: *preset, replicas, sync, name: "demo".into(), ..Init::default() };
                let text = write(&args).unwrap();
                let source = Source { name: "preset".into(), directory: ".".into(), text };
                let loaded = load(&source, &|_| None).unwrap_or_else(|p| panic!("{preset:?}: {p:#?}"));
                if let (Some(replicas), Some(sync)) = (replicas, sync) {
                    let found: Vec<Mode> = loaded.topology.replicas().map(|i| i.mode).collect();
                    assert_eq!(found.len(), replicas as usize);
                    assert_eq!(found.iter().filter(|m| **m == Mode::Sync).count(), sync as usize);
                }
            }
        }
        let none = Init { replicas: Some(1), sync: Some(2), ..Init::default() };
        assert_eq!(write(&none).unwrap_err().exit(), Exit::Usage);
    }
}
