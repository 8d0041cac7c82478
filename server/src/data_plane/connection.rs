//! One connection: its socket, what it has sent in part, what waits to be written to it, and how far it is from its end.

use super::buffers::Buffers;
use super::limits::Watch;
use super::outbox::{Outbox, Written};
use super::sockets::Dial;
use super::transport::{Session, Transport};
use answerback_broker::Time;
use answerback_protocol::inbox::{Inbox, Scratch};
use mio::net::TcpStream;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};

/// The most that one read takes, in bytes: a large frame's buffer may have more room, but others wait for their turn.
const READ_BYTES_MAX: usize = 256 << 10;

/// A connection as its thread knows it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// When it was accepted.
    pub(super) since: Time,
    /// What its bytes are.
    pub(super) transport: Transport,
    /// What they are within, if it is TLS.
    pub(super) tls: Option<Box<Session>>,
    pub(super) inbox: Inboxed,
    pub(super) outbox: Outbox,
    pub(super) phase: Phase,
    /// Whether the core was told of it and not yet of its end.
    pub(super) known: bool,
    /// Whether it stands in the list of those to be read.
    pub(super) to_read: bool,
    /// Whether it stands in the list of those to be written.
    pub(super) to_write: bool,
    /// Whether its socket takes no more until it says so.
    pub(super) blocked: bool,
    /// Whether the peer has closed its side: reads go on until they show it.
    pub(super) peer_ended: bool,
    /// What its limits need to know.
    pub(super) watch: Watch,
    /// Whether its other end is a server, which says what servers say besides what clients do.
    pub(super) link: bool,
    /// If it was opened by this server.
    pub(super) dial: Option<Box<Dial>>,
}

/// How far a connection is from its end. What its bytes are, and whether the core knows it, is another matter: see `transport`.
///
/// ```text
///  OPEN ── the core closes it ──► FLUSHING ── outbox empty ──► LINGERING ── peer closes, or time is up ──► gone
///   │                                │                         our side is shut, what still comes is
///   │                                │                         thrown away: closing at once would reset the
///   │                                │                         connection and lose what we have just said
///   ├── the peer closes its side ────┴── outbox empty, or time is up ──► gone
///   └── it breaks, or is slow ──► gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Frames go both ways.
    Open,
    /// What was sent before the end is still being written; what comes is thrown away.
    Flushing,
    /// Everything is written and our side is shut.
    Lingering,
}

/// The inbox, with a `Debug` that shows no content.
pub(super) struct Inboxed(pub(super) Inbox);

impl std::fmt::Debug for Inboxed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({} bytes)", self.0.memory())
    }
}

/// What a read achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Bytes: so many to be looked at, of so many on the wire. There may be more if they filled the room.
    Bytes { count: usize, wire: usize, more: bool },
    /// Nothing at the moment.
    Nothing,
    /// The peer has closed its side.
    End,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, since: Time, frame_bytes_max: u32, watch: Watch) -> Self {
        Self {
            stream,
            peer,
            since,
            transport: Transport::Unknown,
            tls: None,
            inbox: Inboxed(Inbox::new(frame_bytes_max)),
            outbox: Outbox::default(),
            phase: Phase::Open,
            known: false,
            to_read: false,
            to_write: false,
            blocked: false,
            peer_ended: false,
            watch,
            link: false,
            dial: None,
        }
    }

    /// Reads once. What came is in the inbox, or thrown away if the connection is not open any more.
    pub(super) fn read(&mut self, scratch: &mut Scratch) -> io::Result<Came> {
        let space = self.inbox.0.space(scratch);
        let room = space.len().min(READ_BYTES_MAX).min(self.watch.room);
        let came = match &mut self.tls {
            Some(tls) if self.phase == Phase::Open => tls.read(&mut self.stream, &mut space[..room])?,
            _ => read_plain(&mut self.stream, &mut space[..room])?,
        };
        let Came::Bytes { count, wire, more } = came else { return Ok(came) };
        if self.phase == Phase::Open && count > 0 {
            self.inbox.0.received(scratch, count);
        }
        Ok(Came::Bytes { count, wire, more: more || self.peer_ended })
    }

    /// Writes once, or as much as the socket takes, of what waits.
    pub(super) fn write(&mut self, buffers: &mut Buffers) -> io::Result<Written> {
        match &mut self.tls {
            None => self.outbox.write_to(&mut self.stream, buffers),
            Some(tls) => tls.write(&mut self.stream, &mut self.outbox, buffers),
        }
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_written(&self) -> bool {
        self.outbox.is_empty() && !self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether a frame in the clear would not be understood, because something else was begun.
    pub(super) fn is_greeting(&self) -> bool {
        self.dial.is_some()
            || matches!(self.transport, Transport::Greeted(_))
            || self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether it is open and not in yet.
    pub(super) fn is_outside(&self) -> bool {
        !self.known && self.phase == Phase::Open
    }

    /// Takes no more frames, and forgets what has come in part.
    pub(super) fn stop_reading(&mut self) {
        self.phase = Phase::Flushing;
        self.inbox = Inboxed(Inbox::new(0));
    }

    /// Shuts our side, now that everything is written.
    pub(super) fn linger(&mut self) -> io::Result<()> {
        self.phase = Phase::Lingering;
        self.stream.shutdown(Shutdown::Write)
    }
}

fn read_plain(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<Came> {
    match stream.read(into) {
        Ok(0) => Ok(Came::End),
        Ok(count) => Ok(Came::Bytes { count, wire: count, more: count == into.len() }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Came::Nothing),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Came::Bytes { count: 0, wire: 0, more: true }),
        Err(error) => Err(error),
    }
}
