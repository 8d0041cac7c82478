//! What is kept with each connection so that its limits can be watched.

use super::purse::Purse;
use super::{Allowance, Origin};
use answerback_broker::Time;

/// A connection's side of all limits.
#[derive(Debug)]
pub(in crate::data_plane) struct Watch {
    pub(in crate::data_plane) origin: Origin,
    /// Whether it counts as one of its address.
    pub(in crate::data_plane) counted: bool,
    /// Whether it has said hello and was welcomed.
    pub(in crate::data_plane) welcomed: bool,
    pub(in crate::data_plane) purse: Purse,
    pub(in crate::data_plane) held: Held,
    /// Whether its socket has more to read, once it is not held up any more.
    pub(in crate::data_plane) read_later: bool,
    /// The most that the next read may take, in bytes.
    pub(in crate::data_plane) room: usize,
    /// What its inbox has in the sum of all inboxes, in bytes.
    pub(in crate::data_plane) inbox_bytes: usize,
    /// When its socket last took something of its outbox, or its outbox began to wait.
    pub(in crate::data_plane) moved: Time,
    /// Whether it stands in the list of those whose outboxes wait.
    pub(in crate::data_plane) waits: bool,
}

/// Whether a connection is held up. Then it is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data_plane) enum Held {
    No,
    /// It goes on in the next turn, when others had theirs.
    NextTurn,
    /// It goes on when it has credit again.
    Paused,
}

impl Watch {
    pub(in crate::data_plane) fn new(origin: Origin, allowed: &Allowance, now: Time) -> Self {
        Self {
            origin,
            counted: false,
            welcomed: false,
            purse: allowed.purse(now),
            held: Held::No,
            read_later: false,
            room: usize::MAX,
            inbox_bytes: 0,
            moved: now,
            waits: false,
        }
    }
}
