//! The command line as a process, against a real server in this one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end at what is not as it should be")]

mod bed;
mod bench;
mod broadcast;
mod call;
mod drain;
mod events;
mod exec;
mod keys;
mod look;
mod reload;
mod sealed;
#[path = "../../../tests/features/sealed_front.rs"]
mod sealed_front;
mod serve;
mod store;
mod usage;
