//! Which streams of this client hear of which topics. Streams of the same topic and group share one subscription at the server.

use super::inbox::Inbox;
use crate::error::Error;
use crate::session::{Topic, TopicEvent};
use crate::shared::{Inside, Shared};
use answerback_protocol::names::topic_fits;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The streams of one client.
#[derive(Default)]
pub(crate) struct Book {
    entries: BTreeMap<u64, Entry>,
    /// How many streams share each subscription.
    users: BTreeMap<Topic, usize>,
    next_number: u64,
    /// Who heard the event before: the next one is mostly of the same topic.
    last: Option<(Arc<str>, Vec<Arc<Inbox>>)>,
    /// Counts events for groups, of whose streams another one gets each.
    turn: usize,
}

struct Entry {
    topic: Topic,
    inbox: Arc<Inbox>,
    /// Who waits for the server's first word.
    beginning: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Book {
    /// What is to be said to a new server.
    pub(crate) fn topics(&self) -> impl Iterator<Item = Topic> {
        self.users.keys().cloned()
    }

    fn add(&mut self, entry: Entry) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        *self.users.entry(entry.topic.clone()).or_default() += 1;
        self.entries.insert(number, entry);
        self.last = None;
        number
    }

    /// Forgets a stream. What was subscribed to for it, if no other stream wants it.
    fn remove(&mut self, number: u64) -> Option<Topic> {
        let entry = self.entries.remove(&number)?;
        self.last = None;
        let users = self.users.get_mut(&entry.topic)?;
        *users -= 1;
        if *users > 0 {
            return None;
        }
        self.users.remove(&entry.topic);
        Some(entry.topic)
    }

    pub(crate) fn confirmed(&mut self, topic: &Topic) {
        for entry in self.entries.values_mut().filter(|entry| entry.topic == *topic) {
            if let Some(waiting) = entry.beginning.take() {
                // Who does not wait any more does not mind.
                let _ = waiting.send(Ok(()));
            }
        }
    }

    /// The server refuses it, or has ended it: so do the streams.
    pub(crate) fn refused(&mut self, topic: &Topic, error: &Error) {
        self.users.remove(topic);
        self.last = None;
        for (_, entry) in self.entries.extract_if(.., |_, entry| entry.topic == *topic) {
            entry.end(error, true);
        }
    }

    /// The client has ended; whether that is an error for those who read.
    pub(crate) fn give_up(&mut self, error: &Error, is_error: bool) {
        self.users.clear();
        self.last = None;
        for entry in std::mem::take(&mut self.entries).into_values() {
            entry.end(error, is_error);
        }
    }

    pub(crate) fn missed(&self, events: u64) {
        self.entries.values().for_each(|entry| entry.inbox.missed(events));
    }

    /// Hands an event to every stream that wants it, or to one of the group for which it came.
    pub(crate) fn event(&mut self, event: TopicEvent) {
        if event.group.is_some() {
            return self.group_event(event);
        }
        let known = self.last.as_ref().is_some_and(|(topic, _)| *topic == event.topic);
        if !known {
            let readers = self.readers(&event).cloned().collect();
            self.last = Some((Arc::clone(&event.topic), readers));
        }
        let readers = self.last.as_ref().map_or(&[][..], |(_, readers)| readers);
        if let Some((last, others)) = readers.split_last() {
            others.iter().for_each(|reader| reader.push(event.clone()));
            last.push(event);
        }
    }

    fn group_event(&mut self, event: TopicEvent) {
        let among = self.readers(&event).count();
        let turn = self.turn.checked_rem(among).unwrap_or_default();
        let chosen = self.readers(&event).nth(turn).cloned();
        self.turn = self.turn.wrapping_add(1);
        if let Some(chosen) = chosen {
            chosen.push(event);
        }
    }

    fn readers(&self, event: &TopicEvent) -> impl Iterator<Item = &Arc<Inbox>> {
        let wants = |(pattern, group): &Topic| *group == event.group && topic_fits(pattern, &event.topic);
        self.entries.values().filter(move |entry| wants(&entry.topic)).map(|entry| &entry.inbox)
    }
}

impl Entry {
    fn end(self, error: &Error, is_error: bool) {
        match self.beginning {
            Some(waiting) => drop(waiting.send(Err(error.clone()))),
            None => self.inbox.end(is_error.then(|| error.clone())),
        }
    }
}

impl Shared {
    /// A stream that hears of a topic from now on, and who says when the server knows.
    pub(crate) fn subscribe(
        &self,
        topic: &Topic,
        inbox: &Arc<Inbox>,
    ) -> Result<(u64, oneshot::Receiver<Result<(), Error>>), Error> {
        let (known, word) = oneshot::channel();
        let mut inside = self.lock();
        if let Some(error) = &inside.closed {
            return Err(error.clone());
        }
        let entry = Entry { topic: topic.clone(), inbox: Arc::clone(inbox), beginning: Some(known) };
        let number = inside.book.add(entry);
        // Said again if it was said for another stream: the answer is what is waited for.
        if let Some(link) = inside.links.last_mut() {
            link.session.subscribe(topic.clone());
            link.rouse();
        }
        Ok((number, word))
    }

    /// A stream has gone.
    pub(crate) fn unsubscribe(&self, number: u64) {
        let mut inside = self.lock();
        if let Some(topic) = inside.book.remove(number) {
            inside.unsubscribe(&topic);
        }
    }

    /// Whether a server may still send events of this topic.
    pub(crate) fn is_subscribed(&self, topic: &Topic) -> bool {
        let inside = self.lock();
        !inside.book.users.contains_key(topic) && inside.links.iter().any(|link| link.session.knows_topic(topic))
    }
}

impl Inside {
    fn unsubscribe(&mut self, topic: &Topic) {
        for link in &mut self.links {
            link.session.unsubscribe(topic);
            link.rouse();
        }
    }
}
