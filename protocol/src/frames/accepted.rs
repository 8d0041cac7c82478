//! `accepted`: the broker has a send, or a publish that asked.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::RequestId;
use crate::malformed::Wrong;

/// The broker is now responsible for this send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accepted {
    /// The request or publish.
    pub id: RequestId,
}

impl<'a> Kind<'a> for Accepted {
    const TYPE: &'static str = "accepted";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let mut id = None;
        while let Some(member) = members.next()? {
            if member.name == "id" {
                id = Some(member.id(RequestId::new)?);
            }
        }
        Ok(Self { id: required("id", id)? })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("id", self.id.get());
    }
}
