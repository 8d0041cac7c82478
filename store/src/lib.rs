//! Where a broker keeps what it accepted: a journal for durable requests, snapshots for everything else.
//!
//! This crate writes down [`Item`](answerback_broker::Item)s and gives them back. It decides nothing about them, opens no socket and
//! spawns nothing: whoever uses it gives it threads of its own, because every call may wait for a disk.
//!
//! ```text
//!  store/
//!    format                       which form the rest has; a newer one is refused
//!    clean                        the last server ended in order; gone while one runs
//!    current                      which generation of snapshots counts
//!    generation-000003/           snapshots: what was there at a moment        snapshots/
//!    generation-000003.sum        how much must be in it: tells when a part of it is gone
//!    journal/000000000001.journal steps, each synced before it counts          journal/
//!    journal/newest               which segment must be there at least
//!    aside/                       what was damaged, never deleted from here
//! ```
//!
//! | what | file |
//! |---|---|
//! | items as bytes | `codec/` |
//! | items as lines of JSON | `lines/` |
//! | times of this server's life as clock times and back | `calendar.rs` |
//! | the few things that are asked of a disk, and a disk that fails on demand | `disk/` |
//! | the journal: frames, segments, commits, replay | `journal/` |
//! | snapshots: sled, or memory | `snapshots/` |
//! | what was found wrong when it was opened | `finding.rs` |
//! | small files that tell when a part of the large ones is gone | `note.rs` |
//! | opening all of it, looking at it, filling it | `open.rs`, `files.rs`, `fill.rs`, `layout.rs` |

mod calendar;
#[cfg(any(test, feature = "faults"))]
mod chance;
pub mod codec;
mod disk;
mod files;
mod fill;
mod finding;
mod journal;
mod layout;
pub mod lines;
mod note;
mod open;
mod snapshots;
#[cfg(test)]
mod testing;

pub use calendar::Calendar;
pub use codec::Damaged;
pub use disk::{Disk, DiskFile, Gate, RealDisk};
#[cfg(any(test, feature = "faults"))]
pub use disk::{Fault, FaultyDisk};
pub use files::{Files, SetAside};
pub use fill::Filling;
pub use finding::{Finding, FindingKind};
pub use journal::{Commit, Failed, Items, Journal, JournalReport, SEGMENT_BYTES};
pub use open::{Inspected, OpenError, Opened, Options, SnapshotsIn, Store, Strictness};
pub use snapshots::{MemoryShelf, MemorySnapshots, Part, Renewal, SaveReport, SledSnapshots, Snapshots};
