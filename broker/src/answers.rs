//! What handlers say about their deliveries: answered, handed back, never arrived; and what becomes of those that a
//! handler took with it when it left.

use crate::action::Action;
use crate::broker::Broker;
use crate::endings::{End, Outcome};
use crate::input::ConnectionId;
use crate::request::{Owner, Request, State};
use crate::session::{Delivery, Session};
use crate::tables::{Key, give_back};
use answerback_protocol::frames::{Answer, Reply};
use answerback_protocol::{DeliveryId, Payload, Text};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One of several answers to a request.
pub(crate) struct PartOf {
    /// Its number, if its handler says it.
    pub(crate) seq: Option<u64>,
    /// The handler, if that is not the one that has the delivery.
    pub(crate) from: Option<Text<'static>>,
    pub(crate) outcome: Outcome,
}

impl Broker {
    /// A handler answers. Only what was delivered to this very session counts.
    pub(crate) fn answer(&mut self, connection: ConnectionId, key: Key<Session>, answer: Answer<'_>, data: Payload) {
        self.count_reply(connection, data.len(), answer.id.get());
        self.answered(key, answer, data);
        self.reply_dealt_with();
    }

    pub(crate) fn answered(&mut self, key: Key<Session>, answer: Answer<'_>, data: Payload) {
        let id = answer.id.get();
        let Some(delivery) = self.sessions.get(key).and_then(|session| session.deliveries.get(&id)).copied() else {
            return self.answered_unknown(key, answer, data);
        };
        if answer.part {
            return self.part(delivery, answer, data);
        }
        self.settle(key, id, delivery);
        match delivery.request {
            Some(request) => self.end(request, End::Answered { error: answer.error, data }),
            None => self.counts.stray_replies += 1,
        }
        self.handler_changed(delivery.handler);
        self.forget_if_done(delivery.handler);
    }

    fn part(&mut self, delivery: Delivery, answer: Answer<'_>, data: Payload) {
        let request = delivery.request.and_then(|key| self.requests.get(key));
        let attempts = request.map_or(0, |request| u32::from(request.attempt));
        let outcome = Outcome::of_answer(answer.error, data, attempts);
        self.part_came(delivery, PartOf { seq: answer.seq, from: None, outcome });
    }

    /// One part of an answer is passed on at once. A part that was sent again after a reconnect is known by its number.
    pub(crate) fn part_came(&mut self, delivery: Delivery, part: PartOf) {
        let Some((key, request)) = delivery.request.and_then(|key| Some((key, self.requests.get_mut(key)?))) else {
            self.counts.stray_replies += 1;
            return;
        };
        let number = part.seq.unwrap_or(u64::from(request.parts) + 1);
        if number <= u64::from(request.parts) {
            return;
        }
        request.parts = u32::try_from(number).unwrap_or(u32::MAX);
        let outcome = part.outcome;
        match request.owner {
            Owner::Caller { session, id } => {
                let reply = Reply { seq: Some(number), part: true, error: outcome.error.clone(), ..Reply::to(id) };
                self.reply(session, reply, outcome.data.clone());
            }
            Owner::Broadcast { whole, handler } => {
                let from = part.from.or_else(|| self.handler_name(handler));
                self.broadcast_part(whole, from, outcome.clone(), None);
            }
            Owner::Nobody | Owner::Gone => {}
        }
        self.part_for_joined(key, &outcome);
    }

    /// A handler hands a delivery back, unstarted.
    pub(crate) fn release(&mut self, key: Key<Session>, id: DeliveryId) {
        let delivery = self.sessions.get(key).and_then(|session| session.deliveries.get(&id.get())).copied();
        let Some(delivery) = delivery else {
            return self.released_unknown(key, id.get());
        };
        self.take_back(key, id.get());
        self.handler_changed(delivery.handler);
        self.forget_if_done(delivery.handler);
    }

    /// A delivery comes back unstarted: it goes to the front of its queue as if it had never left.
    pub(crate) fn take_back(&mut self, key: Key<Session>, id: u64) {
        let Some(delivery) = self.sessions.get(key).and_then(|session| session.deliveries.get(&id)).copied() else {
            return;
        };
        self.settle(key, id, delivery);
        if let Some(request) = delivery.request {
            if let Some(record) = self.requests.get_mut(request) {
                record.attempt -= 1;
            }
            self.undeliver(request);
            self.requeue(request);
        }
    }

    /// A delivery is lost with its handler: its work may have run. Another handler gets it if attempts are left.
    pub(crate) fn lose_delivery(&mut self, key: Key<Session>, id: u64) -> Option<Key<Action>> {
        let delivery = self.sessions.get(key).and_then(|session| session.deliveries.get(&id)).copied()?;
        self.settle(key, id, delivery);
        let request = delivery.request?;
        let record = self.requests.get_mut(request)?;
        record.may_have_run = true;
        let (action, again) = (record.action, record.attempt < record.attempts);
        if again {
            self.undeliver(request);
            self.requeue(request);
        } else {
            self.end(request, End::HandlerLost);
        }
        Some(action)
    }

    /// Loses several, the last first, so that those which are queued again keep their order; then others may have them.
    pub(crate) fn lose_deliveries(&mut self, key: Key<Session>, ids: &[u64]) {
        let mut actions = BTreeSet::new();
        for &id in ids.iter().rev() {
            actions.extend(self.lose_delivery(key, id));
        }
        for action in actions {
            self.dispatch(action);
        }
    }

    /// The delivery is off the handler's hands; its credit is free.
    pub(crate) fn settle(&mut self, key: Key<Session>, id: u64, delivery: Delivery) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.deliveries.remove(&id);
            give_back(&mut session.deliveries);
        }
        if let Some(handler) = self.handlers.get_mut(delivery.handler) {
            handler.in_flight -= 1;
        }
    }

    /// A request is no longer with a handler. If the handler still has it, it is told to stop.
    pub(crate) fn undeliver(&mut self, key: Key<Request>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let State::Delivered { handler, .. } = request.state else { return };
        let delivery = request.delivery();
        request.state = State::Arrived;
        if let Some(action) = self.actions.get_mut(request.action) {
            action.in_flight -= 1;
        }
        self.in_flight -= 1;
        let Some(session) = self.handlers.get(handler).map(|handler| handler.session) else { return };
        let Some(record) = self.sessions.get_mut(session) else { return };
        if let Some(still) = record.deliveries.get_mut(&delivery.get()).filter(|d| d.request == Some(key)) {
            still.request = None;
            self.tell(session, answerback_protocol::frames::CancelDelivery { id: delivery });
        }
    }

    /// The name of the handler that a request was given to last.
    pub(crate) fn handler_name(&self, handler: Key<crate::handler::Handler>) -> Option<Text<'static>> {
        let session = self.handlers.get(handler)?.session;
        self.sessions.get(session).map(|session| Arc::clone(&session.name).into())
    }
}
