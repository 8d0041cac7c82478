//! Snapshots in memory, with faults, for tests.

use super::{Part, Renewal, SaveReport, Snapshots};
use crate::disk::GateWay;
use crate::{Calendar, Finding, FindingKind, Gate, codec};
use answerback_broker::{Change, Item, ItemId};
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What outlives the server in a test: hand it to the next one. Clones are the same shelf.
#[derive(Debug, Clone, Default)]
pub struct MemoryShelf(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    saves: GateWay,
}

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<u64, Vec<u8>>,
    next_item: u64,
    saves: u64,
    fail: bool,
    crash: Option<(u64, u64)>,
    crashed: bool,
}

impl MemoryShelf {
    /// Whether saves fail from now on.
    pub fn fail_saves(&self, fail: bool) {
        self.lock().fail = fail;
    }

    /// From the n-th save on, counted from 1, nothing succeeds any more; that save is there if the seed is odd.
    pub fn crash_at_save(&self, nth: u64, seed: u64) {
        self.lock().crash = Some((nth, seed));
    }

    /// From now on saves wait until the gate is dropped.
    pub fn hold_saves(&self) -> Gate {
        self.0.saves.shut()
    }

    /// Another shelf, as this one is found after the crash, free of faults.
    pub fn after_crash(&self) -> Self {
        let state = self.lock();
        let found = State { items: state.items.clone(), next_item: state.next_item, ..State::default() };
        Self(Arc::new(Shared { state: Mutex::new(found), ..Shared::default() }))
    }

    /// How many items are there.
    pub fn items(&self) -> u64 {
        self.lock().items.len() as u64
    }

    /// How many saves succeeded.
    pub fn saves(&self) -> u64 {
        self.lock().saves
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Snapshots in memory.
#[derive(Debug)]
pub struct MemorySnapshots {
    shelf: MemoryShelf,
    calendar: Calendar,
}

impl MemorySnapshots {
    /// Snapshots on this shelf.
    pub fn new(shelf: MemoryShelf, calendar: Calendar) -> Self {
        Self { shelf, calendar }
    }
}

impl Snapshots for MemorySnapshots {
    fn load(&mut self, part: Part, each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>) -> io::Result<Vec<Finding>> {
        // A copy, because whoever gets the items may save in between.
        let items = self.shelf.lock().items.clone();
        let mut unreadable = 0;
        for (id, bytes) in items {
            let Ok(item) = codec::decode(&bytes, &self.calendar) else {
                unreadable += 1;
                continue;
            };
            if part.has(&item) && each(ItemId(id), item).is_break() {
                break;
            }
        }
        let kind = FindingKind::UnreadableItems { items: unreadable };
        Ok(if unreadable > 0 { vec![Finding::new(kind, "memory")] } else { Vec::new() })
    }

    fn save(&mut self, changes: &[Change]) -> io::Result<SaveReport> {
        self.shelf.0.saves.pass();
        let mut state = self.shelf.lock();
        let crash = match &mut state.crash {
            Some((nth, seed)) => {
                *nth = nth.saturating_sub(1);
                Some(*seed).filter(|_| *nth == 0)
            }
            None => None,
        };
        if state.crashed || state.fail {
            return Err(io::Error::other("input/output error"));
        }
        state.crashed = crash.is_some();
        if crash.is_some_and(|seed| seed % 2 == 0) {
            return Err(io::Error::other("the power is gone"));
        }
        let report = state.apply(changes, &self.calendar);
        if state.crashed { Err(io::Error::other("the power is gone")) } else { Ok(report) }
    }

    fn renew(&mut self) -> io::Result<Option<Renewal>> {
        Ok(None)
    }

    fn next_item(&self) -> u64 {
        self.shelf.lock().next_item
    }
}

impl State {
    fn apply(&mut self, changes: &[Change], calendar: &Calendar) -> SaveReport {
        let mut report = SaveReport::default();
        for change in changes {
            match change {
                Change::Put(id, item) => {
                    let mut bytes = Vec::new();
                    codec::encode(item, calendar, &mut bytes);
                    self.items.insert(id.0, bytes);
                    self.next_item = self.next_item.max(id.0.saturating_add(1));
                    report.put += 1;
                }
                Change::Progress(id, progress) => {
                    if let Some(bytes) = self.items.get_mut(&id.0)
                        && let Ok(Item::Request(mut request)) = codec::decode(bytes, calendar)
                    {
                        request.progress = *progress;
                        bytes.clear();
                        codec::encode(&Item::Request(request), calendar, bytes);
                        report.put += 1;
                    }
                }
                Change::Gone(id) => report.removed += u64::from(self.items.remove(&id.0).is_some()),
            }
        }
        self.saves += 1;
        report.items = self.items.len() as u64;
        report
    }
}
