//! `store`: what a server's store costs when much is in it.
//!
//! ```text
//!  restart    a server with a full queue is ended and started: until it answers, delivers, has all of it again
//!  drain      the same queue is emptied: what is left of memory and disk
//!  snapshots  1 % of a full queue changes each second: how long a snapshot takes, and what calls feel of it
//! ```

mod restart;
mod server;
mod snapshots;
mod talk;

use crate::Outcome;
use crate::machine;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The server to start; by default the one beside this program
    #[arg(long)]
    server_binary: Option<PathBuf>,
    /// Sends in the queue
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// The same as --count 10000000, without the part `snapshots`; takes about 10 GiB of memory and of disk
    #[arg(long, conflicts_with = "count")]
    ten_million: bool,
    /// Bytes of data of each
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Seconds of each visit in the part `snapshots`
    #[arg(long, default_value_t = 5.0, value_parser = crate::wire::seconds)]
    seconds: f64,
    /// Rounds of the part `snapshots`; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only this part
    #[arg(long, value_enum)]
    only: Option<PartOfIt>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PartOfIt {
    /// Ended, started, emptied
    Restart,
    /// Snapshots beside calls
    Snapshots,
}

impl Arguments {
    fn count(&self) -> u64 {
        if self.ten_million { 10_000_000 } else { self.count }
    }

    fn wants(&self, part: PartOfIt) -> bool {
        self.only.map_or(part == PartOfIt::Restart || !self.ten_million, |only| only == part)
    }
}

/// What is left of the calls a second when snapshots are made each second.
pub(crate) fn kept_with_snapshots(server_binary: Option<PathBuf>, (rounds, seconds): (u32, f64)) -> Outcome<f64> {
    let only = Some(PartOfIt::Snapshots);
    let (count, size) = (1_000_000, 200);
    snapshots::kept(&Arguments { server_binary, count, ten_million: false, size, seconds, rounds, only })
}

/// Measures the parts that are asked for.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    println!("{}", machine::headline());
    if arguments.wants(PartOfIt::Restart) {
        println!("{}", restart::measure(arguments)?);
    }
    if arguments.wants(PartOfIt::Snapshots) {
        println!("{}", snapshots::measure(arguments)?);
    }
    Ok(())
}
