//! What was seen, as a table for people and as JSON for plots.

use super::shape::Shape;
use super::visit::{Cost, Sample};
use crate::machine;
use crate::table::{Table, figures, grouped, size};
use crate::timing::median;
use serde_json::{Value, json};
use std::fmt;

/// Samples of all visits.
pub(crate) struct Report {
    versions: Vec<String>,
    lines: Vec<Line>,
}

/// All that was seen of one system with one load.
pub(crate) struct Line {
    pub(crate) system: &'static str,
    pub(crate) shape: Shape,
    pub(crate) data_bytes: usize,
    pub(crate) samples: Vec<Sample>,
    /// For each call; from a visit of its own.
    pub(crate) system_calls: Option<f64>,
}

const COLUMNS: [&str; 12] = [
    "data",
    "shape",
    "system",
    "calls/s",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "CPU s/100k",
    "system calls",
    "switches",
    "peak MiB",
    "of it",
];

impl Report {
    pub(crate) fn new(versions: Vec<String>) -> Self {
        Self { versions, lines: Vec::new() }
    }

    /// Adds what a visit saw.
    pub(crate) fn add(&mut self, system: &'static str, shape: Shape, data_bytes: usize, sample: Sample) {
        let same = |line: &&mut Line| (line.system, line.shape, line.data_bytes) == (system, shape, data_bytes);
        match self.lines.iter_mut().find(same) {
            Some(line) => line.samples.push(sample),
            None => self.lines.push(Line { system, shape, data_bytes, samples: vec![sample], system_calls: None }),
        }
    }

    /// Adds how many system calls a call took, if that is known.
    pub(crate) fn add_system_calls(&mut self, system: &str, shape: Shape, data_bytes: usize, each: Option<f64>) {
        let same = |line: &&mut Line| (line.system, line.shape, line.data_bytes) == (system, shape, data_bytes);
        if let Some(line) = self.lines.iter_mut().find(same) {
            line.system_calls = each;
        }
    }

    /// What was seen of one system with one load.
    pub(crate) fn line(&self, system: &str, shape: Shape, data_bytes: usize) -> Option<&Line> {
        self.lines.iter().find(|line| (line.system, line.shape, line.data_bytes) == (system, shape, data_bytes))
    }

    fn cells(&self, line: &Line) -> Vec<String> {
        let known = |of: fn(&Cost) -> f64| line.cost(of).map_or("-".to_owned(), figures);
        vec![
            size(line.data_bytes),
            line.shape.to_string(),
            line.system.to_owned(),
            grouped(line.median(|sample| sample.calls_per_second)),
            figures(line.median(|sample| sample.p50_us)),
            figures(line.median(|sample| sample.p99_us)),
            figures(line.median(|sample| sample.p999_us)),
            known(|cost| cost.cpu_seconds_per_100k),
            line.system_calls.map_or("-".to_owned(), figures),
            known(|cost| cost.switches_per_call),
            known(|cost| cost.peak_mib),
            self.share_of(line).map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
        ]
    }

    /// Calls per second of the first system as a share of this line's. The median of the shares in each round, because
    /// what was measured within the same seconds compares best.
    fn share_of(&self, line: &Line) -> Option<f64> {
        let first = self.lines.first().map(|first| first.system).filter(|first| *first != line.system)?;
        let firsts = self.line(first, line.shape, line.data_bytes)?;
        let pairs = firsts.samples.iter().zip(&line.samples);
        Some(median(&mut pairs.map(|(a, b)| a.calls_per_second / b.calls_per_second).collect::<Vec<_>>()))
    }

    /// Every sample of every round.
    pub(crate) fn json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "system": line.system,
                    "shape": line.shape.to_string(),
                    "data_bytes": line.data_bytes,
                    "system_calls_per_call": line.system_calls,
                    "rounds": line.samples.iter().map(sample_json).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "command": machine::command(), "machine": machine::description(), "versions": self.versions,
            "measured": lines,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.lines.first().map_or(0, |line| line.samples.len());
        let mut table = Table::new(format!("calls over loopback, medians of {rounds}"), 3, &COLUMNS);
        for line in &self.lines {
            table.row(self.cells(line));
        }
        writeln!(f, "beside   {}\n{table}", self.versions.join("; "))
    }
}

impl Line {
    /// The middle of the rounds.
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(&mut self.samples.iter().map(of).collect::<Vec<_>>())
    }

    /// The same of what the system's process used, if that is known.
    pub(crate) fn cost(&self, of: impl Fn(&Cost) -> f64) -> Option<f64> {
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
        "peak_mib": sample.cost.map(|cost| cost.peak_mib),
    })
}
