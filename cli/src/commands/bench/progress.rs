//! The line that shows how a load goes on while it does, for people.

use super::load::{Length, Run};
use crate::print::{CLEAR_LINE, is_error_terminal, status};
use crate::units::{grouped, show_duration, show_rate};
use std::time::Duration;

/// Often enough to be alive, seldom enough to be read.
const EVERY: Duration = Duration::from_millis(500);

/// Writes the line again and again. Only its being dropped ends it; then the line goes away.
pub(super) async fn show(run: &Run) {
    if !is_error_terminal() {
        return std::future::pending().await;
    }
    let _cleared = Cleared;
    let mut tick = tokio::time::interval(EVERY);
    tick.tick().await;
    let mut before = (run.elapsed(), 0);
    loop {
        tick.tick().await;
        let (now, record) = (run.elapsed(), run.record());
        let done = record.answered + record.failed();
        let rate = (done - before.1) as f64 / (now - before.0).as_secs_f64().max(f64::MIN_POSITIVE);
        before = (now, done);
        let at = |quantile| show_duration(Duration::from_micros(record.latencies.value_at_quantile(quantile)));
        let (p50, p99) = (at(0.5), at(0.99));
        let how_far = how_far(now, done, run.load.length);
        let (rate, failed) = (show_rate(rate), grouped(record.failed()));
        status(&format!("{CLEAR_LINE}{how_far}   {rate} calls/s   p50 {p50}   p99 {p99}   errors {failed}"));
    }
}

fn how_far(now: Duration, done: u64, length: Length) -> String {
    match length {
        Length::Time(length) => format!("{:.1} of {} s", now.as_secs_f64(), length.as_secs()),
        Length::Calls(calls) => format!("{} of {}", grouped(done), grouped(calls)),
    }
}

struct Cleared;

impl Drop for Cleared {
    fn drop(&mut self) {
        status(CLEAR_LINE);
    }
}
