//! One visit: clients are connected to a system that runs, put their load on it, and leave.

use super::requesters::Requesters;
use super::responders::Responders;
use super::shape::Shape;
use super::system::{Role, Running};
use crate::Outcome;
use crate::process::Usage;
use hdrhistogram::Histogram;
use std::time::Duration;

/// What a visit does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Connections and calls in flight.
    pub(crate) shape: Shape,
    /// Bytes of data in each call and each answer.
    pub(crate) data_bytes: usize,
    /// Time before the part that counts.
    pub(crate) warmup: Duration,
    /// Time of the part that counts.
    pub(crate) counted: Duration,
    /// Whether system calls are counted. That slows the system down, so nothing else of such a visit counts.
    pub(crate) traced: bool,
}

/// What a visit saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Calls answered in each second.
    pub(crate) calls_per_second: f64,
    /// What the responders took in each second. For calls the same, but for sends nobody waits for them.
    pub(crate) handled_per_second: f64,
    /// Latencies in microseconds: half of the calls were quicker, 99 %, 99.9 %.
    pub(crate) p50_us: f64,
    /// See `p50_us`.
    pub(crate) p99_us: f64,
    /// See `p50_us`.
    pub(crate) p999_us: f64,
    /// What the system used, if its process is known.
    pub(crate) cost: Option<Cost>,
    /// System calls of the system for each call, if they were counted.
    pub(crate) system_calls: Option<f64>,
}

/// What happened in the time that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Calls that were answered.
    pub(crate) answered: u64,
    /// Calls that responders took.
    pub(crate) handled: u64,
    /// How long it was.
    pub(crate) elapsed: Duration,
}

/// What the process of a system used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds of processor time for 100,000 calls.
    pub(crate) cpu_seconds_per_100k: f64,
    /// Context switches for each call.
    pub(crate) switches_per_call: f64,
    /// How often the machine's disks were told to make what they have permanent, for each call.
    pub(crate) flushes_per_call: f64,
    /// MiB resident at the end.
    pub(crate) resident_mib: f64,
    /// The most MiB that were resident since it was started.
    pub(crate) peak_mib: f64,
}

impl Sample {
    /// What was counted, as figures.
    pub(crate) fn new(latencies: &Histogram<u64>, counted: Counted, usage: Option<(Usage, Usage)>) -> Self {
        let Counted { answered, handled, elapsed } = counted;
        let us = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            calls_per_second: answered as f64 / elapsed.as_secs_f64(),
            handled_per_second: handled as f64 / elapsed.as_secs_f64(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            cost: usage.map(|(before, after)| Cost::new(before, after, answered.max(1) as f64)),
            system_calls: None,
        }
    }
}

impl Cost {
    fn new(before: Usage, after: Usage, calls: f64) -> Self {
        Self {
            cpu_seconds_per_100k: (after.cpu_seconds - before.cpu_seconds) / calls * 100_000.0,
            switches_per_call: (after.switches - before.switches) as f64 / calls,
            flushes_per_call: (after.disk_flushes - before.disk_flushes) as f64 / calls,
            resident_mib: after.resident_bytes as f64 / f64::from(1 << 20),
            peak_mib: after.peak_bytes as f64 / f64::from(1 << 20),
        }
    }
}

/// Puts a load on `running` and tells what was seen.
pub(crate) fn visit(running: &dyn Running, plan: &Plan) -> Outcome<Sample> {
    let responders = Responders::open(running, Role::Responder, running.responders(plan.shape), plan.data_bytes)?;
    let (stop, handled) = (responders.stop(), responders.handled());
    std::thread::scope(|scope| {
        let answering = scope.spawn(move || responders.run());
        let mut requesters = None;
        let seen = Requesters::open(running, plan)
            .and_then(|opened| requesters.insert(opened).run(plan, running.process(), &handled));
        // The requesters stay connected until the responders have stopped, who else might see a relay hang up.
        stop.ask()?;
        let answered = answering.join().map_err(|_| "the responders panicked")?;
        // When the responders broke, silence is all that the requesters saw of it.
        answered.map_err(|error| format!("responders: {error}"))?;
        seen
    })
}
