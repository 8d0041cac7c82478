//! The server dies or leaves in good order, and is started again on what its store holds.

use crate::agenda::Event;
use crate::ledger::hold;
use crate::network::Way;
use crate::store::{Round, Store};
use crate::world::World;
use answerback_broker::{Broker, Input, Item, ItemId, Recovery, StoreNews};
use std::time::Duration;

impl World {
    pub(crate) fn next_misfortune(&mut self) {
        let Some(habits) = self.scenario.store.clone().filter(|habits| habits.restart_ms > 0 && !self.calm) else {
            return;
        };
        let after = self.around(habits.restart_ms);
        self.agenda.add(self.now + after, Event::Misfortune);
    }

    /// Something happens to the server.
    pub(crate) fn misfortune(&mut self) {
        let Some(habits) = self.scenario.store.clone().filter(|_| !self.calm) else { return };
        if !self.down {
            if self.border.drain_until.is_none() && self.random.chance(habits.clean) {
                let within = Duration::from_millis(self.random.between(0, 2_000));
                self.drain_within(within);
            } else {
                self.crash();
            }
        }
        self.next_misfortune();
    }

    /// The process is killed at this moment.
    fn crash(&mut self) {
        self.trace.count("store", "crash");
        self.trace.line(self.now, || "the server is killed".to_owned());
        if let Some(store) = &mut self.store {
            store.crash(&mut self.random);
        }
        self.look_at_disk();
        for link in 0..self.network.links.len() {
            if self.network.links[link].broker_open {
                self.network.cut(link, self.now, &mut self.random, &mut self.agenda);
                self.network.links[link].broker_open = false;
            }
        }
        self.end_life(false);
        let deaths = self.scenario.store.as_ref().map_or(0, |habits| habits.deaths);
        for client in 0..self.clients.len() {
            if !self.clients[client].is_dead() && self.random.chance(deaths) {
                self.die(client);
            }
        }
    }

    /// The drain is over: all is saved, and the process ends.
    pub(crate) fn stop(&mut self, life: u32) {
        if life != self.life || self.down {
            return;
        }
        if self.store.as_ref().is_none_or(|store| store.failing) {
            return self.crash();
        }
        self.trace.count("store", "clean stop");
        self.save_everything();
        for link in 0..self.network.links.len() {
            if self.network.links[link].broker_open {
                self.network.end(link, Way::Down, self.now, &mut self.random, &mut self.agenda);
                self.network.links[link].broker_open = false;
            }
        }
        self.end_life(true);
    }

    fn save_everything(&mut self) {
        if self.store.as_ref().is_some_and(|store| store.round == Round::Saving) {
            self.store.iter_mut().for_each(Store::saved);
            self.broker.handle(self.now, Input::Store(StoreNews::Saved));
            self.take_outputs();
            self.flush();
        }
        let Some(store) = &mut self.store else { return };
        while !self.broker.gather(3, true, &mut store.batch) {}
        self.note_what_is_gathered();
        let Some(store) = &mut self.store else { return };
        store.saved();
        if let Some((last, steps)) = self.broker.take_steps() {
            store.take(last, steps);
        }
        store.synced(u64::MAX);
        self.trace.line(self.now, || "the server has saved everything and stops".to_owned());
        self.look_at_disk();
        self.look_at_snapshot();
    }

    fn end_life(&mut self, clean: bool) {
        if let Some(store) = &mut self.store {
            store.forget();
        }
        self.down = true;
        self.alarm = None;
        self.outboxes.clear();
        self.remember_starts(clean);
        self.border.end_life(&mut self.ledger);
        let after = self.around(150);
        self.agenda.add(self.now + after, Event::Start { clean });
    }

    /// The server is started again.
    pub(crate) fn start(&mut self, clean: bool) {
        let Some(store) = &self.store else { return };
        self.life += 1;
        self.down = false;
        let mut settings = self.scenario.settings.clone();
        settings.secrets.tables = self.random.bits();
        settings.first_item = store.next_item();
        let [first, sends] = store.found();
        self.trace.line(self.now, || {
            format!("the server starts, clean: {clean}, with {} items and {} sends", first.len(), sends.len())
        });
        self.broker = Broker::new(settings);
        self.broker.recover(self.now, Recovery { clean });
        self.border.begin_life(&mut self.ledger, self.now);
        first.into_iter().for_each(|(id, item)| self.restore(id, item));
        self.still_to_come = sends.into();
        let streams = self.scenario.store.as_ref().is_some_and(|habits| habits.streams);
        self.stream(self.life, if streams { 0 } else { usize::MAX });
        let after = self.around(20);
        self.agenda.add(self.now + after, Event::Round { life: self.life });
    }

    /// Some of the sends that the snapshot holds are given to the broker, while clients come already.
    pub(crate) fn stream(&mut self, life: u32, most: usize) {
        if life != self.life || self.down {
            return;
        }
        for _ in 0..most.min(self.still_to_come.len()) {
            let Some((id, item)) = self.still_to_come.pop_front() else { break };
            self.trace.count("store", "restored");
            self.restore(id, item);
        }
        self.take_outputs();
        if !self.still_to_come.is_empty() {
            let after = self.around(10);
            self.agenda.add(self.now + after, Event::Stream { life });
        }
    }

    fn restore(&mut self, id: ItemId, item: Item) {
        self.trace.line(self.now, || format!("restored {id:?}: {item:?}"));
        if let Item::Request(saved) = &item {
            let token = self.ledger.identify(saved.trace.as_deref(), &saved.data);
            hold!(!self.gone.contains(&token), "request {token} had ended on disk, and comes back");
            self.border.restored_bytes += saved.data.len() + 1_024;
        }
        self.broker.restore(self.now, id, item);
    }
}
