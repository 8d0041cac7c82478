//! `event`: something was published to a topic that this client subscribes to.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::{NodeId, RequestId};
use crate::limits::{BEEN_MAX, CLIENT_NAME_BYTES_MAX, NAME_BYTES_MAX};
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
    /// How it came here, if another server passes it on.
    pub course: Option<Box<Course>>,
}

/// How an event came from one server to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Its number, by which a server that it reaches on two ways knows it.
    pub cast: RequestId,
    /// Links that it has crossed, this one included.
    pub hops: u64,
    /// Servers that have it, or are being given it.
    pub been: Vec<NodeId>,
}

impl<'a> Kind<'a> for Event<'a> {
    const TYPE: &'static str = "event";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut topic, mut from, mut group, mut course) = (None, None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "topic" => topic = Some(member.topic().map(Pattern::into_text)?),
                "from" => from = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "group" => group = Some(member.bounded(NAME_BYTES_MAX)?),
                "course" => course = Some(Box::new(Course::read(member.object()?)?)),
                _ => {}
            }
        }
        Ok(Self { topic: required("topic", topic)?, from: required("from", from)?, group, course })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("topic", &self.topic);
        head.text("from", &self.from);
        head.maybe_text("group", self.group.as_deref());
        if let Some(course) = &self.course {
            head.object_of_numbers("course", ("cast", course.cast.get()), |head| {
                head.number("hops", course.hops);
                head.numbers("been", course.been.iter().map(|node| node.get()));
            });
        }
    }
}

impl Course {
    fn read(mut members: Members<'_>) -> Result<Self, Wrong> {
        let (mut cast, mut hops, mut been) = (None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "cast" => cast = Some(member.id(RequestId::new)?),
                "hops" => hops = Some(member.count()?),
                "been" => been = Some(member.ids(BEEN_MAX, NodeId::new)?),
                _ => {}
            }
        }
        Ok(Self { cast: required("cast", cast)?, hops: required("hops", hops)?, been: required("been", been)? })
    }
}
