//! A client's connection and the one to its backend. Idle it is this and two sockets of the system's: no buffer, no pipe.

use super::copier::{Copier, Flow};
use crate::asker::Ask;
use crate::pool::{Key, Proxy, Spec};
use mio::net::TcpStream;
use rustix::net::sockopt::set_socket_linger;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Which end of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Backend,
}

/// How far a pair is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The connection to the backend is being made. These were chosen for it, the last one just now.
    Connecting(Vec<Key>),
    Open,
}

/// Two connections that belong together.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) client: TcpStream,
    pub(super) backend: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) key: Key,
    pub(super) phase: Phase,
    /// From the client.
    pub(super) up: Flow,
    /// To the client.
    pub(super) down: Flow,
    /// When bytes have moved last, or it was opened.
    pub(super) moved: Instant,
    /// What stands in the list of deadlines for it.
    pub(super) deadline: Option<Instant>,
    /// Whether it stands in the list of those that have something to do.
    pub(super) queued: bool,
    /// Whether its server was told to have the client move.
    pub(super) asked: bool,
}

/// What came of a turn of a pair.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turned {
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) again: bool,
    pub(super) over: bool,
}

impl Pair {
    pub(super) fn note(&mut self, side: Side, event: &mio::event::Event) {
        let (from, to) = match side {
            Side::Client => (&mut self.up, &mut self.down),
            Side::Backend => (&mut self.down, &mut self.up),
        };
        let ending = event.is_read_closed() || event.is_error();
        from.ending |= ending;
        from.readable |= ending || event.is_readable();
        to.writable |= event.is_writable();
    }

    /// Whether the backend has taken the connection: not yet is `false`.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.backend.take_error()? {
            return Err(error);
        }
        match self.backend.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The backend has taken it. One that wants to know hears first who the client is.
    pub(super) fn open(&mut self, proxy: Proxy, now: Instant) -> io::Result<()> {
        (self.phase, self.moved) = (Phase::Open, now);
        if proxy == Proxy::V2 {
            self.up.begin_with(crate::proxy::header(self.peer, self.client.local_addr()?));
        }
        Ok(())
    }

    /// What tells its server that the client is to move, if it understands that and was not told.
    pub(super) fn ask(&self, spec: &Spec) -> Option<Ask> {
        if self.asked || !matches!(self.phase, Phase::Open) {
            return None;
        }
        if spec.proxy == Proxy::V2 {
            let words = crate::proxy::moves(self.peer, self.client.local_addr().ok()?);
            return Some(Ask { to: self.backend.peer_addr().ok()?.to_string(), words });
        }
        Some(Ask::at_admin(spec.admin.as_deref()?, self.backend.local_addr().ok()?))
    }

    /// Moves what can be moved both ways.
    pub(super) fn turn(&mut self, copier: &mut Copier) -> io::Result<Turned> {
        let up = copier.run(&mut self.up, &self.client, &self.backend)?;
        let down = copier.run(&mut self.down, &self.backend, &self.client)?;
        let over = self.up.over && self.down.over;
        Ok(Turned { up: up.bytes, down: down.bytes, again: up.again || down.again, over })
    }

    /// Nothing has moved for this long.
    pub(super) fn is_quiet(&self, now: Instant, within: Duration) -> bool {
        // Who was asked to move goes by itself.
        !self.asked && matches!(self.phase, Phase::Open) && now.saturating_duration_since(self.moved) >= within
    }

    /// Has both ends see that something broke: after an orderly end they would take what they have for all there was.
    pub(super) fn reset(&self) {
        for socket in [&self.client, &self.backend] {
            // What is broken already needs no reset.
            let _ = set_socket_linger(socket, Some(Duration::ZERO));
        }
    }
}
