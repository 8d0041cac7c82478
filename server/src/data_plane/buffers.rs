//! Buffers for outboxes, lent while something waits to be written. A connection that is idle owns none.

use bytes::BytesMut;

/// A new buffer's size in bytes: a few dozen small frames.
const BUFFER_BYTES: usize = 4 << 10;

/// A buffer that has grown beyond this is given back to the allocator: it served one large burst.
const BUFFER_BYTES_KEPT: usize = 64 << 10;

/// Buffers kept for the next turns, so at most 4 MiB. More are in use only while many connections are written to at once.
const BUFFERS_KEPT: usize = 64;

/// The buffers that nobody uses at the moment. The last one given back is lent first: it is still in the cache.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    kept: Vec<BytesMut>,
}

impl Buffers {
    /// An empty buffer.
    pub(super) fn lend(&mut self) -> BytesMut {
        self.kept.pop().unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
    }

    /// Takes a buffer back, whatever is in it.
    pub(super) fn give_back(&mut self, mut buffer: BytesMut) {
        if self.kept.len() < BUFFERS_KEPT && (BUFFER_BYTES..=BUFFER_BYTES_KEPT).contains(&buffer.capacity()) {
            buffer.clear();
            self.kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_bounded() {
        let mut buffers = Buffers::default();
        let mut lent: Vec<_> = (0..2 * BUFFERS_KEPT).map(|_| buffers.lend()).collect();
        lent[0].extend_from_slice(b"something");
        let first = lent[0].as_ptr();
        for buffer in lent.drain(..).rev() {
            buffers.give_back(buffer);
        }
        assert_eq!(buffers.kept.len(), BUFFERS_KEPT);
        buffers.kept.truncate(1);
        let mut grown = buffers.lend();
        grown.reserve(BUFFER_BYTES_KEPT + 1);
        buffers.give_back(grown);
        assert!(buffers.kept.is_empty());
        let mut again = BytesMut::with_capacity(BUFFER_BYTES);
        again.extend_from_slice(b"old");
        buffers.give_back(again);
        assert!(buffers.lend().is_empty());
        assert!(!first.is_null());
    }
}
