//! postroad.
fn main() {}
