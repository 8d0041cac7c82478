//! `error`: the broker could not do what a frame said, where no `reply` can say so.

use super::Kind;
use super::outcome::Code;
use crate::head::{HeadWriter, Members, required};
use crate::ids::RequestId;
use crate::limits::{FAULT_CODE_BYTES_MAX, NAME_BYTES_MAX};
use crate::malformed::Wrong;
use crate::text::Text;

/// Something is wrong with the connection or with a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorNotice<'a> {
    /// What happened.
    pub code: Code,
    /// What happened and what to do, for people.
    pub message: Text<'a>,
    /// What it is about, if that can be said.
    pub about: Option<About<'a>>,
    /// Whether the connection closes after it.
    pub fatal: bool,
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq)]
pub enum About<'a> {
    /// The request or publish with this id.
    Id(RequestId),
    /// `serve` or `unserve` of this action.
    Action(Text<'a>),
    /// `subscribe`, `unsubscribe` or `publish` of this topic.
    Topic(Text<'a>),
}

impl<'a> Kind<'a> for ErrorNotice<'a> {
    const TYPE: &'static str = "error";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut code, mut message, mut about, mut fatal) = (None, None, None, false);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "code" => code = Some(Code::from_wire(&member.bounded(FAULT_CODE_BYTES_MAX)?)),
                "message" => message = Some(member.text()?),
                "id" => about = Some(About::Id(member.id(RequestId::new)?)),
                "action" => about = Some(About::Action(member.bounded(NAME_BYTES_MAX)?)),
                "topic" => about = Some(About::Topic(member.bounded(NAME_BYTES_MAX)?)),
                "fatal" => fatal = member.boolean()?,
                _ => {}
            }
        }
        Ok(Self { code: required("code", code)?, message: message.unwrap_or(Text::Borrowed("")), about, fatal })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("code", self.code.as_str());
        head.message("message", &self.message);
        match &self.about {
            Some(About::Id(id)) => head.number("id", id.get()),
            Some(About::Action(action)) => head.text("action", action),
            Some(About::Topic(topic)) => head.text("topic", topic),
            None => {}
        }
        head.flag("fatal", self.fatal);
    }
}
