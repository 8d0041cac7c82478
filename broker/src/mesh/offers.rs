//! Offers: how much of which action a server takes for others, and what others take for it.
//!
//! An offer says how many unanswered requests one server may have at another: those that it has there already, and as many as
//! handlers there are free. It is told again when that changes by much, at most every few milliseconds, so it may be a
//! little late: what comes too much waits in the queue there, or is handed back if there is no handler any more.

use super::Link;
use crate::action::Action;
use crate::broker::{Alarm, Broker};
use crate::endings::End;
use crate::handler::Handler;
use crate::input::ConnectionId;
use crate::request::{Request, State};
use crate::session::Session;
use crate::tables::Key;
use answerback_protocol::frames::{About, Offer, Request as Frame};
use answerback_protocol::limits::CREDIT_MAX;
use answerback_protocol::{Code, Name, NodeId, Payload};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at what has changed: a handler that is free for an instant is not worth a frame.
const OFFER_EVERY: Duration = Duration::from_millis(5);

/// What another server was told.
pub(super) struct Offered {
    /// The action may be gone when it is taken back.
    name: Arc<str>,
    credit: u32,
    path: Vec<NodeId>,
    /// It has got something back since, and believes that there is nothing to be had.
    is_rested: bool,
}

impl Broker {
    /// Another server says what it takes.
    pub(crate) fn offered(&mut self, connection: ConnectionId, session: Key<Session>, offer: &Offer<'_>) {
        let Some(key) = self.link_of_session(session) else {
            let text = "only servers make offers; a client says `serve`".to_owned();
            let about = About::Action(offer.action.clone().into_text().into_static());
            return self.notice(connection, Code::Denied, text, Some(about));
        };
        let Some(node) = self.mesh.links.get(key).map(|link| link.node) else { return };
        let name = offer.action.as_str();
        let is_sound = offer.path.first() == Some(&node)
            && offer.path.len() <= self.settings.max_hops
            && !offer.path.contains(&self.settings.node)
            && (!offer.action.is_reserved() || super::home::node_of(name).as_ref() == offer.path.last());
        if !is_sound {
            return self.offer_ended(session, name);
        }
        let served = |action| self.sessions.get(session).is_some_and(|session| session.serves.contains_key(action));
        let known = self.action_by_name.get(name).is_some_and(served);
        if !known && self.handlers.len() >= self.settings.limits.handlers {
            return;
        }
        let Some(action) = self.action(name) else { return };
        let handler = self.handler_of(session, action);
        let most = self.mesh.links.get(key).map_or(0, |link| link.most);
        if let Some(record) = self.handlers.get_mut(handler) {
            (record.credit, record.open, record.present) = (offer.credit, true, true);
            record.way = Some(Arc::from(offer.path.as_slice()));
            record.frame_most = most;
        }
        self.home_offered(name, action);
        self.mesh_changed(action);
        self.handler_changed(handler);
    }

    fn offer_ended(&mut self, session: Key<Session>, name: &str) {
        let action = self.action_by_name.get(name).copied();
        let handler = action.and_then(|action| self.sessions.get(session)?.serves.get(&action).copied());
        if let Some(handler) = handler {
            self.stop_handler(handler);
            self.forget_if_done(handler);
        }
    }

    /// A server comes anew: what it offered before counts no more.
    pub(super) fn stop_offers_of(&mut self, session: Key<Session>) {
        let handlers: Vec<_> =
            self.sessions.get(session).map(|s| s.serves.values().copied().collect()).unwrap_or_default();
        for handler in handlers {
            self.stop_handler(handler);
            self.forget_if_done(handler);
        }
    }

    /// A server has handed something back: it gets nothing more before it makes a new offer.
    pub(super) fn rest(&mut self, handler: Key<Handler>) {
        if let Some(record) = self.handlers.get_mut(handler) {
            record.credit = record.in_flight.saturating_sub(1);
        }
    }

    /// What may be offered of an action has changed.
    pub(crate) fn mesh_changed(&mut self, action: Key<Action>) {
        if self.mesh.links.len() == 0 {
            return;
        }
        self.mesh.changed.insert(action);
        self.look_at_mesh_soon();
    }

    pub(super) fn look_at_mesh_soon(&mut self) {
        if self.mesh.alarm.is_none() {
            let at = self.now + OFFER_EVERY;
            self.mesh.alarm = Some(at);
            self.alarms.set(at, Alarm::Offers);
        }
    }

    /// Tells others what has changed.
    pub(crate) fn offers_due(&mut self) {
        self.mesh.alarm = None;
        self.forget_homes_out_of_reach();
        self.wishes_due();
        if self.drain.is_some() {
            return self.mesh.changed.clear();
        }
        for action in std::mem::take(&mut self.mesh.changed) {
            for link in self.links_that_offer() {
                self.offer(link, action);
            }
            self.hand_back_stranded(action);
            self.look_for_another_home(action);
        }
    }

    /// One link for each server that is there: another one to the same server has nothing to add.
    pub(super) fn links_that_offer(&self) -> Vec<Key<Link>> {
        let mut first = std::collections::BTreeMap::new();
        for (key, link) in self.mesh.links.iter().filter(|(_, link)| link.is_up) {
            first.entry(link.node).or_insert(key);
        }
        first.into_values().collect()
    }

    /// A link is up: all that is there is offered.
    pub(super) fn offer_everything(&mut self, key: Key<Link>) {
        if !self.links_that_offer().contains(&key) {
            return;
        }
        self.tell_every_wish(key);
        if self.drain.is_some() {
            return;
        }
        self.withdraw_from_others(key);
        self.offer_home(key);
        for action in self.actions.keys() {
            self.offer(key, action);
        }
    }

    /// Of two links to a server one offers. What was offered over the other one would never be taken back.
    fn withdraw_from_others(&mut self, key: Key<Link>) {
        let Some(node) = self.mesh.links.get(key).map(|link| link.node) else { return };
        let others = self.mesh.links.iter().filter(|(other, link)| *other != key && link.node == node && link.is_up);
        let others: Vec<_> = others.map(|(other, _)| other).collect();
        others.into_iter().for_each(|other| self.withdraw_from(other));
    }

    /// One of two links to a server is down.
    pub(super) fn offer_over_another(&mut self, node: NodeId) {
        let of_node = |key: &Key<Link>| self.mesh.links.get(*key).is_some_and(|link| link.node == node);
        if let Some(other) = self.links_that_offer().into_iter().find(of_node) {
            self.offer_everything(other);
        }
    }

    /// The server leaves: nothing is offered any more.
    pub(crate) fn withdraw_offers(&mut self) {
        self.mesh.links.keys().into_iter().for_each(|key| self.withdraw_from(key));
    }

    fn withdraw_from(&mut self, key: Key<Link>) {
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        let offered = std::mem::take(&mut link.offered);
        let Some(connection) = link.connection.filter(|_| link.is_up) else { return };
        for offer in offered.into_values() {
            self.say_offer(connection, &offer.name, 0, Vec::new());
        }
        let home = super::home::name_of(self.settings.node);
        self.say_offer(connection, &home, 0, Vec::new());
    }

    /// A request that another server passed on was refused.
    pub(crate) fn refused_transit(&mut self, session: Key<Session>, frame: &Frame<'_>) {
        let Some(via) = frame.via.as_deref() else { return };
        match via.home {
            Some(home) if home == self.settings.node => self.handed_back(session, None),
            Some(home) => self.offer_again(session, &super::home::name_of(home)),
            None => self.offer_again(session, frame.action.as_str()),
        }
    }

    /// A request goes back to the server that passed it on, which gives no more here before it hears a new offer. `None`: it was here as at the
    /// home of its key.
    pub(crate) fn handed_back(&mut self, session: Key<Session>, action: Option<Key<Action>>) {
        let Some(key) = self.link_of_session(session) else { return };
        let Some(action) = action else { return self.offer_home(key) };
        if let Some(offered) = self.mesh.links.get_mut(key).and_then(|link| link.offered.get_mut(&action)) {
            offered.is_rested = true;
            self.mesh_changed(action);
        }
    }

    fn offer_again(&mut self, session: Key<Session>, name: &str) {
        if let Some(&action) = self.action_by_name.get(name) {
            self.handed_back(session, Some(action));
        }
    }

    /// Offers to take requests whose key is known here.
    fn offer_home(&mut self, key: Key<Link>) {
        if self.drain.is_some() || !self.links_that_offer().contains(&key) {
            return;
        }
        if let Some(connection) = self.mesh.links.get(key).and_then(|link| link.connection) {
            let home = super::home::name_of(self.settings.node);
            self.say_offer(connection, &home, CREDIT_MAX, vec![self.settings.node]);
        }
    }

    /// Offers an action to a server, if that says more than what it was told last.
    fn offer(&mut self, key: Key<Link>, action: Key<Action>) {
        let (credit, path, taken) = self.what_to_offer(key, action);
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        let Some(connection) = link.connection else { return };
        let before = link.offered.get(&action);
        let says_more = match before {
            None => !path.is_empty(),
            Some(before) => before.is_rested || before.path != path || is_worth_telling(before.credit, credit, taken),
        };
        if !says_more {
            return;
        }
        let known = before.map(|before| Arc::clone(&before.name));
        let Some(name) = known.or_else(|| Some(Arc::clone(&self.actions.get(action)?.name))) else { return };
        if path.is_empty() {
            link.offered.remove(&action);
        } else {
            link.offered
                .insert(action, Offered { name: Arc::clone(&name), credit, path: path.clone(), is_rested: false });
        }
        self.say_offer(connection, &name, credit, path);
    }

    fn say_offer(&mut self, connection: ConnectionId, name: &Arc<str>, credit: u32, path: Vec<NodeId>) {
        if let Ok(action) = Name::new(Arc::clone(name)) {
            self.say(connection, Offer { action, credit, path }, Payload::NONE);
        }
    }

    /// How much of an action a server may have here, the way to the nearest handler, and how much it has.
    fn what_to_offer(&self, key: Key<Link>, action: Key<Action>) -> (u32, Vec<NodeId>, u32) {
        let nothing = (0, Vec::new(), 0);
        let (Some(link), Some(record)) = (self.mesh.links.get(key), self.actions.get(action)) else { return nothing };
        let taken = link.taken.get(&action).copied().unwrap_or_default();
        let mut free = 0_u64;
        let mut nearest: Option<&[NodeId]> = None;
        for handler in record.handlers.iter().filter_map(|&handler| self.handlers.get(handler)) {
            let way = handler.way();
            let is_here = handler.open && handler.present;
            if !is_here || !self.may_be_offered(handler, key, link.node) {
                continue;
            }
            free += u64::from(handler.credit.saturating_sub(handler.in_flight + handler.reserved));
            if nearest.is_none_or(|nearest| way.len() < nearest.len()) {
                nearest = Some(way);
            }
        }
        let Some(nearest) = nearest else { return nothing };
        let waiting = record.queue.len() as u64;
        let is_full = self.bytes / 19 > self.settings.limits.bytes_in_all / 20;
        let free = if is_full { 0 } else { free.saturating_sub(waiting) };
        let credit = (u64::from(taken) + free).min(CREDIT_MAX.into()) as u32;
        let path = std::iter::once(self.settings.node).chain(nearest.iter().copied()).collect();
        (credit, path, taken)
    }

    /// Whether what a handler takes can be offered to a server: not to the one that offered it, and not over too many.
    fn may_be_offered(&self, handler: &Handler, to: Key<Link>, node: NodeId) -> bool {
        let way = handler.way();
        way.is_empty()
            || (way.len() < self.settings.max_hops
                && !way.contains(&node)
                && self.link_of_session(handler.session) != Some(to))
    }

    /// Another server drains: it takes nothing more, and its own requests need not wait for that.
    pub(super) fn server_drains(&mut self, key: Key<Link>) {
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        link.is_leaving = true;
        let calls = link.theirs.and_then(|theirs| self.sessions.get(theirs)).map(Session::calls_in_order);
        for (_, call) in calls.unwrap_or_default() {
            if let Some(request) = self.requests.get(call).filter(|request| request.state == State::Queued) {
                self.mesh_changed(request.action);
            }
        }
    }

    /// Requests of other servers that wait here for handlers which have gone are handed back: others may have some. A server that drains gets back also
    /// those for whose keys this one is the home: the only handlers may be behind itself.
    fn hand_back_stranded(&mut self, action: Key<Action>) {
        let Some(record) = self.actions.get(action) else { return };
        let open = || record.handlers.iter().filter_map(|key| self.handlers.get(*key)).filter(|handler| handler.open);
        if record.queue.is_empty() || open().any(|handler| handler.way.is_none()) {
            return;
        }
        let is_unserved = open().next().is_none();
        let links = self.mesh.links.iter().map(|(_, link)| (link, link.is_leaving && is_unserved));
        let sessions: Vec<_> = links
            .filter(|(link, all)| *all || link.taken.contains_key(&action))
            .filter_map(|(link, all)| Some((link.theirs?, all)))
            .collect();
        for (session, all) in sessions {
            let waits = |r: &Request| r.action == action && r.state == State::Queued && (all || !r.path().is_empty());
            let calls = self.sessions.get(session).map(Session::calls_in_order).unwrap_or_default();
            for (_, call) in calls {
                if self.requests.get(call).is_some_and(waits) {
                    self.end(call, End::Draining);
                }
            }
        }
    }
}

/// Whether a server that was told one number should hear another one: when that is between something and nothing, or by a quarter.
fn is_worth_telling(before: u32, now: u32, taken: u32) -> bool {
    let (free_before, free_now) = (before.saturating_sub(taken), now.saturating_sub(taken));
    (free_before == 0) != (free_now == 0) || before.abs_diff(now) > before.max(now) / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_are_not_told() {
        for (before, now, taken, told) in [
            (10, 10, 0, false),
            (10, 9, 0, false),
            (10, 7, 0, true),
            (10, 14, 0, true),
            (1, 0, 0, true),
            (0, 1, 0, true),
            (100, 99, 98, false),
            (100, 98, 98, true),
        ] {
            assert_eq!(is_worth_telling(before, now, taken), told, "{before} {now} {taken}");
        }
    }
}
