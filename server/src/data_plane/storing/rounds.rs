//! Snapshots, round after round: when one is due, its changes are gathered from the core in pieces, a piece each turn, so that no call waits
//! long; then the keeper saves them. There is one round at a time.
//!
//! ```text
//!            something changed, an interval ago            all is gathered
//!   resting ───────────────────────────────────► gathering ───────────────► saving
//!      ▲                                             │ nothing is left           │
//!      └─────────────────────────────────────────────┴───────────────────────────┘
//!                                                             saved
//! ```
//!
//! As long as nothing changes there is no round, and nothing wakes the data plane for one.

use super::trouble::{Watch, Way};
use crate::store::{News, Round, RoundFigures};
use answerback_broker::{Broker, Change, Input, StoreNews, Time};
use answerback_process::paced::Paced;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Changes gathered in one turn: about a quarter of a millisecond of work, beside which a call is not noticed to wait.
const GATHERED_PER_TURN: usize = 1_000;

#[derive(Debug)]
enum Stage {
    Resting,
    Gathering { changes: Vec<Change>, since: Time, begun: Time, last: bool },
    Saving { since: Time, begun: Time, count: usize, last: bool },
}

/// What happened in rounds so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundCounts {
    /// Rounds saved.
    pub rounds: u64,
    /// Changes saved in them.
    pub changes: u64,
    /// Items in the last one.
    pub items: u64,
    /// Times that saving has failed.
    pub failures: u64,
    /// Time that the rounds took, from the first change gathered until they were on disk.
    pub took: Duration,
    /// The same for the last round.
    pub last_took: Duration,
}

/// What the data plane knows of snapshots.
#[derive(Debug)]
pub(super) struct Rounds {
    keeper: SyncSender<Round>,
    /// No time at all: only a last round is made.
    interval: Duration,
    stage: Stage,
    /// Since when something has changed that is in no round.
    changed_since: Option<Time>,
    /// Whether the last round was made and saved.
    last_is_saved: bool,
    pub(super) watch: Watch,
    pub(super) counts: RoundCounts,
    slow: Paced<Time>,
}

impl Rounds {
    pub(super) fn new(keeper: SyncSender<Round>, interval: Duration, patience: Duration) -> Self {
        Self {
            keeper,
            interval,
            stage: Stage::Resting,
            changed_since: None,
            last_is_saved: false,
            watch: Watch::new(Way::Snapshots, patience),
            counts: RoundCounts::default(),
            slow: Paced::default(),
        }
    }

    /// Begins a round if one is due, and gathers a piece.
    pub(super) fn turn(&mut self, now: Time, broker: &mut Broker) {
        if self.changed_since.is_none() && broker.has_changes() {
            self.changed_since = Some(now);
        }
        if self.due().is_some_and(|due| due <= now) {
            self.begin(now, false);
        }
        self.gather(now, broker);
    }

    /// Makes the last round, with everything in it, once what is under way is done.
    pub(super) fn finish(&mut self, now: Time) {
        if matches!(self.stage, Stage::Resting) && !self.last_is_saved {
            self.begin(now, true);
        }
    }

    fn begin(&mut self, now: Time, last: bool) {
        let since = self.changed_since.take().unwrap_or(now);
        self.stage = Stage::Gathering { changes: Vec::new(), since, begun: now, last };
    }

    fn gather(&mut self, now: Time, broker: &mut Broker) {
        let Stage::Gathering { changes, since, begun, last } = &mut self.stage else { return };
        if !broker.gather(GATHERED_PER_TURN, *last, changes) {
            return;
        }
        let (changes, since, begun, last) = (std::mem::take(changes), *since, *begun, *last);
        if changes.is_empty() {
            // What came has gone again. That is as good as saved.
            broker.handle(now, Input::Store(StoreNews::Saved));
            self.rest(last);
            return;
        }
        self.stage = Stage::Saving { since, begun, count: changes.len(), last };
        self.watch.begun(now);
        if self.keeper.try_send(Round { changes, last }).is_err() {
            // There is room for one, and there is one at a time: so its keeper is gone, and has said why in the log.
            self.watch.failed(now, since, "the thread that saves has ended; restart the server".to_owned());
        }
    }

    fn rest(&mut self, last: bool) {
        self.stage = Stage::Resting;
        self.last_is_saved |= last;
    }

    /// Takes in what the keeper says, and returns what the core must know of it.
    pub(super) fn hear(&mut self, now: Time, news: News) -> Option<StoreNews> {
        let Stage::Saving { since, begun, last, .. } = self.stage else { return None };
        match news {
            News::Saved(figures) => {
                self.count(now.since(begun), figures, now);
                self.watch.worked(now, false);
                self.rest(last);
                Some(StoreNews::Saved)
            }
            News::NotSaved { error } => {
                self.counts.failures += 1;
                self.watch.failed(now, since, error);
                None
            }
            _ => None,
        }
    }

    fn count(&mut self, took: Duration, RoundFigures { changes, items, took: disk }: RoundFigures, now: Time) {
        let counts = &mut self.counts;
        (counts.rounds, counts.changes, counts.items) = (counts.rounds + 1, counts.changes + changes, items);
        (counts.took, counts.last_took) = (counts.took + took, took);
        let too_long = !self.interval.is_zero() && took > self.interval;
        if too_long && let Some(also) = self.slow.may(now) {
            let (took_ms, disk_ms) = (took.as_millis() as u64, disk.as_millis() as u64);
            tracing::warn!(changes, took_ms, disk_ms, also, "a snapshot took longer than --snapshot-interval");
        }
    }

    /// When the next round begins, if it is clear that there will be one.
    fn due(&self) -> Option<Time> {
        let resting = matches!(self.stage, Stage::Resting) && !self.interval.is_zero();
        self.changed_since.filter(|_| resting).map(|since| since + self.interval)
    }

    pub(super) fn next(&self) -> Option<Time> {
        [self.due(), self.watch.next()].into_iter().flatten().min()
    }

    /// Whether the next turn shall come at once.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Gathering { .. })
    }

    pub(super) fn last_is_saved(&self) -> bool {
        self.last_is_saved
    }

    /// Since when something has changed that is not on disk.
    pub(super) fn unsaved_since(&self) -> Option<Time> {
        match self.stage {
            Stage::Gathering { since, .. } | Stage::Saving { since, .. } => Some(since),
            Stage::Resting => self.changed_since,
        }
    }

    /// Changes in the round that the keeper has.
    pub(super) fn under_way(&self) -> usize {
        match &self.stage {
            Stage::Resting => 0,
            Stage::Gathering { changes, .. } => changes.len(),
            Stage::Saving { count, .. } => *count,
        }
    }
}
