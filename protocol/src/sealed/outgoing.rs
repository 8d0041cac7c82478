//! What is sent: frames are appended to a record that stays open until it is full or must leave.
//!
//! ```text
//!  bytes   │ 2 │ frame frame frame │ 16 │ 2 │ frame fra…
//!          └─ sealed, may be written ──┘└─ open ────────┘
//! ```
//!
//! So the frames of one turn share one record, and with it one tag. They are sealed where they were written.

use super::record::{
    FIRST_PLAIN_BYTES_MAX, PLAIN_BYTES_MAX, RECORD_BYTES_MAX, RECORD_EXTRA_BYTES, RECORD_LENGTH_BYTES, RecordError,
    Sealer, TAG_BYTES,
};
use bytes::{Buf, BytesMut};

/// Collects what goes out on a sealed connection.
#[derive(Debug)]
pub struct SealedWriter {
    sealer: Sealer,
    bytes: BytesMut,
    /// Where the open record begins, if there is one.
    open_at: Option<usize>,
}

impl SealedWriter {
    /// A writer that owns no buffer yet.
    pub fn new(sealer: Sealer) -> Self {
        Self { sealer, bytes: BytesMut::new(), open_at: None }
    }

    /// Bytes that wait, sealed or not.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that its buffer has.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives it a buffer to write to, if it has none.
    pub fn lend(&mut self, buffer: impl FnOnce() -> BytesMut) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffer();
            self.bytes.clear();
        }
    }

    /// Takes its buffer back; whatever waits in it is forgotten, which a connection that goes on cannot stand.
    pub fn take_buffer(&mut self) -> BytesMut {
        self.open_at = None;
        std::mem::take(&mut self.bytes)
    }

    /// The open record, for frames to be appended to and nothing else. What is too much for one record becomes more when it is sealed.
    pub fn frames(&mut self) -> &mut BytesMut {
        if self.open_at.is_none() {
            self.open_at = Some(self.bytes.len());
            self.bytes.extend_from_slice(&[0; RECORD_LENGTH_BYTES]);
        }
        &mut self.bytes
    }

    /// Appends bytes of a frame, and seals every record that they fill: for data that is large and lies elsewhere.
    pub fn append(&mut self, mut data: &[u8]) -> Result<(), RecordError> {
        while !data.is_empty() {
            let room = PLAIN_BYTES_MAX.saturating_sub(self.open_bytes());
            if room == 0 {
                self.finish()?;
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            self.frames().extend_from_slice(now);
            data = later;
        }
        Ok(())
    }

    /// Bytes of frames in the open record.
    pub fn open_bytes(&self) -> usize {
        self.open_at.map_or(0, |at| self.bytes.len() - at - RECORD_LENGTH_BYTES)
    }

    /// Seals the open record, so that it can be written. If that fails, what was in it is gone, and so is the channel.
    pub fn finish(&mut self) -> Result<(), RecordError> {
        if self.sealer.records() == 0 && self.open_bytes() > FIRST_PLAIN_BYTES_MAX {
            // Once for a connection: its first record is a small one, and the rest goes on in others.
            let rest = self.bytes.split_off(self.bytes.len() + FIRST_PLAIN_BYTES_MAX - self.open_bytes());
            self.seal()?;
            self.frames().extend_from_slice(&rest);
        }
        self.seal()
    }

    fn seal(&mut self) -> Result<(), RecordError> {
        let plain = self.open_bytes();
        let Some(at) = self.open_at.take() else { return Ok(()) };
        if plain == 0 {
            self.bytes.truncate(at);
            return Ok(());
        }
        self.spread(at, plain);
        let mut rest = &mut self.bytes[at..];
        while !rest.is_empty() {
            let (record, later) = rest.split_at_mut(rest.len().min(RECORD_BYTES_MAX));
            if let Err(error) = self.sealer.seal(record) {
                self.bytes.truncate(at);
                return Err(error);
            }
            rest = later;
        }
        Ok(())
    }

    /// Makes room for the lengths and tags of as many records as `plain` bytes need. The first piece stays where it is.
    fn spread(&mut self, at: usize, plain: usize) {
        let more = (plain - 1) / PLAIN_BYTES_MAX;
        self.bytes.resize(self.bytes.len() + more * RECORD_EXTRA_BYTES + TAG_BYTES, 0);
        let first = at + RECORD_LENGTH_BYTES;
        for piece in (1..=more).rev() {
            let from = first + piece * PLAIN_BYTES_MAX;
            let length = PLAIN_BYTES_MAX.min(plain - piece * PLAIN_BYTES_MAX);
            self.bytes.copy_within(from..from + length, from + piece * RECORD_EXTRA_BYTES);
        }
    }

    /// What may be written: every record that is sealed.
    pub fn sealed(&self) -> &[u8] {
        &self.bytes[..self.open_at.unwrap_or(self.bytes.len())]
    }

    /// Forgets the first `count` bytes of [`sealed`](Self::sealed), which were written.
    pub fn advance(&mut self, count: usize) {
        let count = count.min(self.sealed().len());
        self.bytes.advance(count);
        self.open_at = self.open_at.map(|at| at - count);
    }
}
