//! Items as lines of JSON, for people and for moving from one store to another.
//!
//! ```text
//!  {"answerback_store":1,"version":"0.1.0"}
//!  {"item":17,"request":{"action":"mail.send","from":"shop",…,"data":{"to":"ada@example.org"}}}
//!  {"item":18,"kept":{"caller":{"session":"…","id":3},"name":"shop",…,"reply":{…},"data":…}}
//!  {"item":19,"stored":{"action":"order.place","key":"order-7",…,"data":…}}
//!  {"end":true,"clean":true}
//! ```
//!
//! Data stands there as the JSON text that it is, digit for digit, or as `data_base64` if it is none, or none that keeps to one line
//! of text; without either there is no data. Times are UTC and exact. The first line says which form the others have, the last one
//! that nothing was cut off. What was written is read as the same, and written again as the same lines.
//!
//! Sessions are in it: who has these lines can take over the sessions of the clients that are named there.

mod base64;
mod forms;
mod moment;
#[cfg(test)]
mod tests;

pub(crate) use moment::to_the_second;

use crate::Calendar;
use answerback_broker::{Item, ItemId, Time};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The form that this version writes and reads.
const FORM: u64 = 1;

/// Times of items that are read or written as lines are clock times: microseconds since 1970, whatever the clock says now.
pub const CALENDAR: Calendar = Calendar::now_is(FAR, FAR.micros());

/// Later than everything, so that nothing is moved because it would be in the future.
const FAR: Time = Time::from_micros(u64::MAX - 1);

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// The first one.
    Head,
    /// An item, with the number that it had.
    Item(ItemId, Item),
    /// The last one.
    End {
        /// Whether the store was left in order: then what it said was exact, else calls in it may have been answered already.
        clean: bool,
    },
}

/// Why a line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongLine(String);

impl WrongLine {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for WrongLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongLine {}

impl From<serde_json::Error> for WrongLine {
    fn from(error: serde_json::Error) -> Self {
        // The number of the line is known to who reads several.
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        Self::new(format!("{what}, at column {}", error.column()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    answerback_store: u64,
    version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: bool,
    clean: bool,
}

impl Line {
    /// The line as text, without its end.
    pub fn write(&self) -> String {
        match self {
            Self::Head => text_of(&Head { answerback_store: FORM, version: env!("CARGO_PKG_VERSION").to_owned() }),
            Self::Item(id, item) => write_item(*id, item),
            Self::End { clean } => text_of(&End { end: true, clean: *clean }),
        }
    }

    /// Reads a line. Total: any text is a line or an error.
    pub fn read(text: &str) -> Result<Self, WrongLine> {
        if text.starts_with("{\"item\"") {
            return forms::read(text);
        }
        // It may be written in another order, or with spaces.
        let which: Which = serde_json::from_str(text)?;
        match which {
            Which { answerback_store: Some(FORM), .. } => {
                let _: Head = serde_json::from_str(text)?;
                Ok(Self::Head)
            }
            Which { answerback_store: Some(form), .. } => Err(WrongLine::new(format!(
                "these lines have form {form}, this version reads form {FORM}: use the version that wrote them, or export there again"
            ))),
            Which { end: Some(_), .. } => match serde_json::from_str(text)? {
                End { end: true, clean } => Ok(Self::End { clean }),
                End { end: false, .. } => Err(WrongLine::new("\"end\" is always true")),
            },
            _ => forms::read(text),
        }
    }
}

/// Enough of a line to know which it is.
#[derive(Deserialize)]
struct Which {
    answerback_store: Option<u64>,
    end: Option<bool>,
}

/// An item as a line, without its end. The same as [`Line::write`], for an item that is not to be copied.
pub fn write_item(id: ItemId, item: &Item) -> String {
    forms::write(id, item)
}

/// JSON in which nothing can command a terminal or break the line: what could is in texts only, and is written out there.
fn text_of(line: &impl Serialize) -> String {
    // Maps with keys that are no texts, which fail, are not among these.
    let text = serde_json::to_string(line).unwrap_or_default();
    if !text.chars().any(is_control) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_control(c) => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// What a terminal takes for a command, what makes text read in another order than it is written, and what some take for the end of a line.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
