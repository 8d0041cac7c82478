//! From what was typed to settings, and from a file to backends. Every mistake is told.

use crate::cli::Cli;
use crate::plane::Way;
use crate::pool::{Spec, Strategy, lines, read_list};
use crate::settings::Settings;
use answerback_process::logging::Format;
use answerback_process::mistakes::{Mistake, Reader, parse_address, parse_admin};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use tracing_subscriber::filter::Targets;

/// What the process was asked to be.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) settings: Settings,
    pub(crate) log: Targets,
    pub(crate) log_format: Format,
}

/// The most of a file of backends, in bytes: a thousand of the longest fit.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Mistakes of one list that are told; the rest is counted.
const MISTAKES_TOLD: usize = 8;

/// Reads all flags and the file, or says what is wrong with them.
pub(crate) fn read(cli: &Cli) -> Result<Given, Vec<Mistake>> {
    let (mut read, mut settings) = (Reader::default(), Settings::default());
    places(cli, &mut read, &mut settings);
    times(cli, &mut read, &mut settings);
    counts(cli, &mut read, &mut settings);
    backends(cli, &mut read, &mut settings);
    let (log, log_format) = read.log(&cli.log, &cli.log_format, "info,answerback_balancer=debug");
    let unread: Vec<_> = read.mistakes.iter().map(|mistake| mistake.flag).collect();
    // What could not be read stands there as its default: it is not blamed twice.
    read.mistakes.extend(settings.mistakes().into_iter().filter(|mistake| !unread.contains(&mistake.flag)));
    if read.mistakes.is_empty() { Ok(Given { settings, log, log_format }) } else { Err(read.mistakes) }
}

fn places(cli: &Cli, read: &mut Reader, settings: &mut Settings) {
    let address = "an IP address and a port, such as 127.0.0.1:7050 or [::1]:7050";
    read.take("--listen", &cli.listen, address, parse_address, &mut settings.listen);
    let address = "an IP address and a port, such as 127.0.0.1:7051, or `off`";
    read.take("--admin", &cli.admin, address, parse_admin, &mut settings.admin);
    settings.reuse_port = cli.reuse_port;
    read.take("--strategy", &cli.strategy, Strategy::WORDS, Strategy::parse, &mut settings.rules.strategy);
    read.take("--copy", &cli.copy, "auto, buffer or splice", Way::parse, &mut settings.copy);
}

fn times(cli: &Cli, read: &mut Reader, settings: &mut Settings) {
    let rules = &mut settings.rules;
    read.duration("--probe-interval", &cli.probe_interval, &mut rules.interval);
    read.duration("--probe-timeout", &cli.probe_timeout, &mut settings.probe_timeout);
    read.duration("--rest", &cli.rest, &mut rules.rest);
    read.duration("--rest-max", &cli.rest_max, &mut rules.rest_max);
    read.duration("--slow-start", &cli.slow_start, &mut rules.slow_start);
    read.duration("--resolve-every", &cli.resolve_every, &mut rules.resolve_every);
    read.duration("--connect-timeout", &cli.connect_timeout, &mut settings.connect_timeout);
    read.duration("--idle-timeout", &cli.idle_timeout, &mut settings.idle_timeout);
    read.duration("--keepalive", &cli.keepalive, &mut settings.keepalive);
    read.duration("--drain-deadline", &cli.drain_deadline, &mut settings.drain_deadline);
    read.duration("--rebalance-every", &cli.rebalance_every, &mut settings.rebalance_every);
    read.duration("--rebalance-idle", &cli.rebalance_idle, &mut settings.rebalance_idle);
}

fn counts(cli: &Cli, read: &mut Reader, settings: &mut Settings) {
    read.count("--fall", &cli.fall, &mut settings.rules.fall);
    read.count("--rise", &cli.rise, &mut settings.rules.rise);
    read.count("--max-connections", &cli.max_connections, &mut settings.max_connections);
    read.count("--rebalance-share", &cli.rebalance_share, &mut settings.rebalance_share);
}

fn backends(cli: &Cli, read: &mut Reader, settings: &mut Settings) {
    match read_list(cli.backend.iter().map(|text| (String::new(), text.as_str()))) {
        Ok(specs) => settings.backends = specs,
        Err(mistakes) => read.mistakes.push(Mistake { flag: "--backend", what: told(&mistakes) }),
    }
    settings.file.clone_from(&cli.backends);
    let Some(file) = &cli.backends else { return };
    let what = match all_backends(&settings.backends, Some(file)) {
        Ok(all) if !all.is_empty() || !read.mistakes.is_empty() => return,
        Ok(_) => format!("{} names no backend; one is a line such as 127.0.0.1:7040", file.display()),
        Err(what) => what,
    };
    read.mistakes.push(Mistake { flag: "--backends", what });
}

/// The backends said by flags and those of the file, as it is now.
pub(crate) fn all_backends(said: &[Spec], file: Option<&Path>) -> Result<Vec<Spec>, String> {
    let mut all = said.to_vec();
    let Some(path) = file else { return Ok(all) };
    let text = read_file(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let listed = read_list(lines(&text)).map_err(|mistakes| format!("{}: {}", path.display(), told(&mistakes)))?;
    all.extend(listed.into_iter().filter(|spec| !said.iter().any(|other| other.name == spec.name)));
    Ok(all)
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn told(mistakes: &[String]) -> String {
    let mut told = mistakes[..mistakes.len().min(MISTAKES_TOLD)].join("\n");
    if mistakes.len() > MISTAKES_TOLD {
        told.push_str(&format!("\nand {} more", mistakes.len() - MISTAKES_TOLD));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn given(args: &[&str]) -> Result<Given, Vec<Mistake>> {
        let args = ["answerback-balancer"].iter().chain(args);
        read(&Cli::try_parse_from(args).unwrap())
    }

    /// The help names defaults, and so does `Settings::default()`.
    #[test]
    fn defaults_of_the_flags_are_the_defaults_of_the_settings() {
        let settings = given(&["--backend", "a:1"]).unwrap().settings;
        let defaults = Settings { backends: settings.backends.clone(), ..Settings::default() };
        assert_eq!(format!("{settings:#?}"), format!("{defaults:#?}"));
    }

    #[test]
    fn every_flag_reaches_the_settings() {
        let mut changed = 0;
        let defaults = format!("{:?}", given(&["--backend", "a:1"]).unwrap());
        let command = <Cli as clap::CommandFactory>::command();
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            let value = match flag {
                // Files have a test of their own.
                "help" | "version" | "backends" => continue,
                "backend" => "b:1",
                "listen" | "admin" => "127.0.0.1:9",
                "reuse-port" => "",
                "strategy" => "two-choices",
                "copy" => "splice",
                "log" => "debug",
                "log-format" => "json",
                "fall" | "rise" | "max-connections" | "rebalance-share" => "77",
                _ => "7s",
            };
            let flag = format!("--{flag}");
            let args = ["--backend", "a:1", flag.as_str(), value];
            let now = given(if value.is_empty() { &args[..3] } else { &args[..] });
            let now = now.unwrap_or_else(|mistakes| panic!("{flag}: {mistakes:?}"));
            assert_ne!(format!("{now:?}"), defaults, "{flag} {value}");
            changed += 1;
        }
        assert_eq!(changed, 24);
    }

    /// The help says so of each flag. `--backend` had none.
    #[test]
    fn every_flag_is_an_environment_variable() {
        let command = <Cli as clap::CommandFactory>::command();
        for flag in command.get_arguments().filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version")) {
            let name = flag.get_long().unwrap().to_uppercase().replace('-', "_");
            let variable = flag.get_env().unwrap_or_else(|| panic!("{name} has none")).to_str();
            assert_eq!(variable, Some(&*format!("ANSWERBACK_BALANCER_{name}")));
        }
        let two = given(&["--backend", "a:1,max=2 b:1"]).unwrap().settings.backends;
        assert_eq!(two.len(), 2);
    }

    #[test]
    fn all_mistakes_come_at_once_and_each_flag_is_blamed_once() {
        let args = ["--listen", "7050", "--strategy", "random", "--rest", "2", "--backend", "a", "--fall", "0"];
        let more = [
            "--admin",
            "0.0.0.0:1",
            "--rebalance-share",
            "101",
            "--keepalive",
            "20ms",
            "--backends",
            "/does/not/exist",
        ];
        let mistakes = given(&[&args[..], &more[..]].concat()).unwrap_err();
        let mut flags: Vec<_> = mistakes.iter().map(|mistake| mistake.flag).collect();
        flags.sort_unstable();
        let wrong = [
            "--admin",
            "--backend",
            "--backends",
            "--fall",
            "--keepalive",
            "--listen",
            "--rebalance-share",
            "--rest",
            "--strategy",
        ];
        assert_eq!(flags, wrong);
        let none = given(&[]).unwrap_err();
        assert_eq!((none.len(), none[0].flag), (1, "--backend"));
    }
}
