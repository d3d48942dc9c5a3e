//! mgctl: turns a YAML topology into a running, replicated graph-database cluster, and operates it.
//!
//! `args` is the command surface. `topology` reads the YAML. `cluster` decides what to do, purely; `runtime` and
//! `query` do it, with an engine or processes and with the nodes. `graph` carries a graph as text out of servers and
//! into them; `export` writes a topology in the words of other tools. `commands` has a file per verb, `ui` shows what happens, `output` publishes what is shown to scripts, `error` says what went wrong, `words` counts; `authority`
//! issues the certificates by which the nodes of a cluster know each other.

pub mod args;
pub mod authority;
pub mod cluster;
pub mod commands;
pub mod error;
pub mod export;
pub mod graph;
pub mod output;
pub mod query;
pub mod runtime;
pub mod topology;
pub mod ui;
pub mod words;

use std::ffi::OsString;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::commands::Context;
use crate::error::{CliError, Exit};

/// Runs mgctl with these arguments, the first of which is its own name, and returns the exit code. `node` runs a
/// node: it gets its own name and the arguments after `node`, as they are.
pub fn main_from_args(
    args: impl IntoIterator<Item = OsString>,
    node: impl FnOnce(Vec<OsString>) -> u8,
) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results, everything else is talk; clap knows which stream that is. Nobody can
            // be told when the stream is gone.
            let _ = error.print();
            return match error.use_stderr() {
                true => Exit::Usage.code(),
                false => Exit::Ok.code(),
            };
        }
    };
    if let Command::Node { args } = cli.command {
        if let Err(why) = runtime::process::enter_session() {
            // Its log; where that is gone nobody can be told.
            eprintln!("error: {why}");
            return Exit::Other.code();
        }
        return node(std::iter::once(OsString::from("mgctl node")).chain(args).collect());
    }
    let program = commands::started_as(args.first());
    let context = match Context::new(&cli.global, cli.file.as_ref(), cli.verbose, &cli.command, program) {
        Ok(context) => context,
        Err(error) => {
            ui::Ui::new(&cli.global, cli.verbose).error(&error);
            return error.exit().code();
        }
    };
    let ui = context.ui.clone();
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(commands::run(&cli.command, &context)),
        Err(error) => Err(CliError::new(Exit::Other, format!("cannot start threads: {error}"))),
    };
    let exit = outcome.unwrap_or_else(|error: CliError| {
        ui.error(&error);
        error.exit()
    });
    match ui.finish() {
        Ok(()) => exit.code(),
        Err(error) => {
            ui.problem(error.problem());
            if exit == Exit::Ok { error.exit().code() } else { exit.code() }
        }
    }
}
