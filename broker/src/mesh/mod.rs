//! Links to other servers. (Being written.)

use crate::broker::Broker;
use crate::input::ConnectionId;
use crate::session::Session;
use crate::tables::Key;
use answerback_protocol::frames::Offer;
use answerback_protocol::{Payload, ServerFrame};

impl Broker {
    /// Whether the other end of a connection is a server, which also says what a server says: its frames are read as
    /// [`LinkFrame`](answerback_protocol::LinkFrame).
    pub fn is_link(&self, _connection: ConnectionId) -> bool {
        false
    }

    pub(crate) fn dialed(&mut self, _connection: ConnectionId, _address: &str) {}

    pub(crate) fn told(&mut self, _connection: ConnectionId, _frame: ServerFrame<'_>, _data: Payload) {}

    pub(crate) fn offered(&mut self, _connection: ConnectionId, _session: Key<Session>, _offer: &Offer<'_>) {}
}
