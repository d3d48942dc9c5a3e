//! `mgctl schema`: the JSON Schema of the topology file, for editors.

use super::Context;
use crate::error::{CliError, Exit};
use crate::topology::json_schema;

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    // The schema is the result itself: an editor reads it from a file, without an envelope.
    context.ui.print(&format!("{:#}", json_schema()));
    Ok(Exit::Ok)
}
