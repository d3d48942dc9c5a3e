//! `mgctl image`: the node's image, for containers that are started by hand.

use serde_json::json;

use super::Context;
use crate::args::ImageCommand;
use crate::error::{CliError, Exit};
use crate::runtime::docker::Docker;

pub(super) async fn run(context: &Context, command: &ImageCommand) -> Result<Exit, CliError> {
    match command {
        ImageCommand::Load => {
            let docker = Docker::connect(context.host.as_deref()).await?;
            let step = context.ui.step("image", "built-in");
            let done = docker.load_built_in().await?;
            step.done(&done);
            let image = docker.built_in().await?;
            let data = json!({ "tag": image.tag, "id": image.id });
            context.ui.result("Image", None, data, &[], |_| image.tag.clone());
            Ok(Exit::Ok)
        }
    }
}
