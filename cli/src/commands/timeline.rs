//! `call -v`: where the time went, drawn.
//!
//! ```text
//!   connect   1.20 ms  ████
//!   way       0.80 ms      ██                        ██
//!   queued       2 ms        ██████
//!   ran         12 ms              ████████████████████   by users-1
//!   total    16.00 ms
//! ```
//!
//! The broker tells whole milliseconds, this end measures microseconds. What is left of the call is the way to the
//! broker and back; nobody knows how much of it was which, so both get half.

use crate::json::told;
use crate::print::{Style, escaped};
use crate::units::{ms, show_duration, show_ms};
use answerback::Info;
use serde_json::{Value, json};
use std::time::Duration;

/// Characters of the bars.
const WIDTH: usize = 48;

/// Where the time of one call went.
pub(crate) struct Timeline {
    /// To connect.
    pub(crate) connect: Duration,
    /// From the question to the answer, measured here.
    pub(crate) call: Duration,
    /// What the broker says: in the queue, with the handler, and which.
    pub(crate) queued: Duration,
    pub(crate) ran: Option<Duration>,
    pub(crate) by: Option<Box<str>>,
}

/// A part of the time: when it began and how long it was.
type Span = (Duration, Duration);

impl Timeline {
    pub(crate) fn of(connect: Duration, call: Duration, info: Info) -> Self {
        Self { connect, call, queued: info.queued, ran: info.ran, by: info.by }
    }

    /// What neither the queue nor the handler took.
    fn way(&self) -> Duration {
        self.call.saturating_sub(self.queued + self.ran.unwrap_or_default())
    }

    fn total(&self) -> Duration {
        self.connect + self.call
    }

    /// As lines for people.
    pub(crate) fn draw(&self, paint: impl Fn(Style, &str) -> String) -> String {
        let half = self.way() / 2;
        let (queued, ran) = (self.queued, self.ran.unwrap_or_default());
        let there = self.connect;
        let back = there + half + queued + ran;
        let by = self.by.as_deref().map(|by| format!("  by {}", escaped(by))).unwrap_or_default();
        let rows: [(&str, String, Vec<Span>, &str); 4] = [
            ("connect", show_duration(self.connect), vec![(Duration::ZERO, self.connect)], ""),
            ("way", show_duration(self.way()), vec![(there, half), (back, half)], "  to the broker and back"),
            ("queued", whole_ms(queued), vec![(there + half, queued)], ""),
            ("ran", whole_ms(ran), vec![(there + half + queued, ran)], &by),
        ];
        let mut lines = Vec::new();
        for (name, took, spans, remark) in rows {
            let bar = paint(Style::Good, &self.bar(&spans));
            lines.push(format!("  {name:<8} {took:>8}  {bar}{}", paint(Style::Faint, remark)).trim_end().to_owned());
        }
        lines.push(format!("  {:<8} {:>8}", "total", show_duration(self.total())));
        lines.join("\n")
    }

    /// A line of as many characters as the whole time, filled where one of the spans is. What took any time is seen.
    fn bar(&self, spans: &[Span]) -> String {
        let total = self.total().as_secs_f64().max(f64::MIN_POSITIVE);
        let place = |at: Duration| (at.as_secs_f64() / total * WIDTH as f64).round() as usize;
        let mut cells = [' '; WIDTH];
        for &(from, length) in spans.iter().filter(|(_, length)| !length.is_zero()) {
            let first = place(from).min(WIDTH - 1);
            let end = place(from + length).clamp(first + 1, WIDTH);
            cells[first..end].fill('█');
        }
        cells.iter().collect::<String>().trim_end().to_owned()
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        json!({
            "connect_ms": ms(self.connect),
            "way_ms": ms(self.way()),
            "queued_ms": self.queued.as_millis() as u64,
            "ran_ms": self.ran.map(|ran| ran.as_millis() as u64),
            "by": self.by,
            "total_ms": ms(self.total()),
        })
    }
}

/// What is known of a call that has no answer: an error does not say where the time went.
pub(crate) fn failed(connect: Duration, call: Duration, as_json: bool) -> String {
    if as_json {
        return told(&json!({ "connect_ms": ms(connect), "total_ms": ms(connect + call) }));
    }
    let (connect, call) = (show_duration(connect), show_duration(call));
    format!("  {:<8} {connect:>8}\n  {:<8} {call:>8}", "connect", "failed")
}

/// The broker says `0` of anything shorter than a millisecond.
fn whole_ms(duration: Duration) -> String {
    if duration.is_zero() { "< 1 ms".to_owned() } else { show_ms(duration.as_millis() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(connect: u64, call_us: u64, queued: u64, ran: u64) -> Timeline {
        let ms = Duration::from_millis;
        let call = Duration::from_micros(call_us);
        Timeline { connect: ms(connect), call, queued: ms(queued), ran: Some(ms(ran)), by: Some("users-1".into()) }
    }

    #[test]
    fn each_part_stands_where_it_was() {
        let timeline = timeline(8, 40_000, 12, 20);
        let expected = [
            "  connect   8.00 ms  ████████",
            "  way       8.00 ms          ████                                ████  to the broker and back",
            "  queued      12 ms              ████████████",
            "  ran         20 ms                          ████████████████████  by users-1",
            "  total     48.0 ms",
        ];
        assert_eq!(timeline.draw(|_, text| text.to_owned()).lines().collect::<Vec<_>>(), expected);
    }

    /// The broker counts whole milliseconds, so its parts may be more than the whole.
    #[test]
    fn parts_that_do_not_fit_are_drawn_all_the_same() {
        let timeline = timeline(0, 1_900, 1, 1);
        let drawn = timeline.draw(|_, text| text.to_owned());
        assert!(drawn.contains("way          0 µs") && drawn.lines().all(|line| line.chars().count() < 100), "{drawn}");
        assert_eq!(timeline.json()["way_ms"], 0.0);
    }
}
