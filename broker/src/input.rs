//! What can happen to a broker.

use crate::rights::{Holder, Rights};
use crate::saved::StoreNews;
use crate::time::Time;
use answerback_protocol::envelope::EnvelopeError;
use answerback_protocol::{ClientFrame, Malformed, Payload, ServerFrame};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something that happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection was accepted.
    Connected {
        /// Its name, which no other open connection has.
        connection: ConnectionId,
        /// Where it comes from, for lists and logs.
        peer: String,
        /// Who has the key that it was opened with. On a server without keys there is nobody to tell apart: everything is allowed then, and
        /// `from` is the name that the client gives itself.
        holder: Option<Holder>,
        /// How long it was open before the broker is told: the time to say hello began then.
        waited: Duration,
    },
    /// A connection to another server was opened, and greeted if it is sealed. It is told hello at once.
    Dialed {
        /// Its name, which no other open connection has.
        connection: ConnectionId,
        /// The address as the settings have it: what was under way over an earlier connection to it goes on over this one.
        address: Arc<str>,
    },
    /// A frame arrived on a link that the other end says as a server. See [`Broker::is_link`](crate::Broker::is_link).
    Told {
        /// On which connection.
        connection: ConnectionId,
        /// What it says.
        frame: ServerFrame<'a>,
        /// Its data.
        data: Payload,
    },
    /// A frame arrived.
    Frame {
        /// On which connection.
        connection: ConnectionId,
        /// What it says.
        frame: ClientFrame<'a>,
        /// Its data.
        data: Payload,
    },
    /// A frame with sound borders arrived, whose head is not what the protocol allows.
    Malformed {
        /// On which connection.
        connection: ConnectionId,
        /// What is wrong.
        error: Malformed,
    },
    /// Bytes arrived that are a part of a frame: a sign of life, and nothing to decide yet.
    Bytes {
        /// On which connection.
        connection: ConnectionId,
    },
    /// Bytes arrived that are not a frame. The connection cannot go on.
    NotAFrame {
        /// On which connection.
        connection: ConnectionId,
        /// What is wrong.
        error: EnvelopeError,
    },
    /// A connection is gone. Nothing more is sent to it.
    Disconnected {
        /// Which one.
        connection: ConnectionId,
        /// Why, as far as the shell knows.
        reason: Disconnect,
    },
    /// What a holder may do has changed, and holds from now on. `None`: it has no key any more, and its sessions end.
    Rights {
        /// Which one.
        holder: Arc<str>,
        /// What it may do now.
        rights: Option<Arc<Rights>>,
    },
    /// The key of a connection is not accepted any more. Its session goes on with another key of the same holder.
    KeyRemoved {
        /// Which one.
        connection: ConnectionId,
    },
    /// The client at this connection shall go to another server, or come back on another way. What is under way there may finish.
    Moves {
        /// Which one.
        connection: ConnectionId,
    },
    /// The store has done something, or cannot.
    Store(StoreNews),
    /// The server shall leave: no new work, and what runs may finish until `deadline`.
    Drain {
        /// When to stop waiting.
        deadline: Time,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disconnect {
    /// The peer closed it, or it broke.
    ByPeer,
    /// The peer did not read what it was sent.
    Slow,
    /// The broker asked for it.
    Asked,
}

/// Names a connection: the thread that owns it, its place in that thread's table, and how often the place was used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    place: u32,
    turn: u32,
}

impl ConnectionId {
    /// Places a thread has at most: 2^24. The eight bits above them name the thread.
    pub const PLACES: u32 = 1 << 24;

    /// The connection at `place` of `thread`, which is the `turn`-th to be there.
    pub const fn new(thread: u8, place: u32, turn: u32) -> Self {
        Self { place: (thread as u32) << 24 | (place & (Self::PLACES - 1)), turn }
    }

    /// The thread that owns it.
    pub const fn thread(self) -> u8 {
        (self.place >> 24) as u8
    }

    /// Its place in the thread's table.
    pub const fn place(self) -> usize {
        (self.place & (Self::PLACES - 1)) as usize
    }

    /// How often the place had been used before.
    pub const fn turn(self) -> u32 {
        self.turn
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}.{}", self.thread(), self.place(), self.turn)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
