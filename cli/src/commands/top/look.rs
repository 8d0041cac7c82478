//! One look at a server, and what has happened between two of them.

use crate::commands::ls::Actions;
use crate::connection::{look, not_known};
use crate::exit::Failure;
use answerback::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the server said at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    pub(super) stats: Stats,
    pub(super) actions: Actions,
    /// Both as they came, for scripts.
    stats_json: Value,
    actions_json: Value,
}

/// What is shown of `$stats`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Stats {
    pub(super) server: String,
    pub(super) uptime_ms: u64,
    pub(super) draining: bool,
    pub(super) connections: u64,
    pub(super) sessions: u64,
    pub(super) actions: u64,
    pub(super) queued: u64,
    pub(super) in_flight: u64,
    pub(super) bytes: u64,
    pub(super) total: Totals,
}

/// Counts since the server started.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) deliveries: u64,
    pub(super) replies: u64,
    pub(super) frames_in: u64,
    pub(super) frames_out: u64,
    pub(super) errors: BTreeMap<String, u64>,
}

/// What happened each second between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) requests: f64,
    pub(super) deliveries: f64,
    pub(super) replies: f64,
    pub(super) errors: f64,
    pub(super) frames_in: f64,
    pub(super) frames_out: f64,
}

impl Look {
    pub(super) async fn at(client: &Client) -> Result<Self, Failure> {
        Self::of(look(client, "$stats", "").await?, look(client, "$actions", "").await?)
    }

    /// What both answers say.
    pub(super) fn of(stats: Value, mut actions: Value) -> Result<Self, Failure> {
        let listed = Actions::deserialize(&actions).map_err(|error| not_known("$actions", &error))?;
        let read = Stats::deserialize(&stats).map_err(|error| not_known("$stats", &error))?;
        let actions_json = actions.get_mut("actions").map(Value::take).unwrap_or_default();
        Ok(Self { stats: read, actions: listed, stats_json: stats, actions_json })
    }

    /// The time since an earlier look by the server's own clock; nothing if it was started in between.
    pub(super) fn seconds_since(&self, before: &Self) -> Option<f64> {
        let ms = self.stats.uptime_ms.checked_sub(before.stats.uptime_ms)?;
        (ms > 0).then(|| ms as f64 / 1e3)
    }

    pub(super) fn rates_since(&self, before: &Self) -> Option<Rates> {
        let seconds = self.seconds_since(before)?;
        let (now, then) = (&self.stats.total, &before.stats.total);
        let rate = |of: fn(&Totals) -> u64| of(now).saturating_sub(of(then)) as f64 / seconds;
        Some(Rates {
            requests: rate(|total| total.requests),
            deliveries: rate(|total| total.deliveries),
            replies: rate(|total| total.replies),
            errors: rate(|total| total.errors.values().sum()),
            frames_in: rate(|total| total.frames_in),
            frames_out: rate(|total| total.frames_out),
        })
    }

    /// For scripts.
    pub(super) fn json(&self, before: Option<&Self>) -> Value {
        let rates = before.and_then(|before| self.rates_since(before)).map(|rates| {
            json!({
                "requests": rates.requests,
                "deliveries": rates.deliveries,
                "replies": rates.replies,
                "errors": rates.errors,
                "frames_in": rates.frames_in,
                "frames_out": rates.frames_out,
            })
        });
        json!({ "stats": self.stats_json, "per_second": rates, "actions": self.actions_json })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(uptime_ms: u64, requests: u64, timeouts: u64) -> Look {
        let errors = BTreeMap::from([("timeout".to_owned(), timeouts), ("expired".to_owned(), 1)]);
        let total = Totals { requests, errors, ..Totals::default() };
        Look { stats: Stats { uptime_ms, total, ..Stats::default() }, ..Look::default() }
    }

    #[test]
    fn rates_are_differences_by_the_clock_of_the_server() {
        let rates = look(3_000, 1_100, 5).rates_since(&look(1_000, 100, 3)).unwrap();
        assert_eq!((rates.requests, rates.errors, rates.replies), (500.0, 1.0, 0.0));
    }

    #[test]
    fn a_server_that_was_started_again_has_no_rates_yet() {
        assert_eq!(look(10, 0, 0).rates_since(&look(5_000, 100, 0)), None);
        assert_eq!(look(10, 0, 0).rates_since(&look(10, 0, 0)), None);
    }
}
