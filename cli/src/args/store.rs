//! `store` and `drain`.

use super::{ADMIN, name};
use crate::units::duration;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

const STORE_AFTER: &str = "\
DIR is a server's data directory, which its banner shows, or the folder `store` in it. No server may
use it meanwhile: `answerback top` and `answerback explain` look at one that runs. Looking at one
changes nothing, and needs room for a copy of its snapshots among temporary files (TMPDIR).
Exit codes: 0 done, 1 it cannot be read or written, or something in it is lost, 2 usage or a line
            that is not understood, 6 a server uses it, or it holds something already.";

#[derive(Debug, Args)]
#[command(after_help = STORE_AFTER, subcommand_required = true)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say what a stopped server holds
    Inspect(Inspect),
    /// Write what a stopped server holds as JSON lines
    Export(Export),
    /// Fill a stopped server with JSON lines from standard input
    Import(Import),
}

const INSPECT_AFTER: &str = "\
Examples:
  answerback store inspect /var/lib/answerback
  answerback store inspect answerback-data --action 'mail.>' --items

Changes nothing, and shows no data, keys or sessions. Exits with 1 if something is lost.

--json: {\"path\",\"clean\",\"items\",\"actions\":[{\"action\",\"queued\",\"delivered\",\"durable\",\"bytes\",
         \"oldest_ms\"}],\"kept\":{\"replies\",\"bytes\"},\"stored\":{\"replies\",\"bytes\"},\"journal\":
         {\"segments\",\"bytes\"},\"snapshots\":{\"generation\",\"bytes\"},\"aside\":[{\"name\",\"bytes\"}],
         \"findings\":[{\"kind\",\"text\",\"loss\"}]}
--json --items: one line an item, {\"item\",\"kind\",\"action\",\"from\",\"state\",\"durable\",\"waits_ms\",
         \"bytes\"}; kind: request, kept or stored; state: queued, delivered or answered";

#[derive(Debug, Args)]
#[command(after_help = INSPECT_AFTER)]
pub(crate) struct Inspect {
    /// Data directory of a server that is stopped
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Only these: a name, or a pattern with * and > as in topics
    #[arg(long, value_name = "PATTERN", value_parser = name)]
    pub(crate) action: Option<String>,

    /// One line for each item
    #[arg(long)]
    pub(crate) items: bool,
}

const EXPORT_AFTER: &str = "\
Examples:
  answerback store export answerback-data > items.jsonl
  answerback store export answerback-data --output items.jsonl

Moving a server: stop it, export, import where it shall go, and copy the file server.key of its data
directory along: delivery ids are made with it, so handlers would be asked again for work that they
still hold. Sessions are in the lines, and who knows one can take it over: keep the file private.
Data stands there as the JSON that it is, or as data_base64 if it is none; times are UTC.";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_AFTER)]
pub(crate) struct Export {
    /// Data directory of a server that is stopped
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Into this new file, readable by you alone [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

const IMPORT_AFTER: &str = "\
Examples:
  answerback store import answerback-data < items.jsonl
  grep -v '\"action\":\"mail.send\"' items.jsonl | answerback store import answerback-data

All lines are imported or none. Items keep their order. With --add they come behind those that are
there already, under new numbers, and the store as it was is kept in its folder aside/.

--json: {\"imported\",\"there_before\",\"path\",\"aside\"}";

#[derive(Debug, Args)]
#[command(after_help = IMPORT_AFTER)]
pub(crate) struct Import {
    /// Data directory of a server that is stopped; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Also if something is there already
    #[arg(long)]
    pub(crate) add: bool,
}

const DRAIN_AFTER: &str = "\
Asks the server to leave, as SIGTERM does: no new work, clients are sent elsewhere, what runs may
finish until the deadline, everything is saved. Then waits until it is gone. Ctrl-C ends the waiting
only: the server goes on leaving.
Exit codes: 0 gone, or with --no-wait asked; 1 it answers what is not understood; 5 it is still
            there and nothing moves; 6 it cannot be reached, or it refuses.

--json: {\"asked\":true,\"gone\",\"running\",\"waiting\",\"took_ms\"}; running, waiting: as last seen";

#[derive(Debug, Args)]
#[command(after_help = DRAIN_AFTER)]
pub(crate) struct Drain {
    /// Address of its admin port
    #[arg(long, value_name = "HOST:PORT", default_value = ADMIN, value_parser = super::address)]
    pub(crate) admin: String,

    /// How long running work may take [default: its --drain-deadline, 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,

    /// Ask and do not wait until it is gone
    #[arg(long)]
    pub(crate) no_wait: bool,
}
