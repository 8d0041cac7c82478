//! The thread that writes the journal. It takes all batches that are there and syncs once for them: one request that waits
//! is on disk at once, and a hundred that came meanwhile share the next sync.
//!
//! ```text
//!             a batch came                     it failed
//!  waiting ────────────────► commit ─────────────────────────► pausing
//!     ▲                        │ │                               │ the pause is over, or a batch came
//!     └────────────────────────┘ └───────────────────────────────┘ with a step in it for which somebody waits
//!           it worked                  commit, which writes first what is left
//! ```
//!
//! A step for which nobody waits, such as the end of a request that was answered, stays a moment for company: the caller's next request is likely
//! to come within it, and would otherwise wait for two syncs.

use super::pause::Pause;
use super::recovery::log_finding;
use super::{Batch, JournalFigures, News};
use answerback_broker::{Change, Item, Step};
use answerback_store::{Commit, Failed, Journal};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What the keeper needs of a journal.
pub(crate) trait Journals: Send + 'static {
    /// Writes what an earlier failure has left, and these steps, and syncs. If it fails, the requests in these steps will
    /// not be there, and everything else is left for the next time.
    fn commit(&mut self, steps: &mut Vec<Step>) -> Result<(), String>;

    /// Its counters.
    fn figures(&self) -> JournalFigures;
}

/// How long steps for which nobody waits stay for company. Longer than a client takes from an answer to its next request, and no longer than a
/// sync of a slow disk.
pub(crate) const COMPANY_WITHIN: Duration = Duration::from_millis(5);

/// Keeps the journal until the other end of `batches` is gone.
pub(crate) fn keep(
    journal: &mut impl Journals,
    batches: &Receiver<Batch>,
    company_within: Duration,
    mut tell: impl FnMut(News),
) {
    let mut keeper = Keeper { company_within, ..Keeper::default() };
    loop {
        let end = keeper.wait(batches);
        if end && keeper.steps.is_empty() {
            return;
        }
        if end || keeper.may_try() {
            tell(keeper.commit(journal));
        }
        if end {
            return;
        }
    }
}

#[derive(Default)]
struct Keeper {
    steps: Vec<Step>,
    /// Whether somebody waits for one of them.
    urgent: bool,
    company_within: Duration,
    /// The number of the last step that was handed over, if the data plane was not yet told what became of it.
    upto: Option<u64>,
    /// While something has failed.
    pause: Pause,
}

impl Keeper {
    /// Takes what there is, and waits for it if there is nothing. Returns whether there will be nothing more.
    fn wait(&mut self, batches: &Receiver<Batch>) -> bool {
        let first = match self.pause.left() {
            None => batches.recv().map_err(RecvTimeoutError::from),
            Some(left) => batches.recv_timeout(left),
        };
        match first {
            Ok(batch) => self.take(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return true,
        }
        while let Ok(batch) = batches.try_recv() {
            self.take(batch);
        }
        self.wait_for_company(batches)
    }

    fn wait_for_company(&mut self, batches: &Receiver<Batch>) -> bool {
        let until = Instant::now() + self.company_within;
        while !self.urgent && !self.steps.is_empty() && self.pause.left().is_none() {
            match batches.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(batch) => self.take(batch),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
        false
    }

    fn take(&mut self, mut batch: Batch) {
        self.upto = Some(batch.upto);
        self.urgent |= batch.steps.iter().any(is_waited_for);
        self.steps.append(&mut batch.steps);
    }

    /// After a failure it is not tried again at once, unless somebody waits to be told.
    fn may_try(&self) -> bool {
        match self.pause.left() {
            None => true,
            Some(left) => left.is_zero() || self.urgent,
        }
    }

    fn commit(&mut self, journal: &mut impl Journals) -> News {
        let failed_before = self.pause.left().is_some();
        let outcome = journal.commit(&mut self.steps);
        self.steps.clear();
        self.urgent = false;
        let figures = journal.figures();
        match outcome {
            Ok(()) => {
                self.pause.forget();
                match self.upto.take() {
                    Some(upto) => News::Written { upto, figures },
                    None => News::JournalWorks { figures },
                }
            }
            Err(error) => {
                self.pause.begin();
                tracing::debug!(%error, failed_before, "the journal could not be written");
                match self.upto.take() {
                    Some(upto) => News::NotWritten { upto, error, figures },
                    None => News::StillNotWritten { error, figures },
                }
            }
        }
    }
}

/// A caller waits until its request is on disk, and a handler until it is there that it is about to get one.
fn is_waited_for(step: &Step) -> bool {
    step.0.iter().any(|change| match change {
        Change::Put(_, Item::Request(_)) => true,
        Change::Progress(_, progress) => progress.delivered,
        Change::Put(..) | Change::Gone(_) => false,
    })
}

/// The journal of the store, with how long it was at work.
pub(crate) struct Timed {
    journal: Journal,
    busy: Duration,
}

impl Timed {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, busy: Duration::ZERO }
    }
}

impl Journals for Timed {
    fn commit(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        let begun = Instant::now();
        let commit = if steps.is_empty() { self.journal.retry() } else { self.journal.commit(steps) };
        self.busy += begun.elapsed();
        self.journal.take_findings().iter().for_each(log_finding);
        match commit {
            Commit::Done => Ok(()),
            Commit::Failed(Failed { error, forgotten, .. }) => {
                if forgotten > 0 {
                    tracing::warn!(
                        forgotten,
                        "replies of durable requests could not wait for the journal: too much waits there already; they are lost if \
                         this process ends before they are delivered"
                    );
                }
                Err(error.to_string())
            }
        }
    }

    fn figures(&self) -> JournalFigures {
        JournalFigures { report: self.journal.report(), busy: self.busy }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FakeJournal, a_gone, a_request, heard};
    use super::*;
    use std::sync::mpsc::{SyncSender, channel, sync_channel};
    use std::thread;

    struct World {
        batches: Option<SyncSender<Batch>>,
        news: Receiver<News>,
        journal: FakeJournal,
        thread: Option<thread::JoinHandle<()>>,
    }

    impl World {
        fn new() -> Self {
            Self::with(COMPANY_WITHIN)
        }

        fn with(company_within: Duration) -> Self {
            let (batches, receiver) = sync_channel(64);
            let (tell, news) = channel();
            let journal = FakeJournal::default();
            let mut inside = journal.clone();
            let thread =
                thread::spawn(move || keep(&mut inside, &receiver, company_within, |news| tell.send(news).unwrap()));
            Self { batches: Some(batches), news, journal, thread: Some(thread) }
        }

        fn hand_over(&self, upto: u64, steps: Vec<Step>) {
            self.batches.as_ref().unwrap().send(Batch { upto, steps }).unwrap();
        }

        fn end(&mut self) {
            self.batches = None;
            self.thread.take().unwrap().join().unwrap();
        }
    }

    #[test]
    fn one_that_waits_is_synced_at_once_and_many_share_a_sync() {
        let mut world = World::new();
        world.journal.hold();
        world.hand_over(1, vec![a_request(1)]);
        world.journal.until_held();
        for number in 2..=40 {
            world.hand_over(number, vec![a_request(number)]);
        }
        world.journal.release();
        assert!(matches!(heard(&world.news), News::Written { upto: 1, .. }));
        assert!(matches!(heard(&world.news), News::Written { upto: 40, figures } if figures.report.commits == 2));
        world.end();
        assert_eq!(world.journal.written(), 40);
    }

    #[test]
    fn a_failure_is_told_and_tried_again_until_it_works() {
        let mut world = World::new();
        world.journal.fail("disk full");
        world.hand_over(1, vec![a_request(1)]);
        assert!(matches!(heard(&world.news), News::NotWritten { upto: 1, error, .. } if error == "disk full"));
        assert!(matches!(heard(&world.news), News::StillNotWritten { .. }));
        world.journal.work();
        while !matches!(heard(&world.news), News::JournalWorks { .. }) {}
        world.hand_over(2, vec![a_request(2)]);
        assert!(matches!(heard(&world.news), News::Written { upto: 2, .. }));
        world.end();
    }

    /// A caller whose durable request came just before the core heard of the failure is not kept waiting for a pause.
    #[test]
    fn a_request_that_comes_during_a_pause_is_told_at_once_and_the_rest_waits() {
        let mut world = World::new();
        world.journal.fail("disk full");
        world.hand_over(1, vec![a_request(1)]);
        assert!(matches!(heard(&world.news), News::NotWritten { upto: 1, .. }));
        let tries = world.journal.tries();
        world.hand_over(2, vec![a_request(2)]);
        while !matches!(heard(&world.news), News::NotWritten { upto: 2, .. }) {}
        assert!(world.journal.tries() > tries);
        world.hand_over(3, vec![a_gone(1)]);
        world.journal.work();
        assert!(matches!(
            std::iter::repeat_with(|| heard(&world.news)).find(|news| !matches!(news, News::StillNotWritten { .. })),
            Some(News::Written { upto: 3, .. } | News::NotWritten { upto: 3, .. })
        ));
        world.end();
    }

    /// A caller that asks again as soon as it is answered would wait for the sync of the end of its last request, and then for its own.
    #[test]
    fn a_step_for_which_nobody_waits_stays_for_company() {
        let mut world = World::with(Duration::from_secs(3_600));
        world.hand_over(1, vec![a_gone(1)]);
        world.hand_over(2, vec![a_gone(2)]);
        world.hand_over(3, vec![a_request(3)]);
        assert!(matches!(heard(&world.news), News::Written { upto: 3, figures } if figures.report.commits == 1));
        world.hand_over(4, vec![a_gone(3)]);
        world.end();
        assert_eq!(world.journal.written(), 4);
        let mut world = World::new();
        world.hand_over(1, vec![a_gone(1)]);
        assert!(matches!(heard(&world.news), News::Written { upto: 1, .. }), "but not for ever");
        world.end();
    }

    #[test]
    fn what_was_handed_over_before_the_end_is_written() {
        let mut world = World::new();
        world.journal.hold();
        world.hand_over(1, vec![a_request(1)]);
        world.journal.until_held();
        world.hand_over(2, vec![a_request(2)]);
        world.journal.release();
        world.end();
        assert_eq!(world.journal.written(), 2);
    }
}
