//! What is left of accepted requests when a server is killed, restarted, or finds its disk damaged or full.
//!
//! | file | what it does |
//! |---|---|
//! | `kill_9.rs` | a server process under load is killed at random moments and started again on the same directory |
//! | `rolling_restart.rs` | the same with SIGTERM: nobody notices |
//! | `byte_flips.rs` | every file of a store is damaged in many ways; `damage.rs` has them |
//! | `power_cut.rs` | the power goes, on a disk in memory that loses or tears what was not synced |
//! | `full_disk.rs` | a small disk gets full, and has room again |
//! | `ledger.rs` | every request, its ends and its runs, and whether that is what was promised |
//! | `load.rs` | callers and services on the client library |
//! | `raw_caller.rs`, `raw_handler.rs`, `line.rs` | the same written from `docs/PROTOCOL.md` |
//! | `site.rs` | a place for a server that comes and goes |
//!
//! The gate runs a few rounds of each. `ROUNDS=200 cargo test -p answerback-tests --test durability kill` runs more of one;
//! a test that fails says its seed, and `SEED=…` runs it again with the same choices (the moments are the machine's).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod byte_flips;
#[path = "../wire/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which need more of it")]
mod client;
mod damage;
#[path = "../wire/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which need more of it")]
mod dice;
mod full_disk;
mod kill_9;
mod ledger;
mod line;
mod load;
#[path = "../../server/tests/it/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod place;
mod power_cut;
#[path = "../../server/tests/it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod process;
#[path = "../wire/program.rs"]
mod program;
mod raw_caller;
mod raw_handler;
mod rolling_restart;
mod site;

pub(crate) use program::program;

/// A number from the environment, such as `ROUNDS`.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// How many rounds to run, when nothing else is asked for.
fn rounds(usual: u64) -> u64 {
    asked("ROUNDS").unwrap_or(usual)
}

/// The seed of a run: the same every time, unless another is asked for.
fn seed(usual: u64) -> u64 {
    asked("SEED").unwrap_or(usual)
}
