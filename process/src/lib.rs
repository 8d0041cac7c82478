//! What every Answerback process that runs for long does alike, so that an operator who knows one knows them all. It knows nothing of calls,
//! frames or backends: the crates above it say what is logged, asked and counted.
//!
//! | file | what it does |
//! |---|---|
//! | `units.rs` | sizes, durations and counts as people write them |
//! | `mistakes.rs` | reads raw flags, and tells all that is wrong with them at once |
//! | `logging.rs` | the log, written by a thread of its own |
//! | `pages.rs` | the admin port: plain HTTP for probes and people, and who may command there |
//! | `figures.rs` | writes metrics |
//! | `listener.rs` | takes connections a few at a time, and pauses when no further file can be opened |
//! | `open_files.rs` | how many connections fit below the limit of open files |
//! | `paced.rs` | keeps one kind of log line to one a second |
//! | `exit.rs` | the numbers with which a process ends |

pub mod exit;
pub mod figures;
pub mod listener;
pub mod logging;
pub mod mistakes;
pub mod open_files;
pub mod paced;
pub mod pages;
pub mod units;

use std::ops::Add;
use std::time::Duration;

/// A moment of whichever clock a process goes by.
pub trait Moment: Copy + Ord + Add<Duration, Output = Self> {}

impl<T: Copy + Ord + Add<Duration, Output = T>> Moment for T {}
