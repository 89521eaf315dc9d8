//! The `foretide` binary.
fn main() {}
