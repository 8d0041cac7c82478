//! Accepts connections, and takes a pause when the system has no room for more, instead of spinning.

use crate::paced::Paced;
use mio::net::{TcpListener, TcpStream};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections accepted in one turn at most: a storm of new ones does not hold up those that are there.
pub(super) const ACCEPTS_PER_TURN_MAX: usize = 64;

/// The pause after a failure that will not be over in a moment: long enough not to spin, short enough not to be noticed.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket, and whether somebody may be waiting at it.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    ready: bool,
    paused_until: Option<Instant>,
    log: Paced,
}

impl Listener {
    pub(super) fn new(socket: TcpListener) -> Self {
        Self { socket, ready: true, paused_until: None, log: Paced::default() }
    }

    /// Somebody is waiting.
    pub(super) fn rang(&mut self) {
        self.ready = true;
    }

    /// When to look again: at once, after a pause, or when it rings.
    pub(super) fn look_again(&self, now: Instant) -> Option<Instant> {
        if self.ready { Some(self.paused_until.unwrap_or(now)) } else { None }
    }

    /// The next connection, if there is one and no pause. Counts the pauses that begin.
    pub(super) fn accept(&mut self, now: Instant, pauses: &mut u64) -> Option<(TcpStream, SocketAddr)> {
        if !self.ready || self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let error = match self.socket.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::WouldBlock {
                self.ready = false;
                return None;
            }
            if !is_its_own(&error) {
                *pauses += 1;
                self.paused_until = Some(now + PAUSE);
                if let Some(also) = self.log.may(now) {
                    let pause_ms = PAUSE.as_millis() as u64;
                    tracing::warn!(%error, pause_ms, also, "cannot accept connections; raise the limit of open files (ulimit -n)");
                }
                return None;
            }
        }
        None
    }
}

/// Errors of a connection that broke before it was accepted; all others would come again at once.
fn is_its_own(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
