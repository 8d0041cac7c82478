//! `store`: what a stopped server holds, looked at and moved.

mod export;
mod import;
mod inspect;
mod place;
mod progress;

use crate::args::{Common, Store as Args, StoreCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::print::{Style, escaped, note, paint_error};
use answerback_store::{Finding, OpenError};

pub(crate) fn run(common: &Common, args: &Args) -> Outcome {
    progress::listen_for_signals()?;
    match &args.command {
        StoreCommand::Inspect(args) => inspect::run(common, args),
        StoreCommand::Export(args) => export::run(args),
        StoreCommand::Import(args) => import::run(common, args),
    }
}

/// What a store says when it cannot be used.
fn refused(error: &OpenError) -> Failure {
    let next = match error {
        OpenError::Newer { .. } => "use the version that wrote it, or a newer one",
        OpenError::NotAStore { .. } => "the banner of a server shows its data directory; --data-dir says it",
        OpenError::NotEmpty { .. } => "import into an empty directory, or with --add",
        _ => "check the directory, and whether you may read and write it",
    };
    Failure::new(Exit::Other, error.to_string(), next)
}

/// Tells what is wrong with a store, on standard error.
fn warn(findings: &[Finding]) {
    for finding in findings {
        note(&format!("{} {}", paint_error(Style::Warn, "warning:"), escaped(&finding.to_string())));
    }
}
