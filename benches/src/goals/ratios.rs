//! Ours against the relay and the best of the peers, round by round: what was measured within the same seconds compares best.

use super::row::Row;
use super::{DEEP, IDLE_CALL, MANY, SHAPES, SIZES};
use crate::table::size;
use crate::timing::median;
use crate::wire::report::{Line, Report};
use crate::wire::shape::Shape;
use crate::wire::visit::{Cost, Sample};

const OURS: &str = "answerback";
const RELAY: &str = "relay";
const PEERS: [&str; 4] = ["nats-server", "redis", "gearmand", "gearmand, 16 grabs"];

/// What ratios are taken from.
pub(super) struct Ratios<'a>(pub(super) &'a Report);

impl Ratios<'_> {
    /// All goals of calls over loopback.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = self.idle_call();
        rows.extend(self.speed());
        rows.extend(self.processor());
        rows
    }

    /// Calls per second of one system against another's.
    pub(super) fn against(&self, one: &str, other: &str, shape: Shape, data_bytes: usize) -> Option<f64> {
        let speed = |sample: &Sample| sample.calls_per_second;
        of_rounds(self.0.line(one, shape, data_bytes)?, &[self.0.line(other, shape, data_bytes)?], speed, f64::max)
    }

    fn peers(&self, shape: Shape, data_bytes: usize) -> Vec<&Line> {
        PEERS.iter().filter_map(|peer| self.0.line(peer, shape, data_bytes)).collect()
    }

    fn idle_call(&self) -> Vec<Row> {
        let line = |system| self.0.line(system, IDLE_CALL, 64);
        let (ours, p50) = (line(OURS), |sample: &Sample| sample.p50_us);
        let relay = ours.zip(line(RELAY)).and_then(|(ours, relay)| of_rounds(ours, &[relay], p50, f64::min));
        let peers = ours.and_then(|ours| of_rounds(ours, &self.peers(IDLE_CALL, 64), p50, f64::min));
        let switches = ours.and_then(|ours| ours.cost(|cost| cost.switches_per_call));
        vec![
            Row::at_most("idle call, p50 against the relay's", relay, 1.05),
            Row::at_most("idle call, p50 against the lowest of the peers", peers, 1.0),
            Row::at_most("idle call, system calls", ours.and_then(|ours| ours.system_calls), 7.0),
            Row::at_most("idle call, context switches", switches, 2.2),
        ]
    }

    fn speed(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for data_bytes in SIZES {
            for shape in SHAPES {
                let name = |other| format!("calls per second, {}, {shape}, against {other}", size(data_bytes));
                let best = self.0.line(OURS, shape, data_bytes).and_then(|ours| {
                    of_rounds(ours, &self.peers(shape, data_bytes), |sample| sample.calls_per_second, f64::max)
                });
                rows.push(Row::at_least(name("the best peer"), best, goal_of_speed(shape, data_bytes)));
                let relay = match data_bytes {
                    64 if shape == MANY => 0.95,
                    65_536 => 0.75,
                    _ => continue,
                };
                rows.push(Row::at_least(name("the relay"), self.against(OURS, RELAY, shape, data_bytes), relay));
            }
        }
        rows
    }

    fn processor(&self) -> Vec<Row> {
        let cpu = |cost: &Cost| cost.cpu_seconds_per_100k;
        let row = |shape: Shape| {
            let ours = self.0.line(OURS, shape, 64).and_then(|line| line.cost(cpu));
            let least = self.peers(shape, 64).iter().filter_map(|line| line.cost(cpu)).reduce(f64::min);
            let ratio = ours.zip(least).filter(|(_, least)| *least > 0.0).map(|(ours, least)| ours / least);
            let goal = if shape == IDLE_CALL { 0.65 } else { 0.4 };
            Row::at_most(format!("processor time for a call, {shape}, against the lowest of the peers"), ratio, goal)
        };
        SHAPES.map(row).into()
    }
}

/// How many times as many calls per second as the best peer there should be.
fn goal_of_speed(shape: Shape, data_bytes: usize) -> f64 {
    match data_bytes {
        64 if shape == IDLE_CALL => 1.25,
        64 if shape == DEEP => 2.0,
        64 if shape == MANY => 2.2,
        65_536 => 1.5,
        _ => 1.3,
    }
}

/// The median over rounds of our figure against the best of theirs.
fn of_rounds(ours: &Line, theirs: &[&Line], of: impl Fn(&Sample) -> f64, best: fn(f64, f64) -> f64) -> Option<f64> {
    let mut ratios = Vec::new();
    for (round, sample) in ours.samples.iter().enumerate() {
        let others = theirs.iter().filter_map(|line| line.samples.get(round)).map(&of);
        ratios.push(of(sample) / others.reduce(best)?);
    }
    Some(median(&mut ratios))
}
