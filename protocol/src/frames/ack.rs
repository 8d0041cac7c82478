//! `ack`: replies that arrived and need not be kept any longer.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::malformed::Wrong;

/// How many `reply` frames its sender has taken in on this connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ack {
    /// Counted from the start of the connection, those sent again included.
    pub replies: u64,
}

impl<'a> Kind<'a> for Ack {
    const TYPE: &'static str = "ack";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let mut replies = None;
        while let Some(member) = members.next()? {
            if member.name == "replies" {
                replies = Some(member.count()?);
            }
        }
        Ok(Self { replies: required("replies", replies)? })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("replies", self.replies);
    }
}
