//! `publish`: an event to whoever subscribes now.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::RequestId;
use crate::malformed::Wrong;
use crate::names::Pattern;

/// A client publishes to a topic; with an id it gets `accepted`.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish<'a> {
    /// The topic, without wildcards.
    pub topic: Pattern<'a>,
    /// Asks for `accepted{id}`.
    pub id: Option<RequestId>,
    /// For this client alone, by its public number, if it subscribes to the topic.
    pub to: Option<u64>,
    /// Not for the publisher itself.
    pub others: bool,
}

impl<'a> Kind<'a> for Publish<'a> {
    const TYPE: &'static str = "publish";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut topic, mut id, mut to, mut others) = (None, None, None, false);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "topic" => topic = Some(member.topic()?),
                "id" => id = Some(member.id(RequestId::new)?),
                "to" => to = Some(member.count()?),
                "others" => others = member.boolean()?,
                _ => {}
            }
        }
        Ok(Self { topic: required("topic", topic)?, id, to, others })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("topic", self.topic.as_str());
        head.maybe_number("id", self.id.map(RequestId::get));
        head.maybe_number("to", self.to);
        head.flag("others", self.others);
    }
}
