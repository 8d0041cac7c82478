//! `offer`: one server tells another what it can take.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::NodeId;
use crate::limits::{CREDIT_MAX, HOPS_MAX};
use crate::malformed::Wrong;
use crate::names::Name;

/// A server takes requests of an action, for handlers of its own or behind it; said again, the numbers change.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer<'a> {
    /// The action.
    pub action: Name<'a>,
    /// How many unanswered requests it takes; with 0 there are handlers, and all are busy.
    pub credit: u32,
    /// The servers on the way to the nearest handler, the sender first. None: there are no handlers any more.
    pub path: Vec<NodeId>,
}

impl<'a> Kind<'a> for Offer<'a> {
    const TYPE: &'static str = "offer";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut action, mut credit, mut path) = (None, None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "action" => action = Some(member.name()?),
                "credit" => credit = Some(member.integer(0, CREDIT_MAX.into())? as u32),
                "path" => path = Some(member.ids(HOPS_MAX, NodeId::new)?),
                _ => {}
            }
        }
        Ok(Self {
            action: required("action", action)?,
            credit: required("credit", credit)?,
            path: required("path", path)?,
        })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("action", self.action.as_str());
        head.number("credit", self.credit.into());
        head.numbers("path", self.path.iter().map(|node| node.get()));
    }
}
