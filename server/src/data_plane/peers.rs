//! What a turn does about other servers: has those dialed that the settings name, tells the core of links, and hears from it how they are.

use super::DataPlane;
use super::dialing::{Call, Found, Obstacle};
use super::sockets::{DialEnd, Heard};
use answerback_broker::{ConnectionId, Input, Note};
use answerback_protocol::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Servers whose links are up, with their names.
pub(super) type PeersUp = BTreeMap<NodeId, Arc<str>>;

impl DataPlane {
    /// What was needed to dial a peer is there, or is not to be had.
    pub(super) fn peer_found(&mut self, found: Found) {
        if let Some(call) = self.dialing.found(found, self.now) {
            self.call(call);
        }
    }

    fn call(&mut self, call: Call) {
        match self.sockets.dial(call.peer, call.address, call.key.clone(), self.now) {
            Ok(connection) => self.dialing.calls(call, connection),
            Err(error) => self.dialing.cannot_call(&call, &Obstacle::of_connect(&error), self.now),
        }
    }

    /// Goes on with calls whose connections stand now.
    pub(super) fn go_on_dialing(&mut self) {
        let mut arrived = Vec::new();
        self.sockets.go_on_dialing(&mut arrived);
        for (peer, connection) in arrived {
            self.linked(peer, connection);
        }
    }

    /// Looks at what a peer has said first. `None` if the connection was not dialed; otherwise whether there are frames to be decided.
    pub(super) fn hear_peer(&mut self, connection: ConnectionId) -> Option<bool> {
        let heard = self.sockets.hear(connection, &mut self.scratch)?;
        if let Heard::In { peer } = heard {
            self.linked(peer, connection);
        }
        if heard != Heard::Frames {
            self.sockets.go_on(connection, &mut self.counters);
        }
        Some(heard == Heard::Frames)
    }

    fn linked(&mut self, peer: usize, connection: ConnectionId) {
        let Some(address) = self.dialing.address(peer) else { return };
        self.dialing.linked(peer, connection);
        self.broker.handle(self.now, Input::Dialed { connection, address });
        self.carry_out();
    }

    /// Calls and links that have ended: the next address is tried, or the next pause begins.
    pub(super) fn end_dials(&mut self) {
        while let Some(DialEnd { peer, connection, obstacle }) = self.sockets.next_dial_end() {
            if let Some(call) = self.dialing.ended(peer, connection, obstacle, self.now) {
                self.call(call);
            }
        }
    }

    /// What the core says of connections and links that somebody besides the log must know.
    pub(super) fn heed(&mut self, note: &Note) {
        match note {
            Note::SessionOpened { connection, .. } => {
                self.sockets.welcomed(*connection);
                self.note_link(*connection);
            }
            Note::PeerUp { connection, server, node, .. } => {
                self.peers_up.insert(*node, Arc::clone(server));
                self.dialing.up(*connection);
            }
            Note::PeerDown { node, .. } => drop(self.peers_up.remove(node)),
            Note::PeerRefused { connection, code, message } => {
                let obstacle = |sealed| Obstacle::of_refusal(*code, message, sealed);
                self.dialing.refused(*connection, obstacle, self.now);
            }
            _ => {}
        }
    }

    /// A connection has said hello: maybe it is a server that did.
    pub(super) fn note_link(&mut self, connection: ConnectionId) {
        if self.broker.is_link(connection) {
            self.sockets.becomes_link(connection);
        }
    }
}
