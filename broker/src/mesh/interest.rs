//! Events across servers: who wants which topics, and the course of an event.
//!
//! A server subscribes at another one, like any client, to what its own clients and the servers behind it want: once for each pattern, and for each queue group.
//! Such a subscription carries the servers on the way to the nearest client that wants it, as an offer does, so it goes in no circle. An event is given to
//! the servers that want it, and says which servers have it: so it crosses each link once, or is known again by its number where two ways meet.

use super::Link;
use super::recent::Recent;
use crate::broker::Broker;
use crate::input::ConnectionId;
use crate::rights::is_reserved;
use crate::session::Session;
use crate::tables::Key;
use answerback_protocol::frames::{Course, Event, Subscribe, Unsubscribe};
use answerback_protocol::limits::BEEN_MAX;
use answerback_protocol::names::Pattern;
use answerback_protocol::{NodeId, Payload, RequestId, Text};
use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Numbers of events that are remembered, to know one that comes again: it does within moments, so these are the events of about as long.
const SEEN_MAX: usize = 16_384;

/// A pattern, and the queue group if it is for one.
pub(super) type Wish = (Arc<str>, Option<Arc<str>>);

/// What is known of events between servers.
pub(super) struct Events {
    /// Wishes that may have changed since others were told.
    changed: BTreeSet<Wish>,
    seen: Recent,
    /// Numbers given to events.
    last: u64,
    /// Events that came from other servers.
    came: u64,
}

/// What a link says of wishes.
#[derive(Default)]
pub(super) struct Wishes {
    /// What the other server wants, and the way to who wants it.
    theirs: BTreeMap<Wish, Vec<NodeId>>,
    /// The patterns of each group among it, the nearest first: an event for a group is given to one server, and looking at all would take as long as there
    /// are patterns.
    of_groups: BTreeMap<Arc<str>, BTreeSet<(usize, Arc<str>)>>,
    /// What the other was told, on this connection.
    told: BTreeMap<Wish, Vec<NodeId>>,
}

impl Wishes {
    pub(super) fn new_connection(&mut self) {
        self.told.clear();
    }

    fn want(&mut self, wish: Wish, way: Vec<NodeId>) {
        self.want_no_more(&wish);
        if let (pattern, Some(group)) = &wish {
            self.of_groups.entry(Arc::clone(group)).or_default().insert((way.len(), Arc::clone(pattern)));
        }
        self.theirs.insert(wish, way);
    }

    fn want_no_more(&mut self, wish: &Wish) {
        let Some(way) = self.theirs.remove(wish) else { return };
        let Some(group) = &wish.1 else { return };
        if let Some(patterns) = self.of_groups.get_mut(group) {
            patterns.remove(&(way.len(), Arc::clone(&wish.0)));
            if patterns.is_empty() {
                self.of_groups.remove(group);
            }
        }
    }

    /// How far the nearest member of a group is.
    fn hops_to(&self, group: &str) -> Option<usize> {
        self.of_groups.get(group)?.first().map(|(hops, _)| *hops)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.theirs.len()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { changed: BTreeSet::new(), seen: Recent::new(SEEN_MAX), last: 0, came: 0 }
    }
}

impl Broker {
    /// A server subscribes. Whether that can be believed: a way that leads over this server cannot.
    pub(crate) fn server_wishes(&mut self, session: Key<Session>, subscribe: &Subscribe<'_>) -> bool {
        let Some(key) = self.link_of_session(session) else { return true };
        let path = subscribe.path.clone().unwrap_or_default();
        let Some(link) = self.mesh.links.get_mut(key) else { return false };
        let is_sound = path.first() == Some(&link.node)
            && path.len() <= self.settings.max_hops
            && !path.contains(&self.settings.node)
            && !subscribe.topic.as_str().starts_with('$');
        if is_sound {
            let wish = wish_of(subscribe.topic.as_str(), subscribe.group.as_deref());
            link.wishes.want(wish.clone(), path);
            self.wish_changed(wish);
        }
        is_sound
    }

    /// A server, or any client, wants this no more.
    pub(crate) fn wishes_no_more(&mut self, session: Key<Session>, pattern: &str, group: Option<&str>) {
        let wish = wish_of(pattern, group);
        if let Some(link) = self.link_of_session(session).and_then(|link| self.mesh.links.get_mut(link)) {
            link.wishes.want_no_more(&wish);
        }
        self.wish_changed(wish);
    }

    /// Who wants this has changed.
    pub(crate) fn wish_changed(&mut self, wish: Wish) {
        if self.mesh.links.len() > 0 && !wish.0.starts_with('$') {
            self.mesh.events.changed.insert(wish);
            self.look_at_mesh_soon();
        }
    }

    /// Tells others what is wanted now.
    pub(super) fn wishes_due(&mut self) {
        for wish in std::mem::take(&mut self.mesh.events.changed) {
            for link in self.links_that_offer() {
                self.tell_wish(link, &wish);
            }
        }
    }

    /// A link is up: everything that is wanted is told.
    pub(super) fn tell_every_wish(&mut self, link: Key<Link>) {
        let sessions = self.sessions.iter().flat_map(|(_, session)| session.subscriptions.iter());
        let all: BTreeSet<Wish> = sessions.filter(|(pattern, _)| !pattern.starts_with('$')).cloned().collect();
        for wish in &all {
            self.tell_wish(link, wish);
        }
    }

    fn tell_wish(&mut self, key: Key<Link>, wish: &Wish) {
        let path = self.way_to_wish(key, wish);
        let Some(link) = self.mesh.links.get_mut(key) else { return };
        let Some(connection) = link.connection else { return };
        if link.wishes.told.get(wish) == path.as_ref() {
            return;
        }
        let Ok(topic) = Pattern::new(Arc::clone(&wish.0)) else { return };
        let group = wish.1.clone().map(Text::from);
        if let Some(path) = path {
            link.wishes.told.insert(wish.clone(), path.clone());
            self.say(connection, Subscribe { topic, group, path: Some(path) }, Payload::NONE);
        } else {
            link.wishes.told.remove(wish);
            self.say(connection, Unsubscribe { topic, group }, Payload::NONE);
        }
    }

    /// The servers on the way to the nearest client that wants this, as another server is told; none if nobody does but servers that it reaches without this one.
    fn way_to_wish(&self, key: Key<Link>, wish: &Wish) -> Option<Vec<NodeId>> {
        let to = self.mesh.links.get(key)?.node;
        let mut nearest: Option<&[NodeId]> = None;
        for session in self.topics.subscribers(&wish.0, wish.1.as_deref()) {
            let way = match self.link_of_session(session) {
                None => &[],
                Some(link) if link == key => continue,
                Some(link) => {
                    let way = self.mesh.links.get(link).and_then(|link| link.wishes.theirs.get(wish));
                    let Some(way) = way else { continue };
                    if way.contains(&to) || way.len() >= self.settings.max_hops {
                        continue;
                    }
                    way.as_slice()
                }
            };
            if nearest.is_none_or(|nearest| way.len() < nearest.len()) {
                nearest = Some(way);
            }
        }
        nearest.map(|way| std::iter::once(self.settings.node).chain(way.iter().copied()).collect())
    }

    /// An event that another server passes on.
    pub(super) fn event_came(&mut self, event: &Event<'_>, data: &Payload) {
        let Some(course) = event.course.as_deref() else { return };
        if is_reserved(event.topic.as_str()) {
            // Those are the word of each server alone. Nobody has asked another one for them.
            return;
        }
        let number = course.cast.get() ^ self.apart(event.group.as_deref());
        if course.hops as usize > self.settings.max_hops || self.mesh.events.seen.is_seen(number) {
            return;
        }
        self.mesh.events.came += 1;
        let from: Arc<str> = Arc::from(event.from.as_str());
        self.emit_on(event.topic.as_str(), &from, data, event.group.as_deref(), course);
    }

    /// An event comes once for everybody and once for each group, all under one number. This tells them apart.
    fn apart(&self, group: Option<&str>) -> u64 {
        let seed = self.settings.secrets.tables;
        group.map_or(0, |group| SipHasher13::new_with_keys(seed, 0).hash(group.as_bytes()))
    }

    /// Counts events, so that the members of a group take turns.
    pub(crate) fn turn_of_event(&self) -> usize {
        (self.counts.published + self.mesh.events.came) as usize
    }

    /// What an event of a client of this server says to others.
    pub(crate) fn begin_course(&mut self) -> Course {
        self.mesh.events.last += 1;
        let seed = self.settings.secrets.tables ^ self.settings.node.get().rotate_left(32);
        let cast = RequestId::truncated(crate::dispatch::mix(seed ^ self.mesh.events.last));
        Course { cast, hops: 0, been: Vec::new() }
    }

    /// Of the servers that want an event for a group, those with the shortest way to a member, without those that have it.
    pub(crate) fn nearest_with(
        &self,
        group: &Arc<str>,
        servers: &BTreeSet<Key<Session>>,
        course: &Course,
    ) -> Vec<Key<Session>> {
        let (mut least, mut nearest) = (usize::MAX, Vec::new());
        for &session in servers {
            let link = self.link_of_session(session).and_then(|link| self.mesh.links.get(link));
            let Some(link) = link.filter(|link| link.is_up && !course.been.contains(&link.node)) else { continue };
            let way = link.wishes.hops_to(group).unwrap_or(usize::MAX);
            if way < least {
                (least, nearest) = (way, Vec::new());
            }
            if way == least {
                nearest.push(session);
            }
        }
        nearest
    }

    /// The connections of servers among those who want an event, each with its node, and what they are told of its course. Servers that have it are left out.
    pub(crate) fn further(&self, servers: &[Key<Session>], course: &Course) -> (Vec<ConnectionId>, Option<Course>) {
        if servers.is_empty() || course.hops as usize >= self.settings.max_hops {
            return (Vec::new(), None);
        }
        let mut been = course.been.clone();
        been.push(self.settings.node);
        let mut to = Vec::new();
        for &session in servers {
            let link = self.link_of_session(session).and_then(|link| self.mesh.links.get(link));
            let Some((link, connection)) = link.and_then(|link| Some((link, link.connection?))) else { continue };
            if !been.contains(&link.node) {
                been.push(link.node);
                to.push(connection);
            }
        }
        been.truncate(BEEN_MAX);
        (to, Some(Course { cast: course.cast, hops: course.hops + 1, been }))
    }
}

fn wish_of(pattern: &str, group: Option<&str>) -> Wish {
    (Arc::from(pattern), group.map(Arc::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_member_of_a_group_is_known_as_long_as_it_is_there() {
        let mut wishes = Wishes::default();
        let way = |hops: u64| (1..=hops).map(NodeId::truncated).collect::<Vec<_>>();
        wishes.want(wish_of("a", Some("g")), way(3));
        wishes.want(wish_of("b", Some("g")), way(1));
        wishes.want(wish_of("c", None), way(1));
        assert_eq!((wishes.hops_to("g"), wishes.hops_to("c")), (Some(1), None));
        wishes.want(wish_of("b", Some("g")), way(4));
        assert_eq!(wishes.hops_to("g"), Some(3));
        wishes.want_no_more(&wish_of("a", Some("g")));
        wishes.want_no_more(&wish_of("b", Some("g")));
        assert_eq!((wishes.hops_to("g"), wishes.of_groups.len(), wishes.theirs.len()), (None, 0, 1));
    }
}
