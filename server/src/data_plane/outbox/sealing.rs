//! The outbox of a sealed connection: what is next to be written lies in records, the rest waits as it is.
//!
//! ```text
//!  writer   │ record │ open record: head data head data …     small frames are written where they will be sealed
//!  large                                    [1 MiB]           behind it, in their order, until the writer has room again:
//!  small    [head data …]                                     then a piece of them is copied into records
//! ```
//!
//! So the frames of a turn share a record, large data is copied once and only when the socket takes it, and one write never seals more than a
//! few records, however much waits.

use super::super::buffers::Buffers;
use super::{Outbox, WRITE_BYTES_MAX, Written};
use answerback_protocol::sealed::{PLAIN_BYTES_MAX, SealedWriter, Sealer};
use bytes::BytesMut;
use std::io::{self, Write};

/// Bytes in the writer from which on no more are put into it. Four records: as much as a socket takes in one go, and little enough that
/// others do not wait for the sealing.
const AHEAD_BYTES: usize = 4 * PLAIN_BYTES_MAX;

/// Bytes in the writer below which it is filled again: filled whenever there is room, a socket that takes little would get little records.
const FILL_BELOW_BYTES: usize = AHEAD_BYTES / 2;

/// What seals.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) writer: Writer,
    /// Bytes of frames in the writer that count as waiting.
    pub(super) plain: usize,
}

/// A writer that borrows its buffer.
#[derive(Debug)]
pub(super) struct Writer(SealedWriter);

impl Writer {
    /// The open record.
    pub(super) fn frames_in(&mut self, buffers: &mut Buffers) -> &mut BytesMut {
        self.0.lend(|| buffers.lend());
        self.0.frames()
    }
}

impl Sealing {
    pub(super) fn new(sealer: Sealer) -> Self {
        Self { writer: Writer(SealedWriter::new(sealer)), plain: 0 }
    }

    /// Whether more may be put into the writer.
    pub(super) fn has_room(&self) -> bool {
        self.writer.0.len() < AHEAD_BYTES
    }

    /// Forgets what waits, and gives the buffer back.
    pub(super) fn forget(&mut self) -> BytesMut {
        self.plain = 0;
        self.writer.0.take_buffer()
    }

    /// Notes that so many bytes of records were written. Returns how many bytes of frames do not wait any more: something
    /// waits as long as there is a byte of a record.
    fn advance(&mut self, written: usize) -> usize {
        self.writer.0.advance(written);
        let freed = if self.writer.0.is_empty() { self.plain } else { written.min(self.plain.saturating_sub(1)) };
        self.plain -= freed;
        freed
    }
}

impl Outbox {
    pub(super) fn write_sealed(&mut self, to: &mut impl Write, buffers: &mut Buffers) -> io::Result<Written> {
        let Some(mut sealing) = self.sealing.take() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let written = self.fill(&mut sealing, buffers).and_then(|()| {
            let sealed = sealing.writer.0.sealed();
            let offered = sealed.len().min(WRITE_BYTES_MAX);
            Written::of(to.write(&sealed[..offered]), offered)
        });
        let written = written.map(|written| {
            let freed = sealing.advance(written.bytes);
            self.bytes -= freed;
            if sealing.writer.0.is_empty() {
                buffers.give_back(sealing.forget());
            }
            Written { freed, ..written }
        });
        self.sealing = Some(sealing);
        written
    }

    /// Puts what waits into records, as far as there is room, and closes the last one.
    fn fill(&mut self, sealing: &mut Sealing, buffers: &mut Buffers) -> io::Result<()> {
        let fill = sealing.writer.0.len() < FILL_BELOW_BYTES;
        while fill && sealing.has_room() && !(self.small.is_empty() && self.large.is_empty()) {
            let room = AHEAD_BYTES - sealing.writer.0.len();
            sealing.writer.0.lend(|| buffers.lend());
            let mut sealed = Ok(());
            sealing.plain += self.take(room, |piece| sealed = sealing.writer.0.append(piece));
            sealed.map_err(io::Error::other)?;
        }
        if self.small.is_empty() && self.small.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.small));
        }
        sealing.writer.0.finish().map_err(io::Error::other)
    }
}
