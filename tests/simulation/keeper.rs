//! What a server does with its store: it hands steps over at the end of each turn, makes a snapshot now and then, and tells
//! the broker what has come to the disk. All of it takes time, and now and then the disk fails for a while.

use crate::agenda::Event;
use crate::ledger::hold;
use crate::store::Round;
use crate::world::World;
use answerback_broker::{Input, StoreNews};
use std::time::Duration;

/// The pause between two pieces of a snapshot, in microseconds.
const PIECE_US: u64 = 300;

impl World {
    /// The end of a turn: steps go to the journal.
    pub(crate) fn hand_steps_over(&mut self) {
        if self.down {
            return;
        }
        let Some(steps) = self.broker.take_steps() else { return };
        let Some(store) = &mut self.store else { panic!("broken: steps for the journal of a broker without a store") };
        self.trace.line(self.now, || format!("steps up to {}: {:?}", steps.0, steps.1));
        store.take(steps.0, steps.1);
        self.begin_sync();
    }

    fn begin_sync(&mut self) {
        let Some(habits) = self.scenario.store.clone() else { return };
        let Some(store) = &mut self.store else { return };
        let Some(upto) = store.to_sync() else { return };
        store.syncing = Some(upto);
        let after = Duration::from_micros(self.random.between(1, habits.sync_us));
        self.agenda.add(self.now + after, Event::Synced { life: self.life, upto });
    }

    /// A sync has come to its end, well or badly.
    pub(crate) fn synced(&mut self, life: u32, upto: u64) {
        if life != self.life || self.down {
            return;
        }
        let Some(store) = &mut self.store else { return };
        if store.failing {
            store.refused(upto);
            self.trace.count("store", "not written");
            self.trace.line(self.now, || format!("steps up to {upto} could not be written"));
            self.tell_health(false);
            self.border.disk_failed = Some(self.now);
            return self.tell_store(StoreNews::NotWritten { upto });
        }
        store.synced(upto);
        self.trace.count("store", "written");
        self.trace.line(self.now, || format!("steps up to {upto} are on disk"));
        self.look_at_disk();
        self.tell_store(StoreNews::Written { upto });
        self.begin_sync();
    }

    fn tell_store(&mut self, news: StoreNews) {
        self.broker.handle(self.now, Input::Store(news));
        self.take_outputs();
    }

    fn tell_health(&mut self, takes_durable: bool) {
        let unsaved_since = (!takes_durable).then_some(self.now);
        self.tell_store(StoreNews::Health { takes_durable, unsaved_since });
    }

    /// Time for a snapshot.
    pub(crate) fn begin_round(&mut self, life: u32) {
        let Some(habits) = self.scenario.store.clone().filter(|_| life == self.life) else { return };
        let after = self.around(habits.round_ms);
        self.agenda.add(self.now + after, Event::Round { life });
        let Some(store) = self.store.as_mut().filter(|store| store.round == Round::Idle) else { return };
        if !self.down && self.broker.has_changes() {
            store.round = Round::Gathering;
            self.gather(life);
        }
    }

    /// The next piece of a snapshot.
    pub(crate) fn gather(&mut self, life: u32) {
        let Some(habits) = self.scenario.store.clone().filter(|_| life == self.life && !self.down) else { return };
        let Some(store) = self.store.as_mut().filter(|store| store.round == Round::Gathering) else { return };
        if !self.broker.gather(habits.piece, false, &mut store.batch) {
            self.trace.count("store", "piece");
            let after = Duration::from_micros(self.random.between(1, PIECE_US));
            return self.agenda.add(self.now + after, Event::Piece { life });
        }
        store.round = Round::Saving;
        let batch = &store.batch;
        self.trace.line(self.now, || format!("gathered: {batch:?}"));
        hold!(!self.broker.has_changes(), "all was gathered, and there are changes");
        self.note_what_is_gathered();
        let after = self.around(habits.save_ms);
        self.agenda.add(self.now + after, Event::Saved { life });
    }

    /// A snapshot is on disk, unless the disk fails: then it is tried again.
    pub(crate) fn saved(&mut self, life: u32) {
        if life != self.life || self.down {
            return;
        }
        let Some(store) = self.store.as_mut().filter(|store| store.round == Round::Saving) else { return };
        if store.failing {
            let after = self.around(50);
            return self.agenda.add(self.now + after, Event::Saved { life });
        }
        store.saved();
        self.trace.count("store", "saved");
        self.trace.line(self.now, || "the snapshot is on disk".to_owned());
        self.look_at_snapshot();
        self.tell_store(StoreNews::Saved);
    }

    /// The disk fails for a while.
    pub(crate) fn disk_fails(&mut self) {
        let Some(habits) = self.scenario.store.clone().filter(|_| !self.calm) else { return };
        let Some(store) = &mut self.store else { return };
        store.failing = true;
        self.trace.count("store", "failing");
        self.trace.line(self.now, || "the disk fails".to_owned());
        let (works, again) = (self.around(300), self.around(habits.fail_ms));
        self.agenda.add(self.now + works, Event::DiskWorks);
        self.agenda.add(self.now + works + again, Event::DiskFails);
    }

    /// The disk works again: what could not be written is tried once more.
    pub(crate) fn disk_works(&mut self) {
        let Some(store) = &mut self.store else { return };
        store.failing = false;
        self.trace.line(self.now, || "the disk works".to_owned());
        if self.down {
            return;
        }
        self.tell_health(true);
        self.begin_sync();
    }
}
