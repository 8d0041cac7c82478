//! What was asked, who has started it, and what was said about it.

use answerback_protocol::{RequestId, SessionId};

/// The number of a request, over all clients and servers.
pub(super) type Token = usize;

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) asked: Vec<Asked>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Send,
    Broadcast,
}

/// A request.
pub(super) struct Asked {
    pub(super) server: usize,
    pub(super) id: RequestId,
    pub(super) action: &'static str,
    pub(super) kind: Kind,
    pub(super) key: Option<u64>,
    pub(super) attempts: Option<u32>,
    pub(super) ttl: Option<u64>,
    pub(super) timeout: Option<u64>,
    pub(super) sent: Option<answerback_broker::Time>,
    pub(super) cancelled: bool,
    /// Its caller waits for the answer.
    pub(super) alive: bool,
    pub(super) starts: Vec<Start>,
    pub(super) told_not_run: bool,
    /// Parts of a broadcast that came: answers, faults, others.
    pub(super) parts: [u64; 3],
    /// Nothing is in its way: a handler must answer it.
    pub(super) must_be_answered: bool,
}

/// A handler has begun to work on it.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) handler: SessionId,
    pub(super) answered: bool,
    /// It was cancelled, or its handler was lost: it says nothing about its key.
    pub(super) is_void: bool,
}

impl Asked {
    pub(super) fn attempts_allowed(&self) -> usize {
        self.attempts.unwrap_or(if self.kind == Kind::Send { 3 } else { 1 }) as usize
    }

    /// What it carries: the same for all that share a key.
    pub(super) fn data(&self, token: Token) -> String {
        match self.key {
            Some(key) => format!("{} key {key}", self.action),
            None => format!("request {token}"),
        }
    }
}
