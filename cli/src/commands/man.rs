//! `man`: the manual, made of the definitions of the command line.

use crate::args::{Cli, Man as Args};
use crate::exit::{Exit, Failure, Outcome};
use crate::print::{bytes, line};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

pub(crate) fn run(args: &Args) -> Outcome {
    let mut cli = Cli::command();
    cli.build();
    match &args.dir {
        None => bytes(&page(cli)?)?,
        Some(dir) => write_all(cli, dir)?,
    }
    Ok(Exit::Ok)
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let has_commands = command.has_subcommands();
    let man = Man::new(command);
    let mut page = Vec::new();
    let rendered = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .and_then(|()| if has_commands { man.render_subcommands_section(&mut page) } else { Ok(()) })
        .and_then(|()| notes(&man, &mut page));
    rendered.map_err(|error| Failure::output(&error))?;
    Ok(page)
}

/// What stands below the flags of a help has lines of its own: they must not be filled up.
fn notes(man: &Man, page: &mut Vec<u8>) -> io::Result<()> {
    let mut extra = Vec::new();
    man.render_extra_section(&mut extra)?;
    let text = String::from_utf8_lossy(&extra).replacen(".SH EXTRA\n", ".SH NOTES\n.nf\n", 1);
    write!(page, "{}\n.fi\n", text.trim_end())
}

/// `answerback.1`, `answerback-call.1` and so on.
fn write_all(cli: Command, dir: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::system(&format!("write the man pages to {}", dir.display()), &error);
    fs::create_dir_all(dir).map_err(failed)?;
    for command in pages(cli) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page(command)?).map_err(failed)?;
        line(&path.display().to_string())?;
    }
    Ok(())
}

/// Every command has a page, also those below others.
fn pages(command: Command) -> Vec<Command> {
    // `help` has the others below it, a second time.
    let below = command.get_subcommands().filter(|command| command.get_name() != "help").cloned().flat_map(pages);
    let below: Vec<_> = below.collect();
    std::iter::once(command).chain(below).collect()
}
