//! Connections that this server opened itself, to other servers: connected without waiting, greeted if there is a key, and handed to the core when
//! they are in. They have places of their own beside those of `--max-connections`, and the limits against strangers are none of theirs.
//!
//! ```text
//!  dial ──► CONNECTING ── it stands, no key ──► LISTENING ── first bytes are no other protocol ──► IN
//!               │ it stands: preamble and message 1                                                ▲
//!               └──────► GREETING ── the answer opens, the core is told ───────────────────────────┘
//! ```

use super::{Sockets, Token};
use crate::data_plane::connection::{Connection, Phase};
use crate::data_plane::dialing::Obstacle;
use crate::data_plane::transport::Transport;
use answerback_broker::{ConnectionId, Time};
use answerback_keys::{Key, KeyId};
use answerback_protocol::inbox::{Inbox, Scratch};
use answerback_protocol::limits::{FRAME_BYTES_MOST, SERVER_EXTRA_BYTES};
use answerback_protocol::sealed::{ANSWER_BYTES, Answer, Channel, Clear, Entropy, Foreign, Greeting};
use mio::Interest;
use mio::net::TcpStream;
use std::io;
use std::net::SocketAddr;

/// What a connection that was dialed needs besides.
#[derive(Debug)]
pub(in crate::data_plane) struct Dial {
    /// Which of the peers it was to be.
    peer: usize,
    stage: Stage,
    /// Why it ends, if that is known.
    obstacle: Option<Obstacle>,
}

/// How far it is.
enum Stage {
    Connecting(Option<Key>),
    Greeting(Greeting, KeyId),
    /// The core knows it, and nothing was heard.
    Listening,
    In,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting(_) => "Connecting",
            Self::Greeting(..) => "Greeting",
            Self::Listening => "Listening",
            Self::In => "In",
        })
    }
}

/// The end of a connection that was dialed.
#[derive(Debug)]
pub(in crate::data_plane) struct DialEnd {
    pub(in crate::data_plane) peer: usize,
    pub(in crate::data_plane) connection: ConnectionId,
    pub(in crate::data_plane) obstacle: Option<Obstacle>,
}

/// What was heard on a connection that was dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data_plane) enum Heard {
    /// Nothing for the core yet, or ever.
    Nothing,
    /// It is in: the core must be told, and nothing was said besides.
    In { peer: usize },
    /// Frames.
    Frames,
}

impl Dial {
    pub(in crate::data_plane) fn is_connecting(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_))
    }

    /// Whether its bytes are to be looked at before the core gets them.
    pub(in crate::data_plane) fn is_unheard(&self) -> bool {
        !matches!(self.stage, Stage::In)
    }
}

impl Sockets {
    /// Begins to connect to a peer.
    pub(in crate::data_plane) fn dial(
        &mut self,
        peer: usize,
        address: SocketAddr,
        key: Option<Key>,
        now: Time,
    ) -> io::Result<ConnectionId> {
        let mut stream = TcpStream::connect(address)?;
        let id = self.table.reserve();
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut stream, Token(id.place()), both) {
            self.table.remove(id);
            return Err(error);
        }
        let mut watch = self.watch(address);
        // The settings name it: it is nobody who has to make room for others first.
        (watch.proven, watch.welcomed) = (true, true);
        let most = self.bounds.frame_bytes + SERVER_EXTRA_BYTES;
        let mut connection = Connection::new(stream, address, now, most, watch);
        connection.link = true;
        connection.dial = Some(Box::new(Dial { peer, stage: Stage::Connecting(key), obstacle: None }));
        self.table.fill(id, connection);
        self.dialed += 1;
        self.greetings.push(now + self.bounds.handshake, id);
        Ok(id)
    }

    /// Goes on with connections whose sockets have rung while they were being opened. Puts those that are in into `arrived`, with their peers.
    pub(in crate::data_plane) fn go_on_dialing(&mut self, arrived: &mut Vec<(usize, ConnectionId)>) {
        while let Some(id) = self.connecting.pop() {
            match self.connect(id) {
                Ok(Some(peer)) => arrived.push((peer, id)),
                Ok(None) => {}
                Err(obstacle) => self.give_up_dial(id, obstacle),
            }
        }
    }

    /// Looks whether a connection stands now. Returns its peer if it is in with that.
    fn connect(&mut self, id: ConnectionId) -> Result<Option<usize>, Obstacle> {
        let Some(connection) = self.table.get_mut(id) else { return Ok(None) };
        let Some(dial) = connection.dial.as_mut().filter(|dial| dial.is_connecting()) else { return Ok(None) };
        if let Some(error) = connection.stream.take_error().map_err(|error| Obstacle::of_connect(&error))? {
            return Err(Obstacle::of_connect(&error));
        }
        match connection.stream.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(None),
            stands => stands.and_then(|_| connection.stream.set_nodelay(true)),
        }
        .map_err(|error| Obstacle::of_connect(&error))?;
        let Stage::Connecting(key) = std::mem::replace(&mut dial.stage, Stage::Listening) else { return Ok(None) };
        if !std::mem::replace(&mut connection.to_read, true) {
            self.to_read.push(id);
        }
        let Some(key) = key else {
            connection.transport = Transport::Plain;
            connection.known = true;
            return Ok(Some(dial.peer));
        };
        let (greeting, bytes) = greet(&key)?;
        dial.stage = Stage::Greeting(greeting, key.id);
        self.say(id, &bytes);
        Ok(None)
    }

    /// Looks at what a connection that was dialed has said first. `None` if it was not dialed.
    pub(in crate::data_plane) fn hear(&mut self, id: ConnectionId, scratch: &mut Scratch) -> Option<Heard> {
        let connection = self.table.get_mut(id)?;
        connection.dial.as_ref()?;
        let heard = hear(connection, scratch, self.bounds.frame_bytes + SERVER_EXTRA_BYTES);
        Some(heard.unwrap_or_else(|obstacle| {
            self.give_up_dial(id, obstacle);
            Heard::Nothing
        }))
    }

    /// Ends a connection that was dialed, for a reason.
    pub(super) fn give_up_dial(&mut self, id: ConnectionId, obstacle: Obstacle) {
        if let Some(dial) = self.table.get_mut(id).and_then(|connection| connection.dial.as_mut()) {
            dial.obstacle = Some(obstacle);
        }
        self.remove(id);
    }

    /// Ends those that are not in.
    pub(in crate::data_plane) fn hang_up(&mut self) {
        for id in self.table.ids() {
            if self.table.get_mut(id).is_some_and(|connection| connection.dial.is_some() && connection.is_outside()) {
                self.remove(id);
            }
        }
    }

    /// A connection that was dialed has gone.
    pub(super) fn note_dial_end(&mut self, connection: ConnectionId, dial: Option<Box<Dial>>) {
        if let Some(dial) = dial {
            self.dialed -= 1;
            let Dial { peer, obstacle, .. } = *dial;
            self.dials_ended.push_back(DialEnd { peer, connection, obstacle });
        }
    }

    /// The next end of one.
    pub(in crate::data_plane) fn next_dial_end(&mut self) -> Option<DialEnd> {
        self.dials_ended.pop_front()
    }

    /// The other end of a connection is a server: what it passes on was metered where it came from, and has another head than its sender gave it.
    pub(in crate::data_plane) fn becomes_link(&mut self, id: ConnectionId) {
        let most = self.bounds.frame_bytes;
        if let Some(connection) = self.table.get_mut(id) {
            connection.link = true;
        }
        self.allow(id, most);
    }

    /// A server takes frames of so many bytes from its clients, and passes on what fits.
    pub(in crate::data_plane) fn allow(&mut self, id: ConnectionId, most: u32) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.inbox.0.allow(most.min(FRAME_BYTES_MOST) + SERVER_EXTRA_BYTES);
        }
    }
}

fn hear(connection: &mut Connection, scratch: &mut Scratch, frame_bytes: u32) -> Result<Heard, Obstacle> {
    let Some(dial) = connection.dial.as_mut().filter(|_| connection.phase == Phase::Open) else {
        return Ok(Heard::Nothing);
    };
    let came = connection.inbox.0.unread(scratch);
    let Stage::Greeting(_, key) = &dial.stage else {
        // The first byte of a frame's length is small.
        if Foreign::of(came).is_some() || came.first().is_some_and(|first| *first >= 0x40) {
            return Err(Obstacle::Foreign(Foreign::of(came)));
        }
        dial.stage = Stage::In;
        return Ok(Heard::Frames);
    };
    let answer = match Answer::peek(came) {
        // Nobody who has our key says more before we do.
        Answer::Sealed(_) if came.len() > ANSWER_BYTES => return Err(Obstacle::NotOurServer),
        Answer::Sealed(answer) => *answer,
        Answer::InTheClear => match Clear::of(came) {
            Some(clear) => return Err(Obstacle::of_clear(&clear, key)),
            None => {
                connection.inbox.0.park(scratch);
                return Ok(Heard::Nothing);
            }
        },
        Answer::Incomplete => {
            connection.inbox.0.park(scratch);
            return Ok(Heard::Nothing);
        }
    };
    let Stage::Greeting(greeting, key) = std::mem::replace(&mut dial.stage, Stage::In) else {
        return Ok(Heard::Nothing);
    };
    let Channel { sealer, opener } = greeting.read(&answer).map_err(Obstacle::of_answer)?;
    connection.inbox.0 = Inbox::sealed(frame_bytes, opener);
    connection.outbox.seal(sealer);
    connection.transport = Transport::Sealed(key);
    connection.known = true;
    Ok(Heard::In { peer: dial.peer })
}

fn greet(key: &Key) -> Result<(Greeting, Vec<u8>), Obstacle> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)
        .map_err(|error| Obstacle::System(format!("no random numbers for a sealed channel: {error}")))?;
    Greeting::new(key, Entropy::new(entropy)).map_err(|error| Obstacle::System(error.to_string()))
}
