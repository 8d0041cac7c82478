//! A request is passed on to another server as it is given to a handler, and its answer comes back.
//!
//! What comes back is one of four things: the answer of a handler; an end that the other server decided, which is passed on as it is; a handler was
//! lost there, and `attempts` decide here; or the other server could not take it, and it waits here again as if it had never left.

use super::Link;
use crate::answers::PartOf;
use crate::broker::Broker;
use crate::endings::Outcome;
use crate::handler::Handler;
use crate::input::ConnectionId;
use crate::request::{Owner, Request};
use crate::session::{Delivery, Session};
use crate::tables::Key;
use answerback_protocol::frames::{
    Answer, AnswerError, CallError, Cancel, Fault, Reply, Request as Frame, Resume, Via,
};
use answerback_protocol::limits::{HEAD_BYTES_MAX, HOLDING_MAX};
use answerback_protocol::{Code, DeliveryId, Name, Payload, Ran, RequestId, Text};
use std::sync::Arc;

/// What the end of a request at another server means here.
enum Meaning {
    /// It has ended.
    Ended,
    /// Its handler was lost.
    Lost,
    /// It was not taken.
    Back,
}

impl Broker {
    /// Whether a handler may be given a request: one behind another server not if the request has been there, or the way is too long.
    pub(crate) fn may_take(&self, handler: &Handler, request: &Request) -> bool {
        let way = handler.way();
        if way.is_empty() {
            return true;
        }
        let path = request.path();
        path.len() + way.len() <= self.settings.max_hops
            && !way.iter().any(|node| path.contains(node))
            && request.data.len() + HEAD_BYTES_MAX <= handler.frame_most as usize
    }

    /// Says a request to the server that it was given to.
    pub(crate) fn pass_on(&mut self, to: ConnectionId, key: Key<Request>, again: bool) {
        let Some((frame, data)) = self.passed(key, again) else { return };
        self.counts.passed_on += u64::from(!again);
        self.say(to, frame, data);
    }

    fn passed(&self, key: Key<Request>, again: bool) -> Option<(Frame<'static>, Payload)> {
        let request = self.requests.get(key)?;
        let rare = request.rare.as_deref();
        let home = rare.and_then(|rare| rare.home.as_deref());
        let name = match home {
            Some(home) => Arc::clone(&home.action),
            None => Arc::clone(&self.actions.get(request.action)?.name),
        };
        let mut path = request.path().to_vec();
        path.push(self.settings.node);
        let via = Via {
            from: Arc::clone(&request.from).into(),
            path,
            attempt: u32::from(request.attempt).max(1),
            holder: home.and_then(|home| home.holder.clone()).map(Text::from),
            home: home.map(|home| home.node),
            cast: self.cast_of(request),
        };
        let waits = (request.expires < request.deadline).then(|| self.now.millis_until(request.expires));
        let frame = Frame {
            ttl: waits,
            timeout: Some(self.now.millis_until(request.deadline)),
            broadcast: matches!(request.owner, Owner::Broadcast { .. }),
            key: home.map(|home| Text::from(Arc::clone(&home.key))),
            info: request.info,
            trace: request.trace().cloned(),
            again,
            via: Some(Box::new(via)),
            ..Frame::call(RequestId::truncated(request.delivery().get()), Name::new(name).ok()?)
        };
        Some((frame, request.data.clone()))
    }

    fn cast_of(&self, request: &Request) -> Option<RequestId> {
        let Owner::Broadcast { whole, .. } = request.owner else { return None };
        self.requests.get(whole)?.rare.as_ref().map(|rare| RequestId::truncated(rare.cast))
    }

    /// Asks a server again for everything that it has, on a new connection.
    pub(super) fn announce_to_server(&mut self, link: Key<Link>, theirs: Key<Session>) {
        let Some(connection) = self.mesh.links.get(link).and_then(|link| link.connection) else { return };
        let Some(session) = self.sessions.get(theirs) else { return };
        for (id, delivery) in session.deliveries_in_order(|_| true) {
            match delivery.request {
                Some(request) => self.pass_on(connection, request, true),
                None => {
                    self.say(connection, Cancel { id: RequestId::truncated(id) }, Payload::NONE);
                    self.settle(theirs, id, delivery);
                    self.forget_if_done(delivery.handler);
                }
            }
        }
    }

    /// Says which requests of a server this one still has: after a restart the server may not know them any more, and their callers may.
    pub(super) fn say_what_is_held(&mut self, link: Key<Link>, connection: ConnectionId) {
        let Some(session) = self.mesh.links.get(link).and_then(|link| self.sessions.get(link.theirs?)) else { return };
        let held: Vec<_> = session.calls_in_order().iter().map(|(id, _)| DeliveryId::truncated(*id)).collect();
        let mut pieces = held.chunks(HOLDING_MAX).peekable();
        if pieces.peek().is_none() {
            return self.say(connection, Resume { holding: Vec::new(), more: false }, Payload::NONE);
        }
        let mut all = Vec::new();
        while let Some(piece) = pieces.next() {
            all.push(Resume { holding: piece.to_vec(), more: pieces.peek().is_some() });
        }
        for resume in all {
            self.say(connection, resume, Payload::NONE);
        }
    }

    /// A server says which requests of this one it has, and that it has announced all of its own. Answers that it has not asked for, it
    /// does not remember: whoever asked may still want them.
    pub(crate) fn server_resumes(&mut self, session: Key<Session>, resume: &Resume) {
        for id in &resume.holding {
            let known = self.sessions.get(session).is_some_and(|record| record.deliveries.contains_key(&id.get()));
            if !known {
                // Said as to a handler: `cancel` is one word on the wire, and there it ends the call.
                self.held_unknown(session, *id);
            }
        }
        if resume.more {
            return;
        }
        let Some(record) = self.sessions.get_mut(session) else { return };
        record.wait_for_no_more_announcements();
        let rest = record.kept.take_unclaimed(&mut self.kept);
        for kept in rest {
            let (reply, data) = kept.parts();
            self.send_kept(session, reply, data, kept.receipt, kept.place);
        }
    }

    /// What another server answers.
    pub(super) fn passed_back(&mut self, connection: ConnectionId, link: Key<Link>, reply: Reply<'_>, data: Payload) {
        self.count_reply(connection, data.len(), reply.id.get());
        if let Some(session) = self.mesh.links.get(link).and_then(|link| link.theirs) {
            if data.len() > self.settings.max_frame as usize {
                self.passed_back_too_large(connection, session, reply, data.len());
            } else {
                self.passed_back_to(session, reply, data);
            }
        }
        self.reply_dealt_with();
    }

    /// A server with greater frames than this one has sent what no client here could read: its caller hears that instead.
    fn passed_back_too_large(
        &mut self,
        connection: ConnectionId,
        session: Key<Session>,
        reply: Reply<'_>,
        bytes: usize,
    ) {
        let (id, most) = (reply.id, self.settings.max_frame);
        let text = format!(
            "the work ran; its answer has {bytes} bytes, and the server of the caller takes frames of {most} (--max-frame): give all servers the same"
        );
        let (code, message, ran) = (Code::TooLarge, text.into(), Ran::Yes);
        let error = CallError { code, message, ran, attempts: 1, retry_after: None, fault: None };
        let delivery = self.sessions.get(session).and_then(|session| session.deliveries.get(&id.get())).copied();
        let is_cast = delivery.and_then(|delivery| self.requests.get(delivery.request?)).is_some_and(is_broadcast);
        // One handler of many has said too much. Of an answer in parts nothing that follows is of use.
        let goes_on = reply.part && is_cast;
        if reply.part && !goes_on {
            self.say(connection, Cancel { id }, Payload::NONE);
        }
        let reply = Reply { error: Some(Box::new(error)), part: goes_on, ..reply };
        self.passed_back_to(session, reply, Payload::NONE);
    }

    fn passed_back_to(&mut self, session: Key<Session>, reply: Reply<'_>, data: Payload) {
        let id = reply.id.get();
        let Some(delivery) = self.sessions.get(session).and_then(|s| s.deliveries.get(&id)).copied() else {
            return self.passed_back_unknown(session, reply, data);
        };
        if reply.part {
            return self.part_passed_back(delivery, reply, data);
        }
        match delivery.request {
            None => self.settle(session, id, delivery),
            Some(request) => match self.meaning_of(request, &reply) {
                Meaning::Ended => {
                    self.settle(session, id, delivery);
                    self.ended_elsewhere(request, reply, data);
                }
                Meaning::Lost => {
                    if let Some(action) = self.lose_delivery(session, id) {
                        self.dispatch(action);
                    }
                }
                Meaning::Back => {
                    self.rest(delivery.handler);
                    self.take_back(session, id);
                }
            },
        }
        self.handler_changed(delivery.handler);
        self.forget_if_done(delivery.handler);
    }

    /// After a restart: of a request whose caller has not announced it yet, perhaps.
    fn passed_back_unknown(&mut self, session: Key<Session>, reply: Reply<'_>, data: Payload) {
        let is_answer = reply.error.as_ref().is_none_or(|error| error.fault.is_some());
        if self.recovering.is_none() || !is_answer {
            self.counts.stray_replies += 1;
            return;
        }
        let error = reply.error.and_then(|error| error.fault).map(|fault| AnswerError {
            code: fault.code,
            message: fault.message,
            retryable: fault.retryable,
        });
        let answer = Answer { id: DeliveryId::truncated(reply.id.get()), error, part: reply.part, seq: reply.seq };
        self.answered_unknown(session, answer, data);
    }

    fn meaning_of(&self, key: Key<Request>, reply: &Reply<'_>) -> Meaning {
        let Some(error) = &reply.error else { return Meaning::Ended };
        let Some(request) = self.requests.get(key) else { return Meaning::Ended };
        if matches!(request.owner, Owner::Broadcast { .. }) {
            return Meaning::Ended;
        }
        let is_home = request.rare.as_ref().is_some_and(|rare| rare.home.is_some());
        match error.code {
            Code::HandlerLost => Meaning::Lost,
            Code::Draining | Code::Denied if error.ran == Ran::No => Meaning::Back,
            // At the home of its key it was refused for good: no other server may run it.
            Code::Overloaded | Code::Unavailable if error.ran == Ran::No && !is_home => Meaning::Back,
            Code::Cancelled if error.ran == Ran::No => Meaning::Back,
            Code::Cancelled => Meaning::Lost,
            _ => Meaning::Ended,
        }
    }

    /// It has ended at another server, which says how.
    fn ended_elsewhere(&mut self, key: Key<Request>, reply: Reply<'_>, data: Payload) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let attempts = u32::from(request.attempt);
        let rare = request.rare_mut();
        rare.by = reply.info.and_then(|info| info.by).map(Text::into_static);
        rare.gather = reply.gather.map(|gather| *gather).unwrap_or_default();
        rare.is_gathered = reply.error.is_none();
        let is_part = matches!(request.owner, Owner::Broadcast { .. });
        if let Some(seq) = reply.seq.filter(|_| !is_part) {
            // Were parts of it lost on the way, its caller shall see that by the number.
            request.parts = request.parts.max(u32::try_from(seq.saturating_sub(1)).unwrap_or(u32::MAX));
        }
        let may_have_run = request.may_have_run;
        let error = reply.error.map(|error| Box::new(CallError { attempts, ..into_static(*error) }));
        let outcome = Outcome { error, data };
        let outcome = if may_have_run { outcome.of_one_that_may_have_run() } else { outcome };
        self.conclude(key, outcome, false);
    }

    /// One of several answers, of a handler at another server.
    fn part_passed_back(&mut self, delivery: Delivery, reply: Reply<'_>, data: Payload) {
        let from = reply.from.map(Text::into_static);
        let error = reply.error.map(|error| Box::new(into_static(*error)));
        let part = PartOf { seq: reply.seq, from, outcome: Outcome { error, data } };
        self.part_came(delivery, part);
    }
}

fn is_broadcast(request: &Request) -> bool {
    matches!(request.owner, Owner::Broadcast { .. })
}

fn into_static(error: CallError<'_>) -> CallError<'static> {
    CallError {
        code: error.code,
        message: error.message.into_static(),
        ran: error.ran,
        attempts: error.attempts,
        retry_after: error.retry_after,
        fault: error.fault.map(|fault| Fault {
            code: fault.code.into_static(),
            message: fault.message.into_static(),
            retryable: fault.retryable,
        }),
    }
}
