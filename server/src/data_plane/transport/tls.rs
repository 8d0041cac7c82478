//! TLS between a socket and the frames, or records, within it. What comes out of here is looked at like what comes from a socket.
//!
//! A connection keeps little in here: a half record and what was opened and not taken on the way in, at most [`WAITS_BYTES_MAX`] of records that the
//! socket has not taken on the way out. Nothing blocks, and one call does about as much as one read or write of a socket.

use super::super::buffers::Buffers;
use super::super::connection::Came;
use super::super::outbox::{Outbox, Written};
use super::certificate::Names;
use crate::tls::Tls;
use mio::net::TcpStream;
use rustls::ServerConnection;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

/// Bytes that somebody may send until the handshake is done. A long chain of certificates has 10 KiB.
const HANDSHAKE_BYTES_MAX: usize = 32 << 10;

/// Bytes of records that may wait for the socket. They do not count as waiting in the outbox any more, so there are few; two full records make few
/// writes of what is large.
const WAITS_BYTES_MAX: usize = 32 << 10;

/// What is logged of the reason of a failure, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// Pieces of one vectored write.
const PIECES_MAX: usize = 64;

/// The TLS of one connection.
pub(in crate::data_plane) struct Session {
    connection: ServerConnection,
    /// What has come before the handshake was done, in bytes.
    greeted_bytes: usize,
    /// What went wrong behind bytes that were sound: told when those were taken.
    failed: Option<rustls::Error>,
    said_goodbye: bool,
}

/// Nothing of what is said is shown.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

impl Session {
    pub(in crate::data_plane) fn new(tls: &Tls) -> Result<Self, String> {
        let mut connection = ServerConnection::new(Arc::clone(tls.config())).map_err(|error| reason(&error))?;
        connection.set_buffer_limit(Some(WAITS_BYTES_MAX));
        Ok(Self { connection, greeted_bytes: 0, failed: None, said_goodbye: false })
    }

    /// Takes the first bytes, which were read before it was known that they are TLS.
    pub(in crate::data_plane) fn begin(&mut self, mut came: &[u8]) -> Result<(), String> {
        while !came.is_empty() {
            let taken = self.connection.read_tls(&mut came).map_err(|error| bounded(&error.to_string()))?;
            self.process(taken);
            if let Some(error) = &self.failed {
                return Err(reason(error));
            }
        }
        Ok(())
    }

    /// Whether the handshake is still going on, so that nothing else can be said.
    pub(in crate::data_plane) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether there are bytes for the socket.
    pub(in crate::data_plane) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Says that nothing more will come. Returns whether that was not said before.
    pub(in crate::data_plane) fn say_goodbye(&mut self) -> bool {
        self.connection.send_close_notify();
        !std::mem::replace(&mut self.said_goodbye, true)
    }

    /// The names in the certificate that the client has shown, which was checked; nothing if it has shown none.
    pub(in crate::data_plane) fn names(&self) -> Option<Names> {
        self.connection.peer_certificates()?.first().map(|certificate| Names::of(certificate))
    }

    /// Reads until the socket has no more, or there is enough.
    pub(in crate::data_plane) fn read(&mut self, stream: &mut TcpStream, into: &mut [u8]) -> io::Result<Came> {
        let (mut source, mut count, mut wire) = (Source { stream, short: false }, 0, 0);
        let came = |count, wire, more| Ok(Came::Bytes { count, wire, more });
        let ended = |count, wire| if count + wire == 0 { Ok(Came::End) } else { came(count, wire, true) };
        loop {
            if self.take(into, &mut count)? {
                return ended(count, wire);
            }
            if let Some(error) = self.failed.take_if(|_| count == 0) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if self.failed.is_some() || count == into.len() || wire >= into.len() {
                return came(count, wire, true);
            }
            if source.short {
                return came(count, wire, false);
            }
            match self.connection.read_tls(&mut source) {
                Ok(0) => return ended(count, wire),
                Ok(taken) => {
                    wire += taken;
                    self.process(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && wire + count == 0 => {
                    return Ok(Came::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return came(count, wire, false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Its own buffers are full, of a message that is too long.
                Err(error) if error.raw_os_error().is_none() => {
                    self.failed = Some(rustls::Error::General(error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what is opened. Returns whether the peer has said that nothing more comes.
    fn take(&mut self, into: &mut [u8], count: &mut usize) -> io::Result<bool> {
        while *count < into.len() {
            match self.connection.reader().read(&mut into[*count..]) {
                Ok(0) => return Ok(true),
                Ok(taken) => *count += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A cut. What is said before an end is said within: `bye`.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Opens what was taken from the socket.
    fn process(&mut self, taken: usize) {
        if self.connection.is_handshaking() {
            self.greeted_bytes += taken;
        }
        self.failed = match self.connection.process_new_packets() {
            Err(error) => Some(error),
            Ok(_) if self.connection.is_handshaking() && self.greeted_bytes > HANDSHAKE_BYTES_MAX => {
                Some(rustls::Error::General(format!("more than {} KiB of a handshake", HANDSHAKE_BYTES_MAX >> 10)))
            }
            Ok(_) => None,
        };
    }

    /// Writes what waits in here, and then what waits in the outbox, as long as the socket takes all of it.
    pub(in crate::data_plane) fn write(
        &mut self,
        stream: &mut TcpStream,
        outbox: &mut Outbox,
        buffers: &mut Buffers,
    ) -> io::Result<Written> {
        let mut pipe = Pipe { connection: &mut self.connection, stream, bytes: 0, blocked: false };
        pipe.empty()?;
        let go_on = !pipe.blocked && !outbox.is_empty();
        let freed = if go_on { outbox.write_to(&mut pipe, buffers)?.freed } else { 0 };
        Ok(Written { bytes: pipe.bytes, freed, blocked: pipe.blocked })
    }
}

/// A socket that notes when it has no more to give at the moment: that saves asking it once more.
struct Source<'a> {
    stream: &'a mut TcpStream,
    short: bool,
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        self.short = count < into.len();
        Ok(count)
    }
}

/// Takes frames or records, and writes them to the socket within TLS.
struct Pipe<'a> {
    connection: &'a mut ServerConnection,
    stream: &'a mut TcpStream,
    /// Bytes that the socket has taken.
    bytes: usize,
    /// Whether it takes no more.
    blocked: bool,
}

impl Pipe<'_> {
    /// Writes what waits, or as much of it as the socket takes.
    fn empty(&mut self) -> io::Result<()> {
        while self.connection.wants_write() && !self.blocked {
            match self.connection.write_tls(self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Takes pieces until the socket is full; then those that were taken last wait in here. Says how many bytes were taken.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut left = [IoSlice::new(&[]); PIECES_MAX];
        let count = pieces.len().min(PIECES_MAX);
        left[..count].copy_from_slice(&pieces[..count]);
        let (mut left, mut taken) = (&mut left[..count], 0);
        while !self.blocked {
            let count = self.connection.writer().write_vectored(left)?;
            if count == 0 {
                break;
            }
            taken += count;
            IoSlice::advance_slices(&mut left, count);
            self.empty()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.empty()
    }
}

/// Why TLS has failed, if it is that what an error says.
pub(in crate::data_plane) fn reason_of(error: &io::Error) -> Option<String> {
    error.get_ref()?.downcast_ref().map(reason)
}

/// The peer may have a say in some of these words.
fn reason(error: &rustls::Error) -> String {
    bounded(&error.to_string())
}

fn bounded(text: &str) -> String {
    let mut told: String = text.escape_debug().collect();
    if told.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX).rev().find(|at| told.is_char_boundary(*at)).unwrap_or_default();
        told.truncate(end);
        told.push('…');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short_and_plain() {
        assert_eq!(bounded("a\n\u{1b}[31mb"), "a\\n\\u{1b}[31mb");
        let long = bounded(&"é".repeat(REASON_BYTES_MAX));
        assert!(long.ends_with("é…") && long.len() < REASON_BYTES_MAX + 4);
    }
}
