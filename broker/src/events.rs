//! Publish and subscribe: an event goes to whoever wants its topic now, and is kept for nobody.

use crate::broker::Broker;
use crate::input::ConnectionId;
use crate::output::Output;
use crate::rights::{Right, is_reserved};
use crate::session::Session;
use crate::tables::Key;
use crate::words;
use answerback_protocol::frames::{
    About, Accepted, Course, Event, Publish, Subscribe, Subscribed, Unsubscribe, Unsubscribed,
};
use answerback_protocol::{Code, Payload, Text};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Broker {
    pub(crate) fn subscribe(&mut self, key: Key<Session>, subscribe: Subscribe<'_>) {
        if !self.server_wishes(key, &subscribe) {
            // A way that leads nowhere, or something that no client says: as if it had been taken back.
            let Subscribe { topic, group, .. } = subscribe;
            return self.unsubscribe(key, Unsubscribe { topic, group });
        }
        // Another server asks for its clients, whose rights it knows.
        let is_server = self.is_server(key);
        let denied = if is_server { None } else { self.denies(key, Right::Subscribe, subscribe.topic.as_str()) };
        if let Some(text) = denied {
            return self.denied(key, text, About::Topic(subscribe.topic.into_text().into_static()));
        }
        let limits = &self.settings.limits;
        let (most, most_in_all) = (limits.subscriptions_per_session, limits.subscriptions);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let pattern: Arc<str> = Arc::from(subscribe.topic.as_str());
        let group: Option<Arc<str>> = subscribe.group.as_ref().map(|group| Arc::from(group.as_str()));
        let wanted = (Arc::clone(&pattern), group.clone());
        let full = session.subscriptions.len() >= most && !is_server;
        if (full || self.topics.len() >= most_in_all) && !session.subscriptions.contains(&wanted) {
            let text = if full {
                format!("a session has at most {most} subscriptions (--max-subscriptions)")
            } else {
                format!("all sessions have at most {most_in_all} subscriptions together (--max-subscriptions-in-all)")
            };
            let connection = session.connection;
            // Of a server the way to it was believed before.
            self.wishes_no_more(key, &pattern, group.as_deref());
            if let Some(connection) = connection {
                let about = About::Topic(subscribe.topic.into_text().into_static());
                self.notice(connection, Code::Overloaded, text, Some(about));
            }
            return;
        }
        let (client, events) = (session.client, session.events);
        if session.subscriptions.insert(wanted) {
            let was_watched = self.is_watched();
            self.topics.introduce(client, key);
            self.topics.add(&pattern, group.clone(), key);
            self.wish_changed((pattern, group));
            if !was_watched && self.is_watched() {
                self.begin_watching();
            }
        }
        let Subscribe { topic, group, .. } = subscribe;
        let (topic, group) = (topic.into_static(), group.map(Text::into_static));
        self.tell(key, Subscribed { topic, group, events: Some(events) });
    }

    pub(crate) fn unsubscribe(&mut self, key: Key<Session>, unsubscribe: Unsubscribe<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let pattern: Arc<str> = Arc::from(unsubscribe.topic.as_str());
        let group: Option<Arc<str>> = unsubscribe.group.as_ref().map(|group| Arc::from(group.as_str()));
        if session.subscriptions.remove(&(Arc::clone(&pattern), group.clone())) {
            if session.subscriptions.is_empty() {
                self.topics.dismiss(session.client);
            }
            self.topics.remove(&pattern, group.as_deref(), key);
            self.wishes_no_more(key, &pattern, group.as_deref());
        }
        let Unsubscribe { topic, group } = unsubscribe;
        self.tell(key, Unsubscribed { topic: topic.into_static(), group: group.map(Text::into_static) });
    }

    /// A session ends, and with it its subscriptions.
    pub(crate) fn unsubscribe_all(&mut self, key: Key<Session>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        self.topics.dismiss(session.client);
        for (pattern, group) in std::mem::take(&mut session.subscriptions) {
            self.topics.remove(&pattern, group.as_deref(), key);
            self.wishes_no_more(key, &pattern, group.as_deref());
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
        let sent = match publish.to {
            None => {
                self.emit(publish.topic.as_str(), &from, data, publish.others.then_some(key));
                Ok(())
            }
            Some(client) => self.emit_to(client, publish.topic.as_str(), &from, data),
        };
        let Some(id) = publish.id else { return };
        match (sent, self.sessions.get(key).and_then(|session| session.connection)) {
            (Ok(()), _) => self.tell(key, Accepted { id }),
            (Err(text), Some(connection)) => self.notice(connection, Code::NoHandler, text, Some(About::Id(id))),
            (Err(_), None) => {}
        }
    }

    /// Sends an event to everybody who wants its topic and is connected: once each, and once for each group. Whoever is away can be told later how much it missed.
    pub(crate) fn emit(&mut self, topic: &str, from: &Arc<str>, data: &Payload, except: Option<Key<Session>>) {
        self.counts.published += 1;
        let mut audience = self.topics.audience(topic);
        if let Some(publisher) = except {
            audience.all.remove(&publisher);
            for members in audience.groups.values_mut() {
                members.remove(&publisher);
            }
        }
        if audience.all.is_empty() && audience.groups.is_empty() {
            return;
        }
        let course = self.begin_course();
        let all = std::mem::take(&mut audience.all);
        self.emit_to_all(topic, from, data, all, &course);
        for (group, members) in audience.groups {
            self.emit_to_group(topic, from, data, &group, &members, &course);
        }
    }

    /// The same of an event that another server passes on: for everybody, or for one member of a group.
    pub(crate) fn emit_on(
        &mut self,
        topic: &str,
        from: &Arc<str>,
        data: &Payload,
        group: Option<&str>,
        course: &Course,
    ) {
        let audience = self.topics.audience(topic);
        match group {
            None => self.emit_to_all(topic, from, data, audience.all, course),
            Some(group) => {
                if let Some((group, members)) = audience.groups.get_key_value(group) {
                    self.emit_to_group(topic, from, data, group, members, course);
                }
            }
        }
    }

    fn emit_to_all(
        &mut self,
        topic: &str,
        from: &Arc<str>,
        data: &Payload,
        all: BTreeSet<Key<Session>>,
        course: &Course,
    ) {
        let mut to = Vec::with_capacity(all.len());
        let mut servers = Vec::new();
        for key in all {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            session.events += 1;
            if session.link.is_some() {
                servers.push(key);
            } else {
                to.extend(session.connection);
            }
        }
        self.send_all(to, event(topic, from, None, None), data);
        let (to, course) = self.further(&servers, course);
        self.send_all(to, event(topic, from, None, course), data);
    }

    /// A member here is as good as one elsewhere, and nearer.
    fn emit_to_group(
        &mut self,
        topic: &str,
        from: &Arc<str>,
        data: &Payload,
        group: &Arc<str>,
        members: &BTreeSet<Key<Session>>,
        course: &Course,
    ) {
        let (servers, clients): (BTreeSet<_>, BTreeSet<_>) = members.iter().partition(|key| self.is_server(**key));
        if let Some(session) = self.one_of(&clients).and_then(|key| self.sessions.get_mut(key)) {
            session.events += 1;
            let to = session.connection.into_iter().collect();
            return self.send_all(to, event(topic, from, Some(group), None), data);
        }
        let nearest = self.nearest_with(group, &servers, course);
        let turn = self.turn_of_event() % nearest.len().max(1);
        let one: Vec<_> = nearest.into_iter().skip(turn).take(1).collect();
        let (to, course) = self.further(&one, course);
        self.send_all(to, event(topic, from, Some(group), course), data);
    }

    fn send_all(&mut self, mut to: Vec<ConnectionId>, event: Event<'static>, data: &Payload) {
        self.counts.events += to.len() as u64;
        match to.len() {
            0 => {}
            1 => to.drain(..).for_each(|to| self.send(to, event.clone(), data.clone())),
            many => {
                self.counts.frames_out += many as u64;
                self.counts.data_out += (many * data.len()) as u64;
                self.out.push_back(Output::SendAll { to, frame: event.into(), data: data.clone() });
            }
        }
    }

    /// Sends an event to one client, or says why not.
    fn emit_to(&mut self, client: u64, topic: &str, from: &Arc<str>, data: &Payload) -> Result<(), String> {
        self.counts.published += 1;
        let wish = self.topics.client(client).and_then(|key| Some((key, self.topics.wish(topic, key)?)));
        let session = wish.and_then(|(key, group)| Some((self.sessions.get_mut(key)?, group)));
        let there = session.and_then(|(session, group)| Some((session.connection?, session, group)));
        let Some((connection, session, group)) = there else { return Err(words::client_not_there(client, topic)) };
        session.events += 1;
        self.send_all(vec![connection], event(topic, from, group.as_ref(), None), data);
        Ok(())
    }

    /// One connected member of a group, another one each time.
    fn one_of(&self, members: &BTreeSet<Key<Session>>) -> Option<Key<Session>> {
        let there: Vec<_> = members
            .iter()
            .filter(|member| self.sessions.get(**member).is_some_and(|session| session.connection.is_some()))
            .collect();
        let turn = self.turn_of_event();
        there.get(turn % there.len().max(1)).map(|&&member| member)
    }
}

fn event(topic: &str, from: &Arc<str>, group: Option<&Arc<str>>, course: Option<Course>) -> Event<'static> {
    Event {
        topic: Arc::<str>::from(topic).into(),
        from: Arc::clone(from).into(),
        group: group.map(|group| Text::from(Arc::clone(group))),
        course: course.map(Box::new),
    }
}
