//! The pure core of Answerback: every decision about a request.
//!
//! No sockets, no clock, no randomness, no threads: time is an argument, secrets are settings, and two brokers that are
//! given the same inputs give the same outputs. A shell drives it:
//!
//! ```text
//!  loop {
//!      broker.handle(now, input)               // something happened outside
//!      while let Some(output) = broker.next_output() { … }   // do what it wants
//!      broker.poll_timeout()                   // wake me then, if nothing happens before
//!      broker.handle_timeout(now)              // that time has come
//!  }
//! ```

mod input;
mod output;
mod settings;
mod time;

pub use input::{ConnectionId, Disconnect, Input};
pub use output::{Note, Output};
pub use settings::{Limits, REQUEST_OVERHEAD_BYTES, Secrets, Settings};
pub use time::Time;

/// The broker.
#[derive(Debug)]
pub struct Broker {}

/// What a broker holds at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Requests, waiting or delivered.
    pub requests: usize,
    /// Requests waiting in queues.
    pub queued: usize,
    /// Requests that handlers have.
    pub delivered: usize,
    /// Bytes counted against `bytes_in_all`.
    pub bytes: usize,
    /// Actions that exist.
    pub actions: usize,
    /// Sessions, connected or away.
    pub sessions: usize,
    /// Open connections.
    pub connections: usize,
    /// Replies kept until they are acknowledged.
    pub kept_replies: usize,
    /// Replies stored under a key.
    pub stored_replies: usize,
    /// Subscriptions.
    pub subscriptions: usize,
}

impl Broker {
    /// A broker with nothing in it.
    pub fn new(_settings: Settings) -> Self {
        Self {}
    }

    /// Takes in something that happened at `now`.
    pub fn handle(&mut self, _now: Time, _input: Input<'_>) {}

    /// The next thing to do, in order.
    pub fn next_output(&mut self) -> Option<Output> {
        None
    }

    /// When `handle_timeout` wants to be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// What is held at the moment.
    pub fn held(&self) -> Held {
        Held::default()
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        false
    }
}
