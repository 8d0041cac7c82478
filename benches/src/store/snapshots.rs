//! Snapshots beside calls: two servers with full queues, of which one saves every second and one only at its end, take turns.
//! On each, 1 % of the queue changes within a second while calls are measured.

use super::Arguments;
use super::server::{Server, Site};
use super::talk::Talk;
use crate::Outcome;
use crate::table::{Table, figures, grouped};
use crate::timing::median;
use crate::wire::answerback::Started;
use crate::wire::shape::{self, Shape};
use crate::wire::visit::{self, Plan, Sample};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ACTION: &str = "queued";

/// The queue changes in so many steps each second.
const STEPS_PER_SECOND: u64 = 100;

/// One in so many requests of the queue is another after a second.
const CHANGED_IN: u64 = 100;

const SHAPES: [Shape; 2] =
    [Shape { requesters: 1, in_flight: 1, responders: 1 }, Shape { requesters: 64, in_flight: 4, responders: 8 }];

const INTERVALS: [&str; 2] = ["1s", "0ms"];

/// What was seen of the two servers: samples of each, and the snapshots of the first.
struct Compared {
    samples: Vec<(Shape, [Vec<Sample>; 2])>,
    snapshots: Vec<Round>,
}

/// The table.
pub(super) fn measure(arguments: &Arguments) -> Outcome<String> {
    let compared = compare(arguments, &SHAPES)?;
    let title = format!(
        "calls while {} of {} queued sends change each second",
        grouped((step(arguments) * STEPS_PER_SECOND) as f64),
        grouped(arguments.count() as f64)
    );
    let mut table = Table::new(title, 2, &["shape", "snapshots", "calls/s", "p50 us", "p99 us", "p99.9 us"]);
    for (shape, samples) in &compared.samples {
        for (interval, samples) in INTERVALS.iter().zip(samples) {
            let name = if *interval == "0ms" { "at the end" } else { "every second" };
            table.row(row(*shape, name, samples));
        }
    }
    Ok(format!("{table}\n{}", told(&compared.snapshots)))
}

/// What is left of the calls a second with many connections when snapshots are made each second: the median of the rounds.
pub(super) fn kept(arguments: &Arguments) -> Outcome<f64> {
    let compared = compare(arguments, &SHAPES[1..])?;
    let (_, [with, without]) = compared.samples.first().ok_or("nothing was measured")?;
    let pairs = with.iter().zip(without).map(|(with, without)| with.calls_per_second / without.calls_per_second);
    Ok(median(&mut pairs.collect::<Vec<_>>()))
}

/// How many requests of the queue change at once.
fn step(arguments: &Arguments) -> u64 {
    arguments.count() / CHANGED_IN / STEPS_PER_SECOND
}

fn compare(arguments: &Arguments, shapes: &[Shape]) -> Outcome<Compared> {
    let (count, step) = (arguments.count(), step(arguments));
    let sites = [Site::new(arguments, INTERVALS[0])?, Site::new(arguments, INTERVALS[1])?];
    let servers = [sites[0].start()?, sites[1].start()?];
    for server in &servers {
        server.talk("publisher")?.send_many(ACTION, count, &shape::data(arguments.size), false)?;
    }
    // The first snapshot has everything in it; what is measured are the ones after it.
    servers[0].wait_until("answerback_snapshot_items", |items| items >= count as f64)?;
    let mut compared = Compared { samples: Vec::new(), snapshots: Vec::new() };
    for &shape in shapes {
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..arguments.rounds {
            for (server, samples) in servers.iter().zip(&mut samples) {
                let (sample, seen) = visit(server, arguments, shape, step)?;
                samples.push(sample);
                compared.snapshots.extend(seen);
            }
        }
        compared.samples.push((shape, samples));
    }
    Ok(compared)
}

/// What a round of snapshots was.
struct Round {
    ms: f64,
    changes: f64,
}

fn told(rounds: &[Round]) -> String {
    let of = |value: fn(&Round) -> f64| median(&mut rounds.iter().map(value).collect::<Vec<_>>());
    let most = rounds.iter().map(|round| round.ms).fold(0.0, f64::max);
    format!(
        "  a snapshot: median {} ms, most {} ms, of {} changes, in {} visits\n",
        figures(of(|round| round.ms)),
        figures(most),
        grouped(of(|round| round.changes)),
        rounds.len()
    )
}

fn row(shape: Shape, name: &str, samples: &[Sample]) -> [String; 6] {
    let of = |value: fn(&Sample) -> f64| median(&mut samples.iter().map(value).collect::<Vec<_>>());
    [
        shape.to_string(),
        name.to_owned(),
        grouped(of(|sample| sample.calls_per_second)),
        figures(of(|sample| sample.p50_us)),
        figures(of(|sample| sample.p99_us)),
        figures(of(|sample| sample.p999_us)),
    ]
}

/// Calls beside a queue that changes, and the mean of the snapshots in that time, if there were any.
fn visit(server: &Server, arguments: &Arguments, shape: Shape, step: u64) -> Outcome<(Sample, Option<Round>)> {
    let counted = Duration::from_secs_f64(arguments.seconds);
    let plan = Plan { shape, data_bytes: 64, warmup: Duration::from_secs(1), counted, traced: false };
    let stop = AtomicBool::new(false);
    let before = figures_of(server)?;
    let sample = std::thread::scope(|scope| {
        let changing = scope.spawn(|| change(server, arguments.size, step, &stop));
        let sample = visit::visit(&Started::at(server.address), &plan);
        stop.store(true, Ordering::Relaxed);
        changing.join().map_err(|_| "what changes the queue panicked")??;
        sample
    })?;
    let after = figures_of(server)?;
    let rounds = after[0] - before[0];
    let mean = Round { ms: (after[1] - before[1]) * 1e3 / rounds, changes: (after[2] - before[2]) / rounds };
    Ok((sample, (rounds > 0.0).then_some(mean)))
}

fn figures_of(server: &Server) -> Outcome<[f64; 3]> {
    Ok([
        server.metric("answerback_snapshot_rounds_total")?,
        server.metric("answerback_snapshot_busy_seconds_total")?,
        server.metric("answerback_snapshot_changes_total")?,
    ])
}

/// Takes from the front of the queue and puts to its end, in even steps.
fn change(server: &Server, size: usize, step: u64, stop: &AtomicBool) -> Outcome<()> {
    let (mut publisher, mut handler) = (server.talk("publisher")?, server.talk("handler")?);
    handler.serve(ACTION, u32::try_from(step)?)?;
    let (data, begin, mut steps) = (shape::data(size), Instant::now(), 0_u32);
    while !stop.load(Ordering::Relaxed) {
        one_step(&mut publisher, &mut handler, step, &data)?;
        steps += 1;
        let next = begin + Duration::from_secs(1) / STEPS_PER_SECOND as u32 * steps;
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn one_step(publisher: &mut Talk, handler: &mut Talk, step: u64, data: &[u8]) -> Outcome<()> {
    publisher.send_many(ACTION, step, data, false)?;
    handler.wait_for(step as usize)?;
    handler.answer_all()?;
    Ok(())
}
