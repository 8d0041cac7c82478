//! What the holder of a key may do. No grant, no right.
//!
//! A grant is a pattern over names, with the wildcards of topics: `*` is any token, and `>` at the end one or more. A wildcard in first place does
//! not match names that start with `$`: those are the broker's own, and are for an `admin`, or for whom a pattern names them. This file knows no
//! session; who asks it, and remembers what it says, is `guard.rs`.

use crate::topics::matches_pattern;
use answerback_protocol::names::Pattern;
use std::fmt;
use std::sync::Arc;

/// Who has the key of a connection, and what that allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name, which stands before the client's own in `from`. Not empty, at most 64 bytes, and without `/`: so nobody can pass for another.
    pub id: Arc<str>,
    /// What it may do.
    pub rights: Arc<Rights>,
}

/// What a holder may do. `Rights::default()` is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Actions that it may call: calls, sends and broadcasts.
    pub call: Patterns,
    /// Actions that it may serve.
    pub serve: Patterns,
    /// Topics that it may publish to.
    pub publish: Patterns,
    /// Topics that it may hear of.
    pub subscribe: Patterns,
    /// Whether it may call every action of the broker's own, and hear of every topic of the broker's own.
    pub admin: bool,
    /// Whether it is a server, which may pass requests of others on and say whose they are.
    pub peer: bool,
}

/// One of the things that need a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Call,
    Serve,
    Publish,
    Subscribe,
}

/// The one action of the broker's own that is for everybody: it says nothing but what it was told.
const FOR_EVERYBODY: &str = "$echo";

impl Rights {
    /// Everything.
    pub fn all() -> Self {
        let all = Patterns::everything;
        Self { call: all(), serve: all(), publish: all(), subscribe: all(), admin: true, peer: true }
    }

    /// Whether a name is allowed because every ordinary one is: the answer that costs nothing, if it is yes.
    pub(crate) fn allow_all(&self, right: Right, name: &str) -> bool {
        let patterns = match right {
            Right::Call => &self.call,
            Right::Serve => &self.serve,
            Right::Publish => &self.publish,
            Right::Subscribe => &self.subscribe,
        };
        patterns.everything && !is_reserved(name)
    }

    /// Whether a name, or for a subscription a pattern, is allowed.
    pub(crate) fn allow(&self, right: Right, name: &str) -> bool {
        match right {
            Right::Call if is_reserved(name) => self.admin || name == FOR_EVERYBODY || self.call.permit(name),
            Right::Call => self.call.permit(name),
            Right::Serve => self.serve.permit(name),
            Right::Publish => self.publish.permit(name),
            Right::Subscribe => (self.admin && is_reserved(name)) || self.subscribe.cover(name),
        }
    }
}

/// Grants: patterns over names, in an order in which a name is found without looking at all of them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Patterns {
    /// `>` is among them: every name that is not the broker's own.
    everything: bool,
    /// Those without wildcards, sorted.
    exact: Box<[Box<str>]>,
    /// Those that begin with a token as it is and have wildcards behind it, sorted by that token.
    below: Box<[Box<str>]>,
    /// Those that begin with `*`, and `>`.
    anywhere: Box<[Box<str>]>,
}

impl Patterns {
    /// The pattern `>` alone.
    pub fn everything() -> Self {
        Self { everything: true, anywhere: [">".into()].into(), ..Self::default() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All of them, as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        [&self.exact, &self.below, &self.anywhere].into_iter().flatten().map(|pattern| &**pattern)
    }

    /// Whether one of them matches a name.
    pub(crate) fn permit(&self, name: &str) -> bool {
        let is_ordinary = !is_reserved(name);
        (self.everything && is_ordinary)
            || self.exact.binary_search_by(|pattern| (**pattern).cmp(name)).is_ok()
            || self.with_first_token_of(name).iter().any(|pattern| matches_pattern(pattern, name))
            || (is_ordinary && self.anywhere.iter().any(|pattern| matches_pattern(pattern, name)))
    }

    /// Whether one of them matches everything that a pattern does.
    pub(crate) fn cover(&self, wanted: &str) -> bool {
        self.iter().any(|granted| covers_pattern(granted, wanted))
    }

    /// The patterns in `below` that begin with the first token of a name.
    fn with_first_token_of(&self, name: &str) -> &[Box<str>] {
        let first = first_token(name);
        let from = self.below.partition_point(|pattern| first_token(pattern) < first);
        let rest = &self.below[from..];
        &rest[..rest.partition_point(|pattern| first_token(pattern) == first)]
    }
}

impl<'a> FromIterator<Pattern<'a>> for Patterns {
    fn from_iter<I: IntoIterator<Item = Pattern<'a>>>(patterns: I) -> Self {
        let mut all: Vec<Box<str>> = patterns.into_iter().map(|pattern| pattern.as_str().into()).collect();
        all.sort_unstable_by(|a, b| first_token(a).cmp(first_token(b)).then_with(|| a.cmp(b)));
        all.dedup();
        let (anywhere, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|text| is_wildcard(first_token(text)));
        let (below, mut exact): (Vec<_>, Vec<_>) = rest.into_iter().partition(|text| text.split('.').any(is_wildcard));
        exact.sort_unstable();
        let everything = anywhere.iter().any(|pattern| &**pattern == ">");
        Self { everything, exact: exact.into(), below: below.into(), anywhere: anywhere.into() }
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Whether whatever matches `wanted` also matches `granted`.
fn covers_pattern(granted: &str, wanted: &str) -> bool {
    if is_reserved(wanted) && is_wildcard(first_token(granted)) {
        return false;
    }
    let (mut granted, mut wanted) = (granted.split('.'), wanted.split('.'));
    loop {
        match (granted.next(), wanted.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (_, Some(">")) => return false,
            (Some("*"), Some(_)) => {}
            (Some(grant), Some(want)) if grant == want => {}
            _ => return false,
        }
    }
}

/// Whether a name is one of the broker's own.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with('$')
}

fn first_token(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

fn is_wildcard(token: &str) -> bool {
    matches!(token, "*" | ">")
}

#[cfg(test)]
mod tests;
