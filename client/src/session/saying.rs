//! What is said: frames are written when the socket has room, straight from the records of calls and replies.

use super::calls::Stage;
use super::words::Caller;
use super::{Bye, Session};
use crate::error::Error;
use answerback_protocol::frames::{self, AnswerError};
use answerback_protocol::limits::{HOLDING_MAX, LENGTH_BYTES, VERSIONS};
use answerback_protocol::names::Name;
use answerback_protocol::{ClientFrame, Code, DeliveryId, Ran, RequestId, Text};
use bytes::{BufMut, BytesMut};
use std::time::{Duration, Instant};

/// Which program this is.
const AGENT: &str = concat!("answerback-rust/", env!("CARGO_PKG_VERSION"));

/// One thing to say. What has become pointless meanwhile is passed over when its turn comes.
#[derive(Debug)]
pub(super) enum Say {
    Request(RequestId),
    Cancel(RequestId),
    /// The next reply that was not written.
    Reply,
    Release(DeliveryId),
    Serve(Box<str>),
    Unserve(Box<str>),
    Resume {
        holding: Vec<DeliveryId>,
        more: bool,
    },
}

impl<C: Caller> Session<C> {
    /// Writes whole frames until `out` has `most` bytes or nothing is left to say.
    pub(crate) fn transmit(&mut self, now: Instant, out: &mut BytesMut, most: usize) {
        if self.connection.hello_due() {
            self.hello(out);
        }
        if !self.is_welcome() {
            return;
        }
        self.signs(out);
        while out.len() < most {
            let Some(say) = self.say.pop_front() else { break };
            self.was_used = true;
            self.write(say, now, out);
        }
        if self.say.is_empty() && self.bye == Bye::Wanted {
            ClientFrame::from(frames::Bye).write(b"", out);
            self.bye = Bye::Said;
        }
    }

    pub(crate) fn wants_to_transmit(&self) -> bool {
        let welcome = self.is_welcome();
        self.connection.hello_due()
            || welcome && (!self.say.is_empty() || self.connection.has_signs() || self.bye == Bye::Wanted)
    }

    fn hello(&mut self, out: &mut BytesMut) {
        let hello = frames::Hello {
            protocol: VERSIONS,
            name: Text::Borrowed(&self.identity.name),
            session: self.identity.session,
            agent: Some(Text::Borrowed(AGENT)),
        };
        ClientFrame::from(hello).write(b"", out);
        self.connection.said_hello();
    }

    /// Pings, pongs and acknowledgements do not wait behind anything.
    fn signs(&mut self, out: &mut BytesMut) {
        if std::mem::take(&mut self.connection.pong_due) {
            ClientFrame::from(frames::Pong).write(b"", out);
        }
        if let Some(replies) = self.connection.ack_due() {
            ClientFrame::from(frames::Ack { replies }).write(b"", out);
            self.connection.acknowledged();
        }
        if std::mem::take(&mut self.connection.ping_due) {
            ClientFrame::from(frames::Ping).write(b"", out);
        }
    }

    fn write(&mut self, say: Say, now: Instant, out: &mut BytesMut) {
        match say {
            Say::Request(id) => self.write_request(id, now, out),
            Say::Cancel(id) => self.write_cancel(id, out),
            Say::Reply => self.write_reply(out),
            Say::Release(id) => ClientFrame::from(frames::Release { id }).write(b"", out),
            Say::Serve(action) => {
                if let (Some(credit), Ok(action)) = (self.serves.get(&action), Name::new(&*action)) {
                    ClientFrame::from(frames::Serve { action, credit: *credit }).write(b"", out);
                }
            }
            Say::Unserve(action) => {
                if let (true, Ok(action)) = (self.unserving.contains(&action), Name::new(&*action)) {
                    ClientFrame::from(frames::Unserve { action }).write(b"", out);
                }
            }
            Say::Resume { holding, more } => ClientFrame::from(frames::Resume { holding, more }).write(b"", out),
        }
    }

    /// A request, with what is left of its time.
    fn write_request(&mut self, id: RequestId, now: Instant, out: &mut BytesMut) {
        let (leaving, connection, max_frame) = (self.leaving, self.connection.number, self.connection.max_frame());
        let Some(call) = self.calls.get_mut(id) else { return };
        let first = call.stage == Stage::Unsaid;
        if call.said_on == connection || !(first && !leaving || call.stage == Stage::Said) {
            return;
        }
        let passed = now.saturating_duration_since(call.ask.asked);
        let attempts = if call.lost > 0 { Some(call.attempts_left()) } else { call.ask.attempts };
        let ask = &call.ask;
        let Ok(action) = Name::new(&*ask.action) else { return };
        let request = frames::Request {
            id,
            action,
            ttl: ask.ttl.map(|ttl| left(ttl, passed, u64::from(first && !ttl.is_zero()))),
            timeout: ask.timeout.map(|timeout| left(timeout, passed, 1)),
            broadcast: ask.broadcast,
            attempts,
            durable: ask.durable,
            key: ask.key.as_deref().map(Text::Borrowed),
            reply: ask.reply,
            info: ask.info,
            trace: ask.trace.as_deref().map(Text::Borrowed),
        };
        let start = out.len();
        ClientFrame::from(request).write_head(ask.data.len(), out);
        if out.len() - start - LENGTH_BYTES + ask.data.len() > max_frame as usize {
            out.truncate(start);
            return self.refuse_too_large(id, max_frame);
        }
        out.put_slice(&ask.data);
        (call.stage, call.said_on) = (Stage::Said, connection);
    }

    fn refuse_too_large(&mut self, id: RequestId, max_frame: u32) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let (bytes, ran) = (call.ask.data.len(), if call.said_on > 0 { Ran::Maybe } else { Ran::No });
        let message = format!(
            "{}: {bytes} bytes of data do not fit into a frame of this server, which takes {max_frame}",
            call.ask.action
        );
        self.calls.end(id, Err(Error::new(Code::TooLarge, ran, message)));
    }

    /// A cancel of a request that was said on an earlier connection is followed by a ping: the pong says that it arrived.
    fn write_cancel(&mut self, id: RequestId, out: &mut BytesMut) {
        let connection = self.connection.number;
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.said_on != connection {
            call.stage = Stage::Cancelling { bare: true };
            self.calls.bare_cancels += 1;
            self.connection.ping_due = true;
        }
        ClientFrame::from(frames::Cancel { id }).write(b"", out);
    }

    fn write_reply(&mut self, out: &mut BytesMut) {
        let max_frame = self.connection.max_frame();
        let start = out.len();
        let Some(kept) = self.deliveries.next_to_write() else { return };
        let data = kept.data.clone();
        write_answer_head(kept, out);
        if out.len() - start - LENGTH_BYTES + data.len() <= max_frame as usize {
            return out.put_slice(&data);
        }
        out.truncate(start);
        self.deliveries.too_large(max_frame);
        if let Some(kept) = self.deliveries.last_written() {
            write_answer_head(kept, out);
        }
    }

    /// Everything that a server must hear on a new connection, in the order of PROTOCOL's chapter on resuming.
    pub(super) fn say_everything(&mut self) {
        self.say.clear();
        self.say.extend((0..self.deliveries.kept()).map(|_| Say::Reply));
        if self.was_used {
            self.say_what_is_held();
        }
        self.say.extend(self.serves.keys().cloned().map(Say::Serve));
        self.say.extend(self.unserving.iter().cloned().map(Say::Unserve));
        let cancelling = self.calls.in_order(|call| matches!(call.stage, Stage::Cancelling { .. }));
        self.say.extend(cancelling.into_iter().map(Say::Cancel));
        let waiting = self.calls.in_order(|call| matches!(call.stage, Stage::Said | Stage::Unsaid));
        self.say.extend(waiting.into_iter().map(Say::Request));
    }

    /// As many frames as it takes, also if nothing is held.
    fn say_what_is_held(&mut self) {
        let holding = self.deliveries.holding();
        let frames = holding.len().div_ceil(HOLDING_MAX).max(1);
        for frame in 0..frames {
            let ids = holding.iter().skip(frame * HOLDING_MAX).take(HOLDING_MAX).copied();
            self.say.push_back(Say::Resume { holding: ids.collect(), more: frame + 1 < frames });
        }
    }
}

fn write_answer_head(kept: &super::deliveries::Kept, out: &mut BytesMut) {
    let error = kept.fault.as_ref().map(|fault| AnswerError {
        code: Text::Borrowed(fault.code()),
        message: Text::Borrowed(fault.message()),
        retryable: fault.is_retryable(),
    });
    let answer = frames::Answer { id: kept.id, error, part: kept.part.is_some(), seq: kept.part };
    ClientFrame::from(answer).write_head(kept.data.len(), out);
}

/// Milliseconds that are left, rounded up, and not less than `least`.
fn left(whole: Duration, passed: Duration, least: u64) -> u64 {
    let left = whole.saturating_sub(passed);
    u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(least)
}
