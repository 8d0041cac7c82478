//! What the sealed and guarded broker does on a hostile network, with real clients and the real server process.
//!
//! | file | what it does |
//! |---|---|
//! | `tampering.rs` | established channels: bits flipped, records repeated, left out, exchanged, moved, made up; with every one the channel closes and nothing arrives |
//! | `handshakes.rs` | the same with every bit of a greeting and of its answer |
//! | `replays.rs` | whole connections played again: to the same server, to another one, after a restart, to a client |
//! | `doors.rs` | everybody who is at the wrong door, with the program and the command line |
//! | `rights.rs` | for each right one that has it and one that does not, on the client library |
//! | `python.rs` | a client in Python that shares nothing with the code here |
//! | `strangers.rs` | hundreds of strangers a second while clients work |
//! | `proxy.rs`, `cut.rs`, `trick.rs` | somebody on the way, who understands where records begin and end |
//! | `stage.rs` | the server, its keys, and who has them |
//!
//! The gate runs some of what `tampering.rs` has. `ROUNDS=1000 cargo test -p answerback-tests --test hostile tampering` runs more; a test that fails says
//! its seed, and `SEED=…` runs it again with the same choices (the moments are the machine's).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "../../benches/src/strangers/crowd.rs"]
mod crowd;
mod cut;
#[path = "../wire/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which need more of it")]
mod dice;
mod doors;
mod handshakes;
#[path = "../../server/tests/it/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod place;
#[path = "../../server/tests/it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod process;
#[path = "../wire/program.rs"]
mod program;
mod proxy;
mod python;
mod replays;
mod rights;
mod stage;
mod strangers;
mod tampering;
mod trick;

pub(crate) use program::program;

/// A number from the environment, such as `ROUNDS`.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}
