//! Clients, the balancer and several servers, each a process of its own.
//!
//! | file | what it does |
//! |---|---|
//! | `replicas.rs` | clients reach all servers; some die under load, some come back |
//! | `addresses.rs` | servers know who their clients are, and believe only balancers |
//! | `set.rs` | servers with a balancer in front of them |
//!
//! What the balancer does for connections as such is under test in its own crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says why"
)]

mod addresses;
#[path = "../../server/tests/it/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod place;
#[path = "../../server/tests/it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod process;
#[path = "../wire/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which need one program only")]
mod programs;
mod replicas;
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
