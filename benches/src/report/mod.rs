//! `report`: the page and the plot that the repository shows, made from the results of `goals` and nothing else.
//!
//! ```text
//!  goals --json DIR/results.json ──► report DIR ──► DIR/README.md, DIR/plot.svg
//!  mod      reads and writes        results  medians of what was measured
//!  page     the tables              plot     the bars
//! ```

mod page;
mod plot;
mod results;

use crate::{Outcome, output};
use results::Results;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder that has results.json, from `goals --json`; the page and the plot are written beside it
    folder: PathBuf,
}

/// Makes page and plot.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let file = arguments.folder.join("results.json");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let results = Results::new(serde_json::from_str(&text)?)?;
    output::write(&arguments.folder.join("plot.svg"), &plot::svg(&results))?;
    output::write(&arguments.folder.join("README.md"), &page::markdown(&results))
}
