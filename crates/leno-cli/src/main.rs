//! The `leno` command.
fn main() {}
