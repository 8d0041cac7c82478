//! Commands that look at a server: `ls`, `top`, `explain`, `check`; and those about the tool itself: `completions`, `man`.

use super::name;
use crate::units::duration;
use clap::{Args, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use std::time::Duration;

const LS_AFTER: &str = "\
--json:           the answer of $actions, {\"actions\":[{\"action\",\"handlers\",\"credit\",\"in_flight\",
                  \"queued\",\"bytes\",\"oldest_ms\",
                  \"elsewhere\":[{\"server\",\"hops\",\"credit\",\"in_flight\"}]}],\"more\"}
--json --clients: the answer of $sessions, {\"sessions\":[{\"client\",\"name\",\"connected\",\"address\",
                  \"waiting\",\"holding\",\"subscriptions\",\"serving\",\"serves\"}],\"more\"}
Both hold 1,000 entries at most; `more` says how many there are beyond.";

#[derive(Debug, Args)]
#[command(after_help = LS_AFTER)]
pub(crate) struct Ls {
    /// Clients instead of actions
    #[arg(long)]
    pub(crate) clients: bool,
}

const PEERS_AFTER: &str = "\
GIVEN: requests that were passed on to it and are not answered; TAKEN: those that came from it.

--json: the answer of $peers, {\"node\",\"peers\":[{\"server\",\"node\",\"address\",\"dialed\",\"up\",
        \"actions\",\"waiting\",\"running\"}]}";

#[derive(Debug, Args)]
#[command(after_help = PEERS_AFTER)]
pub(crate) struct Peers {}

const TOP_AFTER: &str = "\
Keys:  q quit, space pause, a c f w o b sort by action, credit, in flight, waiting, oldest, bytes,
       r other way round, up and down one line, page up and page down

--json: one line every --interval, {\"stats\":{…},\"per_second\":{…},\"actions\":[…]}; needs no terminal";

#[derive(Debug, Args)]
#[command(after_help = TOP_AFTER)]
pub(crate) struct Top {
    /// Time between two looks, 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,

    /// By action, credit, in-flight, waiting, oldest or bytes
    #[arg(long, value_name = "COLUMN", value_enum, default_value_t = SortBy::Waiting, hide_possible_values = true)]
    pub(crate) sort: SortBy,

    /// End after this many looks [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) times: Option<u64>,
}

/// A column of the table of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    Action,
    Credit,
    InFlight,
    Waiting,
    Oldest,
    Bytes,
}

const EXPLAIN_AFTER: &str = "\
Examples:
  answerback explain user.get       why requests for user.get wait, and which wait longest
  answerback explain 12:7           why request 7 of client 12 waits

--json: the answer of $explain, {\"text\",…}; of an action also
        {\"waiting\":[{\"client\",\"id\",\"name\",\"waits_ms\",\"left_ms\"}],\"more\"}";

#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_AFTER)]
pub(crate) struct Explain {
    /// Name of an action, or a request by the number of its client and its id
    #[arg(value_name = "ACTION|CLIENT:ID", value_parser = name)]
    pub(crate) what: String,
}

const CHECK_AFTER: &str = "\
Connects to the first server that can be reached, has $echo answered, and reads $stats. A server
that drains is not healthy.
Exit codes: 0 healthy, 1 not healthy, 4 --action has no handler, 6 cannot connect.

--json: {\"healthy\",\"server\",\"address\",\"connect_ms\",\"echo_ms\",\"uptime_ms\",\"draining\",
         \"queued\",\"in_flight\",\"connections\",\"problems\":[\"…\"]}";

#[derive(Debug, Args)]
#[command(after_help = CHECK_AFTER)]
pub(crate) struct Check {
    /// Not healthy if more requests wait, in all queues [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_queued: Option<u64>,

    /// Not healthy if $echo takes longer [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_latency: Option<Duration>,

    /// Not healthy if nobody serves this; may be repeated
    #[arg(long = "action", value_name = "ACTION", value_parser = name)]
    pub(crate) actions: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  answerback completions bash > ~/.local/share/bash-completion/completions/answerback"
)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  answerback man | man -l -\n  answerback man --dir ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Write one page for each command into this directory [default: one page, printed]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3_600);
    if allowed.contains(&interval) { Ok(interval) } else { Err("it is from 100ms to 1h".to_owned()) }
}
