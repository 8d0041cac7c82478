//! A buffer for something whose length was announced: it grows with the bytes that arrive, never with the announcement.

use crate::envelope::Envelope;
use bytes::{Bytes, BytesMut};

/// A buffer starts with at most this many bytes, whatever was announced …
pub(super) const FIRST_BYTES: usize = 4 << 10;

/// … and grows to at most this many times the bytes that have arrived.
pub(super) const GROWTH: usize = 4;

/// What has come of something that has `total` bytes.
pub(super) struct Growing {
    buffer: BytesMut,
    /// Bytes received; the buffer may be longer.
    filled: usize,
    total: usize,
}

impl Growing {
    pub(super) fn begin(total: usize, received: &[u8]) -> Self {
        let filled = received.len();
        // Room at once for as much as the bytes that came allow, so that something a little larger than one read is not moved.
        let mut buffer = BytesMut::with_capacity(Self::room(filled, total));
        buffer.extend_from_slice(received);
        Self { buffer, filled, total }
    }

    /// How long the buffer may be when this much has come.
    fn room(filled: usize, total: usize) -> usize {
        (filled * GROWTH).max(FIRST_BYTES).min(total)
    }

    /// Where the next bytes go.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            self.buffer.resize(Self::room(self.filled, self.total), 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Says that `count` bytes were put into the space.
    pub(super) fn received(&mut self, count: usize) {
        self.filled += count;
    }

    /// Copies what is missing, or as much of it as there is, and returns how many bytes that were.
    pub(super) fn copy(&mut self, from: &[u8]) -> usize {
        let count = from.len().min(self.total - self.filled);
        self.buffer.truncate(self.filled);
        self.buffer.reserve(count.max(Self::room(self.filled, self.total) - self.filled));
        self.buffer.extend_from_slice(&from[..count]);
        self.filled += count;
        count
    }

    pub(super) fn is_whole(&self) -> bool {
        self.filled == self.total
    }

    pub(super) fn whole(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Bytes of memory that it holds on to.
    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity()
    }
}

/// A frame that is assembled in a buffer of its own.
pub(super) struct Large {
    pub(super) bytes: Growing,
    pub(super) envelope: Envelope,
}

impl Large {
    pub(super) fn begin(envelope: Envelope, received: &[u8]) -> Self {
        Self { bytes: Growing::begin(envelope.total(), received), envelope }
    }
}
