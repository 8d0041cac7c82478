//! A session: a client, over as many connections as it takes.
//!
//! ```text
//!   hello ──► CONNECTED ──── connection breaks ───► AWAY ── grace time passes, or room is needed ──► ended
//!               │   ▲                                 │
//!              bye  └── resume ◄── RESUMING ◄─ hello ─┘
//!               │       (nothing is delivered before the client has said what it holds)
//!               └──► ended
//! ```

use crate::action::Action;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::input::ConnectionId;
use crate::kept::Kept;
use crate::mesh::Link;
use crate::request::Request;
use crate::rights::Holder;
use crate::tables::{Key, Map, map};
use crate::time::Time;
use answerback_protocol::SessionId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) struct Session {
    /// What names it here and in the store: see `guard.rs`. The client says another one if it has a holder.
    pub(crate) id: SessionId,
    /// Whose it is, on a server with keys. Not known of one that was restored until its client comes back.
    pub(crate) guard: Option<Box<Guard>>,
    /// The link of which it is one end, if its client is another server.
    pub(crate) link: Option<Key<Link>>,
    /// Its number in lists. The id is a secret.
    pub(crate) client: u64,
    /// The client's name, behind that of its holder: what others see as `from`.
    pub(crate) name: Arc<str>,
    pub(crate) connection: Option<ConnectionId>,
    /// How many connections it has had.
    pub(crate) epoch: u32,
    /// Whether it has said anything after `hello`, and so has got its `welcome`.
    pub(crate) confirmed: bool,
    /// Whether it was made for what the store held, and its client has not said anything after a `welcome` of this life. Until then
    /// it may not have heard that the server has restarted.
    pub(crate) restored: bool,
    /// Whether it was told that the server has restarted, and may still announce requests of the life before.
    pub(crate) announces_earlier: bool,
    /// Whether `resume` is still to come on this connection.
    pub(crate) resuming: bool,
    /// When it ends if the client does not come back, or does not say what it holds.
    pub(crate) grace_until: Time,
    /// Calls that wait for their answer, and on which connection each was announced last.
    pub(crate) calls: Map<u64, Call>,
    pub(crate) deliveries: Map<u64, Delivery>,
    pub(crate) serves: BTreeMap<Key<Action>, Key<Handler>>,
    pub(crate) subscriptions: BTreeSet<(Arc<str>, Option<Arc<str>>)>,
    /// Events that were for it, whether or not they could be sent: its client knows how many it got.
    pub(crate) events: u64,
    /// Since when it has the connection that it has.
    pub(crate) connected_at: Time,
    pub(crate) kept: Kept,
    /// Ids of the latest sends accepted, so that one announced again after a reconnect is not taken for a new one.
    pub(crate) accepted: VecDeque<(u64, u32)>,
}

/// A call that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) request: Key<Request>,
    pub(crate) epoch: u32,
}

/// A delivery that the session has not answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// None once the request has ended: the handler was told to cancel, and its answer will be ignored.
    pub(crate) request: Option<Key<Request>>,
    pub(crate) handler: Key<Handler>,
    /// Counts deliveries, so that they can be handed back in order.
    pub(crate) number: u64,
    /// Whether the client has said after a reconnect that it still works on it.
    pub(crate) held: bool,
}

/// Accepted sends that a session remembers. A client has at most this many without having heard that they were accepted.
pub(crate) const ACCEPTED_MAX: usize = 4_096;

impl Session {
    pub(crate) fn new(id: SessionId, client: u64, name: Arc<str>, seed: u64) -> Self {
        Self {
            id,
            guard: None,
            link: None,
            client,
            name,
            connection: None,
            epoch: 0,
            confirmed: false,
            restored: false,
            announces_earlier: false,
            resuming: false,
            grace_until: Time::NEVER,
            calls: map(seed),
            deliveries: map(seed),
            serves: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            events: 0,
            connected_at: Time::default(),
            kept: Kept::new(),
            accepted: VecDeque::new(),
        }
    }

    /// Whose it is, if that is known and on a server with keys.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        self.guard.as_ref().map(|guard| guard.holder())
    }

    /// Whether a client that is away would lose anything with its session.
    pub(crate) fn has_anything(&self) -> bool {
        !(self.calls.is_empty()
            && self.deliveries.is_empty()
            && self.serves.is_empty()
            && self.subscriptions.is_empty()
            && self.kept.is_empty()
            && self.accepted.is_empty())
    }

    /// Whether calls of earlier connections have not been announced again.
    pub(crate) fn waits_for_announcements(&self) -> bool {
        self.calls.values().any(|call| call.epoch < self.epoch)
    }

    /// Calls that were not announced again until now will not be: their answers need not wait for that any longer.
    pub(crate) fn wait_for_no_more_announcements(&mut self) {
        for call in self.calls.values_mut() {
            call.epoch = self.epoch;
        }
    }

    /// Remembers that a send was accepted.
    pub(crate) fn remember_accepted(&mut self, id: u64, epoch: u32) {
        if self.accepted.len() == ACCEPTED_MAX {
            self.accepted.pop_front();
        }
        // One that took long to write is of an earlier connection than those after it.
        let place = self.accepted.partition_point(|(_, of)| *of <= epoch);
        self.accepted.insert(place, (id, epoch));
    }

    /// Whether a send with this id was accepted on an earlier connection. On the same one it is a new send.
    pub(crate) fn was_accepted_before(&self, id: u64) -> bool {
        self.accepted.iter().take_while(|(_, epoch)| *epoch < self.epoch).any(|&(accepted, _)| accepted == id)
    }

    /// The deliveries of which `which` holds, in the order they were made.
    pub(crate) fn deliveries_in_order(&self, which: impl Fn(&Delivery) -> bool) -> Vec<(u64, Delivery)> {
        let mut some: Vec<_> = self.deliveries.iter().map(|(&id, &d)| (id, d)).filter(|(_, d)| which(d)).collect();
        some.sort_unstable_by_key(|(_, delivery)| delivery.number);
        some
    }

    /// The calls that wait, by id.
    pub(crate) fn calls_in_order(&self) -> Vec<(u64, Key<Request>)> {
        let mut all: Vec<_> = self.calls.iter().map(|(&id, call)| (id, call.request)).collect();
        all.sort_unstable_by_key(|&(id, _)| id);
        all
    }
}
