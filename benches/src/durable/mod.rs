//! `durable`: requests that are on disk before they count, beside other brokers that promise the same, in one run.
//!
//! ```text
//!  send   publisher ──► broker ──► consumer, which acknowledges        answered when the broker has it on disk
//!  call   requester ──► broker ──► responder ──► broker ──► requester  answered when the responder has answered
//! ```
//!
//! The clients are those of `wire`: hand-written, one read buffer, one write buffer, everything that one read brought is answered with
//! one write. What differs between systems is the `Dialect`.

mod nats;
pub(crate) mod redis;
mod report;
mod resp;

use crate::Outcome;
use crate::wire::answerback::Answerback;
use crate::wire::frames::Asking;
use crate::wire::kind::Programs;
use crate::wire::shape::Shape;
use crate::wire::system::{Running, System};
use crate::wire::visit::{self, Plan};
use crate::wire::{ServerArguments, seconds};
use crate::{machine, process};
use nats::Nats;
use redis::Redis;
use report::Report;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Seconds of each visit that count
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of each visit before those that count
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warmup: f64,
    /// Visits to each system; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// What is asked; may be said more than once
    #[arg(long = "what", value_enum, default_values = ["send", "call"])]
    what: Vec<What>,
    /// Requester connections x in flight on each : responder connections; may be said more than once
    #[arg(long = "shape", default_values = ["1x1:1", "1x16:1", "1x256:1"])]
    shapes: Vec<Shape>,
    /// Bytes of data in requests and answers; may be said more than once
    #[arg(long = "size", default_values_t = [64, 1 << 10])]
    sizes: Vec<usize>,
    /// Which systems take turns; the first is compared with each of the others. All when none is named
    #[arg(long = "system", value_enum)]
    systems: Vec<Kind>,
    /// The program of NATS; sync_interval needs version 2.10 or later
    #[arg(long, default_value = "nats-server")]
    nats_server: PathBuf,
    /// The program of Redis, version 7 or later
    #[arg(long, default_value = "redis-server")]
    redis_server: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What is asked of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// A message that the broker takes and a consumer acknowledges
    Send,
    /// A message that a responder answers
    Call,
}

/// The systems that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// The server of this repository, durable requests: synced before they count
    Answerback,
    /// JetStream with file storage as it comes: written before they count, synced every two minutes
    Jetstream,
    /// JetStream with file storage and sync_interval: always
    JetstreamSynced,
    /// Redis lists, appendonly, appendfsync always: what is popped is gone, nothing is acknowledged
    RedisList,
    /// Redis streams, the same: what is taken is acknowledged and deleted
    RedisStream,
    /// The server of this repository, requests that are not durable: the limit
    AnswerbackMemory,
}

impl Kind {
    /// All of them, in the order of the table.
    const ALL: [Self; 6] = [
        Self::Answerback,
        Self::Jetstream,
        Self::JetstreamSynced,
        Self::RedisList,
        Self::RedisStream,
        Self::AnswerbackMemory,
    ];

    fn system(self, arguments: &Arguments, what: What) -> Outcome<Box<dyn System>> {
        let answerback = |name, asking| -> Outcome<Box<dyn System>> {
            let server = Answerback::new(&arguments.server, connections(arguments))?;
            Ok(Box::new(Durable { server, name, asking }))
        };
        let redis = |stream| Redis { program: arguments.redis_server.clone(), what, stream, on_disk: true };
        let nats = |synced| Nats { program: arguments.nats_server.clone(), what, synced };
        Ok(match (self, what) {
            (Self::Answerback, What::Send) => answerback("answerback", Asking::DurableSend)?,
            (Self::Answerback, What::Call) => answerback("answerback", Asking::DurableCall)?,
            (Self::AnswerbackMemory, What::Send) => answerback("answerback, not durable", Asking::Send)?,
            (Self::AnswerbackMemory, What::Call) => answerback("answerback, not durable", Asking::Call)?,
            (Self::Jetstream, _) => Box::new(nats(false)),
            (Self::JetstreamSynced, _) => Box::new(nats(true)),
            (Self::RedisList, _) => Box::new(redis(false)),
            (Self::RedisStream, _) => Box::new(redis(true)),
        })
    }

    /// The version of what is measured, or why it cannot be measured here and what to do about it.
    fn version(self, arguments: &Arguments) -> Result<Option<String>, String> {
        let (program, advice) = match self {
            Self::Answerback | Self::AnswerbackMemory => return Ok(None),
            Self::Jetstream => (&arguments.nats_server, "apt-get install nats-server, or name one with --nats-server"),
            Self::JetstreamSynced => (
                &arguments.nats_server,
                "sync_interval came with nats-server 2.10: name one with --nats-server (see nats.io/download)",
            ),
            Self::RedisList | Self::RedisStream => {
                (&arguments.redis_server, "apt-get install redis-server, or name one with --redis-server")
            }
        };
        let version = version_of(program).ok_or_else(|| format!("{self:?} is left out: {advice}"))?;
        if self == Self::JetstreamSynced && !nats::can_sync(&version) {
            return Err(format!("{self:?} is left out, this is {version}: {advice}"));
        }
        Ok(Some(version))
    }
}

/// The first line, of those that are not empty, of what a program says about its version.
pub(crate) fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    Some(said.lines().find(|line| !line.trim().is_empty())?.to_owned())
}

/// Our own server, asked in one way.
struct Durable {
    server: Answerback,
    name: &'static str,
    asking: Asking,
}

impl System for Durable {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        Ok(Box::new(self.server.launch()?.asking(self.asking)))
    }
}

/// Visits every system that is there with every load, and prints what was seen.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let report = measure(arguments)?;
    if arguments.json {
        println!("{}", report.json());
    } else {
        println!("{}\n{report}", machine::headline());
    }
    report.failed()
}

fn measure(arguments: &Arguments) -> Outcome<Report> {
    let (kinds, versions) = kinds(arguments);
    process::allow_sockets(2 * connections(arguments) as u64 + 100)?;
    announce(arguments, kinds.len());
    let mut report = Report::new(versions);
    for &what in &arguments.what {
        let systems: Vec<_> = kinds.iter().map(|kind| kind.system(arguments, what)).collect::<Outcome<_>>()?;
        for &size in &arguments.sizes {
            for &shape in &arguments.shapes {
                let plan = Plan {
                    shape,
                    data_bytes: size,
                    warmup: Duration::from_secs_f64(arguments.warmup),
                    counted: Duration::from_secs_f64(arguments.seconds),
                    traced: false,
                };
                for _ in 0..arguments.rounds {
                    for system in &systems {
                        let sample = system.start().and_then(|running| visit::visit(&*running, &plan));
                        let about = format!("{}, {what}, {shape}, {size} B", system.name());
                        report.add(
                            what,
                            system.name(),
                            shape,
                            size,
                            sample.map_err(|error| format!("{about}: {error}")),
                        );
                    }
                }
            }
        }
    }
    Ok(report)
}

/// How many times as many durable requests a second the server does as JetStream with file storage and as Redis with a sync for each
/// turn: medians over rounds, with 256 in flight.
pub(crate) fn against_peers(
    what: What,
    server: ServerArguments,
    programs: &Programs,
    patience: (u32, f64),
) -> Outcome<[Option<f64>; 2]> {
    let arguments = Arguments {
        server,
        seconds: patience.1,
        warmup: 0.5,
        rounds: patience.0,
        what: vec![what],
        shapes: vec![Shape { requesters: 1, in_flight: 256, responders: 1 }],
        sizes: vec![64],
        systems: vec![Kind::Answerback, Kind::Jetstream, Kind::RedisList],
        nats_server: programs.nats_server.clone(),
        redis_server: programs.redis_server.clone(),
        json: false,
    };
    let report = measure(&arguments)?;
    report.failed()?;
    Ok(["jetstream file, sync 2m", "redis list, fsync always"].map(|system| report.share_of_first(system)))
}

/// The systems that can be measured here, and their versions. Says of the others why they are left out.
fn kinds(arguments: &Arguments) -> (Vec<Kind>, Vec<String>) {
    let asked = if arguments.systems.is_empty() { &Kind::ALL[..] } else { &arguments.systems };
    let (mut kinds, mut versions) = (Vec::new(), Vec::new());
    for &kind in asked {
        match kind.version(arguments) {
            Ok(version) => {
                kinds.push(kind);
                versions.extend(version.filter(|version| !versions.contains(version)));
            }
            Err(why) => eprintln!("{why}"),
        }
    }
    (kinds, versions)
}

fn connections(arguments: &Arguments) -> usize {
    arguments.shapes.iter().map(|shape| shape.requesters + shape.responders).max().unwrap_or(0)
}

fn announce(arguments: &Arguments, systems: usize) {
    let loads = arguments.what.len() * arguments.shapes.len() * arguments.sizes.len();
    let visits = loads * arguments.rounds as usize * systems;
    let minutes = visits as f64 * (arguments.seconds + arguments.warmup + 0.3) / 60.0;
    eprintln!("{visits} visits, about {minutes:.1} minutes");
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send => "send",
            Self::Call => "call",
        })
    }
}
