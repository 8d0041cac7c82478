//! What waits to be written to one connection: small frames in one buffer, large data by reference between them.
//!
//! ```text
//!  small   [head data head data head│head data head│head …]      one buffer, lent while there is something in it
//!  large                        [64 KiB]       [1 MiB]           shared with whoever else holds the data, never copied
//! ```
//!
//! On a sealed connection what comes first is in records already, or is written straight into an open one; the rest waits as above, and goes into
//! records when it is their turn to be written: see `sealing`.
//!
//! The outbox knows how many bytes of frames it holds; whether that is too many is decided by its owner.

mod sealing;
#[cfg(test)]
mod tests;

use super::buffers::Buffers;
use answerback_protocol::sealed::Sealer;
use answerback_protocol::{ClientFrame, Payload, ServerFrame};
use bytes::{Buf, Bytes, BytesMut};
use sealing::Sealing;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// Pieces given to one vectored write. More would rarely fit into a socket's buffer.
const PIECES_MAX: usize = 64;

/// Bytes given to one write, so that one connection with much to read does not hold up the others.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// What can be put into an outbox: what a server says, and, to another server, what a client says.
pub(super) trait Frame {
    /// Writes lengths and head of a frame that is followed by so many bytes of data.
    fn put_head(&self, data: usize, into: &mut BytesMut);
    /// Writes the whole frame.
    fn put(&self, data: &[u8], into: &mut BytesMut);
}

macro_rules! frames {
    ($($side:ident),*) => {
        $(impl Frame for $side<'_> {
            fn put_head(&self, data: usize, into: &mut BytesMut) {
                self.write_head(data, into);
            }

            fn put(&self, data: &[u8], into: &mut BytesMut) {
                self.write(data, into);
            }
        })*
    };
}

frames!(ServerFrame, ClientFrame);

/// Frames on their way to a connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Heads and small data.
    small: BytesMut,
    /// Bytes that have left `small` since the outbox was last empty.
    left: usize,
    large: VecDeque<Large>,
    bytes: usize,
    /// On a sealed connection.
    sealing: Option<Box<Sealing>>,
}

/// Data that is written after all bytes of `small` up to `after`, counted since the outbox was last empty.
#[derive(Debug)]
struct Large {
    after: usize,
    data: Bytes,
}

/// A frame as it is written, for several connections.
#[derive(Debug)]
pub(super) struct Encoded {
    small: BytesMut,
    large: Option<Bytes>,
}

impl Encoded {
    /// Encodes into a buffer that was used before, for its memory.
    pub(super) fn new(mut small: BytesMut, frame: &ServerFrame<'_>, data: &Payload) -> Self {
        small.clear();
        let large = data.shared();
        match &large {
            Some(large) => frame.write_head(large.len(), &mut small),
            None => frame.write(data, &mut small),
        }
        Self { small, large }
    }

    /// The buffer, for the next.
    pub(super) fn into_buffer(self) -> BytesMut {
        self.small
    }
}

/// What a write achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Bytes taken by the socket.
    pub(super) bytes: usize,
    /// Bytes of frames that do not wait any more.
    pub(super) freed: usize,
    /// Whether the socket took less than it was offered: it will say when there is room again.
    pub(super) blocked: bool,
}

impl Written {
    /// What a write of `offered` bytes came to, on a connection that is not sealed.
    fn of(result: io::Result<usize>, offered: usize) -> io::Result<Self> {
        match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => Ok(Self { bytes, freed: bytes, blocked: bytes < offered }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Self { bytes: 0, freed: 0, blocked: true }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Self { bytes: 0, freed: 0, blocked: false }),
            Err(error) => Err(error),
        }
    }
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// From now on everything goes into records. Nothing may wait, or it would leave as it is.
    pub(super) fn seal(&mut self, sealer: Sealer) {
        self.sealing = Some(Box::new(Sealing::new(sealer)));
    }

    /// Appends bytes that are no frame, on a connection that is not sealed.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> usize {
        self.small.extend_from_slice(bytes);
        self.bytes += bytes.len();
        bytes.len()
    }

    /// Appends a frame and returns its length.
    pub(super) fn push(&mut self, frame: &impl Frame, data: &Payload, buffers: &mut Buffers) -> usize {
        let shared = data.shared();
        self.push_with(shared.clone(), buffers, |into| match &shared {
            Some(shared) => frame.put_head(shared.len(), into),
            None => frame.put(data, into),
        })
    }

    /// Appends a frame that was encoded for several connections, and returns its length.
    pub(super) fn push_encoded(&mut self, encoded: &Encoded, buffers: &mut Buffers) -> usize {
        self.push_with(encoded.large.clone(), buffers, |into| into.extend_from_slice(&encoded.small))
    }

    fn push_with(&mut self, shared: Option<Bytes>, buffers: &mut Buffers, write: impl FnOnce(&mut BytesMut)) -> usize {
        let nothing_before = self.small.is_empty() && self.large.is_empty();
        let sealing = self.sealing.as_mut().filter(|sealing| nothing_before && sealing.has_room());
        let (into, sealing) = match sealing {
            Some(sealing) => (sealing.writer.frames_in(buffers), Some(&mut sealing.plain)),
            None => {
                if self.small.capacity() == 0 {
                    self.small = buffers.lend();
                }
                (&mut self.small, None)
            }
        };
        let before = into.len();
        write(into);
        let written = into.len() - before;
        if let Some(plain) = sealing {
            *plain += written;
        }
        let large = shared.as_ref().map_or(0, Bytes::len);
        if let Some(data) = shared {
            self.large.push_back(Large { after: self.left + self.small.len(), data });
        }
        self.bytes += written + large;
        written + large
    }

    /// Writes once what is there, or as much of it as one write may carry. When nothing is left, the buffer is given back.
    pub(super) fn write_to(&mut self, to: &mut impl Write, buffers: &mut Buffers) -> io::Result<Written> {
        if self.sealing.is_some() {
            return self.write_sealed(to, buffers);
        }
        let (result, offered) = if self.large.is_empty() {
            let offered = self.small.len().min(WRITE_BYTES_MAX);
            (to.write(&self.small[..offered]), offered)
        } else {
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let (count, offered) = self.pieces(&mut pieces);
            (to.write_vectored(&pieces[..count]), offered)
        };
        let written = Written::of(result, offered)?;
        self.advance(written.bytes, buffers);
        Ok(written)
    }

    /// Forgets all that waits, and returns how many bytes that were.
    pub(super) fn discard(&mut self, buffers: &mut Buffers) -> usize {
        let bytes = std::mem::take(&mut self.bytes);
        buffers.give_back(std::mem::take(&mut self.small));
        (self.left, self.large) = (0, VecDeque::new());
        if let Some(sealing) = &mut self.sealing {
            buffers.give_back(sealing.forget());
        }
        bytes
    }

    /// Fills `pieces` with what comes first, and returns how many pieces and bytes that are.
    fn pieces<'a>(&'a self, pieces: &mut [IoSlice<'a>; PIECES_MAX]) -> (usize, usize) {
        let (mut count, mut offered, mut at) = (0, 0, 0);
        let ends = self.large.iter().map(|large| (large.after - self.left, &*large.data));
        for (end, data) in ends.chain([(self.small.len(), &[][..])]) {
            for piece in [&self.small[at..end], data] {
                let piece = &piece[..piece.len().min(WRITE_BYTES_MAX - offered)];
                if !piece.is_empty() && count < PIECES_MAX {
                    pieces[count] = IoSlice::new(piece);
                    (count, offered) = (count + 1, offered + piece.len());
                }
            }
            at = end;
            if count == PIECES_MAX || offered == WRITE_BYTES_MAX {
                break;
            }
        }
        (count, offered)
    }

    fn advance(&mut self, written: usize, buffers: &mut Buffers) {
        if written == self.bytes {
            self.discard(buffers);
            return;
        }
        self.bytes -= written;
        let mut rest = written;
        while rest > 0 {
            rest -= self.take(rest, |_| ());
        }
    }

    /// Takes out at most `most` of the bytes that come first and lie together, after `look` has seen them. Returns how many those were.
    fn take(&mut self, most: usize, look: impl FnOnce(&[u8])) -> usize {
        let small = self.large.front().map_or(self.small.len(), |large| large.after - self.left).min(most);
        if small > 0 {
            look(&self.small[..small]);
            self.small.advance(small);
            self.left += small;
            return small;
        }
        let Some(large) = self.large.front_mut() else { return 0 };
        let taken = large.data.len().min(most);
        look(&large.data[..taken]);
        large.data.advance(taken);
        if large.data.is_empty() {
            self.large.pop_front();
        }
        taken
    }
}
