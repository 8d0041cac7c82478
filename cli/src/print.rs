//! The one place that writes to standard output and standard error. Nothing that came over the network reaches a terminal
//! without [`escaped`]: a name or an answer must not be able to move the cursor, change colours or forge lines.

use crate::exit::Failure;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes to standard output as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Many lines, written in large pieces.
pub(crate) struct Lines {
    out: BufWriter<Box<dyn Write>>,
    file: Option<File>,
}

/// Bytes that are written at once: enough that calls do not count.
const LINES_BYTES: usize = 256 << 10;

impl Lines {
    /// To standard output.
    pub(crate) fn to_stdout() -> Self {
        Self { out: BufWriter::with_capacity(LINES_BYTES, Box::new(io::stdout())), file: None }
    }

    /// Into a file, which is on disk when they are finished.
    pub(crate) fn to(file: File) -> Result<Self, Failure> {
        let copy = file.try_clone().map_err(|error| Failure::output(&error))?;
        Ok(Self { out: BufWriter::with_capacity(LINES_BYTES, Box::new(copy)), file: Some(file) })
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|error| Failure::output(&error))
    }

    /// What is written counts from here on.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let done = self.out.flush().and_then(|()| self.file.map_or(Ok(()), |file| file.sync_all()));
        done.map_err(|error| Failure::output(&error))
    }
}

/// Writes a line to standard error. There is nobody to tell if that fails.
pub(crate) fn note(text: &str) {
    status(&format!("{text}\n"));
}

/// Back to the first column, and nothing behind it.
pub(crate) const CLEAR_LINE: &str = "\r\u{1b}[2K";

/// Writes to standard error as it is, for a line that is written again and again.
pub(crate) fn status(text: &str) {
    let mut out = io::stderr().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Whether a person reads standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard output is a file that others may read.
pub(crate) fn is_open_to_others() -> bool {
    let metadata = rustix::fs::fstat(io::stdout());
    metadata.is_ok_and(|data| {
        let mode = rustix::fs::Mode::from_raw_mode(data.st_mode);
        rustix::fs::FileType::from_raw_mode(data.st_mode).is_file()
            && mode.intersects(rustix::fs::Mode::RGRP | rustix::fs::Mode::ROTH)
    })
}

/// Whether a person reads standard error.
pub(crate) fn is_error_terminal() -> bool {
    io::stderr().is_terminal()
}

/// What a piece of text is, for those who see colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Strong,
    Faint,
    Good,
    Warn,
    Bad,
}

impl Style {
    /// What switches it on.
    fn code(self) -> &'static str {
        match self {
            Self::Strong => "\u{1b}[1m",
            Self::Faint => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Warn => "\u{1b}[33m",
            Self::Bad => "\u{1b}[31m",
        }
    }

    /// The text in this style, if colours are wanted.
    pub(crate) fn on(self, text: &str, colours: bool) -> String {
        if colours { format!("{}{text}\u{1b}[0m", self.code()) } else { text.to_owned() }
    }
}

/// The text for standard output in this style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    style.on(text, is_terminal() && colours_are_wanted())
}

/// The text for standard error in this style.
pub(crate) fn paint_error(style: Style, text: &str) -> String {
    style.on(text, is_error_terminal() && colours_are_wanted())
}

/// Whether nobody has said NO_COLOR, see no-color.org.
pub(crate) fn colours_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The text with control characters written out, so that it is one line and only text.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            // Writing to a string cannot fail. This is also how JSON writes them.
            c if is_control(c) => drop(write!(safe, "\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// What a terminal takes for a command, or what makes text read in another order than it is written.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text cut to this many characters, with a sign that there was more.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().take(most.saturating_sub(1)).chain(['…']).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_wire_commands_the_terminal() {
        assert_eq!(escaped("user.get"), "user.get");
        assert_eq!(escaped("a\nb\u{1b}[31m\u{7f}\u{9b}\u{202e}"), "a\\nb\\u001b[31m\\u007f\\u009b\\u202e");
        assert_eq!(escaped("häßlich 日本"), "häßlich 日本");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!((shortened("abc", 3), shortened("abcd", 3)), ("abc".into(), "ab…".into()));
        assert_eq!(shortened("日本語", 2), "日…");
    }

    #[test]
    fn colours_are_a_choice() {
        assert_eq!(Style::Bad.on("x", false), "x");
        assert_eq!(Style::Bad.on("x", true), "\u{1b}[31mx\u{1b}[0m");
    }
}
