//! `release`: a handler hands a delivery back.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::DeliveryId;
use crate::malformed::Wrong;

/// This delivery was not started; the broker may give it to another handler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Release {
    /// The delivery.
    pub id: DeliveryId,
}

impl<'a> Kind<'a> for Release {
    const TYPE: &'static str = "release";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let mut id = None;
        while let Some(member) = members.next()? {
            if member.name == "id" {
                id = Some(member.id(DeliveryId::new)?);
            }
        }
        Ok(Self { id: required("id", id)? })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.number("id", self.id.get());
    }
}
