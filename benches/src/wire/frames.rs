//! Answerback as a lean client speaks it: frames are put together from pieces of text, and of a head only the type and
//! the id are looked at, where the server is known to write them. It keeps no replies and resumes nothing; it does
//! acknowledge, answer pings, and stop at the first error.
//!
//! The relay is spoken to in the same way: the responder then hears requests where it would hear deliveries.

use super::dialect::{Dialect, Heard};
use super::sealed::Seal;
use crate::Outcome;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::limits::{
    ACK_AFTER_BYTES, ACK_AFTER_REPLIES, ACK_WITHIN_MS, FRAME_BYTES_DEFAULT, PREFIX_BYTES, SERVER_EXTRA_BYTES,
};
use std::time::{Duration, Instant};

/// The action that everybody calls.
pub(crate) const ACTION: &str = "bench";

const DELIVER: &[u8] = b"{\"type\":\"deliver\",\"id\":";
const REQUEST: &[u8] = b"{\"type\":\"request\",\"id\":";
const REPLY: &[u8] = b"{\"type\":\"reply\",\"id\":";
const ACCEPTED: &[u8] = b"{\"type\":\"accepted\",\"id\":";
const PING: &[u8] = b"{\"type\":\"ping\"";
const ACK: &[u8] = b"{\"type\":\"ack\"";
const PONG: &[u8] = b"{\"type\":\"pong\"}";

/// How requests are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asking {
    /// A call that says nothing but what it must.
    #[default]
    Call,
    /// A call that is on disk before it counts.
    DurableCall,
    /// A send, which is answered as soon as the broker has it.
    Send,
    /// A send that is on disk before it counts.
    DurableSend,
}

impl Asking {
    /// What stands behind the id.
    fn request_end(self) -> &'static [u8] {
        match self {
            Self::Call => b",\"action\":\"bench\"}",
            Self::DurableCall => b",\"action\":\"bench\",\"durable\":true}",
            Self::Send => b",\"action\":\"bench\",\"reply\":false}",
            Self::DurableSend => b",\"action\":\"bench\",\"durable\":true,\"reply\":false}",
        }
    }
}

/// One connection's side of the conversation.
#[derive(Default)]
pub(super) struct Frames {
    asking: Asking,
    seal: Option<Seal>,
    /// Replies heard on this connection.
    replies: u64,
    acked: u64,
    bytes_not_acked: u64,
    /// When the first reply came that is not acknowledged.
    not_acked_since: Option<Instant>,
    pings: u32,
}

impl Dialect for Frames {
    fn hear<'b>(&mut self, bytes: &'b [u8]) -> Outcome<Option<(Heard<'b>, usize)>> {
        let limit = FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES;
        let envelope = Envelope::peek(bytes, limit).map_err(|error| format!("not a frame: {error:?}"))?;
        let Some(envelope) = envelope.filter(|envelope| envelope.total() <= bytes.len()) else { return Ok(None) };
        let (head, data) = bytes[PREFIX_BYTES..envelope.total()].split_at(envelope.head);
        Ok(Some((self.understand(head, data)?, envelope.total())))
    }

    fn ask(&mut self, id: u64, data: &[u8], out: &mut Vec<u8>) {
        put(REQUEST, itoa::Buffer::new().format(id).as_bytes(), self.asking.request_end(), data, out);
    }

    fn answer(&mut self, reply_to: &[u8], data: &[u8], out: &mut Vec<u8>) {
        put(REPLY, reply_to, b"}", data, out);
    }

    fn end_of_batch(&mut self, out: &mut Vec<u8>) {
        for _ in 0..std::mem::take(&mut self.pings) {
            put(PONG, b"", b"", b"", out);
        }
        let many = self.replies - self.acked >= ACK_AFTER_REPLIES || self.bytes_not_acked >= ACK_AFTER_BYTES;
        let late = |since: Instant| since.elapsed() >= Duration::from_millis(ACK_WITHIN_MS);
        if many || self.not_acked_since.is_some_and(late) {
            put(b"{\"type\":\"ack\",\"replies\":", itoa::Buffer::new().format(self.replies).as_bytes(), b"}", b"", out);
            (self.acked, self.bytes_not_acked, self.not_acked_since) = (self.replies, 0, None);
        } else if self.replies > self.acked && self.not_acked_since.is_none() {
            self.not_acked_since = Some(Instant::now());
        }
    }

    fn take_seal(&mut self) -> Option<Seal> {
        self.seal.take()
    }
}

impl Frames {
    /// Asks in this way.
    #[cfg(test)]
    fn asking(asking: Asking) -> Self {
        Self::new(asking, None)
    }

    /// Asks in this way, over this channel if there is one.
    pub(super) fn new(asking: Asking, seal: Option<Seal>) -> Self {
        Self { asking, seal, ..Self::default() }
    }

    fn understand<'b>(&mut self, head: &'b [u8], data: &'b [u8]) -> Outcome<Heard<'b>> {
        if let Some(rest) = head.strip_prefix(DELIVER).or_else(|| head.strip_prefix(REQUEST)) {
            return Ok(Heard::Call { reply_to: digits(rest), data });
        }
        if let Some(rest) = head.strip_prefix(REPLY) {
            let id = digits(rest);
            if rest[id.len()..] != *b"}" {
                return Err(unexpected(head));
            }
            self.replies += 1;
            self.bytes_not_acked += data.len() as u64;
            return Ok(Heard::Answer { id: number(id), data_bytes: data.len() });
        }
        if let Some(rest) = head.strip_prefix(ACCEPTED) {
            return Ok(Heard::Accepted { id: number(digits(rest)) });
        }
        if head.starts_with(PING) {
            self.pings += 1;
        } else if !head.starts_with(ACK) {
            return Err(unexpected(head));
        }
        Ok(Heard::Nothing)
    }
}

fn unexpected(head: &[u8]) -> Box<dyn std::error::Error + Send + Sync> {
    format!("the server says {}", String::from_utf8_lossy(head).escape_debug()).into()
}

/// The digits at the beginning.
pub(crate) fn digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

/// What digits mean.
pub(crate) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0'))))
}

/// Writes a frame whose head comes in three pieces.
fn put(begin: &[u8], middle: &[u8], end: &[u8], data: &[u8], out: &mut Vec<u8>) {
    let head = begin.len() + middle.len() + end.len();
    out.extend_from_slice(&((2 + head + data.len()) as u32).to_be_bytes());
    out.extend_from_slice(&(head as u16).to_be_bytes());
    for piece in [begin, middle, end, data] {
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::frames::{Deliver, Reply};
    use answerback_protocol::{ClientFrame, ServerFrame};
    use answerback_protocol::{DeliveryId, RequestId};
    use bytes::BytesMut;

    fn head(frame: &[u8]) -> &[u8] {
        let envelope = Envelope::peek(frame, FRAME_BYTES_DEFAULT).unwrap().unwrap();
        &frame[PREFIX_BYTES..PREFIX_BYTES + envelope.head]
    }

    #[test]
    fn what_it_writes_is_the_protocol() {
        let mut out = Vec::new();
        Frames::default().ask(17, b"{}", &mut out);
        let Ok(ClientFrame::Request(request)) = ClientFrame::read(head(&out)) else { panic!("not a request") };
        assert_eq!((request.id.get(), request.action.as_str()), (17, ACTION));
        for (asking, durable, reply) in
            [(Asking::DurableCall, true, true), (Asking::Send, false, false), (Asking::DurableSend, true, false)]
        {
            out.clear();
            Frames::asking(asking).ask(17, b"{}", &mut out);
            let Ok(ClientFrame::Request(request)) = ClientFrame::read(head(&out)) else { panic!("not a request") };
            assert_eq!((request.durable, request.reply), (durable, reply), "{asking:?}");
        }
        out.clear();
        Frames::default().answer(b"18", b"{}", &mut out);
        let Ok(ClientFrame::Answer(answer)) = ClientFrame::read(head(&out)) else { panic!("not a reply") };
        assert_eq!(answer.id.get(), 18);
    }

    #[test]
    fn it_hears_what_the_protocol_writes() {
        let (action, from) = (ACTION.into(), "caller".into());
        let deliver = Deliver { id: DeliveryId::truncated(9), action, from, left: 1, attempt: 1, trace: None };
        let mut bytes = BytesMut::new();
        ServerFrame::from(deliver).write(b"7", &mut bytes);
        let heard = Frames::default().hear(&bytes).unwrap();
        assert_eq!(heard, Some((Heard::Call { reply_to: b"9", data: b"7" }, bytes.len())));
        assert_eq!(Frames::default().hear(&bytes[..bytes.len() - 1]).unwrap(), None);
        bytes.clear();
        ServerFrame::from(Reply::to(RequestId::truncated(5))).write(b"7", &mut bytes);
        let heard = Frames::default().hear(&bytes).unwrap();
        assert_eq!(heard, Some((Heard::Answer { id: 5, data_bytes: 1 }, bytes.len())));
    }

    #[test]
    fn it_acknowledges_after_as_many_replies_as_the_protocol_says() {
        let (mut frames, mut bytes, mut out) = (Frames::default(), BytesMut::new(), Vec::new());
        ServerFrame::from(Reply::to(RequestId::truncated(5))).write(b"7", &mut bytes);
        for _ in 0..ACK_AFTER_REPLIES {
            assert!(out.is_empty());
            frames.hear(&bytes).unwrap();
            frames.end_of_batch(&mut out);
        }
        let Ok(ClientFrame::Ack(ack)) = ClientFrame::read(head(&out)) else { panic!("not an ack") };
        assert_eq!(ack.replies, ACK_AFTER_REPLIES);
    }
}
