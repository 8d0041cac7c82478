//! Reads raw flags. Each value that cannot be read is a [`Mistake`]; all of them are told at once, because a process that names one mistake for
//! each start is a nuisance.

use crate::logging::Format;
use crate::units::{A_COUNT, A_DURATION, A_SIZE, parse_count, parse_duration, parse_size};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

/// Something wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The flag that sets it.
    pub flag: &'static str,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flag, self.what)
    }
}

/// All mistakes, as a person reads them who has just typed a command. `prefix` is that of the environment's variables.
pub fn complaint(program: &str, prefix: &str, mistakes: &[Mistake]) -> String {
    let mut text = format!("{program} cannot start with these settings:\n\n");
    for Mistake { flag, what } in mistakes {
        let variable = flag.trim_start_matches('-').replace('-', "_").to_uppercase();
        // Many mistakes of a file have a line each.
        let what = what.replace('\n', "\n      ");
        text.push_str(&format!("  {flag} (or {prefix}_{variable})\n      {what}\n"));
    }
    text.push_str(&format!("\nSee {program} --help.\n"));
    text
}

/// Reads one flag after another.
#[derive(Debug, Default)]
pub struct Reader {
    /// What is wrong so far.
    pub mistakes: Vec<Mistake>,
}

impl Reader {
    /// Reads what is logged, and how. `example` is a list of parts with their levels.
    pub fn log(&mut self, log: &str, log_format: &str, example: &str) -> (Targets, Format) {
        let (mut filter, mut format) = (Targets::new(), Format::Text);
        let wanted = format!("error, warn, info, debug or trace, or a list such as {example}");
        self.take("--log", log, &wanted, parse_filter, &mut filter);
        self.take("--log-format", log_format, "text or json", parse_format, &mut format);
        (filter, format)
    }

    /// Reads a duration.
    pub fn duration(&mut self, flag: &'static str, text: &str, into: &mut Duration) {
        self.take(flag, text, A_DURATION, parse_duration, into);
    }

    /// Reads a size in bytes.
    pub fn size(&mut self, flag: &'static str, text: &str, into: &mut usize) {
        self.take(flag, text, A_SIZE, |text| usize::try_from(parse_size(text)?).ok(), into);
    }

    /// Reads a count.
    pub fn count(&mut self, flag: &'static str, text: &str, into: &mut usize) {
        self.take(flag, text, A_COUNT, |text| usize::try_from(parse_count(text)?).ok(), into);
    }

    /// Reads anything. What cannot be read stays as it is, and is a mistake: it should be what is `wanted`.
    pub fn take<T>(
        &mut self,
        flag: &'static str,
        text: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        into: &mut T,
    ) {
        match parse(text) {
            Some(value) => *into = value,
            None => {
                let what = format!("`{}` is not {wanted}", text.escape_debug());
                self.mistakes.push(Mistake { flag, what });
            }
        }
    }
}

/// An address with a port. `localhost` is the only name: others could mean another machine tomorrow.
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}

/// The same, or `off`.
pub fn parse_admin(text: &str) -> Option<Option<SocketAddr>> {
    if text == "off" { Some(None) } else { parse_address(text).map(Some) }
}

/// A bare word must be a level: `Targets` would take any other word as the name of a part and log nothing else.
fn parse_filter(text: &str) -> Option<Targets> {
    let is_level = |word: &str| !word.is_empty() && word.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let sound = text.split(',').all(|part| part.rsplit('=').next().is_some_and(is_level));
    if sound { text.parse().ok() } else { None }
}

fn parse_format(text: &str) -> Option<Format> {
    match text {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_filters() {
        assert_eq!(parse_address("localhost:80"), "127.0.0.1:80".parse().ok());
        assert_eq!(parse_address("example.org:80"), None);
        assert_eq!(parse_admin("off"), Some(None));
        for good in ["info", "WARN", "info,answerback_server=debug", "off", "a::b=trace"] {
            assert!(parse_filter(good).is_some(), "{good}");
        }
        for wrong in ["", "loud", "info,", "a=loud", "answerback_server"] {
            assert!(parse_filter(wrong).is_none(), "{wrong}");
        }
    }
}
