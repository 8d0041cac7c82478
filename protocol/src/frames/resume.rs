//! `resume`: what a handler still works on after its connection broke.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::DeliveryId;
use crate::limits::HOLDING_MAX;
use crate::malformed::Wrong;

/// Sent right after `welcome` on a resumed session, behind the replies that are sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Resume {
    /// Deliveries still being worked on.
    pub holding: Vec<DeliveryId>,
    /// Whether another `resume` with more of them follows.
    pub more: bool,
}

impl<'a> Kind<'a> for Resume {
    const TYPE: &'static str = "resume";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut holding, mut more) = (None, false);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "holding" => holding = Some(member.ids(HOLDING_MAX, DeliveryId::new)?),
                "more" => more = member.boolean()?,
                _ => {}
            }
        }
        Ok(Self { holding: required("holding", holding)?, more })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.numbers("holding", self.holding.iter().map(|id| id.get()));
        head.flag("more", self.more);
    }
}
