//! `bench`.

use super::name;
use crate::units::{size, some_time};
use clap::Args;
use std::time::Duration;

const AFTER: &str = "\
Examples:
  answerback bench                              serves a name of its own and calls it
  answerback bench user.get --data '{\"id\":7}'   calls a handler of yours
  answerback bench --in-flight 256 --connections 4 --size 1KiB --seconds 10
  answerback bench --rate 20000                 what would callers see at 20,000 calls a second?

With --rate latencies count from the time at which a call should have started, so a server that
cannot keep up cannot hide it. Without, each call starts when the one before it has ended.
Ctrl-C ends early and shows what was measured.

--json: {\"action\",\"seconds\",\"calls\",\"answered\",\"not_started\",\"per_second\",\"connections\",
         \"in_flight\",\"size\",\"rate\",\"us\":{\"p50\",\"p99\",\"p999\",\"max\",\"mean\"},\"errors\":{CODE:N}}; us: µs";

#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Bench {
    /// Name of the action [default: a random one, served here as echo]
    #[arg(value_name = "ACTION", value_parser = name)]
    pub(crate) action: Option<String>,

    /// Calls in flight at once, over all connections, 1 to 65536
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) in_flight: u32,

    /// Connections of callers, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,

    /// Data of each call: a text of this many bytes, KiB or MiB
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = data_size)]
    pub(crate) size: u64,

    /// Data of each call, instead of --size
    #[arg(long, value_name = "JSON", conflicts_with = "size", allow_negative_numbers = true)]
    pub(crate) data: Option<String>,

    /// How long to call, in seconds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,

    /// How many calls to make, instead of --seconds
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) calls: Option<u64>,

    /// Calls started per second [default: as fast as answers come]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: Option<u64>,

    /// The whole of each call, queue and work
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    pub(crate) timeout: Duration,

    /// Serve ACTION here too, as echo, on a connection of its own
    #[arg(long)]
    pub(crate) serve: bool,
}

/// A JSON text of 64 bytes is 62 characters between quotes.
fn data_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (2..=1 << 30).contains(&bytes) { Ok(bytes) } else { Err("it is from 2 bytes to 1GiB".to_owned()) }
}
