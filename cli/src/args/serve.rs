//! `serve`.

use super::name;
use crate::units::{duration, size};
use clap::Args;
use std::time::Duration;

const AFTER: &str = "\
Examples:
  answerback serve hello --echo
  answerback serve host.load --exec 'cut -d\" \" -f1 /proc/loadavg'
  answerback serve text.words --exec 'jq -r . | wc -w' --concurrency 2

--exec runs sh -c CMD with the data of the call on standard input. What it prints is the answer:
JSON as it is, any other text as a JSON string without its last newline, nothing as null. If it
exits with N, the call ends in the fault exit_N with the last lines of its standard error. If the
caller cancels or the time is up, all its processes are killed. Its environment:
  ANSWERBACK_ACTION, ANSWERBACK_CALLER, ANSWERBACK_ATTEMPT, ANSWERBACK_LEFT_MS, TRACEPARENT

Ctrl-C stops taking calls and finishes what runs; again: at once.

--json: instead of lines on standard error one line a call on standard output,
        {\"time\",\"caller\",\"action\",\"attempt\",\"ended\",\"ms\"}";

#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Serve {
    /// Name of the action
    #[arg(value_name = "ACTION", value_parser = name)]
    pub(crate) action: String,

    #[command(flatten)]
    pub(crate) how: How,

    /// Calls worked on at once, 1 to 65535
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65535))]
    pub(crate) concurrency: u32,

    /// Most that a command may print, in bytes or KiB, MiB
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size)]
    pub(crate) max_output: u64,

    /// For what runs to finish after Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) drain_deadline: Duration,

    /// No line for each call
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How calls are answered: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct How {
    /// Answer with the data of the call
    #[arg(long)]
    pub(crate) echo: bool,

    /// Answer always with this
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) reply: Option<String>,

    /// Answer with what this shell command prints
    #[arg(long, value_name = "CMD")]
    pub(crate) exec: Option<String>,
}
