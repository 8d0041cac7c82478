//! The keepers' threads: how they begin and how they end.

use super::journal_keeper::{self, COMPANY_WITHIN, Timed};
use super::{Batch, Chunk, News, Round, snapshot_keeper};
use crate::control::{Command, Control};
use crate::data_plane::{End, Ended, Links};
use answerback_store::{Journal, Snapshots, Store};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Batches that may wait for the journal: more turns than pass in a usual sync. If there are more, the data plane collects them.
const BATCHES_MAX: usize = 256;

/// Chunks of stored sends that may wait for the data plane, so that it never waits for them.
const CHUNKS_MAX: usize = 4;

/// The keepers' ends of the channels, before they have begun.
pub(crate) struct Keepers {
    batches: Receiver<Batch>,
    rounds: Receiver<Round>,
    sends: SyncSender<Chunk>,
}

/// Threads that keep the store. Dropping it waits for them; they end when the data plane has.
pub(crate) struct Keeping {
    store: Store,
    threads: Vec<JoinHandle<()>>,
}

impl Keepers {
    /// Channels between the data plane and keepers to be.
    pub(crate) fn new(was_clean: bool) -> (Self, Links) {
        let (journal, batches) = sync_channel(BATCHES_MAX);
        let (snapshots, rounds) = sync_channel(1);
        let (sends_to, sends) = sync_channel(CHUNKS_MAX);
        (Self { batches, rounds, sends: sends_to }, Links { journal, snapshots, sends, was_clean })
    }

    /// Begins.
    pub(crate) fn spawn(
        self,
        store: Store,
        journal: Journal,
        mut snapshots: Box<dyn Snapshots>,
        control: &Control,
    ) -> io::Result<Keeping> {
        let Self { batches, rounds, sends } = self;
        let mut keeping = Keeping { store, threads: Vec::new() };
        let tell = teller(control);
        keeping.begin("journal", control, News::journal_keeper_failed, move || {
            journal_keeper::keep(&mut Timed::new(journal), &batches, COMPANY_WITHIN, tell);
        })?;
        let (tell, wake) = (teller(control), control.clone());
        keeping.begin("snapshots", control, News::snapshot_keeper_failed, move || {
            snapshot_keeper::stream(&mut *snapshots, &sends, || wake.wake());
            drop(sends);
            snapshot_keeper::keep(&mut snapshots, &rounds, tell);
        })?;
        Ok(keeping)
    }
}

fn teller(control: &Control) -> impl FnMut(News) + Send + 'static {
    let control = control.clone();
    move |news| control.send(Command::Store(news))
}

impl Keeping {
    /// A keeper that panics has said so in the log; the data plane hears of it as of a disk that fails for good.
    fn begin(
        &mut self,
        name: &str,
        control: &Control,
        failed: fn() -> News,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let mut tell = teller(control);
        let run = move || {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tell(failed());
            }
        };
        match Builder::new().name(name.to_owned()).spawn(run) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                // The data plane is there still, and the keepers wait for it: waiting for them here would never end.
                self.threads.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The data plane has ended. Waits for the keepers, and says on disk that the end was in order if it was.
    pub(crate) fn close(mut self, ended: Ended) -> End {
        self.wait();
        let in_order = matches!(ended.end, End::Drained { .. }) && ended.exact;
        if in_order && let Err(error) = self.store.mark_clean() {
            tracing::warn!(%error, "the store could not be marked as complete; everything is in it, but the next server will wait for handlers");
        }
        ended.end
    }

    fn wait(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.wait();
    }
}
