//! `mgctl validate`: checks a topology, names every problem in it, or shows it with every default.

use serde_json::json;

use super::Context;
use crate::args::Validate;
use crate::error::{CliError, Exit, Severity};
use crate::topology::{self, Mode, Topology};

pub(super) fn run(args: &Validate, context: &Context) -> Result<Exit, CliError> {
    let loaded = context.selection.topology()?;
    if args.strict && !loaded.warnings.is_empty() {
        let mut problems = loaded.warnings;
        for problem in &mut problems {
            problem.severity = Severity::Error;
        }
        return Err(CliError::of(Exit::Usage, problems));
    }
    let topology = &loaded.topology;
    let notes = topology::notes(topology);
    let yaml = topology::to_yaml(topology)
        .map_err(|error| CliError::new(Exit::Other, format!("cannot write the topology as YAML: {error}")))?;
    let data = json!({ "valid": true, "topology": topology::to_json(topology), "notes": notes });
    context.ui.result("Topology", Some(&topology.name), data, &loaded.warnings, |_| match args.resolved {
        true => yaml,
        false => summary(topology, &notes),
    });
    Ok(Exit::Ok)
}

/// Returns what the file asks for, in a few lines.
fn summary(topology: &Topology, notes: &[String]) -> String {
    let count = |mode: Mode| topology.replicas().filter(|i| i.mode == mode).count();
    let mut parts = vec!["1 MAIN".to_owned()];
    for mode in Mode::ALL {
        if count(*mode) > 0 {
            parts.push(format!("{} {mode}", count(*mode)));
        }
    }
    let mut text =
        format!("`{}` is valid: cluster `{}` with {}", topology.place.file, topology.name, parts.join(", "));
    for note in notes {
        text += &format!("\nnote: {note}");
    }
    text
}
