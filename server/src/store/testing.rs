//! A journal and snapshots that tests hold up, break and mend.

use super::journal_keeper::Journals;
use super::snapshot_keeper::Saves;
use super::{JournalFigures, News};
use answerback_broker::{Change, Item, ItemId, Progress, SavedRequest, Step, Time};
use answerback_protocol::Payload;
use answerback_store::JournalReport;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// The next news; far before the end of patience, unless something is broken.
pub(crate) fn heard(news: &Receiver<News>) -> News {
    news.recv_timeout(PATIENCE).unwrap()
}

pub(crate) fn a_request(number: u64) -> Step {
    Step(vec![Change::Put(ItemId(number), request())])
}

pub(crate) fn a_gone(number: u64) -> Step {
    Step(vec![Change::Gone(ItemId(number))])
}

pub(crate) fn request() -> Item {
    Item::Request(Box::new(SavedRequest {
        caller: None,
        origin: 1,
        action: "a".into(),
        from: "b".into(),
        key: None,
        trace: None,
        data: Payload::NONE,
        received: Time::default(),
        expires: Time::NEVER,
        deadline: Time::NEVER,
        attempts: 1,
        info: false,
        durable: true,
        progress: Progress::default(),
    }))
}

#[derive(Default)]
struct Inside {
    held: bool,
    waits: bool,
    error: Option<String>,
    tries: u64,
    commits: u64,
    written: u64,
}

/// A disk that only counts. Shared with the thread that uses it.
#[derive(Clone, Default)]
pub(crate) struct FakeJournal(Arc<(Mutex<Inside>, Condvar)>);

impl FakeJournal {
    fn change(&self, change: impl FnOnce(&mut Inside)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// From now on nothing returns.
    pub(crate) fn hold(&self) {
        self.change(|inside| inside.held = true);
    }

    pub(crate) fn release(&self) {
        self.change(|inside| inside.held = false);
    }

    /// Waits until somebody is held up.
    pub(crate) fn until_held(&self) {
        let inside = self.0.0.lock().unwrap();
        let (_inside, late) = self.0.1.wait_timeout_while(inside, PATIENCE, |inside| !inside.waits).unwrap();
        assert!(!late.timed_out());
    }

    pub(crate) fn fail(&self, error: &str) {
        self.change(|inside| inside.error = Some(error.to_owned()));
    }

    pub(crate) fn work(&self) {
        self.change(|inside| inside.error = None);
    }

    pub(crate) fn tries(&self) -> u64 {
        self.0.0.lock().unwrap().tries
    }

    pub(crate) fn written(&self) -> u64 {
        self.0.0.lock().unwrap().written
    }

    fn write(&self, count: usize) -> Result<(), String> {
        let mut inside = self.0.0.lock().unwrap();
        (inside.waits, inside.tries) = (true, inside.tries + 1);
        self.0.1.notify_all();
        let (mut inside, late) = self.0.1.wait_timeout_while(inside, PATIENCE, |inside| inside.held).unwrap();
        assert!(!late.timed_out());
        inside.waits = false;
        match &inside.error {
            Some(error) => Err(error.clone()),
            None => {
                (inside.commits, inside.written) = (inside.commits + 1, inside.written + count as u64);
                Ok(())
            }
        }
    }
}

impl Journals for FakeJournal {
    fn commit(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        self.write(steps.len())
    }

    fn figures(&self) -> JournalFigures {
        let report = JournalReport { commits: self.0.0.lock().unwrap().commits, ..JournalReport::default() };
        JournalFigures { report, busy: Duration::ZERO }
    }
}

impl Saves for FakeJournal {
    fn save(&mut self, changes: &[Change]) -> Result<u64, String> {
        self.write(changes.len()).map(|()| 1)
    }

    fn renew(&mut self) -> Result<(), String> {
        Ok(())
    }
}
