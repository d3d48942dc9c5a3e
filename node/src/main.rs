//! `mgnode`: one node of a cluster, the same as `mgctl node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mgnode::main_from_args(std::env::args().skip(1))
}
