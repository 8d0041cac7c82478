//! The only clock of the data plane: moments for the core, counted from its own beginning.

use answerback_broker::Time;
use std::time::Instant;

/// Counts microseconds since it was made. Monotonic, so the core never sees time run backwards.
#[derive(Debug)]
pub(crate) struct Clock {
    beginning: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { beginning: Instant::now() }
    }

    /// This moment.
    pub(crate) fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.beginning.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
