//! Events: publishing them, and streams of those that a client subscribes to.
//!
//! ```text
//!  Publish ──► session ──► server ──► session ──► Book ──► Inbox ──► Subscription, Emitter
//!              waits for              counts      which of the       the oldest go
//!              a connection           them        client's streams   when nobody reads
//! ```

mod book;
mod emitter;
mod inbox;
mod publish;
mod subscribe;
mod subscription;

pub(crate) use book::Book;
pub use emitter::{Emitter, Listener};
pub use publish::{Publish, PublishFuture, To};
pub use subscribe::Subscribe;
pub use subscription::{Event, Subscription};
