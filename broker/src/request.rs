//! One request, from its arrival to its one answer.
//!
//! ```text
//!                  no room, no right, unreachable ttl
//!   call ───────────────► refused (ran: no)                              admission.rs
//!    │
//!    ▼          handler has credit                 reply
//!  QUEUED ───────────────────► DELIVERED ─────────────────► answered (ok, or fault: ran yes)
//!    │  ▲                        │  │  │                                 dispatch.rs, answers.rs
//!    │  └── handed back, or lost ┘  │  └── deadline ─────────► timeout (ran: maybe), handler told to cancel
//!    │      with attempts left      └───── handler lost ────► handler_lost (ran: maybe)
//!    ├── ttl or deadline ─► expired, timeout or no_handler (ran: no)     endings.rs
//!    └── caller cancels or leaves ─► cancelled (handler told, if one has it)
//!
//!  STORING    a durable one, until it is on disk: before it is accepted, and before it is delivered    journal.rs
//!  SOUGHT     one of the server's life before, until its caller and its handler have had a chance to speak    recovery.rs
//!  JOINED     a call whose idempotency key is running already: it waits for that one's answer    keys.rs
//!  GATHERING  a broadcast: its parts, one for each handler, are requests of their own             broadcast.rs
//! ```
//!
//! A request that was lost with a handler and is queued again may have run. From then on nothing about it says
//! `ran: no`: what would have been `expired` is `handler_lost` (see [`Request::may_have_run`]).

use crate::action::Action;
use crate::dispatch::delivery_id;
use crate::handler::Handler;
use crate::mesh::Home;
use crate::saved::Progress;
use crate::session::Session;
use crate::tables::{Chain, Chained, Key, Links, Timed, TimerLinks};
use crate::time::Time;
use answerback_protocol::frames::Gather;
use answerback_protocol::{DeliveryId, NodeId, Payload, RequestId, Text};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where a request is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has just arrived and is in no queue.
    Arrived,
    /// Durable, and something of it is being written to disk: itself, or (`marking`) that it is about to be delivered. A handler
    /// that is to get it has a place reserved.
    Storing { marking: bool, handler: Option<Key<Handler>> },
    /// Of the life before a restart: a handler may have it, or its caller has not asked for it yet.
    Sought,
    /// In the queue of its action; a part of a broadcast is in the lane of its handler.
    Queued,
    /// A handler has it.
    Delivered { handler: Key<Handler>, at: Time },
    /// Waits for the answer of another request with the same key.
    Joined { leader: Key<Request> },
    /// Waits for its parts.
    Gathering,
}

/// Who gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The session that called, under the id that it chose.
    Caller { session: Key<Session>, id: RequestId },
    /// The broadcast that this is a part of; `handler` is the one it is for.
    Broadcast { whole: Key<Request>, handler: Key<Handler> },
    /// Nobody: a send.
    Nobody,
    /// The caller cancelled or left, and others with the same key still wait for the work.
    Gone,
}

/// A request that the broker holds.
pub(crate) struct Request {
    pub(crate) owner: Owner,
    /// A keyed hash of the caller's session and the request's id; delivery ids are made of it.
    pub(crate) origin: u64,
    pub(crate) action: Key<Action>,
    /// The caller's name.
    pub(crate) from: Arc<str>,
    pub(crate) data: Payload,
    pub(crate) received: Time,
    /// The end of its ttl; never after the deadline.
    pub(crate) expires: Time,
    pub(crate) deadline: Time,
    pub(crate) state: State,
    /// How many handlers have been given it.
    pub(crate) attempt: u16,
    /// How many may be.
    pub(crate) attempts: u16,
    /// How many deliveries of it there have been, those that came back unstarted included: each has an id of its own.
    pub(crate) deliveries: u16,
    /// How many parts of its answer have come.
    pub(crate) parts: u32,
    /// What it counts against the byte limits.
    pub(crate) cost: u32,
    /// Whether the reply shall say where the time went.
    pub(crate) info: bool,
    /// Whether a handler that had it was lost, so that its work may have run.
    pub(crate) may_have_run: bool,
    /// Its number in the store; 0 if it is of a kind that is not stored.
    pub(crate) item: u64,
    pub(crate) keeping: Keeping,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) links: Links,
    pub(crate) timer: TimerLinks,
}

/// What the store knows of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keeping {
    /// It is in the journal, or on its way there.
    pub(crate) durable: bool,
    /// It is in the snapshot.
    pub(crate) saved: bool,
    /// It stands in the list of those that the next snapshot looks at.
    pub(crate) listed: bool,
    /// The store says that a handler has it, or is about to get it.
    pub(crate) marked: bool,
    /// It is of the life before, and a handler may have been given it without the store knowing.
    pub(crate) doubtful: bool,
    /// A send that is not accepted yet. Until then it belongs to its caller: so it is known when it is announced again, and can be refused.
    pub(crate) unaccepted: bool,
}

/// What few requests have.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) trace: Option<Text<'static>>,
    /// The idempotency key, of the request that runs under it.
    pub(crate) key: Option<Box<str>>,
    /// Requests that wait for the answer of this one.
    pub(crate) joined: Option<Chain>,
    /// Of a broadcast: its parts that have not ended, and the counts.
    pub(crate) parts: BTreeSet<Key<Request>>,
    pub(crate) gather: Gather,
    /// Of a part of a broadcast that is for another server: whether `gather` is what was counted there.
    pub(crate) is_gathered: bool,
    /// It is a part of a broadcast for another server.
    pub(crate) is_elsewhere: bool,
    /// Of one that another server passed on: the servers where it has been.
    pub(crate) path: Box<[NodeId]>,
    /// It goes first to the server that knows its idempotency key.
    pub(crate) home: Option<Box<Home>>,
    /// The handler that answered, at another server.
    pub(crate) by: Option<Text<'static>>,
    /// Of a broadcast: its number among servers.
    pub(crate) cast: u64,
}

impl Request {
    pub(crate) fn trace(&self) -> Option<&Text<'static>> {
        self.rare.as_ref()?.trace.as_ref()
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(Box::default)
    }

    /// The servers where it has been before it came here.
    pub(crate) fn path(&self) -> &[NodeId] {
        self.rare.as_ref().map_or(&[], |rare| &rare.path)
    }

    /// The id of its last delivery.
    pub(crate) fn delivery(&self) -> DeliveryId {
        delivery_id(self.origin, self.deliveries)
    }

    /// Whether it may wait no longer. The timer that says so may come a little late.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        self.expires <= now
    }

    /// Whether it is not with a handler, as far as is known.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.state, State::Arrived | State::Queued | State::Storing { .. } | State::Sought)
    }

    /// How far it has come, but for who has it.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            attempt: self.attempt,
            deliveries: self.deliveries,
            parts: self.parts,
            delivered: match self.state {
                State::Delivered { .. } => true,
                State::Sought => self.keeping.marked,
                _ => false,
            },
            may_have_run: self.may_have_run || self.keeping.doubtful,
            handler: None,
        }
    }

    /// Whether others with the same key wait for its answer.
    pub(crate) fn is_joined(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.joined.as_ref().is_some_and(|joined| !joined.is_empty()))
    }
}

impl Chained for Request {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Timed for Request {
    fn timer(&mut self) -> &mut TimerLinks {
        &mut self.timer
    }

    /// While it is delivered only the deadline counts. The wheel is not told when a request is delivered: it asks again
    /// when the ttl has come, so that a call that is answered in time is put into the wheel once.
    fn due(&self) -> Time {
        match self.state {
            // With a ttl of nothing it was taken because a handler was free; how long the disk takes is not its wait.
            State::Storing { .. } if self.expires == self.received => self.deadline,
            State::Arrived | State::Queued | State::Storing { .. } => self.expires,
            State::Sought | State::Delivered { .. } | State::Joined { .. } | State::Gathering => self.deadline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million requests may wait, so what one record takes is worth a look before a member is added. With its turn a place in the slab is 192 bytes, and a
    /// chunk of 256 places is 48 KiB, which allocators have a class for.
    #[test]
    fn a_record_stays_small() {
        assert!(size_of::<Request>() <= 184, "{} bytes", size_of::<Request>());
    }
}
