//! Pauses between tries, each twice as long as the one before: a disk that is full now is full in the next moment too.

use std::time::{Duration, Instant};

/// The first pause: a fault that is over at once costs little.
const FIRST: Duration = Duration::from_millis(50);

/// The longest pause: how long a disk may work again without anybody having noticed.
const LONGEST: Duration = Duration::from_secs(2);

/// When to try again.
#[derive(Debug, Default)]
pub(super) struct Pause {
    length: Duration,
    until: Option<Instant>,
}

impl Pause {
    /// Something has failed: there is a pause from now on, longer than the last one.
    pub(super) fn begin(&mut self) {
        self.length = (self.length * 2).clamp(FIRST, LONGEST);
        self.until = Some(Instant::now() + self.length);
    }

    /// All is well again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What is left of the pause. Nothing if there is none, for all is well.
    pub(super) fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_forgotten() {
        let mut pause = Pause::default();
        assert_eq!(pause.left(), None);
        let lengths: Vec<_> = (0..8)
            .map(|_| {
                pause.begin();
                pause.length.as_millis()
            })
            .collect();
        assert_eq!(lengths, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert!(pause.left().is_some_and(|left| left <= LONGEST));
        pause.forget();
        pause.begin();
        assert_eq!(pause.length, FIRST);
    }
}
