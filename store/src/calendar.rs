//! Times of a server's life as clock times, and back: on disk every time is a clock time.

use answerback_broker::Time;

/// Ties the core's time, which begins with the server, to the clock.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    now: Time,
    unix_micros: u64,
}

/// The times of a request as they may be used after a start. Clocks jump between two lives of a server, so what was written down is
/// taken as a bound: nothing waits longer than it would have waited at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) received: Time,
    pub(crate) expires: Time,
    pub(crate) deadline: Time,
}

impl Calendar {
    /// It is `now` for the core and `unix_micros` (microseconds since 1970) for the clock.
    pub const fn now_is(now: Time, unix_micros: u64) -> Self {
        Self { now, unix_micros }
    }

    /// A moment of the core as a clock time. [`Time::NEVER`] stays never.
    pub fn to_clock(&self, time: Time) -> u64 {
        if time == Time::NEVER {
            return u64::MAX;
        }
        match time.micros().checked_sub(self.now.micros()) {
            Some(ahead) => self.unix_micros.saturating_add(ahead).min(u64::MAX - 1),
            None => self.unix_micros.saturating_sub(self.now.micros() - time.micros()),
        }
    }

    /// A clock time as a moment of the core; what was before the core's beginning is its beginning.
    pub fn from_clock(&self, unix_micros: u64) -> Time {
        if unix_micros == u64::MAX {
            return Time::NEVER;
        }
        let micros = match unix_micros.checked_sub(self.unix_micros) {
            Some(ahead) => self.now.micros().saturating_add(ahead),
            None => self.now.micros().saturating_sub(self.unix_micros - unix_micros),
        };
        Time::from_micros(micros)
    }

    /// Three clock times of a request as moments of the core.
    pub(crate) fn waits(&self, received: u64, expires: u64, deadline: u64) -> Waits {
        let begun = received.min(self.unix_micros);
        let end = |at: u64| match at {
            u64::MAX => Time::NEVER,
            at => self.from_clock(at.min(self.unix_micros.saturating_add(at.saturating_sub(received)))),
        };
        Waits { received: self.from_clock(begun), expires: end(expires), deadline: end(deadline) }
    }

    /// What the clock says now, in microseconds since 1970.
    pub(crate) fn clock_now(&self) -> u64 {
        self.unix_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const CLOCK: u64 = 1_795_000_000 * SECOND;

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * SECOND)
    }

    #[test]
    fn times_go_to_the_clock_and_back_also_in_another_life() {
        let before = Calendar::now_is(at(500), CLOCK);
        assert_eq!(before.to_clock(at(490)), CLOCK - 10 * SECOND);
        assert_eq!(before.from_clock(before.to_clock(at(510))), at(510));
        let after = Calendar::now_is(at(1), CLOCK + 20 * SECOND);
        assert_eq!(after.from_clock(before.to_clock(at(530))), at(11));
        assert_eq!(after.from_clock(before.to_clock(at(400))), at(0), "before the beginning");
        assert_eq!(after.from_clock(before.to_clock(Time::NEVER)), Time::NEVER);
    }

    /// The clock was put back by a day while the server was down: without a bound a request of 10 s would wait for a day.
    #[test]
    fn a_clock_that_was_put_back_makes_nothing_wait_longer() {
        let now = Calendar::now_is(at(1), CLOCK);
        let written = CLOCK + 86_400 * SECOND;
        let waits = now.waits(written, written + 10 * SECOND, written + 30 * SECOND);
        assert_eq!(waits, Waits { received: at(1), expires: at(11), deadline: at(31) });
        let waits = now.waits(CLOCK - SECOND / 2, CLOCK + SECOND, u64::MAX);
        assert_eq!(waits.expires, at(2));
        assert_eq!(waits.deadline, Time::NEVER);
    }

    /// What was to wait for 10 s may have waited for a year by such a clock: its time is up, and that is all.
    #[test]
    fn a_clock_that_was_put_forward_ends_what_waits() {
        let now = Calendar::now_is(at(1), CLOCK + 365 * 86_400 * SECOND);
        let waits = now.waits(CLOCK, CLOCK + 10 * SECOND, CLOCK + 30 * SECOND);
        assert_eq!(waits, Waits { received: at(0), expires: at(0), deadline: at(0) });
    }
}
