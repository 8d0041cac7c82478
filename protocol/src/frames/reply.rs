//! `reply` from the broker: the one answer to a call, or a part of it.

use super::Kind;
use super::outcome::{Code, Ran};
use crate::head::{HeadWriter, Members, required};
use crate::ids::RequestId;
use crate::limits::{ATTEMPTS_MAX, CLIENT_NAME_BYTES_MAX, FAULT_CODE_BYTES_MAX};
use crate::malformed::Wrong;
use crate::text::Text;

/// The answer to a request. What is rare is boxed, so that a plain reply stays small.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply<'a> {
    /// The request.
    pub id: RequestId,
    /// What went wrong, if something did.
    pub error: Option<Box<CallError<'a>>>,
    /// One of several; the last one is without.
    pub part: bool,
    /// The number of this part, counted from 1.
    pub seq: Option<u64>,
    /// Of a broadcast: the handler whose part this is.
    pub from: Option<Text<'a>>,
    /// Where the time went, if the request asked.
    pub info: Option<Box<CallInfo<'a>>>,
    /// At the end of a broadcast: the counts.
    pub gather: Option<Box<Gather>>,
}

/// Why a call has no result, and whether its work ran.
#[derive(Debug, Clone, PartialEq)]
pub struct CallError<'a> {
    /// What happened.
    pub code: Code,
    /// What happened and what to do, for people.
    pub message: Text<'a>,
    /// Whether the work ran.
    pub ran: Ran,
    /// How many handlers had been given it.
    pub attempts: u32,
    /// Milliseconds after which a new try makes sense.
    pub retry_after: Option<u64>,
    /// The handler's own error; its details are the frame's data.
    pub fault: Option<Fault<'a>>,
}

/// A handler's own error, as the caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault<'a> {
    /// The handler's code.
    pub code: Text<'a>,
    /// The handler's text.
    pub message: Text<'a>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

/// Where the time of a call went.
#[derive(Debug, Clone, PartialEq)]
pub struct CallInfo<'a> {
    /// Milliseconds in the queue, up to the last delivery.
    pub queued: u64,
    /// Milliseconds from the last delivery to the answer, if there was one.
    pub ran: Option<u64>,
    /// The name of the handler that was given it last, if one was.
    pub by: Option<Text<'a>>,
}

/// How a broadcast ended: `expected = answered + failed + lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gather {
    /// Handlers it was meant for.
    pub expected: u64,
    /// Of them, those that replied with data.
    pub answered: u64,
    /// Those that replied with an error.
    pub failed: u64,
    /// Those that did not reply.
    pub lost: u64,
}

impl<'a> Reply<'a> {
    /// A reply that says nothing but whose it is.
    pub fn to(id: RequestId) -> Self {
        Self { id, error: None, part: false, seq: None, from: None, info: None, gather: None }
    }
}

impl<'a> Kind<'a> for Reply<'a> {
    const TYPE: &'static str = "reply";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut id, mut error, mut part, mut seq, mut from) = (None, None, false, None, None);
        let (mut info, mut gather) = (None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "id" => id = Some(member.id(RequestId::new)?),
                "error" => error = Some(Box::new(CallError::read(member.object()?)?)),
                "part" => part = member.boolean()?,
                "seq" => seq = Some(member.part_number()?),
                "from" => from = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "info" => info = Some(Box::new(CallInfo::read(member.object()?)?)),
                "gather" => gather = Some(Box::new(Gather::read(member.object()?)?)),
                _ => {}
            }
        }
        Ok(Self { id: required("id", id)?, error, part, seq, from, info, gather })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("id", self.id.get());
        if let Some(error) = &self.error {
            error.write(head);
        }
        head.flag("part", self.part);
        head.maybe_number("seq", self.seq);
        head.maybe_text("from", self.from.as_deref());
        if let Some(info) = &self.info {
            head.object_of_numbers("info", ("queued", info.queued), |head| {
                head.maybe_number("ran", info.ran);
                head.maybe_text("by", info.by.as_deref());
            });
        }
        if let Some(gather) = &self.gather {
            head.object_of_numbers("gather", ("expected", gather.expected), |head| {
                head.number("answered", gather.answered);
                head.number("failed", gather.failed);
                head.number("lost", gather.lost);
            });
        }
    }
}

impl<'a> CallError<'a> {
    fn read(mut members: Members<'a>) -> Result<Self, Wrong> {
        let (mut code, mut message, mut ran, mut attempts) = (None, None, None, 0);
        let (mut retry_after, mut fault) = (None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "code" => code = Some(Code::from_wire(&member.bounded(FAULT_CODE_BYTES_MAX)?)),
                "message" => message = Some(member.text()?),
                "ran" => ran = Some(Ran::from_wire(&member.text()?)),
                "attempts" => attempts = member.integer(0, ATTEMPTS_MAX.into())? as u32,
                "retry_after" => retry_after = Some(member.count()?),
                "fault" => fault = Some(Fault::read(member.object()?)?),
                _ => {}
            }
        }
        Ok(Self {
            code: required("code", code)?,
            message: message.unwrap_or(Text::Borrowed("")),
            ran: ran.unwrap_or(Ran::Maybe),
            attempts,
            retry_after,
            fault,
        })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.object("error", ("code", self.code.as_str()), |head| {
            head.message("message", &self.message);
            head.text("ran", self.ran.as_str());
            head.number("attempts", self.attempts.into());
            head.maybe_number("retry_after", self.retry_after);
            if let Some(fault) = &self.fault {
                head.object("fault", ("code", &fault.code), |head| {
                    head.message("message", &fault.message);
                    head.boolean("retryable", fault.retryable);
                });
            }
        });
    }
}

impl<'a> Fault<'a> {
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

impl<'a> CallInfo<'a> {
    fn read(mut members: Members<'a>) -> Result<Self, Wrong> {
        let (mut queued, mut ran, mut by) = (None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "queued" => queued = Some(member.count()?),
                "ran" => ran = Some(member.count()?),
                "by" => by = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                _ => {}
            }
        }
        Ok(Self { queued: required("queued", queued)?, ran, by })
    }
}

impl Gather {
    fn read(mut members: Members<'_>) -> Result<Self, Wrong> {
        let mut gather = Self::default();
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "expected" => gather.expected = member.count()?,
                "answered" => gather.answered = member.count()?,
                "failed" => gather.failed = member.count()?,
                "lost" => gather.lost = member.count()?,
                _ => {}
            }
        }
        Ok(gather)
    }
}
