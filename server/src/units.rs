//! Sizes and durations as people write them, as `answerback-process` reads them, and how long a setting of a server can be.

pub use answerback_process::units::*;
use std::time::Duration;

/// The longest duration that a setting can say.
pub const DURATION_MAX: Duration = Duration::from_millis(answerback_protocol::limits::WAIT_MS_MAX);
