//! `keygen`, `keys` and `reload`.

use super::{ADMIN, address};
use answerback_keys::stretch::Salt;
use answerback_keys::{KeyId, NotAKeyId};
use clap::{Args, Subcommand};
use std::path::PathBuf;

const KEYGEN_AFTER: &str = "\
Examples:
  answerback keygen -o answerback.key             one key for a server and all its clients
  answerback keygen billing -o billing.key        a key for one service, for a keys file
  answerback keygen --rotate billing.key          the key after it, and how to bring it in

A generated key cannot be guessed; a passphrase can, by whoever records a connection. If it must be
one, it is asked for, or is the first line of standard input; never a word of the command line. Salt
and passphrase make the same key again elsewhere: the salt stands in a comment of the file.

--json: {\"id\",\"file\",\"key\",\"salt\",\"replaces\"}; key only without a file, what does not apply is null";

#[derive(Debug, Args)]
#[command(after_help = KEYGEN_AFTER)]
pub(crate) struct Keygen {
    /// Who holds it, and behind a / which one it is: billing/2
    #[arg(value_name = "ID", default_value = "answerback", value_parser = key_id)]
    pub(crate) id: KeyId,

    /// Into this new file, readable by you alone [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Make it of a passphrase; a generated key is better
    #[arg(long)]
    pub(crate) passphrase: bool,

    /// Make the same key again [default: a new salt]
    #[arg(long, value_name = "SALT", requires = "passphrase", value_parser = salt)]
    pub(crate) salt: Option<Salt>,

    /// Make the key after the one in this file, into FILE.next
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "passphrase"])]
    pub(crate) rotate: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Say every mistake in a keys file, or who may do what
    Check(KeysCheck),
}

const CHECK_AFTER: &str = "\
For a server with --keys FILE: a table for each holder. What is not there is not granted.

  [billing]
  keys = [\"abk1:billing:…\"]         of `answerback keygen billing`; two while one replaces the other
  call = [\"user.get\", \"mail.*\"]     send and broadcast too; * is one part of a name, > all after
  serve = [\"billing.>\"]
  publish = [\"billing.>\"]
  subscribe = [\"orders.>\"]
  admin = false                     whether it may use names that begin with $
  peer = false                      whether it is a server, which passes on requests of others
  certificate = \"CN=billing\"        TLS client certificates with this subject or DNS name are it

Exit codes: 0 it is sound; 1 it cannot be read, or others can read it; 2 there are mistakes in it.

--json: {\"holders\":[{\"id\",\"keys\":[ids],\"call\",\"serve\",\"publish\",\"subscribe\",\"admin\",
         \"peer\",\"certificate\"}]}; with mistakes {\"error\":{\"message\",\"lines\"},\"exit\",\"next\"}";

#[derive(Debug, Args)]
#[command(after_help = CHECK_AFTER)]
pub(crate) struct KeysCheck {
    /// The keys file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

const RELOAD_AFTER: &str = "\
Asks a server to read its keys again, as SIGHUP does. If there is a mistake in them nothing changes.
Connections whose key is gone are closed; changed rights hold at once; nobody else notices.
Exit codes: 0 done; 1 there are mistakes, and the old keys still hold, or it answers what is not
            understood; 6 it cannot be reached, or it refuses.

--json: {\"holders\",\"keys\",\"added\":[ids],\"removed\":[ids],\"changed\":[ids],\"closed\"}";

#[derive(Debug, Args)]
#[command(after_help = RELOAD_AFTER)]
pub(crate) struct Reload {
    /// Address of its admin port
    #[arg(long, value_name = "HOST:PORT", default_value = ADMIN, value_parser = address)]
    pub(crate) admin: String,
}

fn key_id(text: &str) -> Result<KeyId, NotAKeyId> {
    KeyId::new(text)
}

fn salt(text: &str) -> Result<Salt, String> {
    text.parse().map_err(|error: answerback_keys::stretch::NotASalt| error.to_string())
}
