//! What this client subscribes to, what the server has been told of that, and how many events it missed.
//!
//! ```text
//!               written                subscribed
//!   subscribe ─────────► UNCONFIRMED ────────────► subscribes ── a new connection ──► to be written again
//!   unsubscribe ───────► UNCONFIRMED ────────────► forgotten
//!                        unsubscribed; and also when the server cannot have heard of it in this session
//! ```
//!
//! The server counts the events that are for this session, whether or not it can send them, and says with `subscribed` how many those are. What
//! came is counted here; the difference was missed.

use super::words::{Event, TopicEvent};
use crate::error::Error;
use answerback_protocol::frames::{self, Subscribe, Subscribed, Unsubscribe, Unsubscribed};
use answerback_protocol::{ClientFrame, Pattern, Text};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A pattern, and the queue group.
pub(crate) type Topic = (Box<str>, Option<Box<str>>);

#[derive(Default)]
pub(super) struct Topics {
    all: BTreeMap<Topic, Subscription>,
    /// Whether one of them is to be written.
    any_to_say: bool,
    /// Events that came in this session.
    came: u64,
    /// Names of the event before, which are those of the next more often than not.
    last: Option<(Arc<str>, Arc<str>)>,
}

#[derive(Default)]
struct Subscription {
    wanted: bool,
    to_say: bool,
    /// Words about it on this connection without an answer.
    unconfirmed: u32,
    /// Whether the server may have heard of it in this session.
    is_known: bool,
}

impl Topics {
    pub(super) fn subscribe(&mut self, topic: Topic) {
        let subscription = self.all.entry(topic).or_default();
        (subscription.wanted, subscription.to_say) = (true, true);
        self.any_to_say = true;
    }

    pub(super) fn unsubscribe(&mut self, topic: &Topic) {
        match self.all.get_mut(topic) {
            Some(subscription) if subscription.is_known => {
                (subscription.wanted, subscription.to_say) = (false, true);
                self.any_to_say = true;
            }
            _ => drop(self.all.remove(topic)),
        }
    }

    pub(super) fn unsubscribe_all(&mut self) {
        let all: Vec<_> = self.all.keys().cloned().collect();
        all.iter().for_each(|topic| self.unsubscribe(topic));
    }

    pub(super) fn knows(&self, topic: &Topic) -> bool {
        self.all.contains_key(topic)
    }

    /// Whether the server's word on this topic could be one on a subscription.
    pub(super) fn has_pattern(&self, pattern: &str) -> bool {
        let first = (Box::from(pattern), None);
        self.all.range(first..).next().is_some_and(|((other, _), _)| **other == *pattern)
    }

    // ── connections

    /// What was written may not have arrived.
    pub(super) fn disconnected(&mut self) {
        for subscription in self.all.values_mut() {
            (subscription.to_say, subscription.unconfirmed) = (true, 0);
        }
        self.any_to_say = !self.all.is_empty();
    }

    /// The server has heard of nothing, and counts from the beginning.
    pub(super) fn session_lost(&mut self) {
        self.came = 0;
        self.all.retain(|_, subscription| subscription.wanted);
        for subscription in self.all.values_mut() {
            subscription.is_known = false;
        }
    }

    // ── writing

    pub(super) fn has_any_to_say(&self) -> bool {
        self.any_to_say
    }

    /// Writes what is to be said, as far as there is room.
    pub(super) fn say(&mut self, out: &mut BytesMut, most: usize) {
        if !self.any_to_say {
            return;
        }
        for ((pattern, group), subscription) in self.all.iter_mut().filter(|(_, subscription)| subscription.to_say) {
            if out.len() >= most {
                return;
            }
            subscription.to_say = false;
            let Ok(topic) = Pattern::new(&**pattern) else { continue };
            let group = group.as_deref().map(Text::Borrowed);
            let frame = match subscription.wanted {
                true => ClientFrame::from(Subscribe { topic, group }),
                false => ClientFrame::from(Unsubscribe { topic, group }),
            };
            frame.write(b"", out);
            (subscription.unconfirmed, subscription.is_known) = (subscription.unconfirmed + 1, true);
        }
        self.any_to_say = false;
    }

    // ── the server's words

    pub(super) fn subscribed(&mut self, subscribed: &Subscribed<'_>, events: &mut VecDeque<Event>) {
        if let Some(so_far) = subscribed.events {
            let missed = so_far.saturating_sub(std::mem::replace(&mut self.came, so_far));
            if missed > 0 {
                events.push_back(Event::Missed(missed));
            }
        }
        let topic = topic(subscribed.topic.as_str(), subscribed.group.as_deref());
        if self.answered(&topic) == Some(true) {
            events.push_back(Event::Subscribed(topic));
        }
    }

    pub(super) fn unsubscribed(&mut self, unsubscribed: &Unsubscribed<'_>) {
        let topic = topic(unsubscribed.topic.as_str(), unsubscribed.group.as_deref());
        if self.answered(&topic) == Some(false) {
            self.all.remove(&topic);
        }
    }

    /// `error` with a topic does not say which group: the right to a topic is one for all of them.
    pub(super) fn refused(&mut self, pattern: &str, error: &Error, events: &mut VecDeque<Event>) {
        let of_it: Vec<_> = self.all.keys().filter(|(other, _)| **other == *pattern).cloned().collect();
        for topic in of_it {
            self.all.remove(&topic);
            events.push_back(Event::SubscribeRefused { topic, error: error.clone() });
        }
    }

    pub(super) fn event(&mut self, event: &frames::Event<'_>, data: Bytes, events: &mut VecDeque<Event>) {
        self.came += 1;
        let (topic, from) = match &self.last {
            Some((topic, from)) if **topic == *event.topic && **from == *event.from => (topic, from),
            _ => {
                let names = (Arc::from(event.topic.as_str()), Arc::from(event.from.as_str()));
                let (topic, from) = self.last.insert(names);
                (&*topic, &*from)
            }
        };
        let (topic, from) = (Arc::clone(topic), Arc::clone(from));
        let group = event.group.as_deref().map(Box::from);
        events.push_back(Event::Topic(TopicEvent { topic, from, group, data }));
    }

    /// A word about this subscription is answered. Whether it is wanted, if that was the last word.
    fn answered(&mut self, topic: &Topic) -> Option<bool> {
        let subscription = self.all.get_mut(topic)?;
        subscription.unconfirmed = subscription.unconfirmed.checked_sub(1)?;
        (subscription.unconfirmed == 0 && !subscription.to_say).then_some(subscription.wanted)
    }
}

fn topic(pattern: &str, group: Option<&str>) -> Topic {
    (pattern.into(), group.map(Into::into))
}
