//! The thread that has the snapshots. First it gives the data plane the sends of the last life; then it saves rounds. A round that cannot be
//! saved is kept and tried again; there is no other one before it.

use super::pause::Pause;
use super::recovery::log_finding;
use super::{Chunk, News, Round, RoundFigures};
use answerback_broker::Change;
use answerback_store::{Part, Renewal, Snapshots};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Instant;

/// What the keeper needs of snapshots.
pub(crate) trait Saves: Send + 'static {
    /// Saves all of these changes or none of them, and says how many items there are now.
    fn save(&mut self, changes: &[Change]) -> Result<u64, String>;

    /// Gives space back, if there is much to give.
    fn renew(&mut self) -> Result<(), String>;
}

/// Saves rounds until the other end of `rounds` is gone.
pub(crate) fn keep(snapshots: &mut impl Saves, rounds: &Receiver<Round>, mut tell: impl FnMut(News)) {
    while let Ok(round) = rounds.recv() {
        let Some(figures) = save(snapshots, &round, rounds, &mut tell) else { return };
        let last = round.last;
        // Freed here, not where calls wait.
        drop(round);
        tell(News::Saved(figures));
        if !last && let Err(error) = snapshots.renew() {
            tracing::warn!(%error, "the store could not be written anew to give space back; it is used as it is");
        }
    }
}

/// Tries until it works. Nothing if the server has ended before.
fn save(
    snapshots: &mut impl Saves,
    round: &Round,
    rounds: &Receiver<Round>,
    tell: &mut impl FnMut(News),
) -> Option<RoundFigures> {
    let mut pause = Pause::default();
    loop {
        let begun = Instant::now();
        match snapshots.save(&round.changes) {
            Ok(items) => {
                let changes = round.changes.len() as u64;
                return Some(RoundFigures { changes, items, took: begun.elapsed() });
            }
            Err(error) => tell(News::NotSaved { error }),
        }
        pause.begin();
        // Nobody hands over another round before this one is saved: only the end can come.
        match rounds.recv_timeout(pause.left()?) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

impl Saves for Box<dyn Snapshots> {
    fn save(&mut self, changes: &[Change]) -> Result<u64, String> {
        let report = (**self).save(changes).map_err(|error| error.to_string())?;
        Ok(report.items)
    }

    fn renew(&mut self) -> Result<(), String> {
        if let Some(renewed) = (**self).renew().map_err(|error| error.to_string())? {
            let Renewal { generation, items } = renewed;
            tracing::info!(generation, items, "the store was written anew, to give space back");
        }
        Ok(())
    }
}

/// Sends in one chunk: a fraction of a millisecond of work for the data plane, beside which a call is not noticed to wait.
const CHUNK_ITEMS: usize = 512;

/// Gives the stored sends to the data plane, chunk by chunk, as long as it takes them.
pub(crate) fn stream(snapshots: &mut dyn Snapshots, to: &SyncSender<Chunk>, wake: impl Fn()) {
    let mut chunk = Vec::with_capacity(CHUNK_ITEMS);
    let send = |chunk: Chunk| {
        let sent = to.send(chunk).is_ok();
        wake();
        sent
    };
    let loaded = snapshots.load(Part::Sends, &mut |id, item| {
        chunk.push((id, item));
        if chunk.len() < CHUNK_ITEMS
            || send(Chunk::Sends(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ITEMS))))
        {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    let complete = match loaded {
        Ok(findings) => {
            findings.iter().for_each(log_finding);
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the stored sends could not be read to their end");
            false
        }
    };
    // When the server leaves there is nobody to take these.
    if chunk.is_empty() || send(Chunk::Sends(chunk)) {
        send(Chunk::End { complete });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FakeJournal, heard, request};
    use super::*;
    use answerback_broker::ItemId;
    use std::sync::mpsc::{channel, sync_channel};
    use std::thread;

    fn round() -> Round {
        Round { changes: vec![Change::Put(ItemId(1), request()), Change::Gone(ItemId(2))], last: false }
    }

    #[test]
    fn a_round_is_tried_until_it_is_saved() {
        let (rounds, receiver) = sync_channel(1);
        let (tell, news) = channel();
        let disk = FakeJournal::default();
        disk.fail("read-only");
        let mut inside = disk.clone();
        let thread = thread::spawn(move || keep(&mut inside, &receiver, |news| tell.send(news).unwrap()));
        rounds.send(round()).unwrap();
        assert!(matches!(heard(&news), News::NotSaved { error } if error == "read-only"));
        assert!(matches!(heard(&news), News::NotSaved { .. }));
        disk.work();
        let figures = std::iter::repeat_with(|| heard(&news)).find_map(|news| match news {
            News::Saved(figures) => Some(figures),
            _ => None,
        });
        assert_eq!((figures.unwrap().changes, disk.written()), (2, 2));
        disk.fail("gone");
        rounds.send(round()).unwrap();
        assert!(matches!(heard(&news), News::NotSaved { .. }));
        drop(rounds);
        thread.join().unwrap();
    }
}
