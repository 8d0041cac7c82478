//! The steps of each turn, on their way to the journal.

use super::trouble::{Watch, Way};
use crate::store::{Batch, JournalFigures, News};
use answerback_broker::{Broker, Step, StoreNews, Time};
use answerback_process::paced::Paced;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

/// What the data plane knows of the journal.
#[derive(Debug)]
pub(super) struct Steps {
    keeper: SyncSender<Batch>,
    /// Steps for which the channel had no room. The core bounds them, as it bounds what may wait.
    waiting: Vec<Step>,
    /// The number of the last step that the core gave, and of the last one whose fate is known.
    given: u64,
    answered: u64,
    pub(super) watch: Watch,
    pub(super) figures: JournalFigures,
    keeper_gone: Paced<Time>,
}

impl Steps {
    pub(super) fn new(keeper: SyncSender<Batch>, patience: Duration) -> Self {
        Self {
            keeper,
            waiting: Vec::new(),
            given: 0,
            answered: 0,
            watch: Watch::new(Way::Journal, patience),
            figures: JournalFigures::default(),
            keeper_gone: Paced::default(),
        }
    }

    /// Hands over what this turn has brought, and what could not be handed over before. Never waits: if the channel is full,
    /// the keeper is at work and will tell of it, and that begins another turn.
    pub(super) fn hand_over(&mut self, now: Time, broker: &mut Broker) {
        if let Some((upto, mut steps)) = broker.take_steps() {
            self.given = upto;
            if self.waiting.is_empty() {
                self.waiting = steps;
            } else {
                self.waiting.append(&mut steps);
            }
        }
        if self.waiting.is_empty() {
            return;
        }
        let batch = Batch { upto: self.given, steps: std::mem::take(&mut self.waiting) };
        match self.keeper.try_send(batch) {
            Ok(()) => self.watch.begun(now),
            Err(TrySendError::Full(batch)) => self.waiting = batch.steps,
            Err(TrySendError::Disconnected(batch)) => {
                self.waiting = batch.steps;
                self.keeper_is_gone(now);
            }
        }
    }

    /// A keeper that has panicked has said why in the log. Nothing durable can be promised any more.
    fn keeper_is_gone(&mut self, now: Time) {
        if self.keeper_gone.may(now).is_some() {
            self.watch.failed(now, now, "the thread that writes it has ended; restart the server".to_owned());
        }
    }

    /// Takes in what the keeper says, and returns what the core must know of it.
    pub(super) fn hear(&mut self, now: Time, news: News) -> Option<StoreNews> {
        match news {
            News::Written { upto, figures } => {
                (self.answered, self.figures) = (upto, figures);
                self.watch.worked(now, self.is_under_way());
                Some(StoreNews::Written { upto })
            }
            News::NotWritten { upto, error, figures } => {
                (self.answered, self.figures) = (upto, figures);
                self.watch.failed(now, now, error);
                Some(StoreNews::NotWritten { upto })
            }
            News::StillNotWritten { error, figures } => {
                self.figures = figures;
                self.watch.failed(now, now, error);
                None
            }
            News::JournalWorks { figures } => {
                self.figures = figures;
                self.watch.worked(now, self.is_under_way());
                // What had failed was written first, and somebody may wait for that: a request that is about to be delivered.
                Some(StoreNews::Written { upto: self.answered })
            }
            News::Saved(_) | News::NotSaved { .. } => None,
        }
    }

    fn is_under_way(&self) -> bool {
        self.answered < self.given
    }

    /// Steps whose fate is not known yet.
    pub(super) fn open(&self) -> u64 {
        self.given - self.answered
    }

    /// Whether everything that was given is on disk.
    pub(super) fn is_done(&self) -> bool {
        !self.is_under_way() && self.watch.trouble().is_none()
    }
}
