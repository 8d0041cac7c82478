//! Stopwatches for work without sockets.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How often a piece of work is timed; the median counts.
const ROUNDS: usize = 5;

/// Counts the time that this thread spends on a processor. What others do on the machine meanwhile is not in it, except
/// that they share its caches.
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    /// Starts to count.
    pub(crate) fn start() -> Self {
        Self(Self::now())
    }

    /// What has been counted.
    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().saturating_sub(self.0)
    }

    fn now() -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
}

/// Nanoseconds per unit, where one run of `work` does `units`. Runs it for about `budget` in all, at least once a round.
pub(crate) fn ns_per_unit(units: u64, budget: Duration, mut work: impl FnMut()) -> f64 {
    work();
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(units, budget / ROUNDS as u32, &mut work)).collect();
    median(&mut rounds)
}

fn round(units: u64, budget: Duration, work: &mut impl FnMut()) -> f64 {
    let start = Stopwatch::start();
    let mut runs = 0_u64;
    loop {
        work();
        runs += 1;
        let elapsed = start.elapsed();
        if elapsed >= budget {
            return elapsed.as_nanos() as f64 / (runs * units) as f64;
        }
    }
}

/// The middle value, of an even number of them the upper one; 0 of none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
