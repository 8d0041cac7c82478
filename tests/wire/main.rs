//! Raw bytes against a real server: what a client in any language sees, and what a stranger can do.
//!
//! The client here is written from `docs/PROTOCOL.md` alone and shares no code with the server. Most tests are scripts;
//! `script.rs` says how to read one. The server runs inside the test where that is enough, and as the real process where
//! memory, signals or the command line matter. Every port is a free one and every wait is for a condition.
//!
//! Tests of things that broke older systems carry the number of that thing, such as `s1_…`. Those without a test here are
//! about parts that this version does not have: WebSocket (4), the store (10, 11), sealed connections (12), the client
//! library (16) and the balancer (18).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod a_call_may_say;
mod bad_heads;
mod bad_lengths;
mod broken_connections;
mod client;
mod cut_and_resumed;
mod dice;
mod drain;
mod error_codes;
mod events;
mod from_nothing;
mod greed;
mod half_a_handshake;
mod idle;
mod limits;
mod load;
mod minimal_client;
mod pattern;
#[path = "../../server/tests/it/place.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod place;
#[path = "../../server/tests/it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the server, which need more of it")]
mod process;
mod program;
mod random_bytes;
mod routing;
mod script;
mod sessions;

pub(crate) use program::program;
