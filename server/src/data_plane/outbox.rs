//! What waits to be written to one connection: small frames in one buffer, large data by reference between them.
//!
//! ```text
//!  small   [head data head data head│head data head│head …]      one buffer, lent while there is something in it
//!  large                        [64 KiB]       [1 MiB]           shared with whoever else holds the data, never copied
//! ```
//!
//! The outbox knows how many bytes it holds; whether that is too many is decided by its owner.

use super::buffers::Buffers;
use answerback_protocol::{Payload, ServerFrame};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// Pieces given to one vectored write. More would rarely fit into a socket's buffer.
const PIECES_MAX: usize = 64;

/// Bytes given to one write, so that one connection with much to read does not hold up the others.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// Frames on their way to a connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Heads and small data.
    small: BytesMut,
    /// Bytes that have left `small` since the outbox was last empty.
    left: usize,
    large: VecDeque<Large>,
    bytes: usize,
}

/// Data that is written after all bytes of `small` up to `after`, counted since the outbox was last empty.
#[derive(Debug)]
struct Large {
    after: usize,
    data: Bytes,
}

/// What a write achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Bytes taken by the socket.
    pub(super) bytes: usize,
    /// Whether the socket took less than it was offered: it will say when there is room again.
    pub(super) blocked: bool,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends a frame and returns its length.
    pub(super) fn push(&mut self, frame: &ServerFrame<'_>, data: &Payload, buffers: &mut Buffers) -> usize {
        if self.small.capacity() == 0 {
            self.small = buffers.lend();
        }
        let before = self.small.len();
        let shared = match data.shared() {
            Some(shared) => {
                let length = shared.len();
                frame.write_head(length, &mut self.small);
                self.large.push_back(Large { after: self.left + self.small.len(), data: shared });
                length
            }
            None => {
                frame.write(data, &mut self.small);
                0
            }
        };
        let added = self.small.len() - before + shared;
        self.bytes += added;
        added
    }

    /// Writes once what is there, or as much of it as one write may carry. When nothing is left, the buffer is given back.
    pub(super) fn write_to(&mut self, to: &mut impl Write, buffers: &mut Buffers) -> io::Result<Written> {
        let (result, offered) = if self.large.is_empty() {
            let offered = self.small.len().min(WRITE_BYTES_MAX);
            (to.write(&self.small[..offered]), offered)
        } else {
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let (count, offered) = self.pieces(&mut pieces);
            (to.write_vectored(&pieces[..count]), offered)
        };
        match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => {
                self.advance(bytes, buffers);
                Ok(Written { bytes, blocked: bytes < offered })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Written { bytes: 0, blocked: true }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Written { bytes: 0, blocked: false }),
            Err(error) => Err(error),
        }
    }

    /// Forgets all that waits, and returns how many bytes that were.
    pub(super) fn discard(&mut self, buffers: &mut Buffers) -> usize {
        let bytes = self.bytes;
        buffers.give_back(std::mem::take(&mut self.small));
        *self = Self::default();
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
            let small = self.large.front().map_or(self.small.len(), |large| large.after - self.left).min(rest);
            self.small.advance(small);
            (self.left, rest) = (self.left + small, rest - small);
            if let Some(large) = self.large.front_mut().filter(|large| large.after == self.left) {
                let taken = large.data.len().min(rest);
                large.data.advance(taken);
                rest -= taken;
                if large.data.is_empty() {
                    self.large.pop_front();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::frames::Event;

    /// A socket that takes `room` bytes at a time and then says that it would block.
    struct Socket {
        room: usize,
        taken: Vec<u8>,
        writes: usize,
    }

    impl Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            assert!(
                pieces.len() <= PIECES_MAX && pieces.iter().map(|piece| piece.len()).sum::<usize>() <= WRITE_BYTES_MAX
            );
            self.writes += 1;
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let before = self.taken.len();
            self.taken.extend(pieces.iter().flat_map(|piece| piece.iter()).take(self.room));
            Ok(self.taken.len() - before)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn event() -> ServerFrame<'static> {
        Event { topic: answerback_protocol::Pattern::topic("a.b").unwrap().into_text(), from: "me".into() }.into()
    }

    /// Small and large frames in turn, and the bytes they are.
    fn filled(sizes: &[usize]) -> (Outbox, Buffers, Vec<u8>) {
        let (mut outbox, mut buffers, mut expected) = (Outbox::default(), Buffers::default(), BytesMut::new());
        for (i, size) in sizes.iter().enumerate() {
            let data: Vec<u8> = (0..*size).map(|at| (at + i) as u8).collect();
            event().write(&data, &mut expected);
            let before = outbox.len();
            let added = outbox.push(&event(), &data.into(), &mut buffers);
            assert_eq!(outbox.len(), before + added);
        }
        assert_eq!(outbox.len(), expected.len());
        (outbox, buffers, expected.to_vec())
    }

    #[test]
    fn small_frames_leave_in_one_write_and_the_buffer_goes_back() {
        let (mut outbox, mut buffers, expected) = filled(&[10; 20]);
        let mut socket = Socket { room: usize::MAX, taken: Vec::new(), writes: 0 };
        let written = outbox.write_to(&mut socket, &mut buffers).unwrap();
        assert_eq!(written, Written { bytes: expected.len(), blocked: false });
        assert_eq!((socket.taken == expected, socket.writes, outbox.small.capacity()), (true, 1, 0));
    }

    #[test]
    fn large_data_is_passed_on_by_reference_in_order() {
        let (mut outbox, mut buffers, expected) = filled(&[5, 100_000, 7, 50_000, 60_000, 0]);
        assert_eq!(outbox.large.len(), 3);
        let mut socket = Socket { room: usize::MAX, taken: Vec::new(), writes: 0 };
        assert!(!outbox.write_to(&mut socket, &mut buffers).unwrap().blocked);
        assert!(outbox.is_empty() && socket.taken == expected && socket.writes == 1);
    }

    #[test]
    fn partial_writes_go_on_where_they_stopped() {
        for room in [1, 2, 3, 50, 99, 16_384, 20_000, 30_001] {
            let (mut outbox, mut buffers, expected) = filled(&[3, 20_000, 0, 17_000, 40]);
            let mut socket = Socket { room, taken: Vec::new(), writes: 0 };
            while !outbox.is_empty() {
                let before = outbox.len();
                let written = outbox.write_to(&mut socket, &mut buffers).unwrap();
                assert_eq!(outbox.len(), before - written.bytes);
                assert_eq!(written.blocked, written.bytes < before);
            }
            assert!(socket.taken == expected, "room {room}");
        }
    }

    #[test]
    fn what_is_pushed_between_partial_writes_comes_after() {
        let (mut outbox, mut buffers, mut expected) = filled(&[30, 20_000]);
        let mut socket = Socket { room: 40, taken: Vec::new(), writes: 0 };
        for size in [0, 30_000, 5, 16_384] {
            outbox.write_to(&mut socket, &mut buffers).unwrap();
            outbox.push(&event(), &vec![7; size].into(), &mut buffers);
            let mut frame = BytesMut::new();
            event().write(&vec![7; size], &mut frame);
            expected.extend_from_slice(&frame);
        }
        socket.room = usize::MAX;
        while !outbox.is_empty() {
            outbox.write_to(&mut socket, &mut buffers).unwrap();
        }
        assert!(socket.taken == expected);
    }

    #[test]
    fn one_write_carries_a_bounded_number_of_pieces_and_bytes() {
        let (mut outbox, mut buffers, expected) = filled(&[&[16_384; 100][..], &[3 << 20][..]].concat());
        let mut socket = Socket { room: usize::MAX, taken: Vec::new(), writes: 0 };
        while !outbox.is_empty() {
            assert!(!outbox.write_to(&mut socket, &mut buffers).unwrap().blocked);
        }
        assert!(socket.taken == expected && socket.writes >= 5);
    }

    #[test]
    fn a_full_socket_keeps_everything() {
        let (mut outbox, mut buffers, expected) = filled(&[10, 20_000]);
        let mut socket = Socket { room: 0, taken: Vec::new(), writes: 0 };
        let written = outbox.write_to(&mut socket, &mut buffers).unwrap();
        assert_eq!((written, outbox.len()), (Written { bytes: 0, blocked: true }, expected.len()));
        assert_eq!(outbox.discard(&mut buffers), expected.len());
        assert!(outbox.is_empty());
    }
}
