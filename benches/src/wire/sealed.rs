//! Answerback over sealed connections, spoken to by the same lean clients: what sealing costs, measured beside the plain server.

use super::answerback::Answerback;
use super::system::{Running, System};
use crate::Outcome;
use answerback_protocol::sealed::{
    ANSWER_BYTES, Entropy, Greeting, Key, KeyId, SECRET_BYTES, SealedReader, SealedWriter, Secret,
};
use bytes::{Buf, BytesMut};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

/// The server with a key, and clients that hold it.
pub(crate) struct Sealed(pub(crate) Answerback);

impl System for Sealed {
    fn name(&self) -> &'static str {
        "answerback, sealed"
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        Ok(Box::new(self.0.launch_with(Some(key()?))?))
    }
}

/// The key of a server that lives for a visit and listens on loopback alone: it guards nothing.
fn key() -> Outcome<Key> {
    Ok(Key { id: KeyId::new("bench")?, secret: Secret::new([7; SECRET_BYTES]) })
}

/// One connection's sealed channel.
pub(crate) struct Seal {
    writer: SealedWriter,
    reader: SealedReader,
    /// What was opened and not yet taken.
    frames: BytesMut,
}

impl Seal {
    /// Makes the channel, on a connection that waits.
    pub(crate) fn open(stream: &mut TcpStream, key: &Key) -> Outcome<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&NUMBERS.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let (greeting, bytes) = Greeting::new(key, Entropy::new(seed))?;
        stream.write_all(&bytes)?;
        let mut answer = [0; ANSWER_BYTES];
        stream.read_exact(&mut answer)?;
        let channel = greeting.read(&answer)?;
        let (writer, reader) = (SealedWriter::new(channel.sealer), SealedReader::new(channel.opener));
        Ok(Self { writer, reader, frames: BytesMut::new() })
    }

    /// Seals `plain` behind what waits to be written.
    pub(crate) fn put(&mut self, plain: &[u8]) -> Outcome<()> {
        self.writer.frames().extend_from_slice(plain);
        self.writer.finish().map_err(|error| format!("cannot seal: {error:?}").into())
    }

    /// What waits to be written.
    pub(crate) fn to_write(&self) -> &[u8] {
        self.writer.sealed()
    }

    /// So much of it is written.
    pub(crate) fn written(&mut self, count: usize) {
        self.writer.advance(count);
    }

    /// Opens what came.
    pub(crate) fn take(&mut self, sealed: &[u8]) -> Outcome<()> {
        self.reader.sealed().extend_from_slice(sealed);
        self.reader.open(&mut self.frames).map_err(|error| format!("cannot open what came: {error:?}").into())
    }

    /// What was opened and not yet taken.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// So much of it is taken.
    pub(crate) fn taken(&mut self, count: usize) {
        self.frames.advance(count);
    }
}
