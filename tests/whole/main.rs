//! Everything at once: three servers in a mesh, two balancers before them, two hundred clients, and every process in turn goes and comes back.
//!
//! | file | what it does |
//! |---|---|
//! | `goes_and_comes.rs` | processes are drained, or killed with -9, one after another, under load |
//! | `set.rs` | the five processes, each at an address that stays |
//! | `load.rs` | callers and handlers on the client library |
//! | `ledger.rs` | every request, its ends and its runs, and whether that is what was promised |
//!
//! The gate does it for 8 seconds each. `SECONDS_LONG=60 cargo test -p answerback-tests --test whole` does it for a minute; a test that fails says
//! its seed, and `SEED=…` runs it again with the same choices (the moments are the machine's).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says why"
)]

#[path = "../wire/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which need more of it")]
mod dice;
mod goes_and_comes;
mod ledger;
mod load;
#[path = "../../server/tests/it/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod place;
#[path = "../../server/tests/it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod process;
#[path = "../wire/program.rs"]
mod programs;
mod set;
#[path = "../../balancer/tests/process/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the balancer, which need more of it")]
mod support;

use std::path::PathBuf;
use std::sync::OnceLock;

pub(crate) fn program() -> PathBuf {
    programs::program()
}

pub(crate) fn balancer_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| programs::build("answerback-balancer")).clone()
}

/// A number from the environment, such as `SEED`.
pub(crate) fn asked(name: &str, usual: u64) -> u64 {
    let parse = |text: String| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"));
    std::env::var(name).ok().map_or(usual, parse)
}
