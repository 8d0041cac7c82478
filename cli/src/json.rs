//! JSON that passes through: checked when it was typed, shown to people, and never read into numbers that would lose digits.

use crate::exit::{Exit, Failure};
use crate::print::{escaped, is_control, shortened};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::fmt::Write;
use std::io::{self, Read};

/// What is read from standard input at most. No server takes a longer frame.
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// The data of a call as it was typed: nothing is null, `-` is standard input.
pub(crate) fn data(typed: Option<&str>) -> Result<Bytes, Failure> {
    match typed {
        None => Ok(Bytes::from_static(b"null")),
        Some("-") => from_input(),
        Some(text) => checked(text.as_bytes(), "the data").map(|()| Bytes::copy_from_slice(text.trim().as_bytes())),
    }
}

fn from_input() -> Result<Bytes, Failure> {
    let mut text = Vec::new();
    let read = io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| Failure::system("read standard input", &error))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, "standard input is over 1 GiB", "send less at once"));
    }
    if text.trim_ascii().is_empty() {
        return Err(Failure::new(Exit::Usage, "standard input is empty", "leave `-` out to send null"));
    }
    checked(&text, "standard input")?;
    Ok(Bytes::from(text))
}

/// Says where something that was typed is not JSON.
pub(crate) fn checked(text: &[u8], what: &str) -> Result<(), Failure> {
    let Err(error) = serde_json::from_slice::<IgnoredAny>(text) else {
        return match std::str::from_utf8(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(wrong(text, what, &format!("byte {} is not UTF-8", error.valid_up_to() + 1))),
        };
    };
    let full = error.to_string();
    let why = full.rsplit_once(" at line ").map_or(full.as_str(), |(why, _)| why);
    let near = if error.is_eof() { ", its end".to_owned() } else { near(text, error.line(), error.column()) };
    Err(wrong(text, what, &format!("{why} at line {}, column {}{near}", error.line(), error.column())))
}

fn wrong(text: &[u8], what: &str, why: &str) -> Failure {
    let message = format!("{what} is not JSON: {why}");
    Failure::new(Exit::Usage, message, hint(text))
}

/// The text from a place on.
fn near(text: &[u8], line: usize, column: usize) -> String {
    let line = text.split(|&byte| byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let rest = String::from_utf8_lossy(line.get(column.saturating_sub(1)..).unwrap_or_default()).into_owned();
    format!(", at `{}`", shortened(&escaped(&rest), 24))
}

/// Most often the shell has eaten the quotes.
fn hint(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    match text.chars().next() {
        Some('{' | '[') => "put it between single quotes, so that the shell leaves it alone: '{\"id\":7}'".to_owned(),
        Some(c) if c.is_alphabetic() && text.len() < 40 && !text.contains(['"', '\'']) => {
            format!("a text has quotes of its own: '\"{text}\"'")
        }
        _ => "JSON is '{\"id\":7}', '[1,2]', '\"text\"', 7, true or null, between single quotes".to_owned(),
    }
}

/// JSON over several lines, as people read it. What is not JSON is shown as text.
pub(crate) fn pretty(json: &[u8]) -> String {
    rewritten(json, true)
}

/// JSON in one line.
pub(crate) fn one_line(json: &[u8]) -> String {
    rewritten(json, false)
}

/// What this tool says in JSON, in one line. Names from the wire are in it, so control characters are written out as everywhere.
pub(crate) fn told(value: &Value) -> String {
    escaped(&value.to_string()).into_owned()
}

fn rewritten(json: &[u8], pretty: bool) -> String {
    let text = String::from_utf8_lossy(json);
    match text.trim() {
        "" => "null".to_owned(),
        text if serde_json::from_str::<IgnoredAny>(text).is_ok() => Rewriter::new(pretty).rewrite(text),
        text => escaped(text).into_owned(),
    }
}

/// Writes JSON anew, token by token. White space changes, tokens do not, but that control characters are written out.
struct Rewriter {
    out: String,
    pretty: bool,
    depth: usize,
    in_text: bool,
    after_backslash: bool,
    /// An opening bracket was written and nothing behind it.
    opened: bool,
}

impl Rewriter {
    fn new(pretty: bool) -> Self {
        Self { out: String::new(), pretty, depth: 0, in_text: false, after_backslash: false, opened: false }
    }

    fn rewrite(mut self, text: &str) -> String {
        for c in text.chars() {
            if self.in_text { self.within_text(c) } else { self.between_texts(c) }
        }
        self.out
    }

    fn within_text(&mut self, c: char) {
        match c {
            _ if self.after_backslash => self.after_backslash = false,
            '\\' => self.after_backslash = true,
            '"' => self.in_text = false,
            _ => {}
        }
        if is_control(c) {
            // Writing to a string cannot fail.
            let _ = write!(self.out, "\\u{:04x}", u32::from(c));
        } else {
            self.out.push(c);
        }
    }

    fn between_texts(&mut self, c: char) {
        match c {
            ' ' | '\t' | '\n' | '\r' => {}
            '}' | ']' => self.close(c),
            _ => {
                if std::mem::take(&mut self.opened) {
                    self.break_line();
                }
                self.out.push(c);
                self.after(c);
            }
        }
    }

    fn after(&mut self, c: char) {
        match c {
            '"' => self.in_text = true,
            '{' | '[' => {
                self.depth += 1;
                self.opened = true;
            }
            ',' => self.break_line(),
            ':' if self.pretty => self.out.push(' '),
            _ => {}
        }
    }

    fn close(&mut self, c: char) {
        self.depth = self.depth.saturating_sub(1);
        if !std::mem::take(&mut self.opened) {
            self.break_line();
        }
        self.out.push(c);
    }

    fn break_line(&mut self) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.depth.min(INDENT_MAX)));
        }
    }
}

/// Deeper than this a line begins no further to the right: indentation that grew with the depth would make a small answer fill the memory.
const INDENT_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// Thirty thousand brackets were printed as 450 MB.
    #[test]
    fn a_deep_answer_is_not_much_longer_than_it_was() {
        let deep = format!("{}{}", "[".repeat(15_000), "]".repeat(15_000));
        assert!(pretty(deep.as_bytes()).len() < 100 * deep.len());
    }

    #[test]
    fn tokens_stay_as_they_are() {
        let json = br#" {"b":[1, 2.50e400,{}],"a":"x: {\" }","c":[ ],"d":18446744073709551616} "#;
        let lines = "{\n  \"b\": [\n    1,\n    2.50e400,\n    {}\n  ],\n  \"a\": \"x: {\\\" }\",\n  \"c\": [],\n  \"d\": 18446744073709551616\n}";
        assert_eq!(pretty(json), lines);
        assert_eq!(one_line(json), r#"{"b":[1,2.50e400,{}],"a":"x: {\" }","c":[],"d":18446744073709551616}"#);
        assert_eq!((pretty(b"7"), pretty(b""), one_line(b"\"a b\"")), ("7".into(), "null".into(), "\"a b\"".into()));
    }

    #[test]
    fn an_answer_cannot_command_the_terminal() {
        assert_eq!(pretty("\"a\u{9b}31mb\u{7f}\"".as_bytes()), "\"a\\u009b31mb\\u007f\"");
        assert_eq!(pretty(b"not json \x1b[2J\n"), "not json \\u001b[2J");
        assert_eq!(told(&serde_json::json!(["a\n\u{7f}\u{202e}"])), "[\"a\\n\\u007f\\u202e\"]");
        assert_eq!(pretty(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    fn why(text: &str) -> String {
        format!("{:?}", checked(text.as_bytes(), "the data").unwrap_err())
    }

    #[test]
    fn what_is_not_json_is_told_with_its_place_and_a_hint() {
        let eaten = why("{name:Ada}");
        assert!(eaten.contains("key must be a string at line 1, column 2, at `name:Ada}`"), "{eaten}");
        assert!(eaten.contains("single quotes"), "{eaten}");
        assert!(why("hello").contains("a text has quotes of its own: '\\\"hello\\\"'"), "{}", why("hello"));
        assert!(why("[1,").contains("column 3, its end"), "{}", why("[1,"));
        assert!(checked(b"{\"a\":[1,2,{\"b\":null}]}", "the data").is_ok());
        assert!(checked(b"\"\xff\"", "the data").is_err());
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(checked(deep.as_bytes(), "the data").is_ok());
    }
}
