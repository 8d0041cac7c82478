//! cargo run --example just_there
fn main() {}
