//! Keeps one kind of log line to one a second, so that what happens thousands of times does not hide everything else.

use answerback_broker::Time;
use std::time::Duration;

const PACE: Duration = Duration::from_secs(1);

/// One kind of line.
#[derive(Debug, Default)]
pub(super) struct Paced {
    silent_until: Time,
    passed_over: u64,
}

impl Paced {
    /// Whether the line may be written now; if so, how many were passed over since the last one.
    pub(super) fn may(&mut self, now: Time) -> Option<u64> {
        if now < self.silent_until {
            self.passed_over += 1;
            return None;
        }
        self.silent_until = now + PACE;
        Some(std::mem::take(&mut self.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_and_the_rest_is_counted() {
        let mut paced = Paced::default();
        let said: Vec<_> = [0, 1, 999, 1_000, 1_500, 2_500].map(|ms| paced.may(Time::from_millis(ms))).into();
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
