//! `mgctl version`: what this is.

use mgbolt::Version;
use serde_json::json;

use super::Context;
use crate::cluster::Runtime;
use crate::error::{CliError, Exit};
use crate::graph::archive;
use crate::output;
use crate::runtime::docker::Docker;

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let topology = crate::topology::API_VERSION;
    let system = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let build = if cfg!(debug_assertions) { "development" } else { "release" };
    let linkage = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    let executable =
        std::env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string());
    let bolt = format!("{} to {}", Version::V4_1, Version::NEWEST);
    // An engine that does not answer is a fact here, no failure.
    let (engine, image) =
        match Docker::connect(context.host.as_deref(), context.docker_context.as_deref()).await {
            // The image's name is a hash over all of this executable: only who asks for more waits for it.
            Ok(docker) if context.ui.verbose() > 0 => {
                let image = docker.built_in().await.map(|image| image.tag.clone());
                (docker.describe(), image.unwrap_or_else(|error| error.problem().what.clone()))
            }
            Ok(docker) => (docker.describe(), String::new()),
            Err(error) => (format!("none ({})", error.problem().what), String::new()),
        };
    let data = json!({
        "version": version, "topology": topology, "output": output::VERSION, "backup": archive::VERSION, "bolt": bolt,
        "system": system, "build": build, "linkage": linkage, "executable": executable, "engine": engine,
        "image": Some(&image).filter(|i| !i.is_empty()),
    });
    context.ui.result("Version", None, data, &[], |_| {
        let mut text = format!(
            "mgctl {version} ({system}, {linkage}, {build} build)\ntopology files: {topology}\noutput: mgctl/v1\n\
             backups: {}\nbolt: {bolt}\nengine: {engine}",
            archive::VERSION
        );
        if !image.is_empty() {
            text += &format!("\nimage: {image}\nexecutable: {executable}");
        }
        text
    });
    Ok(Exit::Ok)
}
