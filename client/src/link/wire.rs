//! The bytes of one connection, plain or sealed: frames are read from here and written to here, and records are this file's own business.

use super::Io;
use answerback_protocol::sealed::{Channel, PLAIN_BYTES_MAX, RecordError, SealedReader, SealedWriter};
use bytes::BytesMut;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::io::{poll_read_buf, poll_write_buf};

/// Bytes read at once: what a busy server writes at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes collected for one write. More would only wait in the socket's buffer.
const WRITE_BYTES: usize = 64 << 10;

/// The same where they go into a record: with a small frame that goes over it, it is one record and not two.
const RECORD_FILL_BYTES: usize = 60 << 10;

const _: () = assert!(RECORD_FILL_BYTES < PLAIN_BYTES_MAX);

/// A connection's socket, and what waits on its two sides.
pub(super) struct Wire {
    io: Box<dyn Io>,
    /// Frames that came, in the clear.
    pub(super) inbound: BytesMut,
    way: Way,
    /// Whether something came from who is at the other end since that was last asked: in a sealed channel only a record that has opened did.
    heard: bool,
    /// Whether what was written may still wait within `io`, as TLS may keep it.
    unflushed: bool,
}

enum Way {
    /// What goes out.
    Plain(BytesMut),
    Sealed(Box<Sealed>),
}

struct Sealed {
    reader: SealedReader,
    writer: SealedWriter,
}

impl Wire {
    pub(super) fn plain(io: Box<dyn Io>) -> Self {
        Self { io, inbound: BytesMut::new(), way: Way::Plain(BytesMut::new()), heard: false, unflushed: false }
    }

    /// Both ends have shown that they have the key.
    pub(super) fn sealed(io: Box<dyn Io>, channel: Channel) -> Self {
        let Channel { sealer, opener } = channel;
        let sealed = Sealed { reader: SealedReader::new(opener), writer: SealedWriter::new(sealer) };
        Self { way: Way::Sealed(Box::new(sealed)), ..Self::plain(io) }
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.way, Way::Sealed(_))
    }

    /// Reads once; whether there may be more.
    pub(super) fn read(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let from = match &mut self.way {
            Way::Plain(_) => &mut self.inbound,
            Way::Sealed(sealed) => sealed.reader.sealed(),
        };
        if from.capacity() - from.len() < READ_BYTES / 4 {
            from.reserve(READ_BYTES);
        }
        match poll_read_buf(Pin::new(&mut self.io), context, from) {
            Poll::Ready(Ok(0)) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it")),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(false),
        }
        match &mut self.way {
            Way::Plain(_) => self.heard = true,
            Way::Sealed(sealed) => {
                let before = self.inbound.len();
                sealed.reader.open(&mut self.inbound).map_err(unsealed)?;
                self.heard |= self.inbound.len() > before;
            }
        }
        Ok(true)
    }

    /// Whether something was heard since this was last asked. Bytes that may be anybody's do not count.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Where frames are written to, and how many bytes there are enough for now.
    pub(super) fn outbound(&mut self) -> (&mut BytesMut, usize) {
        match &mut self.way {
            Way::Plain(outbound) => (outbound, WRITE_BYTES),
            Way::Sealed(sealed) => (sealed.writer.frames(), RECORD_FILL_BYTES),
        }
    }

    /// Writes what there is; whether all of it.
    pub(super) fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let written = match &mut self.way {
            Way::Plain(outbound) => write_plain(&mut self.io, outbound, &mut self.unflushed, context),
            Way::Sealed(sealed) => write_sealed(&mut self.io, &mut sealed.writer, &mut self.unflushed, context),
        };
        match written.map_ok(|()| self.unflushed) {
            Poll::Ready(Ok(false)) => Ok(true),
            Poll::Ready(Ok(true)) => self.flush(context),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }

    fn flush(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        match Pin::new(&mut self.io).poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }

    /// Ends our side and reads until the server has ended its own.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        self.io.shutdown().await?;
        loop {
            self.inbound.clear();
            if self.io.read_buf(&mut self.inbound).await? == 0 {
                return Ok(());
            }
        }
    }
}

fn write_plain(
    io: &mut Box<dyn Io>,
    outbound: &mut BytesMut,
    unflushed: &mut bool,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !outbound.is_empty() {
        if ready!(poll_write_buf(Pin::new(io), context, outbound))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *unflushed = true;
    }
    Poll::Ready(Ok(()))
}

/// What came together while the last record was on its way becomes the next one, and not before: so a slow socket gets few large records.
fn write_sealed(
    io: &mut Box<dyn Io>,
    writer: &mut SealedWriter,
    unflushed: &mut bool,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        if writer.sealed().is_empty() {
            writer.finish().map_err(unsealed)?;
        }
        if writer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut *io).poll_write(context, writer.sealed()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => writer.advance(count),
        }
        *unflushed = true;
    }
}

fn unsealed(error: RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("in its sealed channel, {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::sealed::{Entropy, Greeting, Key, KeyId, Preamble, RECORD_LENGTH_BYTES, Secret};
    use tokio::io::DuplexStream;

    /// Our wire, the other end of its socket, and the channel that the server has there.
    fn ends(room: usize) -> (Wire, DuplexStream, Channel) {
        let key = Key { id: KeyId::new("billing").unwrap(), secret: Secret::new([7; 32]) };
        let (greeting, bytes) = Greeting::new(&key, Entropy::new([1; 32])).unwrap();
        let preamble = Preamble::peek(&bytes).unwrap().unwrap();
        let (theirs, answer) = preamble.accept(&key, Entropy::new([2; 32])).unwrap();
        let (near, far) = tokio::io::duplex(room);
        (Wire::sealed(Box::new(near), greeting.read(&answer).unwrap()), far, theirs)
    }

    async fn write(wire: &mut Wire) -> bool {
        std::future::poll_fn(|context| Poll::Ready(wire.write(context))).await.unwrap()
    }

    /// What came, without waiting.
    async fn taken(from: &mut DuplexStream) -> BytesMut {
        let mut came = BytesMut::new();
        std::future::poll_fn(|context| {
            while let Poll::Ready(Ok(1..)) = poll_read_buf(Pin::new(&mut *from), context, &mut came) {}
            Poll::Ready(())
        })
        .await;
        came
    }

    fn records(mut sealed: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let Some((length, rest)) = sealed.split_first_chunk::<RECORD_LENGTH_BYTES>() {
            let length = usize::from(u16::from_be_bytes(*length));
            lengths.push(length);
            sealed = &rest[length..];
        }
        lengths
    }

    #[tokio::test]
    async fn what_one_turn_says_is_one_record() {
        let (mut wire, mut far, channel) = ends(1 << 20);
        let (out, _) = wire.outbound();
        out.extend_from_slice(b"one");
        wire.outbound().0.extend_from_slice(b"two");
        assert!(write(&mut wire).await);
        // A turn that says nothing.
        wire.outbound();
        assert!(write(&mut wire).await);
        let came = taken(&mut far).await;
        assert_eq!(records(&came), [6 + 16]);
        let (mut reader, mut frames) = (SealedReader::new(channel.opener), BytesMut::new());
        reader.sealed().extend_from_slice(&came);
        reader.open(&mut frames).unwrap();
        assert_eq!(&frames[..], b"onetwo");
    }

    #[tokio::test]
    async fn what_gathers_while_the_socket_is_slow_becomes_one_record() {
        let (mut wire, mut far, channel) = ends(10);
        wire.outbound().0.extend_from_slice(&[1; 100]);
        assert!(!write(&mut wire).await);
        let mut reader = SealedReader::new(channel.opener);
        for _ in 0..5 {
            wire.outbound().0.extend_from_slice(&[2; 10]);
            assert!(!write(&mut wire).await);
            reader.sealed().extend_from_slice(&taken(&mut far).await);
        }
        let (mut all, mut frames) = (reader.sealed().to_vec(), BytesMut::new());
        while !write(&mut wire).await {
            let came = taken(&mut far).await;
            all.extend_from_slice(&came);
            reader.sealed().extend_from_slice(&came);
        }
        let came = taken(&mut far).await;
        all.extend_from_slice(&came);
        reader.sealed().extend_from_slice(&came);
        reader.open(&mut frames).unwrap();
        assert_eq!(records(&all), [100 + 16, 50 + 16]);
        assert_eq!(frames[..], [[1; 100].as_slice(), &[2; 50]].concat());
    }

    #[tokio::test]
    async fn records_are_read_however_they_are_cut_and_a_bad_one_ends_it() {
        let (mut wire, mut far, channel) = ends(1 << 20);
        let mut writer = SealedWriter::new(channel.sealer);
        for piece in [&[1; 5][..], &[2; 70_000], &[3; 40]] {
            writer.frames().extend_from_slice(piece);
            writer.finish().unwrap();
        }
        let read = async |wire: &mut Wire| std::future::poll_fn(|context| Poll::Ready(wire.read(context))).await;
        for bytes in writer.sealed().chunks(1_000) {
            far.write_all(bytes).await.unwrap();
            assert!(read(&mut wire).await.unwrap());
        }
        assert_eq!(wire.inbound[..], [&[1; 5][..], &[2; 70_000], &[3; 40]].concat());
        assert!(!read(&mut wire).await.unwrap());
        // The same again.
        far.write_all(&writer.sealed()[..5 + 18]).await.unwrap();
        let error = read(&mut wire).await.unwrap_err();
        assert!(error.to_string().starts_with("in its sealed channel, a record does not open"), "{error}");
        assert_eq!(wire.inbound.len(), 70_045);
    }
}
