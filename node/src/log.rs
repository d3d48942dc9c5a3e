//! Where the log goes: readable lines on standard error, or in a file, or both.

use crate::config::{Config, LogLevel};
use std::fs::File;
use std::io;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Opens the log. Called once in a process.
pub(crate) fn open(config: &Config) -> Result<(), String> {
    let level = match config.log_level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Critical => LevelFilter::ERROR,
    };
    let ours = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("mgnode", level);
    let file = match &config.log_file {
        Some(path) => {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|e| format!("cannot make {}: {e}", parent.display()))?;
            }
            let file = File::options().create(true).append(true).open(path);
            Some(Arc::new(file.map_err(|e| format!("cannot open {}: {e}", path.display()))?))
        }
        None => None,
    };
    let to_stderr = config.log_file.is_none() || config.also_log_to_stderr;
    let stderr = to_stderr.then(|| {
        let colour = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::fmt::layer().with_target(false).with_ansi(colour).with_writer(io::stderr)
    });
    let file = file.map(|file| {
        tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(file).boxed()
    });
    tracing_subscriber::registry()
        .with(ours)
        .with(stderr)
        .with(file)
        .try_init()
        .map_err(|e| format!("the log cannot be opened: {e}"))
}
