//! Repository chores: checks of structure and generated files.
fn main() {}
