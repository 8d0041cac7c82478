//! `answerback`: the command line of Answerback, for people at a shell and for scripts.
//!
//! ```text
//!  args      what can be typed           commands   what is done, a file each
//!  exit      how it ends                 print      the only way out
//! ```
//!
//! It talks to servers through the library `answerback` alone, as any client does; only `drain` and `reload` ask their admin port, `store` reads what one
//! that is stopped has left, through the crate `answerback-store`, and `keygen` and `keys` make and read files, through `answerback-keys`.

mod args;
mod commands;
mod connection;
mod exit;
mod json;
mod passphrase;
mod print;
mod signals;
mod table;
mod units;

use args::Cli;
use clap::{Parser, error::ErrorKind};
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => commands::run(&cli).unwrap_or_else(|failure| failure.tell(cli.common.json)),
        Err(error) => not_understood(&error),
    };
    exit.into()
}

/// Help and version are asked for; anything else is told as every error is, with what to do next.
fn not_understood(error: &clap::Error) -> Exit {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // There is nobody to tell if this cannot be printed.
        let _ = error.print();
        return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
    }
    let colours = print::is_error_terminal() && print::colours_are_wanted();
    let text = error.render();
    let text = if colours { text.ansi().to_string() } else { text.to_string() };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("--help"));
    let (other, what): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains("Usage:") || line.contains("tip:"));
    print::note(&what.join(" "));
    other.iter().for_each(|line| print::note(line));
    let command = args::command_in(std::env::args().skip(1));
    print::note(&format!("{} {command} --help", print::paint_error(print::Style::Strong, "next:")));
    Exit::Usage
}
