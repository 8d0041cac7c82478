//! `hop`: what a hop costs. One caller with one call in flight, and four ways to the same handler, which take turns in one run:
//!
//! ```text
//!  direct            caller ──► server ──► handler
//!  peer              caller ──► server ──► server ──► handler
//!  balancer          caller ──► balancer ──► server ──► handler
//!  balancer, peer    caller ──► balancer ──► server ──► server ──► handler
//! ```
//!
//! Clients are as lean as those of `wire`, so that what is measured is the way.

use crate::process::Owned;
use crate::table::{Table, figures};
use crate::timing::median;
use crate::wire::answerback::{Answerback, Started, listening_at};
use crate::wire::shape::Shape;
use crate::wire::system::{Opened, Role, Running};
use crate::wire::visit::{Plan, Sample, visit};
use crate::wire::{ServerArguments, seconds};
use crate::{Outcome, machine};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// The balancer to start; by default the one beside this program
    #[arg(long)]
    balancer_binary: Option<PathBuf>,
    /// Seconds of each visit that count
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Visits to each way; figures are medians
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Bytes of data in calls and replies
    #[arg(long, default_value_t = 64)]
    size: usize,
}

/// A way from the caller to the handler.
struct Way {
    name: &'static str,
    asks: Started,
    serves: Started,
}

impl Running for Way {
    fn process(&self) -> Option<u32> {
        None
    }

    fn open(&self, role: Role) -> Outcome<Opened> {
        if role == Role::Responder { self.serves.open(role) } else { self.asks.open(role) }
    }
}

/// Visits each way in turn, and prints what was seen.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let far = Answerback::new(&arguments.server, 100)?;
    let program = far.program()?.to_owned();
    let far = far.launch()?;
    let (_data, near) = linked(&program, far.address())?;
    let (_balancer, front) = balancer(arguments, near.1)?;
    let way = |name, asks, serves| Way { name, asks: Started::at(asks), serves: Started::at(serves) };
    let ways = [
        way("direct", near.1, near.1),
        way("peer", near.1, far.address()),
        way("balancer", front, near.1),
        way("balancer, peer", front, far.address()),
    ];
    let plan = Plan {
        shape: Shape { requesters: 1, in_flight: 1, responders: 1 },
        data_bytes: arguments.size,
        warmup: Duration::from_millis(300),
        counted: Duration::from_secs_f64(arguments.seconds),
        traced: false,
    };
    let mut seen: [Vec<Sample>; 4] = Default::default();
    for _ in 0..arguments.rounds {
        for (way, seen) in ways.iter().zip(&mut seen) {
            seen.push(visit(way, &plan).map_err(|error| format!("{}: {error}", way.name))?);
        }
    }
    print(&ways, &seen);
    Ok(())
}

/// A server that is linked with another one, and its directory.
fn linked(program: &std::path::Path, far: SocketAddr) -> Outcome<(crate::folder::Folder, (Owned, SocketAddr))> {
    let data = crate::folder::Folder::new()?;
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--log", "warn", "--id", "near"]);
    command.args(["--peer", &far.to_string(), "--data-dir"]).arg(data.path());
    Ok((data, Owned::start(&mut command, listening_at)?))
}

fn balancer(arguments: &Arguments, backend: SocketAddr) -> Outcome<(Owned, SocketAddr)> {
    let beside = std::env::current_exe()?.with_file_name("answerback-balancer");
    let mut command = Command::new(arguments.balancer_binary.as_ref().unwrap_or(&beside));
    command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--log", "error", "--backend", &backend.to_string()]);
    let started = Owned::start(&mut command, listening_at)?;
    let end = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(started.1).is_err() {
        if Instant::now() > end {
            return Err("the balancer takes nobody".into());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(started)
}

fn print(ways: &[Way], seen: &[Vec<Sample>]) {
    println!("{}", machine::headline());
    let columns = ["way", "p50 us", "of direct", "p99 us", "of direct", "calls/s"];
    let mut table = Table::new("one call in flight", 1, &columns);
    let of =
        |samples: &[Sample], figure: fn(&Sample) -> f64| median(&mut samples.iter().map(figure).collect::<Vec<_>>());
    let figures_of = |samples: &[Sample]| (of(samples, |s| s.p50_us), of(samples, |s| s.p99_us));
    let direct = figures_of(&seen[0]);
    for (way, samples) in ways.iter().zip(seen) {
        let (p50, p99) = figures_of(samples);
        let ratio = |figure: f64, of: f64| format!("{:.2}", figure / of);
        let calls = of(samples, |s| s.calls_per_second);
        let cells = [figures(p50), ratio(p50, direct.0), figures(p99), ratio(p99, direct.1), figures(calls)];
        table.row(std::iter::once(way.name.to_owned()).chain(cells));
    }
    println!("{table}");
}
