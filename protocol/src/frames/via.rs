//! `via`, in a request that one server passes on to another: where it has been, and whose it is.

use crate::head::{HeadWriter, Members, required};
use crate::ids::{NodeId, RequestId};
use crate::limits::{ATTEMPTS_MAX, CLIENT_NAME_BYTES_MAX, HOPS_MAX};
use crate::malformed::Wrong;
use crate::text::Text;

/// What a server says of a request that came from a client of its own, or from another server.
#[derive(Debug, Clone, PartialEq)]
pub struct Via<'a> {
    /// The caller's name, as its handler shall see it.
    pub from: Text<'a>,
    /// The servers where it has been, the first one first, the sender last.
    pub path: Vec<NodeId>,
    /// The how-manieth handler it will be given to, counted from 1.
    pub attempt: u32,
    /// The holder of the caller's key, if it has one: an idempotency key belongs to it.
    pub holder: Option<Text<'a>>,
    /// The server that knows the request's idempotency key. It is on its way there, and not yet to a handler.
    pub home: Option<NodeId>,
    /// Of a broadcast: a number of its own, by which a server that it reaches on two ways knows it.
    pub cast: Option<RequestId>,
}

impl<'a> Via<'a> {
    pub(super) fn read(mut members: Members<'a>) -> Result<Self, Wrong> {
        let (mut from, mut path, mut attempt, mut holder, mut home) = (None, None, None, None, None);
        let mut cast = None;
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "from" => from = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "path" => path = Some(member.ids(HOPS_MAX, NodeId::new)?),
                "attempt" => attempt = Some(member.integer(1, ATTEMPTS_MAX.into())? as u32),
                "holder" => holder = Some(member.bounded(CLIENT_NAME_BYTES_MAX)?),
                "cast" => cast = Some(member.id(RequestId::new)?),
                "home" => home = Some(member.id(NodeId::new)?),
                _ => {}
            }
        }
        let (from, path) = (required("from", from)?, required("path", path)?);
        Ok(Self { from, path, attempt: required("attempt", attempt)?, holder, home, cast })
    }

    pub(super) fn write(&self, head: &mut HeadWriter<'_>) {
        head.object("via", ("from", &self.from), |head| {
            head.numbers("path", self.path.iter().map(|node| node.get()));
            head.number("attempt", self.attempt.into());
            head.maybe_text("holder", self.holder.as_deref());
            head.maybe_number("home", self.home.map(NodeId::get));
            head.maybe_number("cast", self.cast.map(RequestId::get));
        });
    }
}
