//! `mgctl completions` and `mgctl man`: what a shell and `man` know about mgctl, made from its own command surface.

use clap::CommandFactory;
use serde_json::json;

use super::Context;
use crate::args::{Cli, Completions, Man};
use crate::error::{CliError, Exit};
use crate::ui::Ui;
use crate::words::count;

pub(super) fn completions(context: &Context, args: &Completions) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mgctl", &mut text);
    let text = String::from_utf8(text).map_err(|_| {
        CliError::new(Exit::Other, "the completions are not UTF-8: this is a mistake in mgctl")
    })?;
    // The script is the result itself: a shell reads it, without an envelope.
    context.ui.print(&text);
    Ok(Exit::Ok)
}

pub(super) fn man(context: &Context, args: &Man) -> Result<Exit, CliError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().filter(|c| !c.is_hide_set()).cloned());
        let page = clap_mangen::Man::new(command)
            .manual("mgctl")
            .source(concat!("mgctl ", env!("CARGO_PKG_VERSION")));
        let mut text = Vec::new();
        page.render(&mut text)
            .map_err(|error| CliError::new(Exit::Other, format!("a page cannot be written: {error}")))?;
        pages.push((page.get_filename(), text));
    }
    pages.sort();
    let failed = |path: &std::path::Path, error: std::io::Error| {
        CliError::new(Exit::Other, format!("cannot write `{}`: {error}", path.display())).code("MG078")
    };
    std::fs::create_dir_all(&args.folder).map_err(|e| failed(&args.folder, e))?;
    for (name, text) in &pages {
        let path = args.folder.join(name);
        std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
    }
    let names: Vec<_> = pages.iter().map(|(name, _)| json!({ "name": name })).collect();
    let data = json!({ "folder": args.folder.display().to_string(), "pages": names });
    let text = |_: &Ui| format!("Wrote {} to {}", count(pages.len(), "page"), args.folder.display());
    context.ui.result("Man", None, data, &[], text);
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Output, Progress};
    use crate::commands::Selection;
    use clap_complete::Shell;

    fn context() -> (Context, crate::ui::Captured) {
        let (ui, out, _) = Ui::captured(Output::Table, Progress::Plain, "");
        let selection = Selection::new(None, None, None, &[]).unwrap();
        (
            Context {
                ui,
                selection,
                host: None,
                docker_context: None,
                runtime: None,
                program: "mgctl".into(),
            },
            out,
        )
    }

    #[test]
    fn every_shell_learns_every_verb() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let (context, out) = context();
            completions(&context, &Completions { shell }).unwrap();
            context.ui.finish().unwrap();
            let text = out.text();
            for verb in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
                assert!(text.contains(verb.get_name()), "{shell} does not know {}", verb.get_name());
            }
        }
    }

    #[test]
    fn every_verb_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let (context, out) = context();
        man(&context, &Man { folder: folder.path().join("man1") }).unwrap();
        context.ui.finish().unwrap();
        for verb in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let path = folder.path().join(format!("man1/mgctl-{}.1", verb.get_name()));
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(text.contains(".SH SYNOPSIS") && text.contains("mgctl"), "{text:.300}");
        }
        let push = std::fs::read_to_string(folder.path().join("man1/mgctl-image-push.1")).unwrap();
        assert!(push.contains("registry"), "{push}");
        assert!(out.text().starts_with("Wrote "), "{}", out.text());
    }
}
