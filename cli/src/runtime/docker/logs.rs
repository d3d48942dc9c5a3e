//! What nodes log, as an engine keeps it.

use super::Docker;
use super::engine::translate;
use crate::cluster::container_name;
use crate::error::CliError;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::{Stream, StreamExt};

impl Docker {
    /// Returns the lines that a machine logs: the last `tail`, and with `follow` those that come.
    pub fn log_lines(
        &self,
        cluster: &str,
        instance: &str,
        follow: bool,
        tail: Option<u64>,
    ) -> impl Stream<Item = Result<String, CliError>> + use<'_> {
        let name = container_name(cluster, instance);
        let doing = format!("read the log of container `{name}`");
        self.api.logs(&name, Some(options(follow, tail))).map(move |said| line(&doing, said))
    }
}

/// Asks for the last `tail` lines, all of them where nothing is said, and with `follow` for those that come.
pub(in crate::runtime) fn options(follow: bool, tail: Option<u64>) -> LogsOptions {
    LogsOptions {
        follow,
        stdout: true,
        stderr: true,
        tail: tail.map_or("all".to_owned(), |n| n.to_string()),
        ..LogsOptions::default()
    }
}

/// Returns one line without its end. `doing` is for an error.
pub(in crate::runtime) fn line(
    doing: &str,
    said: Result<LogOutput, bollard::errors::Error>,
) -> Result<String, CliError> {
    match said {
        Ok(line) => Ok(String::from_utf8_lossy(line.as_ref()).trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(translate(doing, &error)),
    }
}
