//! What all processes of a crowd have said, put in order as it comes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

/// A process of a crowd, by the order of its start.
pub(crate) type Number = usize;

/// `holding the broker, epoch 7`, in a log.
const HOLDING: &str = "holding the broker, epoch ";

/// The most lines of logs that are kept, for a test that fails.
const LOG_LINES_MAX: usize = 2_000;

#[derive(Default)]
pub(crate) struct Said {
    pub(crate) connected: HashSet<Number>,
    pub(crate) subscribed: HashSet<Number>,
    /// Who has the broker since when, by the epoch.
    pub(crate) epochs: BTreeMap<u64, Vec<(Number, Instant)>>,
    /// Texts in inboxes, and how often.
    pub(crate) got: HashMap<String, u32>,
    /// Topics, and who has heard of them how often.
    pub(crate) heard: HashMap<String, HashMap<Number, u32>>,
    /// Who was answered, by the round.
    pub(crate) asked: HashMap<u64, HashMap<Number, Instant>>,
    pub(crate) accepted: HashSet<String>,
    pub(crate) ran: HashMap<String, u32>,
    /// What must not be.
    pub(crate) failed: Vec<String>,
    pub(crate) log: Vec<String>,
}

impl Said {
    /// A line on the standard output of a process.
    pub(crate) fn told(&mut self, by: Number, line: &str) {
        let Some((word, rest)) = line.strip_prefix("@ ").map(|told| told.split_once(' ').unwrap_or((told, ""))) else {
            return;
        };
        let rest = rest.to_owned();
        match word {
            "connected" => drop(self.connected.insert(by)),
            "subscribed" => drop(self.subscribed.insert(by)),
            "got" => *self.got.entry(rest).or_default() += 1,
            "heard" => *self.heard.entry(rest).or_default().entry(by).or_default() += 1,
            "asked" => drop(self.asked.entry(rest.parse().unwrap()).or_default().insert(by, Instant::now())),
            "accepted" => drop(self.accepted.insert(rest)),
            "ran" => *self.ran.entry(rest).or_default() += 1,
            _ => self.failed.push(format!("{by}: {line}")),
        }
    }

    /// A line of the log of a process.
    pub(crate) fn logged(&mut self, by: Number, line: &str) {
        if let Some((_, rest)) = line.split_once(HOLDING) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            self.epochs.entry(digits.parse().unwrap()).or_default().push((by, Instant::now()));
        }
        if line.contains("panicked") || line.contains("ERROR") {
            self.failed.push(format!("{by}: {line}"));
        }
        if self.log.len() < LOG_LINES_MAX {
            self.log.push(format!("{by}: {line}"));
        }
    }

    /// The last holder and its epoch.
    pub(crate) fn holder(&self) -> Option<(u64, Number)> {
        let (epoch, holders) = self.epochs.last_key_value()?;
        Some((*epoch, holders.last()?.0))
    }
}
