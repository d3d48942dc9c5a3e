//! `mgctl schema`: the JSON Schema of the topology file, for editors, and of what verbs answer, for scripts.

use super::Context;
use crate::args::Schema;
use crate::error::{CliError, Exit};
use crate::output;
use crate::topology::json_schema;

pub(super) fn run(context: &Context, args: &Schema) -> Result<Exit, CliError> {
    let schema = match args.of.as_str() {
        Schema::TOPOLOGY => Some(json_schema()),
        Schema::OUTPUT => Some(output::schema()),
        Schema::PROGRESS => Some(output::progress_schema()),
        Schema::TREE => output::schema_of("topology"),
        verb => output::schema_of(verb),
    };
    let schema =
        schema.ok_or_else(|| {
            CliError::new(Exit::Usage, format!("`{}` answers nothing with an envelope", args.of))
                .help(format!("of every verb that does: {} schema {}", context.program, Schema::OUTPUT))
        })?;
    // The schema is the result itself: an editor reads it from a file, without an envelope.
    context.ui.print(&format!("{schema:#}"));
    Ok(Exit::Ok)
}
