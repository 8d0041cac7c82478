//! `goaway`: this server is about to leave.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::limits::{ELSEWHERE_MAX, NAME_BYTES_MAX};
use crate::malformed::Wrong;
use crate::text::Text;

/// The client should hand back what it has not started, finish what it has, and come back later or elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Goaway<'a> {
    /// Why, for people.
    pub reason: Text<'a>,
    /// Milliseconds to wait before coming back; spread by the server so that not all come at once.
    pub after: u64,
    /// Other addresses, if known. Written are the first few that look like addresses.
    pub elsewhere: Vec<Text<'a>>,
}

impl<'a> Kind<'a> for Goaway<'a> {
    const TYPE: &'static str = "goaway";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut reason, mut after, mut elsewhere) = (None, None, Vec::new());
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "reason" => reason = Some(member.text()?),
                "after" => after = Some(member.count()?),
                "elsewhere" => elsewhere = member.names(ELSEWHERE_MAX, NAME_BYTES_MAX)?,
                _ => {}
            }
        }
        Ok(Self { reason: required("reason", reason)?, after: required("after", after)?, elsewhere })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.message("reason", &self.reason);
        head.number("after", self.after);
        let mut addresses = self.elsewhere.iter().filter(|text| is_address(text)).take(ELSEWHERE_MAX).peekable();
        if addresses.peek().is_some() {
            head.texts("elsewhere", addresses.map(Text::as_str));
        }
    }
}

/// What could be `host:port`: so short, and free of what needs escapes, that the head fits and is read back.
fn is_address(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}
