//! `mgctl version`: what this is.

use serde_json::json;

use super::Context;
use crate::error::{CliError, Exit};

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let data = json!({ "version": version, "topology": crate::topology::API_VERSION });
    context.ui.result("Version", None, data, &[], |_| {
        format!("mgctl {version}\ntopology files: {}", crate::topology::API_VERSION)
    });
    Ok(Exit::Ok)
}
