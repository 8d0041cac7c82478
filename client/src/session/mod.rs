//! The pure half of the client: what it says and hears on one session with one server. No socket, no clock, no task: frames
//! and times go in, bytes and [`Event`]s come out, and the same goes in, the same comes out.
//!
//! ```text
//!  Client, Context      ask, cancel, serve, answer, release         what the application wants
//!        │
//!        ▼
//!     Session ◄── handle(now, frame) ◄── bytes read ◄─┐
//!        │                                            │   connection: one task that owns the socket
//!        ├──────► transmit(now, out) ──► bytes written┘
//!        ├──────► Caller::part, Caller::end               answers go straight to who waits for them
//!        └──────► next_event()                            deliveries and what happens to the connection
//! ```
//!
//! The life of a call here, from [`Session::ask`] to [`Caller::end`], which comes exactly once:
//!
//! ```text
//!            over a limit, ttl 0 and no connection
//!   ask ─────────────────────────────► refused (ran: no)
//!    │
//!    ▼             written to a connection               reply, or accepted
//!  UNSAID ───────────────────────────► SAID ───────────────────────► ended
//!    │ ▲                               │  │ └─ its time, and a little more, is up ──► timeout (ran: maybe)
//!    │ └── draining; or the session is │  └─ caller dropped it ─► CANCELLING ─ reply ─► gone
//!    │     lost and attempts are left ─┘                             (said again on every new connection)
//!    ├── ttl or deadline ─► expired, timeout (ran: no)
//!    ├── caller dropped it ─► gone
//!    └── taken over by the session with another server (`take_unsaid`)
//! ```
//!
//! When a connection breaks, the session stays. Bytes that were written may not have arrived, so on the next connection everything is
//! said again, in the order of PROTOCOL's chapter on resuming. If the server does not know the session any more, a call that was said may have
//! run: it is announced again only if `attempts` allow one more handler, else it ends as `disconnected` (ran: maybe).

mod calls;
mod connection;
mod deliveries;
mod hearing;
mod saying;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub(crate) use words::{Ask, Broken, Caller, Delivery, Ending, Event, Identity, Limits, Part, Verdict};
pub(crate) use words::{Counts, Info};

use calls::Calls;
use connection::Connection;
use deliveries::Deliveries;
use saying::Say;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One session with one server, over as many connections as it takes.
#[derive(Debug)]
pub(crate) struct Session<C> {
    identity: Identity,
    limits: Limits,
    /// What belongs to this one connection and is forgotten with it.
    connection: Connection,
    /// Whether something was said after hello, so that the server may know the session when we come back.
    was_used: bool,
    calls: Calls<C>,
    deliveries: Deliveries,
    /// Actions that are served, and their credit.
    serves: BTreeMap<Box<str>, u32>,
    /// Actions that are served no more, until the server has confirmed it.
    unserving: BTreeSet<Box<str>>,
    /// What is to be said on this connection, in order.
    say: VecDeque<Say>,
    events: VecDeque<Event>,
    /// Whether requests that are unsaid stay so, because the server leaves.
    leaving: bool,
    bye: Bye,
}

/// How far the goodbye is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bye {
    No,
    /// After all that is to be said.
    Wanted,
    Said,
}

impl<C: Caller> Session<C> {
    /// A session that no server knows yet.
    pub(crate) fn new(identity: Identity, limits: Limits) -> Self {
        Self {
            identity,
            limits,
            connection: Connection::default(),
            was_used: false,
            calls: Calls::default(),
            deliveries: Deliveries::default(),
            serves: BTreeMap::new(),
            unserving: BTreeSet::new(),
            say: VecDeque::new(),
            events: VecDeque::new(),
            leaving: false,
            bye: Bye::No,
        }
    }

    // ── what the application asks ────────────────────────────────────────────────────────────────

    /// Serves an action from now on, also on connections to come.
    pub(crate) fn serve(&mut self, action: &str, credit: u32) {
        self.unserving.remove(action);
        self.serves.insert(action.into(), credit);
        self.say_if_welcome(|| Say::Serve(action.into()));
    }

    /// Serves it no more; deliveries under way go on.
    pub(crate) fn unserve(&mut self, action: &str) {
        if self.serves.remove(action).is_some() {
            self.unserving.insert(action.into());
            self.say_if_welcome(|| Say::Unserve(action.into()));
        }
    }

    /// Says goodbye after everything else that is to be said. The server ends the session then.
    pub(crate) fn bye(&mut self) {
        if self.bye == Bye::No {
            self.bye = Bye::Wanted;
        }
    }

    pub(crate) fn said_bye(&self) -> bool {
        self.bye == Bye::Said
    }

    // ── moving to another server ─────────────────────────────────────────────────────────────────

    /// Requests that are unsaid stay so, to be taken to another server; everything else goes on.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    /// What is served, for the session that comes after this one.
    pub(crate) fn served(&self) -> Vec<(Box<str>, u32)> {
        self.serves.iter().map(|(action, credit)| (action.clone(), *credit)).collect()
    }

    /// No call waits, no delivery is held, and every reply was written.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.deliveries.is_idle()
    }

    // ── getters ──────────────────────────────────────────────────────────────────────────────────

    /// Whether the server has let us in on this connection.
    pub(crate) fn is_welcome(&self) -> bool {
        self.connection.is_welcome()
    }

    /// Calls that wait, those being cancelled included.
    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Bytes of replies that the server has not acknowledged.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.deliveries.kept_bytes()
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// On the next connection everything is said anyway.
    fn say_if_welcome(&mut self, say: impl FnOnce() -> Say) {
        if self.connection.is_welcome() {
            self.say.push_back(say());
        }
    }
}
