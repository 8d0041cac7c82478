//! A session that serves an action.

use crate::action::{Action, Rank};
use crate::session::Session;
use crate::tables::{Chain, Key};
use answerback_protocol::NodeId;
use std::sync::Arc;

/// One `serve`: how much this session takes of this action, and how much it has.
pub(crate) struct Handler {
    pub(crate) session: Key<Session>,
    pub(crate) action: Key<Action>,
    /// How many unanswered deliveries it takes.
    pub(crate) credit: u32,
    /// How many it has. A delivery that was cancelled counts until the handler answers or releases it, because it is
    /// only then that the handler is free.
    pub(crate) in_flight: u32,
    /// How many it will get as soon as that is on disk.
    pub(crate) reserved: u32,
    /// Whether it wants more; after `unserve` it does not.
    pub(crate) open: bool,
    /// Whether its session is connected and has said what it holds.
    pub(crate) present: bool,
    /// The turn of its last delivery.
    pub(crate) turn: u64,
    /// Its entry among the action's free handlers, if it is there.
    pub(crate) listed: Option<Rank>,
    /// If it is behind another server: the servers on the way, the next one first.
    pub(crate) way: Option<Arc<[NodeId]>>,
    /// The longest frame that can be sent on that way.
    pub(crate) frame_most: u32,
    /// Parts of broadcasts that wait until it has credit; they go first.
    pub(crate) lane: Chain,
}

impl Handler {
    pub(crate) fn new(session: Key<Session>, action: Key<Action>) -> Self {
        Self {
            session,
            action,
            credit: 0,
            in_flight: 0,
            reserved: 0,
            open: true,
            present: true,
            turn: 0,
            listed: None,
            way: None,
            frame_most: u32::MAX,
            lane: Chain::EMPTY,
        }
    }

    /// The servers on the way to it; none if it is here.
    pub(crate) fn way(&self) -> &[NodeId] {
        self.way.as_deref().unwrap_or_default()
    }

    /// Whether it can be given one more.
    pub(crate) fn has_credit(&self) -> bool {
        self.open && self.present && self.in_flight + self.reserved < self.credit
    }

    /// Where it stands among the free handlers, if it is one.
    pub(crate) fn rank(&self) -> Option<Rank> {
        (self.has_credit() && self.lane.is_empty()).then_some(Rank {
            hops: self.way().len() as u32,
            in_flight: self.in_flight + self.reserved,
            turn: self.turn,
        })
    }
}
