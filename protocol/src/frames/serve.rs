//! `serve` and `unserve`, and their confirmations `serving` and `unserved`.

use super::Kind;
use crate::head::{HeadWriter, Members, required};
use crate::limits::CREDIT_MAX;
use crate::malformed::Wrong;
use crate::names::Name;
use crate::text::Text;

/// A client serves an action; said again, its credit changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Serve<'a> {
    /// The action.
    pub action: Name<'a>,
    /// How many unanswered deliveries it takes.
    pub credit: u32,
}

impl<'a> Kind<'a> for Serve<'a> {
    const TYPE: &'static str = "serve";

    fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
        let (mut action, mut credit) = (None, None);
        while let Some(member) = members.next()? {
            match member.name.as_str() {
                "action" => action = Some(member.name()?),
                "credit" => credit = Some(member.integer(1, CREDIT_MAX.into())? as u32),
                _ => {}
            }
        }
        Ok(Self { action: required("action", action)?, credit: required("credit", credit)? })
    }

    fn write(&self, head: &mut HeadWriter<'_>) {
        head.text("action", self.action.as_str());
        head.number("credit", self.credit.into());
    }
}

macro_rules! about_an_action {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $action:ty, $read:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name<'a> {
            /// The action.
            pub action: $action,
        }

        impl<'a> Kind<'a> for $name<'a> {
            const TYPE: &'static str = $kind;

            fn read(members: &mut Members<'a>) -> Result<Self, Wrong> {
                let mut action = None;
                while let Some(member) = members.next()? {
                    if member.name == "action" {
                        action = Some(member.name()?);
                    }
                }
                required("action", action).map($read).map(|action| Self { action })
            }

            fn write(&self, head: &mut HeadWriter<'_>) {
                head.text("action", self.action.as_str());
            }
        }
    };
}

about_an_action! {
    /// A client wants no further deliveries of an action; those under way go on.
    Unserve, "unserve", Name<'a>, |name| name
}
about_an_action! {
    /// The broker confirms `serve`.
    Serving, "serving", Text<'a>, Name::into_text
}
about_an_action! {
    /// The broker confirms `unserve`.
    Unserved, "unserved", Text<'a>, Name::into_text
}
