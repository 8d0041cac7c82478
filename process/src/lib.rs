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

pub mod figures;
pub mod logging;
pub mod mistakes;
pub mod pages;
pub mod units;
