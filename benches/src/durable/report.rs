//! What was seen of durable requests, as a table and as JSON.

use super::What;
use crate::Outcome;
use crate::machine;
use crate::table::{Table, figures, grouped, size};
use crate::timing::median;
use crate::wire::shape::Shape;
use crate::wire::visit::{Cost, Sample};
use serde_json::{Value, json};
use std::fmt;

/// Samples of all visits.
pub(super) struct Report {
    versions: Vec<String>,
    lines: Vec<Line>,
    failures: Vec<String>,
}

/// All that was seen of one system with one load.
struct Line {
    load: (What, usize, Shape),
    system: &'static str,
    samples: Vec<Sample>,
}

const COLUMNS: [&str; 13] = [
    "what",
    "data",
    "shape",
    "system",
    "per second",
    "handled/s",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "CPU s/100k",
    "flushes each",
    "RSS MiB",
    "of it",
];

impl Report {
    pub(super) fn new(versions: Vec<String>) -> Self {
        Self { versions, lines: Vec::new(), failures: Vec::new() }
    }

    /// Adds what a visit saw, or why it saw nothing.
    pub(super) fn add(
        &mut self,
        what: What,
        system: &'static str,
        shape: Shape,
        data_bytes: usize,
        seen: Result<Sample, String>,
    ) {
        let load = (what, data_bytes, shape);
        match seen {
            Err(failure) => {
                eprintln!("{failure}");
                self.failures.push(failure);
            }
            Ok(sample) => match self.lines.iter_mut().find(|line| line.load == load && line.system == system) {
                Some(line) => line.samples.push(sample),
                None => self.lines.push(Line { load, system, samples: vec![sample] }),
            },
        }
    }

    /// Fails if a visit did.
    pub(super) fn failed(&self) -> Outcome<()> {
        let many = self.failures.len();
        self.failures.first().map_or(Ok(()), |first| Err(format!("{many} visits failed, the first: {first}").into()))
    }

    fn cells(&self, line: &Line) -> Vec<String> {
        let (what, data_bytes, shape) = line.load;
        let cost = |of: fn(&Cost) -> f64| line.cost(of).map_or("-".to_owned(), figures);
        vec![
            what.to_string(),
            size(data_bytes),
            shape.to_string(),
            line.system.to_owned(),
            grouped(line.median(|sample| sample.calls_per_second)),
            grouped(line.median(|sample| sample.handled_per_second)),
            figures(line.median(|sample| sample.p50_us)),
            figures(line.median(|sample| sample.p99_us)),
            figures(line.median(|sample| sample.p999_us)),
            cost(|cost| cost.cpu_seconds_per_100k),
            cost(|cost| cost.flushes_per_call),
            cost(|cost| cost.resident_mib),
            self.share_of(line).map_or(String::new(), |share| format!("{share:.2}")),
        ]
    }

    /// How many times as many the first system does as the one of this name, with the load that both have first.
    pub(super) fn share_of_first(&self, system: &str) -> Option<f64> {
        self.lines.iter().find(|line| line.system == system).and_then(|line| self.share_of(line))
    }

    /// How many times as many the first system of this load does. The median over the rounds, because what was measured
    /// within the same seconds compares best.
    fn share_of(&self, line: &Line) -> Option<f64> {
        let first =
            self.lines.iter().find(|first| first.load == line.load).filter(|first| first.system != line.system)?;
        let pairs = first.samples.iter().zip(&line.samples);
        Some(median(&mut pairs.map(|(a, b)| a.calls_per_second / b.calls_per_second).collect::<Vec<_>>()))
    }

    /// Every sample of every round.
    pub(super) fn json(&self) -> Value {
        let lines: Vec<Value> = self.lines.iter().map(Line::json).collect();
        json!({
            "command": machine::command(), "machine": machine::description(), "versions": self.versions,
            "failures": self.failures, "measured": lines,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.lines.first().map_or(0, |line| line.samples.len());
        let mut table = Table::new(format!("durable requests over loopback, medians of {rounds}"), 4, &COLUMNS);
        for line in &self.lines {
            table.row(self.cells(line));
        }
        writeln!(f, "beside   {}\n{table}", self.versions.join("; "))
    }
}

impl Line {
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(&mut self.samples.iter().map(of).collect::<Vec<_>>())
    }

    fn cost(&self, of: impl Fn(&Cost) -> f64) -> Option<f64> {
        let costs: Option<Vec<f64>> = self.samples.iter().map(|sample| sample.cost.as_ref().map(&of)).collect();
        costs.map(|mut costs| median(&mut costs))
    }

    fn json(&self) -> Value {
        let (what, data_bytes, shape) = self.load;
        let rounds: Vec<Value> = self.samples.iter().map(round_json).collect();
        json!({
            "what": what.to_string(), "data_bytes": data_bytes, "shape": shape.to_string(), "system": self.system,
            "rounds": rounds,
        })
    }
}

fn round_json(sample: &Sample) -> Value {
    json!({
        "per_second": sample.calls_per_second,
        "handled_per_second": sample.handled_per_second,
        "p50_us": sample.p50_us,
        "p99_us": sample.p99_us,
        "p999_us": sample.p999_us,
        "cpu_seconds_per_100k": sample.cost.map(|cost| cost.cpu_seconds_per_100k),
        "flushes_per_request": sample.cost.map(|cost| cost.flushes_per_call),
        "resident_mib": sample.cost.map(|cost| cost.resident_mib),
    })
}
