//! `store export`: every item as a line of JSON.

use super::place::Place;
use super::progress::Progress;
use super::{refused, warn};
use crate::args::Export as Args;
use crate::exit::{Exit, Failure, Outcome};
use crate::print::{Lines, Style, is_open_to_others, is_terminal, note, paint_error};
use crate::units::grouped;
use answerback_store::lines::{CALENDAR, Line, write_item};
use answerback_store::{Finding, Options, Store};
use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(crate) fn run(args: &Args) -> Outcome {
    let place = Place::to_read(&args.dir)?;
    let mut out = match &args.output {
        Some(path) => Lines::to(new_file(path)?)?,
        None => {
            warn_of_secrets();
            Lines::to_stdout()
        }
    };
    out.line(&Line::Head.write())?;
    let (mut progress, mut failed) = (Progress::new("exported"), None);
    let seen = Store::inspect(&place.store, CALENDAR, &Options::default(), &mut |id, item| match progress
        .step()
        .and_then(|()| out.line(&write_item(id, &item)))
    {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            failed = Some(failure);
            ControlFlow::Break(())
        }
    });
    let count = progress.count;
    drop(progress);
    if let Some(failure) = failed {
        return Err(failure);
    }
    let seen = seen.map_err(|error| refused(&error))?;
    let is_complete = !seen.findings.iter().any(Finding::is_loss);
    out.line(&Line::End { clean: seen.clean && is_complete }.write())?;
    out.finish()?;
    warn(&seen.findings);
    let items = if count == 1 { "item" } else { "items" };
    let key = place.data.join("server.key");
    note(&format!("{} {items} exported; a server that moves needs {} too", grouped(count), key.display()));
    if !is_complete {
        let next = "what could be read was exported; the warnings above say what could not";
        return Err(Failure::new(Exit::Other, "the store is damaged: not everything was exported", next));
    }
    Ok(Exit::Ok)
}

fn new_file(path: &Path) -> Result<std::fs::File, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| Failure::system(&format!("make {}", path.display()), &error))
}

/// Sessions are in what comes: it belongs neither on a screen nor into a file that everybody can read.
fn warn_of_secrets() {
    let why = if is_terminal() {
        "sessions follow, which are secrets; --output FILE writes a file that only you can read"
    } else if is_open_to_others() {
        "sessions are in this file, which are secrets, and others can read it; --output FILE makes one that only you can read"
    } else {
        return;
    };
    note(&format!("{} {why}", paint_error(Style::Warn, "warning:")));
}
