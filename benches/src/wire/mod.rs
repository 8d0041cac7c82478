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
pub(crate) mod kind;
mod link;
pub(crate) mod peers;
pub(crate) mod relay;
pub(crate) mod report;
pub(crate) mod requesters;
pub(crate) mod responders;
pub(crate) mod sealed;
pub(crate) mod shape;
pub(crate) mod system;
mod tracer;
pub(crate) mod visit;

use crate::{Outcome, machine, output, process};
use kind::{Kind, Programs};
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
    #[arg(long = "system", value_enum)]
    systems: Vec<Kind>,
    #[command(flatten)]
    programs: Programs,
    /// Count system calls too, with strace, in one more visit to each
    #[arg(long)]
    system_calls: bool,
    /// Also write every sample of every round to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Which server is measured.
#[derive(clap::Args, Clone)]
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

/// Visits every system that is there with every shape and size, and prints what was seen.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let asked = if arguments.systems.is_empty() { &Kind::COMPARED[..] } else { &arguments.systems };
    let (kinds, versions) = kind::installed(asked, &arguments.programs);
    let connections = connections(arguments);
    process::allow_sockets(2 * connections as u64 + 100)?;
    let system = |kind: &Kind| kind.system(&arguments.server, &arguments.programs, connections);
    let systems: Vec<_> = kinds.iter().map(system).collect::<Outcome<_>>()?;
    let mut report = Report::new(versions);
    announce(arguments, systems.len());
    for &size in &arguments.sizes {
        for &shape in &arguments.shapes {
            let plan = Plan {
                shape,
                data_bytes: size,
                warmup: Duration::from_secs_f64(arguments.warmup),
                counted: Duration::from_secs_f64(arguments.seconds),
                traced: false,
            };
            take_turns(&systems, &plan, arguments.rounds, &mut report)?;
            if arguments.system_calls {
                count_system_calls(&systems, &plan, &mut report)?;
            }
        }
    }
    println!("{}\n{report}", machine::headline());
    arguments.json.as_deref().map_or(Ok(()), |file| output::write_json(file, &report.json()))
}

/// Visits each system once in every round.
pub(crate) fn take_turns(systems: &[Box<dyn System>], plan: &Plan, rounds: u32, report: &mut Report) -> Outcome<()> {
    for _ in 0..rounds {
        for system in systems {
            report.add(system.name(), plan.shape, plan.data_bytes, visit_once(&**system, plan)?);
        }
    }
    Ok(())
}

/// Visits each system once more, with its system calls counted.
pub(crate) fn count_system_calls(systems: &[Box<dyn System>], plan: &Plan, report: &mut Report) -> Outcome<()> {
    for system in systems {
        let sample = visit_once(&**system, &Plan { traced: true, ..*plan })?;
        report.add_system_calls(system.name(), plan.shape, plan.data_bytes, sample.system_calls);
    }
    Ok(())
}

fn visit_once(system: &dyn System, plan: &Plan) -> Outcome<visit::Sample> {
    let seen = system.start().and_then(|running| visit::visit(&*running, plan));
    seen.map_err(|error| format!("{}, {}, {} B: {error}", system.name(), plan.shape, plan.data_bytes).into())
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
