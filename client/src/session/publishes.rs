//! Events that this client publishes: those that wait to be written, and those of which the server's word is awaited.
//!
//! An event is written once. What was never written waits for the next connection; what was written on one that broke may not have arrived, and is not
//! written again, so nobody gets an event twice.

use super::calls::Way;
use super::ids::ById;
use super::words::{Caller, Ending};
use crate::error::Error;
use answerback_protocol::frames::Publish as Frame;
use answerback_protocol::limits::HEAD_BYTES_MAX;
use answerback_protocol::{ClientFrame, Code, Pattern, Ran, RequestId};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// What an event that waits takes besides its topic and data.
const EVENT_BYTES: usize = 96;

/// An event to publish.
#[derive(Debug)]
pub(crate) struct Publish<C> {
    /// A sound topic without wildcards.
    pub(crate) topic: Box<str>,
    pub(crate) data: Bytes,
    /// For this client only, by its public number.
    pub(crate) to: Option<u64>,
    /// Not for this client itself.
    pub(crate) others: bool,
    /// Who waits for the server's word, and under which id.
    pub(crate) confirm: Option<(RequestId, C)>,
}

pub(super) struct Publishes<C> {
    to_say: VecDeque<Publish<C>>,
    /// Bytes of those.
    bytes: usize,
    said: ById<C>,
}

impl<C: Caller> Publishes<C> {
    pub(super) fn new() -> Self {
        Self { to_say: VecDeque::new(), bytes: 0, said: ById::default() }
    }

    /// Bytes that wait to be written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, publish: Publish<C>) {
        self.bytes += publish.cost();
        self.to_say.push_back(publish);
    }

    pub(super) fn has_any_to_say(&self) -> bool {
        !self.to_say.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.to_say.is_empty() && self.said.is_empty()
    }

    /// Writes the next one. False if there is none. `is_ambiguous` says of a topic that an `error` with it could be taken for one about something else.
    pub(super) fn say_next(&mut self, way: Way, out: &mut BytesMut, is_ambiguous: impl FnOnce(&str) -> bool) -> bool {
        let Some(publish) = self.to_say.pop_front() else { return false };
        self.bytes -= publish.cost();
        let room = (way.max_frame as usize).saturating_sub(HEAD_BYTES_MAX);
        if publish.data.len() > room {
            publish.fail(
                Code::TooLarge,
                Ran::No,
                "the event does not fit into a frame of this server: publish less, or raise its --max-frame",
            );
            return true;
        }
        let Ok(topic) = Pattern::topic(&*publish.topic) else { return true };
        let id = match &publish.confirm {
            Some((id, _)) => Some(*id),
            // Nobody waits for the answer; the id only tells what it is about.
            None => is_ambiguous(&publish.topic).then(|| RequestId::truncated(u64::MAX)),
        };
        ClientFrame::from(Frame { topic, id, to: publish.to, others: publish.others }).write(&publish.data, out);
        if let Some((id, caller)) = publish.confirm {
            self.said.insert(id.get(), caller);
        }
        true
    }

    /// The server has it. False if no event has this id.
    pub(super) fn accepted(&mut self, id: u64) -> bool {
        let Some(caller) = self.said.remove(&id) else { return false };
        caller.end(Ending { result: Ok(Bytes::new()), info: None, counts: None });
        true
    }

    /// The server does not take it. False if no event has this id.
    pub(super) fn refused(&mut self, id: u64, code: Code, message: &str) -> bool {
        let Some(caller) = self.said.remove(&id) else { return false };
        caller.end(Ending::failed(Error::new(code, Ran::No, message)));
        true
    }

    /// Nobody will hear of those that were written.
    pub(super) fn disconnected(&mut self) {
        for caller in std::mem::take(&mut self.said).into_values() {
            let message = "the connection broke before the server confirmed the event: it may have been published";
            caller.end(Ending::failed(Error::new(Code::Disconnected, Ran::Maybe, message)));
        }
    }

    /// Those that were never written, for another session.
    pub(super) fn take_unsaid(&mut self) -> VecDeque<Publish<C>> {
        self.bytes = 0;
        std::mem::take(&mut self.to_say)
    }

    pub(super) fn give_up(&mut self, code: Code, why: &str) {
        for publish in self.take_unsaid() {
            publish.fail(code, Ran::No, why);
        }
        for caller in std::mem::take(&mut self.said).into_values() {
            caller.end(Ending::failed(Error::new(code, Ran::Maybe, why)));
        }
    }
}

impl<C: Caller> Publish<C> {
    pub(crate) fn cost(&self) -> usize {
        EVENT_BYTES + self.topic.len() + self.data.len()
    }

    fn fail(self, code: Code, ran: Ran, message: &str) {
        match self.confirm {
            Some((_, caller)) => caller.end(Ending::failed(Error::new(code, ran, message))),
            None => tracing::warn!(topic = %self.topic.escape_debug(), %code, "an event was not published: {message}"),
        }
    }
}
