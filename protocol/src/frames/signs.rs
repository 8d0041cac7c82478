//! Frames that say nothing but their type: `ping`, `pong`, `bye`.

use super::Kind;
use crate::head::{HeadWriter, Members};
use crate::malformed::Wrong;

macro_rules! sign {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name;

        impl<'a> Kind<'a> for $name {
            const TYPE: &'static str = $kind;

            fn read(_: &mut Members<'a>) -> Result<Self, Wrong> {
                Ok(Self)
            }

            fn write(&self, _: &mut HeadWriter<'_>) {}
        }
    };
}

sign! {
    /// Are you there?
    Ping, "ping"
}
sign! {
    /// I am here.
    Pong, "pong"
}
sign! {
    /// A client leaves for good: its session ends at once.
    Bye, "bye"
}
