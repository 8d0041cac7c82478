//! Small programs that do the same each time they run, for `cargo xtask instructions` to count their instructions.
//!
//! ```text
//!  main   which programs there are; `answerback-instructions NAME COUNT` runs one
//!  net    brokers, alone or linked, with callers and handlers that exist only as connection ids
//!  codec  frames and records
//! ```
//!
//! Nothing here looks at a clock or draws a random number, so a program that is run twice takes the same way twice. What it takes to
//! begin is taken off by running each with two counts.

// A program for another program: its list of names goes to standard output.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod codec;
mod net;

use std::process::ExitCode;

/// What a program gives, or in words why it could not run.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A program: its name, and what it does so often.
type Program = (&'static str, fn(u64) -> Outcome<()>);

const PROGRAMS: [Program; 9] = [
    ("core-call", net::call),
    ("core-call-through-queue", net::call_through_queue),
    ("core-call-64-handlers", net::call_64_handlers),
    ("core-call-linked", net::call_linked),
    ("codec-read-request", codec::read_request),
    ("codec-read-reply", codec::read_reply),
    ("codec-write-deliver", codec::write_deliver),
    ("codec-write-reply", codec::write_reply),
    ("codec-sealed-1KiB", codec::sealed_record),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            for (name, _) in PROGRAMS {
                println!("{name}");
            }
            ExitCode::SUCCESS
        }
        [name, count] => match run(name, count) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{name}: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!(
                "answerback-instructions             which programs there are\nanswerback-instructions NAME COUNT  runs one"
            );
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, count: &str) -> Outcome<()> {
    let (_, program) = PROGRAMS.iter().find(|(known, _)| *known == name).ok_or("there is no such program")?;
    program(count.parse()?)
}
