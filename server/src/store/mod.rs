//! Between the data plane and the disk: threads that wait for the disk, so that the data plane never does.
//!
//! ```text
//!  data_plane/storing                      journal keeper
//!    steps of a turn ── Batch, try_send ──►  takes all that came, one sync for them
//!                                            │
//!    core hears of it ◄── Command::Store ────┤ News
//!                                            │
//!    changes, gathered ── Round, try_send ─► snapshot keeper
//!    in pieces                               first streams what may come late, then saves round after round
//! ```
//!
//! Both keep trying when the disk fails, with pauses that grow, and say so; they recover by themselves when the disk does.
//! They end when the data plane drops its end of their channels.

mod journal_keeper;
mod keepers;
mod pause;
mod recovery;
mod snapshot_keeper;

pub(crate) use keepers::{Keepers, Keeping};
pub use recovery::StoreError;
pub(crate) use recovery::{Progress, Recovered, recover};

use answerback_broker::{Change, Item, ItemId, Step};
use answerback_store::JournalReport;
use std::time::Duration;

/// Steps for the journal.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The number of the last of them.
    pub(crate) upto: u64,
    pub(crate) steps: Vec<Step>,
}

/// Changes for a snapshot: all that there were at one moment.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) changes: Vec<Change>,
    /// Whether the server leaves after it.
    pub(crate) last: bool,
}

/// What the last life has left for while the server serves already.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Sends, in the order of their ids.
    Sends(Vec<(ItemId, Item)>),
    /// There are no more. `complete` says whether all of them came.
    End { complete: bool },
}

/// What the keepers tell the data plane.
#[derive(Debug)]
pub(crate) enum News {
    /// The steps up to this number are on disk, and whatever had failed before.
    Written { upto: u64, figures: JournalFigures },
    /// The steps up to this number could not be written: the requests in them will not be, the rest is tried again.
    NotWritten { upto: u64, error: String, figures: JournalFigures },
    /// Trying again has not helped yet.
    StillNotWritten { error: String, figures: JournalFigures },
    /// The journal can be written again.
    JournalWorks { figures: JournalFigures },
    /// The round that was handed over is on disk.
    Saved(RoundFigures),
    /// The round that was handed over is not on disk yet; it is tried again.
    NotSaved { error: String },
}

/// What the data plane is told when a keeper has panicked.
const KEEPER_GONE: &str = "the thread that writes it has ended, because of a bug; restart the server";

impl News {
    fn journal_keeper_failed() -> Self {
        Self::StillNotWritten { error: KEEPER_GONE.to_owned(), figures: JournalFigures::default() }
    }

    fn snapshot_keeper_failed() -> Self {
        Self::NotSaved { error: KEEPER_GONE.to_owned() }
    }
}

/// What a journal counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalFigures {
    /// By itself.
    pub report: JournalReport,
    /// Time that writing and syncing took in all.
    pub busy: Duration,
}

/// What a snapshot round was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RoundFigures {
    pub(crate) changes: u64,
    /// Items in the snapshot now.
    pub(crate) items: u64,
    /// Time that the disk took for it, without what failed before.
    pub(crate) took: Duration,
}

#[cfg(test)]
pub(crate) mod testing;
