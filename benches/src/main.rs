//! What Answerback costs, measured. One subcommand for each question; `benches/README.md` says how to read the answers.
//!
//! ```text
//!  codec   bytes to frames and back            no broker, no sockets
//!  core    every decision about a call         the pure core, time is made up, no sockets
//!  wire    a call over loopback                the server in a process of its own, beside a relay as the limit
//!  client  the client library                  beside clients that are written by hand, on the same server
//!  idle    connections that do nothing         the server in a process of its own
//!  fanout  events to many subscribers     the server in a process of its own, beside nats-server
//!  matching  who wants an event            the pure core
//!  durable requests that are on disk           the server in a process of its own, beside JetStream and Redis
//!  store   restarts, snapshots, empty again    the server in a process of its own, with a million requests
//!  balancer  a hop through the balancer        a process of its own, beside HAProxy and nginx
//!  hop     one hop more to the handler         servers that are linked, and a balancer, each a process of its own
//!  goals   every goal of speed in one run      all of the above, in short
//!  report  the page and the plot               from what `goals` has written down
//!  strangers  a crowd at the port              the server in a process of its own, with keys
//! ```

// Tables for people are what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[allow(unsafe_code)]
mod allocations;
mod balancer;
mod codec;
mod core_alone;
mod durable;
mod fanout;
mod folder;
mod goals;
mod hop;
mod idle;
mod library;
mod machine;
mod matching;
mod output;
mod process;
mod report;
mod store;
mod strangers;
mod table;
mod timing;
mod wire;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What a measurement gives, or in words why there is none.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures what Answerback costs.
#[derive(Parser)]
#[command(name = "answerback-benches", version)]
struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    /// Bytes to frames and back: GB/s and ns per frame, beside serde_json
    Codec(codec::Arguments),
    /// The pure core alone: ns and allocations per call at many queue lengths, handlers and actions
    Core(core_alone::Arguments),
    /// End to end over loopback: calls per second and latencies, beside a relay that reads nothing
    Wire(wire::Arguments),
    /// Every goal of speed, cost and scale: the figure, the goal, and whether it is reached; about 16 minutes
    Goals(goals::Arguments),
    /// docs/benchmarks: the page and the plot, from what `goals --json` has written
    Report(report::Arguments),
    /// The client library beside clients written by hand: calls per second and latencies on the same server
    Client(library::Arguments),
    /// Memory of idle connections, and what they cost those that are busy
    Idle(idle::Arguments),
    /// Events from one publisher to several subscribers, beside nats-server
    Fanout(fanout::Arguments),
    /// The pure core alone: ns per event among many subscriptions
    Matching(matching::Arguments),
    /// Requests that are on disk before they count, beside JetStream and Redis
    Durable(durable::Arguments),
    /// What a store with much in it costs: restarts, snapshots, and what is left when it was emptied
    Store(store::Arguments),
    /// Strangers that come to the port of those who work: latencies with and without, and memory
    Strangers(strangers::Arguments),
    /// A hop through the balancer, beside HAProxy and nginx
    Balancer(balancer::Arguments),
    /// One hop more: through a peer, through the balancer, and both
    Hop(hop::Arguments),
    /// The relay itself; `wire` starts it
    #[command(hide = true)]
    Relay,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().question {
        Question::Codec(arguments) => codec::run(&arguments),
        Question::Core(arguments) => core_alone::run(&arguments),
        Question::Wire(arguments) => wire::run(&arguments),
        Question::Goals(arguments) => goals::run(&arguments),
        Question::Report(arguments) => report::run(&arguments),
        Question::Client(arguments) => library::run(&arguments),
        Question::Idle(arguments) => idle::run(&arguments),
        Question::Fanout(arguments) => fanout::run(&arguments),
        Question::Matching(arguments) => matching::run(&arguments),
        Question::Durable(arguments) => durable::run(&arguments),
        Question::Store(arguments) => store::run(&arguments),
        Question::Strangers(arguments) => strangers::run(&arguments),
        Question::Balancer(arguments) => balancer::run(&arguments),
        Question::Hop(arguments) => hop::run(&arguments),
        Question::Relay => wire::relay::serve(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("answerback-benches: {error}");
            ExitCode::FAILURE
        }
    }
}
