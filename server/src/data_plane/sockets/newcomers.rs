//! Connections that are not in yet: looked at when they say something, refused when they take too long, gone when their key is. And what TLS has to
//! say of its own.

use super::{Arrived, Sockets};
use crate::data_plane::connection::Phase;
use crate::data_plane::counters::Counters;
use crate::data_plane::dialing::Obstacle;
use crate::data_plane::transport::{Met, Stranger, Transport, reason_of};
use crate::keys::Ring;
use crate::tls::Tls;
use answerback_broker::{ConnectionId, Time};
use answerback_protocol::inbox::Scratch;
use answerback_protocol::sealed::{KeyId, RecordError};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

impl Sockets {
    /// Looks at what a connection that is not in yet has said. If it comes in with that, the core must be told.
    pub(in crate::data_plane) fn meet(
        &mut self,
        id: ConnectionId,
        scratch: &mut Scratch,
        now: Time,
        counters: &mut Counters,
    ) -> Option<Arrived> {
        let connection = self.table.get_mut(id)?;
        let met = self.door.meet(connection, scratch);
        if let Met::Odd = met {
            counters.stranger(Stranger::Unknown.kind());
            self.door.strangers.log(&Stranger::Unknown, connection.peer, now);
        }
        match met {
            Met::Later => None,
            Met::Tls => {
                self.answer_within_tls(id);
                None
            }
            Met::Greeted(answer) => {
                self.say(id, &answer);
                None
            }
            met @ (Met::In(_) | Met::Odd) => {
                connection.known = true;
                connection.watch.proven = connection.transport.is_proven();
                let holder = if let Met::In(holder) = met { holder } else { None };
                let (proven, waited) = (connection.watch.proven, now.since(connection.since));
                let arrived = Arrived { peer: connection.peer, holder, waited };
                if proven {
                    self.trust(id);
                }
                Some(arrived)
            }
            Met::Stranger(stranger) => {
                self.refuse(id, &stranger, now, counters);
                None
            }
        }
    }

    /// Tells a connection that is not in why it will not be, in its own language, and closes it.
    fn refuse(&mut self, id: ConnectionId, stranger: &Stranger, now: Time, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id) else { return };
        counters.stranger(stranger.kind());
        self.door.strangers.log(stranger, connection.peer, now);
        let answer = stranger.answer();
        // TLS says by itself why it ends.
        if answer.is_empty() && connection.is_written() {
            return self.remove(id);
        }
        self.say(id, &answer);
        self.close(id, now);
    }

    /// Appends bytes that are no frame to an outbox that is not sealed.
    pub(super) fn say(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.table.get_mut(id).filter(|_| !bytes.is_empty()) else { return };
        self.outbox_bytes += connection.outbox.push_bytes(bytes);
        if !connection.blocked && !std::mem::replace(&mut connection.to_write, true) {
            self.to_write.push(id);
        }
    }

    /// Refuses those that have not said in time what they are.
    pub(in crate::data_plane) fn end_greetings(&mut self, now: Time, counters: &mut Counters) {
        while let Some(id) = self.greetings.pop(now) {
            let Some(connection) = self.table.get_mut(id).filter(|connection| connection.is_outside()) else {
                continue;
            };
            if connection.dial.is_some() {
                self.give_up_dial(id, Obstacle::Silent(self.bounds.handshake));
                continue;
            }
            let greeted = connection.is_greeting();
            self.refuse(id, &Stranger::Silent { within: self.bounds.handshake, greeted }, now, counters);
        }
    }

    /// When the next one must have said what it is.
    pub(in crate::data_plane) fn next_greeting(&mut self) -> Option<Time> {
        self.greetings.next(|id| self.table.get_mut(id).is_some_and(|connection| connection.is_outside()))
    }

    /// Other keys hold from now on. Returns the connections whose keys are among the `removed`; those that were not in are gone.
    pub(in crate::data_plane) fn rekey(&mut self, ring: &Arc<Ring>, removed: &HashSet<KeyId>) -> Vec<ConnectionId> {
        self.door.rekey(Arc::clone(ring));
        let mut found = Vec::new();
        for id in self.table.ids() {
            let open = self.table.get_mut(id).filter(|connection| connection.phase == Phase::Open);
            if open.is_some_and(|connection| connection.transport.is_revoked(removed, ring)) {
                found.push(id);
            }
        }
        for id in &found {
            if self.table.get_mut(*id).is_some_and(|connection| connection.is_outside()) {
                self.remove(*id);
            }
        }
        found
    }

    /// Another certificate is shown to those who come from now on.
    pub(in crate::data_plane) fn certify(&mut self, tls: Tls) {
        self.door.certify(tls);
    }

    /// TLS has things to say of its own, such as its handshake.
    pub(super) fn answer_within_tls(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.tls.as_ref().is_some_and(|tls| tls.wants_write())
            && !connection.blocked
            && !std::mem::replace(&mut connection.to_write, true)
        {
            self.to_write.push(id);
        }
    }

    /// A connection cannot be read any more. Where it is TLS that has failed, the peer is told in TLS.
    pub(super) fn broke(&mut self, id: ConnectionId, error: &io::Error, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id) else { return };
        match reason_of(error) {
            Some(reason) if connection.is_outside() => {
                return self.refuse(id, &Stranger::BadTls(reason), self.now, counters);
            }
            Some(_) => self.write(id, counters),
            None => {}
        }
        tracing::debug!(connection = %id, %error, "connection broke");
        self.note_gone(id, counters);
        self.remove(id);
    }

    /// A connection that has ended without having come in is a stranger too.
    pub(super) fn note_gone(&mut self, id: ConnectionId, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id).filter(|connection| connection.is_outside()) else { return };
        if connection.dial.is_some() {
            return;
        }
        counters.stranger(Stranger::Gone.kind());
        self.door.strangers.log(&Stranger::Gone, connection.peer, self.now);
    }

    /// A record of a connection does not open.
    pub(in crate::data_plane) fn note_spoilt(&mut self, id: ConnectionId, problem: RecordError) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if let Transport::Sealed(key) = &connection.transport {
            self.door.strangers.log_spoilt(key, problem, connection.peer, self.now);
        }
    }
}
