//! The data plane's half of storing: what it hands to the keepers of journal and snapshots, what it hears from them, what it
//! tells the core of the health of the disk. Nothing here waits.

mod restoring;
mod rounds;
mod steps;
mod trouble;

pub use rounds::RoundCounts;

use crate::store::{Batch, Chunk, JournalFigures, News, Round};
use answerback_broker::{Broker, Input, StoreNews, Time};
use restoring::Restoring;
use rounds::Rounds;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;
use steps::Steps;
use trouble::Trouble;

/// The ends of the channels to the keepers.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) journal: SyncSender<Batch>,
    pub(crate) snapshots: SyncSender<Round>,
    pub(crate) sends: Receiver<Chunk>,
    /// Whether the store told exactly how things were.
    pub(crate) was_clean: bool,
}

/// How the store is, as a copy.
#[derive(Debug, Clone, Default)]
pub struct StoreReport {
    /// Why durable requests are refused, and for how long they have been.
    pub journal_trouble: Option<(Duration, String)>,
    /// Why nothing is saved, and how old the oldest change is that is not on disk.
    pub snapshot_trouble: Option<(Duration, String)>,
    /// How old the oldest change is that no snapshot has.
    pub unsaved: Duration,
    /// Steps that wait for their sync.
    pub steps_waiting: u64,
    /// What the journal counts.
    pub journal: JournalFigures,
    /// What snapshots count.
    pub rounds: RoundCounts,
    /// Sends of the last life that have come in since this one began to serve.
    pub sends_restored: u64,
    /// Whether more of them are coming.
    pub restoring: bool,
    /// Whether all work is over and only the last save is waited for.
    pub saving_last: bool,
}

/// What the core was last told of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Health {
    takes_durable: bool,
    unsaved_since: Option<Time>,
}

/// How the last save went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Saved,
    Lost,
}

/// What the data plane knows of the store.
#[derive(Debug)]
pub(super) struct Storing {
    steps: Steps,
    rounds: Rounds,
    restoring: Restoring,
    patience: Duration,
    told: Health,
    was_clean: bool,
    /// Since when only the last save is waited for.
    leaving_since: Option<Time>,
}

impl Storing {
    pub(super) fn new(links: Links, interval: Duration, patience: Duration, now: Time) -> Self {
        Self {
            steps: Steps::new(links.journal, patience),
            rounds: Rounds::new(links.snapshots, interval, patience),
            restoring: Restoring::new(links.sends, now),
            patience,
            told: Health { takes_durable: true, unsaved_since: None },
            was_clean: links.was_clean,
            leaving_since: None,
        }
    }

    /// Takes in what a keeper says.
    pub(super) fn hear(&mut self, now: Time, news: News, broker: &mut Broker) {
        let told = match news {
            News::Saved(_) | News::NotSaved { .. } => self.rounds.hear(now, news),
            _ => self.steps.hear(now, news),
        };
        // How the disk is comes first: what goes on because of this news should not take a disk that works for one that fails.
        self.tell_health(now, broker);
        if let Some(told) = told {
            broker.handle(now, Input::Store(told));
        }
    }

    /// What is to be done each turn, after everything was decided.
    pub(super) fn turn(&mut self, now: Time, broker: &mut Broker) {
        self.restoring.turn(now, broker);
        // The keeper of snapshots is busy with restoring until that is over.
        if self.restoring.is_over() {
            self.rounds.turn(now, broker);
        }
        self.hand_over(now, broker);
        if self.tell_health(now, broker) {
            self.hand_over(now, broker);
        }
    }

    /// Steps must not wait for something else to happen: whoever gives the core an input after `turn` calls this.
    pub(super) fn hand_over(&mut self, now: Time, broker: &mut Broker) {
        self.steps.hand_over(now, broker);
    }

    /// Tells the core of the disk's health, if that has changed.
    fn tell_health(&mut self, now: Time, broker: &mut Broker) -> bool {
        self.steps.watch.look(now);
        self.rounds.watch.look(now);
        let troubles = [self.steps.watch.trouble(), self.rounds.watch.trouble()];
        let health = Health {
            takes_durable: troubles[0].is_none(),
            unsaved_since: troubles.into_iter().flatten().map(|trouble| trouble.since).min(),
        };
        if health == self.told {
            return false;
        }
        self.told = health;
        let Health { takes_durable, unsaved_since } = health;
        broker.handle(now, Input::Store(StoreNews::Health { takes_durable, unsaved_since }));
        true
    }

    /// The server leaves: nothing more is restored.
    pub(super) fn stop_restoring(&mut self) {
        self.restoring.stop();
    }

    /// Everything has been said to clients. Saves what there is; called each turn until it returns how that went.
    pub(super) fn finish(&mut self, now: Time) -> Option<Last> {
        let since = *self.leaving_since.get_or_insert(now);
        self.rounds.finish(now);
        if self.rounds.last_is_saved() && self.steps.is_done() {
            return Some(Last::Saved);
        }
        // A disk that says nothing may still be writing: a last save may be large. One that fails has had its chances.
        let failed = self.troubles().any(|trouble| trouble.failed);
        if !failed || now < since + self.patience {
            return None;
        }
        self.say_what_is_lost();
        Some(Last::Lost)
    }

    fn say_what_is_lost(&self) {
        if let Some(Trouble { why, .. }) = self.rounds.watch.trouble().filter(|_| !self.rounds.last_is_saved()) {
            let changes = self.rounds.under_way();
            tracing::error!(
                changes,
                why,
                "the last snapshot cannot be saved: what changed since the one before is lost, except for durable requests"
            );
        }
        if let Some(Trouble { why, .. }) = self.steps.watch.trouble() {
            tracing::error!(
                why,
                "the journal cannot be written: no durable request is lost, but some that have been answered may be delivered again"
            );
        }
    }

    fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        [self.steps.watch.trouble(), self.rounds.watch.trouble()].into_iter().flatten()
    }

    /// Whether what is on disk after the last save tells exactly how things were.
    pub(super) fn is_exact(&self) -> bool {
        self.restoring.is_complete() || self.was_clean
    }

    /// Whether the next turn shall come at once.
    pub(super) fn is_busy(&self) -> bool {
        self.restoring.is_busy() || self.rounds.is_busy()
    }

    /// When to look next, if nothing happens before.
    pub(super) fn next(&self) -> Option<Time> {
        let rounds = self.rounds.next();
        let give_up = self.leaving_since.map(|since| since + self.patience);
        let give_up = give_up.filter(|_| self.troubles().any(|trouble| trouble.failed));
        [self.steps.watch.next(), rounds, give_up].into_iter().flatten().min()
    }

    pub(super) fn report(&self, now: Time) -> StoreReport {
        let trouble = |trouble: Option<&Trouble>| trouble.map(|it| (now.since(it.since), it.why.clone()));
        StoreReport {
            journal_trouble: trouble(self.steps.watch.trouble()),
            snapshot_trouble: trouble(self.rounds.watch.trouble()),
            unsaved: self.rounds.unsaved_since().map_or(Duration::ZERO, |since| now.since(since)),
            steps_waiting: self.steps.open(),
            journal: self.steps.figures,
            rounds: self.rounds.counts,
            sends_restored: self.restoring.restored(),
            restoring: !self.restoring.is_over(),
            saving_last: self.leaving_since.is_some(),
        }
    }
}

#[cfg(test)]
mod tests;
