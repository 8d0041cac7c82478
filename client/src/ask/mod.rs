//! Asking: calls, sends and broadcasts, from what a program says about them to what comes back.

mod asked;
mod broadcast;
mod call;
mod options;
mod parts;
mod send;
mod waiter;

pub use broadcast::{Broadcast, Gathered, Replies, Tagged};
pub use call::{Answer, Call, CallFuture, CallWithInfo, InfoFuture};
pub(crate) use options::Options;
pub use parts::Parts;
pub use send::{Send, SendFuture};
pub(crate) use waiter::Waiter;
