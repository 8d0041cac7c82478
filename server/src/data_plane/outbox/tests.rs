//! Tables for outboxes: what was pushed leaves in its order, whatever the socket takes.

use super::*;
use answerback_protocol::frames::Event;
use answerback_protocol::sealed::{Entropy, Greeting, Key, KeyId, Preamble, RECORD_LENGTH_BYTES, SealedReader, Secret};

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
        assert!(pieces.len() <= PIECES_MAX && pieces.iter().map(|piece| piece.len()).sum::<usize>() <= WRITE_BYTES_MAX);
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
    Event {
        topic: answerback_protocol::Pattern::topic("a.b").unwrap().into_text(),
        from: "me".into(),
        group: None,
        course: None,
    }
    .into()
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
    assert_eq!(written, Written { bytes: expected.len(), freed: expected.len(), blocked: false });
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
    assert_eq!((written, outbox.len()), (Written { bytes: 0, freed: 0, blocked: true }, expected.len()));
    assert_eq!(outbox.discard(&mut buffers), expected.len());
    assert!(outbox.is_empty());
}

/// The two ends of a sealed connection, of which only what the server sends is looked at.
fn sealed() -> (Outbox, SealedReader) {
    let key = Key { id: KeyId::new("billing").unwrap(), secret: Secret::new([7; 32]) };
    let (greeting, bytes) = Greeting::new(&key, Entropy::new([1; 32])).unwrap();
    let preamble = Preamble::peek(&bytes).unwrap().unwrap();
    let (channel, answer) = preamble.accept(&key, Entropy::new([2; 32])).unwrap();
    let mut outbox = Outbox::default();
    outbox.seal(channel.sealer);
    (outbox, SealedReader::new(greeting.read(&answer).unwrap().opener))
}

/// What a client makes of the records that a socket took, and how many they were.
fn opened(reader: &mut SealedReader, socket: &mut Socket) -> (Vec<u8>, usize) {
    let (mut frames, mut records, mut rest) = (BytesMut::new(), 0, &socket.taken[..]);
    while !rest.is_empty() {
        let total = RECORD_LENGTH_BYTES + usize::from(u16::from_be_bytes(*rest.first_chunk().unwrap()));
        (records, rest) = (records + 1, &rest[total..]);
    }
    reader.sealed().extend_from_slice(&socket.taken);
    reader.open(&mut frames).unwrap();
    socket.taken.clear();
    (frames.to_vec(), records)
}

fn push(outbox: &mut Outbox, buffers: &mut Buffers, size: usize, expected: &mut Vec<u8>) {
    let data: Vec<u8> = (0..size).map(|at| (at + size) as u8).collect();
    let mut frame = BytesMut::new();
    event().write(&data, &mut frame);
    let before = outbox.len();
    assert_eq!(outbox.push(&event(), &data.into(), buffers), frame.len());
    assert_eq!(outbox.len(), before + frame.len());
    expected.extend_from_slice(&frame);
}

#[test]
fn sealed_frames_of_a_turn_share_a_record_and_the_buffer_goes_back() {
    let (mut outbox, mut reader) = sealed();
    let (mut buffers, mut socket) = (Buffers::default(), Socket { room: usize::MAX, taken: Vec::new(), writes: 0 });
    for turn in 1..4 {
        let mut expected = Vec::new();
        (0..20).for_each(|size| push(&mut outbox, &mut buffers, size, &mut expected));
        let written = outbox.write_to(&mut socket, &mut buffers).unwrap();
        assert_eq!((written.freed, written.blocked, socket.writes), (expected.len(), false, turn));
        assert_eq!(opened(&mut reader, &mut socket), (expected, 1));
        assert!(outbox.is_empty() && outbox.small.capacity() == 0);
    }
}

#[test]
fn sealed_frames_large_and_small_leave_in_order_however_little_the_socket_takes() {
    for room in [1, 7, 100, 16_384, 65_537, 65_538, 200_000, usize::MAX] {
        let (mut outbox, mut reader) = sealed();
        let (mut buffers, mut expected) = (Buffers::default(), Vec::new());
        let mut socket = Socket { room, taken: Vec::new(), writes: 0 };
        let mut pushed = [3, 20_000, 0, 700_000, 40, 16_384, 16_383, 65_519, 1].into_iter();
        let mut freed = 0;
        while let Some(size) = pushed.next().or((!outbox.is_empty()).then_some(usize::MAX)) {
            if size < usize::MAX {
                push(&mut outbox, &mut buffers, size, &mut expected);
            }
            if outbox.is_empty() {
                continue;
            }
            let before = outbox.len();
            let written = outbox.write_to(&mut socket, &mut buffers).unwrap();
            assert_eq!(outbox.len(), before - written.freed);
            freed += written.freed;
        }
        assert_eq!(freed, expected.len());
        assert!(opened(&mut reader, &mut socket).0 == expected, "room {room}");
        assert_eq!(outbox.small.capacity(), 0);
    }
}

/// A connection that takes nothing makes nobody seal: what waits, waits as it is.
#[test]
fn one_write_seals_a_bounded_number_of_bytes() {
    let (mut outbox, mut reader) = sealed();
    let (mut buffers, mut expected) = (Buffers::default(), Vec::new());
    let mut socket = Socket { room: 0, taken: Vec::new(), writes: 0 };
    for _ in 0..3_000 {
        push(&mut outbox, &mut buffers, 1_000, &mut expected);
    }
    let written = outbox.write_to(&mut socket, &mut buffers).unwrap();
    assert_eq!((written.blocked, written.freed, outbox.len()), (true, 0, expected.len()));
    socket.room = usize::MAX;
    while !outbox.is_empty() {
        assert!(outbox.write_to(&mut socket, &mut buffers).unwrap().bytes < 300_000);
    }
    assert!(opened(&mut reader, &mut socket).0 == expected);
    push(&mut outbox, &mut buffers, 5, &mut expected);
    assert!(outbox.discard(&mut buffers) > 0 && outbox.is_empty());
}
