//! Who wants which topics. A tree of tokens, so that finding the subscribers of an event costs by the tokens of its
//! topic and not by how many subscriptions there are.

use crate::session::Session;
use crate::tables::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Subscriber = Key<Session>;

/// All subscriptions.
pub(crate) struct Topics {
    root: Node,
    count: usize,
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

/// Whether a name fits a pattern: `*` is any token, and `>` at the end all that are left.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (mut wanted, mut tokens) = (pattern.split('.'), name.split('.'));
    loop {
        match (wanted.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(want), Some(token)) if want == token => {}
            _ => return false,
        }
    }
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self { root: Node::default(), count: 0 }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
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
        match group {
            None => interested.all.insert(who),
            Some(group) => interested.groups.entry(group).or_default().insert(who),
        };
    }

    /// Takes a subscription away that is there, and every node that nothing needs any more.
    pub(crate) fn remove(&mut self, pattern: &str, group: Option<&str>, who: Subscriber) {
        self.count -= 1;
        let tokens: Vec<_> = pattern.split('.').collect();
        self.root.remove(&tokens, group, who);
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

    fn remove(&mut self, tokens: &[&str], group: Option<&str>, who: Subscriber) {
        match tokens.split_first() {
            None => self.here.remove(group, who),
            Some((&">", _)) => self.rest.remove(group, who),
            Some((first, others)) => {
                if let Some(node) = self.below.get_mut(*first) {
                    node.remove(others, group, who);
                    if node.is_empty() {
                        self.below.remove(*first);
                    }
                }
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

    fn remove(&mut self, group: Option<&str>, who: Subscriber) {
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
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.groups.is_empty()
    }
}
