//! `mgctl version`: what this is.

use serde_json::json;

use super::Context;
use crate::cluster::Runtime;
use crate::error::{CliError, Exit};
use crate::runtime::docker::Docker;

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let topology = crate::topology::API_VERSION;
    // An engine that does not answer is a fact here, no failure.
    let engine = match Docker::connect(context.host.as_deref()).await {
        Ok(docker) => docker.describe(),
        Err(error) => format!("none ({})", error.problem().what),
    };
    let data = json!({ "version": version, "topology": topology, "engine": engine });
    context.ui.result("Version", None, data, &[], |_| {
        format!("mgctl {version}\ntopology files: {topology}\nengine: {engine}")
    });
    Ok(Exit::Ok)
}
