//! The life after a restart: what the store held, what handlers still hold, and what callers announce again are put together.
//!
//! ```text
//!  restore: a send that no handler can have ──────────────────────────────────────────────► QUEUED
//!  restore: a call ──► SOUGHT ── its caller announces it, and no handler can have it ─────► QUEUED
//!  announced again, unknown ─┤
//!  restore: a handler had it ┤── a handler says that it holds it ─────────────────────────► DELIVERED
//!                            │── a handler says that it has answered it ──────────────────► answered
//!                            │── its handler says what it holds, and this is not in it ───► QUEUED
//!                            └── the grace time ends ── attempts left, or never delivered ► QUEUED
//!                                                    ── none left ────────────────────────► handler_lost (ran: maybe)
//!                                                    ── among several servers, perhaps delivered: that counts as an attempt
//!                                                    ── its caller did not come ──────────► dropped
//! ```
//!
//! A handler names what it holds by the delivery's id, which is a keyed hash of who asked: a server that knows nothing of the
//! delivery can make it again from the request. What handlers say before the caller has spoken is kept in [`Claim`]s.

use crate::action::Action;
use crate::broker::{Alarm, Broker};
use crate::claims::{Claim, Claims};
use crate::dispatch::delivery_id;
use crate::endings::End;
use crate::kept::{KeptReply, Place};
use crate::request::{Keeping, Owner, Rare, Request, State};
use crate::saved::{Caller, Item, ItemId, SavedKept, SavedRequest};
use crate::session::{Delivery, Session};
use crate::settings::REQUEST_OVERHEAD_BYTES;
use crate::tables::{Key, Links, Map, TimerLinks, map};
use crate::time::Time;
use answerback_protocol::frames::Request as Frame;
use answerback_protocol::{SessionId, Text};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How the last life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// In order, with everything saved: what the store says is exact. Otherwise a request that is not durable may have been
    /// delivered since the last snapshot.
    pub clean: bool,
}

/// A restart that is not over yet.
pub(crate) struct Recovering {
    pub(crate) until: Time,
    clean: bool,
    /// Requests that handlers may hold, by each id that the delivery may have.
    by_delivery: Map<u64, Key<Request>>,
    /// Requests that the store says to be with a handler, by its session.
    by_handler: Map<u128, Vec<Key<Request>>>,
    /// Requests that are sought, in the order they came.
    sought: Vec<Key<Request>>,
    /// Sends that were restored last, by origin: one that is announced again is one of the last that were taken.
    sends: Map<u64, Key<Request>>,
    latest_sends: VecDeque<u64>,
    /// Sessions that were made for what the store held.
    sessions: Vec<Key<Session>>,
    pub(crate) claims: Claims,
}

/// Sends that are known again when they are announced. A client has at most so many that were not accepted.
const SENDS_KNOWN: usize = 1 << 16;

/// What the connections of earlier lives count as.
pub(crate) const EPOCH_BEFORE: u32 = 1;

/// Deliveries of a request that is not known to have been delivered, of which a handler may hold one. One for the first handler and one for each
/// that handed it back before the last snapshot; twice that, because a life before may have passed over some.
const DELIVERIES_TRIED: u16 = 6;

/// How soon to look again whether the last request that was announced in time is on disk.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Deliveries passed over when such a request is delivered after all: whoever still works on one of those must not be taken for the new handler.
const DELIVERIES_PASSED_OVER: u16 = 3;

impl Broker {
    /// Begins the life after a restart. Comes first, before what the store held is given back.
    ///
    /// For the grace time, counted from the last item with a caller that was restored, handlers say what they hold.
    pub fn recover(&mut self, now: Time, how: Recovery) {
        self.now = self.now.max(now);
        let seed = self.settings.secrets.tables;
        let until = self.now + self.settings.session_grace;
        self.recovering = Some(Box::new(Recovering {
            until,
            clean: how.clean,
            by_delivery: map(seed),
            by_handler: map(seed),
            sought: Vec::new(),
            sends: map(seed),
            latest_sends: VecDeque::new(),
            sessions: Vec::new(),
            claims: Claims::new(seed),
        }));
        self.alarms.set(until, Alarm::Recovered);
    }

    /// Takes back an item that the store held, in the order of the numbers.
    pub fn restore(&mut self, now: Time, id: ItemId, item: Item) {
        self.now = self.now.max(now);
        self.next_item = self.next_item.max(id.0 + 1);
        match item {
            Item::Request(saved) => self.restore_request(id, *saved),
            Item::Kept(saved) => self.restore_kept(id, *saved),
            Item::Stored(saved) => self.restore_stored(id, *saved),
        }
    }

    fn restore_request(&mut self, id: ItemId, saved: SavedRequest) {
        let action = self.action_restored(&saved.action);
        let owner = match saved.caller {
            Some(caller) => Owner::Caller { session: self.session_restored(caller, &saved.from), id: caller.id },
            None => Owner::Nobody,
        };
        let (origin, progress) = (saved.origin, saved.progress);
        let last_attempt = progress.attempt + 1 >= saved.attempts;
        let (name, action_name, durable) = (saved.key.clone(), Arc::clone(&saved.action), saved.durable);
        let unseen = !saved.durable && self.recovering.as_ref().is_some_and(|recovering| !recovering.clean);
        // Of an earlier restart, after which nothing was learnt of it.
        let unknown = saved.progress.may_have_run && saved.progress.attempt == 0 && !saved.progress.delivered;
        let doubtful = unseen || unknown;
        let key = self.hold(request_of(id, saved, owner, action, doubtful));
        if doubtful && self.drain.is_some() {
            self.list_for_snapshot(key);
        }
        if let Some(name) = name {
            if durable {
                // It may have become durable after the last snapshot, and be in that as well.
                self.snapshot.gone.push(id);
            }
            self.forget_stored(&action_name, &name);
            self.runs_under(key, &name);
        }
        if owner == Owner::Nobody {
            self.know_send(origin, key);
        } else {
            self.recovering_longer();
        }
        if let (Some(handler), Some(recovering)) = (progress.handler, &mut self.recovering) {
            recovering.by_handler.entry(handler).or_default().push(key);
        }
        if owner != Owner::Nobody || progress.delivered || (last_attempt && doubtful) {
            self.seek(key);
        } else {
            self.enqueue(key);
            self.dispatch(action);
        }
    }

    fn restore_kept(&mut self, id: ItemId, saved: SavedKept) {
        self.recovering_longer();
        let key = self.session_restored(saved.caller, &saved.name);
        let call = self.sessions.get(key).and_then(|session| session.calls.get(&saved.caller.id.get())).copied();
        if let Some(call) = call.filter(|_| !saved.reply.part) {
            // It ended with this reply: that it has gone was not on disk.
            self.end(call.request, End::CallerLeft);
        }
        let place = Place::of(id, saved.durable);
        let kept = KeptReply::new(&saved.reply, saved.data).with(None, place);
        if let Some(session) = self.sessions.get_mut(key) {
            session.kept.push_restored(kept, &self.settings.limits, &mut self.kept);
        }
        self.let_kept_go();
    }

    /// The grace time begins when clients can speak, which is after the last of these.
    fn recovering_longer(&mut self) {
        let until = self.now + self.settings.session_grace;
        if let Some(recovering) = &mut self.recovering {
            recovering.until = until;
        }
    }

    /// The session that a stored item belongs to. Its client has not come back yet.
    fn session_restored(&mut self, caller: Caller, name: &Arc<str>) -> Key<Session> {
        if let Some(&known) = self.session_by_id.get(&caller.session) {
            return known;
        }
        self.clients += 1;
        let seed = self.settings.secrets.tables;
        let mut session = Session::new(SessionId::new(caller.session), self.clients, Arc::clone(name), seed);
        (session.epoch, session.confirmed, session.restored) = (EPOCH_BEFORE, true, true);
        let key = self.sessions.insert(session);
        self.session_by_id.insert(caller.session, key);
        if let Some(recovering) = &mut self.recovering {
            recovering.sessions.push(key);
        }
        key
    }

    fn know_send(&mut self, origin: u64, key: Key<Request>) {
        let Some(recovering) = &mut self.recovering else { return };
        recovering.latest_sends.push_back(origin);
        if recovering.latest_sends.len() > SENDS_KNOWN
            && let Some(oldest) = recovering.latest_sends.pop_front()
        {
            recovering.sends.remove(&oldest);
        }
        // Its caller may have announced it before it was read: that one waits for a handler, and is not needed.
        if let Some(announced) = recovering.sends.insert(origin, key) {
            self.forget_request(announced);
        }
    }

    /// Takes a request out that is there twice.
    pub(crate) fn forget_request(&mut self, key: Key<Request>) {
        if let Some(request) = self.requests.get_mut(key).filter(|request| request.owner == Owner::Nobody) {
            // Not a send that is lost.
            request.owner = Owner::Gone;
        }
        self.end(key, End::CallerLeft);
    }

    /// From now on a request waits for its caller, for a handler that has it, or for the end of the grace time.
    pub(crate) fn seek(&mut self, key: Key<Request>) {
        let Some(recovering) = &mut self.recovering else { return self.wait_for_nothing(key) };
        let Some(request) = self.requests.get_mut(key) else { return };
        let doubtful = request.keeping.doubtful;
        request.state = State::Sought;
        request.may_have_run |= doubtful || request.keeping.marked;
        // The delivery that the store knows of, and the next ones if there may have been more.
        let known = request.keeping.marked.then(|| request.delivery().get());
        let more = deliveries_tried(request).filter(|_| doubtful).map(|(_, id)| id);
        let ids: Vec<_> = known.into_iter().chain(more).collect();
        recovering.sought.push(key);
        recovering.by_delivery.extend(ids.iter().map(|&id| (id, key)));
        self.wheel.set(&mut self.requests, key);
        for id in ids {
            if let Some(claim) = self.take_claim(key, id) {
                self.adopt(key, id, claim);
                return;
            }
        }
    }

    /// Nothing more is to be learnt of it.
    fn wait_for_nothing(&mut self, key: Key<Request>) {
        let Some(action) = self.requests.get(key).map(|request| request.action) else { return };
        self.enqueue(key);
        self.dispatch(action);
    }

    /// Its caller has announced it again.
    pub(crate) fn caller_is_back(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get(key).filter(|request| request.state == State::Sought) else { return };
        if self.recovering.is_none() {
            self.judge(key);
        } else if !request.keeping.marked && !request.keeping.doubtful {
            self.wait_for_nothing(key);
        }
    }

    /// A send that its caller announces again, and that the store held.
    pub(crate) fn is_restored_send(&self, session: Key<Session>, frame: &Frame<'_>) -> bool {
        let Some(recovering) = self.recovering.as_ref().filter(|_| frame.again && !frame.reply) else { return false };
        let Some(session) = self.sessions.get(session) else { return false };
        recovering.sends.contains_key(&self.origin(session.id.get(), frame.id.get()))
    }

    /// A request that its caller announces again and that this broker does not know.
    pub(crate) fn seek_announced(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get(key) else { return };
        if request.owner == Owner::Nobody {
            // It may still be on its way from the store.
            let origin = request.origin;
            self.know_send(origin, key);
        }
        self.seek(key);
    }

    /// The request that a delivery of the life before was about, if it is still sought.
    pub(crate) fn sought_by_delivery(&self, id: u64) -> Option<Key<Request>> {
        let key = *self.recovering.as_ref()?.by_delivery.get(&id)?;
        self.requests.get(key).filter(|request| request.state == State::Sought).map(|_| key)
    }

    /// Whether a handler has said that it holds, or has answered, a request that is about to be delivered; then that counts. Otherwise its delivery is
    /// counted that the life before may have made: its handler may come yet.
    pub(crate) fn is_claimed(&mut self, key: Key<Request>) -> bool {
        let Some(request) = self.requests.get(key) else { return false };
        if !request.keeping.doubtful || request.keeping.marked {
            return false;
        }
        let claim = deliveries_tried(request).find_map(|(_, id)| Some((id, self.take_claim(key, id)?)));
        if claim.is_some() {
            self.leave_queue(key, false);
        }
        let recovers = self.recovering.is_some();
        let Some(request) = self.requests.get_mut(key) else { return false };
        if let Some((id, claim)) = claim {
            request.state = State::Sought;
            if let Some(recovering) = &mut self.recovering {
                recovering.sought.push(key);
            }
            self.adopt(key, id, claim);
            return true;
        }
        request.keeping.doubtful = false;
        request.deliveries = request.deliveries.wrapping_add(DELIVERIES_PASSED_OVER);
        if recovers && request.attempt + 1 < request.attempts {
            request.attempt += 1;
        }
        false
    }

    /// A handler has said what became of a sought request. False if it may not serve such requests: then it counts for nothing.
    pub(crate) fn adopt(&mut self, key: Key<Request>, id: u64, claim: Claim) -> bool {
        if !self.may_claim(key, &claim) {
            return false;
        }
        self.adopt_allowed(key, id, claim);
        true
    }

    fn adopt_allowed(&mut self, key: Key<Request>, id: u64, claim: Claim) {
        let Claim { session, released, answers, .. } = claim;
        let Some(request) = self.requests.get_mut(key) else { return };
        let later = deliveries_tried(request).find(|(_, tried)| *tried == id);
        if let Some((number, _)) = later {
            request.deliveries = number;
            request.attempt += u16::from(!request.keeping.marked);
        }
        request.keeping.marked = true;
        if released {
            answers.into_iter().filter_map(|answer| answer.receipt).for_each(|receipt| self.let_go(receipt));
            return self.never_started(key);
        }
        if !self.deliver_again(key, id, session) {
            // The handler is gone again. What it has answered stays answered; what it held may have run.
            if let Some(request) = self.requests.get_mut(key) {
                request.may_have_run = true;
            }
        }
        // This may happen while another reply is taken in, which has made room for the request of this one.
        let taken_in = self.source.take();
        for answer in answers {
            self.source = answer.receipt;
            if self.sessions.get(session).is_some() {
                self.answered(session, answer.frame, answer.data);
            } else if !answer.frame.part {
                self.end(key, End::Answered { error: answer.frame.error, data: answer.data });
            }
            self.reply_dealt_with();
        }
        self.source = taken_in;
    }

    /// A handler has said all that it holds: what the store says to be with it and is not among that has never arrived.
    pub(crate) fn handler_is_back(&mut self, session: Key<Session>) {
        let Some(id) = self.sessions.get(session).map(|session| session.id.get()) else { return };
        let Some(recovering) = &mut self.recovering else { return };
        for key in recovering.by_handler.remove(&id).unwrap_or_default().into_iter().rev() {
            let Some(request) = self.requests.get_mut(key) else { continue };
            match (request.state == State::Sought && request.keeping.marked, request.keeping.doubtful) {
                (false, _) => {}
                (true, false) => self.never_started(key),
                // Since the snapshot it may have been handed back and given to another.
                (true, true) => {
                    request.keeping.marked = false;
                    request.attempt = request.attempt.saturating_sub(1);
                }
            }
        }
    }

    /// A delivery of the life before has never been started: the request waits again.
    fn never_started(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.attempt = request.attempt.saturating_sub(1);
        // The store knew whether any other handler had been given it; if it did not, that stays in doubt.
        request.may_have_run &= request.keeping.doubtful || request.attempt > 0;
        (request.keeping.marked, request.keeping.doubtful) = (false, false);
        let action = request.action;
        let wanted = self.requests.get(key).is_some_and(|request| self.is_announced(request));
        if !wanted && !self.goes_on_for_others(key) {
            // Its caller may have had its answer before the restart: only it can say.
            return self.progressed(key);
        }
        self.put_first(key);
        self.progressed(key);
        self.leave_if_too_late(key);
        self.dispatch(action);
    }

    /// The request is where it was before the restart: with this handler.
    fn deliver_again(&mut self, key: Key<Request>, id: u64, session: Key<Session>) -> bool {
        let Some(action) = self.requests.get(key).map(|request| request.action) else { return false };
        if self.sessions.get(session).is_none() {
            return false;
        }
        let is_new = self.sessions.get(session).is_some_and(|session| !session.serves.contains_key(&action));
        let handler = self.handler_of(session, action);
        self.deliveries += 1;
        let (number, now) = (self.deliveries, self.now);
        if let Some(session) = self.sessions.get_mut(session) {
            session.deliveries.insert(id, Delivery { request: Some(key), handler, number, held: true });
        }
        if let Some(handler) = self.handlers.get_mut(handler) {
            handler.in_flight += 1;
            // It has not said that it serves the action on this connection. It will, or it only finishes what it has.
            handler.open &= !is_new;
        }
        if let Some(action) = self.actions.get_mut(action) {
            action.in_flight += 1;
        }
        self.in_flight += 1;
        if let Some(request) = self.requests.get_mut(key) {
            debug_assert_eq!(request.delivery().get(), id, "the handler holds the delivery that was counted last");
            request.state = State::Delivered { handler, at: now };
        }
        self.relist(handler);
        self.wheel.set(&mut self.requests, key);
        self.progressed(key);
        true
    }

    /// The grace time is over: what nobody has spoken of is judged.
    pub(crate) fn recovery_over(&mut self) {
        let Some(until) = self.recovering.as_ref().map(|recovering| recovering.until) else { return };
        if until > self.now {
            return self.alarms.set(until, Alarm::Recovered);
        }
        if self.journal.writes_sought() {
            // What was announced in time and is not on disk yet cannot be put together with what handlers have said.
            return self.alarms.set(self.now + AGAIN_AFTER, Alarm::Recovered);
        }
        let Some(recovering) = self.recovering.take() else { return };
        let Recovering { sought, sessions, claims, .. } = *recovering;
        for session in sessions {
            if self.sessions.get(session).is_some_and(|session| session.restored && session.connection.is_none()) {
                self.end_session(session);
            }
        }
        let (first, rest): (Vec<_>, Vec<_>) =
            sought.into_iter().partition(|&key| self.requests.get(key).is_some_and(|request| request.keeping.marked));
        for key in first.into_iter().rev().chain(rest) {
            self.judge(key);
        }
        for (id, claim) in claims.into_rest() {
            self.let_claim_go(id, claim);
        }
        self.look_whether_drained();
    }

    pub(crate) fn judge(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get(key).filter(|request| request.state == State::Sought) else { return };
        let (marked, action, left) = (request.keeping.marked, request.action, request.attempt < request.attempts);
        if !self.is_announced(request) && !self.goes_on_for_others(key) {
            // Its caller has come just now: it is judged when it is announced, or when its caller has surely announced everything.
            if !self.may_be_announced(key) {
                self.end(key, End::CallerLeft);
            }
            return;
        }
        if !marked && self.may_be_held_elsewhere(key) {
            return;
        }
        match (marked, left) {
            (true, false) => return self.end(key, End::HandlerLost),
            (true, true) => {
                self.put_first(key);
                self.progressed(key);
            }
            (false, _) => self.enqueue(key),
        }
        self.leave_if_too_late(key);
        self.dispatch(action);
    }

    /// Nobody has spoken of it. A handler of a server that is alone would have; among several it may have come back at another one, and work there
    /// on what the life before gave to it. So that counts as a delivery that is lost. Whether the request has ended by it.
    fn may_be_held_elsewhere(&mut self, key: Key<Request>) -> bool {
        let is_alone = self.mesh.is_alone();
        let Some(request) = self.requests.get_mut(key).filter(|request| request.keeping.doubtful && !is_alone) else {
            return false;
        };
        request.attempt += 1;
        let ends = request.attempt >= request.attempts;
        if ends {
            self.end(key, End::HandlerLost);
        }
        ends
    }

    /// Whether its caller is there and may not have announced everything yet.
    fn may_be_announced(&self, key: Key<Request>) -> bool {
        let Some(Owner::Caller { session, .. }) = self.requests.get(key).map(|request| request.owner) else {
            return false;
        };
        let Some(session) = self.sessions.get(session).filter(|session| !session.restored) else { return false };
        session.connection.is_none_or(|connection| !self.has_settled(connection))
    }

    /// A client has surely announced all that it waits for: calls of the life before that are not among it are not wanted.
    pub(crate) fn nothing_more_is_announced(&mut self, key: Key<Session>) {
        let Some(session) = self.sessions.get(key).filter(|session| session.announces_earlier) else { return };
        let before = |id: &u64| session.calls.get(id).is_some_and(|call| call.epoch == EPOCH_BEFORE);
        let unwanted: Vec<_> = session.calls_in_order().into_iter().filter(|(id, _)| before(id)).collect();
        for (_, request) in unwanted {
            if self.goes_on_for_others(request) {
                self.judge(request);
            } else {
                self.end(request, End::CallerLeft);
            }
        }
    }

    /// Its caller is not there, and others wait for the same work.
    fn goes_on_for_others(&mut self, key: Key<Request>) -> bool {
        let Some(request) = self.requests.get_mut(key).filter(|request| request.is_joined()) else { return false };
        if let Owner::Caller { session, id } = std::mem::replace(&mut request.owner, Owner::Gone) {
            self.forget_call(session, id);
        }
        true
    }

    /// Whether somebody still wants it: a send always, a call if its caller has asked for it in this life.
    fn is_announced(&self, request: &Request) -> bool {
        let Owner::Caller { session, id } = request.owner else { return true };
        let Some(session) = self.sessions.get(session) else { return false };
        session.calls.get(&id.get()).is_some_and(|call| call.epoch > EPOCH_BEFORE)
    }

    fn action_restored(&mut self, name: &Arc<str>) -> Key<Action> {
        // It was taken when there was room for its name; it does not lose it now.
        let most = std::mem::replace(&mut self.settings.limits.actions, usize::MAX);
        let action = self.action(name);
        self.settings.limits.actions = most;
        action.unwrap_or_else(|| self.actions.insert(Action::new(Arc::clone(name))))
    }
}

/// The deliveries that the life before may have made without the store knowing: their numbers and ids.
fn deliveries_tried(request: &Request) -> impl Iterator<Item = (u16, u64)> + use<> {
    let (origin, known) = (request.origin, request.deliveries);
    let numbers = (1..=DELIVERIES_TRIED).map(move |more| known.wrapping_add(more));
    numbers.map(move |number| (number, delivery_id(origin, number).get()))
}

fn request_of(id: ItemId, saved: SavedRequest, owner: Owner, action: Key<Action>, doubtful: bool) -> Request {
    let extra = saved.key.as_ref().map_or(0, |key| key.len()) + saved.trace.as_ref().map_or(0, |trace| trace.len());
    let rare =
        saved.trace.map(|trace| Box::new(Rare { trace: Some(Text::from(String::from(trace))), ..Rare::default() }));
    Request {
        owner,
        origin: saved.origin,
        action,
        from: saved.from,
        cost: u32::try_from(saved.data.len() + extra + REQUEST_OVERHEAD_BYTES).unwrap_or(u32::MAX),
        data: saved.data,
        received: saved.received,
        expires: saved.expires,
        deadline: saved.deadline,
        state: State::Arrived,
        attempt: saved.progress.attempt,
        attempts: saved.attempts,
        deliveries: saved.progress.deliveries,
        parts: saved.progress.parts,
        info: saved.info,
        may_have_run: saved.progress.may_have_run,
        item: id.0,
        keeping: Keeping {
            durable: saved.durable,
            saved: !saved.durable,
            marked: saved.progress.delivered,
            doubtful,
            ..Keeping::default()
        },
        rare,
        links: Links::LOOSE,
        timer: TimerLinks::UNSET,
    }
}
