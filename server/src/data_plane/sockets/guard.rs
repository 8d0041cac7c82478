//! Carries out the limits of `limits`: who is turned away, who is not read for a while, who holds too much.

use super::{Connection, Counters, OUTSIDERS_LEAST, OUTSIDERS_PART, Sockets};
use crate::data_plane::connection::Phase;
use crate::data_plane::limits::{Held, Limit, Origin, Spent, Watch};
use answerback_broker::{ConnectionId, Disconnect, Time};
use answerback_protocol::frames::{ErrorNotice, Ping};
use answerback_protocol::inbox::Scratch;
use answerback_protocol::{Code, Payload, ServerFrame};
use mio::net::TcpStream;
use std::net::SocketAddr;
use std::time::Duration;

/// Outboxes that wait are looked at so often in a heartbeat …
const LOOKS_PER_HEARTBEAT: u32 = 2;

/// … and one that has not moved at all for this many heartbeats is given up.
const STALLED_HEARTBEATS: u32 = 2;

impl Sockets {
    /// A turn has begun.
    pub(in crate::data_plane) fn turn_begins(&mut self, now: Time) {
        self.now = now;
    }

    /// When a pause ends, or an outbox that waits is to be looked at.
    pub(in crate::data_plane) fn next_look(&self) -> Option<Time> {
        let pause = self.pauses.first().map(|(until, _)| *until);
        let wait = self.waits.front().map(|(at, _)| *at);
        pause.into_iter().chain(wait).min()
    }

    pub(super) fn watch(&self, peer: SocketAddr) -> Watch {
        Watch::new(Origin::of(peer.ip()), &self.limits.allowed, self.now)
    }

    /// Gives a new connection back if a limit lets it in. Otherwise it is told why, if few others are being told, and closed.
    pub(super) fn let_in(
        &mut self,
        (stream, peer): (TcpStream, SocketAddr),
        counters: &mut Counters,
    ) -> Option<(TcpStream, SocketAddr)> {
        let Err(limit) = self.limits.admission.may_come(Origin::of(peer.ip()), self.now) else {
            return Some((stream, peer));
        };
        counters.limited(limit.word());
        if limit == Limit::Rest {
            return None; // That it began was logged.
        }
        if limit.is_of_one_address() {
            let rest = self.limits.admission.failed(Origin::of(peer.ip()), self.now);
            self.note_rest(Origin::of(peer.ip()), rest);
        }
        if let Some((also, flag)) = self.limits.may_log(limit, self.now) {
            tracing::warn!(%peer, limit = flag, also, "connection turned away");
        }
        self.tell_and_close(stream, peer, limit.to_string());
        None
    }

    /// A connection is only there to read why it is turned away.
    pub(super) fn count_told(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        connection.watch.told = true;
        self.told += 1;
    }

    /// A connection counts as one of its address from now on.
    pub(super) fn count(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        (connection.watch.counted, connection.watch.outsider) = (true, true);
        self.outsiders += 1;
        self.came.push_back(id);
        self.limits.admission.came(connection.watch.origin, self.now);
    }

    /// Has the oldest outsiders go while a new one finds no room. A client is one for a moment only, so the oldest are not clients.
    pub(super) fn make_room(&mut self, counters: &mut Counters) {
        let most = (self.bounds.connections / OUTSIDERS_PART).max(OUTSIDERS_LEAST);
        while let Some(&id) = self.came.front() {
            let outsider = self.table.get_mut(id).filter(|connection| connection.watch.outsider);
            let Some(peer) = outsider.map(|connection| connection.peer) else {
                self.came.pop_front();
                continue;
            };
            if self.outsiders < most {
                return;
            }
            counters.limited(Limit::Outsiders.word());
            if let Some((also, flag)) = self.limits.may_log(Limit::Outsiders, self.now) {
                tracing::warn!(%peer, limit = flag, also, "closed to make room: others came, and it has not said hello");
            }
            self.remove(id);
        }
    }

    /// A connection has shown a key, or was welcomed.
    pub(super) fn trust(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        self.outsiders -= usize::from(std::mem::take(&mut connection.watch.outsider));
    }

    /// A connection has said hello, and was welcomed.
    pub(in crate::data_plane) fn welcomed(&mut self, id: ConnectionId) {
        self.trust(id);
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.watch.counted && !std::mem::replace(&mut connection.watch.welcomed, true) {
            self.limits.admission.welcomed(connection.watch.origin, self.now);
        }
    }

    /// A connection has gone, and what it had is free.
    pub(super) fn uncount(&mut self, connection: &Connection) {
        let watch = &connection.watch;
        self.inbox_bytes -= watch.inbox_bytes;
        self.told -= usize::from(watch.told);
        self.outsiders -= usize::from(watch.outsider);
        if !watch.counted {
            return;
        }
        let rest = self.limits.admission.left(watch.origin, watch.how_it_left(), self.now);
        self.note_rest(watch.origin, rest);
    }

    /// An address is given a rest, maybe.
    fn note_rest(&mut self, from: Origin, rest: Option<Duration>) {
        if let Some(rest) = rest
            && let Some((also, flag)) = self.limits.may_log(Limit::Rest, self.now)
        {
            let rest_ms = rest.as_millis() as u64;
            tracing::warn!(%from, rest_ms, limit = flag, also,
                "too many connections that were turned away, or not welcomed: not listening for a while");
        }
    }

    /// Whether a connection may be read now, and how much of it. Otherwise it is read when it goes on.
    pub(super) fn may_read(&mut self, id: ConnectionId, counters: &mut Counters) -> bool {
        let Some(connection) = self.table.get_mut(id) else { return false };
        connection.watch.room = usize::MAX;
        if connection.phase != Phase::Open {
            return true;
        }
        if connection.watch.held != Held::No {
            (connection.to_read, connection.watch.read_later) = (false, true);
            return false;
        }
        if connection.link {
            return true;
        }
        match connection.watch.purse.room(&self.limits.allowed, self.now) {
            Ok(room) => {
                connection.watch.room = room;
                true
            }
            Err(spent) => {
                (connection.to_read, connection.watch.read_later) = (false, true);
                self.pause(id, spent, counters);
                false
            }
        }
    }

    /// Whether one more frame of a connection may be decided now. Otherwise it is paused.
    pub(in crate::data_plane) fn may_say_more(&mut self, id: ConnectionId, counters: &mut Counters) -> bool {
        let Some(connection) = self.table.get_mut(id) else { return true };
        if connection.link {
            return true;
        }
        match connection.watch.purse.may_say_more(&self.limits.allowed, self.now) {
            Ok(()) => true,
            Err(spent) => {
                self.pause(id, spent, counters);
                false
            }
        }
    }

    /// One more frame of a connection was decided. Returns whether it may have been the first one of a link.
    pub(in crate::data_plane) fn said(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.table.get_mut(id) else { return false };
        connection.watch.purse.said();
        !connection.watch.welcomed && !connection.link
    }

    fn pause(&mut self, id: ConnectionId, spent: Spent, counters: &mut Counters) {
        let (until, limit) = match spent {
            Spent::Frames { until } => (until, Limit::Frames),
            Spent::Bytes { until } => (until, Limit::Bytes),
        };
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        connection.watch.held = Held::Paused;
        let peer = connection.peer;
        self.pauses.insert((until, id));
        counters.limited(limit.word());
        if let Some((also, flag)) = self.limits.may_log(limit, self.now) {
            tracing::info!(connection = %id, %peer, limit = flag, also, "not read for a moment: it says more than it may");
        }
    }

    /// Has those go on who have credit again.
    pub(in crate::data_plane) fn end_pauses(&mut self, counters: &mut Counters) {
        while self.pauses.first().is_some_and(|(until, _)| *until <= self.now) {
            let Some((_, id)) = self.pauses.pop_first() else { return };
            let Some(connection) = self.table.get_mut(id) else { continue };
            connection.watch.held = Held::NextTurn;
            self.left_over.push_back(id);
            // Its own pings stand behind what it says too much, so it may not have heard anything for long.
            let quiet = self.now - connection.watch.moved >= self.limits.heartbeat;
            if quiet && connection.watch.welcomed && connection.outbox.is_empty() {
                self.send(id, &ServerFrame::from(Ping), &Payload::NONE, counters);
            }
        }
    }

    /// How many connections go on with what was left over.
    pub(in crate::data_plane) fn left_over(&self) -> usize {
        self.left_over.len()
    }

    /// The next connection that goes on, with what it has left in the scratch.
    pub(in crate::data_plane) fn take_up(
        &mut self,
        scratch: &mut Scratch,
        counters: &mut Counters,
    ) -> Option<ConnectionId> {
        let id = self.left_over.pop_front()?;
        let connection = self.table.get_mut(id)?;
        connection.watch.held = Held::No;
        if connection.phase == Phase::Open && connection.known {
            connection.inbox.0.take_up(scratch);
            return Some(id);
        }
        // What it has said so far is not in frames, or not wanted any more.
        self.go_on(id, counters);
        None
    }

    /// Keeps what a connection has left for later: others have their turn.
    pub(in crate::data_plane) fn set_aside(
        &mut self,
        id: ConnectionId,
        scratch: &mut Scratch,
        counters: &mut Counters,
    ) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.phase == Phase::Open {
            connection.inbox.0.set_aside(scratch);
            if connection.watch.held == Held::No {
                connection.watch.held = Held::NextTurn;
                self.left_over.push_back(id);
                counters.limited(Limit::Turn.word());
            }
        }
        self.go_on(id, counters);
    }

    /// A connection's read has been dealt with: it may be read again, and what it keeps for the next read is counted.
    pub(in crate::data_plane) fn go_on(&mut self, id: ConnectionId, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let held = connection.phase == Phase::Open && connection.watch.held != Held::No;
        if !held
            && std::mem::take(&mut connection.watch.read_later)
            && !std::mem::replace(&mut connection.to_read, true)
        {
            self.to_read.push(id);
        }
        if self.weigh(id) {
            self.relieve(counters);
        }
    }

    /// Counts what an inbox holds. Returns whether all of them hold too much now.
    pub(super) fn weigh(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.table.get_mut(id) else { return false };
        let bytes = connection.inbox.0.memory();
        let before = std::mem::replace(&mut connection.watch.inbox_bytes, bytes);
        self.inbox_bytes = self.inbox_bytes - before + bytes;
        bytes > before && self.inbox_bytes > self.limits.inbox_bytes
    }

    /// Closes those whose inboxes hold most, first of all of those that were not welcomed, until all of them hold no more than they may. Whoever asks pays for the search with memory that it
    /// has filled byte by byte.
    fn relieve(&mut self, counters: &mut Counters) {
        while self.inbox_bytes > self.limits.inbox_bytes {
            let largest = self.table.iter().max_by_key(|(_, connection)| connection.watch.weight());
            let Some((id, held, peer)) = largest.map(|(id, found)| (id, found.watch.inbox_bytes, found.peer)) else {
                return;
            };
            let limit = Limit::InboxMemory { most: self.limits.inbox_bytes as u64 };
            counters.limited(limit.word());
            if let Some((also, flag)) = self.limits.may_log(limit, self.now) {
                tracing::warn!(connection = %id, %peer, held_bytes = held, limit = flag, also, "half frame closed");
            }
            self.tell(id, limit.to_string(), counters);
            self.close(id, self.now);
        }
    }

    /// Tells a connection why it is closed. One that has begun to greet would take a frame for what it waits for, so it is told nothing.
    pub(super) fn tell(&mut self, id: ConnectionId, message: String, counters: &mut Counters) {
        if self.table.get_mut(id).is_some_and(|connection| !connection.known && connection.is_greeting()) {
            return self.remove(id);
        }
        let notice = ErrorNotice { code: Code::Overloaded, message: message.into(), about: None, fatal: true };
        self.send(id, &ServerFrame::from(notice), &Payload::NONE, counters);
    }

    /// The socket has taken something, or nothing: notes which outboxes wait.
    pub(super) fn note_write(&mut self, id: ConnectionId, moved: bool) {
        let (now, look) = (self.now, self.limits.heartbeat / LOOKS_PER_HEARTBEAT);
        let Some(connection) = self.table.get_mut(id) else { return };
        let begins = connection.blocked && !connection.watch.waits;
        if moved || begins {
            connection.watch.moved = now;
        }
        if begins {
            connection.watch.waits = true;
            self.waits.push_back((now + look, id));
        }
    }

    /// Gives up connections whose outboxes have not moved at all for two heartbeats. Their clients may go on talking, so the core does not miss them.
    pub(in crate::data_plane) fn end_stalls(&mut self, counters: &mut Counters) {
        let heartbeat = self.limits.heartbeat;
        while self.waits.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, id)) = self.waits.pop_front() else { return };
            // A socket tells of room only when a good part of it is free; a write finds out about less.
            self.write(id, counters);
            let Some(connection) = self.table.get_mut(id) else { continue };
            if !connection.blocked {
                connection.watch.waits = false;
            } else if self.now - connection.watch.moved < heartbeat * STALLED_HEARTBEATS {
                self.waits.push_back((self.now + heartbeat / LOOKS_PER_HEARTBEAT, id));
            } else {
                self.give_up(id, counters);
            }
        }
    }

    fn give_up(&mut self, id: ConnectionId, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let (peer, waiting) = (connection.peer, connection.outbox.len());
        counters.closed_slow += 1;
        counters.limited(Limit::Stalled.word());
        if let Some((also, flag)) = self.limits.may_log(Limit::Stalled, self.now) {
            tracing::warn!(connection = %id, %peer, waiting_bytes = waiting, limit = flag, also,
                "slow consumer closed: it has read nothing for two heartbeats");
        }
        self.end(id, Disconnect::Slow);
    }
}
