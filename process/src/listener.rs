//! The listening socket: takes new connections a few at a time, and pauses when no further file can be opened.

use crate::Moment;
use crate::paced::Paced;
use mio::net::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Connections accepted in one turn, so that a storm of new ones does not hold up those that are there.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;

/// The pause after a failure that will not be over in a moment: long enough not to spin, short enough not to be noticed.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket, and whether somebody may be waiting at it.
#[derive(Debug)]
pub struct Listener<T> {
    socket: TcpListener,
    ready: bool,
    paused_until: Option<T>,
    log: Paced<T>,
}

/// What to do after accepting has failed.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// Nobody is waiting.
    Wait,
    /// That one connection failed; the next may not.
    Next,
    /// The machine or the process is short of something.
    Pause,
}

impl<T: Moment> Listener<T> {
    /// One at which somebody may be waiting already.
    pub fn new(socket: TcpListener) -> Self {
        Self { socket, ready: true, paused_until: None, log: Paced::default() }
    }

    /// Somebody is waiting.
    pub fn rang(&mut self) {
        self.ready = true;
    }

    /// When to look again: at once, after a pause, or when it rings.
    pub fn look_again(&self, now: T) -> Option<T> {
        if self.ready { Some(self.paused_until.unwrap_or(now)) } else { None }
    }

    /// The next connection, if there is one and no pause. Counts the pauses that begin.
    pub fn accept(&mut self, now: T, pauses: &mut u64) -> Option<(TcpStream, SocketAddr)> {
        if !self.ready || self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let error = match self.socket.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) => error,
            };
            match remedy(&error) {
                Remedy::Next => {}
                Remedy::Wait => {
                    self.ready = false;
                    return None;
                }
                Remedy::Pause => {
                    *pauses += 1;
                    if let Some(also) = self.pause(now) {
                        let pause_ms = PAUSE.as_millis() as u64;
                        tracing::warn!(%error, pause_ms, also, "cannot accept connections; raise the limit of open files (ulimit -n)");
                    }
                    return None;
                }
            }
        }
        None
    }

    /// Begins a pause. Returns whether a line about it may be written, and if so how many were passed over.
    fn pause(&mut self, now: T) -> Option<u64> {
        self.paused_until = Some(now + PAUSE);
        self.log.may(now)
    }
}

/// Errors of a connection that broke before it was accepted are its own; all others would come again at once.
fn remedy(error: &io::Error) -> Remedy {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::WouldBlock => Remedy::Wait,
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => Remedy::Next,
        _ => Remedy::Pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::time::Instant;

    #[test]
    fn too_many_open_files_is_a_pause_and_not_a_spin() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(remedy(&errno.into()), Remedy::Pause);
        }
        assert_eq!(remedy(&Errno::AGAIN.into()), Remedy::Wait);
        assert_eq!(remedy(&Errno::CONNABORTED.into()), Remedy::Next);
    }

    #[test]
    fn a_long_shortage_of_files_is_a_line_a_second() {
        let socket = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut listener = Listener::new(socket);
        let start = Instant::now();
        let at = |pause: u64| start + Duration::from_millis(pause * 100);
        let said: Vec<_> = (0..30_u64).filter_map(|pause| listener.pause(at(pause))).collect();
        assert_eq!(said, [0, 9, 9]);
    }

    #[test]
    fn nobody_is_accepted_in_a_pause() {
        let socket = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let _waiting = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        let mut listener = Listener::new(socket);
        let (now, mut pauses) = (Instant::now(), 0);
        listener.paused_until = Some(now + PAUSE);
        assert!(listener.accept(now, &mut pauses).is_none());
        assert_eq!(listener.look_again(now), Some(now + PAUSE));
        assert!(listener.accept(now + PAUSE, &mut pauses).is_some());
        assert!(listener.accept(now + PAUSE, &mut pauses).is_none());
        assert_eq!((listener.look_again(now), pauses), (None, 0));
    }
}
