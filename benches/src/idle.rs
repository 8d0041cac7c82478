//! `idle`: what a connection costs that does nothing: memory of the server, and speed of those that are busy.
//!
//! The busy ones are 92 requesters with one call in flight and 8 responders. They are measured with nobody else
//! connected, and again in the midst of the idle ones.

use crate::table::{Table, figures, grouped};
use crate::wire::ServerArguments;
use crate::wire::answerback::Answerback;
use crate::wire::responders::Responders;
use crate::wire::shape::Shape;
use crate::wire::system::{Role, Running, System};
use crate::wire::visit::{Plan, Sample, visit};
use crate::{Outcome, machine, process};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Connections open at once, the busy ones among them
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(200..=100_000))]
    connections: u32,
    /// Seconds that the busy ones are measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

const BUSY: Shape = Shape { requesters: 92, in_flight: 1, responders: 8 };

/// Measures, and prints a table.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let idle = arguments.connections as usize - BUSY.requesters - BUSY.responders;
    process::allow_sockets(u64::from(arguments.connections) + 100)?;
    let running = Answerback::new(&arguments.server, arguments.connections as usize)?.start()?;
    let plan = Plan {
        shape: BUSY,
        data_bytes: 64,
        warmup: Duration::from_secs(1),
        counted: Duration::from_secs(arguments.seconds),
        traced: false,
    };
    println!("{}", machine::headline());
    let mut table = Table::new("100 busy connections, alone and among idle ones", 0, &COLUMNS);
    let alone = visit(&*running, &plan)?;
    let before = resident(&*running)?;
    row(&mut table, 0, &alone, None);
    let idlers = Responders::open(&*running, Role::Idle, idle, 0)?;
    let each = before.zip(resident(&*running)?).map(|(before, after)| (after as f64 - before as f64) / idle as f64);
    let stop = idlers.stop();
    let among = std::thread::scope(|scope| -> Outcome<Sample> {
        let idling = scope.spawn(move || idlers.run());
        let among = visit(&*running, &plan);
        stop.ask()?;
        idling.join().map_err(|_| "the idle ones panicked")?.map_err(|error| format!("an idle one: {error}"))?;
        among
    })?;
    row(&mut table, idle, &among, each);
    println!("{table}");
    Ok(())
}

/// Bytes that each of `count` connections adds to a system that runs, and that do nothing but be there.
pub(crate) fn resident_each(system: &dyn System, count: usize) -> Outcome<f64> {
    let running = system.start()?;
    // What the first connections make the system set up is not theirs alone.
    let first = Responders::open(&*running, Role::Idle, FIRST, 0)?;
    let before = resident(&*running)?.ok_or("the process is not known")?;
    let rest = Responders::open(&*running, Role::Idle, count, 0)?;
    let after = resident(&*running)?.ok_or("the process is not known")?;
    drop((first, rest));
    Ok((after as f64 - before as f64) / count as f64)
}

/// Connections that are there before memory is measured.
const FIRST: usize = 100;

const COLUMNS: [&str; 6] = ["idle", "B resident each", "RSS MiB", "calls/s of the busy", "p50 us", "p99 us"];

fn row(table: &mut Table, idle: usize, sample: &Sample, each: Option<f64>) {
    table.row([
        grouped(idle as f64),
        each.map_or("-".to_owned(), grouped),
        sample.cost.map_or("-".to_owned(), |cost| figures(cost.resident_mib)),
        grouped(sample.calls_per_second),
        figures(sample.p50_us),
        figures(sample.p99_us),
    ]);
}

fn resident(running: &dyn Running) -> Outcome<Option<u64>> {
    running.process().map(|id| process::usage(id).map(|usage| usage.resident_bytes)).transpose()
}
