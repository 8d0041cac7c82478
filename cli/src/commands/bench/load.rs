//! The load: workers that call, one call after the other, and what they have measured.
//!
//! Closed loop: each worker starts its next call when the one before it has ended. Open loop (`--rate`): a thread hands out permissions to
//! start at the times at which calls should start. A worker that is late because all are busy still counts from that time, so nothing
//! that a caller would have had to wait for is left out.

use crate::exit::{Exit, Failure};
use answerback::{Client, Code};
use bytes::Bytes;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Figures of a latency that count.
const FIGURES: u8 = 3;

/// The longest pause of the thread that hands out permissions, so that it sees the end.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// How long after its end a load by time still starts calls that were due before: there is always one that has just become due.
const LAST_START_WITHIN: Duration = Duration::from_millis(10);

/// What is called, and how.
pub(super) struct Load {
    pub(super) action: String,
    pub(super) data: Bytes,
    pub(super) in_flight: u32,
    pub(super) timeout: Duration,
    /// Calls that should start each second; as fast as answers come if nothing is said.
    pub(super) rate: Option<u64>,
    pub(super) length: Length,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    Time(Duration),
    Calls(u64),
}

/// A load under way.
pub(super) struct Run {
    pub(super) load: Load,
    from: Instant,
    /// Calls that workers have begun or found that there is no time for.
    tickets: AtomicU64,
    started: AtomicU64,
    /// Calls whose time to start has come, if there is a rate.
    due: AtomicU64,
    /// Permissions to start, if there is a rate.
    allowed: Option<Semaphore>,
    /// One for each connection, so that workers on different threads seldom meet.
    records: Vec<Mutex<Record>>,
    /// A record of nothing.
    empty: Record,
    over: AtomicBool,
}

/// What was measured.
#[derive(Clone)]
pub(super) struct Record {
    /// Microseconds of calls that were answered.
    pub(super) latencies: Histogram<u64>,
    pub(super) answered: u64,
    /// Of them, those answered before the time was over. Later ones count in latencies but not in the rate.
    pub(super) in_time: u64,
    pub(super) errors: BTreeMap<&'static str, (Code, u64)>,
    /// When the last answer came.
    pub(super) last: Duration,
}

/// The workers; dropping them cancels what they still wait for.
pub(super) struct Work(JoinSet<()>);

impl Run {
    pub(super) fn new(load: Load, connections: usize) -> Result<Self, Failure> {
        let empty = Record::new()?;
        Ok(Self {
            from: Instant::now(),
            tickets: AtomicU64::new(0),
            started: AtomicU64::new(0),
            due: AtomicU64::new(0),
            allowed: load.rate.map(|_| Semaphore::new(0)),
            records: (0..connections).map(|_| Mutex::new(empty.clone())).collect(),
            empty,
            over: AtomicBool::new(false),
            load,
        })
    }

    /// Starts the workers, spread over the connections.
    pub(super) fn start(run: &Arc<Self>, clients: &[Client]) -> Work {
        let mut workers = JoinSet::new();
        for number in 0..run.load.in_flight as usize {
            let (run, at) = (Arc::clone(run), number % clients.len());
            let client = clients[at].clone();
            workers.spawn(async move { run.work(&client, at).await });
        }
        if run.load.rate.is_some() {
            let run = Arc::clone(run);
            thread::spawn(move || run.hand_out());
        }
        Work(workers)
    }

    /// No further call is started.
    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(allowed) = &self.allowed {
            allowed.close();
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.from.elapsed()
    }

    /// Everything measured so far.
    pub(super) fn record(&self) -> Record {
        self.records.iter().fold(self.empty.clone(), |sum, record| sum.and(&lock(record)))
    }

    /// Calls that should have been started by now and could not, because all workers were busy.
    pub(super) fn not_started(&self) -> u64 {
        self.due.load(Ordering::Relaxed).saturating_sub(self.started.load(Ordering::Relaxed))
    }

    async fn work(&self, client: &Client, at: usize) {
        while let Some(since) = self.next().await {
            let call = client.call_raw(&self.load.action, self.load.data.clone()).timeout(self.load.timeout);
            let answer = call.await;
            let error = answer.err().map(|error| error.code());
            let in_time = match self.load.length {
                Length::Time(length) => self.elapsed() <= length,
                Length::Calls(_) => true,
            };
            lock(&self.records[at]).add(since.elapsed(), error, in_time, self.elapsed());
        }
    }

    /// When the next call should start, which is now unless it is late; nothing if there is no further one.
    async fn next(&self) -> Option<Instant> {
        if let Some(allowed) = &self.allowed {
            allowed.acquire().await.ok()?.forget();
        }
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let is_one = match (self.load.length, self.load.rate) {
            (Length::Calls(calls), _) => ticket < calls,
            (Length::Time(length), None) => self.elapsed() < length,
            (Length::Time(length), Some(rate)) => {
                due_after(ticket, rate) < length && self.elapsed() < length + LAST_START_WITHIN
            }
        };
        if !is_one || self.over.load(Ordering::Relaxed) {
            return None;
        }
        self.started.fetch_add(1, Ordering::Relaxed);
        Some(self.load.rate.map_or_else(Instant::now, |rate| self.from + due_after(ticket, rate)))
    }

    /// Gives a permission for each call whose time has come. A thread of its own, because timers of the runtime know whole milliseconds
    /// only, and those would be in every latency.
    fn hand_out(&self) {
        let (Some(allowed), Some(rate)) = (&self.allowed, self.load.rate) else { return };
        let mut given = 0;
        while !self.over.load(Ordering::Relaxed) && !self.is_all(given, rate) {
            let next = self.from + due_after(given, rate);
            let now = Instant::now();
            if now < next {
                thread::park_timeout((next - now).min(LOOK_AFTER));
                continue;
            }
            given = self.due.fetch_add(1, Ordering::Relaxed) + 1;
            allowed.add_permits(1);
        }
        // One more for each worker, with which it finds that there is nothing more to do. Those given before go first.
        if self.is_all(given, rate) {
            allowed.add_permits(self.load.in_flight as usize);
        }
    }

    /// Whether no further call will be due.
    fn is_all(&self, given: u64, rate: u64) -> bool {
        match self.load.length {
            Length::Time(length) => due_after(given, rate) >= length,
            Length::Calls(calls) => given >= calls,
        }
    }
}

impl Work {
    /// Waits until all workers have nothing more to do.
    pub(super) async fn finished(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

impl Record {
    fn new() -> Result<Self, Failure> {
        let refused = |error| Failure::new(Exit::Other, format!("cannot count latencies: {error}"), "tell its authors");
        let latencies = Histogram::new(FIGURES).map_err(refused)?;
        Ok(Self { latencies, answered: 0, in_time: 0, errors: BTreeMap::new(), last: Duration::ZERO })
    }

    fn add(&mut self, took: Duration, error: Option<Code>, in_time: bool, at: Duration) {
        self.last = self.last.max(at);
        match error {
            Some(code) => self.errors.entry(code.as_str()).or_insert((code, 0)).1 += 1,
            None => {
                self.answered += 1;
                self.in_time += u64::from(in_time);
                // It grows as needed, so it takes every value.
                let _ = self.latencies.record(took.as_micros() as u64);
            }
        }
    }

    fn and(mut self, other: &Self) -> Self {
        let _ = self.latencies.add(&other.latencies);
        self.answered += other.answered;
        self.in_time += other.in_time;
        self.last = self.last.max(other.last);
        for (name, (code, count)) in &other.errors {
            self.errors.entry(name).or_insert((*code, 0)).1 += count;
        }
        self
    }

    /// How many calls failed.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().map(|(_, count)| count).sum()
    }
}

fn due_after(ticket: u64, rate: u64) -> Duration {
    Duration::from_nanos((u128::from(ticket) * 1_000_000_000 / u128::from(rate)) as u64)
}

/// A worker that panicked has measured what it has measured.
fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_due_at_even_distances() {
        assert_eq!(due_after(0, 1_000), Duration::ZERO);
        assert_eq!(due_after(3, 1_000), Duration::from_millis(3));
        assert_eq!(due_after(1, 3), Duration::from_nanos(333_333_333));
        assert_eq!(due_after(86_400 * 10_000_000, 10_000_000), Duration::from_secs(86_400));
    }

    #[test]
    fn records_add_up() {
        let (mut one, mut two) = (Record::new().unwrap(), Record::new().unwrap());
        one.add(Duration::from_micros(100), None, true, Duration::from_secs(1));
        one.add(Duration::from_micros(1), Some(Code::Timeout), true, Duration::from_secs(2));
        two.add(Duration::from_micros(300), None, false, Duration::from_secs(3));
        two.add(Duration::from_micros(1), Some(Code::Timeout), true, Duration::from_secs(1));
        let sum = Record::new().unwrap().and(&one).and(&two);
        assert_eq!((sum.answered, sum.in_time, sum.failed(), sum.last), (2, 1, 2, Duration::from_secs(3)));
        assert_eq!((sum.latencies.min(), sum.latencies.max()), (100, 300));
    }
}
