//! What the next snapshot has to tell: only what changed since the last one and is still there. A call that came and went in
//! between leaves nothing here but a key that names nobody any more.
//!
//! ```text
//!  changes ──► lists ── gather, a piece at a time ──► batch ── one moment in which the lists are empty ──► complete
//!                 ▲                                                        │
//!                 └── what changes while it is gathered comes again        └── what went since is told last
//! ```
//!
//! A batch is true at the moment in which it is completed: what was gathered before and has changed since is in it again, and
//! what has gone is told at its end.

use crate::broker::Broker;
use crate::kept::Place;
use crate::receipts::Receipt;
use crate::request::{Owner, Request, State};
use crate::saved::{Change, Item, ItemId};
use crate::session::Session;
use crate::tables::Key;
use std::collections::{BTreeSet, VecDeque};

/// Lists of what may have to be told.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// Requests that came or changed. Those that have ended meanwhile are passed over.
    requests: VecDeque<Key<Request>>,
    /// Sessions that are away and had a reply kept.
    sessions: BTreeSet<Key<Session>>,
    /// Items of the last snapshots that have gone.
    pub(crate) gone: Vec<ItemId>,
    /// Replies that their handlers may forget when the snapshot that is gathered next is on disk …
    pub(crate) receipts: Vec<Receipt>,
    /// … and when the one that is being written is.
    being_written: Vec<Receipt>,
}

/// Keys looked at for each change that a piece may have: most name calls that have come and gone.
const LOOKED_AT_FOR_EACH: usize = 8;

impl Snapshot {
    /// A session is away: what is kept for it belongs into the next snapshot.
    pub(crate) fn away(&mut self, session: Key<Session>) {
        self.sessions.insert(session);
    }

    /// A session has ended, and nothing is kept for it.
    pub(crate) fn ended(&mut self, session: Key<Session>) {
        self.sessions.remove(&session);
    }
}

impl Broker {
    /// Whether there is something to gather.
    pub fn has_changes(&self) -> bool {
        self.settings.has_store && !(self.is_gathered() && self.snapshot.gone.is_empty())
    }

    /// Whether all that is there and changed is in the batch.
    fn is_gathered(&self) -> bool {
        self.snapshot.requests.is_empty() && self.snapshot.sessions.is_empty() && !self.keys.has_unsaved()
    }

    /// A piece of what changed since the last snapshot: at most about `most` changes. True when the batch is complete; then
    /// nothing more is gathered until it is on disk and [`StoreNews::Saved`](crate::StoreNews::Saved) was said.
    ///
    /// With `last` it has everything, also what only matters when this broker does not go on.
    pub fn gather(&mut self, most: usize, last: bool, into: &mut Vec<Change>) -> bool {
        let end = into.len().saturating_add(most);
        self.gather_requests(end, into);
        self.gather_stored(end, into);
        if last {
            let everybody = self.sessions.iter().map(|(key, _)| key);
            self.snapshot.sessions.extend(everybody);
        }
        self.gather_kept(end, last, into);
        let complete = self.is_gathered();
        if complete {
            let snapshot = &mut self.snapshot;
            into.extend(snapshot.gone.drain(..).map(Change::Gone));
            snapshot.gone.shrink_to(GONE_KEPT);
            snapshot.being_written.append(&mut snapshot.receipts);
        }
        complete
    }

    /// A new or changed request is looked at by the next snapshot.
    pub(crate) fn list_for_snapshot(&mut self, key: Key<Request>) {
        if !self.settings.has_store {
            return;
        }
        let Some(request) = self.requests.get_mut(key) else { return };
        if std::mem::replace(&mut request.keeping.listed, true) {
            return;
        }
        self.snapshot.requests.push_back(key);
        // Keys of calls that have ended are swept out when they are the most: so the list never grows beyond what is there.
        if self.snapshot.requests.len() > 2 * self.requests.len() + SWEEP_FROM {
            let requests = &self.requests;
            self.snapshot.requests.retain(|&key| requests.get(key).is_some());
        }
    }

    fn gather_requests(&mut self, end: usize, into: &mut Vec<Change>) {
        let mut looks = end.saturating_sub(into.len()).saturating_mul(LOOKED_AT_FOR_EACH);
        while into.len() < end && looks > 0 {
            looks -= 1;
            let Some(key) = self.snapshot.requests.pop_front() else { return };
            let Some(request) = self.requests.get_mut(key) else { continue };
            request.keeping.listed = false;
            if request.keeping.durable {
                continue;
            }
            request.keeping.saved = true;
            let item = ItemId(request.item);
            let progress = self.requests.get(key).map(|request| self.progress_of(request));
            let saved = progress.and_then(|progress| self.saved_request(key, progress));
            into.extend(saved.map(|saved| Change::Put(item, Item::Request(Box::new(saved)))));
        }
    }

    fn gather_kept(&mut self, end: usize, last: bool, into: &mut Vec<Change>) {
        while into.len() < end {
            let Some(key) = self.snapshot.sessions.pop_first() else { return };
            let Some(session) = self.sessions.get_mut(key).filter(|session| last || session.connection.is_none())
            else {
                continue;
            };
            let mut first = self.next_item;
            let mut fresh = Vec::new();
            for kept in session.kept.unsaved() {
                let item = ItemId(first);
                first += 1;
                self.snapshot.receipts.extend(kept.saved_as(Place::Snapshot(item)));
                fresh.push((item, kept.parts()));
            }
            self.next_item = first;
            for (item, (reply, data)) in fresh {
                let saved = self.saved_reply(key, &reply, &data);
                into.extend(saved.map(|saved| Change::Put(item, Item::Kept(Box::new(saved)))));
            }
        }
    }

    pub(crate) fn snapshot_saved(&mut self) {
        for receipt in std::mem::take(&mut self.snapshot.being_written) {
            self.let_go(receipt);
        }
    }
}

/// Room for items that have gone, kept between snapshots.
const GONE_KEPT: usize = 1 << 16;

/// So many keys may stand in the list whatever they name.
const SWEEP_FROM: usize = 1 << 10;

/// Not broadcasts and what only waits for another one: their callers announce them again.
pub(crate) fn belongs_into_store(request: &Request) -> bool {
    let is_whole = !matches!(request.owner, Owner::Broadcast { .. });
    // What another server passed on it announces again.
    is_whole && request.path().is_empty() && !matches!(request.state, State::Joined { .. } | State::Gathering)
}
