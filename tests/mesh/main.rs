//! Servers that are linked, as processes, with callers and handlers of the client library at different ones. All cases of what the core decides
//! are in `broker/tests/mesh`; here is what only real processes and sockets can show.
//!
//! | file | what it does |
//! |---|---|
//! | `calls.rs` | what a caller on one server has of a handler on another: answers, faults, deadlines, cancellation, broadcasts; chains and rings |
//! | `breaks.rs` | servers that are killed or drained, links that are cut or stand still |
//! | `dialing.rs` | peers that come later, come back, are something else, or have another key |
//! | `rights.rs` | every right, had and lacking, across servers |
//! | `stage.rs` | the processes, and waits |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod breaks;
mod calls;
mod dialing;
#[path = "../../server/tests/it/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod place;
#[path = "../../server/tests/it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod process;
#[path = "../wire/program.rs"]
mod program;
mod rights;
mod stage;

pub(crate) use program::program;
