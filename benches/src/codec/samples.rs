//! The frames that the codec is timed with: those of a plain call, and a request that says all it can.

use super::SCRATCH_BYTES;
use crate::Outcome;
use crate::wire::shape::data;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::{Ack, Answer, Deliver, Reply, Request};
use answerback_protocol::limits::{FRAME_BYTES_DEFAULT, PREFIX_BYTES};
use answerback_protocol::{ClientFrame, DeliveryId, Name, RequestId, ServerFrame};
use bytes::BytesMut;

/// Frames in a row, as a network brings them.
pub(super) struct Stream {
    pub(super) bytes: Vec<u8>,
    pub(super) frames: usize,
}

/// Plain requests with `bytes` of data each, at least eight scratches full, so that frames lie across the ends of reads.
pub(super) fn requests(bytes: usize) -> Stream {
    let (mut out, mut frames, data) = (BytesMut::new(), 0, data(bytes));
    while out.len() < 8 * SCRATCH_BYTES {
        plain(1_000_000 + frames as u64).write(&data, &mut out);
        frames += 1;
    }
    Stream { bytes: out.to_vec(), frames }
}

fn plain(id: u64) -> ClientFrame<'static> {
    let mut request = Request::call(RequestId::truncated(id), name());
    request.timeout = Some(2_000);
    request.into()
}

fn full() -> ClientFrame<'static> {
    let mut request = Request::call(RequestId::truncated(1_234_567), name());
    (request.ttl, request.timeout, request.attempts) = (Some(1_500), Some(2_000), Some(3));
    request.key = Some("3f2c9f0e-9d0a-4b0e-8a44-6f8b7d7f4b61".into());
    request.trace = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    request.info = true;
    request.into()
}

/// Both names here are sound: one constant, checked by every run.
fn name() -> Name<'static> {
    match Name::new("user.get") {
        Ok(name) => name,
        Err(_) => unreachable!("a constant that is a name"),
    }
}

/// Heads of what clients send on the road of a call.
pub(super) fn heads() -> Vec<(&'static str, Vec<u8>)> {
    let answer = Answer { id: DeliveryId::truncated(4_503_599_627_370_497), error: None, part: false, seq: None };
    vec![
        ("request, plain", head_of(&plain(1_234_567))),
        ("request, full", head_of(&full())),
        ("reply", head_of(&answer.into())),
        ("ack", head_of(&Ack { replies: 128_000 }.into())),
    ]
}

fn head_of(frame: &ClientFrame<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame.write(&[], &mut out);
    let length = Envelope::peek(&out, FRAME_BYTES_DEFAULT).ok().flatten().map_or(0, |envelope| envelope.head);
    out[PREFIX_BYTES..PREFIX_BYTES + length].to_vec()
}

pub(super) fn deliver() -> Outcome<ServerFrame<'static>> {
    let id = DeliveryId::new(4_503_599_627_370_497).ok_or("not an id")?;
    let (action, from) = ("user.get".into(), "web-1".into());
    Ok(Deliver { id, action, from, left: 1_999, attempt: 1, trace: None }.into())
}

pub(super) fn reply() -> Outcome<ServerFrame<'static>> {
    Ok(Reply::to(RequestId::new(1_234_567).ok_or("not an id")?).into())
}
