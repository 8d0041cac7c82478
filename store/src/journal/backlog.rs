//! Changes that must not be forgotten although the disk does not take them now. The newest state of each item is kept, so that the backlog is
//! never larger than what the journal holds and the replies that have come since. It is written as one frame: steps that belong together stay
//! together.

use super::format::{put_gone, put_progressed, put_put};
use super::index::Index;
use crate::{Calendar, codec};
use answerback_broker::{Change, Item, ItemId, Progress, Step};
use std::collections::BTreeMap;

/// Bytes of replies that may wait for the disk. The core bounds what it keeps; this is for the day on which that bound is set high: a
/// server that cannot write must not run out of memory as well.
const REPLY_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    changes: BTreeMap<ItemId, Waiting>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    put: Option<Vec<u8>>,
    progress: Option<Progress>,
    gone: bool,
}

/// What of a step could not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dropped {
    pub(crate) requests: usize,
    pub(crate) replies: usize,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes in a step of a commit that failed, all but its new requests. With `in_doubt`, some of it may be on disk all the same: new requests
    /// are ended there too.
    pub(crate) fn take(&mut self, step: Step, index: &Index, calendar: &Calendar, in_doubt: bool) -> Dropped {
        let mut dropped = Dropped::default();
        for change in step.0 {
            match change {
                Change::Put(id, item) => self.put(id, &item, index, calendar, in_doubt, &mut dropped),
                Change::Progress(id, progress) => {
                    let waits = self.changes.get(&id);
                    if waits.map_or(index.has(id), |waiting| !waiting.gone) {
                        self.changes.entry(id).or_default().progress = Some(progress);
                    }
                }
                Change::Gone(id) if index.has(id) || in_doubt => self.gone(id),
                Change::Gone(id) => self.forget(id),
            }
        }
        dropped
    }

    fn put(
        &mut self,
        id: ItemId,
        item: &Item,
        index: &Index,
        calendar: &Calendar,
        in_doubt: bool,
        dropped: &mut Dropped,
    ) {
        let waits = self.changes.get(&id);
        let known = waits.map_or(index.has(id), |waits| waits.put.is_some() || !waits.gone && index.has(id));
        if matches!(item, Item::Request(_)) && !known {
            dropped.requests += 1;
            if in_doubt {
                self.gone(id);
            }
            return;
        }
        let mut bytes = Vec::new();
        codec::encode(item, calendar, &mut bytes);
        if self.bytes + bytes.len() > REPLY_BYTES_MAX {
            dropped.replies += 1;
            return;
        }
        self.forget(id);
        self.bytes += bytes.len();
        self.changes.insert(id, Waiting { put: Some(bytes), ..Waiting::default() });
    }

    fn gone(&mut self, id: ItemId) {
        self.forget(id);
        self.changes.insert(id, Waiting { gone: true, ..Waiting::default() });
    }

    fn forget(&mut self, id: ItemId) {
        let bytes = self.changes.remove(&id).and_then(|waiting| waiting.put).map_or(0, |put| put.len());
        self.bytes -= bytes;
    }

    /// Appends all changes, and tells of each.
    pub(crate) fn write(&self, out: &mut Vec<u8>, mut each: impl FnMut(ItemId, Said)) {
        for (id, waiting) in &self.changes {
            if let Some(put) = &waiting.put {
                put_put(*id, out, |out| out.extend_from_slice(put));
                each(*id, Said::Put { bytes: put.len() });
            }
            if let Some(progress) = &waiting.progress {
                put_progressed(*id, progress, out);
                each(*id, Said::Progress(*progress));
            }
            if waiting.gone {
                put_gone(*id, out);
                each(*id, Said::Gone);
            }
        }
    }
}

/// A change that was written, as the index needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said {
    Put { bytes: usize },
    Progress(Progress),
    Gone,
}
