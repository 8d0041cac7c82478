//! The client library where it hurts: servers that are killed, networks that break, calls that are dropped.
//!
//! In each test services and callers work under load, and a ledger in the test's process writes down every run of every
//! call by a handler, and every end that a caller was told. Afterwards the two are compared with what was promised.
//!
//! | file | what it does |
//! |---|---|
//! | `chaos_restart.rs` | a real server process is killed and started again, ten times |
//! | `chaos_proxy.rs` | the network between clients and a server cuts, delays and half-closes |
//! | `simulated.rs` | both at once in virtual time, by seeds; `SEEDS=1000` for more, `SEED=7` for one |
//! | `attempts.rs` | how many handlers are given a call |
//! | `dropped.rs` | a thousand calls are dropped, and nothing of them is left anywhere |
//! | `leaving.rs` | a server leaves, and clients go on with a session more or one less |
//! | `parts_kept.rs` | parts of an answer for a caller who is away |
//! | `replaced.rs` | a session that a newer connection takes over |
//! | `load.rs`, `ledger.rs`, `quiet.rs` | services and callers; what they did; how it is seen that nothing is left |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod attempts;
mod chaos_proxy;
mod chaos_restart;
#[path = "../wire/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which need more of it")]
mod dice;
mod dropped;
mod leaving;
mod ledger;
mod load;
mod parts_kept;
#[path = "../../server/tests/it/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod place;
#[path = "../../server/tests/it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod process;
#[path = "../wire/program.rs"]
mod program;
mod quiet;
mod replaced;
mod simulated;

pub(crate) use program::program;
