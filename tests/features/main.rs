//! Everything that a program can do with the Rust client, against a real broker in the test's own process.
//!
//! A file for each subject. Tests that show what a user of the older systems could do carry the number of that capability
//! in their first line (`Seeds 7, 8: …`); `older_client.rs` has those of one system's client options. Every port is a free
//! one, and every wait is for a condition and has an end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod broadcasts;
mod call_options;
mod calls;
mod cancelling;
mod connecting;
mod contexts;
mod drain;
mod emitter;
mod error_codes;
mod events;
mod going_elsewhere;
mod handler_errors;
mod keys;
mod leaving;
mod limits;
mod older_client;
mod own_processes;
mod reconnecting;
mod resuming;
mod sealed;
mod sealed_front;
mod sends;
mod services;
mod states;
mod stored;
mod streams;
mod support;
mod tls;
mod tls_server;
