//! What the bytes of a connection are. Until that is known, and proven, the core does not hear of the connection, and nothing is kept of it but
//! its first bytes.
//!
//! ```text
//!  accepted ──► UNKNOWN ── the length of a frame, on a server without keys ──────► PLAIN
//!                  │
//!                  │ preamble and message 1 under a key of ours: we answer
//!                  ▼
//!               GREETED ── the first record opens: it is no replay ──────────────► SEALED
//!
//!  whoever is none of these, or takes too long, is told so in its own language and closed: `strangers`
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `door.rs` | looks at first bytes, greets, and says who may come in |
//! | `strangers.rs` | what those who may not are told, and what is logged and counted of them |
//! | `deadlines.rs` | who must have come in by when |
//!
//! How frames are sealed on their way out is in `outbox`; how they are opened, in the protocol's inbox.

mod deadlines;
mod door;
mod strangers;

pub(super) use deadlines::Deadlines;
pub(super) use door::{Door, Met};
pub(super) use strangers::Stranger;

use answerback_protocol::sealed::{KeyId, Sealer};

/// What a connection's bytes are, as far as it is known.
#[derive(Debug)]
pub(super) enum Transport {
    /// Its first bytes have not come, or not all of them.
    Unknown,
    /// It was answered under this key, and its first record has not come. It may be a replay of somebody else's greeting.
    Greeted(Box<Greeted>),
    /// Frames as they are.
    Plain,
    /// Frames in records, under this key.
    Sealed(KeyId),
}

/// What a connection that was answered needs next.
#[derive(Debug)]
pub(super) struct Greeted {
    key: KeyId,
    sealer: Sealer,
}

impl Transport {
    /// The key that the connection was opened with.
    pub(super) fn key(&self) -> Option<&KeyId> {
        match self {
            Self::Greeted(greeted) => Some(&greeted.key),
            Self::Sealed(key) => Some(key),
            Self::Unknown | Self::Plain => None,
        }
    }
}
