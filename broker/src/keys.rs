//! Idempotency keys: one run, and its answer for everybody who asks under the same key.
//!
//! ```text
//!            first call                      reply, or a fault that is not retryable
//!   unknown ────────────► RUNNING ──────────────────────────────────────────────────► STORED ── age, limits ──► unknown
//!                            │   ▲                                                       │
//!                            │   └ a second call joins: it gets the same answer          └ a later call gets it at once
//!                            └ ended without an answer worth keeping ──► unknown
//! ```
//!
//! A key belongs to its action. Another payload under the same key is a `conflict`.

use crate::action::Action;
use crate::admission::Refusal;
use crate::broker::{Alarm, Broker};
use crate::endings::{End, Outcome};
use crate::request::{Owner, Request, State};
use crate::session::Session;
use crate::settings::Settings;
use crate::tables::{Chain, Key, Map, give_back, map};
use crate::time::Time;
use crate::words;
use answerback_protocol::frames::{Reply, Request as Frame};
use answerback_protocol::{Code, Payload};
use hashbrown::Equivalent;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::Arc;

/// What is known of keys.
pub(crate) struct Keys {
    known: Map<ActionAndKey, Known>,
    /// Names of the stored replies, the oldest first, each with when it goes.
    stored: VecDeque<(Time, ActionAndKey)>,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ActionAndKey {
    action: Arc<str>,
    key: Box<str>,
}

/// For looking up without owning.
#[derive(Hash)]
struct Asked<'a> {
    action: &'a str,
    key: &'a str,
}

impl Equivalent<ActionAndKey> for Asked<'_> {
    fn equivalent(&self, known: &ActionAndKey) -> bool {
        *known.action == *self.action && *known.key == *self.key
    }
}

enum Known {
    Running { request: Key<Request>, fingerprint: u128 },
    Stored { outcome: Outcome, fingerprint: u128 },
}

/// What a stored reply counts besides its data.
const OVERHEAD_BYTES: usize = 256;

impl Keys {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { known: map(settings.secrets.tables), stored: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn stored(&self) -> usize {
        self.stored.len()
    }

    fn get(&self, action: &str, key: &str) -> Option<&Known> {
        self.known.get(&Asked { action, key })
    }

    fn forget(&mut self, action: &str, key: &str) {
        self.known.remove(&Asked { action, key });
        give_back(&mut self.known);
    }

    fn forget_oldest(&mut self) {
        let Some((_, name)) = self.stored.pop_front() else { return };
        if let Some(Known::Stored { outcome, .. }) = self.known.remove(&name) {
            self.bytes -= cost(&outcome);
        }
        give_back(&mut self.known);
    }
}

fn cost(outcome: &Outcome) -> usize {
    outcome.data.len() + OVERHEAD_BYTES
}

impl Broker {
    /// What a request with a key gets without a run of its own; `None` if it has none, or is the first.
    pub(crate) fn by_key(
        &mut self,
        session: Key<Session>,
        frame: &Frame<'_>,
        action: Key<Action>,
        data: &Payload,
    ) -> Option<Result<(), Refusal>> {
        let key = frame.key.as_ref()?;
        let fingerprint = self.fingerprint(data);
        let known = self.keys.get(frame.action.as_str(), key)?;
        let before = match known {
            Known::Running { fingerprint, .. } | Known::Stored { fingerprint, .. } => *fingerprint,
        };
        if before != fingerprint {
            return Some(Err(Refusal::new(Code::Conflict, words::conflict())));
        }
        match known {
            Known::Stored { outcome, .. } => {
                let outcome = outcome.clone();
                self.answer_from_store(session, frame, action, outcome);
                Some(Ok(()))
            }
            Known::Running { request, .. } => {
                let leader = *request;
                Some(self.join(session, frame, action, leader))
            }
        }
    }

    fn answer_from_store(&mut self, session: Key<Session>, frame: &Frame<'_>, action: Key<Action>, outcome: Outcome) {
        match &outcome.error {
            Some(error) => self.counts.error(error.code),
            None => self.counts.replies += 1,
        }
        if frame.reply {
            let reply = Reply { error: outcome.error, ..Reply::to(frame.id) };
            self.reply(session, reply, outcome.data);
        }
        self.forget_action_if_unwanted(action);
    }

    /// A second call under a key that runs: a request that waits for the answer of the first. A send joins too, so that the
    /// work goes on for it when the first caller leaves.
    fn join(
        &mut self,
        session: Key<Session>,
        frame: &Frame<'_>,
        action: Key<Action>,
        leader: Key<Request>,
    ) -> Result<(), Refusal> {
        let mut request = self.new_request(session, frame, action, Payload::NONE);
        request.state = State::Joined { leader };
        self.has_room(&request)?;
        let key = self.hold(request);
        let mut joined = self.requests.get_mut(leader).and_then(|r| r.rare_mut().joined.take()).unwrap_or(Chain::EMPTY);
        joined.push_last(&mut self.requests, key);
        if let Some(leader) = self.requests.get_mut(leader) {
            leader.rare_mut().joined = Some(joined);
        }
        self.wheel.set(&mut self.requests, key);
        Ok(())
    }

    /// From now on this request runs under its key.
    pub(crate) fn run_under_key(&mut self, frame: &Frame<'_>, key: Key<Request>) {
        let Some(name) = &frame.key else { return };
        let Some(request) = self.requests.get_mut(key) else { return };
        let Some(action) = self.actions.get(request.action) else { return };
        let action = Arc::clone(&action.name);
        request.rare_mut().key = Some(name.as_str().into());
        let data = request.data.clone();
        let fingerprint = self.fingerprint(&data);
        let name = ActionAndKey { action, key: name.as_str().into() };
        self.keys.known.insert(name, Known::Running { request: key, fingerprint });
    }

    /// A joined request ends by itself: it no longer waits for the first.
    pub(crate) fn leave_leader(&mut self, key: Key<Request>) {
        let Some(State::Joined { leader }) = self.requests.get(key).map(|request| request.state) else { return };
        let Some(mut joined) = self.requests.get_mut(leader).and_then(|r| r.rare_mut().joined.take()) else { return };
        joined.remove(&mut self.requests, key);
        let nobody_waits = joined.is_empty();
        let Some(record) = self.requests.get_mut(leader) else { return };
        record.rare_mut().joined = Some(joined);
        if nobody_waits && record.owner == Owner::Gone {
            self.end(leader, End::CallerLeft);
        }
    }

    /// The first has ended: everybody who joined it gets the same answer.
    pub(crate) fn end_joined(&mut self, mut joined: Chain, outcome: &Outcome) {
        while let Some(key) = joined.first(&self.requests) {
            joined.remove(&mut self.requests, key);
            if let Some(request) = self.requests.get_mut(key) {
                request.state = State::Arrived;
            }
            self.conclude(key, outcome.clone(), false);
        }
    }

    /// A part of the first one's answer, for everybody who has joined by now.
    pub(crate) fn part_for_joined(&mut self, leader: Key<Request>, outcome: &Outcome) {
        let joined = self.requests.get(leader).and_then(|r| r.rare.as_ref()?.joined.clone());
        let mut next = joined.and_then(|joined| joined.first(&self.requests));
        while let Some(key) = next {
            next = Chain::after(&mut self.requests, key);
            let Some(request) = self.requests.get_mut(key) else { continue };
            request.parts += 1;
            if let Owner::Caller { session, id } = request.owner {
                let seq = Some(u64::from(request.parts));
                let reply = Reply { part: true, seq, error: outcome.error.clone(), ..Reply::to(id) };
                self.reply(session, reply, outcome.data.clone());
            }
        }
    }

    /// A request that ran under a key has ended: its answer is stored, or the key is free again.
    pub(crate) fn settle_key(&mut self, request: &Request, outcome: &Outcome) {
        let Some(key) = request.rare.as_ref().and_then(|rare| rare.key.clone()) else { return };
        let Some(action) = self.actions.get(request.action).map(|action| Arc::clone(&action.name)) else { return };
        let worth_keeping = match &outcome.error {
            None => true,
            Some(error) => error.fault.as_ref().is_some_and(|fault| !fault.retryable),
        };
        if !worth_keeping || cost(outcome) > self.settings.limits.stored_reply_bytes {
            return self.keys.forget(&action, &key);
        }
        let fingerprint = self.fingerprint(&request.data);
        let until = self.now + self.settings.limits.stored_reply_age;
        self.keys.bytes += cost(outcome);
        let name = ActionAndKey { action, key };
        if self.keys.stored.is_empty() {
            self.alarms.set(until, Alarm::Stored);
        }
        self.keys.stored.push_back((until, name.clone()));
        self.keys.known.insert(name, Known::Stored { outcome: outcome.clone(), fingerprint });
        let limits = &self.settings.limits;
        while self.keys.stored.len() > limits.stored_replies || self.keys.bytes > limits.stored_reply_bytes {
            self.keys.forget_oldest();
        }
    }

    /// The oldest stored reply may be old enough to go.
    pub(crate) fn stored_due(&mut self) {
        while self.keys.stored.front().is_some_and(|&(until, _)| until <= self.now) {
            self.keys.forget_oldest();
        }
        if let Some(&(until, _)) = self.keys.stored.front() {
            self.alarms.set(until, Alarm::Stored);
        }
    }

    /// Tells payloads apart. Keyed, so that nobody can make two that look alike.
    fn fingerprint(&self, data: &Payload) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.settings.secrets.delivery);
        hasher.write(data);
        hasher.finish128().as_u128()
    }
}
