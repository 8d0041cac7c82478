//! What the broker tells of its own life: events under `$events`, made only while somebody listens.
//!
//! ```text
//!  sessions.rs   a client comes, goes               $events.client.connected, $events.client.disconnected
//!  serving.rs    the first and the last handler     $events.action.online, $events.action.offline
//!  drain.rs      the server begins to leave         $events.server.draining
//! ```
//!
//! Whatever else the broker is to tell, such as servers that are linked to it, goes through [`Broker::tell_of`] from the file where it happens.

use crate::action::Action;
use crate::broker::Broker;
use crate::session::Session;
use crate::tables::Key;
use answerback_protocol::Payload;
use serde_json::{Value, json};
use std::sync::Arc;

/// The first token of all of them.
const EVENTS: &str = "$events";

impl Broker {
    /// Whether anybody listens.
    pub(crate) fn is_watched(&self) -> bool {
        self.topics.has_listeners(EVENTS)
    }

    /// Somebody listens now and nobody did: what is told from here on are changes against what is now.
    pub(crate) fn begin_watching(&mut self) {
        for key in self.actions.keys() {
            let online = self.is_online(key);
            if let Some(action) = self.actions.get_mut(key) {
                action.online = online;
            }
        }
    }

    /// Publishes an event of the broker's own, if anybody listens. `topic` is what stands behind `$events.`.
    pub(crate) fn tell_of(&mut self, topic: &str, data: impl FnOnce(&Self) -> Value) {
        if self.is_watched() {
            let data = Payload::from(data(self).to_string().into_bytes());
            let from: Arc<str> = Arc::from(self.settings.server.as_str());
            self.emit(&format!("{EVENTS}.{topic}"), &from, &data, None);
        }
    }

    /// A client has got its welcome.
    pub(crate) fn client_came(&mut self, key: Key<Session>, resumed: bool) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.connected_at = now;
        self.tell_of("client.connected", |broker| broker.told_of_client(key, json!({ "resumed": resumed })));
    }

    /// A client that is still known with its connection is about to lose it.
    pub(crate) fn client_goes(&mut self, key: Key<Session>) {
        let Some(connection) = self.sessions.get(key).and_then(|session| session.connection) else { return };
        self.tell_of("client.disconnected", |broker| {
            let since = broker.sessions.get(key).map_or(broker.now, |session| session.connected_at);
            let (reason, lasted) = (broker.why_closed(connection), since.millis_until(broker.now));
            broker.told_of_client(key, json!({ "reason": reason, "connected_ms": lasted }))
        });
    }

    fn told_of_client(&self, key: Key<Session>, mut more: Value) -> Value {
        if let (Some(session), Some(members)) = (self.sessions.get(key), more.as_object_mut()) {
            members.insert("client".into(), session.client.into());
            members.insert("name".into(), (&*session.name).into());
            members.insert("address".into(), session.connection.map(|connection| self.peer_of(connection)).into());
        }
        more
    }

    /// A handler of this action has come, gone, or is away.
    pub(crate) fn look_at_action(&mut self, key: Key<Action>) {
        if !self.is_watched() {
            return;
        }
        let online = self.is_online(key);
        let Some(action) = self.actions.get_mut(key) else { return };
        if std::mem::replace(&mut action.online, online) != online {
            let name = Arc::clone(&action.name);
            let topic = if online { "action.online" } else { "action.offline" };
            self.tell_of(topic, |_| json!({ "action": &*name }));
        }
    }

    /// Whether somebody serves it and is there.
    fn is_online(&self, key: Key<Action>) -> bool {
        let handlers = self.actions.get(key).into_iter().flat_map(|action| &action.handlers);
        handlers.filter_map(|&key| self.handlers.get(key)).any(|handler| handler.open && handler.present)
    }
}
