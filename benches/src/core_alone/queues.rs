//! Long queues: what a waiting request takes in memory, what it costs to move through one, and what it costs to leave
//! one from the middle.

use super::world::{Cost, DATA, LONG_MS, World};
use crate::table::{Table, figures, grouped};
use crate::timing::Stopwatch;
use crate::{Outcome, allocations, process};
use answerback_protocol::Payload;
use std::time::Duration;

/// Bytes of data in the requests whose memory is measured.
const MEMORY_DATA: usize = 200;

/// Requests cancelled to time one.
const CANCELLED: usize = 10_000;

const ACTION: &str = "user.get";

/// Memory of `count` requests that wait.
pub(super) fn memory(count: usize) -> Outcome<Table> {
    let title = format!("memory of a waiting request with {MEMORY_DATA} B of data and a ttl");
    let mut table = Table::new(title, 0, &["waiting", "B counted", "B resident", "ns to enqueue"]);
    let waiting = wait_in_memory(count)?;
    table.row([grouped(count as f64), figures(waiting.counted), figures(waiting.resident), figures(waiting.ns)]);
    Ok(table)
}

/// What a request costs that waits.
pub(super) struct Waiting {
    counted: f64,
    /// Bytes that the kernel gave for each.
    pub(super) resident: f64,
    ns: f64,
}

/// Lets `count` requests wait and looks at what that took.
pub(super) fn wait_in_memory(count: usize) -> Outcome<Waiting> {
    let mut world = World::new();
    let (resident, allocated) = (process::own_resident_bytes()?, allocations::so_far());
    let start = Stopwatch::start();
    world.enqueue(ACTION, count, MEMORY_DATA)?;
    let ns = start.elapsed().as_nanos() as f64 / count as f64;
    let counted = allocations::so_far().live_since(allocated) as f64 / count as f64;
    let resident = process::own_resident_bytes()?.saturating_sub(resident) as f64 / count as f64;
    Ok(Waiting { counted, resident, ns })
}

/// Calls through a queue of `length`: each reply lets the oldest one out, and a new one joins at the end.
pub(super) fn through(length: usize, budget: Duration) -> Outcome<Cost> {
    let mut world = World::new();
    world.enqueue(ACTION, length, DATA)?;
    let handler = world.connect("handler");
    world.serve(handler, ACTION, 64)?;
    let step = |world: &mut World| -> Outcome<()> {
        world.call(ACTION, Some(LONG_MS))?;
        world.answer_one();
        Ok(())
    };
    for _ in 0..1_000 {
        step(&mut world)?;
    }
    let (meter, start) = (world.meter(), Stopwatch::start());
    while start.elapsed() < budget {
        for _ in 0..256 {
            step(&mut world)?;
        }
    }
    let cost = meter.read(&world, start.elapsed());
    let (held, expected) = (world.broker.held(), length - world.working().min(length));
    if world.failed > 0 || held.queued != expected {
        return Err(format!("{} calls failed and {} wait instead of {expected}", world.failed, held.queued).into());
    }
    Ok(cost)
}

/// What it costs to leave a queue otherwise than by being delivered.
pub(super) fn ends(lengths: &[usize]) -> Outcome<Table> {
    let title = "leaving a queue from anywhere, ns for each request that leaves";
    let mut table = Table::new(title, 0, &["waiting", "cancelled", "expired one by one", "expired all at once"]);
    for &length in lengths.iter().filter(|&&length| length > 0) {
        let row = [cancelled(length)?, expired(length, true)?, expired(length, false)?];
        table.row(std::iter::once(grouped(length as f64)).chain(row.map(figures)));
    }
    Ok(table)
}

/// Cancels requests from all over the queue.
fn cancelled(length: usize) -> Outcome<f64> {
    let mut world = World::new();
    world.enqueue(ACTION, length, DATA)?;
    let count = CANCELLED.min(length);
    // Multiples of a number that shares no factor with any decimal length: every place once, in no order.
    let places: Vec<usize> = (0..count).map(|index| index.wrapping_mul(7_368_787) % length).collect();
    let start = Stopwatch::start();
    for place in places {
        world.cancel(place);
    }
    let ns = start.elapsed().as_nanos() as f64 / count as f64;
    expect_ended(&world, count)?;
    Ok(ns)
}

/// Lets requests expire: at a moment of its own each, in an order that is not that of the queue, or all together.
fn expired(length: usize, one_by_one: bool) -> Outcome<f64> {
    let (first_ms, mut world) = (100_000, World::new());
    for index in 0..length {
        world.pass(1);
        let spread = if one_by_one { index.wrapping_mul(7_368_787) % length } else { 0 };
        world.wait(index, ACTION, first_ms + spread as u64, Payload::copy_of(&[b'1'; DATA]))?;
    }
    let start = Stopwatch::start();
    while world.failed < length as u64 {
        let due = world.broker.poll_timeout().ok_or("requests wait and the broker does not want to be woken")?;
        world.pass(due.since(world.now).as_micros() as u64);
    }
    let ns = start.elapsed().as_nanos() as f64 / length as f64;
    expect_ended(&world, length)?;
    Ok(ns)
}

fn expect_ended(world: &World, count: usize) -> Outcome<()> {
    match world.failed {
        ended if ended == count as u64 => Ok(()),
        ended => Err(format!("{ended} of {count} requests ended").into()),
    }
}
