//! What a load has shown.

use super::load::{Length, Record, Run};
use crate::exit::Exit;
use crate::print::{Style, escaped, paint};
use crate::table::Column::{Figures, Words};
use crate::table::Table;
use crate::units::{grouped, show_duration, show_rate, show_size};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Everything that is told at the end.
pub(super) struct Report {
    action: String,
    connections: usize,
    in_flight: u32,
    size: usize,
    rate: Option<u64>,
    took: Duration,
    not_started: u64,
    record: Record,
}

impl Report {
    pub(super) fn of(run: &Run, connections: usize) -> Self {
        let (load, record) = (&run.load, run.record());
        let took = match load.length {
            Length::Time(length) => length.min(run.elapsed()),
            Length::Calls(_) => record.last,
        };
        Self {
            action: load.action.clone(),
            connections,
            in_flight: load.in_flight,
            size: load.data.len(),
            rate: load.rate,
            took,
            not_started: run.not_started(),
            record,
        }
    }

    fn per_second(&self) -> f64 {
        self.record.in_time as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Microseconds within which this share of the answers came; nothing if none did.
    fn at(&self, quantile: f64) -> Option<u64> {
        let latencies = &self.record.latencies;
        (!latencies.is_empty()).then(|| latencies.value_at_quantile(quantile))
    }

    /// An error only if nothing at all was answered: then as most of the calls have ended.
    pub(super) fn exit(&self) -> Exit {
        match self.record.errors.values().max_by_key(|(_, count)| *count) {
            Some((code, _)) => (*code).into(),
            None => Exit::Ok,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n{}", paint(Style::Strong, &self.title()), self.table());
        if self.record.failed() > 0 {
            let mut errors = Table::new(&[Words("ERROR"), Figures("CALLS")]);
            for (name, (_, count)) in &self.record.errors {
                errors.row([(*name).to_owned(), grouped(*count)]);
            }
            text = format!("{text}\n\n{errors}");
        }
        if self.not_started > 0 {
            let missed = if self.not_started == 1 {
                "1 call".to_owned()
            } else {
                format!("{} calls", grouped(self.not_started))
            };
            let why =
                format!("{missed} could not start, because all {} were in flight", grouped(self.in_flight.into()));
            text = format!("{text}\n\n{}", paint(Style::Warn, &why));
        }
        text
    }

    fn title(&self) -> String {
        let connections =
            if self.connections == 1 { "1 connection".to_owned() } else { format!("{} connections", self.connections) };
        let how = match self.rate {
            Some(rate) => {
                format!("{} calls/s wanted, at most {} in flight", grouped(rate), grouped(self.in_flight.into()))
            }
            None => format!("{} in flight", grouped(self.in_flight.into())),
        };
        let (action, size, took) = (escaped(&self.action), show_size(self.size as u64), show_duration(self.took));
        format!("{action}: {how} on {connections}, {size} each, {took}")
    }

    fn table(&self) -> Table {
        let heads = ["CALLS/S", "ANSWERED", "ERRORS", "P50", "P99", "P99.9", "MAX"];
        let mut table = Table::new(&heads.map(Figures));
        let time = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), |us| show_duration(Duration::from_micros(us)));
        table.row([
            show_rate(self.per_second()),
            grouped(self.record.answered),
            grouped(self.record.failed()),
            time(self.at(0.5)),
            time(self.at(0.99)),
            time(self.at(0.999)),
            time(self.at(1.0)),
        ]);
        table
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let errors: Map<_, _> =
            self.record.errors.iter().map(|(name, (_, count))| ((*name).to_owned(), (*count).into())).collect();
        json!({
            "action": self.action,
            "seconds": (self.took.as_secs_f64() * 1e3).round() / 1e3,
            "calls": self.record.answered + self.record.failed(),
            "answered": self.record.answered,
            "not_started": self.not_started,
            "per_second": self.per_second().round(),
            "connections": self.connections,
            "in_flight": self.in_flight,
            "size": self.size,
            "rate": self.rate,
            "us": {
                "p50": self.at(0.5),
                "p99": self.at(0.99),
                "p999": self.at(0.999),
                "max": self.at(1.0),
                "mean": self.at(1.0).map(|_| self.record.latencies.mean().round()),
            },
            "errors": errors,
        })
    }
}
