//! `wire`: calls over loopback, with the broker in a process of its own.
//!
//! ```text
//!  requesters, one thread ──TCP──► system under test ──TCP──► responders, one thread
//! ```
//!
//! The clients are as lean as they can be and the same for every system, so that the system is what is measured. Systems
//! take turns within a round, so that a change of the machine's mood hits all of them; figures are medians over rounds.

pub(crate) mod answerback;
pub(crate) mod dialect;
pub(crate) mod frames;
mod link;
pub(crate) mod relay;
mod report;
pub(crate) mod requesters;
pub(crate) mod responders;
pub(crate) mod shape;
pub(crate) mod system;
pub(crate) mod visit;

use crate::{Outcome, machine, process};
use report::Report;
use shape::Shape;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use system::System;
use visit::Plan;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Seconds of each visit that count
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of each visit before those that count
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warmup: f64,
    /// Visits to each system; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Requester connections x in flight on each : responder connections; may be said more than once
    #[arg(long = "shape", default_values = ["1x1:1", "1x16:1", "1x256:1", "64x4:8"])]
    shapes: Vec<Shape>,
    /// Bytes of data in calls and replies; may be said more than once
    #[arg(long = "size", default_values_t = [64, 1 << 10, 64 << 10])]
    sizes: Vec<usize>,
    /// Which systems take turns; the first is compared with each of the others. All when none is named
    #[arg(long = "system", value_enum, default_values = ["answerback", "relay"])]
    systems: Vec<Kind>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The systems that can be measured. A further one is a name here, a line in `systems` and a file of its own.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// The server of this repository
    Answerback,
    /// Forwards bytes and reads none: the limit
    Relay,
}

/// Which server is measured.
#[derive(clap::Args)]
pub(crate) struct ServerArguments {
    /// The server to start; by default the one beside this program
    #[arg(long)]
    pub(crate) server_binary: Option<PathBuf>,
    /// A server that runs already; its processor time and memory are not known then
    #[arg(long, conflicts_with = "server_binary")]
    pub(crate) address: Option<SocketAddr>,
}

/// A time for a visit.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds are a number from 0.1 to 3600".to_owned()),
    }
}

/// Visits every system with every shape and size, and prints what was seen.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let systems = systems(arguments)?;
    process::allow_sockets(2 * connections(arguments) as u64 + 100)?;
    let mut report = Report::new(systems.iter().map(|system| system.name()).collect());
    announce(arguments, systems.len());
    for &size in &arguments.sizes {
        for &shape in &arguments.shapes {
            for _ in 0..arguments.rounds {
                for system in &systems {
                    let plan = Plan {
                        shape,
                        data_bytes: size,
                        warmup: Duration::from_secs_f64(arguments.warmup),
                        counted: Duration::from_secs_f64(arguments.seconds),
                    };
                    let running = system.start()?;
                    let sample = visit::visit(&*running, &plan)
                        .map_err(|error| format!("{}, {shape}, {size} B: {error}", system.name()))?;
                    report.add(system.name(), shape, size, sample);
                }
            }
        }
    }
    if arguments.json {
        println!("{}", report.json());
    } else {
        println!("{}\n{}", machine::headline(), report.table());
    }
    Ok(())
}

fn systems(arguments: &Arguments) -> Outcome<Vec<Box<dyn System>>> {
    let connections = connections(arguments);
    let system = |kind: &Kind| -> Outcome<Box<dyn System>> {
        Ok(match kind {
            Kind::Answerback => Box::new(answerback::Answerback::new(&arguments.server, connections)?),
            Kind::Relay => Box::new(relay::Relay),
        })
    };
    arguments.systems.iter().map(system).collect()
}

/// Connections of the largest shape.
fn connections(arguments: &Arguments) -> usize {
    arguments.shapes.iter().map(|shape| shape.requesters + shape.responders).max().unwrap_or(0)
}

fn announce(arguments: &Arguments, systems: usize) {
    let visits = arguments.shapes.len() * arguments.sizes.len() * arguments.rounds as usize * systems;
    let minutes = visits as f64 * (arguments.seconds + arguments.warmup) / 60.0;
    eprintln!("{visits} visits, about {minutes:.1} minutes");
}
