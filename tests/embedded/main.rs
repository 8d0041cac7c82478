//! A broker that is just there: processes that find each other at an address, one of which has the broker.
//!
//! | file | what it does |
//! |---|---|
//! | `at_once.rs` | fifty processes at the same moment |
//! | `kill_9.rs` | the holder among ten processes is killed, again and again |
//! | `hand_over.rs` | a holder leaves in order, or loses its lock file |
//! | `beside.rs` | something else at the address, a server of its own, another key, another version |
//! | `crowd.rs`, `said.rs` | processes, and what they say |
//! | `life.rs` | what such a process does |
//! | `spot.rs` | an address and a folder for one test |
//!
//! The gate kills eight times; `ROUNDS=200 cargo test -p answerback-tests --test embedded kill -- --nocapture` does so more often, and prints how long it took until all worked
//! again. Tests that show what users of older systems had, or wished for, name the system in their first line.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod at_once;
mod beside;
mod crowd;
mod hand_over;
mod kill_9;
mod life;
mod said;
mod spot;
