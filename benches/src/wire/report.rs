//! What was seen, as a table for people and as JSON for plots.

use super::shape::Shape;
use super::visit::Sample;
use crate::machine;
use crate::table::{Table, figures, grouped, size};
use crate::timing::median;
use serde_json::{Value, json};

/// Samples of all visits.
pub(super) struct Report {
    systems: Vec<&'static str>,
    lines: Vec<Line>,
}

/// All that was seen of one system with one load.
struct Line {
    system: &'static str,
    shape: Shape,
    data_bytes: usize,
    samples: Vec<Sample>,
}

impl Report {
    pub(super) fn new(systems: Vec<&'static str>) -> Self {
        Self { systems, lines: Vec::new() }
    }

    /// Adds what a visit saw.
    pub(super) fn add(&mut self, system: &'static str, shape: Shape, data_bytes: usize, sample: Sample) {
        let same = |line: &&mut Line| (line.system, line.shape, line.data_bytes) == (system, shape, data_bytes);
        match self.lines.iter_mut().find(same) {
            Some(line) => line.samples.push(sample),
            None => self.lines.push(Line { system, shape, data_bytes, samples: vec![sample] }),
        }
    }

    /// Medians, and what the first system reaches of each of the others.
    pub(super) fn table(&self) -> Table {
        let columns = [
            "data",
            "shape",
            "system",
            "calls/s",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "CPU s/100k",
            "switches/call",
            "RSS MiB",
            "of it",
        ];
        let rounds = self.lines.first().map_or(0, |line| line.samples.len());
        let title = format!("calls over loopback, medians of {rounds}");
        let mut table = Table::new(title, 3, &columns);
        for line in &self.lines {
            table.row(self.cells(line));
        }
        table
    }

    fn cells(&self, line: &Line) -> Vec<String> {
        let known = |of: fn(&super::visit::Cost) -> f64| line.cost(of).map_or("-".to_owned(), figures);
        vec![
            size(line.data_bytes),
            line.shape.to_string(),
            line.system.to_owned(),
            grouped(line.median(|sample| sample.calls_per_second)),
            figures(line.median(|sample| sample.p50_us)),
            figures(line.median(|sample| sample.p99_us)),
            figures(line.median(|sample| sample.p999_us)),
            known(|cost| cost.cpu_seconds_per_100k),
            known(|cost| cost.switches_per_call),
            known(|cost| cost.resident_mib),
            self.share_of(line).map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
        ]
    }

    /// Calls per second of the first system as a share of this line's. The median of the shares in each round, because
    /// what was measured within the same seconds compares best.
    fn share_of(&self, line: &Line) -> Option<f64> {
        let first = self.systems.first().filter(|&&first| first != line.system)?;
        let same =
            |other: &&Line| (other.system, other.shape, other.data_bytes) == (*first, line.shape, line.data_bytes);
        let firsts = self.lines.iter().find(same)?;
        let pairs = firsts.samples.iter().zip(&line.samples);
        Some(median(&mut pairs.map(|(a, b)| a.calls_per_second / b.calls_per_second).collect::<Vec<_>>()))
    }

    /// Every sample of every round.
    pub(super) fn json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "system": line.system,
                    "shape": line.shape.to_string(),
                    "data_bytes": line.data_bytes,
                    "rounds": line.samples.iter().map(sample_json).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({ "command": machine::command(), "machine": machine::description(), "measured": lines })
    }
}

impl Line {
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(&mut self.samples.iter().map(of).collect::<Vec<_>>())
    }

    fn cost(&self, of: impl Fn(&super::visit::Cost) -> f64) -> Option<f64> {
        let costs: Option<Vec<f64>> = self.samples.iter().map(|sample| sample.cost.as_ref().map(&of)).collect();
        costs.map(|mut costs| median(&mut costs))
    }
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "calls_per_second": sample.calls_per_second,
        "p50_us": sample.p50_us,
        "p99_us": sample.p99_us,
        "p999_us": sample.p999_us,
        "cpu_seconds_per_100k": sample.cost.map(|cost| cost.cpu_seconds_per_100k),
        "switches_per_call": sample.cost.map(|cost| cost.switches_per_call),
        "resident_mib": sample.cost.map(|cost| cost.resident_mib),
    })
}
