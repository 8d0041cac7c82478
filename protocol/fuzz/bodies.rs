//! What the fuzz targets do with their bytes. The targets and `protocol/tests/corpus.rs` include this file, so that a
//! corpus is replayed by every `cargo test` exactly as the fuzzer ran it.

#![allow(dead_code, unreachable_pub, reason = "each target uses its part")]
#![allow(clippy::unwrap_used, reason = "a broken promise shall stop the fuzzer")]

use answerback_protocol::envelope::{Envelope, EnvelopeError};
use answerback_protocol::inbox::{Inbox, Scratch};
use answerback_protocol::limits::{HEAD_BYTES_MAX, PREFIX_BYTES};
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
    assert_eq!(receive(&stream, &[255]), whole);
    assert_eq!(receive(&stream, cuts), whole);
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

fn receive(stream: &[u8], cuts: &[u8]) -> Frames {
    let (mut scratch, mut inbox) = (Scratch::new(32 << 10), Inbox::new(LIMIT));
    let mut frames = Vec::new();
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
        assert_eq!(inbox.is_amid_a_frame(), open > 0);
        assert!(inbox.memory() <= SHARE_FROM_BYTES.max(8 * open), "{} bytes for {open}", inbox.memory());
    }
    (frames, None)
}
