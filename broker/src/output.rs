//! What a broker wants done.

use crate::input::ConnectionId;
use answerback_protocol::{ClientFrame, Code, NodeId, Payload, ServerFrame};
use std::sync::Arc;

/// Something for the shell to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write a frame to a connection.
    Send {
        /// To which one.
        to: ConnectionId,
        /// Its head.
        frame: ServerFrame<'static>,
        /// Its data.
        data: Payload,
    },
    /// Write a frame to another server, as its client.
    Say {
        /// To which one.
        to: ConnectionId,
        /// Its head.
        frame: ClientFrame<'static>,
        /// Its data.
        data: Payload,
    },
    /// Write the same frame to several connections: it is worth encoding once.
    SendAll {
        /// To which ones, each once.
        to: Vec<ConnectionId>,
        /// Its head.
        frame: ServerFrame<'static>,
        /// Its data.
        data: Payload,
    },
    /// Close a connection once everything sent to it before is written.
    Close {
        /// Which one.
        connection: ConnectionId,
    },
    /// Something worth a line in the log.
    Note(Note),
    /// A drain is over.
    Drained {
        /// Whether everything could finish, rather than the deadline having passed.
        complete: bool,
    },
}

/// Something worth a line in the log. Names come from the wire: whoever prints them escapes control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A session began, or goes on.
    SessionOpened {
        /// On which connection.
        connection: ConnectionId,
        /// Its public number.
        client: u64,
        /// Its name.
        name: Arc<str>,
        /// Whether it was known.
        resumed: bool,
    },
    /// A session ended.
    SessionClosed {
        /// Its public number.
        client: u64,
        /// Its name.
        name: Arc<str>,
        /// Calls that were waiting and got no answer, since nobody is there to hear it.
        calls_dropped: u64,
        /// Deliveries it had not answered.
        deliveries_lost: u64,
    },
    /// The broker closes a connection for a reason of its own.
    ConnectionRefused {
        /// Which one.
        connection: ConnectionId,
        /// What it was told.
        code: Code,
        /// What it was told, in words.
        message: String,
    },
    /// A link to another server is up: both have said hello.
    PeerUp {
        /// Its connection.
        connection: ConnectionId,
        /// The server's name.
        server: Arc<str>,
        /// Which one it is.
        node: NodeId,
        /// Whether this server dialed.
        dialed: bool,
    },
    /// A link to another server is down. It may come back.
    PeerDown {
        /// The server's name.
        server: Arc<str>,
        /// Which one it is.
        node: NodeId,
        /// Requests that it has and of which nothing is known until it is back.
        waiting: u64,
    },
    /// Another server will not have this one as its peer.
    PeerRefused {
        /// On which connection.
        connection: ConnectionId,
        /// What it said.
        code: Code,
        /// What it said, in words.
        message: String,
    },
    /// An accepted send ended without having been answered.
    SendLost {
        /// Its action.
        action: Arc<str>,
        /// How it ended.
        code: Code,
    },
    /// Draining has begun.
    Draining {
        /// Calls that waited and were sent elsewhere.
        calls_returned: u64,
        /// Sends that still wait for a handler.
        sends_waiting: u64,
        /// Requests that handlers are working on.
        running: u64,
    },
}
