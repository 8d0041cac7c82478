//! Who wants which topics. A tree of tokens, so that finding the subscribers of an event costs by the tokens of its
//! topic and not by how many subscriptions there are.

use crate::session::Session;
use crate::tables::Key;
pub use answerback_protocol::names::matches_pattern;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Subscriber = Key<Session>;

/// All subscriptions.
pub(crate) struct Topics {
    root: Node,
    count: usize,
    /// How many different patterns there are.
    patterns: usize,
    /// Whoever has a subscription, by public number.
    by_client: BTreeMap<u64, Subscriber>,
}

#[derive(Default)]
struct Node {
    /// Below a token that stands there as it is, or below `*`.
    below: BTreeMap<Box<str>, Box<Node>>,
    /// Subscriptions whose pattern ends here.
    here: Interested,
    /// Subscriptions whose pattern ends here with `>`.
    rest: Interested,
}

/// Subscribers of one pattern: those who want every event, and groups of which one member gets each.
#[derive(Default)]
struct Interested {
    all: BTreeSet<Subscriber>,
    groups: BTreeMap<Arc<str>, BTreeSet<Subscriber>>,
}

/// Who is to get an event.
#[derive(Default)]
pub(crate) struct Audience {
    /// Each of these.
    pub(crate) all: BTreeSet<Subscriber>,
    /// One of each of these.
    pub(crate) groups: BTreeMap<Arc<str>, BTreeSet<Subscriber>>,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self { root: Node::default(), count: 0, patterns: 0, by_client: BTreeMap::new() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many different topics and patterns they name.
    pub(crate) fn patterns(&self) -> usize {
        self.patterns
    }

    /// Whether somebody wants what the broker tells of itself under this first token.
    pub(crate) fn has_listeners(&self, first: &str) -> bool {
        self.root.below.contains_key(first)
    }

    /// A client that can be published to by its number from now on.
    pub(crate) fn introduce(&mut self, client: u64, who: Subscriber) {
        self.by_client.insert(client, who);
    }

    /// It has no subscription any more.
    pub(crate) fn dismiss(&mut self, client: u64) {
        self.by_client.remove(&client);
    }

    /// The subscriber with this public number.
    pub(crate) fn client(&self, client: u64) -> Option<Subscriber> {
        self.by_client.get(&client).copied()
    }

    /// How one subscriber wants the events of a topic: with a group, or without, which comes first. Nothing if it does not.
    pub(crate) fn wish(&self, topic: &str, who: Subscriber) -> Option<Option<Arc<str>>> {
        let audience = self.audience(topic);
        if audience.all.contains(&who) {
            return Some(None);
        }
        audience.groups.iter().find(|(_, members)| members.contains(&who)).map(|(group, _)| Some(Arc::clone(group)))
    }

    /// Adds a subscription that is not there yet.
    pub(crate) fn add(&mut self, pattern: &str, group: Option<Arc<str>>, who: Subscriber) {
        self.count += 1;
        let mut node = &mut self.root;
        let mut rest = false;
        for token in pattern.split('.') {
            if token == ">" {
                rest = true;
            } else {
                node = node.below.entry(token.into()).or_default();
            }
        }
        let interested = if rest { &mut node.rest } else { &mut node.here };
        self.patterns += usize::from(interested.is_empty());
        match group {
            None => interested.all.insert(who),
            Some(group) => interested.groups.entry(group).or_default().insert(who),
        };
    }

    /// Takes a subscription away that is there, and every node that nothing needs any more.
    pub(crate) fn remove(&mut self, pattern: &str, group: Option<&str>, who: Subscriber) {
        self.count -= 1;
        let tokens: Vec<_> = pattern.split('.').collect();
        self.patterns -= usize::from(self.root.remove(&tokens, group, who));
    }

    /// Who wants the events of a topic.
    pub(crate) fn audience(&self, topic: &str) -> Audience {
        let mut audience = Audience::default();
        let tokens: Vec<_> = topic.split('.').collect();
        self.root.collect(&tokens, !topic.starts_with('$'), &mut audience);
        audience
    }
}

impl Node {
    /// `wild` is false in the first place of a topic that starts with `$`: wildcards do not match there.
    fn collect(&self, tokens: &[&str], wild: bool, audience: &mut Audience) {
        let Some((first, others)) = tokens.split_first() else { return self.here.join(audience) };
        if wild {
            self.rest.join(audience);
        }
        if let Some(node) = self.below.get(*first) {
            node.collect(others, true, audience);
        }
        if let Some(node) = self.below.get("*").filter(|_| wild) {
            node.collect(others, true, audience);
        }
    }

    /// Whether nobody has this pattern any more.
    fn remove(&mut self, tokens: &[&str], group: Option<&str>, who: Subscriber) -> bool {
        match tokens.split_first() {
            None => self.here.remove(group, who),
            Some((&">", _)) => self.rest.remove(group, who),
            Some((first, others)) => {
                let Some(node) = self.below.get_mut(*first) else { return false };
                let was_last = node.remove(others, group, who);
                if node.is_empty() {
                    self.below.remove(*first);
                }
                was_last
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.below.is_empty() && self.here.is_empty() && self.rest.is_empty()
    }
}

impl Interested {
    fn join(&self, audience: &mut Audience) {
        audience.all.extend(&self.all);
        for (group, members) in &self.groups {
            audience.groups.entry(Arc::clone(group)).or_default().extend(members);
        }
    }

    /// Whether nobody is left.
    fn remove(&mut self, group: Option<&str>, who: Subscriber) -> bool {
        match group {
            None => {
                self.all.remove(&who);
            }
            Some(group) => {
                if let Some(members) = self.groups.get_mut(group) {
                    members.remove(&who);
                    if members.is_empty() {
                        self.groups.remove(group);
                    }
                }
            }
        }
        self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.groups.is_empty()
    }
}
