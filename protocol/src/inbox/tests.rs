//! The same frames, whatever pieces they come in, plain or in records.

use super::growing::{FIRST_BYTES, GROWTH};
use super::*;
use crate::limits::{FRAME_BYTES_DEFAULT, LENGTH_BYTES};
use crate::sealed::{
    Entropy, Greeting, Key, KeyId, Preamble, RECORD_EXTRA_BYTES, RECORD_LENGTH_BYTES, SealedWriter, Secret,
};

fn frame(head: usize, data: usize) -> Vec<u8> {
    let length = (2 + head + data) as u32;
    let mut bytes = [length.to_be_bytes().as_slice(), &(head as u16).to_be_bytes()].concat();
    bytes.extend((0..head + data).map(|i| i as u8));
    bytes
}

/// Feeds `stream` in pieces of `piece` bytes and returns the frames, put back into bytes.
fn reassemble(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    receive(Inbox::new(FRAME_BYTES_DEFAULT), stream, piece)
}

fn receive(mut inbox: Inbox, stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut scratch = Scratch::new(32 << 10);
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let space = inbox.space(&mut scratch);
        let count = piece.min(space.len()).min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        inbox.received(&mut scratch, count);
        while let Some(raw) = inbox.next(&mut scratch).unwrap() {
            let length = (2 + raw.head.len() + raw.data().len()) as u32;
            assert_eq!(&*raw.payload(), raw.data());
            frames.push(
                [&length.to_be_bytes()[..], &(raw.head.len() as u16).to_be_bytes(), raw.head, raw.data()].concat(),
            );
        }
    }
    assert!(!inbox.is_amid_a_frame());
    frames
}

/// S1: frames split or merged by the network at every byte are the same frames.
#[test]
fn s1_frames_split_and_merged_anywhere() {
    let frames = [frame(30, 0), frame(17, 64), frame(2, 1), frame(40, 300)];
    let stream = frames.concat();
    for piece in 1..=stream.len() {
        assert_eq!(reassemble(&stream, piece), frames, "pieces of {piece}");
    }
}

#[test]
fn large_frames_between_small_ones() {
    let frames =
        [frame(30, 10), frame(100, 200_000), frame(3, 5), frame(9, 16 << 10), frame(30, 32 << 10), frame(2, 0)];
    let stream = frames.concat();
    for piece in [1_000, 16 << 10, 65_536, 1 << 20] {
        assert!(reassemble(&stream, piece) == frames, "pieces of {piece}");
    }
}

/// A length that is announced costs nothing; only bytes that came do.
#[test]
fn memory_follows_the_bytes_that_came() {
    let (mut scratch, mut inbox) = (Scratch::new(64 << 10), Inbox::new(FRAME_BYTES_DEFAULT));
    let announced = frame(100, 4 << 20);
    inbox.space(&mut scratch)[..8].copy_from_slice(&announced[..8]);
    inbox.received(&mut scratch, 8);
    assert!(inbox.next(&mut scratch).unwrap().is_none());
    assert!(inbox.space(&mut scratch).len() <= FIRST_BYTES && inbox.memory() <= FIRST_BYTES);
    let mut came = 8;
    while came < 1 << 20 {
        let count = inbox.space(&mut scratch).len().min(1_000);
        inbox.received(&mut scratch, count);
        came += count;
        assert!(inbox.next(&mut scratch).unwrap().is_none());
        assert!(inbox.memory() <= FIRST_BYTES.max(2 * GROWTH * came));
    }
}

#[test]
fn nothing_is_kept_between_whole_frames() {
    let (mut scratch, mut inbox) = (Scratch::new(0), Inbox::new(1024));
    let bytes = frame(10, 10);
    inbox.space(&mut scratch)[..bytes.len()].copy_from_slice(&bytes);
    inbox.received(&mut scratch, bytes.len());
    assert!(inbox.next(&mut scratch).unwrap().is_some());
    assert!(inbox.next(&mut scratch).unwrap().is_none());
    assert_eq!(inbox.memory(), 0);
    assert_eq!(LENGTH_BYTES, 4);
}

/// What opens, and the records that hold `stream` in pieces of `plain` bytes.
fn records(stream: &[u8], plain: usize) -> (Opener, Vec<u8>) {
    let key = Key { id: KeyId::new("k").unwrap(), secret: Secret::new([7; 32]) };
    let (greeting, bytes) = Greeting::new(&key, Entropy::new([1; 32])).unwrap();
    let preamble = Preamble::peek(&bytes).unwrap().unwrap();
    let (server, answer) = preamble.accept(&key, Entropy::new([2; 32])).unwrap();
    let mut writer = SealedWriter::new(greeting.read(&answer).unwrap().sealer);
    for piece in stream.chunks(plain) {
        writer.append(piece).unwrap();
        writer.finish().unwrap();
    }
    (server.opener, writer.sealed().to_vec())
}

fn receive_sealed(stream: &[u8], plain: usize, piece: usize) -> Vec<Vec<u8>> {
    let (opener, sealed) = records(stream, plain);
    receive(Inbox::sealed(FRAME_BYTES_DEFAULT, opener), &sealed, piece)
}

#[test]
fn records_split_and_merged_anywhere() {
    let frames = [frame(30, 0), frame(17, 64), frame(2, 1), frame(40, 300)];
    let stream = frames.concat();
    for plain in [1, 2, 5, 6, 7, 50, 100, stream.len()] {
        for piece in (1..40).chain([100, 1_000, 1 << 20]) {
            assert_eq!(receive_sealed(&stream, plain, piece), frames, "records of {plain}, pieces of {piece}");
        }
    }
}

#[test]
fn large_frames_in_records_between_small_ones() {
    let frames = [
        frame(30, 10),
        frame(4_096, 200_000),
        frame(3, 5),
        frame(9, 16 << 10),
        frame(2, (16 << 10) - 9),
        frame(30, 65_519),
        frame(2, 0),
    ];
    let stream = frames.concat();
    for plain in [900, 16_380, 20_000, 50_000, 65_519] {
        for piece in [700, 16 << 10, 17_000, 65_536, 1 << 20] {
            assert!(receive_sealed(&stream, plain, piece) == frames, "records of {plain}, pieces of {piece}");
        }
    }
}

/// Connections of a thread share a scratch: what one leaves there is not seen by another.
#[test]
fn sealed_and_plain_connections_share_a_scratch() {
    let frames = [frame(30, 1_000), frame(100, 90_000), frame(3, 5)];
    let stream = frames.concat();
    let (opener, sealed) = records(&stream, 30_000);
    let mut scratch = Scratch::new(0);
    let mut ends = [
        (Inbox::sealed(FRAME_BYTES_DEFAULT, opener), &sealed[..], 0),
        (Inbox::new(FRAME_BYTES_DEFAULT), &stream[..], 0),
    ];
    while ends.iter().any(|(_, rest, _)| !rest.is_empty()) {
        for (inbox, rest, came) in &mut ends {
            let space = inbox.space(&mut scratch);
            let count = space.len().min(rest.len()).min(7_001);
            space[..count].copy_from_slice(&rest[..count]);
            *rest = &rest[count..];
            inbox.received(&mut scratch, count);
            while let Some(raw) = inbox.next(&mut scratch).unwrap() {
                assert_eq!(frames[*came], [&frames[*came][..PREFIX_BYTES], raw.head, raw.data()].concat());
                *came += 1;
            }
        }
    }
    assert!(ends.iter().all(|(inbox, _, came)| *came == frames.len() && inbox.memory() == 0));
}

/// While a long record lacks its end, nothing of its connection is in the scratch: what lies there is another's.
#[test]
fn a_connection_sees_nothing_that_another_has_left() {
    // Half a frame in one record, more in a long one; the neighbour's frames lie all over the scratch.
    let (opener, sealed) = records(&frame(30, 400), 200);
    let long = [&40_016_u16.to_be_bytes()[..], &[b'x'; 40_000]].concat();
    let (mut scratch, mut neighbour) = (Scratch::new(0), Inbox::new(FRAME_BYTES_DEFAULT));
    let mut inbox = Inbox::sealed(FRAME_BYTES_DEFAULT, opener);
    let mut take = |inbox: &mut Inbox, bytes: &[u8]| {
        inbox.space(&mut scratch)[..bytes.len()].copy_from_slice(bytes);
        inbox.received(&mut scratch, bytes.len());
        let frames = std::iter::from_fn(|| inbox.next(&mut scratch).unwrap().map(|_| ())).count();
        assert_eq!(inbox.unread(&scratch), b"");
        frames
    };
    assert_eq!(take(&mut inbox, &sealed[..200 + RECORD_EXTRA_BYTES]), 0);
    assert_eq!(take(&mut inbox, &long[..20_000]), 0, "a long record begins");
    assert_eq!(take(&mut neighbour, &frame(2, 0).repeat(1_000)), 1_000);
    assert_eq!(take(&mut inbox, &long[20_000..20_100]), 0, "and goes on");
}

/// Whatever record fails, the frames of those before it were handed out, and not a byte of it or of what follows is.
#[test]
fn nothing_of_a_record_that_fails_is_handed_out() {
    let frames = [frame(10, 40), frame(10, 41), frame(10, 42), frame(10, 43)];
    let stream = frames.concat();
    for plain in [1, 30, 56, 100] {
        for bad in 0..stream.len().div_ceil(plain) {
            let mut ends = frames.iter().scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            });
            let good = ends.by_ref().take_while(|end| *end <= bad * plain).count();
            let (opener, mut sealed) = records(&stream, plain);
            sealed[bad * (plain + RECORD_EXTRA_BYTES) + RECORD_LENGTH_BYTES] ^= 4;
            let mut inbox = Inbox::sealed(FRAME_BYTES_DEFAULT, opener);
            let failed = |error| Some(EnvelopeError::Record(error));
            assert_eq!(until_error(&mut inbox, &sealed, 40), (good, failed(RecordError::NotOpened)));
            assert_eq!(until_error(&mut inbox, &sealed, 40), (0, failed(RecordError::Over)));
        }
    }
}

/// How many frames came, and what ended them.
fn until_error(inbox: &mut Inbox, mut rest: &[u8], piece: usize) -> (usize, Option<EnvelopeError>) {
    let (mut scratch, mut frames) = (Scratch::new(0), 0);
    while !rest.is_empty() {
        let space = inbox.space(&mut scratch);
        let count = piece.min(space.len()).min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        inbox.received(&mut scratch, count);
        loop {
            match inbox.next(&mut scratch) {
                Ok(Some(_)) => frames += 1,
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// A record that is announced costs nothing; only bytes that came do.
#[test]
fn memory_follows_the_bytes_of_a_record_that_came() {
    let (opener, sealed) = records(&frame(100, 60_000), 65_519);
    let (mut scratch, mut inbox) = (Scratch::new(0), Inbox::sealed(FRAME_BYTES_DEFAULT, opener));
    for (came, byte) in sealed.iter().enumerate() {
        inbox.space(&mut scratch)[0] = *byte;
        inbox.received(&mut scratch, 1);
        assert_eq!(inbox.next(&mut scratch).unwrap().is_some(), came + 1 == sealed.len());
        assert!(inbox.memory() <= GROWTH * (came + 1));
    }
    assert!(inbox.next(&mut scratch).unwrap().is_none());
    assert_eq!((inbox.memory(), inbox.is_amid_a_frame()), (0, false));
}

/// A server sees a connection's first bytes before it knows what it is, and then begins anew.
#[test]
fn first_bytes_are_seen_before_they_are_understood() {
    let (mut scratch, mut inbox) = (Scratch::new(0), Inbox::new(1024));
    for came in 1..=3 {
        inbox.space(&mut scratch)[0] = came;
        inbox.received(&mut scratch, 1);
        assert_eq!(inbox.unread(&scratch), &[1, 2, 3][..usize::from(came)]);
        inbox.park(&mut scratch);
        assert_eq!(inbox.memory(), usize::from(came));
    }
}

/// Who has had enough of a connection for a while sets aside what is left; then nothing is missing, doubled or out of order.
#[test]
fn what_was_set_aside_goes_on_where_it_stopped() {
    let mut frames = Vec::new();
    for round in 0..20 {
        frames.extend([frame(30, 10), frame(17, 900 + round), frame(3, 5), frame(100, 9_000)]);
    }
    frames.extend([frame(9, 70_000), frame(30, 0), frame(2, 16_000), frame(9, 200_000), frame(2, 1)]);
    let stream = frames.concat();
    for plain in [0, 1_000, 30_000, 65_519] {
        for (piece, at_once) in [(900, 1), (60_000, 1), (60_000, 7), (1 << 20, 1), (1 << 20, 3), (70_000, 100)] {
            let (inbox, bytes) = match plain {
                0 => (Inbox::new(FRAME_BYTES_DEFAULT), stream.clone()),
                _ => {
                    let (opener, sealed) = records(&stream, plain);
                    (Inbox::sealed(FRAME_BYTES_DEFAULT, opener), sealed)
                }
            };
            assert!(interrupted(inbox, &bytes, piece, at_once) == frames, "{plain} {piece} {at_once}");
        }
    }
}

/// Receives frames, `at_once` of them between two times that a neighbour uses the scratch.
fn interrupted(mut inbox: Inbox, mut rest: &[u8], piece: usize, at_once: usize) -> Vec<Vec<u8>> {
    let (mut scratch, mut frames) = (Scratch::new(64 << 10), Vec::new());
    let (mut neighbour, noise) = (Inbox::new(FRAME_BYTES_DEFAULT), frame(3, 500).repeat(60));
    while !rest.is_empty() {
        let space = inbox.space(&mut scratch);
        let count = piece.min(space.len()).min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        inbox.received(&mut scratch, count);
        let mut taken = 0;
        while let Some(raw) = inbox.next(&mut scratch).unwrap() {
            let length = (2 + raw.head.len() + raw.data().len()) as u32;
            let head = (raw.head.len() as u16).to_be_bytes();
            frames.push([&length.to_be_bytes()[..], &head, raw.head, raw.data()].concat());
            taken += 1;
            if taken % at_once == 0 {
                inbox.set_aside(&mut scratch);
                neighbour.space(&mut scratch)[..noise.len()].copy_from_slice(&noise);
                neighbour.received(&mut scratch, noise.len());
                while neighbour.next(&mut scratch).unwrap().is_some() {}
                inbox.take_up(&mut scratch);
            }
        }
    }
    assert!(!inbox.is_amid_a_frame());
    frames
}
