//! A bucket of credit that fills at a steady rate: how often something may happen, with room for a burst.

use answerback_broker::Time;
use std::time::Duration;

/// Parts of one unit of credit, so that a bucket filled every microsecond loses nothing.
const PARTS: u64 = 1_000_000;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data_plane) struct Rate {
    /// 0: as often as it likes.
    per_second: u64,
    /// How much may happen at once after a quiet time.
    burst: u64,
}

impl Rate {
    /// So many a second, and at once as many as in `burst_seconds`. 0 is no limit.
    pub(super) fn new(per_second: usize, burst_seconds: u64) -> Self {
        let per_second = per_second as u64;
        Self { per_second, burst: per_second.saturating_mul(burst_seconds) }
    }

    /// The same, where the burst is a number of its own.
    pub(super) const fn with_burst(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst }
    }

    pub(super) fn is_off(self) -> bool {
        self.per_second == 0
    }

    pub(super) fn per_second(self) -> u64 {
        self.per_second
    }

    /// A full bucket.
    pub(super) fn bucket(self, now: Time) -> Bucket {
        Bucket { parts: self.burst.saturating_mul(PARTS), filled: now }
    }
}

/// What may still happen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data_plane) struct Bucket {
    /// Credit, in parts of a unit.
    parts: u64,
    /// Up to when credit was put in.
    filled: Time,
}

impl Bucket {
    /// Whole units of credit.
    pub(super) fn credit(&mut self, rate: Rate, now: Time) -> u64 {
        self.fill(rate, now);
        self.parts / PARTS
    }

    /// Takes that much, or all that there is.
    pub(super) fn spend(&mut self, count: u64) {
        self.parts = self.parts.saturating_sub(count.saturating_mul(PARTS));
    }

    /// Takes one unit, if there is one. Always, where there is no limit.
    pub(super) fn take_one(&mut self, rate: Rate, now: Time) -> bool {
        if rate.is_off() {
            return true;
        }
        let enough = self.credit(rate, now) >= 1;
        if enough {
            self.spend(1);
        }
        enough
    }

    pub(super) fn is_full(&mut self, rate: Rate, now: Time) -> bool {
        self.credit(rate, now) >= rate.burst
    }

    /// When there will be `count` units, if nothing is taken.
    pub(super) fn when(&self, count: u64, rate: Rate) -> Time {
        let missing = count.saturating_mul(PARTS).saturating_sub(self.parts);
        self.filled + Duration::from_micros(missing.div_ceil(rate.per_second.max(1)))
    }

    fn fill(&mut self, rate: Rate, now: Time) {
        // A unit a second is one part a microsecond.
        let passed = now.micros().saturating_sub(self.filled.micros());
        let most = rate.burst.saturating_mul(PARTS);
        self.parts = self.parts.saturating_add(passed.saturating_mul(rate.per_second)).min(most);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens within ten seconds, asked every millisecond.
    fn happens(rate: Rate) -> usize {
        let mut bucket = rate.bucket(Time::default());
        (0..10_000).filter(|ms| bucket.take_one(rate, Time::from_millis(*ms))).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        for (per_second, seconds, expected) in [(1, 1, 1 + 9), (3, 2, 6 + 29), (100, 2, 200 + 999), (0, 1, 10_000)] {
            assert_eq!(happens(Rate::new(per_second, seconds)), expected, "{per_second} a second");
        }
        assert_eq!(happens(Rate::with_burst(2, 20)), 20 + 19);
    }

    #[test]
    fn it_says_when_there_is_credit_again_and_then_there_is() {
        for (per_second, count) in [(1, 1), (3, 1), (7, 5), (1_000, 100), (1 << 30, 1 << 20)] {
            let rate = Rate::new(per_second, 1);
            let mut bucket = rate.bucket(Time::from_millis(5));
            bucket.spend(u64::MAX);
            let when = bucket.when(count, rate);
            assert!(bucket.credit(rate, Time::from_micros(when.micros() - 1)) < count);
            assert!(bucket.credit(rate, when) >= count, "{per_second} a second");
        }
    }

    #[test]
    fn it_never_overflows_and_time_does_not_run_backwards() {
        let rate = Rate::new(usize::MAX, u64::MAX);
        let mut bucket = rate.bucket(Time::from_millis(7));
        assert!(bucket.take_one(rate, Time::NEVER) && bucket.take_one(rate, Time::default()));
        assert!(!bucket.is_full(rate, Time::default()) || bucket.credit(rate, Time::NEVER) > 0);
    }
}
