//! `deliver`: a request is given to a handler.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::DeliveryId;
use crate::limits::{ATTEMPTS_MAX, CLIENT_NAME_BYTES_MAX, TRACE_BYTES_MAX};
use crate::malformed::Wrong;
use crate::text::Text;

/// A handler is given a request; it answers with `reply`, or hands it back with `release`.
#[derive(Debug, Clone, PartialEq)]
pub struct Deliver<'a> {
    /// The delivery.
    pub id: DeliveryId,
    /// The action.
    pub action: Text<'a>,
    /// The caller's name.
    pub from: Text<'a>,
    /// Milliseconds that remain until the deadline.
    pub left: u64,
    /// The how-manieth handler this is, counted from 1.
    pub attempt: u32,
    /// As the caller said it.
    pub trace: Option<Text<'a>>,
}

impl<'a> Kind<'a> for Deliver<'a> {
    const TYPE: &'static str = "deliver";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut id, mut action, mut from, mut left, mut attempt, mut trace) = (None, None, None, None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "id" => id = Some(member.id(DeliveryId::new)?),
                "action" => action = Some(member.name()?.into_text()),
                "from" => from = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "left" => left = Some(member.count()?),
                "attempt" => attempt = Some(member.integer(1, ATTEMPTS_MAX.into())? as u32),
                "trace" => trace = Some(member.bounded(TRACE_BYTES_MAX)?),
                _ => {}
            }
        }
        Ok(Self {
            id: required("id", id)?,
            action: required("action", action)?,
            from: required("from", from)?,
            left: required("left", left)?,
            attempt: required("attempt", attempt)?,
            trace,
        })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("id", self.id.get());
        head.text("action", &self.action);
        head.text("from", &self.from);
        head.number("left", self.left);
        head.number("attempt", self.attempt.into());
        head.maybe_text("trace", self.trace.as_deref());
    }
}
