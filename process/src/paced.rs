//! Keeps one kind of log line to one a second, so that what happens thousands of times does not hide everything else.

use crate::Moment;
use std::time::Duration;

const PACE: Duration = Duration::from_secs(1);

/// One kind of line.
#[derive(Debug)]
pub struct Paced<T> {
    silent_until: Option<T>,
    passed_over: u64,
}

impl<T> Default for Paced<T> {
    fn default() -> Self {
        Self { silent_until: None, passed_over: 0 }
    }
}

impl<T: Moment> Paced<T> {
    /// Whether the line may be written now; if so, how many were passed over since the last one.
    pub fn may(&mut self, now: T) -> Option<u64> {
        if self.silent_until.is_some_and(|until| now < until) {
            self.passed_over += 1;
            return None;
        }
        self.silent_until = Some(now + PACE);
        Some(std::mem::take(&mut self.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn one_a_second_and_the_rest_is_counted() {
        let (mut paced, start) = (Paced::default(), Instant::now());
        let said: Vec<_> =
            [0, 1, 999, 1_000, 1_500, 2_500].map(|ms| paced.may(start + Duration::from_millis(ms))).into();
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
