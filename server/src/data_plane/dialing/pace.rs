//! When a peer is dialed again: after pauses that grow, each a little shorter or not, so that servers that lost each other at once do not all come back
//! at once. And which failures are worth a line in the log.

use answerback_broker::Time;
use std::time::Duration;

/// The first pause. A server that restarts is back in less than a second.
const FIRST: Duration = Duration::from_millis(100);

/// The longest: how long a peer may be back without this server having noticed.
const LONGEST: Duration = Duration::from_secs(10);

/// The same failure is told again after this time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// The pauses between the calls of one peer.
#[derive(Debug, Default)]
pub(super) struct Pace {
    length: Duration,
    /// What the log says of the last failures, and until when that is enough.
    told: Option<(&'static str, Time)>,
    since_told: u64,
}

impl Pace {
    /// A call has failed: how long to wait before the next one. `dice` is any number, and a different one each time.
    pub(super) fn next(&mut self, dice: u32) -> Duration {
        self.length = (self.length * 2).clamp(FIRST, LONGEST);
        self.length - self.length / 4 * (dice % 1024) / 1024
    }

    /// There is nothing to be had there for a while.
    pub(super) fn slow_down(&mut self) {
        self.length = LONGEST;
    }

    /// The link is up: everything is forgotten.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether a failure of this kind is to be told now; if so, how many were passed over.
    pub(super) fn may_tell(&mut self, kind: &'static str, now: Time) -> Option<u64> {
        match self.told {
            Some((told, until)) if told == kind && now < until => {
                self.since_told += 1;
                None
            }
            _ => {
                self.told = Some((kind, now + TOLD_AGAIN));
                Some(std::mem::take(&mut self.since_told))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        let mut pace = Pace::default();
        let longest: Vec<_> = (0..9).map(|_| pace.next(0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        let shorter = pace.next(1_023);
        assert!(shorter < Duration::from_millis(7_600) && shorter > Duration::from_millis(7_400), "{shorter:?}");
        pace.forget();
        assert_eq!(pace.next(0), FIRST);
        pace.slow_down();
        assert_eq!(pace.next(0), LONGEST);
    }

    #[test]
    fn a_failure_is_told_when_it_is_new_and_once_a_minute() {
        let (mut pace, at) = (Pace::default(), Time::from_millis);
        assert_eq!(pace.may_tell("name", at(0)), Some(0));
        assert_eq!((pace.may_tell("name", at(1)), pace.may_tell("name", at(59_999))), (None, None));
        assert_eq!(pace.may_tell("silent", at(59_999)), Some(2));
        assert_eq!((pace.may_tell("silent", at(60_000)), pace.may_tell("silent", at(119_999))), (None, Some(1)));
    }
}
