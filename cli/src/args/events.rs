//! `publish` and `subscribe`.

use super::name;
use clap::Args;

const PUBLISH_AFTER: &str = "\
Examples:
  answerback publish orders.new '{\"id\":7}'
  answerback publish orders.yours '\"bolt\"' --to 12

Done when the server has handed it to those who subscribe now; nobody else gets it.

--json: {\"published\":true}";

#[derive(Debug, Args)]
#[command(after_help = PUBLISH_AFTER)]
pub(crate) struct Publish {
    /// Topic: tokens between dots
    #[arg(value_name = "TOPIC", value_parser = name)]
    pub(crate) topic: String,

    /// Data as JSON, or - to read it from standard input [default: null]
    #[arg(value_name = "JSON|-", allow_negative_numbers = true)]
    pub(crate) data: Option<String>,

    /// To this client only, by its number in `$sessions` and `$events.>`
    #[arg(long, value_name = "CLIENT")]
    pub(crate) to: Option<u64>,
}

const SUBSCRIBE_AFTER: &str = "\
Examples:
  answerback subscribe 'orders.>'
  answerback subscribe 'orders.*' --group billing --count 10
  answerback subscribe '$events.>' --json | jq .data

In a pattern * is any one token, and > at the end one or more; put it between single quotes.
$events.> is what the broker tells of itself: client.connected, client.disconnected,
action.online, action.offline, server.draining.

--json: one line an event, {\"topic\",\"from\",\"data\"}, with \"missed\" if events were missed before it";

#[derive(Debug, Args)]
#[command(after_help = SUBSCRIBE_AFTER)]
pub(crate) struct Subscribe {
    /// Topic or pattern
    #[arg(value_name = "TOPIC", value_parser = name)]
    pub(crate) topic: String,

    /// Share the events with all of this group: one of them gets each
    #[arg(long, value_name = "GROUP", value_parser = name)]
    pub(crate) group: Option<String>,

    /// Leave after so many events [default: go on until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}
