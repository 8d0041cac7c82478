//! One call of this client: how far it has come, when its time is up, and how it is written.

use super::words::{Ask, Caller, Ending};
use crate::error::Error;
use answerback_protocol::frames::Request;
use answerback_protocol::limits::{HEAD_LENGTH_BYTES, WAIT_MS_MAX};
use answerback_protocol::{ClientFrame, Code, Name, Ran, RequestId, Text};
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// A request's head without its names: all members, each at its longest, and then some.
const HEAD_BYTES: usize = 256;

/// Handlers that may be given a request which does not say how many, as the broker counts them.
const CALL_ATTEMPTS: u32 = 1;
const SEND_ATTEMPTS: u32 = 3;

/// A call that waits for its answer. Its life is drawn in `mod.rs`.
pub(super) struct Call<C> {
    pub(super) ask: Ask,
    pub(super) caller: C,
    /// The connection on which it was written last. 0 is UNSAID: the server has not heard of it in this session.
    said_on: u64,
    /// Whether it was written in a session that was lost since: it may have run there, whatever a server says of it now.
    exposed: bool,
    /// The number of the last part that was passed on.
    parts: u64,
}

impl<C: Caller> Call<C> {
    pub(super) fn new(ask: Ask, caller: C) -> Self {
        Self { ask, caller, said_on: 0, exposed: false, parts: 0 }
    }

    /// Whether the server may know it in this session.
    pub(super) fn is_said(&self) -> bool {
        self.said_on != 0
    }

    /// The connection on which it was written last, 0 if it is unsaid.
    pub(super) fn said_on(&self) -> u64 {
        self.said_on
    }

    /// Whether it was written on this connection.
    pub(super) fn is_said_on(&self, connection: u64) -> bool {
        self.said_on == connection
    }

    /// Whether it was never written on any connection, so that it certainly did not run.
    pub(super) fn is_fresh(&self) -> bool {
        !self.is_said() && !self.exposed
    }

    /// What can be promised of it without the server.
    pub(super) fn ran(&self) -> Ran {
        if self.is_fresh() { Ran::No } else { Ran::Maybe }
    }

    /// When its time is up: of one that is unsaid to the moment, of one that was said after a little more, since the server itself
    /// has a word to say on it.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        let at = |span: Duration| self.ask.asked.checked_add(span);
        match (self.is_said(), self.ask.timeout) {
            (true, timeout) => at(timeout?.checked_add(patience)?),
            (false, timeout) => earlier(self.waiting_time().and_then(at), timeout.and_then(at)),
        }
    }

    /// How long it may wait to be said. A ttl of 0 does not wait for a connection at all, which is looked at when it is asked
    /// and when the connection breaks.
    fn waiting_time(&self) -> Option<Duration> {
        self.ask.ttl.filter(|ttl| !ttl.is_zero())
    }

    /// Whether it is unsaid and its time is up.
    fn is_too_late(&self, now: Instant) -> bool {
        !self.is_said() && self.due(Duration::ZERO).is_some_and(|due| due <= now)
    }

    /// Ends it because its time is up.
    pub(super) fn end_overdue(self) {
        let expired = self.waiting_time().is_some_and(|ttl| self.ask.timeout.is_none_or(|timeout| ttl < timeout));
        match (self.is_said(), self.exposed) {
            (true, _) => self.fail(Code::Timeout, Ran::Maybe, NO_ANSWER),
            (false, true) => self.fail(Code::Timeout, Ran::Maybe, NOT_SAID_AGAIN),
            (false, false) if expired => self.fail(Code::Expired, Ran::No, UNSAID_EXPIRED),
            (false, false) => self.fail(Code::Timeout, Ran::No, UNSAID_TIMEOUT),
        }
    }

    /// Ends it with an error made here.
    pub(super) fn fail(self, code: Code, ran: Ran, message: impl Into<String>) {
        self.caller.end(Ending::failed(Error::new(code, ran, message)));
    }

    /// The session in which it was said is lost. Whether it may be said in another one: one attempt is used up.
    pub(super) fn survives_the_session(&mut self) -> bool {
        let default = if self.ask.reply { CALL_ATTEMPTS } else { SEND_ATTEMPTS };
        let left = self.ask.attempts.unwrap_or(default).saturating_sub(1);
        self.ask.attempts = Some(left.max(1));
        (self.said_on, self.exposed) = (0, true);
        left > 0
    }

    /// The server has promised that it did not take it, since it leaves: another one may.
    pub(super) fn unsay(&mut self) {
        self.said_on = 0;
    }

    /// Whether a part with this number is news.
    pub(super) fn is_new_part(&mut self, number: Option<u64>) -> bool {
        let Some(number) = number else { return true };
        number > self.parts
    }

    /// Whether parts before this one are missing. Another handler counts from 1 again, and what it says twice is no news.
    pub(super) fn misses_parts(&self, number: Option<u64>) -> bool {
        number.is_some_and(|number| number > self.parts + 1)
    }

    pub(super) fn took_part(&mut self, number: Option<u64>) {
        self.parts = number.unwrap_or(self.parts);
    }

    /// Whether a server's word that it did not run is the whole truth, and its asker has got nothing of it.
    pub(super) fn is_unharmed(&self) -> bool {
        !self.exposed && self.parts == 0
    }

    /// What its asker is told when the server says this. The server speaks of its session with this client alone.
    pub(super) fn judge(&self, error: Error) -> Error {
        if !self.exposed || error.ran() != Ran::No {
            return error;
        }
        let what = error.code();
        Error::new(
            Code::Disconnected,
            Ran::Maybe,
            format!("it was sent in a session that its server lost and may have run there; now: {what}"),
        )
    }

    /// Why it must not be written on a connection with this limit, if that is so.
    pub(super) fn obstacle(&self, now: Instant, max_frame: u32) -> Option<Obstacle> {
        if !self.is_said() && self.caller.is_gone() {
            Some(Obstacle::NobodyWaits)
        } else if self.is_too_late(now) {
            Some(Obstacle::TooLate)
        } else {
            too_large(&self.ask, max_frame).map(Obstacle::TooLarge)
        }
    }

    /// Writes it, with what is left of its times. `None` if its name is not one, which its asker should have seen.
    pub(super) fn write(&mut self, now: Instant, id: u64, connection: u64, out: &mut BytesMut) -> Option<()> {
        let Ask { asked, reply, broadcast, durable, info, attempts, .. } = self.ask;
        let left = |whole: Duration| whole.saturating_sub(now.saturating_duration_since(asked));
        let request = Request {
            id: RequestId::truncated(id),
            action: Name::new(&*self.ask.action).ok()?,
            ttl: self.ask.ttl.map(|ttl| wire_ms(left(ttl))),
            timeout: self.ask.timeout.map(|timeout| wire_ms(left(timeout)).max(1)),
            broadcast,
            attempts,
            durable,
            key: self.ask.key.as_deref().map(Text::Borrowed),
            reply,
            info,
            trace: self.ask.trace.as_deref().map(Text::Borrowed),
            again: self.is_said(),
            via: None,
        };
        ClientFrame::from(request).write(&self.ask.data, out);
        self.said_on = connection;
        Some(())
    }
}

/// Why a call is not written.
pub(super) enum Obstacle {
    NobodyWaits,
    TooLate,
    TooLarge(String),
}

const NO_ANSWER: &str =
    "no answer came within its timeout, nor the server's word on it: raise timeout, or see whether the server is there";

const NOT_SAID_AGAIN: &str = "the server lost this client's session, and its time was up before it could be sent again";

const UNSAID_EXPIRED: &str =
    "its ttl ended before there was a connection to send it on: raise ttl, or see why there is none";

const UNSAID_TIMEOUT: &str =
    "there was no connection to send it on within its timeout: raise timeout, or see why there is none";

/// Why this does not fit into a frame, if it does not.
pub(super) fn too_large(ask: &Ask, max_frame: u32) -> Option<String> {
    // In names only quotes and backslashes are escaped, by one byte each.
    let names = ask.action.len() + ask.key.as_deref().map_or(0, str::len) + ask.trace.as_deref().map_or(0, str::len);
    let bytes = ask.data.len();
    let is_too_large = (HEAD_LENGTH_BYTES + HEAD_BYTES + 2 * names).saturating_add(bytes) > max_frame as usize;
    is_too_large.then(|| {
        format!("{bytes} bytes of data do not fit into a frame of {max_frame} (max_frame of the server): send less, or raise it")
    })
}

/// The earlier of two moments, where never is later than any.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// As whole milliseconds, rounded up: what has not ended yet is not 0.
fn wire_ms(span: Duration) -> u64 {
    let begun = u64::from(span.subsec_nanos().div_ceil(1_000_000));
    span.as_secs().saturating_mul(1_000).saturating_add(begun).min(WAIT_MS_MAX)
}

impl Ending {
    pub(super) fn failed(error: Error) -> Self {
        Self { result: Err(error), info: None, counts: None }
    }
}
