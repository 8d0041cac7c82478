//! A store for scripts: what is on disk, and what was only handed over.

use answerback_broker::{Broker, Change, Item, ItemId, Step};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) journal: BTreeMap<ItemId, Item>,
    pub(crate) snapshot: BTreeMap<ItemId, Item>,
    pub(crate) last_step: u64,
}

impl Shelf {
    /// Everything on disk, in the order of the numbers.
    pub(crate) fn items(&self) -> Vec<(ItemId, Item)> {
        let mut all: Vec<_> = self.journal.iter().chain(&self.snapshot).map(|(&id, item)| (id, item.clone())).collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// Writes the steps that the broker wants written. The number of the last one.
    pub(crate) fn write(&mut self, broker: &mut Broker) -> u64 {
        for change in self.steps(broker).into_iter().flat_map(|Step(changes)| changes) {
            change.apply(&mut self.journal);
        }
        self.last_step
    }

    /// Does not write the requests among them.
    pub(crate) fn refuse(&mut self, broker: &mut Broker) -> u64 {
        for change in self.steps(broker).into_iter().flat_map(|Step(changes)| changes) {
            if !matches!(change, Change::Put(_, Item::Request(_))) {
                change.apply(&mut self.journal);
            }
        }
        self.last_step
    }

    fn steps(&mut self, broker: &mut Broker) -> Vec<Step> {
        let Some((last, steps)) = broker.take_steps() else { return Vec::new() };
        assert_eq!(last, self.last_step + steps.len() as u64, "steps are numbered without a gap");
        self.last_step = last;
        steps
    }

    /// Makes a snapshot, a small piece at a time.
    pub(crate) fn save(&mut self, broker: &mut Broker, last: bool) {
        let mut batch = Vec::new();
        while !broker.gather(2, last, &mut batch) {}
        assert!(!broker.has_changes());
        for change in batch {
            change.apply(&mut self.snapshot);
        }
    }
}
