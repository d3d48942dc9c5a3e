//! mgctl: hands the arguments over and ends with the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mgctl::main_from_args(std::env::args_os()))
}
