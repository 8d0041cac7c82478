//! Sends of the last life, which come in while the server serves already: a chunk each turn, so that no call waits long for them.

use crate::store::Chunk;
use answerback_broker::{Broker, Time};
use answerback_process::paced::Paced;
use std::sync::mpsc::{Receiver, TryRecvError};

/// What the data plane knows of them.
#[derive(Debug)]
pub(super) struct Restoring {
    /// Nothing once all are there.
    chunks: Option<Receiver<Chunk>>,
    /// Whether there may be another chunk already.
    busy: bool,
    begun: Time,
    restored: u64,
    /// Whether all that was stored came in.
    complete: bool,
    progress: Paced<Time>,
}

impl Restoring {
    pub(super) fn new(chunks: Receiver<Chunk>, begun: Time) -> Self {
        let mut progress = Paced::default();
        // The first line about it only after a second: most servers are ready before.
        progress.may(begun);
        Self { chunks: Some(chunks), busy: true, begun, restored: 0, complete: false, progress }
    }

    /// Gives the core the next chunk, if there is one.
    pub(super) fn turn(&mut self, now: Time, broker: &mut Broker) {
        let Some(chunks) = &self.chunks else { return };
        self.busy = true;
        match chunks.try_recv() {
            Ok(Chunk::Sends(sends)) => {
                self.restored += sends.len() as u64;
                for (id, item) in sends {
                    broker.restore(now, id, item);
                }
                self.say_progress(now);
            }
            Ok(Chunk::End { complete }) => self.end(now, complete),
            Err(TryRecvError::Empty) => self.busy = false,
            // Its keeper has ended in the middle, and has said why in the log.
            Err(TryRecvError::Disconnected) => self.end(now, false),
        }
    }

    fn say_progress(&mut self, now: Time) {
        if self.progress.may(now).is_some() {
            let (sends, ms) = (self.restored, now.since(self.begun).as_millis() as u64);
            let per_second = sends.saturating_mul(1_000) / ms.max(1);
            tracing::info!(sends, per_second, "restoring sends while serving");
        }
    }

    fn end(&mut self, now: Time, complete: bool) {
        (self.chunks, self.busy, self.complete) = (None, false, complete);
        let (sends, ms) = (self.restored, now.since(self.begun).as_millis() as u64);
        if !complete {
            tracing::warn!(sends, ms, "not all stored sends could be restored; those that could not stay in the store");
        } else if sends > 0 {
            tracing::info!(sends, ms, "all stored sends are restored");
        }
    }

    /// No more of them: the server leaves. Those that did not come in stay in the store.
    pub(super) fn stop(&mut self) {
        (self.chunks, self.busy) = (None, false);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(super) fn is_over(&self) -> bool {
        self.chunks.is_none()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn restored(&self) -> u64 {
        self.restored
    }
}
