//! `cancel`: from a client about its request, from the broker about a delivery.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::ids::{DeliveryId, RequestId};
use crate::malformed::Wrong;

macro_rules! cancel {
    ($(#[$doc:meta])* $name:ident, $id:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name {
            /// Which one.
            pub id: $id,
        }

        impl<'a> Kind<'a> for $name {
            const TYPE: &'static str = "cancel";

            fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
                let mut id = None;
                while let Some(member) = members.next()? {
                    if member.name == "id" {
                        id = Some(member.id(<$id>::new)?);
                    }
                }
                Ok(Self { id: required("id", id)? })
            }

            fn write(&self, head: &mut HeadWriter<'_>) {
                head.number("id", self.id.get());
            }
        }
    };
}

cancel! {
    /// A caller no longer wants an answer.
    Cancel, RequestId
}
cancel! {
    /// The caller of this delivery has gone, or its time is up. The handler should stop; it still answers or releases
    /// the delivery, and only then is its credit free again.
    CancelDelivery, DeliveryId
}
