//! What `goals` has written down, read back.

use crate::Outcome;
use crate::timing::median;
use serde_json::Value;

/// Everything of one run.
pub(super) struct Results {
    value: Value,
    lines: Vec<Line>,
}

/// Medians of one system with one load.
pub(super) struct Line {
    pub(super) system: String,
    pub(super) shape: String,
    pub(super) data_bytes: u64,
    pub(super) system_calls: Option<f64>,
    rounds: Vec<Value>,
}

impl Results {
    /// Results whose form is known.
    pub(super) fn new(value: Value) -> Outcome<Self> {
        let measured = value["measured"].as_array().ok_or("these are no results: `measured` is missing")?;
        let lines = measured.iter().map(Line::new).collect::<Option<Vec<_>>>();
        let lines = lines.filter(|lines| !lines.is_empty()).ok_or("these are no results: nothing is measured")?;
        Ok(Self { value, lines })
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.value[name].as_str().unwrap_or("unknown")
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.value[name].as_f64().unwrap_or(0.0)
    }

    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.value[name].as_array().map_or(&[], Vec::as_slice)
    }

    pub(super) fn systems(&self) -> Vec<&str> {
        each_once(self.lines.iter().map(|line| line.system.as_str()))
    }

    pub(super) fn shapes(&self) -> Vec<&str> {
        each_once(self.lines.iter().map(|line| line.shape.as_str()))
    }

    pub(super) fn sizes(&self) -> Vec<u64> {
        each_once(self.lines.iter().map(|line| line.data_bytes))
    }

    pub(super) fn line(&self, system: &str, shape: &str, data_bytes: u64) -> Option<&Line> {
        self.lines.iter().find(|line| line.system == system && line.shape == shape && line.data_bytes == data_bytes)
    }
}

/// All values in the order in which they come first.
fn each_once<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut seen, value| {
        if !seen.contains(&value) {
            seen.push(value);
        }
        seen
    })
}

impl Line {
    fn new(value: &Value) -> Option<Self> {
        Some(Self {
            system: value["system"].as_str()?.to_owned(),
            shape: value["shape"].as_str()?.to_owned(),
            data_bytes: value["data_bytes"].as_u64()?,
            system_calls: value["system_calls_per_call"].as_f64(),
            rounds: value["rounds"].as_array()?.clone(),
        })
    }

    /// The middle of the rounds, if all of them have it.
    pub(super) fn median(&self, name: &str) -> Option<f64> {
        let values: Option<Vec<f64>> = self.rounds.iter().map(|round| round[name].as_f64()).collect();
        values.filter(|values| !values.is_empty()).map(|mut values| median(&mut values))
    }
}
