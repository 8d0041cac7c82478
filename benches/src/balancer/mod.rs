//! `balancer`: what a hop through `answerback-balancer` costs, beside HAProxy and nginx (stream) in one run with the same load.
//!
//! ```text
//!  round trips  clients ──► balancer ──► a backend that says back what it hears       small messages, one in flight on each connection
//!  bytes        a backend that writes ──► balancer ──► clients that read              as much as goes through
//!  idle         pairs that do nothing                                                 memory of the process for each
//! ```
//!
//! Each system is one process with one thread for connections, and they take turns. The load is made by threads of this process: on a machine with
//! few processors it takes time from all of them alike, so ratios count, not figures.

mod load;
mod systems;

use crate::table::{Table, figures, grouped};
use crate::timing::median;
use crate::wire::seconds;
use crate::{Outcome, machine, process};
use load::Backend;
use std::path::PathBuf;
use std::time::Duration;
use systems::{Kind, Started};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of each visit
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Visits to each system; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Connections that have a small message on its way; may be said more than once
    #[arg(long = "trips", default_values_t = [1, 16, 64])]
    trips: Vec<usize>,
    /// Connections that read as fast as they can; may be said more than once
    #[arg(long = "bulk", default_values_t = [1, 16])]
    bulk: Vec<usize>,
    /// Pairs that do nothing
    #[arg(long, default_value_t = 2_000)]
    idle: usize,
    /// Bytes of a small message
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Which systems take turns; the first is compared with each of the others. All when none is named
    #[arg(long = "system", value_enum)]
    systems: Vec<Kind>,
    /// The balancer to start; by default the one beside this program
    #[arg(long)]
    balancer_binary: Option<PathBuf>,
}

/// A question, as it stands in the table.
#[derive(Debug, Clone, Copy)]
enum Question {
    Trips(usize),
    Bulk(usize),
    Idle(usize),
}

/// What one visit saw.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Round trips or bytes a second, or bytes of memory.
    figure: f64,
    /// Seconds on a processor for each GiB, or each million of round trips.
    cpu: f64,
}

/// Visits every system that is there with every load, and prints what was seen.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let kinds = systems::there(&arguments.systems, arguments.balancer_binary.as_deref());
    let most = arguments.trips.iter().chain(&arguments.bulk).chain([&arguments.idle]).max().copied().unwrap_or(0);
    process::allow_sockets(2 * most as u64 + 200)?;
    println!("{}", machine::headline());
    let columns = ["load", "system", "a second", "of the first", "CPU s", "of the first"];
    let mut table = Table::new(
        "round trips: CPU per million; bytes: MiB, CPU per GiB; idle: bytes of memory for a pair",
        2,
        &columns,
    );
    let trips = arguments.trips.iter().map(|count| Question::Trips(*count));
    let bulk = arguments.bulk.iter().map(|count| Question::Bulk(*count));
    for question in trips.chain(bulk).chain([Question::Idle(arguments.idle)]) {
        let mut seen = vec![Vec::new(); kinds.len()];
        for _ in 0..arguments.rounds {
            for (kind, seen) in kinds.iter().zip(&mut seen) {
                seen.push(
                    visit(*kind, question, arguments).map_err(|error| format!("{kind:?}, {question:?}: {error}"))?,
                );
            }
        }
        add(&mut table, question, &kinds, &seen);
    }
    println!("{table}");
    Ok(())
}

fn visit(kind: Kind, question: Question, arguments: &Arguments) -> Outcome<Seen> {
    let backend = Backend::start(matches!(question, Question::Bulk(_)))?;
    let started = Started::start(kind, backend.address, arguments.balancer_binary.as_deref())?;
    let time = Duration::from_secs_f64(arguments.seconds);
    let cpu = || started.cpu_seconds();
    match question {
        Question::Trips(connections) => {
            let (count, cpu) = load::round_trips(started.address, connections, arguments.size, time, cpu)?;
            Ok(Seen { figure: count / arguments.seconds, cpu: cpu / count * 1e6 })
        }
        Question::Bulk(connections) => {
            let (bytes, cpu) = load::bulk(started.address, connections, time, cpu)?;
            Ok(Seen { figure: bytes / arguments.seconds / f64::from(1 << 20), cpu: cpu / bytes * f64::from(1 << 30) })
        }
        Question::Idle(pairs) => {
            // The first ones pay for what all share.
            let _warm = load::idle(started.address, 50)?;
            let before = started.resident_bytes()?;
            let _idle = load::idle(started.address, pairs)?;
            let each = started.resident_bytes()?.saturating_sub(before) as f64 / pairs as f64;
            Ok(Seen { figure: each, cpu: 0.0 })
        }
    }
}

fn add(table: &mut Table, question: Question, kinds: &[Kind], seen: &[Vec<Seen>]) {
    let of = |seen: &[Seen], value: fn(&Seen) -> f64| median(&mut seen.iter().map(value).collect::<Vec<_>>());
    let first = seen.first().map(|seen| (of(seen, |seen| seen.figure), of(seen, |seen| seen.cpu)));
    for (kind, seen) in kinds.iter().zip(seen) {
        let (figure, cpu) = (of(seen, |seen| seen.figure), of(seen, |seen| seen.cpu));
        let ratio = |value: f64, first: Option<f64>| match first.filter(|first| *first > 0.0) {
            Some(first) => format!("{:.2}", value / first),
            None => "-".to_owned(),
        };
        let load = match question {
            Question::Trips(count) => format!("round trips on {count}"),
            Question::Bulk(count) => format!("bytes on {count}"),
            Question::Idle(count) => format!("idle, {count} pairs"),
        };
        table.row([
            load,
            kind.name().to_owned(),
            grouped(figure),
            ratio(figure, first.map(|first| first.0)),
            figures(cpu),
            ratio(cpu, first.map(|first| first.1)),
        ]);
    }
}
