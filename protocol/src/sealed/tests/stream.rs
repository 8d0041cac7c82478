//! Bytes through writer and reader: whatever the pieces, they are the same bytes.

use super::*;
use bytes::BytesMut;

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7) as u8).collect()
}

/// Opens what a writer has sealed, given in pieces of this size.
fn through(reader: &mut SealedReader, sealed: &[u8], piece: usize) -> Vec<u8> {
    let (mut frames, mut all) = (BytesMut::new(), Vec::new());
    for (count, piece) in sealed.chunks(piece).enumerate() {
        reader.sealed().extend_from_slice(piece);
        reader.open(&mut frames).unwrap();
        if count % 2 == 0 {
            all.extend_from_slice(&frames.split());
        }
    }
    all.extend_from_slice(&frames);
    all
}

#[test]
fn what_is_appended_in_any_way_arrives() {
    for (frames, large) in [(1, 0), (10, 0), (40, 200_000), (0, PLAIN_BYTES_MAX), (65_000, 520), (65_519, 1)] {
        for piece in [1_000, 70_000, 1 << 20] {
            let (client, server) = channels();
            let (mut writer, mut reader) = (SealedWriter::new(client.sealer), SealedReader::new(server.opener));
            writer.frames().extend_from_slice(&bytes(frames));
            writer.append(&bytes(large)).unwrap();
            assert!(writer.len() >= frames + large);
            writer.finish().unwrap();
            assert!(through(&mut reader, writer.sealed(), piece) == [bytes(frames), bytes(large)].concat());
        }
    }
}

/// Whoever appends more than fits into one record gets several, as few as can be.
#[test]
fn too_much_for_one_record_becomes_more() {
    for size in [PLAIN_BYTES_MAX, PLAIN_BYTES_MAX + 1, 2 * PLAIN_BYTES_MAX, 2 * PLAIN_BYTES_MAX + 1, 1 << 20] {
        let (client, server) = channels();
        let (mut writer, mut reader) = (SealedWriter::new(client.sealer), SealedReader::new(server.opener));
        writer.frames().extend_from_slice(b"first");
        writer.finish().unwrap();
        writer.frames().extend_from_slice(&bytes(size));
        writer.finish().unwrap();
        assert_eq!(writer.len(), 5 + size + RECORD_EXTRA_BYTES * (1 + size.div_ceil(PLAIN_BYTES_MAX)));
        let all = through(&mut reader, writer.sealed(), 1 << 20);
        assert!(all == [b"first".to_vec(), bytes(size)].concat(), "{size}");
    }
}

#[test]
fn frames_of_one_turn_share_a_record_and_an_empty_one_is_not_sent() {
    let (client, _) = channels();
    let mut writer = SealedWriter::new(client.sealer);
    writer.frames();
    writer.finish().unwrap();
    writer.finish().unwrap();
    assert!(writer.is_empty());
    for _ in 0..100 {
        writer.frames().extend_from_slice(&[1; 40]);
        assert!(writer.sealed().is_empty(), "nothing leaves before it is sealed");
    }
    writer.finish().unwrap();
    assert_eq!(writer.sealed().len(), 4_000 + RECORD_EXTRA_BYTES);
}

#[test]
fn what_comes_between_partial_writes_stands_behind() {
    let (client, server) = channels();
    let (mut writer, mut reader) = (SealedWriter::new(client.sealer), SealedReader::new(server.opener));
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for round in 0..200 {
        writer.lend(|| BytesMut::with_capacity(4_096));
        writer.frames().extend_from_slice(&bytes(round));
        expected.extend(bytes(round));
        if round % 3 == 0 {
            writer.finish().unwrap();
        }
        let count = writer.sealed().len().min(40);
        sent.extend_from_slice(&writer.sealed()[..count]);
        writer.advance(count);
    }
    writer.finish().unwrap();
    sent.extend_from_slice(writer.sealed());
    writer.advance(usize::MAX);
    assert!(writer.is_empty());
    assert!(writer.take_buffer().is_empty() && writer.capacity() == 0);
    assert!(through(&mut reader, &sent, 100) == expected);
}

/// Bytes in the clear never become bytes to be written, not even when sealing fails.
#[test]
fn a_writer_that_cannot_seal_says_nothing() {
    let (mut client, _) = channels();
    client.sealer.count_from(u64::MAX);
    let mut writer = SealedWriter::new(client.sealer);
    writer.frames().extend_from_slice(b"secret");
    assert_eq!(writer.finish(), Err(RecordError::Exhausted));
    assert!(writer.sealed().is_empty() && writer.is_empty());
    writer.frames().extend_from_slice(b"secret");
    assert_eq!(writer.finish(), Err(RecordError::Over));
}

#[test]
fn a_reader_gives_nothing_of_a_record_that_fails_and_nothing_after_it() {
    let (mut client, server) = channels();
    let mut reader = SealedReader::new(server.opener);
    let mut frames = BytesMut::new();
    let records: Vec<u8> =
        [&b"good"[..], b"bad", b"later"].iter().flat_map(|p| sealed(&mut client.sealer, p)).collect();
    let mut changed = records.clone();
    changed[4 + RECORD_EXTRA_BYTES + 5] ^= 1;
    reader.sealed().extend_from_slice(&changed);
    assert_eq!(reader.open(&mut frames), Err(RecordError::NotOpened));
    assert_eq!(&frames[..], b"good");
    reader.sealed().extend_from_slice(&records[4 + RECORD_EXTRA_BYTES..]);
    assert_eq!(reader.open(&mut frames), Err(RecordError::Over));
    assert_eq!(&frames[..], b"good");
}
