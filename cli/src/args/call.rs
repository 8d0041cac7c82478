//! `call` and `send`.

use super::name;
use crate::units::{duration, some_time};
use clap::Args;
use std::time::Duration;

const CALL_AFTER: &str = "\
Examples:
  answerback call user.get '{\"id\":7}'
  jq -c . order.json | answerback call order.place - --timeout 2s --key order-7
  answerback call '$echo' '\"hello\"' -v

--json:             the answer as it came
--json --stream:    one line a part, as it came
--json --broadcast: one line a reply, {\"from\",\"data\"} or {\"from\",\"error\"}, and at the end
                    {\"gather\":{\"expected\",\"answered\",\"failed\",\"lost\"}}
--json -v:          on standard error {\"connect_ms\",\"way_ms\",\"queued_ms\",\"ran_ms\",\"by\",\"total_ms\"}
A broadcast exits with 3 if a handler failed, else with 5 if one did not answer.";

#[derive(Debug, Args)]
#[command(after_help = CALL_AFTER)]
pub(crate) struct Call {
    #[command(flatten)]
    pub(crate) said: Said,

    /// The whole call, queue and work
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    pub(crate) timeout: Duration,

    /// Handlers that may be given it if one is lost, 1 to 1000 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) attempts: Option<u32>,

    /// To every handler; prints each reply, then how many there were
    #[arg(long, conflicts_with_all = ["attempts", "durable", "key", "stream", "verbose"])]
    pub(crate) broadcast: bool,

    /// Print each part of an answer in several parts as a line
    #[arg(long, conflicts_with = "verbose")]
    pub(crate) stream: bool,

    /// Show where the time went, on standard error
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

const SEND_AFTER: &str = "\
Examples:
  answerback send mail.send '{\"to\":\"ada@example.org\"}'

--json: {\"accepted\":true}";

#[derive(Debug, Args)]
#[command(after_help = SEND_AFTER)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) said: Said,

    /// For the work to be done [default: as the server says, 24h]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) timeout: Option<Duration>,

    /// Handlers that may be given it if one is lost, 1 to 1000 [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) attempts: Option<u32>,
}

/// What calls and sends may say alike.
#[derive(Debug, Args)]
pub(crate) struct Said {
    /// Name of the action
    #[arg(value_name = "ACTION", value_parser = name)]
    pub(crate) action: String,

    /// Data as JSON, or - to read it from standard input [default: null]
    #[arg(value_name = "JSON|-", allow_negative_numbers = true)]
    pub(crate) data: Option<String>,

    /// Longest wait in the queue; 0: only if one is free [default: --timeout]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,

    /// Idempotency key: the work runs once, later calls get its answer
    #[arg(long, value_name = "KEY", value_parser = name)]
    pub(crate) key: Option<String>,

    /// Only accepted when it is on disk
    #[arg(long)]
    pub(crate) durable: bool,

    /// W3C traceparent, handed on untouched
    #[arg(long, value_name = "TRACE", value_parser = name)]
    pub(crate) trace: Option<String>,
}
