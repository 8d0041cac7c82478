//! `core`: every decision about a call, and nothing else. No sockets, no clock: time is made up and advances a
//! microsecond for each call, so that what is timed is the broker's own work.
//!
//! What the figures have to show is less how small they are than that they stay: cost per event must not grow with the
//! requests that wait, nor much with the handlers and actions there are.

mod queues;
mod world;

use crate::table::{Table, figures, grouped};
use crate::timing::Stopwatch;
use crate::{Outcome, machine, process};
use std::time::Duration;
use world::{Cost, DATA, World};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Requests that wait while calls are timed; may be said more than once. 10000000 takes about 5 GiB
    #[arg(long = "queued", default_values_t = [0, 1_000, 100_000, 1_000_000])]
    queued: Vec<usize>,
    /// Milliseconds for each figure
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    millis: u64,
    /// Only these parts; all when none is named
    #[arg(long = "only", value_enum)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Part {
    /// Memory of a waiting request
    Memory,
    /// Calls while others wait
    Calls,
    /// Expiry and cancelling
    Ends,
    /// Many handlers, many actions
    Crowds,
}

/// What the core alone shows of the goals of scale.
pub(crate) struct Scale {
    /// Bytes for a request of 200 B that waits among a million.
    pub(crate) bytes_waiting: f64,
    /// Time of a call through a queue of a million, against one through a queue of a hundred.
    pub(crate) long_queue: f64,
    /// Time of a call with 10,000 actions and 10,000 handlers, against one action and eight.
    pub(crate) crowd: f64,
}

/// Measures it.
pub(crate) fn scale() -> Outcome<Scale> {
    // Memory comes first: what an earlier part has given back would hide in what this one takes.
    let bytes_waiting = queues::wait_in_memory(MANY_WAITING)?.resident;
    let budget = Duration::from_secs(1);
    let long_queue = queues::through(MANY_WAITING, budget)?.ns / queues::through(100, budget)?.ns;
    let crowd = time_many(10_000, 10_000, budget)? / time_many(1, 8, budget)?;
    Ok(Scale { bytes_waiting, long_queue, crowd })
}

/// Requests that wait when there are many.
const MANY_WAITING: usize = 1_000_000;

/// Nanoseconds of a call with so many actions and handlers; each handler serves one action, actions have handlers in turn.
fn time_many(actions: usize, handlers: usize, budget: Duration) -> Outcome<f64> {
    let mut world = World::new();
    let actions: Vec<String> = (0..actions).map(|index| format!("service-{}.action-{index}", index / 100)).collect();
    for index in 0..handlers {
        let handler = world.connect(&format!("handler-{index}"));
        world.serve(handler, &actions[index % actions.len()], 64)?;
    }
    Ok(time_calls(&mut world, &actions, 64, budget)?.ns)
}

/// Runs the parts that were asked for and prints a table for each.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    println!("{}", machine::headline());
    println!("resident at the start: {} KiB", process::own_resident_bytes()? >> 10);
    let wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    let budget = Duration::from_millis(arguments.millis);
    let longest = arguments.queued.iter().copied().max().unwrap_or(0).max(1);
    // Memory comes first: what an earlier part has given back would hide in what this one takes.
    if wanted(Part::Memory) {
        println!("{}", queues::memory(longest)?);
    }
    if wanted(Part::Calls) {
        println!("{}", calls(&arguments.queued, budget)?);
    }
    if wanted(Part::Ends) {
        println!("{}", queues::ends(&arguments.queued)?);
    }
    if wanted(Part::Crowds) {
        println!("{}", crowds(budget)?);
    }
    Ok(())
}

/// A call is a request, its delivery, the reply, the answer, and every 128th time an `ack`.
fn calls(lengths: &[usize], budget: Duration) -> Outcome<Table> {
    let title = "one call (request, deliver, reply, answer) while others wait in a queue, each with a ttl";
    let columns = ["which queue", "waiting", "in flight", "ns/call", "allocations", "bytes", "against the first"];
    let mut table = Table::new(title, 1, &columns);
    for in_flight in [1, 64] {
        let mut first = None;
        for &length in lengths {
            let mut world = World::new();
            let handler = world.connect("handler");
            world.serve(handler, "user.get", 64)?;
            world.enqueue("other.action", length, DATA)?;
            let cost = time_calls(&mut world, &["user.get".to_owned()], in_flight, budget)?;
            push(&mut table, "of another action", length, in_flight, cost, &mut first);
        }
    }
    let mut first = None;
    for &length in lengths.iter().filter(|&&length| length > 0) {
        let cost = queues::through(length, budget)?;
        push(&mut table, "the one it goes through", length, 64, cost, &mut first);
    }
    Ok(table)
}

fn push(table: &mut Table, which: &str, waiting: usize, in_flight: usize, cost: Cost, first: &mut Option<f64>) {
    let against = cost.ns / *first.get_or_insert(cost.ns);
    table.row([
        which.to_owned(),
        grouped(waiting as f64),
        in_flight.to_string(),
        figures(cost.ns),
        format!("{:.3}", cost.allocations),
        figures(cost.bytes),
        format!("{against:.2} x"),
    ]);
}

/// Many handlers of one action, and many actions of one handler each hundred.
fn crowds(budget: Duration) -> Outcome<Table> {
    let columns = ["what", "handlers", "actions", "in flight", "ns/call", "allocations", "bytes"];
    let mut table = Table::new("many handlers, many actions", 1, &columns);
    for in_flight in [1, 64] {
        for handlers in [1, 100, 10_000] {
            let mut world = World::new();
            for index in 0..handlers {
                let handler = world.connect(&format!("handler-{index}"));
                world.serve(handler, "user.get", 64)?;
            }
            let cost = time_calls(&mut world, &["user.get".to_owned()], in_flight, budget)?;
            crowd(&mut table, "handlers of one action", (handlers, 1), in_flight, cost);
        }
        let mut world = World::new();
        let actions: Vec<String> = (0..10_000).map(|index| format!("service-{}.action-{index}", index / 100)).collect();
        for hundred in actions.chunks(100) {
            let handler = world.connect("handler");
            for action in hundred {
                world.serve(handler, action, 64)?;
            }
        }
        let cost = time_calls(&mut world, &actions, in_flight, budget)?;
        crowd(&mut table, "actions, called in turn", (100, actions.len()), in_flight, cost);
    }
    Ok(table)
}

fn crowd(table: &mut Table, what: &str, (handlers, actions): (usize, usize), in_flight: usize, cost: Cost) {
    table.row([
        what.to_owned(),
        grouped(handlers as f64),
        grouped(actions as f64),
        in_flight.to_string(),
        figures(cost.ns),
        format!("{:.3}", cost.allocations),
        figures(cost.bytes),
    ]);
}

/// Calls `actions` in turn, `in_flight` at a time, for as long as the budget lasts.
fn time_calls(world: &mut World, actions: &[String], in_flight: usize, budget: Duration) -> Outcome<Cost> {
    let mut place = 0;
    let mut round = |world: &mut World| -> Outcome<()> {
        for _ in 0..in_flight {
            // Neighbours in the list are not neighbours in time, so that a cache does not help more than in life.
            place = (place + 6_151) % actions.len();
            world.call(&actions[place], None)?;
        }
        world.answer_all();
        Ok(())
    };
    for _ in 0..2_000 {
        round(world)?;
    }
    world.settle()?;
    let meter = world.meter();
    let start = Stopwatch::start();
    while start.elapsed() < budget {
        for _ in 0..256 {
            round(world)?;
        }
    }
    let cost = meter.read(world, start.elapsed());
    world.settle()?;
    Ok(cost)
}
