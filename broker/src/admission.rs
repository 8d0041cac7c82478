//! A request arrives: may it be here, and for how long.
//!
//! In this order: is it known already, does it belong to the broker itself, is the server staying, is it a broadcast,
//! does its key run already, is there memory, is a handler free, may it wait.

use crate::action::Action;
use crate::broker::Broker;
use crate::dispatch::mix;
use crate::endings::Outcome;
use crate::request::{Owner, Rare, Request, State};
use crate::session::{Call, Session};
use crate::settings::REQUEST_OVERHEAD_BYTES;
use crate::tables::{Key, Links, TimerLinks};
use crate::time::Time;
use crate::words;
use answerback_protocol::frames::{About, Accepted, Reply, Request as Frame};
use answerback_protocol::limits::WAIT_MS_MAX;
use answerback_protocol::{Code, Payload, Ran, Text};
use siphasher::sip::SipHasher13;
use std::sync::Arc;
use std::time::Duration;

/// Handlers that a send may be given to, one after another, when it does not say.
const SEND_ATTEMPTS: u32 = 3;

/// When to try again while nothing is known of how fast things go.
const RETRY_UNKNOWN: Duration = Duration::from_secs(1);

/// Why a request is not taken.
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) text: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Broker {
    pub(crate) fn request(&mut self, session: Key<Session>, frame: &Frame<'_>, data: Payload) {
        if self.is_known(session, frame) {
            return;
        }
        self.counts.requests += 1;
        let (id, is_send) = (frame.id, !frame.reply);
        if frame.action.is_reserved() {
            return self.builtin(session, frame, data);
        }
        let taken =
            if frame.broadcast { self.begin_broadcast(session, frame, data) } else { self.admit(session, frame, data) };
        match taken {
            Ok(()) => {}
            Err(refusal) => {
                let reply = Reply::to(id);
                self.refuse_request(session, reply, refusal.code, refusal.text, Ran::No, refusal.retry_after);
                return;
            }
        }
        if is_send {
            self.accepted(session, id.get());
        }
    }

    pub(crate) fn accepted(&mut self, session: Key<Session>, id: u64) {
        self.counts.accepted += 1;
        if let (Some(record), Some(id)) = (self.sessions.get_mut(session), answerback_protocol::RequestId::new(id)) {
            record.remember_accepted(id.get());
            self.tell(session, Accepted { id });
        }
    }

    /// Whether the session announces a request that the broker has or had. After a reconnect that is how it asks what
    /// became of it; on the same connection it is a mistake.
    fn is_known(&mut self, session: Key<Session>, frame: &Frame<'_>) -> bool {
        let id = frame.id.get();
        let Some(record) = self.sessions.get_mut(session) else { return true };
        let (epoch, connection) = (record.epoch, record.connection);
        if let Some(call) = record.calls.get_mut(&id) {
            let twice = call.epoch == epoch;
            call.epoch = epoch;
            if !twice {
                self.announces(session);
            }
            match connection {
                Some(connection) if twice => {
                    let text = format!("id {id} already names a request that waits; choose another");
                    self.notice(connection, Code::BadRequest, text, Some(About::Id(frame.id)));
                }
                _ => {
                    self.send_again(session, id, true);
                }
            }
            return true;
        }
        if epoch == 1 {
            return false;
        }
        if !frame.reply && record.was_accepted_before(id) {
            self.tell(session, Accepted { id: frame.id });
            return true;
        }
        self.send_again(session, id, false)
    }

    /// Sends again what had been sent for a request and was not acknowledged. Whether there was anything.
    fn send_again(&mut self, session: Key<Session>, id: u64, runs: bool) -> bool {
        let Some(record) = self.sessions.get_mut(session) else { return false };
        let kept = record.kept.claim(id, runs, &mut self.kept_bytes);
        let any = !kept.is_empty();
        if any {
            self.announces(session);
        }
        for kept in kept {
            let (reply, data) = kept.into_parts();
            self.reply(session, reply, data);
        }
        any
    }

    fn admit(&mut self, session: Key<Session>, frame: &Frame<'_>, data: Payload) -> Result<(), Refusal> {
        self.may_be_here(frame)?;
        let action = self.action_for(frame)?;
        let taken = self.take(session, frame, action, data);
        if taken.is_err() {
            self.forget_action_if_unwanted(action);
        }
        taken
    }

    /// What holds for calls and broadcasts alike.
    pub(crate) fn may_be_here(&self, frame: &Frame<'_>) -> Result<(), Refusal> {
        if self.drain.is_some() {
            return Err(Refusal::new(Code::Draining, words::draining()));
        }
        if frame.durable && !self.settings.has_store {
            return Err(Refusal::new(Code::Unavailable, words::no_store()));
        }
        Ok(())
    }

    pub(crate) fn action_for(&mut self, frame: &Frame<'_>) -> Result<Key<Action>, Refusal> {
        self.action(frame.action.as_str()).ok_or_else(|| Refusal {
            code: Code::Overloaded,
            text: self.too_many_actions(),
            retry_after: Some(RETRY_UNKNOWN),
        })
    }

    fn take(
        &mut self,
        session: Key<Session>,
        frame: &Frame<'_>,
        action: Key<Action>,
        data: Payload,
    ) -> Result<(), Refusal> {
        if let Some(taken) = self.by_key(session, frame, action, &data) {
            return taken;
        }
        let request = self.new_request(session, frame, action, data);
        self.has_room(&request)?;
        if request.deadline <= self.now {
            return Err(Refusal::new(Code::Timeout, words::no_time()));
        }
        let handler = self.free_handler(action);
        if handler.is_none() {
            self.may_wait(&request)?;
        }
        let key = self.hold(request);
        self.run_under_key(frame, key);
        match handler {
            Some(handler) => {
                self.deliver(key, handler);
                self.wheel.set(&mut self.requests, key);
            }
            None => {
                self.enqueue(key);
                self.dispatch(action);
            }
        }
        Ok(())
    }

    /// The record of a request, not yet held.
    pub(crate) fn new_request(
        &self,
        session: Key<Session>,
        frame: &Frame<'_>,
        action: Key<Action>,
        data: Payload,
    ) -> Request {
        let (default, attempts) =
            if frame.reply { (self.settings.default_timeout, 1) } else { (self.settings.send_timeout, SEND_ATTEMPTS) };
        let deadline = self.now + frame.timeout.map_or(default, wait);
        let expires = frame.ttl.map_or(deadline, |ttl| self.now + wait(ttl)).min(deadline);
        let (id, from) =
            self.sessions.get(session).map_or_else(|| (0, "".into()), |s| (s.id.get(), Arc::clone(&s.name)));
        let owner = if frame.reply { Owner::Caller { session, id: frame.id } } else { Owner::Nobody };
        let extra = frame.key.as_ref().map_or(0, |key| key.len()) + frame.trace.as_ref().map_or(0, |trace| trace.len());
        let rare = frame
            .trace
            .as_ref()
            .map(|trace| Box::new(Rare { trace: Some(Text::from(trace.to_string())), ..Rare::default() }));
        Request {
            owner,
            origin: self.origin(id, frame.id.get()),
            action,
            from,
            cost: u32::try_from(data.len() + extra + REQUEST_OVERHEAD_BYTES).unwrap_or(u32::MAX),
            data,
            received: self.now,
            expires,
            deadline,
            state: State::Arrived,
            attempt: 0,
            attempts: frame.attempts.unwrap_or(attempts) as u16,
            deliveries: 0,
            parts: 0,
            info: frame.info,
            may_have_run: false,
            rare,
            links: Links::LOOSE,
            timer: TimerLinks::UNSET,
        }
    }

    /// A keyed hash of who asks and under which id: see [`crate::dispatch`] for what it is for.
    fn origin(&self, session: u128, id: u64) -> u64 {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&session.to_le_bytes());
        bytes[16..].copy_from_slice(&id.to_le_bytes());
        // A server that keeps nothing over a restart must not meet deliveries of its life before under the ids of this one.
        let life = if self.settings.has_store { 0 } else { self.settings.secrets.tables };
        mix(life ^ SipHasher13::new_with_key(&self.settings.secrets.delivery).hash(&bytes))
    }

    /// Whether the byte limits allow one more.
    pub(crate) fn has_room(&self, request: &Request) -> Result<(), Refusal> {
        let (limits, cost) = (&self.settings.limits, request.cost as usize);
        let Some(action) = self.actions.get(request.action) else { return Ok(()) };
        let full = if self.bytes + cost > limits.bytes_in_all {
            Some(words::memory_full(limits.bytes_in_all))
        } else if action.bytes + cost > limits.bytes_per_action {
            Some(words::action_full_of_bytes(&action.name, limits.bytes_per_action))
        } else {
            None
        };
        match full {
            Some(text) => Err(self.overloaded(action, text)),
            None => Ok(()),
        }
    }

    /// Whether a request for which no handler is free may wait for one.
    fn may_wait(&self, request: &Request) -> Result<(), Refusal> {
        let Some(action) = self.actions.get(request.action) else { return Ok(()) };
        if request.expires <= self.now {
            return Err(if action.handlers.is_empty() {
                Refusal::new(Code::NoHandler, words::no_handler(&action.name, true))
            } else {
                Refusal::new(Code::Expired, words::nobody_free(&action.name))
            });
        }
        let most = self.settings.limits.requests_per_action;
        if action.queue.len() >= most {
            return Err(self.overloaded(action, words::queue_full(&action.name, most)));
        }
        let patience = request.expires.since(self.now);
        match self.predicted_wait(action) {
            Some(wait) if wait > patience => Err(Refusal {
                code: Code::Overloaded,
                text: words::wait_too_long(&action.name, wait, patience),
                retry_after: Some(wait - patience),
            }),
            _ => Ok(()),
        }
    }

    /// How long a request that comes now will wait, if the handlers go on as they did lately.
    pub(crate) fn predicted_wait(&self, action: &Action) -> Option<Duration> {
        let busy = !action.queue.is_empty() && !action.handlers.is_empty();
        if busy { action.rate.predict(action.queue.len(), self.now) } else { None }
    }

    /// The refusal when something is full: a new try makes sense when a tenth of the queue has been served.
    fn overloaded(&self, action: &Action, text: String) -> Refusal {
        const LEAST: Duration = Duration::from_millis(100);
        const MOST: Duration = Duration::from_secs(30);
        let tenth = self.predicted_wait(action).map_or(RETRY_UNKNOWN, |wait| (wait / 10).clamp(LEAST, MOST));
        Refusal { code: Code::Overloaded, text, retry_after: Some(tenth) }
    }

    /// Takes a request in: it counts from now on.
    pub(crate) fn hold(&mut self, request: Request) -> Key<Request> {
        let (owner, action, cost) = (request.owner, request.action, request.cost as usize);
        let key = self.requests.insert(request);
        self.bytes += cost;
        if let Some(action) = self.actions.get_mut(action) {
            action.bytes += cost;
            action.requests += 1;
        }
        if let Owner::Caller { session, id } = owner
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.calls.insert(id.get(), Call { request: key, epoch: session.epoch });
        }
        key
    }

    /// Answers a request that is not held.
    pub(crate) fn refuse_request(
        &mut self,
        session: Key<Session>,
        mut reply: Reply<'static>,
        code: Code,
        text: String,
        ran: Ran,
        retry_after: Option<Duration>,
    ) {
        let outcome = Outcome::failed(code, ran, 0, text, retry_after);
        self.counts.error(code);
        reply.error = outcome.error;
        self.reply(session, reply, Payload::NONE);
    }
}

impl Refusal {
    pub(crate) fn new(code: Code, text: String) -> Self {
        Self { code, text, retry_after: None }
    }
}

/// A duration of the wire. What is longer than a year is taken as a year.
fn wait(millis: u64) -> Duration {
    Duration::from_millis(millis.min(WAIT_MS_MAX))
}

/// When the ttl of a request ended before its deadline, rather than with it.
pub(crate) fn ttl_ended_first(request: &Request, now: Time) -> bool {
    request.expires < request.deadline && request.expires <= now
}
