//! The wire of Answerback: what a frame is, how it becomes bytes and how bytes become frames again.
//!
//! This crate knows frames and limits. It opens no socket, asks no clock and spawns nothing: bytes go in, frames come
//! out, and the other way round. The law it implements is `docs/PROTOCOL.md`.
//!
//! The road of the bytes, from the socket up:
//!
//! ```text
//!  bytes ──► envelope ──────► head::Members ──────► ClientFrame / ServerFrame
//!            two lengths,     strict JSON, read     what it says, in types
//!            checked first    once, nothing copied
//!                └──────────► Payload               the data: never decoded, never scanned
//! ```
//!
//! * [`envelope`] finds where head and data of a frame begin and end.
//! * [`inbox`] puts frames together from whatever pieces the network delivers.
//! * [`codec`] is the same for programs that use tokio: a `tokio_util::codec`.
//! * `head` reads and writes the JSON of a head; [`frames`] has one file per kind of frame.
//! * [`sealed`] seals and opens what goes between two ends that share a key.
//! * [`limits`] holds every number, [`Malformed`] says what was wrong with a frame and where.

pub mod codec;
pub mod envelope;
pub mod frames;
mod head;
pub mod ids;
pub mod inbox;
pub mod limits;
mod malformed;
pub mod names;
mod payload;
pub mod sealed;
mod text;

pub use frames::{ClientFrame, Code, LinkFrame, Ran, ServerFrame};
pub use ids::{DeliveryId, NodeId, RequestId, SessionId};
pub use malformed::{Malformed, Problem};
pub use names::{Name, Pattern};
pub use payload::{Payload, SHARE_FROM_BYTES};
pub use text::Text;
