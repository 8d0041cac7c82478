//! `completions`: what a shell needs to complete commands and flags.

use crate::args::{Cli, Completions as Args};
use crate::exit::{Exit, Outcome};
use crate::print::bytes;
use clap::CommandFactory;

pub(crate) fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "answerback", &mut script);
    bytes(&script)?;
    Ok(Exit::Ok)
}
