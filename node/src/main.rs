//! mgnode.
fn main() {}
