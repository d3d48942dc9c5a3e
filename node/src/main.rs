//! `mgnode`: one node of a cluster, the same as `mgctl node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mgnode::main_from_args(std::env::args_os()))
}
