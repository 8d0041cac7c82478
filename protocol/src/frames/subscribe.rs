//! `subscribe` and `unsubscribe`, and their confirmations.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::limits::NAME_BYTES_MAX;
use crate::malformed::Wrong;
use crate::names::Pattern;
use crate::text::Text;

macro_rules! about_a_subscription {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name<'a> {
            /// The topic, or a pattern of topics.
            pub topic: Pattern<'a>,
            /// The queue group: of its members, one gets each event.
            pub group: Option<Text<'a>>,
        }

        impl<'a> Kind<'a> for $name<'a> {
            const TYPE: &'static str = $kind;

            fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
                let (mut topic, mut group) = (None, None);
                while let Some(member) = members.next()? {
                    match member.name.as_str() {
                        "topic" => topic = Some(member.pattern()?),
                        "group" => group = Some(member.bounded(NAME_BYTES_MAX)?),
                        _ => {}
                    }
                }
                Ok(Self { topic: required("topic", topic)?, group })
            }

            fn write(&self, head: &mut HeadWriter<'_>) {
                head.text("topic", self.topic.as_str());
                head.maybe_text("group", self.group.as_deref());
            }
        }
    };
}

about_a_subscription! {
    /// A client wants the events of these topics from now on.
    Subscribe, "subscribe"
}
about_a_subscription! {
    /// A client no longer wants them.
    Unsubscribe, "unsubscribe"
}
about_a_subscription! {
    /// The broker confirms `unsubscribe`.
    Unsubscribed, "unsubscribed"
}

/// The broker confirms `subscribe`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribed<'a> {
    /// The topic, or a pattern of topics.
    pub topic: Pattern<'a>,
    /// The queue group.
    pub group: Option<Text<'a>>,
    /// Events that were for this session until now, whether or not they reached it: less those that it has got, it missed.
    pub events: Option<u64>,
}

impl<'a> Kind<'a> for Subscribed<'a> {
    const TYPE: &'static str = "subscribed";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut topic, mut group, mut events) = (None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "topic" => topic = Some(member.pattern()?),
                "group" => group = Some(member.bounded(NAME_BYTES_MAX)?),
                "events" => events = Some(member.count()?),
                _ => {}
            }
        }
        Ok(Self { topic: required("topic", topic)?, group, events })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("topic", self.topic.as_str());
        head.maybe_text("group", self.group.as_deref());
        head.maybe_number("events", self.events);
    }
}
