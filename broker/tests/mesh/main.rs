//! Several brokers that are linked, in scripts. `world.rs` says how one is read.

mod breaks;
mod calls;
mod rights;
#[path = "../tables/script_text.rs"]
mod script_text;
mod shapes;
mod world;
