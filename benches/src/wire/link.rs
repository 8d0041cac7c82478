//! One connection of a lean client: what one read brings is taken in at once, and all that it leads to is one write.

use super::dialect::{Dialect, Heard};
use super::sealed::Seal;
use super::system::Opened;
use crate::Outcome;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read, Write};

/// Bytes that one read brings at most. All connections of a thread read into the same place.
pub(super) const SCRATCH_BYTES: usize = 256 << 10;

/// A connection that does not block.
pub(crate) struct Link {
    stream: TcpStream,
    pub(super) dialect: Box<dyn Dialect>,
    seal: Option<Seal>,
    /// The beginning of a message whose end has not come.
    rest: Vec<u8>,
    pub(super) out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
}

/// How a link stands after a read.
#[derive(PartialEq)]
pub(super) enum After {
    /// More may be there.
    Read,
    /// Nothing more is there; the next event will say.
    Drained,
    /// The other side has closed.
    Closed,
}

impl Link {
    /// Makes an opened connection one that does not block, known to `registry` by its index.
    pub(super) fn new((stream, mut dialect): Opened, index: usize, registry: &Registry) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let seal = dialect.take_seal();
        Ok(Self { stream, dialect, seal, rest: Vec::new(), out: Vec::new(), written: 0 })
    }

    /// Reads all that is there and writes once for each read. `false` if the other side has closed.
    pub(super) fn turn(
        &mut self,
        scratch: &mut [u8],
        mut act: impl FnMut(Heard<'_>, &mut dyn Dialect, &mut Vec<u8>) -> Outcome<()>,
    ) -> Outcome<bool> {
        self.flush()?;
        loop {
            match self.read(scratch, &mut act)? {
                After::Read => {}
                After::Drained => return Ok(true),
                After::Closed => return Ok(false),
            }
        }
    }

    /// Reads once and writes once.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        act: &mut impl FnMut(Heard<'_>, &mut dyn Dialect, &mut Vec<u8>) -> Outcome<()>,
    ) -> Outcome<After> {
        let kept = self.rest.len();
        if scratch.len() < kept + SCRATCH_BYTES / 2 {
            return Err("a message is larger than this client can take".into());
        }
        scratch[..kept].copy_from_slice(&self.rest);
        let count = match self.stream.read(&mut scratch[kept..]) {
            Ok(0) => return Ok(After::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(After::Drained),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(After::Read),
            Err(error) => return Err(error.into()),
        };
        let filled = kept + count;
        let hear = &mut |bytes: &[u8]| hear_all(bytes, &mut *self.dialect, &mut self.out, act);
        if let Some(seal) = &mut self.seal {
            seal.take(&scratch[..filled])?;
            let heard = hear(seal.frames())?;
            seal.taken(heard);
        } else {
            let heard = hear(&scratch[..filled])?;
            self.rest.clear();
            self.rest.extend_from_slice(&scratch[heard..filled]);
        }
        self.dialect.end_of_batch(&mut self.out);
        self.flush()?;
        // A read that did not fill the room has emptied the socket; what comes later makes a new event.
        Ok(if filled < scratch.len() { After::Drained } else { After::Read })
    }

    /// Writes what there is to write, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Outcome<()> {
        if let Some(seal) = &mut self.seal {
            if !self.out.is_empty() {
                seal.put(&self.out)?;
                self.out.clear();
            }
            while !seal.to_write().is_empty() {
                let Some(count) = write(&mut self.stream, seal.to_write())? else { return Ok(()) };
                seal.written(count);
            }
            return Ok(());
        }
        while self.written < self.out.len() {
            let Some(count) = write(&mut self.stream, &self.out[self.written..])? else { return Ok(()) };
            self.written += count;
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}

/// Hears every message that is whole, and gives how many bytes they were.
fn hear_all(
    bytes: &[u8],
    dialect: &mut dyn Dialect,
    out: &mut Vec<u8>,
    act: &mut impl FnMut(Heard<'_>, &mut dyn Dialect, &mut Vec<u8>) -> Outcome<()>,
) -> Outcome<usize> {
    let mut at = 0;
    while let Some((heard, length)) = dialect.hear(&bytes[at..])? {
        at += length;
        act(heard, dialect, out)?;
    }
    Ok(at)
}

/// How much the socket took, or nothing when it takes no more now.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> Outcome<Option<usize>> {
    match stream.write(bytes) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}
