//! What is kept with each connection so that its limits can be watched.

use super::purse::Purse;
use super::{Allowance, Left, Origin};
use answerback_broker::Time;

/// A connection's side of all limits.
#[derive(Debug)]
pub(in crate::data_plane) struct Watch {
    pub(in crate::data_plane) origin: Origin,
    /// Whether it counts as one of its address.
    pub(in crate::data_plane) counted: bool,
    /// Whether it is turned away, and only there to read why.
    pub(in crate::data_plane) told: bool,
    /// Whether it is one of the outsiders: it has come in, and neither shown a key nor been welcomed.
    pub(in crate::data_plane) outsider: bool,
    /// Whether it has shown that it has a key, or a certificate, of a holder.
    pub(in crate::data_plane) proven: bool,
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
            told: false,
            outsider: false,
            proven: false,
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

    /// What it is remembered as, once it has gone.
    pub(in crate::data_plane) fn how_it_left(&self) -> Left {
        match (self.welcomed, self.proven) {
            (true, _) => Left::Welcomed,
            (false, true) => Left::Proven,
            (false, false) => Left::Stranger,
        }
    }

    /// The greatest goes first when inboxes hold too much: strangers that hold anything, and then whoever holds most.
    pub(in crate::data_plane) fn weight(&self) -> (bool, usize) {
        let is_stranger = !self.welcomed && !self.proven;
        (is_stranger && self.inbox_bytes > 0, self.inbox_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_make_room_first_and_then_who_holds_most() {
        let (allowed, now) = (Allowance::new(0, 0), Time::default());
        let watch = |welcomed, proven, inbox_bytes| {
            let origin = Origin::V6(1);
            Watch { welcomed, proven, inbox_bytes, ..Watch::new(origin, &allowed, now) }.weight()
        };
        let ordered = [
            watch(false, false, 0),
            watch(true, true, 1),
            watch(false, true, 2),
            watch(true, false, 1_000_000),
            watch(false, false, 1),
            watch(false, false, 2),
        ];
        assert!(ordered.is_sorted(), "{ordered:?}");
    }
}
