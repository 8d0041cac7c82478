//! The command line: every command and flag with its help. Completions and man pages are made of the same definitions.
//! Each help fits into one line of 100 columns and says unit and default.

mod bench;
mod call;
mod events;
mod keys;
mod look;
mod secure;
mod serve;
mod store;

pub(crate) use bench::Bench;
pub(crate) use call::{Call, Send};
pub(crate) use events::{Publish, Subscribe};
pub(crate) use keys::{Keygen, Keys, KeysCheck, KeysCommand, Reload};
pub(crate) use look::{Check, Completions, Explain, Ls, Man, Peers, SortBy, Top};
pub(crate) use secure::Secure;
pub(crate) use serve::{How, Serve};
pub(crate) use store::{Drain, Export, Import, Inspect, Store, StoreCommand};

use clap::{Args, CommandFactory, Parser, Subcommand};

/// Where a server listens when nothing else is said.
pub(crate) const SERVER: &str = "127.0.0.1:7040";

/// Where a server's admin port is when nothing else is said.
const ADMIN: &str = "127.0.0.1:7041";

const ABOUT: &str = "Answerback: ask by name, and always get an answer back";

const AFTER: &str = "\
On a terminal output is for people; answers in a pipe are the bytes as they came. --json is for
scripts: its shapes are told by `answerback COMMAND --help` and stay as they are.
Errors go to standard error: one line with what happened, and one that starts with `next:`. With
--json they are one object, {\"error\":{\"code\",\"message\",\"ran\",\"attempts\",\"fault\"},\"exit\",\"next\"}.

Exit codes:   0 answered, 1 other, 2 usage, 3 fault of the handler, 4 no handler,
              5 timeout or expired, 6 cannot connect or not allowed
Environment:  ANSWERBACK_SERVER (addresses with commas between them), NO_COLOR; a key:
              ANSWERBACK_KEY_FILE, or ANSWERBACK_KEY with the text itself, or the systemd
              credential answerback.key";

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "answerback",
    version,
    about = ABOUT,
    after_help = AFTER,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Address of a server; may be repeated
    #[arg(
        help_heading = "Everywhere",
        long = "server",
        global = true,
        env = "ANSWERBACK_SERVER",
        hide_env = true,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = SERVER,
        value_parser = address
    )]
    pub(crate) servers: Vec<String>,

    /// For scripts: JSON in shapes that stay as they are
    #[arg(help_heading = "Everywhere", long, global = true)]
    pub(crate) json: bool,

    /// Name that others see [default: answerback-PID]
    #[arg(help_heading = "Everywhere", long, global = true, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) secure: Secure,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call an action and print its answer
    Call(Call),
    /// Hand work in and wait only until the broker has it
    Send(Send),
    /// Answer calls of an action
    Serve(Serve),
    /// Publish an event to whoever subscribes now
    Publish(Publish),
    /// Print events of a topic as they come
    Subscribe(Subscribe),
    /// List who serves what, and what waits
    Ls(Ls),
    /// List the other servers that a server is linked with
    Peers(Peers),
    /// Watch who serves what, and what waits
    Top(Top),
    /// Say in words why requests wait
    Explain(Explain),
    /// Measure calls per second and how long they take
    Bench(Bench),
    /// Say whether a server is healthy, in one line and an exit code
    Check(Check),
    /// Ask a server to leave, and wait until it is gone
    Drain(Drain),
    /// Make a key that a server and its clients share
    Keygen(Keygen),
    /// Look at the file that says who may do what
    Keys(Keys),
    /// Have a server read its keys again
    Reload(Reload),
    /// Look at what a stopped server holds, and move it
    Store(Store),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the man page
    Man(Man),
}

/// The command that these words begin with, as `answerback store inspect`.
pub(crate) fn command_in(words: impl Iterator<Item = String>) -> String {
    let (mut command, mut said) = (Cli::command(), "answerback".to_owned());
    for word in words {
        let Some(below) = command.find_subcommand(&word).cloned() else { break };
        said = format!("{said} {word}");
        command = below;
    }
    said
}

/// A name as the wire knows it.
fn name(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a name has at least 1 byte".to_owned()),
        1..=255 if text.chars().any(char::is_control) => Err("a name has no control characters".to_owned()),
        1..=255 => Ok(text.to_owned()),
        long => Err(format!("a name has at most 255 bytes, this one has {long}")),
    }
}

fn address(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err(format!("an address is HOST:PORT, such as {SERVER}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    /// A help that breaks over two lines is hard to look through.
    #[test]
    fn every_flag_has_one_short_line_of_help() {
        let mut cli = Cli::command();
        cli.build();
        let below = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(below).chain([&cli]) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument}", command.get_name());
            }
            // What did not fit into its line goes on below, far to the right.
            let help = command.clone().render_help().to_string();
            let broken = help.lines().find(|line| line.starts_with(&" ".repeat(22)));
            assert_eq!(broken, None, "{}", command.get_name());
            // What stands below the flags has lines of its own, and a terminal of 100 columns does not break them.
            let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let long = notes.lines().find(|line| line.chars().count() > 100);
            assert_eq!(long, None, "{}", command.get_name());
        }
    }

    #[test]
    fn names_and_addresses() {
        assert!(
            name("user.get").is_ok() && name("").is_err() && name("a\nb").is_err() && name(&"x".repeat(256)).is_err()
        );
        for right in ["127.0.0.1:7040", "[::1]:7040", "host:1"] {
            assert!(address(right).is_ok(), "{right}");
        }
        for wrong in ["", "host", ":7040", "host:x", "host:70400"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
