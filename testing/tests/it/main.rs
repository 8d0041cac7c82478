//! The tools of this crate, seen from outside: with clients that speak the protocol by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod proxy;
mod raw;
mod simulation;
mod test_broker;
