//! `request`: a call or a send.

use super::{Kind, Via};
use crate::head::{HeadWriter, Members, required};
use crate::ids::RequestId;
use crate::limits::{ATTEMPTS_MAX, KEY_BYTES_MAX, TRACE_BYTES_MAX};
use crate::malformed::{Malformed, Problem, Wrong};
use crate::names::Name;
use crate::text::Text;

/// A client asks for an action. What each member means is in the table "a call may say" of `docs/PROTOCOL.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// Its name on the caller's session.
    pub id: RequestId,
    /// The action.
    pub action: Name<'a>,
    /// The longest it may wait in the queue, in milliseconds.
    pub ttl: Option<u64>,
    /// The whole of it, queue and work, in milliseconds.
    pub timeout: Option<u64>,
    /// To every handler instead of one.
    pub broadcast: bool,
    /// How many handlers may be given it, one after another.
    pub attempts: Option<u32>,
    /// On disk before it is accepted.
    pub durable: bool,
    /// The idempotency key.
    pub key: Option<Text<'a>>,
    /// Whether the caller waits for the answer; a request that says `false` is a send.
    pub reply: bool,
    /// Whether the reply shall say where the time went.
    pub info: bool,
    /// Passed to the handler untouched.
    pub trace: Option<Text<'a>>,
    /// It was sent before, on an earlier connection of this session, and waits for its answer.
    pub again: bool,
    /// Where it has been, if a server passes it on.
    pub via: Option<Box<Via<'a>>>,
}

impl<'a> Request<'a> {
    /// A call with nothing said but what must be.
    pub fn call(id: RequestId, action: Name<'a>) -> Self {
        Self {
            id,
            action,
            ttl: None,
            timeout: None,
            broadcast: false,
            attempts: None,
            durable: false,
            key: None,
            reply: true,
            info: false,
            trace: None,
            again: false,
            via: None,
        }
    }

    /// Members that say opposite things.
    fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self { broadcast: true, key: Some(_), .. } => Some(("key", "broadcast")),
            Self { broadcast: true, attempts: Some(2..), .. } => Some(("attempts", "broadcast")),
            Self { broadcast: true, durable: true, .. } => Some(("durable", "broadcast")),
            _ => None,
        }
    }
}

impl<'a> Kind<'a> for Request<'a> {
    const TYPE: &'static str = "request";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut id, mut action, mut ttl, mut timeout, mut attempts) = (None, None, None, None, None);
        let (mut key, mut trace, mut via) = (None, None, None);
        let (mut broadcast, mut durable, mut reply, mut info, mut again) = (false, false, true, false, false);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "id" => id = Some(member.id(RequestId::new)?),
                "action" => action = Some(member.name()?),
                "ttl" => ttl = Some(member.count()?),
                "timeout" => timeout = Some(member.count()?),
                "broadcast" => broadcast = member.boolean()?,
                "attempts" => attempts = Some(member.integer(1, ATTEMPTS_MAX.into())? as u32),
                "durable" => durable = member.boolean()?,
                "key" => key = Some(member.bounded(KEY_BYTES_MAX)?),
                "reply" => reply = member.boolean()?,
                "info" => info = member.boolean()?,
                "trace" => trace = Some(member.bounded(TRACE_BYTES_MAX)?),
                "again" => again = member.boolean()?,
                "via" => via = Some(Box::new(Via::read(member.object()?)?)),
                _ => {}
            }
        }
        let (id, action) = (required("id", id)?, required("action", action)?);
        let request =
            Self { id, action, ttl, timeout, broadcast, attempts, durable, key, reply, info, trace, again, via };
        match request.contradiction() {
            Some((member, other)) => Err(Malformed::new(Problem::Contradiction(other), member)),
            None => Ok(request),
        }
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("id", self.id.get());
        head.text("action", self.action.as_str());
        head.maybe_number("ttl", self.ttl);
        head.maybe_number("timeout", self.timeout);
        head.flag("broadcast", self.broadcast);
        head.maybe_number("attempts", self.attempts.map(u64::from));
        head.flag("durable", self.durable);
        head.maybe_text("key", self.key.as_deref());
        if !self.reply {
            head.boolean("reply", false);
        }
        head.flag("info", self.info);
        head.maybe_text("trace", self.trace.as_deref());
        head.flag("again", self.again);
        if let Some(via) = &self.via {
            via.write(head);
        }
    }
}
