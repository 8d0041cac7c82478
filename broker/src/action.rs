//! An action: its queue, and the handlers that serve it.

use crate::handler::Handler;
use crate::rate::ServiceRate;
use crate::request::Request;
use crate::tables::{Chain, Key};
use crate::time::Time;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An action that somebody serves or that a request waits for. It exists as long as one of them does.
pub(crate) struct Action {
    pub(crate) name: Arc<str>,
    /// Requests that wait, in the order they came.
    pub(crate) queue: Chain,
    /// Requests that exist: waiting, delivered, joined, parts.
    pub(crate) requests: usize,
    /// Requests that handlers have.
    pub(crate) in_flight: usize,
    /// Bytes of all of them.
    pub(crate) bytes: usize,
    /// All that serve it, those that are away included.
    pub(crate) handlers: BTreeSet<Key<Handler>>,
    /// Those with free credit: the one with the fewest deliveries first, ties by whose turn it is.
    pub(crate) free: BTreeSet<(Rank, Key<Handler>)>,
    /// Counts deliveries, for turns.
    pub(crate) turn: u64,
    /// When it was last served by anybody, if nobody serves it now.
    pub(crate) served_until: Option<Time>,
    pub(crate) rate: ServiceRate,
    /// Whether it was said to be served, while somebody listens for that.
    pub(crate) online: bool,
    /// Not before this time is the next delivery, if there is a dispatch interval.
    pub(crate) next_dispatch: Time,
    /// Whether an alarm for that is set.
    pub(crate) dispatch_armed: bool,
}

/// Where a handler stands among those with free credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Servers on the way: who is near is first.
    pub(crate) hops: u32,
    pub(crate) in_flight: u32,
    /// The turn of its last delivery: who waited longest is first among equals.
    pub(crate) turn: u64,
}

impl Action {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            queue: Chain::EMPTY,
            requests: 0,
            in_flight: 0,
            bytes: 0,
            handlers: BTreeSet::new(),
            free: BTreeSet::new(),
            turn: 0,
            served_until: None,
            rate: ServiceRate::new(),
            online: false,
            next_dispatch: Time::default(),
            dispatch_armed: false,
        }
    }

    /// The free handlers, the one to give the next request to first.
    pub(crate) fn free_handlers(&self) -> impl Iterator<Item = Key<Handler>> {
        self.free.iter().map(|&(_, handler)| handler)
    }

    /// Whether anybody has served it at some time since `since`.
    pub(crate) fn was_served_since(&self, since: Time) -> bool {
        !self.handlers.is_empty() || self.served_until.is_some_and(|until| until >= since)
    }

    /// Whether there is a reason for it to exist.
    pub(crate) fn is_wanted(&self) -> bool {
        self.requests > 0 || !self.handlers.is_empty()
    }

    pub(crate) fn oldest(&self, requests: &crate::tables::Slab<Request>) -> Option<Time> {
        self.queue.first(requests).and_then(|key| requests.get(key)).map(|request| request.received)
    }
}
