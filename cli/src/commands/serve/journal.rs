//! A line for each call: when it came, who asked, how it ended and how long it took.

use crate::json::told;
use crate::print::{Style, escaped, line, note, paint_error};
use crate::units::{ms, show_duration};
use answerback::{Context, Fault};
use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where lines go to, and in which form.
pub(crate) struct Journal {
    json: bool,
    quiet: bool,
}

/// One call under way.
pub(crate) struct Entry<'a> {
    journal: &'a Journal,
    began: SystemTime,
    since: Instant,
    caller: String,
    action: String,
    attempt: u32,
    /// Whether its line is written.
    told: bool,
}

impl Journal {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    pub(crate) fn begins(&self, context: &Context) -> Entry<'_> {
        Entry {
            journal: self,
            began: SystemTime::now(),
            since: Instant::now(),
            caller: context.caller().to_owned(),
            action: context.action().to_owned(),
            attempt: context.attempt(),
            told: false,
        }
    }
}

impl Entry<'_> {
    pub(crate) fn ended<T>(mut self, answer: &Result<T, Fault>) {
        match answer {
            Ok(_) => self.tell("ok", Style::Good),
            Err(fault) => self.tell(fault.code(), Style::Bad),
        }
    }

    fn tell(&mut self, ended: &str, style: Style) {
        self.told = true;
        let took = self.since.elapsed();
        if self.journal.json {
            // Who has stopped reading wants no more lines; the calls are answered all the same.
            let _ = line(&self.json(ended, took));
        } else if !self.journal.quiet {
            note(&self.text(&paint_error(style, &escaped(ended)), took));
        }
    }

    fn text(&self, ended: &str, took: Duration) -> String {
        let again = if self.attempt > 1 { format!("  attempt {}", self.attempt) } else { String::new() };
        let (time, caller, action) = (clock(self.began), escaped(&self.caller), escaped(&self.action));
        format!("{time}  {caller}  {action}{again}  {ended}  {}", show_duration(took))
    }

    fn json(&self, ended: &str, took: Duration) -> String {
        let since = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        told(&json!({
            "time": since.as_millis() as u64,
            "caller": self.caller,
            "action": self.action,
            "attempt": self.attempt,
            "ended": ended,
            "ms": ms(took),
        }))
    }
}

/// An entry that is dropped before its end was cancelled.
impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell("cancelled", Style::Warn);
        }
    }
}

/// The time of day in UTC: a tool without a time zone database must not pretend to know another.
fn clock(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day() {
        let time = UNIX_EPOCH + Duration::from_millis(86_400_000 * 20_000 + 45_296_007);
        assert_eq!(clock(time), "12:34:56.007Z");
    }
}
