//! `goaway`: this server is about to leave.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::limits::NAME_BYTES_MAX;
use crate::malformed::Malformed;
use crate::text::Text;

/// Addresses one `goaway` names at most, so that its head stays below the limit.
pub(crate) const ELSEWHERE_MAX: usize = 8;

/// The client should hand back what it has not started, finish what it has, and come back later or elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Goaway<'a> {
    /// Why, for people.
    pub reason: Text<'a>,
    /// Milliseconds to wait before coming back; spread by the server so that not all come at once.
    pub after: u64,
    /// Other addresses, if known.
    pub elsewhere: Vec<Text<'a>>,
}

impl<'a> Kind<'a> for Goaway<'a> {
    const TYPE: &'static str = "goaway";

    fn read(members: &mut Members<'a>) -> Result<Self, Malformed> {
        let (mut reason, mut after, mut elsewhere) = (None, None, Vec::new());
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "reason" => reason = Some(member.bounded(NAME_BYTES_MAX)?),
                "after" => after = Some(member.count()?),
                "elsewhere" => elsewhere = member.texts(ELSEWHERE_MAX)?,
                _ => {}
            }
        }
        Ok(Self { reason: required("reason", reason)?, after: required("after", after)?, elsewhere })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("reason", &self.reason);
        head.number("after", self.after);
        if !self.elsewhere.is_empty() {
            head.texts("elsewhere", self.elsewhere.iter().map(Text::as_str));
        }
    }
}
