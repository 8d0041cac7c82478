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
//! A key belongs to its action, and to the holder of whoever says it: nobody joins or reads what another holder has asked. Another payload under the
//! same key is a `conflict`.

use crate::action::Action;
use crate::admission::{Refusal, Taken};
use crate::broker::{Alarm, Broker};
use crate::endings::{End, Outcome};
use crate::kept::Place;
use crate::request::{Owner, Request, State};
use crate::saved::{Change, Item, ItemId, SavedStored};
use crate::session::Session;
use crate::settings::{Limits, Settings};
use crate::tables::{Chain, Key, Map, give_back, map};
use crate::time::Time;
use crate::words;
use answerback_protocol::frames::{Reply, Request as Frame};
use answerback_protocol::limits::KEY_BYTES_MAX;
use answerback_protocol::names::is_sound;
use answerback_protocol::sealed::KEY_ID_BYTES_MAX;
use answerback_protocol::{Code, Payload};
use hashbrown::Equivalent;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::Arc;

/// Stands between a holder and its key. No key holds a control character, so on a server that once had no holders nobody reads what is another's.
const BEHIND_HOLDER: char = '\u{1f}';

/// Whether `text` can be an idempotency key as [`SavedRequest`](crate::SavedRequest) and [`SavedStored`] have it: what a client said, on a server
/// with keys behind the name of its holder and U+001F.
pub fn is_sound_key(text: &str) -> bool {
    match text.split_once(BEHIND_HOLDER) {
        Some((holder, key)) => is_sound(holder, KEY_ID_BYTES_MAX) && is_sound(key, KEY_BYTES_MAX),
        None => is_sound(text, KEY_BYTES_MAX),
    }
}

/// What is known of keys.
pub(crate) struct Keys {
    known: Map<ActionAndKey, Known>,
    /// Names of the stored replies, the oldest first, each with when it goes.
    stored: VecDeque<(Time, ActionAndKey)>,
    /// Those of them that the next snapshot looks at. Some may have gone.
    unsaved: VecDeque<ActionAndKey>,
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
    Stored { outcome: Outcome, fingerprint: u128, until: Time, place: Place },
}

/// So many names may stand in the list of the unsaved whatever they name.
const UNSAVED_LEAST: usize = 1 << 10;

/// What a stored reply counts besides its data.
const OVERHEAD_BYTES: usize = 256;

impl Keys {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { known: map(settings.secrets.tables), stored: VecDeque::new(), unsaved: VecDeque::new(), bytes: 0 }
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

    /// Forgets the oldest stored reply, and says where the store has it.
    fn forget_oldest(&mut self) -> Place {
        let Some((_, name)) = self.stored.pop_front() else { return Place::Nowhere };
        let known = self.known.remove(&name);
        give_back(&mut self.known);
        match known {
            Some(Known::Stored { outcome, place, .. }) => {
                self.bytes -= cost(&outcome);
                place
            }
            _ => Place::Nowhere,
        }
    }

    pub(crate) fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    fn is_over(&self, limits: &Limits) -> bool {
        self.stored.len() > limits.stored_replies || self.bytes > limits.stored_reply_bytes
    }
}

/// A key as it is known: on a server with keys behind its holder.
pub(crate) fn name_behind<'k>(holder: Option<&str>, key: &'k str) -> Cow<'k, str> {
    holder.map_or(Cow::Borrowed(key), |holder| Cow::Owned(format!("{holder}{BEHIND_HOLDER}{key}")))
}

fn cost(outcome: &Outcome) -> usize {
    outcome.data.len() + OVERHEAD_BYTES
}

impl Broker {
    /// The key of a request, if it has one, as it is known here.
    pub(crate) fn name_of_key<'f>(&self, session: Key<Session>, frame: &'f Frame<'_>) -> Option<Cow<'f, str>> {
        let key = frame.key.as_deref()?;
        let holder = self.holder_of_key(session, frame);
        Some(name_behind(holder.as_deref(), key))
    }

    /// The key that a request runs under, or would run under here.
    pub(crate) fn key_of(&self, request: &Request) -> Option<Box<str>> {
        let rare = request.rare.as_ref()?;
        rare.key.clone().or_else(|| rare.home.as_ref().map(|home| home.name()))
    }

    /// Whether something runs under a key, or has been answered.
    pub(crate) fn is_key_known(&self, action: &str, key: &str) -> bool {
        self.keys.get(action, key).is_some()
    }

    /// What a request with a key gets without a run of its own; `None` if it is the first.
    pub(crate) fn by_key(
        &mut self,
        session: Key<Session>,
        frame: &Frame<'_>,
        action: Key<Action>,
        data: &Payload,
        key: &str,
    ) -> Option<Result<Taken, Refusal>> {
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
                Some(Ok(Taken::Now))
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
    ) -> Result<Taken, Refusal> {
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
        let waits = self.is_durable(frame) && self.make_durable(leader, key, !frame.reply);
        Ok(if waits { Taken::Later } else { Taken::Now })
    }

    /// From now on this request runs under its key.
    pub(crate) fn runs_under(&mut self, key: Key<Request>, name: &str) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let Some(action) = self.actions.get(request.action) else { return };
        let action = Arc::clone(&action.name);
        request.rare_mut().key = Some(name.into());
        let data = request.data.clone();
        let fingerprint = self.fingerprint(&data);
        let name = ActionAndKey { action, key: name.into() };
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
            let Some(request) = self.requests.get_mut(key) else { continue };
            request.state = State::Arrived;
            let outcome =
                if request.may_have_run { outcome.clone().of_one_that_may_have_run() } else { outcome.clone() };
            self.conclude(key, outcome, false);
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
            if let (Owner::Caller { session, id }, false) = (request.owner, request.keeping.unaccepted) {
                let seq = Some(u64::from(request.parts));
                let reply = Reply { part: true, seq, error: outcome.error.clone(), ..Reply::to(id) };
                self.reply(session, reply, outcome.data.clone());
            }
        }
    }

    /// A request that ran under a key has ended: its answer is stored, or the key is free again.
    pub(crate) fn settle_key(&mut self, ended: Key<Request>, request: &Request, outcome: &Outcome) {
        let Some(key) = request.rare.as_ref().and_then(|rare| rare.key.clone()) else { return };
        let Some(action) = self.actions.get(request.action).map(|action| Arc::clone(&action.name)) else { return };
        // One that had ended before a restart may come back with a snapshot that did not know, beside the one that came after it.
        if matches!(self.keys.get(&action, &key), Some(Known::Running { request, .. }) if *request != ended) {
            return;
        }
        let worth_keeping = match &outcome.error {
            None => true,
            Some(error) => error.fault.as_ref().is_some_and(|fault| !fault.retryable),
        };
        if !worth_keeping || cost(outcome) > self.settings.limits.stored_reply_bytes {
            return self.keys.forget(&action, &key);
        }
        let fingerprint = self.fingerprint(&request.data);
        let until = self.now + self.settings.limits.stored_reply_age;
        let (error, data, durable) = (outcome.error.clone(), outcome.data.clone(), self.ends_in_journal());
        let saved = SavedStored { action, key, fingerprint, until, error, data, durable };
        let place = if durable {
            Place::Journal(self.leave_behind(Item::Stored(Box::new(saved.clone()))))
        } else {
            Place::Nowhere
        };
        self.store_reply(saved, place);
    }

    fn store_reply(&mut self, saved: SavedStored, place: Place) {
        let SavedStored { action, key, fingerprint, until, error, data, .. } = saved;
        let outcome = Outcome { error, data };
        self.keys.bytes += cost(&outcome);
        let name = ActionAndKey { action, key };
        if self.keys.stored.is_empty() {
            self.alarms.set(until, Alarm::Stored);
        }
        self.keys.stored.push_back((until, name.clone()));
        if place == Place::Nowhere && self.settings.has_store {
            self.keys.unsaved.push_back(name.clone());
        }
        self.keys.known.insert(name, Known::Stored { outcome, fingerprint, until, place });
        while self.keys.is_over(&self.settings.limits) {
            let place = self.keys.forget_oldest();
            self.forget_place(place);
        }
        while self.keys.unsaved.len() > 2 * self.keys.stored.len() + UNSAVED_LEAST {
            self.keys.unsaved.pop_front();
        }
    }

    /// Takes back a stored reply that the store held.
    pub(crate) fn restore_stored(&mut self, id: ItemId, saved: SavedStored) {
        let place = Place::of(id, saved.durable);
        match self.keys.get(&saved.action, &saved.key) {
            // It ended with this reply: that this one has gone was not on disk.
            Some(&Known::Running { request, .. }) => self.forget_request(request),
            Some(Known::Stored { .. }) => self.forget_stored(&saved.action, &saved.key),
            None => {}
        }
        self.store_reply(saved, place);
    }

    /// A request was restored that came later than the reply stored under its key: that one had gone.
    pub(crate) fn forget_stored(&mut self, action: &str, key: &str) {
        let Some(Known::Stored { outcome, place, .. }) = self.keys.get(action, key) else { return };
        let (bytes, place) = (cost(outcome), *place);
        self.keys.bytes -= bytes;
        self.keys.stored.retain(|(_, name)| *name.action != *action || *name.key != *key);
        self.keys.forget(action, key);
        self.forget_place(place);
    }

    /// Stored replies that the last snapshot did not have.
    pub(crate) fn gather_stored(&mut self, end: usize, into: &mut Vec<Change>) {
        while into.len() < end {
            let Some(name) = self.keys.unsaved.pop_front() else { return };
            let id = ItemId(self.next_item);
            let Some(Known::Stored { outcome, fingerprint, until, place }) = self.keys.known.get_mut(&name) else {
                continue;
            };
            // The name may stand there twice: once for a reply that has gone.
            if *place != Place::Nowhere {
                continue;
            }
            (*place, self.next_item) = (Place::Snapshot(id), id.0 + 1);
            let until = *until;
            let ActionAndKey { action, key } = name;
            let Outcome { error, data } = outcome.clone();
            let saved = SavedStored { action, key, fingerprint: *fingerprint, until, error, data, durable: false };
            into.push(Change::Put(id, Item::Stored(Box::new(saved))));
        }
    }

    /// The oldest stored reply may be old enough to go.
    pub(crate) fn stored_due(&mut self) {
        while self.keys.stored.front().is_some_and(|&(until, _)| until <= self.now) {
            let place = self.keys.forget_oldest();
            self.forget_place(place);
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

#[cfg(test)]
mod tests {
    use super::is_sound_key;

    #[test]
    fn keys_as_the_store_has_them() {
        let (key, holder) = ("k".repeat(255), "h".repeat(64));
        for sound in ["k", "a/b", &key, "shop\u{1f}k", &format!("{holder}\u{1f}{key}")] {
            assert!(is_sound_key(sound), "{sound:?}");
        }
        let long = format!("{key}k");
        for wrong in ["", "a\nb", "\u{1f}k", "shop\u{1f}", "a\u{1f}b\u{1f}c", &long, &format!("{holder}h\u{1f}k")] {
            assert!(!is_sound_key(wrong), "{wrong:?}");
        }
    }
}
