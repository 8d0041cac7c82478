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
//! On a server with a certificate TLS is one step more in front of this: when its handshake is done, what comes out of it is UNKNOWN once more. Then
//! frames may also come in that say nothing of a key, if the certificate that the client has shown is that of a holder: CERTIFIED.
//!
//! | file | what it does |
//! |---|---|
//! | `door.rs` | looks at first bytes, greets, and says who may come in |
//! | `strangers.rs` | what those who may not are told, and what is logged and counted of them |
//! | `tls.rs` | TLS, between the socket and all of that |
//! | `certificate.rs` | what a client's certificate calls it |
//! | `deadlines.rs` | who must have come in by when |
//!
//! How frames are sealed on their way out is in `outbox`; how they are opened, in the protocol's inbox.

mod certificate;
mod deadlines;
mod door;
mod strangers;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;

pub(crate) use certificate::Names;
pub(super) use deadlines::Deadlines;
pub(super) use door::{Door, Met};
pub(super) use strangers::Stranger;
pub(super) use tls::{Session, reason_of};

use crate::keys::Ring;
use answerback_protocol::sealed::{KeyId, Sealer};
use std::collections::HashSet;
use std::sync::Arc;

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
    /// Frames as they are, within TLS, of a client whose certificate has this name, which was this holder's.
    Certified { name: Box<str>, holder: Arc<str> },
}

/// What a connection that was answered needs next.
#[derive(Debug)]
pub(super) struct Greeted {
    key: KeyId,
    sealer: Sealer,
}

impl Transport {
    /// Whether its client has shown that it has a key, or a certificate, of a holder.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self, Self::Sealed(_) | Self::Certified { .. })
    }

    /// Whether that by which its client was known does not hold any more.
    pub(super) fn is_revoked(&self, removed: &HashSet<KeyId>, ring: &Ring) -> bool {
        match self {
            Self::Greeted(greeted) => removed.contains(&greeted.key),
            Self::Sealed(key) => removed.contains(key),
            Self::Certified { name, holder } => ring.whose_certificate(name).is_none_or(|now| now != &**holder),
            Self::Unknown | Self::Plain => false,
        }
    }
}
