//! `mgctl image`: the node's image, for containers that are started by hand, for other machines and for registries.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::Context;
use crate::args::ImageCommand;
use crate::error::{CliError, Exit};
use crate::graph::archive::refuse_existing;
use crate::runtime::docker::{Docker, image, name_and_tag};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, command: &ImageCommand) -> Result<Exit, CliError> {
    if let ImageCommand::Save { path, dry_run } = command {
        return save(context, path, dry_run.dry_run);
    }
    let docker = Docker::connect(context.host.as_deref(), context.docker_context.as_deref()).await?;
    if let ImageCommand::Load { dry_run }
    | ImageCommand::Tag { dry_run, .. }
    | ImageCommand::Push { dry_run, .. } = command
        && dry_run.dry_run
    {
        return plan(context, &docker, command).await;
    }
    let step = context.ui.step("image", "built-in");
    let done = docker.load_built_in().await?;
    step.done(&done);
    let image = docker.built_in().await?;
    let name = match command {
        ImageCommand::Tag { name, .. } => {
            let step = context.ui.step("tag", name);
            let name = docker.tag_built_in(name).await?;
            step.done(&name);
            Some(name)
        }
        ImageCommand::Push { name, .. } => {
            let name = docker.tag_built_in(name).await?;
            let step = context.ui.step("push", &name);
            let pushed = docker.push(&name, &|detail| step.say(detail)).await;
            match pushed {
                Ok(digest) => step.done(&digest),
                Err(error) => {
                    step.failed(&error.problem().what);
                    return Err(error);
                }
            }
            Some(name)
        }
        ImageCommand::Load { .. } | ImageCommand::Save { .. } => None,
    };
    let tag = name.unwrap_or_else(|| image.tag.clone());
    let data = json!({ "tag": tag, "id": image.id });
    context.ui.result("Image", None, data, &[], |_| tag.clone());
    Ok(Exit::Ok)
}

/// Says what would be done at the engine, and does nothing there.
async fn plan(context: &Context, docker: &Docker, command: &ImageCommand) -> Result<Exit, CliError> {
    let image = docker.built_in().await?;
    let mut steps = Vec::new();
    if !docker.has_image(&image.tag).await? {
        steps.push(format!("load image {}", image.tag));
    }
    let mut tag = image.tag.clone();
    if let ImageCommand::Tag { name, .. } | ImageCommand::Push { name, .. } = command {
        let (repository, version) = name_and_tag(name)?;
        tag = format!("{repository}:{version}");
        steps.push(format!("tag it {tag}"));
    }
    if let ImageCommand::Push { .. } = command {
        steps.push(format!("push it to the registry of {tag}"));
    }
    let data = json!({ "tag": tag, "id": image.id, "steps": steps });
    let text = |_: &Ui| match steps.is_empty() {
        true => "nothing to do".to_owned(),
        false => steps.join("\n"),
    };
    context.ui.result("Image", None, data, &[], text);
    Ok(Exit::Ok)
}

/// Writes the image as `docker save` does.
fn save(context: &Context, path: &Path, dry_run: bool) -> Result<Exit, CliError> {
    let made = image::of_this_executable().map_err(|error| {
        CliError::new(Exit::Engine, format!("no image can be made of this executable: {error}")).code("MG062")
    })?;
    let unwritable = |error: std::io::Error| {
        CliError::new(Exit::Other, format!("cannot write `{}`: {error}", path.display())).code("MG078")
    };
    let write = |out: &mut dyn Write| made.archive.iter().try_for_each(|piece| out.write_all(piece));
    let bytes: usize = made.archive.iter().map(|piece| piece.len()).sum();
    if dry_run {
        if path != Path::new("-") {
            refuse_existing(path)?;
        }
        let step = format!("write {bytes} bytes to {}", path.display());
        let data = json!({ "tag": made.tag, "id": made.id, "steps": [step] });
        context.ui.result("Image", None, data, &[], |_| step.clone());
        return Ok(Exit::Ok);
    }
    if path == Path::new("-") {
        if !context.ui.is_for_people() {
            return Err(CliError::new(Exit::Usage, "the image itself is the result: it has no envelope")
                .help("name a file for it"));
        }
        let mut out = std::io::stdout().lock();
        return match write(&mut out).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unwritable(error)),
            _ => Ok(Exit::Ok),
        };
    }
    refuse_existing(path)?;
    let written = std::fs::File::create_new(path).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // Half of an image is none. What cannot be removed is only in the way.
        let _ = std::fs::remove_file(path);
        return Err(unwritable(error));
    }
    let data = json!({ "tag": made.tag, "id": made.id, "file": path.display().to_string(), "bytes": bytes });
    let text = |_: &Ui| {
        format!("{}\nWrote {path} ({bytes} bytes); docker load -i {path}", made.tag, path = path.display())
    };
    context.ui.result("Image", None, data, &[], text);
    Ok(Exit::Ok)
}
