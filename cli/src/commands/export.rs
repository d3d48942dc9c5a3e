//! `mgctl export`: the topology in the words of another tool, on standard output.

use std::collections::BTreeMap;

use serde_json::json;

use super::Context;
use crate::args::ExportCommand;
use crate::authority::{Leaf, demanded};
use crate::error::{CliError, Exit};
use crate::export::{self, Settings};
use crate::runtime::docker::image;
use crate::runtime::process::Processes;
use crate::topology::{Instance, Topology};

pub(super) fn run(context: &Context, command: &ExportCommand) -> Result<Exit, CliError> {
    let loaded = context.selection.topology()?;
    let topology = loaded.topology;
    let text = match command {
        ExportCommand::Compose(args) => {
            let image = args.image.clone().map_or_else(built_in, Ok)?;
            export::compose(&topology, &image)?
        }
        ExportCommand::Kubernetes(args) => {
            let settings = Settings { image: &args.image, storage: &args.storage };
            // Nothing is made for what is refused.
            export::kubernetes(&topology, settings, &BTreeMap::new())?;
            export::kubernetes(&topology, settings, &leaves(&topology)?)?
        }
    };
    let data = json!({ "manifest": text });
    context.ui.result("Export", Some(&topology.name), data, &loaded.warnings, |_| text.trim_end().to_owned());
    Ok(Exit::Ok)
}

/// The tag of the image that `mgctl image load` makes.
fn built_in() -> Result<String, CliError> {
    image::of_this_executable().map(|image| image.tag).map_err(|error| {
        CliError::new(Exit::Engine, format!("no image can be made of this executable: {error}"))
            .code("MG062")
            .help("name one: --image IMAGE")
    })
}

/// Certificates of all nodes: those of the files, or by an authority that stays with this user.
fn leaves(topology: &Topology) -> Result<BTreeMap<String, Leaf>, CliError> {
    if !topology.cluster_tls {
        return Ok(BTreeMap::new());
    }
    if let Some(files) = &topology.tls_files {
        let of = |i: &Instance| Ok((i.name.clone(), demanded(files, topology, &i.name)?));
        return topology.instances.iter().map(of).collect();
    }
    let authority = Processes::of_this_user()?.export_authority(&topology.name)?;
    topology.instances.iter().map(|i| Ok((i.name.clone(), authority.issue(&i.name)?))).collect()
}
