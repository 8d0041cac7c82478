//! `reply` from a handler: its answer to a delivery.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::DeliveryId;
use crate::limits::FAULT_CODE_BYTES_MAX;
use crate::malformed::Wrong;
use crate::text::Text;

/// A handler answers a delivery, with data or with an error of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<'a> {
    /// The delivery.
    pub id: DeliveryId,
    /// The handler's error; its details are the frame's data.
    pub error: Option<AnswerError<'a>>,
    /// One of several; the last one is without.
    pub part: bool,
    /// The number of this part, counted from 1, so that one sent again after a reconnect is known.
    pub seq: Option<u64>,
}

/// The handler's own error.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerError<'a> {
    /// Its code, the handler's to choose.
    pub code: Text<'a>,
    /// Its text for people.
    pub message: Text<'a>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

impl<'a> Kind<'a> for Answer<'a> {
    const TYPE: &'static str = "reply";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut id, mut error, mut part, mut seq) = (None, None, false, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "id" => id = Some(member.id(DeliveryId::new)?),
                "error" => error = Some(AnswerError::read(member.object()?)?),
                "part" => part = member.boolean()?,
                "seq" => seq = Some(member.part_number()?),
                _ => {}
            }
        }
        Ok(Self { id: required("id", id)?, error, part, seq })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("id", self.id.get());
        if let Some(error) = &self.error {
            head.object("error", ("code", &error.code), |head| {
                head.message("message", &error.message);
                head.flag("retryable", error.retryable);
            });
        }
        head.flag("part", self.part);
        head.maybe_number("seq", self.seq);
    }
}

impl<'a> AnswerError<'a> {
    fn read(mut members: Members<'a>) -> Result<Self, Wrong> {
        let (mut code, mut message, mut retryable) = (None, None, false);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "code" => code = Some(member.bounded(FAULT_CODE_BYTES_MAX)?),
                "message" => message = Some(member.text()?),
                "retryable" => retryable = member.boolean()?,
                _ => {}
            }
        }
        Ok(Self { code: required("code", code)?, message: message.unwrap_or(Text::Borrowed("")), retryable })
    }
}
