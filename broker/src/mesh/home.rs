//! The home of an idempotency key: the one server that knows it.
//!
//! Of all servers that can be reached, the one with the highest hash of its node and the key. All of them find the same one, as long as they reach the
//! same ones. A request with a key goes there first, and from there sets out anew, without the key: so the way to the home does not count, and may
//! lead back. When servers come or go, some keys have another home, which knows nothing of what was answered at the one before.
//!
//! The way is found like that to a handler: each server offers an action of its own name, and who hears of it passes it on.

use crate::action::Action;
use crate::admission::Refusal;
use crate::broker::Broker;
use crate::endings::End;
use crate::keys::name_behind;
use crate::request::{Request, State};
use crate::session::Session;
use crate::tables::Key;
use answerback_protocol::frames::Request as Frame;
use answerback_protocol::{Code, NodeId};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::sync::Arc;

/// What the action of a server's own begins with.
const PREFIX: &str = "$home.";

/// A request on its way to the home of its key.
pub(crate) struct Home {
    pub(super) node: NodeId,
    /// The action that it is for. In the tables it stands under the one that leads to the home.
    pub(crate) action: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) holder: Option<Arc<str>>,
}

impl Home {
    /// The key as it is known at its home.
    pub(crate) fn name(&self) -> Box<str> {
        name_behind(self.holder.as_deref(), &self.key).into()
    }
}

/// The action that leads to a server.
pub(super) fn name_of(node: NodeId) -> Arc<str> {
    format!("{PREFIX}{:014x}", node.get()).into()
}

/// The server to which an action leads, if it is such a one.
pub(super) fn node_of(name: &str) -> Option<NodeId> {
    let digits = name.strip_prefix(PREFIX).filter(|digits| digits.len() == 14)?;
    u64::from_str_radix(digits, 16).ok().and_then(NodeId::new)
}

/// How much a server is the home of a key. Every server must find the same, so the hash has no secret.
fn weight(node: NodeId, action: &str, holder: Option<&str>, key: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&node.get().to_le_bytes());
    for part in [action, holder.unwrap_or(""), key] {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}

impl Broker {
    /// A server can be reached, perhaps over others.
    pub(super) fn home_offered(&mut self, name: &str, action: Key<Action>) {
        if let Some(node) = node_of(name) {
            self.mesh.homes.insert(node, action);
        }
    }

    /// Where a request with a key is to go first, and the action that leads there. `None`: its key is known here, or it has none.
    pub(crate) fn way_home(
        &mut self,
        session: Key<Session>,
        frame: &Frame<'_>,
    ) -> Result<Option<(Home, Key<Action>)>, Refusal> {
        let Some(key) = frame.key.as_deref() else { return Ok(None) };
        let holder = self.holder_of_key(session, frame);
        let node = match frame.via.as_deref() {
            Some(via) => via.home.filter(|home| *home != self.settings.node),
            None => self.home_of(frame.action.as_str(), holder.as_deref(), key),
        };
        let Some(node) = node else { return Ok(None) };
        let Some(leads_there) = self.mesh.homes.get(&node).copied().filter(|action| self.is_reached(*action)) else {
            return Err(Refusal::new(
                Code::Draining,
                "the server that knows this key cannot be reached from here".into(),
            ));
        };
        let home = Home { node, action: Arc::from(frame.action.as_str()), key: Arc::from(key), holder };
        Ok(Some((home, leads_there)))
    }

    /// The holder to whom the key of a request belongs.
    pub(crate) fn holder_of_key(&self, session: Key<Session>, frame: &Frame<'_>) -> Option<Arc<str>> {
        match frame.via.as_deref() {
            Some(via) => via.holder.as_ref().map(|holder| Arc::from(holder.as_str())),
            None => self.sessions.get(session).and_then(Session::holder).map(|holder| Arc::clone(&holder.id)),
        }
    }

    /// Servers come and go, and each has a name of its own.
    pub(super) fn forget_homes_out_of_reach(&mut self) {
        let gone: Vec<_> =
            self.mesh.homes.iter().filter(|(_, action)| !self.is_reached(**action)).map(|(node, _)| *node).collect();
        for node in gone {
            self.mesh.homes.remove(&node);
        }
    }

    /// The server that knows a key, if it is not this one.
    fn home_of(&mut self, action: &str, holder: Option<&str>, key: &str) -> Option<NodeId> {
        if self.mesh.homes.is_empty() {
            return None;
        }
        self.forget_homes_out_of_reach();
        let here = (weight(self.settings.node, action, holder, key), self.settings.node);
        let others = self.mesh.homes.keys().map(|node| (weight(*node, action, holder, key), *node));
        let (_, best) = others.fold(here, std::cmp::max);
        (best != self.settings.node).then_some(best)
    }

    /// The server to which an action leads may have gone for good. What waits to go there has its key at another home now.
    pub(super) fn look_for_another_home(&mut self, action: Key<Action>) {
        let Some(record) = self.actions.get(action) else { return };
        if record.queue.is_empty() || !record.handlers.is_empty() || node_of(&record.name).is_none() {
            return;
        }
        let waits = |request: &Request| request.action == action && request.state == State::Queued;
        let all: Vec<_> = self.requests.iter().filter(|(_, request)| waits(request)).map(|(key, _)| key).collect();
        for key in all {
            if self.requests.get(key).is_some_and(|request| request.path().is_empty()) {
                self.move_to_another_home(key);
            } else {
                // It was only on its way through here.
                self.end(key, End::Draining);
            }
        }
    }

    fn move_to_another_home(&mut self, key: Key<Request>) {
        let Some(home) = self.requests.get_mut(key).and_then(|request| request.rare_mut().home.take()) else { return };
        let known = self.home_of(&home.action, home.holder.as_deref(), &home.key);
        let leads_there = known.and_then(|node| Some((node, *self.mesh.homes.get(&node)?)));
        let Some((node, action)) = leads_there else { return self.be_the_home(key, home) };
        if let Some(request) = self.requests.get_mut(key) {
            request.rare_mut().home = Some(Box::new(Home { node, ..*home }));
        }
        self.wait_under(key, action);
    }

    /// Its key is known here from now on. Where it runs already, or has run, its caller must ask again.
    fn be_the_home(&mut self, key: Key<Request>, home: Box<Home>) {
        let name = home.name();
        let action = if self.is_key_known(&home.action, &name) { None } else { self.action(&home.action) };
        if let Some(action) = action {
            self.wait_under(key, action);
            self.runs_under(key, &name);
            return self.dispatch(action);
        }
        if let Some(request) = self.requests.get_mut(key) {
            request.rare_mut().home = Some(home);
        }
        self.end(key, End::Draining);
    }

    /// A request that waits for one action waits for another one.
    fn wait_under(&mut self, key: Key<Request>, action: Key<Action>) {
        self.leave_queue(key, false);
        let Some(request) = self.requests.get_mut(key) else { return };
        let (before, cost) = (std::mem::replace(&mut request.action, action), request.cost as usize);
        if let Some(record) = self.actions.get_mut(before) {
            (record.bytes, record.requests) = (record.bytes - cost, record.requests - 1);
        }
        if let Some(record) = self.actions.get_mut(action) {
            (record.bytes, record.requests) = (record.bytes + cost, record.requests + 1);
        }
        self.wheel.unset(&mut self.requests, key);
        self.enqueue(key);
        self.forget_action_if_unwanted(before);
        self.dispatch(action);
    }

    fn is_reached(&self, action: Key<Action>) -> bool {
        let handlers = self.actions.get(action).into_iter().flat_map(|action| &action.handlers);
        handlers.filter_map(|&key| self.handlers.get(key)).any(|handler| handler.open && handler.present)
    }

    /// The name of what a request is for, wherever it goes first.
    pub(crate) fn action_of<'s>(&'s self, request: &'s Request) -> &'s str {
        let home = request.rare.as_ref().and_then(|rare| rare.home.as_ref());
        match home {
            Some(home) => &home.action,
            None => self.actions.get(request.action).map_or("", |action| &*action.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_in_the_name_of_its_action() {
        let node = NodeId::truncated(u64::MAX);
        assert_eq!(node_of(&name_of(node)), Some(node));
        for wrong in ["$home.", "$home.1", "$home.zzzzzzzzzzzzzz", "$home.ffffffffffffff", "home.00000000000001"] {
            assert_eq!(node_of(wrong), None, "{wrong}");
        }
    }

    /// Of three servers each is the home of about a third, and when one goes only its keys move.
    #[test]
    fn keys_are_spread_and_few_move() {
        let nodes: Vec<_> = (1..=3).map(NodeId::truncated).collect();
        let home = |nodes: &[NodeId], key: &str| nodes.iter().map(|&n| (weight(n, "a", None, key), n)).max().unwrap().1;
        let keys: Vec<_> = (0..3_000).map(|n| format!("order {n}")).collect();
        for node in &nodes {
            let share = keys.iter().filter(|key| home(&nodes, key) == *node).count();
            assert!((800..1_200).contains(&share), "{share}");
        }
        for key in &keys {
            let (before, after) = (home(&nodes, key), home(&nodes[..2], key));
            assert!(before == after || before == nodes[2]);
        }
    }
}
