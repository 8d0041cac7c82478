//! `event`: something was published to a topic that this client subscribes to.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::limits::{CLIENT_NAME_BYTES_MAX, NAME_BYTES_MAX};
use crate::malformed::Wrong;
use crate::names::Pattern;
use crate::text::Text;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// The topic it was published to.
    pub topic: Text<'a>,
    /// The publisher's name.
    pub from: Text<'a>,
    /// The queue group for which this client was chosen. Without one, it is for the client's subscriptions without a group.
    pub group: Option<Text<'a>>,
}

impl<'a> Kind<'a> for Event<'a> {
    const TYPE: &'static str = "event";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut topic, mut from, mut group) = (None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "topic" => topic = Some(member.topic().map(Pattern::into_text)?),
                "from" => from = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "group" => group = Some(member.bounded(NAME_BYTES_MAX)?),
                _ => {}
            }
        }
        Ok(Self { topic: required("topic", topic)?, from: required("from", from)?, group })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("topic", &self.topic);
        head.text("from", &self.from);
        head.maybe_text("group", self.group.as_deref());
    }
}
