//! Durable requests: what is written down, and what waits until it is on disk.
//!
//! ```text
//!   arrives ──► STORING ──── on disk ───► accepted ──► delivered, or QUEUED
//!                  │                                      │
//!                  │ the disk fails                       └─ its turn ─► STORING ── on disk ──► DELIVERED
//!                  └──► unavailable (ran: no)                (marked: a handler is about to get it)
//! ```
//!
//! A handler gets a durable request only after it is on disk that it will: so a server that starts again knows of each one
//! whether it can have run. When a handler is free at once, both are one step.

use crate::broker::Broker;
use crate::endings::End;
use crate::handler::Handler;
use crate::kept::Place;
use crate::receipts::Receipt;
use crate::request::{Owner, Request, State};
use crate::saved::{Caller, Change, Item, ItemId, Progress, SavedKept, SavedRequest, Step, StoreNews};
use crate::session::Session;
use crate::tables::Key;
use crate::time::Time;
use crate::topics::matches_pattern;
use answerback_protocol::frames::{Reply, Request as Frame};
use answerback_protocol::{Payload, RequestId};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the journal is asked to hold, and what waits for it.
pub(crate) struct Journal {
    steps: Vec<Step>,
    /// The number of the last step.
    last: u64,
    /// The step that is being made: the end of a durable request, with all that it leaves behind.
    open: Option<Vec<Change>>,
    /// Requests that wait for a step, in the order of the steps.
    waiting: VecDeque<(u64, Key<Request>, Awaits)>,
    /// Replies that their handlers may forget when a step is on disk.
    receipts: VecDeque<(u64, Receipt)>,
    pub(crate) takes_durable: bool,
    pub(crate) unsaved_since: Option<Time>,
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// To be on disk. A send is accepted then; one that may be of the life before is sought first.
    Taken { send: bool, sought: bool },
    /// To be marked as about to be delivered.
    Marked,
    /// To be on disk as well, because somebody joined it who wants that.
    MadeDurable,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            steps: Vec::new(),
            last: 0,
            open: None,
            waiting: VecDeque::new(),
            receipts: VecDeque::new(),
            takes_durable: true,
            unsaved_since: None,
        }
    }

    /// Whether a request that is sought is being written.
    pub(crate) fn writes_sought(&self) -> bool {
        self.waiting.iter().any(|(.., awaits)| matches!(awaits, Awaits::Taken { sought: true, .. }))
    }

    /// How many requests wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl Broker {
    /// Steps for the journal since the last call, and the number of the last of them.
    pub fn take_steps(&mut self) -> Option<(u64, Vec<Step>)> {
        let steps = std::mem::take(&mut self.journal.steps);
        if steps.is_empty() { None } else { Some((self.journal.last, steps)) }
    }

    /// Something from the store.
    pub(crate) fn store_news(&mut self, news: StoreNews) {
        match news {
            StoreNews::Written { upto } => self.written(upto),
            StoreNews::NotWritten { upto } => self.not_written(upto),
            StoreNews::Saved => self.snapshot_saved(),
            StoreNews::Health { takes_durable, unsaved_since } => {
                (self.journal.takes_durable, self.journal.unsaved_since) = (takes_durable, unsaved_since);
                if !takes_durable {
                    self.release_all_places();
                }
            }
        }
    }

    /// Whether a request is to be on disk before it counts.
    pub(crate) fn is_durable(&self, frame: &Frame<'_>) -> bool {
        let by_setting = || {
            let patterns = &self.settings.durable_actions;
            let name = frame.action.as_str();
            self.settings.has_store && !frame.broadcast && patterns.iter().any(|pattern| matches_pattern(pattern, name))
        };
        // Another server that passes a request on has it on its own disk.
        frame.via.is_none() && (frame.durable || by_setting())
    }

    pub(crate) fn next_item(&mut self) -> ItemId {
        let item = self.next_item;
        self.next_item += 1;
        ItemId(item)
    }

    fn write_down(&mut self, changes: Vec<Change>) -> u64 {
        self.journal.steps.push(Step(changes));
        self.journal.last += 1;
        self.journal.last
    }

    /// Writes a new request down. It goes on when that is on disk.
    pub(crate) fn store_request(&mut self, key: Key<Request>, send: bool, sought: bool) {
        let free = self.requests.get(key).and_then(|request| self.free_handler(request)).filter(|_| !sought);
        let Some(request) = self.requests.get_mut(key) else { return };
        (request.keeping.durable, request.keeping.marked) = (true, free.is_some());
        let (item, before) = (ItemId(request.item), request.progress());
        let reserved = self.reserve(key, false, free);
        let Some(saved) = self.saved_request(key, reserved.unwrap_or(before)) else { return };
        let put = Change::Put(item, Item::Request(Box::new(saved)));
        let step = self.write_down(vec![put]);
        self.journal.waiting.push_back((step, key, Awaits::Taken { send, sought }));
        self.wheel.set(&mut self.requests, key);
    }

    /// A request that runs already is asked to be durable, by somebody who joins it. Returns whether that waits for the disk.
    pub(crate) fn make_durable(&mut self, leader: Key<Request>, joined: Key<Request>, send: bool) -> bool {
        let Some(request) = self.requests.get(leader).filter(|request| request.item != 0) else { return false };
        let (item, progress) = (ItemId(request.item), self.progress_of(request));
        let Some(request) = self.requests.get_mut(leader) else { return false };
        if !std::mem::replace(&mut request.keeping.durable, true) {
            request.keeping.marked = progress.delivered;
            if std::mem::take(&mut request.keeping.saved) {
                self.snapshot.gone.push(item);
            }
            let Some(saved) = self.saved_request(leader, progress) else { return false };
            let step = self.write_down(vec![Change::Put(item, Item::Request(Box::new(saved)))]);
            self.journal.waiting.push_back((step, leader, Awaits::MadeDurable));
        }
        self.journal.waiting.push_back((self.journal.last, joined, Awaits::Taken { send, sought: false }));
        true
    }

    /// A request as a store holds it.
    pub(crate) fn saved_request(&self, key: Key<Request>, progress: Progress) -> Option<SavedRequest> {
        let request = self.requests.get(key)?;
        let caller = match request.owner {
            Owner::Caller { session, id } if !request.keeping.unaccepted => {
                self.sessions.get(session).map(|session| Caller { session: session.id.get(), id })
            }
            _ => None,
        };
        Some(SavedRequest {
            caller,
            origin: request.origin,
            // One on its way to the home of its key goes on here after a restart: nobody may know the way then.
            action: Arc::from(self.action_of(request)),
            from: Arc::clone(&request.from),
            key: self.key_of(request),
            trace: request.trace().map(|trace| Box::from(&**trace)),
            data: request.data.clone(),
            received: request.received,
            expires: request.expires,
            deadline: request.deadline,
            attempts: request.attempts,
            info: request.info,
            durable: request.keeping.durable,
            progress,
        })
    }

    /// How far a request has come.
    pub(crate) fn progress_of(&self, request: &Request) -> Progress {
        let handler = match request.state {
            State::Delivered { handler, .. } => self.handlers.get(handler).and_then(|h| self.sessions.get(h.session)),
            _ => None,
        };
        Progress { handler: handler.map(|session| session.id.get()), ..request.progress() }
    }

    /// The state of a request has changed: whoever has it on disk is to know.
    pub(crate) fn progressed(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get(key).filter(|request| request.item != 0) else { return };
        let (item, keeping, progress) = (ItemId(request.item), request.keeping, self.progress_of(request));
        if let Some(request) = self.requests.get_mut(key).filter(|_| keeping.durable || keeping.saved) {
            request.keeping.marked = progress.delivered;
        }
        if keeping.durable {
            self.write_down(vec![Change::Progress(item, progress)]);
        } else if keeping.saved {
            self.list_for_snapshot(key);
        }
    }

    /// Whether it must be on disk that a handler gets this request before one does.
    pub(crate) fn must_be_marked(&self, key: Key<Request>) -> bool {
        self.requests.get(key).is_some_and(|request| request.keeping.durable && !request.keeping.marked)
    }

    /// The first of a queue is about to be delivered: it leaves the queue until that is written. When the disk fails that may
    /// take long, and no handler is kept waiting for it.
    pub(crate) fn mark(&mut self, key: Key<Request>, to: Key<Handler>) {
        self.leave_queue(key, false);
        let Some(progress) = self.reserve(key, true, Some(to).filter(|_| self.journal.takes_durable)) else { return };
        let Some(request) = self.requests.get(key) else { return };
        let step = self.write_down(vec![Change::Progress(ItemId(request.item), progress)]);
        self.journal.waiting.push_back((step, key, Awaits::Marked));
    }

    /// Something of a request is being written, and this handler is to get it then. What the store shall say of it, if it will
    /// be delivered.
    fn reserve(&mut self, key: Key<Request>, marking: bool, handler: Option<Key<Handler>>) -> Option<Progress> {
        let request = self.requests.get_mut(key)?;
        request.state = State::Storing { marking, handler };
        let progress = about_to_be_delivered(request);
        let Some(handler) = handler else { return marking.then_some(progress) };
        let record = self.handlers.get_mut(handler)?;
        record.reserved += 1;
        let (session, action) = (record.session, record.action);
        if let Some(action) = self.actions.get_mut(action) {
            action.turn += 1;
            record.turn = action.turn;
        }
        self.relist(handler);
        Some(Progress { handler: self.sessions.get(session).map(|session| session.id.get()), ..progress })
    }

    /// What was being written of a request does not matter any more, or is on disk: its handler's place is free. Whose it was.
    pub(crate) fn release_place(&mut self, key: Key<Request>) -> Option<Key<Handler>> {
        let State::Storing { handler, .. } = &mut self.requests.get_mut(key)?.state else { return None };
        let handler = handler.take()?;
        self.handlers.get_mut(handler)?.reserved -= 1;
        self.relist(handler);
        Some(handler)
    }

    /// The disk fails: handlers do not wait for it.
    fn release_all_places(&mut self) {
        let waiting: Vec<_> = self.journal.waiting.iter().map(|(_, key, _)| *key).collect();
        for key in waiting {
            self.release_place(key);
        }
        self.actions.keys().into_iter().for_each(|action| self.dispatch(action));
    }

    /// It was about to be delivered, and the server leaves first.
    pub(crate) fn will_not_be_delivered(&mut self, key: Key<Request>) {
        self.release_place(key);
        if self.requests.get(key).is_some_and(|request| matches!(request.state, State::Storing { marking: true, .. })) {
            self.put_first(key);
            self.progressed(key);
        }
    }

    fn written(&mut self, upto: u64) {
        let mut waiting_actions = Vec::new();
        let mut without_handler = Vec::new();
        while let Some(&(_, key, awaits)) = self.journal.waiting.front().filter(|(step, ..)| *step <= upto) {
            self.journal.waiting.pop_front();
            match awaits {
                Awaits::Taken { send, sought } => self.taken(key, send, sought),
                Awaits::Marked => self.marked(key, &mut without_handler),
                Awaits::MadeDurable => {}
            }
            waiting_actions.extend(self.requests.get(key).map(|request| request.action));
        }
        for key in without_handler.into_iter().rev() {
            self.put_first(key);
            // Were the server to die now, it would count as one that a handler may have.
            self.progressed(key);
            self.leave_if_too_late(key);
        }
        waiting_actions.sort_unstable();
        waiting_actions.dedup();
        for action in waiting_actions {
            self.dispatch(action);
        }
        while let Some(&(_, receipt)) = self.journal.receipts.front().filter(|(step, _)| *step <= upto) {
            self.journal.receipts.pop_front();
            self.let_go(receipt);
        }
        self.look_whether_drained();
    }

    /// A request is on disk: it counts from now on.
    fn taken(&mut self, key: Key<Request>, send: bool, sought: bool) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.keeping.unaccepted = false;
        if let (true, Owner::Caller { session, id }) = (send, request.owner) {
            request.owner = Owner::Nobody;
            self.accept_owned(session, id);
        }
        let place = self.release_place(key);
        let Some(request) = self.requests.get_mut(key).filter(|r| matches!(r.state, State::Storing { .. })) else {
            return;
        };
        request.state = State::Arrived;
        let in_time = !too_late(request, self.now);
        match place.filter(|&handler| in_time && self.can_get(handler)) {
            _ if sought => self.seek_announced(key),
            Some(handler) => {
                self.deliver(key, handler);
                self.wheel.set(&mut self.requests, key);
            }
            None => self.wait_in_queue(key),
        }
    }

    /// A send that belonged to its caller is accepted.
    pub(crate) fn accept_owned(&mut self, session: Key<Session>, id: RequestId) {
        let call = self.sessions.get(session).and_then(|session| session.calls.get(&id.get())).copied();
        self.forget_call(session, id);
        if let Some(call) = call {
            self.accepted_of(session, id.get(), call.epoch);
        }
    }

    /// It could have been delivered at once and was not: it waits like others.
    fn wait_in_queue(&mut self, key: Key<Request>) {
        self.enqueue(key);
        if self.requests.get(key).is_some_and(|request| request.keeping.marked) {
            self.progressed(key);
        }
        self.leave_if_too_late(key);
    }

    /// It is on disk that this handler gets this request: it does, if it is still there.
    fn marked(&mut self, key: Key<Request>, without_handler: &mut Vec<Key<Request>>) {
        let place = self.release_place(key);
        let Some(request) = self.requests.get_mut(key).filter(|r| matches!(r.state, State::Storing { .. })) else {
            return;
        };
        request.state = State::Arrived;
        request.keeping.marked = true;
        let late = request.is_overdue(self.now);
        match place.filter(|&handler| !late && self.can_get(handler)) {
            Some(handler) => self.deliver(key, handler),
            None => without_handler.push(key),
        }
    }

    /// The disk would not take these: requests among them are refused. What was accepted before goes on waiting.
    fn not_written(&mut self, upto: u64) {
        let (tried, rest): (VecDeque<_>, _) = self.journal.waiting.drain(..).partition(|(step, ..)| *step <= upto);
        self.journal.waiting = rest;
        let (marks, requests): (Vec<_>, _) = tried.into_iter().partition(|(.., awaits)| *awaits == Awaits::Marked);
        for mark in marks.into_iter().rev() {
            self.journal.waiting.push_front(mark);
        }
        for (_, key, awaits) in requests {
            if awaits == Awaits::MadeDurable {
                self.not_made_durable(key);
                continue;
            }
            if let Some(request) = self.requests.get_mut(key) {
                request.keeping.durable = false;
            }
            self.end(key, End::NotWritten);
        }
    }

    /// It is what it was before somebody joined it who wanted more.
    fn not_made_durable(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        (request.keeping.durable, request.keeping.marked) = (false, false);
        // Perhaps: to take out what is not there does no harm.
        request.keeping.saved = true;
        let item = ItemId(request.item);
        // It is put into the next snapshot again, which takes out at its end what has gone.
        self.snapshot.gone.retain(|gone| *gone != item);
        self.list_for_snapshot(key);
        let joined = |waiting: &Key<Request>| {
            self.requests.get(*waiting).is_some_and(|request| request.state == State::Joined { leader: key })
        };
        let since: Vec<_> = self.journal.waiting.iter().map(|(_, waiting, _)| *waiting).filter(joined).collect();
        for waiting in since {
            self.end(waiting, End::NotWritten);
        }
    }

    /// A request ends. Returns whether what it leaves behind belongs into one step of the journal.
    pub(crate) fn begin_ending(&mut self, request: &Request) -> bool {
        if request.item == 0 {
            return false;
        }
        let item = ItemId(request.item);
        if request.keeping.durable && self.journal.open.is_none() {
            self.journal.open = Some(vec![Change::Gone(item)]);
            return true;
        }
        if request.keeping.saved {
            self.snapshot.gone.push(item);
            if !matches!(request.owner, Owner::Caller { .. }) {
                let receipt = self.need_source();
                self.snapshot.receipts.extend(receipt);
            }
        }
        false
    }

    pub(crate) fn finish_ending(&mut self, has_step: bool) {
        let Some(changes) = has_step.then(|| self.journal.open.take()).flatten() else { return };
        let step = self.write_down(changes);
        let receipt = self.need_source();
        self.journal.receipts.extend(receipt.map(|receipt| (step, receipt)));
    }

    /// Writes a reply to a durable call down, with its end.
    pub(crate) fn write_down_reply(&mut self, session: Key<Session>, reply: &Reply<'static>, data: &Payload) -> Place {
        if self.journal.open.is_none() {
            return Place::Nowhere;
        }
        let Some(saved) = self.saved_reply(session, reply, data) else { return Place::Nowhere };
        Place::Journal(self.leave_behind(Item::Kept(Box::new(saved))))
    }

    pub(crate) fn saved_reply(&self, key: Key<Session>, reply: &Reply<'static>, data: &Payload) -> Option<SavedKept> {
        let session = self.sessions.get(key)?;
        let caller = Caller { session: session.id.get(), id: reply.id };
        let durable = self.journal.open.is_some();
        Some(SavedKept { caller, name: Arc::clone(&session.name), reply: reply.clone(), data: data.clone(), durable })
    }

    /// Whether something that is left behind now belongs into the journal.
    pub(crate) fn ends_in_journal(&self) -> bool {
        self.journal.open.is_some()
    }

    /// Adds an item to the step that is being made.
    pub(crate) fn leave_behind(&mut self, item: Item) -> ItemId {
        let id = self.next_item();
        if let Some(open) = &mut self.journal.open {
            open.push(Change::Put(id, item));
        }
        id
    }

    /// A store need not hold this any longer.
    pub(crate) fn forget_place(&mut self, place: Place) {
        match place {
            Place::Nowhere => {}
            Place::Journal(item) => drop(self.write_down(vec![Change::Gone(item)])),
            Place::Snapshot(item) => self.snapshot.gone.push(item),
        }
    }

    /// Replies that went from what is kept: their handlers may forget them, and so may the store.
    pub(crate) fn let_kept_go(&mut self) {
        let mut gone = std::mem::take(&mut self.kept.gone);
        for (receipt, place) in gone.drain(..) {
            self.forget_place(place);
            if let Some(receipt) = receipt {
                self.let_go(receipt);
            }
        }
        // Its memory is used again; a burst is not kept.
        gone.shrink_to(GONE_KEPT);
        self.kept.gone = gone;
    }

    /// Whether a handler whose place was kept can be given a request now.
    fn can_get(&self, handler: Key<Handler>) -> bool {
        let Some(handler) = self.handlers.get(handler).filter(|handler| handler.has_credit()) else { return false };
        let in_pace = self.actions.get(handler.action).is_some_and(|action| action.next_dispatch <= self.now);
        in_pace && self.drain.is_none()
    }
}

/// Room for replies that went, kept from one time to the next.
const GONE_KEPT: usize = 1 << 10;

fn about_to_be_delivered(request: &Request) -> Progress {
    let progress = request.progress();
    Progress {
        attempt: progress.attempt + 1,
        deliveries: progress.deliveries.wrapping_add(1),
        delivered: true,
        ..progress
    }
}

/// Whether its time was up while it was written. With a ttl of nothing it was taken because a handler was free.
fn too_late(request: &Request, now: Time) -> bool {
    request.deadline <= now || (request.is_overdue(now) && request.expires > request.received)
}
