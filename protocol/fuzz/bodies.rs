//! What the fuzz targets do with their bytes. The targets and `protocol/tests/corpus.rs` include this file, so that a
//! corpus is replayed by every `cargo test` exactly as the fuzzer ran it.

#![allow(dead_code, unreachable_pub, reason = "each target uses its part")]
#![allow(clippy::unwrap_used, reason = "a broken promise shall stop the fuzzer")]

use answerback_protocol::envelope::{Envelope, EnvelopeError};
use answerback_protocol::inbox::{Inbox, Scratch};
use answerback_protocol::limits::{HEAD_BYTES_MAX, PREFIX_BYTES};
use answerback_protocol::sealed::{
    Answer, Channel, Entropy, Greeting, Key, KeyId, OPENING_BYTES_MAX, Opening, Preamble, PreambleError, SealedReader,
    SealedWriter, Secret,
};
use answerback_protocol::{ClientFrame, Malformed, SHARE_FROM_BYTES, ServerFrame};
use bytes::BytesMut;

/// A head from a client: it is refused with a clear error, or read, written and read again as the same.
pub fn client_head(head: &[u8]) {
    check_head(head, |head| {
        ClientFrame::read(head).map(|frame| {
            let mut out = BytesMut::new();
            frame.write(b"", &mut out);
            (frame.kind(), out)
        })
    });
}

/// The same for a head from the server.
pub fn server_head(head: &[u8]) {
    check_head(head, |head| {
        ServerFrame::read(head).map(|frame| {
            let mut out = BytesMut::new();
            frame.write(b"", &mut out);
            (frame.kind(), out)
        })
    });
}

fn check_head(head: &[u8], through: impl Fn(&[u8]) -> Result<(&'static str, BytesMut), Malformed>) {
    if head.len() > HEAD_BYTES_MAX {
        return; // Refused by its length, before it is read.
    }
    match through(head) {
        Err(error) => assert!(!error.to_string().is_empty() && !error.word().is_empty()),
        Ok((kind, written)) => {
            let envelope = Envelope::peek(&written, u32::MAX).unwrap().unwrap();
            assert_eq!(envelope.total(), written.len());
            assert!(envelope.head <= HEAD_BYTES_MAX);
            let again = &written[PREFIX_BYTES..];
            assert!(serde_json::from_slice::<serde_json::Value>(again).is_ok());
            assert_eq!(through(again).unwrap(), (kind, written.clone()), "read again it is the same");
            let refused = serde_json::from_slice::<serde_json::Value>(head).err();
            assert!(refused.is_none_or(|error| out_of_range(&error)), "what serde_json refuses is refused");
        }
    }
}

/// serde_json wants to hold every number; the grammar does not.
fn out_of_range(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

/// A stream cut into pieces gives the same frames, and the same error, as in one piece; and memory follows the bytes
/// that came. The first byte says how many cuts follow, then come the cuts, then the stream as [`unfold`] takes it.
/// A cut of 255 is a piece of 64 KiB, any other one of its square and 1, or a little more in a long stream.
pub fn inbox(bytes: &[u8]) {
    let Some((&count, rest)) = bytes.split_first() else { return };
    let (cuts, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let stream = unfold(stream);
    let whole = expected(&stream);
    assert_eq!(receive(Inbox::new(LIMIT), &stream, &[255]), whole);
    assert_eq!(receive(Inbox::new(LIMIT), &stream, cuts), whole);
}

/// The largest first length that these inboxes take.
const LIMIT: u32 = 100_000;

/// So that a small input can hold large frames: `FE` and two bytes stand for that many bytes `x`.
fn unfold(stream: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::new();
    let mut rest = stream;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after) {
            (0xfe, [high, low, after @ ..]) => {
                let end = unfolded.len() + usize::from(u16::from_be_bytes([*high, *low]));
                unfolded.resize(end.min(4 * LIMIT as usize).max(unfolded.len()), b'x');
                rest = after;
            }
            _ => {
                unfolded.push(byte);
                rest = after;
            }
        }
    }
    unfolded
}

/// Frames as head and data, and the error that ended the stream, if one did.
type Frames = (Vec<(Vec<u8>, Vec<u8>)>, Option<EnvelopeError>);

/// What the stream holds, read in the plainest way.
fn expected(stream: &[u8]) -> Frames {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        match Envelope::peek(rest, LIMIT) {
            Err(error) => return (frames, Some(error)),
            Ok(Some(envelope)) if envelope.total() <= rest.len() => {
                let (frame, after) = rest.split_at(envelope.total());
                frames.push((frame[PREFIX_BYTES..envelope.data_at()].to_vec(), frame[envelope.data_at()..].to_vec()));
                rest = after;
            }
            _ => return (frames, None),
        }
    }
}

fn receive(mut inbox: Inbox, stream: &[u8], cuts: &[u8]) -> Frames {
    let mut scratch = Scratch::new(32 << 10);
    let mut frames = Vec::new();
    let neighbours = neighbours();
    let (mut rest, mut pieces, mut open) = (stream, cuts.iter().cycle(), 0);
    // Byte by byte where that is quick enough: parking copies what is there, which is long for a long stream.
    let least = 1 + stream.len() / 2_048;
    while !rest.is_empty() {
        let piece = match pieces.next() {
            Some(255) => 64 << 10,
            Some(&size) => usize::from(size).pow(2) + least,
            None => least,
        };
        let space = inbox.space(&mut scratch);
        let count = piece.min(space.len()).min(rest.len());
        assert!(count > 0, "there is always space to read into");
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        inbox.received(&mut scratch, count);
        open += count;
        loop {
            match inbox.next(&mut scratch) {
                Err(error) => return (frames, Some(error)),
                Ok(None) => break,
                Ok(Some(frame)) => {
                    assert_eq!(&*frame.payload(), frame.data());
                    open -= PREFIX_BYTES + frame.head.len() + frame.data().len();
                    frames.push((frame.head.to_vec(), frame.data().to_vec()));
                }
            }
        }
        // In records more comes than is handed out.
        assert!(open > 0 || !inbox.is_amid_a_frame());
        assert!(inbox.is_amid_a_frame() || inbox.memory() == 0);
        leave_behind(&neighbours, &mut scratch);
        assert!(inbox.memory() <= SHARE_FROM_BYTES.max(8 * open), "{} bytes for {open}", inbox.memory());
    }
    (frames, None)
}

/// Frames that begin where those of a sealed connection may lie, and where those of a plain one may.
fn neighbours() -> Vec<u8> {
    let small = *b"\0\0\0\x04\0\x02{}";
    let mut frames = small.repeat(2);
    let large = HEAD_BYTES_MAX - frames.len();
    frames.extend_from_slice(&(large as u32 - 4).to_be_bytes());
    frames.extend_from_slice(&2_u16.to_be_bytes());
    frames.resize(HEAD_BYTES_MAX, b'x');
    frames.extend_from_slice(&small.repeat(4));
    frames
}

/// Another connection of the thread has its turn, and leaves its frames in the scratch.
fn leave_behind(frames: &[u8], scratch: &mut Scratch) {
    let mut inbox = Inbox::new(LIMIT);
    inbox.space(scratch)[..frames.len()].copy_from_slice(frames);
    inbox.received(scratch, frames.len());
    for _ in 0..7 {
        assert!(inbox.next(scratch).unwrap().is_some());
    }
}

/// What a stranger says first, at a server; and what a server answers, at a client. The first byte says which.
pub fn handshake(bytes: &[u8]) {
    let Some((&side, bytes)) = bytes.split_first() else { return };
    if side % 2 == 0 { greeted(bytes) } else { answered(bytes) }
}

/// However it is cut, it is the same preamble or the same error, and a client without the key gets nothing.
fn greeted(bytes: &[u8]) {
    let whole = Preamble::peek(bytes);
    for cut in 0..bytes.len().min(2 * OPENING_BYTES_MAX) {
        let part = Preamble::peek(&bytes[..cut]);
        assert!(part == Ok(None) || part == whole, "{cut} bytes tell something else");
    }
    assert!(whole != Ok(None) || bytes.len() < OPENING_BYTES_MAX);
    assert_eq!(matches!(whole, Err(PreambleError::NotSealed)), !bytes.is_empty() && !starts_sealed(bytes));
    if let Ok(Some(preamble)) = whole {
        assert!(preamble.total() <= bytes.len().min(OPENING_BYTES_MAX));
        assert!(!preamble.reject_unknown(entropy(2)).to_string().is_empty());
        let key = Key { id: preamble.key_id().clone(), secret: secret() };
        if let Ok((mut channel, answer)) = preamble.accept(&key, entropy(2)) {
            assert!(matches!(Answer::peek(&answer), Answer::Sealed(_)));
            assert!(channel.opener.open(&mut [0; 40]).is_err());
        }
    }
}

fn starts_sealed(bytes: &[u8]) -> bool {
    matches!(Opening::of(bytes), Some(Opening::Sealed)) || bytes == [0xab]
}

fn answered(bytes: &[u8]) {
    match Answer::peek(bytes) {
        Answer::Incomplete => assert!(bytes.len() < 51),
        Answer::InTheClear => assert_ne!(bytes[0], 0xab),
        Answer::Sealed(answer) => {
            let key = Key { id: KeyId::new("k").unwrap(), secret: secret() };
            let (greeting, _) = Greeting::new(&key, entropy(1)).unwrap();
            if let Err(error) = greeting.read(answer) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

fn entropy(byte: u8) -> Entropy {
    Entropy::new([byte; 32])
}

fn secret() -> Secret {
    Secret::new([7; 32])
}

/// Client and server after a handshake that is always the same.
fn channels() -> (Channel, Channel) {
    let key = Key { id: KeyId::new("k").unwrap(), secret: secret() };
    let (greeting, bytes) = Greeting::new(&key, entropy(1)).unwrap();
    let (server, answer) = Preamble::peek(&bytes).unwrap().unwrap().accept(&key, entropy(2)).unwrap();
    (greeting.read(&answer).unwrap(), server)
}

/// Records through an inbox, however they are cut, give the frames that are in them, up to the first that does not open.
///
/// The first byte says what the rest is: with bit 1 a stream as [`unfold`] takes it, which is sealed first, in records as long as the pieces; without it
/// what came from the network. With bit 2, one byte of that is changed: the next three say which, and how. Then cuts and stream, as for [`inbox`].
pub fn sealed(bytes: &[u8]) {
    let [mode, at_high, at_low, change, count, rest @ ..] = bytes else { return };
    let (cuts, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let mut records = if mode & 1 == 0 { stream.to_vec() } else { seal(&unfold(stream), cuts) };
    let at = usize::from(u16::from_be_bytes([*at_high, *at_low]));
    if let Some(byte) = records.get_mut(at).filter(|_| mode & 2 != 0) {
        *byte ^= change;
    }
    let (plain, failed) = open(&records);
    let (frames, error) = expected(&plain);
    let whole = (frames, error.or(failed));
    for cuts in [&[255], cuts] {
        assert_eq!(receive(Inbox::sealed(LIMIT, channels().1.opener), &records, cuts), whole);
    }
}

fn seal(stream: &[u8], cuts: &[u8]) -> Vec<u8> {
    let mut writer = SealedWriter::new(channels().0.sealer);
    let (mut rest, mut sizes) = (stream, cuts.iter().cycle());
    // Records of one byte where that is quick enough.
    let least = 1 + stream.len() / 128;
    while !rest.is_empty() {
        let size = sizes.next().map_or(usize::MAX, |size| usize::from(*size).pow(2) + least);
        let (record, later) = rest.split_at(size.min(rest.len()));
        writer.append(record).unwrap();
        writer.finish().unwrap();
        rest = later;
    }
    writer.sealed().to_vec()
}

/// What is in the records, up to the one that does not open.
fn open(records: &[u8]) -> (BytesMut, Option<EnvelopeError>) {
    let (mut reader, mut plain) = (SealedReader::new(channels().1.opener), BytesMut::new());
    reader.sealed().extend_from_slice(records);
    let failed = reader.open(&mut plain).err();
    (plain, failed.map(EnvelopeError::from))
}
