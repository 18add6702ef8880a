//! The `identity` program.
fn main() {}
