//! mgctl: hands the arguments over and ends with the exit code. The only place that knows both mgctl and the node.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mgctl::main_from_args(std::env::args_os(), node))
}

fn node(args: Vec<OsString>) -> u8 {
    mgnode::main_from_args(args)
}
