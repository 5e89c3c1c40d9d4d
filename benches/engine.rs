//! Benchmarks of the engine without an interpreter.
fn main() {}
