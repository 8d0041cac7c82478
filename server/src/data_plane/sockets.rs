//! All connections of a data plane: opens them, reads them, fills and empties their outboxes, and sees them to their end.
//!
//! It decides nothing about a request. What the core must be told of a connection's end waits in a list until the turn
//! asks for it, because the core may be in the middle of saying what it wants.

use super::buffers::Buffers;
use super::connection::{Came, Connection, Phase};
use super::counters::Counters;
use super::limits::Limits;
use super::outbox::{Encoded, Frame};
use super::table::Table;
use super::transport::{Deadlines, Door};
use answerback_broker::{ConnectionId, Disconnect, Holder, Time};
use answerback_process::paced::Paced;
use answerback_protocol::Payload;
use answerback_protocol::ServerFrame;
use answerback_protocol::envelope::EnvelopeError;
use answerback_protocol::inbox::{RawFrame, Scratch};
use bytes::BytesMut;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

mod dials;
mod guard;
mod newcomers;

pub(super) use dials::{Dial, DialEnd, Heard};

/// What bounds the sockets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) frame_bytes: u32,
    /// Bytes that may wait for one connection.
    pub(super) outbox_bytes: usize,
    /// Bytes that may wait for all of them.
    pub(super) outbox_bytes_in_all: usize,
    /// How long a connection may take until it has said hello; the core sees to it once it knows the connection.
    pub(super) handshake: Duration,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// Nothing that anybody must look at.
    Nothing,
    /// Bytes of a connection that is not in yet.
    Opening,
    /// Bytes, and maybe frames, of one that the core knows.
    Bytes,
}

/// A connection that has come in, for the core to be told of.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) peer: SocketAddr,
    pub(super) holder: Option<Holder>,
    pub(super) waited: Duration,
}

/// Connections that are turned away, told so and seen to their end at once; further ones are closed without a word. They have places of their own:
/// those that `--max-connections` allows are for who comes in.
pub(crate) const TURNED_AWAY_MAX: usize = 64;

/// Outsiders may have one in so many of all places: so many addresses that each stay within their own part cannot take them all.
const OUTSIDERS_PART: usize = 2;

/// Servers with few places have room for this many outsiders, who may be clients that come at once.
const OUTSIDERS_LEAST: usize = 16;

/// How long a connection that is being closed may take to read what it was sent, and to close its side.
const FAREWELL: Duration = Duration::from_secs(2);

/// When the outboxes hold too much in all, one that holds less than this is not to blame.
const SMALL_OUTBOX_BYTES: usize = 64 << 10;

/// An outbox with this much in it is written before the end of the turn: waiting would bring no better batch, only memory
/// that has left the cache.
const WRITE_EARLY_BYTES: usize = 256 << 10;

/// All connections of a data plane.
#[derive(Debug)]
pub(super) struct Sockets {
    registry: Registry,
    bounds: Bounds,
    door: Door,
    table: Table,
    buffers: Buffers,
    /// Where frames for several connections are encoded; kept for its memory.
    encoding: BytesMut,
    /// Those that may have something to read. Each stands there once.
    to_read: Vec<ConnectionId>,
    /// Those with something to write whose sockets have room. Each stands there once.
    to_write: Vec<ConnectionId>,
    /// The list before this one, while it is worked through; kept for its memory.
    writing: Vec<ConnectionId>,
    /// Ends that the core was not yet told of.
    ended: VecDeque<(ConnectionId, Disconnect)>,
    /// Connections being closed, by the time at which patience ends.
    farewells: VecDeque<(Time, ConnectionId)>,
    /// Connections that are not in yet.
    greetings: Deadlines,
    /// Bytes in all outboxes.
    outbox_bytes: usize,
    turned_away: Paced<Time>,
    /// Connections that are turned away and have not gone yet.
    told: usize,
    /// Connections that have neither shown a key nor been welcomed.
    outsiders: usize,
    /// The same, the oldest first, and among them some that are none any more.
    came: VecDeque<ConnectionId>,
    limits: Limits,
    /// The moment of this turn.
    now: Time,
    /// Connections that are not read until then. Each stands there once.
    pauses: BTreeSet<(Time, ConnectionId)>,
    /// Those that go on with what was left over. Each stands there once.
    left_over: VecDeque<ConnectionId>,
    /// Outboxes whose sockets took no more, by the time at which they are looked at. Each stands there once.
    waits: VecDeque<(Time, ConnectionId)>,
    /// Bytes in all inboxes.
    inbox_bytes: usize,
    /// Connections that were opened by this server.
    dialed: usize,
    /// Those among them whose sockets have rung while they were being opened.
    connecting: Vec<ConnectionId>,
    /// Those that have gone.
    dials_ended: VecDeque<DialEnd>,
}

impl Sockets {
    pub(super) fn new(registry: Registry, bounds: Bounds, door: Door, limits: Limits) -> Self {
        Self {
            registry,
            bounds,
            door,
            table: Table::default(),
            buffers: Buffers::default(),
            encoding: BytesMut::new(),
            to_read: Vec::new(),
            to_write: Vec::new(),
            writing: Vec::new(),
            ended: VecDeque::new(),
            farewells: VecDeque::new(),
            greetings: Deadlines::default(),
            outbox_bytes: 0,
            turned_away: Paced::default(),
            told: 0,
            outsiders: 0,
            came: VecDeque::new(),
            limits,
            now: Time::default(),
            pauses: BTreeSet::new(),
            left_over: VecDeque::new(),
            waits: VecDeque::new(),
            inbox_bytes: 0,
            dialed: 0,
            connecting: Vec::new(),
            dials_ended: VecDeque::new(),
        }
    }

    /// Open connections, those being closed included.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes in all outboxes.
    pub(super) fn outbox_bytes(&self) -> usize {
        self.outbox_bytes
    }

    /// Bytes of frames that have come in part, or wait for their turn.
    pub(super) fn inbox_bytes(&self) -> usize {
        self.inbox_bytes
    }

    /// Addresses that are remembered.
    pub(super) fn addresses(&self) -> usize {
        self.limits.admission.known()
    }

    /// Takes a new connection, or turns it away. The core hears of it when it is known what it is.
    pub(super) fn open(&mut self, accepted: (TcpStream, SocketAddr), now: Time, counters: &mut Counters) {
        let Some((stream, peer)) = self.let_in(accepted, counters) else { return };
        if self.table.len() - self.told - self.dialed >= self.bounds.connections {
            counters.refused += 1;
            self.turn_away(stream, peer, now);
            return;
        }
        self.make_room(counters);
        if let Some(id) = self.admit(stream, peer, now) {
            self.greetings.push(now + self.bounds.handshake, id);
            self.count(id);
            counters.accepted += 1;
        }
    }

    fn admit(&mut self, mut stream: TcpStream, peer: SocketAddr, now: Time) -> Option<ConnectionId> {
        // Frames are written in batches already; waiting for more would only delay them. It fails on a broken socket only.
        let prepared = stream.set_nodelay(true);
        let id = self.table.reserve();
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = prepared.and_then(|()| self.registry.register(&mut stream, Token(id.place()), both));
        if let Err(error) = registered {
            tracing::debug!(%peer, %error, "a new connection broke");
            self.table.remove(id);
            return None;
        }
        let watch = self.watch(peer);
        self.table.fill(id, Connection::new(stream, peer, now, self.bounds.frame_bytes, watch));
        Some(id)
    }

    /// Tells a connection over the limit why it cannot stay. The core never hears of it.
    fn turn_away(&mut self, stream: TcpStream, peer: SocketAddr, now: Time) {
        let limit = self.bounds.connections;
        if let Some(also) = self.turned_away.may(now) {
            tracing::warn!(%peer, limit, also, "connection turned away; raise --max-connections");
        }
        let message =
            format!("this server has {limit} connections open, as many as --max-connections allows; try again later");
        self.tell_and_close(stream, peer, message);
    }

    /// Tells a connection that may not come in why, if few others are being told, and closes it.
    fn tell_and_close(&mut self, stream: TcpStream, peer: SocketAddr, message: String) {
        if self.told >= TURNED_AWAY_MAX {
            return;
        }
        if let Some(id) = self.admit(stream, peer, self.now) {
            self.count_told(id);
            self.tell(id, message, &mut Counters::default());
            self.close(id, self.now);
        }
    }

    /// Something happened at a place.
    pub(super) fn rang(&mut self, place: usize, event: &mio::event::Event) {
        let Some((id, connection)) = self.table.at_mut(place) else { return };
        connection.peer_ended |= event.is_read_closed() || event.is_error();
        if connection.dial.as_ref().is_some_and(|dial| dial.is_connecting()) {
            return self.connecting.push(id);
        }
        let readable = event.is_readable() || connection.peer_ended;
        if readable && !std::mem::replace(&mut connection.to_read, true) {
            self.to_read.push(id);
        }
        if event.is_writable() && std::mem::take(&mut connection.blocked) && !connection.to_write {
            connection.to_write = true;
            self.to_write.push(id);
        }
    }

    /// Those that may have something to read. Who has more than one read takes comes again in the next turn.
    pub(super) fn take_readable(&mut self, into: &mut Vec<ConnectionId>) {
        std::mem::swap(&mut self.to_read, into);
    }

    /// Whether there is something to do without waiting.
    pub(super) fn is_busy(&self) -> bool {
        let in_sockets = !self.to_read.is_empty() || !self.to_write.is_empty();
        in_sockets || !self.ended.is_empty() || !self.left_over.is_empty()
    }

    /// Reads a connection once.
    pub(super) fn read(
        &mut self,
        id: ConnectionId,
        scratch: &mut Scratch,
        now: Time,
        counters: &mut Counters,
    ) -> Brought {
        if !self.may_read(id, counters) {
            return Brought::Nothing;
        }
        let Some(connection) = self.table.get_mut(id) else { return Brought::Nothing };
        connection.to_read = false;
        counters.reads += 1;
        match connection.read(scratch) {
            Ok(Came::Bytes { count, wire, more }) => {
                counters.bytes_in += wire as u64;
                connection.watch.purse.read(wire);
                if more {
                    connection.to_read = true;
                    self.to_read.push(id);
                }
                let brought = match connection.phase == Phase::Open && count > 0 {
                    true if connection.known && !connection.dial.as_ref().is_some_and(|dial| dial.is_unheard()) => {
                        Brought::Bytes
                    }
                    true => Brought::Opening,
                    false => Brought::Nothing,
                };
                self.answer_within_tls(id);
                brought
            }
            Ok(Came::Nothing) => Brought::Nothing,
            Ok(Came::End) => {
                self.note_gone(id, counters);
                self.peer_left(id, now);
                Brought::Nothing
            }
            Err(error) => {
                self.broke(id, &error, counters);
                Brought::Nothing
            }
        }
    }

    /// The next frame of the read before, while the connection is open, and whether a server may have said it.
    pub(super) fn next_frame<'s>(
        &'s mut self,
        id: ConnectionId,
        scratch: &'s mut Scratch,
    ) -> Option<(bool, Result<RawFrame<'s>, EnvelopeError>)> {
        let connection = self.table.get_mut(id).filter(|connection| connection.phase == Phase::Open)?;
        let link = connection.link;
        Some((link, connection.inbox.0.next(scratch).transpose()?))
    }

    /// Whether what was read of a connection came from who is at its end.
    pub(super) fn shows_life(&mut self, id: ConnectionId) -> bool {
        self.table.get_mut(id).is_some_and(|connection| connection.inbox.0.shows_life())
    }

    /// Appends a frame to an outbox. One that overflows is emptied and its connection closed.
    pub(super) fn send(&mut self, to: ConnectionId, frame: &impl Frame, data: &Payload, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(to).filter(|connection| connection.phase == Phase::Open) else {
            return;
        };
        self.outbox_bytes += connection.outbox.push(frame, data, &mut self.buffers);
        self.pushed(to, counters);
    }

    /// Appends one frame to several outboxes: it is encoded once.
    pub(super) fn send_all(
        &mut self,
        to: &[ConnectionId],
        frame: &ServerFrame<'_>,
        data: &Payload,
        counters: &mut Counters,
    ) {
        let encoded = Encoded::new(std::mem::take(&mut self.encoding), frame, data);
        for &to in to {
            let connection = self.table.get_mut(to).filter(|connection| connection.phase == Phase::Open);
            let Some(connection) = connection else { continue };
            self.outbox_bytes += connection.outbox.push_encoded(&encoded, &mut self.buffers);
            self.pushed(to, counters);
        }
        self.encoding = encoded.into_buffer();
    }

    /// Something was appended to this outbox.
    fn pushed(&mut self, to: ConnectionId, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(to) else { return };
        counters.frames_out += 1;
        let (waiting, blocked) = (connection.outbox.len(), connection.blocked);
        if !blocked && !std::mem::replace(&mut connection.to_write, true) {
            self.to_write.push(to);
        }
        // Who reads must not pay for those who do not: before anybody is judged by the sum, a write is tried.
        let full = self.outbox_bytes > self.bounds.outbox_bytes_in_all;
        if !blocked && (waiting >= WRITE_EARLY_BYTES || full) {
            self.write(to, counters);
        }
        self.check_outbox(to, counters);
    }

    fn check_outbox(&mut self, id: ConnectionId, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let (waiting, blocked, peer) = (connection.outbox.len(), connection.blocked, connection.peer);
        let one_too_many = waiting > self.bounds.outbox_bytes;
        let full = self.outbox_bytes > self.bounds.outbox_bytes_in_all;
        let all_too_many = full && blocked && waiting > SMALL_OUTBOX_BYTES;
        if one_too_many || all_too_many {
            let flag = if one_too_many { "--outbox-limit" } else { "--outbox-memory" };
            tracing::warn!(connection = %id, %peer, waiting_bytes = waiting, limit = flag, "slow consumer closed");
            counters.closed_slow += 1;
            self.end(id, Disconnect::Slow);
        }
    }

    /// Closes a connection once everything sent to it is written.
    pub(super) fn close(&mut self, id: ConnectionId, now: Time) {
        let Some(connection) = self.table.get_mut(id).filter(|connection| connection.phase == Phase::Open) else {
            return;
        };
        connection.stop_reading();
        self.farewells.push_back((now + FAREWELL, id));
        if !connection.blocked && !std::mem::replace(&mut connection.to_write, true) {
            self.to_write.push(id);
        }
        self.weigh(id);
    }

    /// Closes all connections, each once everything sent to it is written.
    pub(super) fn close_all(&mut self, now: Time) {
        for id in self.table.ids() {
            self.close(id, now);
        }
    }

    /// The connections of these clients.
    pub(super) fn of_clients(&self, clients: &HashSet<SocketAddr>) -> Vec<ConnectionId> {
        let theirs = |(id, connection): (ConnectionId, &Connection)| clients.contains(&connection.peer).then_some(id);
        self.table.iter().filter_map(theirs).collect()
    }

    /// Writes each outbox that got something once.
    pub(super) fn write_all(&mut self, counters: &mut Counters) {
        std::mem::swap(&mut self.to_write, &mut self.writing);
        for at in 0..self.writing.len() {
            let id = self.writing[at];
            let Some(connection) = self.table.get_mut(id) else { continue };
            connection.to_write = false;
            if !connection.blocked {
                self.write(id, counters);
                self.finish(id, counters);
            }
        }
        self.writing.clear();
    }

    fn write(&mut self, id: ConnectionId, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.is_written() {
            return;
        }
        counters.writes += 1;
        match connection.write(&mut self.buffers) {
            Ok(written) => {
                counters.bytes_out += written.bytes as u64;
                self.outbox_bytes -= written.freed;
                connection.blocked = written.blocked;
                let goes_on = !written.blocked && !connection.is_written();
                if goes_on && !std::mem::replace(&mut connection.to_write, true) {
                    self.to_write.push(id);
                }
                self.note_write(id, written.bytes > 0);
            }
            Err(error) => {
                tracing::debug!(connection = %id, %error, "connection broke");
                self.remove(id);
            }
        }
    }

    /// Takes the next step of a connection that is being closed, once its outbox is empty.
    fn finish(&mut self, id: ConnectionId, counters: &mut Counters) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.phase != Phase::Flushing || !connection.is_written() {
            return;
        }
        if connection.tls.as_mut().is_some_and(|tls| tls.say_goodbye()) {
            self.write(id, counters);
        }
        let Some(connection) = self.table.get_mut(id).filter(|connection| connection.is_written()) else { return };
        if connection.peer_ended || connection.linger().is_err() {
            self.remove(id);
        } else if std::mem::take(&mut connection.known) {
            self.ended.push_back((id, Disconnect::Asked));
        }
    }

    /// The peer has closed its side. What it was sent is still written, but the core sends no more.
    fn peer_left(&mut self, id: ConnectionId, now: Time) {
        let Some(connection) = self.table.get_mut(id) else { return };
        connection.peer_ended = true;
        if connection.is_written() {
            self.remove(id);
            return;
        }
        if connection.phase == Phase::Open && std::mem::take(&mut connection.known) {
            self.ended.push_back((id, Disconnect::ByPeer));
        }
        self.close(id, now);
    }

    /// Ends what has been closing for too long. Returns when to call this again.
    pub(super) fn end_farewells(&mut self, now: Time) -> Option<Time> {
        while let Some(&(until, id)) = self.farewells.front() {
            if now < until {
                return Some(until);
            }
            self.farewells.pop_front();
            self.remove(id);
        }
        None
    }

    /// When patience with the next connection that is being closed ends.
    pub(super) fn next_farewell(&self) -> Option<Time> {
        self.farewells.front().map(|(until, _)| *until)
    }

    /// The next end that the core must be told of.
    pub(super) fn next_end(&mut self) -> Option<(ConnectionId, Disconnect)> {
        self.ended.pop_front()
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let reason = if connection.phase == Phase::Open { Disconnect::ByPeer } else { Disconnect::Asked };
        self.end(id, reason);
    }

    fn end(&mut self, id: ConnectionId, reason: Disconnect) {
        let Some(mut connection) = self.table.remove(id) else { return };
        self.outbox_bytes -= connection.outbox.discard(&mut self.buffers);
        self.uncount(&connection);
        self.note_dial_end(id, connection.dial.take());
        if connection.known {
            self.ended.push_back((id, reason));
        }
    }
}
