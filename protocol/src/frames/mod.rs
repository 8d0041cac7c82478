//! What can be said on the wire: one file per kind of frame, and the two enums that hold them all.
//!
//! Each kind knows how to read its members from a head and how to write them. Data is not part of a frame here: it
//! travels beside it, as bytes.

mod accepted;
mod ack;
mod answer;
mod cancel;
mod deliver;
mod error;
mod event;
mod goaway;
mod hello;
mod link;
mod offer;
mod outcome;
mod publish;
mod release;
mod reply;
mod request;
mod resume;
mod serve;
mod signs;
mod subscribe;
mod via;
mod welcome;

pub use accepted::Accepted;
pub use ack::Ack;
pub use answer::{Answer, AnswerError};
pub use cancel::{Cancel, CancelDelivery};
pub use deliver::Deliver;
pub use error::{About, ErrorNotice};
pub use event::{Course, Event};
pub use goaway::Goaway;
pub use hello::Hello;
pub use link::LinkFrame;
pub use offer::Offer;
pub use outcome::{Code, Ran};
pub use publish::Publish;
pub use release::Release;
pub use reply::{CallError, CallInfo, Fault, Gather, Reply};
pub use request::Request;
pub use resume::Resume;
pub use serve::{Serve, Serving, Unserve, Unserved};
pub use signs::{Bye, Ping, Pong};
pub use subscribe::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
pub use via::Via;
pub use welcome::Welcome;

use crate::head::{HeadWriter, Members, required, salvage_id};
use crate::malformed::{Malformed, Problem, Wrong};
use crate::text::Text;
use bytes::{BufMut, BytesMut};

/// One kind of frame: its `type`, how its members are read and how they are written.
pub(crate) trait Kind<'a>: Sized {
    const TYPE: &'static str;
    /// Reads the members; those that it does not know are checked by `members` and passed over.
    fn read(members: &mut Members<'a>) -> Result<Self, Wrong>;
    /// Writes the members after `type`.
    fn write(&self, head: &mut HeadWriter<'_>);
}

macro_rules! side {
    ($(#[$doc:meta])* $side:ident { $($kind:ident $(<$life:lifetime>)?),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $side<'a> {
            $(
                #[doc = concat!("See [`", stringify!($kind), "`].")]
                $kind($kind $(<$life>)?),
            )*
        }

        impl<'a> $side<'a> {
            /// The `type` of every kind.
            pub const KINDS: &'static [&'static str] = &[$(<$kind as Kind>::TYPE,)*];

            /// Reads a head.
            pub fn read(head: &'a [u8]) -> Result<Self, Malformed> {
                read_with(head, Self::read_kind)
            }

            /// Reads the members of a frame whose `type` is known. `None` if nobody says that on this side.
            #[inline]
            fn read_kind(kind: &str, members: &mut Members<'a>) -> Option<Result<Self, Wrong>> {
                match kind {
                    $(<$kind as Kind>::TYPE => Some(<$kind as Kind>::read(members).map(Self::$kind)),)*
                    _ => None,
                }
            }

            /// The frame's `type`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => <$kind as Kind>::TYPE,)*
                }
            }

            /// Writes lengths and head of a frame that is followed by `data` bytes of data.
            pub fn write_head(&self, data: usize, out: &mut BytesMut) {
                let mut head = HeadWriter::begin(out, self.kind());
                match self {
                    $(Self::$kind(frame) => frame.write(&mut head),)*
                }
                head.finish(data);
            }

            /// Writes the whole frame.
            pub fn write(&self, data: &[u8], out: &mut BytesMut) {
                self.write_head(data.len(), out);
                out.put_slice(data);
            }
        }

        $(
            impl<'a> From<$kind $(<$life>)?> for $side<'a> {
                fn from(frame: $kind $(<$life>)?) -> Self {
                    Self::$kind(frame)
                }
            }
        )*
    };
}

side! {
    /// A frame from a client to the broker.
    ClientFrame {
        Hello<'a>, Serve<'a>, Unserve<'a>, Request<'a>, Cancel, Answer<'a>, Release, Resume, Publish<'a>, Subscribe<'a>,
        Unsubscribe<'a>, Ack, Ping, Pong, Bye, Offer<'a>,
    }
}

side! {
    /// A frame from the broker to a client.
    ServerFrame {
        Welcome<'a>, Serving<'a>, Unserved<'a>, Accepted, Subscribed<'a>, Unsubscribed<'a>, Deliver<'a>, Reply<'a>,
        CancelDelivery, Event<'a>, Ack, ErrorNotice<'a>, Goaway<'a>, Ping, Pong,
    }
}

/// Finds the `type`, which writers put first but need not, and reads the rest by it.
fn read_with<'a, F>(
    head: &'a [u8],
    by_kind: impl FnOnce(&str, &mut Members<'a>) -> Option<Result<F, Wrong>>,
) -> Result<F, Malformed> {
    let mut kind = None;
    read_kind_and_rest(head, &mut kind, by_kind).map_err(|mut malformed| {
        malformed.id = salvage_id(head);
        malformed.kind = kind.map(Text::into_static);
        *malformed
    })
}

fn read_kind_and_rest<'a, F>(
    head: &'a [u8],
    kind: &mut Option<Text<'a>>,
    by_kind: impl FnOnce(&str, &mut Members<'a>) -> Option<Result<F, Wrong>>,
) -> Result<F, Wrong> {
    let mut members = Members::of_head(head)?;
    let first = members.next()?;
    let first_is_type = first.as_ref().is_some_and(|first| first.name == "type");
    let mut next = first;
    while let Some(member) = next {
        if member.name == "type" {
            *kind = Some(member.text()?);
            break;
        }
        next = members.next()?;
    }
    let kind = required("type", kind.as_ref())?;
    if !first_is_type {
        members = Members::of_head(head)?;
    }
    let frame = by_kind(kind, &mut members);
    // Whatever the kind asked for, the head must be sound to its end.
    while members.next()?.is_some() {}
    frame.unwrap_or_else(|| Err(Malformed::new(Problem::UnknownType, kind.clone().cut(64).to_string())))
}
