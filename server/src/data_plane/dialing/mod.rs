//! Links to the peers that the settings name: each is dialed for ever, until the server leaves.
//!
//! ```text
//!  RESTING ── the pause is over ──► LOOKING ── addresses and key are there ──► CALLING ── in: the core is told ──► LINKED
//!     ▲                                │                                         │  ▲                             │
//!     │                                │ none                    it did not work │  └ the next address            │ it has gone
//!     └────────────────────────────────┴─────────────────────────────────────────┴────────────────────────────────┘
//! ```
//!
//! Pauses grow, and are forgotten when the core says that the link is up. A call is a connection that `sockets` opens and greets; here is only
//! decided when and where. What goes wrong is told once, and again when it changes, or after a minute.

mod lookup;
mod obstacle;
mod pace;

pub(crate) use lookup::{Found, Place};
pub(crate) use obstacle::Obstacle;

use crate::control::Control;
use crate::peers::Peer;
use answerback_broker::{ConnectionId, Time};
use answerback_keys::Key;
use pace::Pace;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The peers of a data plane.
#[derive(Debug)]
pub(super) struct Dialing {
    lines: Vec<Line>,
    control: Control,
    /// No peer is dialed any more.
    left: bool,
    counts: DialCounts,
}

/// What has come of dialing peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialCounts {
    /// Peers that the settings name.
    pub peers: usize,
    /// Times that one was dialed.
    pub dialed: u64,
    /// Times that it did not become a link, by the short word for why.
    pub failed: BTreeMap<&'static str, u64>,
}

/// The line to one peer.
#[derive(Debug)]
struct Line {
    peer: Peer,
    state: State,
    pace: Pace,
}

#[derive(Debug)]
enum State {
    Resting {
        until: Time,
    },
    Looking,
    /// `left`: addresses that were not tried yet.
    Calling {
        connection: ConnectionId,
        left: Vec<SocketAddr>,
        key: Option<Key>,
    },
    /// The core knows it.
    Linked {
        connection: ConnectionId,
        greeting: Greeting,
    },
}

/// How far the two servers of a link are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// One has said hello.
    Begun,
    /// The other does not want to be a peer, and that was told.
    Refused,
    /// Both have.
    Done,
}

/// A call to be made.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) peer: usize,
    pub(super) address: SocketAddr,
    pub(super) key: Option<Key>,
    /// For the next calls, if this one does not work.
    left: Vec<SocketAddr>,
}

impl Dialing {
    pub(super) fn new(peers: &[Peer], control: Control, now: Time) -> Self {
        let line =
            |peer: &Peer| Line { peer: peer.clone(), state: State::Resting { until: now }, pace: Pace::default() };
        let counts = DialCounts { peers: peers.len(), ..DialCounts::default() };
        Self { lines: peers.iter().map(line).collect(), control, left: false, counts }
    }

    pub(super) fn counts(&self) -> &DialCounts {
        &self.counts
    }

    /// The address of a peer as the settings have it.
    pub(super) fn address(&self, peer: usize) -> Option<Arc<str>> {
        self.lines.get(peer).map(|line| line.peer.shared_address())
    }

    /// Dials nobody any more.
    pub(super) fn leave(&mut self) {
        self.left = true;
    }

    /// When the next peer is to be dialed.
    pub(super) fn next(&self) -> Option<Time> {
        let times = self.lines.iter().filter_map(|line| match line.state {
            State::Resting { until } => Some(until),
            _ => None,
        });
        times.min().filter(|_| !self.left)
    }

    /// Begins to look up those whose pause is over.
    pub(super) fn keep_time(&mut self, now: Time) {
        if self.left {
            return;
        }
        for at in 0..self.lines.len() {
            let line = &mut self.lines[at];
            if matches!(line.state, State::Resting { until } if until <= now) {
                line.state = State::Looking;
                if let Err(error) = lookup::begin(at, line.peer.clone(), self.control.clone()) {
                    self.failed(at, &Obstacle::System(error.to_string()), now);
                }
            }
        }
    }

    /// A look-up has ended. Returns the call to be made.
    pub(super) fn found(&mut self, found: Found, now: Time) -> Option<Call> {
        let Found { peer, place } = found;
        if self.left {
            return None;
        }
        match place {
            Ok(Place { mut addresses, key }) => {
                addresses.reverse();
                Some(Call { peer, address: addresses.pop()?, key, left: addresses })
            }
            Err(obstacle) => {
                self.failed(peer, &obstacle, now);
                None
            }
        }
    }

    /// A call is under way.
    pub(super) fn calls(&mut self, call: Call, connection: ConnectionId) {
        self.counts.dialed += 1;
        let Call { peer, key, left, .. } = call;
        if let Some(line) = self.lines.get_mut(peer) {
            line.state = State::Calling { connection, left, key };
        }
    }

    /// A call could not even begin.
    pub(super) fn cannot_call(&mut self, call: &Call, obstacle: &Obstacle, now: Time) {
        self.failed(call.peer, obstacle, now);
    }

    /// A call has come through, and the core is told.
    pub(super) fn linked(&mut self, peer: usize, connection: ConnectionId) {
        if let Some(line) = self.lines.get_mut(peer) {
            line.state = State::Linked { connection, greeting: Greeting::Begun };
        }
    }

    /// The core says that a link is up.
    pub(super) fn up(&mut self, connection: ConnectionId) {
        if let Some(at) = self.linked_by(connection) {
            self.lines[at].pace.forget();
            self.lines[at].state = State::Linked { connection, greeting: Greeting::Done };
        }
    }

    /// The core says that the other end does not want this server as its peer. That will not be other in a moment.
    pub(super) fn refused(&mut self, connection: ConnectionId, obstacle: impl FnOnce(bool) -> Obstacle, now: Time) {
        if let Some(at) = self.linked_by(connection) {
            self.lines[at].pace.slow_down();
            self.lines[at].state = State::Linked { connection, greeting: Greeting::Refused };
            let obstacle = obstacle(self.lines[at].peer.is_sealed());
            self.tell(at, &obstacle, now);
        }
    }

    fn linked_by(&self, connection: ConnectionId) -> Option<usize> {
        let is_it = |line: &Line| matches!(line.state, State::Linked { connection: of, .. } if of == connection);
        self.lines.iter().position(is_it)
    }

    /// A call or link has ended. Returns the next call, if there is another address.
    pub(super) fn ended(
        &mut self,
        peer: usize,
        connection: ConnectionId,
        obstacle: Option<Obstacle>,
        now: Time,
    ) -> Option<Call> {
        let line = self.lines.get_mut(peer)?;
        let is_it = matches!(
            line.state,
            State::Calling { connection: of, .. } | State::Linked { connection: of, .. } if of == connection
        );
        if !is_it {
            return None;
        }
        match std::mem::replace(&mut line.state, State::Looking) {
            State::Calling { mut left, key, .. } => {
                let obstacle = obstacle.unwrap_or(Obstacle::Closed);
                if let Some(address) = left.pop().filter(|_| !self.left && !obstacle.is_of_all_addresses()) {
                    return Some(Call { peer, address, key, left });
                }
                self.failed(peer, &obstacle, now);
            }
            State::Linked { greeting: Greeting::Begun, .. } => {
                self.failed(peer, &obstacle.unwrap_or(Obstacle::Lost), now);
            }
            // What there was to be told was told.
            _ => self.rest(peer, now),
        }
        None
    }

    /// Tells a failure, and rests.
    fn failed(&mut self, at: usize, obstacle: &Obstacle, now: Time) {
        self.tell(at, obstacle, now);
        self.rest(at, now);
    }

    fn rest(&mut self, at: usize, now: Time) {
        let Some(line) = self.lines.get_mut(at) else { return };
        // Without randomness pauses are merely all of the same length.
        let pause = line.pace.next(getrandom::u32().unwrap_or_default());
        line.state = State::Resting { until: now + pause };
    }

    fn tell(&mut self, at: usize, obstacle: &Obstacle, now: Time) {
        *self.counts.failed.entry(obstacle.word()).or_default() += 1;
        let Some(line) = self.lines.get_mut(at).filter(|_| !self.left) else { return };
        if let Some(also) = line.pace.may_tell(obstacle.word(), now) {
            let (peer, kind) = (line.peer.address(), obstacle.word());
            tracing::warn!(peer, kind, also, "no link to this peer yet, and it is dialed again and again: {obstacle}");
        }
    }
}
