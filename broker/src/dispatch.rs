//! Requests that wait and handlers that are free find each other here.

use crate::action::Action;
use crate::broker::{Alarm, Broker};
use crate::endings::End;
use crate::handler::Handler;
use crate::request::{Owner, Request, State};
use crate::session::Delivery;
use crate::tables::{Chain, Key};
use answerback_protocol::DeliveryId;
use answerback_protocol::frames::Deliver;
use std::sync::Arc;

/// Requests at the front of a queue that are looked at to find one that a free handler may have.
const PASSED_OVER_MAX: usize = 64;

impl Broker {
    /// Credit, presence or lane of a handler have changed: it gets what waits for it, and takes its place among the free.
    pub(crate) fn handler_changed(&mut self, key: Key<Handler>) {
        while let Some(part) = self.next_of_lane(key) {
            if self.requests.get(part).is_some_and(|r| r.is_overdue(self.now)) {
                self.request_due(part);
            } else {
                self.deliver(part, key);
            }
        }
        self.relist(key);
        if let Some(action) = self.handlers.get(key).map(|handler| handler.action) {
            self.dispatch(action);
        }
    }

    /// The next part of a broadcast for a handler that can take it.
    fn next_of_lane(&mut self, key: Key<Handler>) -> Option<Key<Request>> {
        let handler = self.handlers.get(key)?;
        if handler.has_credit() { handler.lane.first(&self.requests) } else { None }
    }

    pub(crate) fn relist(&mut self, key: Key<Handler>) {
        let Some(handler) = self.handlers.get_mut(key) else { return };
        let rank = handler.rank();
        let before = std::mem::replace(&mut handler.listed, rank);
        if before == rank {
            return;
        }
        let of = handler.action;
        if before.is_some() != rank.is_some() {
            self.mesh_changed(of);
        }
        let Some(action) = self.actions.get_mut(of) else { return };
        if let Some(before) = before {
            action.free.remove(&(before, key));
        }
        if let Some(rank) = rank {
            action.free.insert((rank, key));
        }
    }

    /// Gives waiting requests to free handlers, first come first served, until one of both runs out.
    pub(crate) fn dispatch(&mut self, key: Key<Action>) {
        if self.drain.is_some() && self.settings.has_store {
            // What waits is in the store, and waits for the next life.
            return;
        }
        while let Some((request, handler)) = self.next_pair(key) {
            if self.actions.get(key).is_some_and(|action| action.next_dispatch > self.now) {
                return self.arm_dispatch(key);
            }
            let overdue = self.requests.get(request).is_some_and(|r| r.is_overdue(self.now));
            if overdue {
                self.request_due(request);
            } else if self.is_claimed(request) {
                // A handler had it already before the restart.
            } else if self.must_be_marked(request) {
                self.mark(request, handler);
            } else {
                self.deliver(request, handler);
            }
        }
    }

    /// The first request that waits and can be given to a free handler. Only requests of other servers must be passed over: not every way is
    /// theirs.
    fn next_pair(&mut self, key: Key<Action>) -> Option<(Key<Request>, Key<Handler>)> {
        let action = self.actions.get(key)?;
        let mut request = action.queue.first(&self.requests)?;
        action.free_handlers().next()?;
        for _ in 0..PASSED_OVER_MAX {
            let found = self.handler_for(self.actions.get(key)?, self.requests.get(request)?);
            if let Some(handler) = found {
                return Some((request, handler));
            }
            request = Chain::after(&mut self.requests, request)?;
        }
        None
    }

    /// The free handler that a request is given to.
    fn handler_for(&self, action: &Action, request: &Request) -> Option<Key<Handler>> {
        let may = |key: &Key<Handler>| self.handlers.get(*key).is_some_and(|handler| self.may_take(handler, request));
        action.free_handlers().find(may)
    }

    /// Whether a request that comes now can be given to a handler at once, and to which.
    pub(crate) fn free_handler(&self, request: &Request) -> Option<Key<Handler>> {
        let action = self.actions.get(request.action)?;
        let at_once = action.queue.is_empty() && action.next_dispatch <= self.now;
        if at_once { self.handler_for(action, request) } else { None }
    }

    fn arm_dispatch(&mut self, key: Key<Action>) {
        let Some(action) = self.actions.get_mut(key) else { return };
        if !std::mem::replace(&mut action.dispatch_armed, true) {
            self.alarms.set(action.next_dispatch, Alarm::Dispatch(key));
        }
    }

    pub(crate) fn dispatch_due(&mut self, key: Key<Action>) {
        if let Some(action) = self.actions.get_mut(key) {
            action.dispatch_armed = false;
            self.dispatch(key);
        }
    }

    /// Gives a request to a handler that has credit. It may wait in a queue, in the handler's lane, or nowhere yet.
    pub(crate) fn deliver(&mut self, key: Key<Request>, to: Key<Handler>) {
        self.leave_queue(key, true);
        let Some(handler) = self.handlers.get_mut(to) else { return };
        let Some(session) = self.sessions.get_mut(handler.session) else { return };
        let Some(request) = self.requests.get_mut(key) else { return };
        let Some(action) = self.actions.get_mut(handler.action) else { return };
        request.attempt += 1;
        request.deliveries = request.deliveries.wrapping_add(1);
        while session.deliveries.contains_key(&request.delivery().get()) {
            // Two of 2^53 alike: the next number makes another one.
            request.deliveries = request.deliveries.wrapping_add(1);
        }
        let id = request.delivery();
        self.deliveries += 1;
        let delivery = Delivery { request: Some(key), handler: to, number: self.deliveries, held: false };
        session.deliveries.insert(id.get(), delivery);
        request.state = State::Delivered { handler: to, at: self.now };
        action.turn += 1;
        action.in_flight += 1;
        self.in_flight += 1;
        action.next_dispatch = self.now + self.settings.dispatch_interval;
        handler.in_flight += 1;
        handler.turn = action.turn;
        let (is_saved, to_server) = (request.keeping.saved, session.link.is_some());
        self.counts.deliveries += 1;
        if to_server {
            if let Some(connection) = session.connection {
                self.pass_on(connection, key, false);
            }
            return self.delivered(key, to, is_saved);
        }
        let frame = Deliver {
            id,
            action: Arc::clone(&action.name).into(),
            from: Arc::clone(&request.from).into(),
            left: self.now.millis_until(request.deadline),
            attempt: u32::from(request.attempt),
            trace: request.trace().cloned(),
        };
        let data = request.data.clone();
        if let Some(connection) = session.connection {
            self.send(connection, frame, data);
        }
        self.delivered(key, to, is_saved);
    }

    fn delivered(&mut self, key: Key<Request>, to: Key<Handler>, is_saved: bool) {
        self.relist(to);
        if is_saved {
            self.list_for_snapshot(key);
        }
    }

    /// Takes a request out of the queue or lane in which it waits, if it does.
    pub(crate) fn leave_queue(&mut self, key: Key<Request>, departs: bool) {
        let Some(request) = self.requests.get(key) else { return };
        if request.state != State::Queued {
            return;
        }
        match request.owner {
            Owner::Broadcast { handler, .. } => {
                if let Some(handler) = self.handlers.get_mut(handler) {
                    handler.lane.remove(&mut self.requests, key);
                }
            }
            _ => {
                if let Some(action) = self.actions.get_mut(request.action) {
                    action.queue.remove(&mut self.requests, key);
                    if departs {
                        action.rate.departed(self.now);
                    }
                }
            }
        }
    }

    /// Puts a request at the end of its queue, or of its handler's lane.
    pub(crate) fn enqueue(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.state = State::Queued;
        if let Owner::Broadcast { handler, .. } = request.owner {
            if let Some(handler) = self.handlers.get_mut(handler) {
                handler.lane.push_last(&mut self.requests, key);
            }
        } else if let Some(action) = self.actions.get_mut(request.action) {
            if action.queue.is_empty() {
                action.rate.begins(self.now);
            }
            action.queue.push_last(&mut self.requests, key);
        }
        self.wheel.set(&mut self.requests, key);
    }

    /// Puts a request back to the front of its queue. The handler's side of it has been cleared.
    pub(crate) fn requeue(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        if let Owner::Broadcast { .. } = request.owner {
            // It was for that handler and for no other.
            return self.end(key, End::HandlerGone);
        }
        self.counts.requeued += 1;
        self.put_first(key);
        self.progressed(key);
        self.leave_if_too_late(key);
    }

    /// Puts a request to the front of its queue.
    pub(crate) fn put_first(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.state = State::Queued;
        if let Some(action) = self.actions.get_mut(request.action) {
            if action.queue.is_empty() {
                action.rate.begins(self.now);
            }
            action.queue.push_first(&mut self.requests, key);
        }
        self.wheel.set(&mut self.requests, key);
    }

    /// The ttl of a request that waits again may have passed meanwhile, or the server may be leaving.
    pub(crate) fn leave_if_too_late(&mut self, key: Key<Request>) {
        let overdue = self.requests.get(key).is_some_and(|r| r.is_overdue(self.now));
        if overdue || self.drain.is_some() {
            self.requeued_too_late(key, overdue);
        }
    }

    fn requeued_too_late(&mut self, key: Key<Request>, overdue: bool) {
        if overdue {
            return self.request_due(key);
        }
        let is_call = self.requests.get(key).is_some_and(|r| r.owner != Owner::Nobody);
        if is_call {
            self.end(key, End::Draining);
        }
    }
}

/// A delivery's id: 53 bits that nobody can guess and that a restarted server can make again from what the caller says,
/// trying the first few numbers. A delivery that came back unstarted is another one when it goes out again: what its first
/// handler may still say about it must not be taken for the second one's word.
pub(crate) fn delivery_id(origin: u64, number: u16) -> DeliveryId {
    DeliveryId::truncated(mix(origin ^ u64::from(number)) >> 11)
}

/// The finalizer of splitmix64: every bit of the input changes about half of the output.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
