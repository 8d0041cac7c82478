//! A request arrives: may it be here, and for how long.
//!
//! In this order: is it known already, may its caller ask that, does it belong to the broker itself, is the server staying, is it a broadcast,
//! does its key run already, is there memory, is a handler free, may it wait.

use crate::action::Action;
use crate::broker::Broker;
use crate::dispatch::mix;
use crate::endings::Outcome;
use crate::mesh::Home;
use crate::request::{Keeping, Owner, Rare, Request, State};
use crate::rights::Right;
use crate::session::{Call, Session};
use crate::settings::REQUEST_OVERHEAD_BYTES;
use crate::snapshot::belongs_into_store;
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

/// How a request was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Now,
    /// When it is on disk.
    Later,
}

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
        // Whoever asked another server was allowed to ask there.
        let denied = if frame.via.is_some() { None } else { self.denies(session, Right::Call, frame.action.as_str()) };
        let refused = denied.map(|text| Refusal::new(Code::Denied, text));
        let taken = match refused.or_else(|| self.refuses_transit(session, frame)) {
            Some(refusal) => Err(refusal),
            None if frame.action.is_reserved() => return self.builtin(session, frame, data),
            None if frame.broadcast => self.begin_broadcast(session, frame, data),
            None => self.admit(session, frame, data),
        };
        match taken {
            Ok(Taken::Now) if !frame.reply => self.accepted(session, frame.id.get()),
            Ok(_) => {}
            Err(refusal) => {
                let Refusal { code, text, retry_after } = self.unless_it_may_have_run(session, frame, refusal);
                let ran = if code == Code::HandlerLost { Ran::Maybe } else { Ran::No };
                self.refuse_request(session, Reply::to(frame.id), code, text, ran, retry_after);
                self.refused_transit(session, frame);
            }
        }
    }

    /// A request that was announced before a restart may have run then: no refusal says that it did not.
    fn unless_it_may_have_run(&self, session: Key<Session>, frame: &Frame<'_>, refusal: Refusal) -> Refusal {
        let may_have_run = (frame.again && self.recovering.is_some()) || self.comes_late(session, frame);
        if !may_have_run || refusal.code == Code::HandlerLost {
            return refusal;
        }
        Refusal::new(Code::HandlerLost, words::refused_after_restart(refusal.code))
    }

    /// Whether a request of the life before is announced when the grace time after the restart is over.
    pub(crate) fn comes_late(&self, session: Key<Session>, frame: &Frame<'_>) -> bool {
        let announces = || self.sessions.get(session).is_some_and(|session| session.announces_earlier);
        frame.again && self.recovering.is_none() && announces()
    }

    pub(crate) fn accepted(&mut self, session: Key<Session>, id: u64) {
        let epoch = self.sessions.get(session).map_or(0, |record| record.epoch);
        self.accepted_of(session, id, epoch);
    }

    /// The same of a send that was announced on an earlier connection, perhaps: then its client hears of it when it announces it again. Told now, that
    /// would cross the announcement, which would then be taken for a new send.
    pub(crate) fn accepted_of(&mut self, session: Key<Session>, id: u64, epoch: u32) {
        self.counts.accepted += 1;
        if let (Some(record), Some(id)) = (self.sessions.get_mut(session), answerback_protocol::RequestId::new(id)) {
            record.remember_accepted(id.get(), epoch);
            if epoch == record.epoch {
                self.tell(session, Accepted { id });
            }
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
            let call = *call;
            if !twice {
                self.announces(session);
            }
            match connection {
                Some(connection) if twice => {
                    let text = format!("id {id} already names a request that waits; choose another");
                    self.notice(connection, Code::BadRequest, text, Some(About::Id(frame.id)));
                }
                _ => {
                    let request = call.request;
                    self.send_again(session, id, true);
                    self.caller_is_back(request);
                }
            }
            return true;
        }
        if self.is_restored_send(session, frame) {
            self.accepted(session, id);
            return true;
        }
        if epoch > 1 && !frame.reply && self.sessions.get(session).is_some_and(|s| s.was_accepted_before(id)) {
            self.tell(session, Accepted { id: frame.id });
            return true;
        }
        epoch > 1 && self.send_again(session, id, false)
    }

    /// Sends again what had been sent for a request and was not acknowledged. Whether its end was among it: after a restart there may be parts of a
    /// request that nobody knows any more.
    fn send_again(&mut self, session: Key<Session>, id: u64, runs: bool) -> bool {
        let Some(record) = self.sessions.get_mut(session) else { return false };
        let kept = record.kept.claim(id, runs, &mut self.kept);
        if !kept.is_empty() {
            self.announces(session);
        }
        let mut ended = false;
        for kept in kept {
            let (reply, data) = kept.parts();
            ended |= !reply.part;
            self.send_kept(session, reply, data, kept.receipt, kept.place);
        }
        ended
    }

    fn admit(&mut self, session: Key<Session>, frame: &Frame<'_>, data: Payload) -> Result<Taken, Refusal> {
        self.may_be_here(frame)?;
        let (home, action) = match self.way_home(session, frame)? {
            Some((home, action)) => (Some(home), action),
            None => (None, self.action_for(frame)?),
        };
        let taken = self.take(session, frame, (home, action), data);
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
        if !self.journal.takes_durable && self.is_durable(frame) {
            return Err(Refusal::new(Code::Unavailable, words::disk_fails()));
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
        (home, action): (Option<Home>, Key<Action>),
        data: Payload,
    ) -> Result<Taken, Refusal> {
        let name = if home.is_some() { None } else { self.name_of_key(session, frame) };
        if let Some(name) = &name
            && let Some(taken) = self.by_key(session, frame, action, &data, name)
        {
            return taken;
        }
        let mut request = self.new_request(session, frame, action, data);
        if let Some(home) = home {
            request.rare_mut().home = Some(Box::new(home));
        }
        self.has_room(&request)?;
        // One that was announced before the restart was taken then; whether it may wait was asked there. Even if its time is over, its handler may
        // have said already what it answered.
        let sought = frame.again && self.recovering.is_some();
        if self.comes_late(session, frame) {
            // Handlers have had their time to say what they have: one of them may have been given it.
            request.may_have_run = true;
            if request.attempts == 1 {
                return Err(Refusal::new(Code::HandlerLost, words::announced_too_late()));
            }
            request.attempt = 1;
        }
        if request.deadline <= self.now && !sought {
            return Err(Refusal::new(Code::Timeout, words::no_time()));
        }
        let handler = self.free_handler(&request);
        if handler.is_none() && !sought {
            self.may_wait(&request)?;
        }
        let key = self.hold(request);
        if let Some(name) = &name {
            self.runs_under(key, name);
        }
        if self.is_durable(frame) {
            self.store_request(key, !frame.reply, sought);
            return Ok(Taken::Later);
        }
        if sought {
            self.seek_announced(key);
            return Ok(Taken::Now);
        }
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
        Ok(Taken::Now)
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
        // A durable send belongs to its caller until it is on disk.
        let unaccepted = !frame.reply && self.is_durable(frame);
        let owner = if frame.reply || unaccepted { Owner::Caller { session, id: frame.id } } else { Owner::Nobody };
        let (from, attempt) = match frame.via.as_deref() {
            Some(via) => (Arc::from(via.from.as_str()), via.attempt as u16 - 1),
            None => (from, 0),
        };
        let doubtful = frame.again && self.recovering.is_some();
        let extra = frame.key.as_ref().map_or(0, |key| key.len()) + frame.trace.as_ref().map_or(0, |trace| trace.len());
        let rare = self.rare_of(frame);
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
            attempt,
            // Another server tries again itself, if it may be tried again.
            attempts: attempt + frame.attempts.unwrap_or(attempts) as u16,
            deliveries: 0,
            parts: 0,
            info: frame.info,
            may_have_run: doubtful,
            item: 0,
            keeping: Keeping { unaccepted, doubtful, ..Keeping::default() },
            rare,
            links: Links::LOOSE,
            timer: TimerLinks::UNSET,
        }
    }

    /// What few requests have.
    fn rare_of(&self, frame: &Frame<'_>) -> Option<Box<Rare>> {
        let trace = frame.trace.as_ref().map(|trace| Text::from(trace.to_string()));
        // From the home of its key it sets out anew.
        let via = frame.via.as_deref().filter(|via| via.home != Some(self.settings.node));
        if trace.is_none() && via.is_none() {
            return None;
        }
        let path = via.map_or_else(Box::default, |via| via.path.as_slice().into());
        Some(Box::new(Rare { trace, path, ..Rare::default() }))
    }

    /// A keyed hash of who asks and under which id: see [`crate::dispatch`] for what it is for.
    pub(crate) fn origin(&self, session: u128, id: u64) -> u64 {
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
        if self.is_stranded(request, action) {
            // Not `overloaded`: from the home of a key that would be the last word, and this server may only be on the way there.
            return Err(Refusal::new(Code::Draining, words::nobody_free(self.action_of(request))));
        }
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
    pub(crate) fn hold(&mut self, mut request: Request) -> Key<Request> {
        let (owner, action, cost) = (request.owner, request.action, request.cost as usize);
        let is_new = request.item == 0 && self.settings.has_store && belongs_into_store(&request);
        if is_new {
            request.item = self.next_item().0;
        }
        let key = self.requests.insert(request);
        if is_new {
            self.list_for_snapshot(key);
        }
        self.bytes += cost;
        if let Some(request) = self.requests.get(key)
            && !request.path().is_empty()
        {
            let owner = request.owner;
            self.count_taken(owner, action, false);
        }
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
