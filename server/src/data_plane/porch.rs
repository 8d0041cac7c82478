//! Where connections of balancers wait until their PROXY header has come. It is read to its last byte and not further: what the client says stays in
//! the socket, and the rest of the data plane sees a connection of that client like any other.

use super::counters::Counters;
use crate::proxy::{self, Believed, FIXED_BYTES, ProxyError, REST_BYTES_MAX, Said, rest_of};
use answerback_broker::Time;
use answerback_process::paced::Paced;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

/// Tokens from here on are of this place. Connections that are in have the ones below.
pub(super) const FIRST_TOKEN: usize = usize::MAX / 2;

/// Connections that may wait here. A header comes with the connect, so few ever do.
const WAITING_MAX: usize = 256;

/// The word for counters, of those that do not get further.
const KIND: &str = "proxy";

/// A connection whose header has not come, or not all of it.
#[derive(Debug)]
struct Waiting {
    stream: TcpStream,
    peer: SocketAddr,
    begun: Vec<u8>,
    until: Time,
}

/// What came of a read.
enum Header {
    Later,
    Whole(Said),
    Bad(ProxyError),
    /// It ended or broke, as a probe does.
    Gone,
}

/// All that wait.
#[derive(Debug)]
pub(super) struct Porch {
    registry: Registry,
    believed: Vec<Believed>,
    within: Duration,
    waiting: BTreeMap<usize, Waiting>,
    next: usize,
    rang: Vec<usize>,
    /// Clients whose connections balancers want to move, since this was asked last.
    moves: Vec<SocketAddr>,
    pace: Paced<Time>,
}

impl Porch {
    /// `believed` is empty on a server that was not told of the protocol: then nobody waits here.
    pub(super) fn new(registry: Registry, believed: &[Believed], within: Duration) -> Self {
        Self {
            registry,
            believed: believed.to_vec(),
            within,
            waiting: BTreeMap::new(),
            next: 0,
            rang: Vec::new(),
            moves: Vec::new(),
            pace: Paced::default(),
        }
    }

    /// Gives a connection back at once if no header is expected of it, or has come already.
    pub(super) fn receive(
        &mut self,
        (stream, peer): (TcpStream, SocketAddr),
        now: Time,
        counters: &mut Counters,
    ) -> Option<(TcpStream, SocketAddr)> {
        if !self.believed.iter().any(|net| net.covers(peer.ip())) {
            return Some((stream, peer));
        }
        let mut waiting = Waiting { stream, peer, begun: Vec::new(), until: now + self.within };
        match waiting.read() {
            Header::Later => {
                self.wait(waiting, now, counters);
                None
            }
            header => self.met(waiting, &header, now, counters),
        }
    }

    fn wait(&mut self, mut waiting: Waiting, now: Time, counters: &mut Counters) {
        let peer = waiting.peer;
        if self.waiting.len() >= WAITING_MAX {
            counters.stranger(KIND);
            if let Some(also) = self.pace.may(now) {
                tracing::warn!(%peer, waiting = WAITING_MAX, also, "connection closed: too many wait for their PROXY header");
            }
            return;
        }
        let at = self.next;
        self.next = (self.next + 1) % (FIRST_TOKEN / 2);
        let registered = self.registry.register(&mut waiting.stream, Token(FIRST_TOKEN + at), Interest::READABLE);
        match registered {
            Ok(()) => drop(self.waiting.insert(at, waiting)),
            Err(error) => tracing::debug!(%peer, %error, "a new connection broke"),
        }
    }

    /// Something came.
    pub(super) fn rang(&mut self, token: usize) {
        self.rang.push(token - FIRST_TOKEN);
    }

    /// The next connection whose header is there.
    pub(super) fn next(&mut self, now: Time, counters: &mut Counters) -> Option<(TcpStream, SocketAddr)> {
        while let Some(at) = self.rang.pop() {
            let Some(waiting) = self.waiting.get_mut(&at) else { continue };
            let header = waiting.read();
            if matches!(header, Header::Later) {
                continue;
            }
            let Some(mut waiting) = self.waiting.remove(&at) else { continue };
            if let Err(error) = self.registry.deregister(&mut waiting.stream) {
                tracing::debug!(peer = %waiting.peer, %error, "a new connection broke");
                continue;
            }
            if let Some(accepted) = self.met(waiting, &header, now, counters) {
                return Some(accepted);
            }
        }
        None
    }

    fn met(
        &mut self,
        waiting: Waiting,
        header: &Header,
        now: Time,
        counters: &mut Counters,
    ) -> Option<(TcpStream, SocketAddr)> {
        let Waiting { stream, peer, .. } = waiting;
        match header {
            Header::Whole(Said::Nobody) => return Some((stream, peer)),
            Header::Whole(Said::Client(client)) => return Some((stream, *client)),
            Header::Whole(Said::Moves(client)) => self.moves.push(*client),
            Header::Bad(error) => self.refuse(peer, &error.to_string(), now, counters),
            Header::Later | Header::Gone => {}
        }
        None
    }

    fn refuse(&mut self, peer: SocketAddr, why: &str, now: Time, counters: &mut Counters) {
        counters.stranger(KIND);
        if let Some(also) = self.pace.may(now) {
            tracing::warn!(%peer, why, also, "connection closed: --proxy-from says that this address sends PROXY headers");
        }
    }

    /// The same, said at the admin port.
    pub(super) fn moves(&mut self, client: SocketAddr) {
        self.moves.push(client);
    }

    /// Clients whose connections are to move. As many as there were connections in a turn: few.
    pub(super) fn take_moves(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.moves)
    }

    /// When the next one has waited long enough. They are in the order in which they came, but for one turn of their numbers.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }

    /// Closes those whose header does not come.
    pub(super) fn keep_time(&mut self, now: Time, counters: &mut Counters) {
        let late: Vec<_> = self.waiting.extract_if(.., |_, waiting| waiting.until <= now).collect();
        for (_, waiting) in late {
            let why = format!("no PROXY header came within --handshake ({} ms)", self.within.as_millis());
            self.refuse(waiting.peer, &why, now, counters);
        }
    }
}

impl Waiting {
    /// Reads what is missing of the header, and nothing behind it.
    fn read(&mut self) -> Header {
        let mut buffer = [0; REST_BYTES_MAX];
        loop {
            let whole = match rest_of(&self.begun) {
                Ok(rest) => rest.map(|rest| FIXED_BYTES + rest),
                Err(error) => return Header::Bad(error),
            };
            let missing = whole.unwrap_or(FIXED_BYTES) - self.begun.len();
            if missing == 0 {
                return proxy::read(&self.begun).map_or_else(Header::Bad, Header::Whole);
            }
            match self.stream.read(&mut buffer[..missing]) {
                Ok(0) => return Header::Gone,
                Ok(count) => self.begun.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Header::Later,
                    ErrorKind::Interrupted => {}
                    _ => return Header::Gone,
                },
            }
        }
    }
}
