//! mgctl.
fn main() {}
