//! Stopwatches for work without sockets.

use std::time::{Duration, Instant};

/// How often a piece of work is timed; the median counts.
const ROUNDS: usize = 5;

/// Nanoseconds per unit, where one run of `work` does `units`. Runs it for about `budget` in all, at least once a round.
pub(crate) fn ns_per_unit(units: u64, budget: Duration, mut work: impl FnMut()) -> f64 {
    work();
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(units, budget / ROUNDS as u32, &mut work)).collect();
    median(&mut rounds)
}

fn round(units: u64, budget: Duration, work: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
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
