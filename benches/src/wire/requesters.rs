//! All requester connections, on one thread: each always has as many calls in flight as the shape says.

use super::dialect::{Dialect, Heard};
use super::link::{After, Link, SCRATCH_BYTES};
use super::system::{Role, Running};
use super::tracer::Tracer;
use super::visit::{Counted, Plan, Sample};
use crate::Outcome;
use crate::process::{self, Usage};
use hdrhistogram::Histogram;
use mio::{Events, Poll};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nobody waits longer than this for any answer at all; then something is broken.
const SILENCE: Duration = Duration::from_secs(10);

/// Latencies up to this are told apart, in nanoseconds. 60 s is beyond every deadline here.
pub(crate) const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Connections that call.
pub(crate) struct Requesters {
    poll: Poll,
    events: Events,
    links: Vec<Link>,
    scratch: Vec<u8>,
    calls: Calls,
}

/// What is known of the calls in flight. The id of a call is `round x places + place`, so an id names its place and is
/// never used twice.
struct Calls {
    in_flight: usize,
    places: u64,
    data: Vec<u8>,
    begun: Instant,
    /// When the call in each place was made, in nanoseconds since `begun`.
    made_at: Vec<u64>,
    answered: u64,
    waiting: u64,
    asking: bool,
    latencies: Histogram<u64>,
}

impl Requesters {
    /// Connects as many as the shape says.
    pub(crate) fn open(running: &dyn Running, plan: &Plan) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut links = Vec::new();
        for index in 0..plan.shape.requesters {
            links.push(Link::new(running.open(Role::Requester)?, index, poll.registry())?);
        }
        let scratch = vec![0; SCRATCH_BYTES + 2 * plan.data_bytes];
        Ok(Self { poll, events: Events::with_capacity(1_024), links, scratch, calls: Calls::new(plan)? })
    }

    /// Runs the load: first what warms up, then what counts, then until every call is answered.
    /// `handled` counts what the responders do meanwhile.
    pub(crate) fn run(&mut self, plan: &Plan, process: Option<u32>, handled: &AtomicU64) -> Outcome<Sample> {
        for (index, link) in self.links.iter_mut().enumerate() {
            for place in 0..self.calls.in_flight {
                self.calls.ask((index * self.calls.in_flight + place) as u64, link);
            }
            link.dialect.end_of_batch(&mut link.out);
            link.flush()?;
        }
        self.turn_for(plan.warmup)?;
        self.calls.latencies.reset();
        let counts = |calls: &Calls| (calls.answered, handled.load(Ordering::Relaxed));
        let tracer = process.filter(|_| plan.traced).map(Tracer::attach).transpose()?;
        let (before, counted, begin) = (usage_of(process)?, counts(&self.calls), Instant::now());
        self.turn_for(plan.counted)?;
        let (elapsed, now, after) = (begin.elapsed(), counts(&self.calls), usage_of(process)?);
        let calls = Counted { answered: now.0 - counted.0, handled: now.1 - counted.1, elapsed };
        let mut sample = Sample::new(&self.calls.latencies, calls, before.zip(after));
        sample.system_calls = tracer.map(Tracer::end).transpose()?.map(|all| all as f64 / calls.answered.max(1) as f64);
        self.finish()?;
        Ok(sample)
    }

    fn turn_for(&mut self, time: Duration) -> Outcome<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Makes no more calls and waits for those in flight.
    fn finish(&mut self) -> Outcome<()> {
        self.calls.asking = false;
        while self.calls.waiting > 0 {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Outcome<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(SILENCE)) {
            return if error.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) };
        }
        if self.events.is_empty() {
            return Err(format!("no answer for {} s; {} calls wait", SILENCE.as_secs(), self.calls.waiting).into());
        }
        for event in &self.events {
            let Some(link) = self.links.get_mut(event.token().0) else { continue };
            link.flush()?;
            loop {
                // Looked at for each read, not for each event: large answers take many reads, and the calls made after the first of
                // them may be answered in the same event.
                let now = self.calls.now();
                let calls = &mut self.calls;
                match link.read(&mut self.scratch, &mut |heard, dialect, out| calls.hear(heard, dialect, out, now))? {
                    After::Read => {}
                    After::Drained => break,
                    After::Closed => return Err("the connection of a requester was closed".into()),
                }
            }
        }
        Ok(())
    }
}

impl Calls {
    fn new(plan: &Plan) -> Outcome<Self> {
        let places = plan.shape.requesters * plan.shape.in_flight;
        Ok(Self {
            in_flight: plan.shape.in_flight,
            places: places as u64,
            data: super::shape::data(plan.data_bytes),
            begun: Instant::now(),
            made_at: vec![0; places],
            answered: 0,
            waiting: 0,
            asking: true,
            latencies: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)?,
        })
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    fn ask(&mut self, id: u64, link: &mut Link) {
        self.made_at[id as usize] = self.now();
        self.waiting += 1;
        link.dialect.ask(id, &self.data, &mut link.out);
    }

    /// Takes in what was heard, and makes the call that takes its place.
    fn hear(&mut self, heard: Heard<'_>, dialect: &mut dyn Dialect, out: &mut Vec<u8>, now: u64) -> Outcome<()> {
        let next = match heard {
            Heard::Answer { id, data_bytes } => self.take_answer(id, data_bytes, now)?,
            Heard::Accepted { id } => self.take(id, now),
            Heard::Call { .. } | Heard::Nothing => None,
        };
        if let Some(id) = next {
            dialect.ask(id, &self.data, out);
        }
        Ok(())
    }

    /// Takes an answer in, and gives the id of the call that takes its place.
    fn take_answer(&mut self, id: u64, data_bytes: usize, now: u64) -> Outcome<Option<u64>> {
        if data_bytes != self.data.len() {
            return Err(format!("an answer has {data_bytes} bytes instead of {}", self.data.len()).into());
        }
        Ok(self.take(id, now))
    }

    /// The same where no data comes with it.
    fn take(&mut self, id: u64, now: u64) -> Option<u64> {
        let place = (id % self.places) as usize;
        self.latencies.saturating_record(now.saturating_sub(self.made_at[place]));
        self.answered += 1;
        if !self.asking {
            self.waiting -= 1;
            return None;
        }
        self.made_at[place] = now;
        Some(id + self.places)
    }
}

fn usage_of(process: Option<u32>) -> Outcome<Option<Usage>> {
    process.map(process::usage).transpose()
}
