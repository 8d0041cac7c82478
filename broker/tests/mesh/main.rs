//! Several brokers that are linked, in scripts. `world.rs` says how one is read.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod breaks;
mod calls;
mod events;
mod hostile;
mod restarts;
mod rights;
#[path = "../tables/script_text.rs"]
mod script_text;
mod shapes;
#[path = "../tables/shelf.rs"]
#[allow(dead_code)]
mod shelf;
mod world;
