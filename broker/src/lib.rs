//! The pure core of Answerback: every decision about a request.
//!
//! No sockets, no clock, no randomness, no threads: time is an argument, secrets are settings, and two brokers that are
//! given the same inputs give the same outputs. A shell drives it:
//!
//! ```text
//!  loop {
//!      broker.handle(now, input)                             // something happened outside
//!      while let Some(output) = broker.next_output() { … }   // do what it wants
//!      broker.poll_timeout()                                 // wake me then, if nothing happens before
//!      broker.handle_timeout(now)                            // that time has come
//!  }
//! ```
//!
//! The life of a request is drawn in `request.rs`, the life of a session in `session.rs`. Which file decides what:
//!
//! | what happens | file |
//! |---|---|
//! | a connection opens, says hello, falls silent, breaks | `connections.rs` |
//! | what the holder of a key may do, and what changes when that changes | `rights.rs`, `guard.rs` |
//! | a session begins, is resumed, ends | `sessions.rs` |
//! | a client serves an action, changes its credit, stops | `serving.rs` |
//! | a request arrives: may it wait, and for how long | `admission.rs` |
//! | a request waits and a handler is free | `dispatch.rs` |
//! | a handler answers, hands back, says what it holds | `answers.rs` |
//! | a request ends: the one answer | `endings.rs` |
//! | one request for many handlers | `broadcast.rs` |
//! | one answer for many requests: idempotency keys | `keys.rs` |
//! | topics and subscriptions | `events.rs`, `topics.rs` |
//! | what the broker tells of its own life, `$events.>` | `life.rs` |
//! | actions of the broker's own | `builtin.rs`, `explain.rs` |
//! | a request must be on disk before it counts | `journal.rs` |
//! | what changed since the last snapshot | `snapshot.rs` |
//! | when a handler may forget its reply | `receipts.rs` |
//! | the server has started again | `recovery.rs`, `claims.rs` |
//! | the server leaves | `drain.rs` |

mod action;
mod admission;
mod answers;
mod broadcast;
mod broker;
mod builtin;
mod claims;
mod connections;
mod counts;
mod dispatch;
mod drain;
mod endings;
mod events;
mod explain;
mod guard;
mod handler;
mod input;
mod journal;
mod kept;
mod keys;
mod life;
mod mesh;
mod orphans;
mod output;
mod rate;
mod receipts;
mod recovery;
mod request;
mod rights;
mod saved;
mod serving;
mod session;
mod sessions;
mod settings;
mod snapshot;
mod tables;
mod time;
mod topics;
mod words;

pub use broker::{Broker, Held};
pub use counts::Counts;
pub use input::{ConnectionId, Disconnect, Input};
pub use keys::is_sound_key;
pub use output::{Note, Output};
pub use recovery::Recovery;
pub use rights::{Holder, Patterns, Rights};
pub use saved::{Caller, Change, Item, ItemId, Progress, SavedKept, SavedRequest, SavedStored, Step, StoreNews};
pub use settings::{Limits, REQUEST_OVERHEAD_BYTES, Secrets, Settings};
pub use time::Time;
pub use topics::matches_pattern;
