//! What this client says, in the order in which it must be said.

use super::calls::Way;
use super::line::Phase;
use super::words::Caller;
use super::{Bye, Session};
use answerback_protocol::ClientFrame;
use answerback_protocol::frames::{self, Hello};
use answerback_protocol::limits::VERSIONS;
use bytes::BytesMut;
use std::time::Instant;

/// Which program this is, for the server's lists.
const AGENT: &str = concat!("answerback-rust/", env!("CARGO_PKG_VERSION"));

impl<C: Caller> Session<C> {
    /// Writes whole frames until `out` has `most` bytes or nothing is left to say.
    pub(crate) fn transmit(&mut self, now: Instant, out: &mut BytesMut, most: usize) {
        match self.line.phase {
            Phase::Greeting { hello_said: false, until } => {
                self.say_hello(out);
                self.line.phase = Phase::Greeting { hello_said: true, until };
            }
            Phase::Welcome if self.bye != Bye::Said => self.say_all(now, out, most),
            Phase::Welcome | Phase::Away | Phase::Greeting { .. } => {}
        }
    }

    /// Whether [`Self::transmit`] would write something, or has something to do.
    pub(crate) fn wants_to_transmit(&self) -> bool {
        match self.line.phase {
            Phase::Away => false,
            Phase::Greeting { hello_said, .. } => !hello_said,
            Phase::Welcome if self.bye == Bye::Said => false,
            Phase::Welcome => {
                self.line.has_signs()
                    || self.work.can_write()
                    || (!self.waits_to_resume() && self.has_more_to_say())
                    || self.bye_is_next()
            }
        }
    }

    /// On a connection that resumes nothing may go before the answers, which the server may not want yet.
    fn waits_to_resume(&self) -> bool {
        self.line.resume_due && self.work.has_unwritten()
    }

    fn has_more_to_say(&self) -> bool {
        self.line.resume_due
            || self.work.has_releases()
            || self.services.has_any_to_say()
            || self.topics.has_any_to_say()
            || self.publishes.has_any_to_say()
            || self.calls.has_cancels()
            || self.calls.has_requests()
    }

    /// The last step, but for answers that the server does not want yet.
    fn bye_is_next(&self) -> bool {
        self.bye == Bye::Wanted && !self.work.has_unwritten()
    }

    fn say_hello(&self, out: &mut BytesMut) {
        let hello = Hello {
            protocol: VERSIONS,
            name: self.identity.name.clone().into(),
            session: self.identity.session,
            agent: Some(AGENT.into()),
            node: None,
        };
        ClientFrame::from(hello).write(b"", out);
    }

    /// Every step comes after the one before, or not yet.
    fn say_all(&mut self, now: Instant, out: &mut BytesMut, most: usize) {
        self.line.say_signs(out, most);
        while out.len() < most && self.work.say_next(now, self.line.max_frame, out) {}
        if out.len() >= most || self.waits_to_resume() {
            return;
        }
        if std::mem::take(&mut self.line.resume_due) {
            self.work.say_held(self.line.max_frame, out);
        }
        // Before what is handed back: a server that knows that an action is served no more does not give it again.
        self.services.say(out, most);
        self.topics.say(out, most);
        while out.len() < most && self.work.say_release(out) {}
        self.say_cancels(out, most);
        let way = self.way();
        while out.len() < most && self.calls.say_next(now, way, out) {}
        let topics = &self.topics;
        while out.len() < most && self.publishes.say_next(way, out, |topic| topics.has_pattern(topic)) {}
        if out.len() < most && self.bye_is_next() {
            self.bye = Bye::Said;
            ClientFrame::from(frames::Bye).write(b"", out);
        }
    }

    fn say_cancels(&mut self, out: &mut BytesMut, most: usize) {
        let way = self.way();
        while out.len() < most
            && let Some(needs_pong) = self.calls.say_cancel(way, out)
        {
            if needs_pong {
                self.line.ask_for_pong();
            }
        }
        self.line.say_signs(out, most);
    }

    fn way(&self) -> Way {
        Way { connection: self.line.number, max_frame: self.line.max_frame, pings: self.line.pings_said }
    }
}
