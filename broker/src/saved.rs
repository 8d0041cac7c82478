//! What a store holds of a broker: items that are put, change and go, each under a number of its own.
//!
//! ```text
//!            durable                            everything else
//!   Step: changes that belong together         gather(): what changed since the last snapshot, at one moment
//!     │ take_steps()                              │
//!     ▼                                           ▼
//!   journal, synced before the request counts   snapshot, one atomic batch, now and then
//!     │ StoreNews::Written                        │ StoreNews::Saved
//!     ▼                                           ▼
//!   the request is accepted and delivered       handlers are told that their replies were taken in
//! ```
//!
//! The core never asks where the store is. After a start a store gives back what it holds, in the order of the numbers.

use crate::time::Time;
use answerback_protocol::frames::{CallError, Reply};
use answerback_protocol::{Payload, RequestId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names an item of a store. Later items have greater numbers, over all lives of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

/// Something that a store holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A request that has not ended.
    Request(Box<SavedRequest>),
    /// A reply that its caller has not acknowledged.
    Kept(Box<SavedKept>),
    /// A reply stored under an idempotency key.
    Stored(Box<SavedStored>),
}

/// Who waits for an answer: a session, and the id that it chose. A secret: who knows a session can take it over, unless it has a holder, when this is
/// a keyed hash of both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller {
    /// The session.
    pub session: u128,
    /// Its id for the request.
    pub id: RequestId,
}

/// A request, as a store holds it. Times are the core's own: whoever writes them down writes them as clock times.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedRequest {
    /// Who waits for the answer; nobody for a send.
    pub caller: Option<Caller>,
    /// What its delivery ids are made of.
    pub origin: u64,
    /// The action.
    pub action: Arc<str>,
    /// The caller's name.
    pub from: Arc<str>,
    /// Its idempotency key, in the words of [`is_sound_key`](crate::is_sound_key).
    pub key: Option<Box<str>>,
    /// Its `traceparent`.
    pub trace: Option<Box<str>>,
    /// The data, as the bytes that came.
    pub data: Payload,
    /// When it came.
    pub received: Time,
    /// The end of its ttl.
    pub expires: Time,
    /// The end of its timeout.
    pub deadline: Time,
    /// How many handlers may be given it.
    pub attempts: u16,
    /// Whether its reply shall say where the time went.
    pub info: bool,
    /// Whether it belongs into the journal.
    pub durable: bool,
    /// How far it has come.
    pub progress: Progress,
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many handlers have been given it, the one that has it now included.
    pub attempt: u16,
    /// How many deliveries of it there were.
    pub deliveries: u16,
    /// How many parts of its answer were passed on.
    pub parts: u32,
    /// Whether a handler has it, or is about to get it.
    pub delivered: bool,
    /// Whether a handler that had it was lost.
    pub may_have_run: bool,
    /// The session of the handler that has it, if it is known. A secret like every session.
    pub handler: Option<u128>,
}

/// A reply that its caller has not acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedKept {
    /// Whose it is.
    pub caller: Caller,
    /// The caller's name.
    pub name: Arc<str>,
    /// The head of the reply.
    pub reply: Reply<'static>,
    /// Its data.
    pub data: Payload,
    /// Whether it belongs into the journal.
    pub durable: bool,
}

/// A reply stored under an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedStored {
    /// The action.
    pub action: Arc<str>,
    /// The key, in the words of [`is_sound_key`](crate::is_sound_key).
    pub key: Box<str>,
    /// A keyed hash of the data that it answers.
    pub fingerprint: u128,
    /// When it goes.
    pub until: Time,
    /// The fault, if it is one.
    pub error: Option<Box<CallError<'static>>>,
    /// Its data.
    pub data: Payload,
    /// Whether it belongs into the journal.
    pub durable: bool,
}

/// A change to what a store holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The item is there, or has changed.
    Put(ItemId, Item),
    /// A request has come further. Shorter than putting it again.
    Progress(ItemId, Progress),
    /// The item is not wanted any more.
    Gone(ItemId),
}

impl Change {
    /// What items a store holds after this, for stores in memory and models of stores.
    pub fn apply(self, items: &mut BTreeMap<ItemId, Item>) {
        match self {
            Self::Put(id, item) => drop(items.insert(id, item)),
            Self::Progress(id, progress) => {
                if let Some(Item::Request(request)) = items.get_mut(&id) {
                    request.progress = progress;
                }
            }
            Self::Gone(id) => drop(items.remove(&id)),
        }
    }
}

/// Changes for the journal that are there together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Step(pub Vec<Change>);

/// What a store tells the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreNews {
    /// The steps up to this number are on disk, to stay.
    Written {
        /// The first step is number 1.
        upto: u64,
    },
    /// The requests in steps up to this number that are not on disk will not be: they were taken out of the journal. Other changes in
    /// those steps are still being tried.
    NotWritten {
        /// The number of the last step that was tried.
        upto: u64,
    },
    /// What was gathered last is on disk.
    Saved,
    /// How the store is.
    Health {
        /// Whether durable requests can be taken.
        takes_durable: bool,
        /// Since when nothing could be saved, if something is wrong.
        unsaved_since: Option<Time>,
    },
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempt, deliveries, parts, delivered, may_have_run, handler } = self;
        let handler = handler.map(|_| "[secret]");
        write!(f, "Progress(attempt {attempt}, deliveries {deliveries}, parts {parts}, delivered {delivered}, ")?;
        write!(f, "may_have_run {may_have_run}, handler {handler:?})")
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caller([secret], {})", self.id.get())
    }
}
