//! The core as a table of inputs and outputs: what clients say, what they hear, and when. No sockets, no clock.
//!
//! Each test is a script; `script.rs` says how to read one. Every row of the tables "a call may say" and "error codes"
//! of `docs/PROTOCOL.md` has a test that names it.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod a_call_may_say;
mod broadcast;
mod builtin;
mod claims;
mod credit;
mod drain;
mod durable;
mod error_codes;
mod events;
mod kept;
mod keys;
mod limits;
mod receipts;
mod restarts;
mod rights;
mod rights_change;
mod script;
mod script_text;
mod sessions;
mod shelf;
mod silence;
mod snapshots;
