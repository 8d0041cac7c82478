//! Frames read and written with 64 B of data, and a sealed record of 1 KiB.

use crate::Outcome;
use answerback_protocol::frames::{Answer, Deliver, Reply, Request};
use answerback_protocol::inbox::{Inbox, Scratch};
use answerback_protocol::limits::FRAME_BYTES_DEFAULT;
use answerback_protocol::sealed::{Entropy, Greeting, Key, KeyId, Preamble, RECORD_EXTRA_BYTES, SECRET_BYTES, Secret};
use answerback_protocol::{ClientFrame, DeliveryId, Name, RequestId, ServerFrame};
use bytes::BytesMut;
use std::hint::black_box;

const DATA: [u8; 64] = [b'1'; 64];
const SCRATCH_BYTES: usize = 64 << 10;

pub(crate) fn read_request(count: u64) -> Outcome<()> {
    let action = Name::new("user.get").map_err(|problem| format!("{problem:?}"))?;
    read(&Request::call(RequestId::truncated(1_234_567), action).into(), count)
}

pub(crate) fn read_reply(count: u64) -> Outcome<()> {
    let id = DeliveryId::truncated(4_503_599_627_370_497);
    read(&Answer { id, error: None, part: false, seq: None }.into(), count)
}

/// Through an inbox, as a server reads, and into its type.
fn read(frame: &ClientFrame<'_>, count: u64) -> Outcome<()> {
    let mut bytes = BytesMut::new();
    frame.write(&DATA, &mut bytes);
    let (mut scratch, mut inbox) = (Scratch::new(SCRATCH_BYTES), Inbox::new(FRAME_BYTES_DEFAULT));
    for _ in 0..count {
        inbox.space(&mut scratch)[..bytes.len()].copy_from_slice(&bytes);
        inbox.received(&mut scratch, bytes.len());
        while let Ok(Some(frame)) = inbox.next(&mut scratch) {
            black_box(ClientFrame::read(frame.head).map_err(|error| format!("{error}"))?);
        }
    }
    Ok(())
}

pub(crate) fn write_deliver(count: u64) -> Outcome<()> {
    let id = DeliveryId::truncated(4_503_599_627_370_497);
    let (action, from) = ("user.get".into(), "web-1".into());
    write(&Deliver { id, action, from, left: 1_999, attempt: 1, trace: None }.into(), count)
}

pub(crate) fn write_reply(count: u64) -> Outcome<()> {
    write(&Reply::to(RequestId::truncated(1_234_567)).into(), count)
}

fn write(frame: &ServerFrame<'_>, count: u64) -> Outcome<()> {
    let mut out = BytesMut::with_capacity(SCRATCH_BYTES);
    for _ in 0..count {
        out.clear();
        black_box(frame).write(black_box(&DATA), &mut out);
        black_box(&out);
    }
    if out.is_empty() { Err("nothing was written".into()) } else { Ok(()) }
}

/// Sealed on one side and opened on the other.
pub(crate) fn sealed_record(count: u64) -> Outcome<()> {
    let key = Key { id: KeyId::new("bench")?, secret: Secret::new([7; SECRET_BYTES]) };
    let (greeting, bytes) = Greeting::new(&key, Entropy::new([1; 32]))?;
    let preamble = Preamble::peek(&bytes)?.ok_or("half a preamble")?;
    let (mut theirs, answer) = preamble.accept(&key, Entropy::new([2; 32]))?;
    let mut ours = greeting.read(&answer)?;
    let mut record = vec![0; (1 << 10) + RECORD_EXTRA_BYTES];
    for _ in 0..count {
        ours.sealer.seal(black_box(&mut record)).map_err(|error| format!("{error:?}"))?;
        theirs.opener.open(black_box(&mut record)).map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}
