//! How fast an action's queue has been served lately, and what that says about a wait.

use crate::time::Time;
use std::time::Duration;

/// Measured only while requests wait: then every departure is as soon as the handlers can.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceRate {
    /// Since when departures are counted.
    since: Time,
    departures: u32,
    /// The pause between two departures, averaged over the last few windows.
    pause_micros: Option<u64>,
}

/// A window is closed after this long …
const WINDOW: Duration = Duration::from_millis(100);
/// … or after this many departures, whichever is first. Fewer than two say nothing.
const WINDOW_DEPARTURES: u32 = 256;
/// A queue that was empty this long is not predicted by what was before.
const FORGET_AFTER: Duration = Duration::from_secs(10);

impl ServiceRate {
    pub(crate) fn new() -> Self {
        Self { since: Time::default(), departures: 0, pause_micros: None }
    }

    /// The first request begins to wait.
    pub(crate) fn begins(&mut self, now: Time) {
        if now.since(self.since) > FORGET_AFTER {
            self.pause_micros = None;
        }
        (self.since, self.departures) = (now, 0);
    }

    /// A handler came: until now nobody may have been there, and that time says nothing about how fast the handlers are.
    pub(crate) fn starts_over(&mut self, now: Time) {
        (self.since, self.departures) = (now, 0);
    }

    /// A request that waited has left for a handler.
    pub(crate) fn departed(&mut self, now: Time) {
        self.departures += 1;
        let window = now.since(self.since);
        if self.departures >= 2 && (window >= WINDOW || self.departures >= WINDOW_DEPARTURES) {
            let pause = window.as_micros() as u64 / u64::from(self.departures);
            self.pause_micros = Some(self.pause_micros.map_or(pause, |before| (before + pause) / 2));
            (self.since, self.departures) = (now, 0);
        }
    }

    /// How long one more would wait behind `ahead` others; `None` while nothing is known.
    pub(crate) fn predict(&self, ahead: usize, now: Time) -> Option<Duration> {
        let before = self.pause_micros?;
        // If departures have become rarer than they were, what is seen now counts.
        let lately = now.since(self.since).as_micros() as u64 / (u64::from(self.departures) + 1);
        Some(Duration::from_micros(before.max(lately).saturating_mul(ahead as u64 + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicts_from_departures_while_others_wait() {
        let mut rate = ServiceRate::new();
        rate.begins(Time::from_millis(1_000));
        assert_eq!(rate.predict(5, Time::from_millis(1_000)), None);
        for i in 1..=20 {
            rate.departed(Time::from_millis(1_000 + 10 * i));
        }
        assert_eq!(rate.predict(9, Time::from_millis(1_200)), Some(Duration::from_millis(100)));
        // Nothing has left for a second: the next ones will hardly leave every 10 ms.
        assert_eq!(rate.predict(9, Time::from_millis(2_200)), Some(Duration::from_secs(10)));
        rate.starts_over(Time::from_millis(2_200));
        assert_eq!(rate.predict(9, Time::from_millis(2_200)), Some(Duration::from_millis(100)));
        rate.begins(Time::from_millis(20_000));
        assert_eq!(rate.predict(9, Time::from_millis(20_000)), None);
    }
}
