//! Publish and subscribe: an event goes to whoever wants its topic now, and is kept for nobody.

use crate::broker::Broker;
use crate::rights::{Right, is_reserved};
use crate::session::Session;
use crate::tables::Key;
use answerback_protocol::frames::{About, Accepted, Event, Publish, Subscribe, Subscribed, Unsubscribe, Unsubscribed};
use answerback_protocol::{Code, Payload, Text};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Broker {
    pub(crate) fn subscribe(&mut self, key: Key<Session>, subscribe: Subscribe<'_>) {
        if let Some(text) = self.denies(key, Right::Subscribe, subscribe.topic.as_str()) {
            return self.denied(key, text, About::Topic(subscribe.topic.into_text().into_static()));
        }
        let limits = &self.settings.limits;
        let (most, most_in_all) = (limits.subscriptions_per_session, limits.subscriptions);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let pattern: Arc<str> = Arc::from(subscribe.topic.as_str());
        let group: Option<Arc<str>> = subscribe.group.as_ref().map(|group| Arc::from(group.as_str()));
        let wanted = (Arc::clone(&pattern), group.clone());
        let full = session.subscriptions.len() >= most;
        if (full || self.topics.len() >= most_in_all) && !session.subscriptions.contains(&wanted) {
            let text = if full {
                format!("a session has at most {most} subscriptions (--max-subscriptions)")
            } else {
                format!("all sessions have at most {most_in_all} subscriptions together (--max-subscriptions-in-all)")
            };
            let about = About::Topic(subscribe.topic.into_text().into_static());
            if let Some(connection) = session.connection {
                self.notice(connection, Code::Overloaded, text, Some(about));
            }
            return;
        }
        if session.subscriptions.insert(wanted) {
            self.topics.add(&pattern, group, key);
        }
        let Subscribe { topic, group } = subscribe;
        self.tell(key, Subscribed { topic: topic.into_static(), group: group.map(Text::into_static) });
    }

    pub(crate) fn unsubscribe(&mut self, key: Key<Session>, unsubscribe: Unsubscribe<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let pattern: Arc<str> = Arc::from(unsubscribe.topic.as_str());
        let group: Option<Arc<str>> = unsubscribe.group.as_ref().map(|group| Arc::from(group.as_str()));
        if session.subscriptions.remove(&(Arc::clone(&pattern), group.clone())) {
            self.topics.remove(&pattern, group.as_deref(), key);
        }
        let Unsubscribe { topic, group } = unsubscribe;
        self.tell(key, Unsubscribed { topic: topic.into_static(), group: group.map(Text::into_static) });
    }

    /// A session ends, and with it its subscriptions.
    pub(crate) fn unsubscribe_all(&mut self, key: Key<Session>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        for (pattern, group) in std::mem::take(&mut session.subscriptions) {
            self.topics.remove(&pattern, group.as_deref(), key);
        }
    }

    pub(crate) fn publish(&mut self, key: Key<Session>, publish: Publish<'_>, data: &Payload) {
        let Some(session) = self.sessions.get(key) else { return };
        let from = Arc::clone(&session.name);
        let refusal = if is_reserved(publish.topic.as_str()) {
            Some("topics that start with `$` belong to the broker; choose another".to_owned())
        } else {
            self.denies(key, Right::Publish, publish.topic.as_str())
        };
        if let Some(text) = refusal {
            let about = match publish.id {
                Some(id) => About::Id(id),
                None => About::Topic(publish.topic.into_text().into_static()),
            };
            return self.denied(key, text, about);
        }
        self.emit(publish.topic.as_str(), &from, data);
        if let Some(id) = publish.id {
            self.tell(key, Accepted { id });
        }
    }

    /// Sends an event to everybody who wants its topic and is connected: once each, and once to each group.
    fn emit(&mut self, topic: &str, from: &Arc<str>, data: &Payload) {
        self.counts.published += 1;
        let mut audience = self.topics.audience(topic);
        let topic: Arc<str> = Arc::from(topic);
        let chosen = audience.groups.values().filter_map(|members| self.one_of(members));
        audience.all.extend(chosen);
        for to in audience.all {
            if let Some(connection) = self.sessions.get(to).and_then(|session| session.connection) {
                let event = Event { topic: Arc::clone(&topic).into(), from: Arc::clone(from).into() };
                self.counts.events += 1;
                self.send(connection, event, data.clone());
            }
        }
    }

    /// One connected member of a group, another one each time.
    fn one_of(&self, members: &BTreeSet<Key<Session>>) -> Option<Key<Session>> {
        let there: Vec<_> = members
            .iter()
            .filter(|member| self.sessions.get(**member).is_some_and(|session| session.connection.is_some()))
            .collect();
        let turn = self.counts.published as usize;
        there.get(turn % there.len().max(1)).map(|&&member| member)
    }
}
