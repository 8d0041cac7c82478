//! What can become of a request, in one word each.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// What happened to a request, or why a connection was told something. The first part of the list is product
        /// language (the table of error codes); the last part is about connections.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
            /// A code that this version does not know.
            Unknown,
        }

        impl Code {
            /// All that this version knows.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it stands on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $wire,)*
                    Self::Unknown => "unknown",
                }
            }

            /// The code for a word on the wire.
            pub fn from_wire(word: &str) -> Self {
                match word {
                    $($wire => Self::$name,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}

codes! {
    /// Nobody serves the action.
    NoHandler = "no_handler",
    /// Its ttl ended in the queue.
    Expired = "expired",
    /// Its deadline passed.
    Timeout = "timeout",
    /// The handler that had it is gone, and no attempts are left.
    HandlerLost = "handler_lost",
    /// The handler answered with its own error.
    Fault = "fault",
    /// The caller asked.
    Cancelled = "cancelled",
    /// A queue or a limit is full, or the wait would be longer than its ttl.
    Overloaded = "overloaded",
    /// The same idempotency key with another payload.
    Conflict = "conflict",
    /// This client may not do that.
    Denied = "denied",
    /// The frame is over the limit.
    TooLarge = "too_large",
    /// The frame is not what the protocol allows.
    BadRequest = "bad_request",
    /// This server is going away.
    Draining = "draining",
    /// The store or the engine cannot take it.
    Unavailable = "unavailable",
    /// Made by client libraries: they gave up reconnecting.
    Disconnected = "disconnected",
    /// The two ends have no protocol version in common.
    VersionMismatch = "version_mismatch",
    /// A newer connection has taken this session over.
    Replaced = "replaced",
    /// The connection was silent for too long, or did not say hello in time.
    Silent = "silent",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the work of a call ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ran {
    /// Certainly not: the broker still held it, or a handler handed it back unstarted.
    No,
    /// A handler had it; what became of it there is not known.
    Maybe,
    /// A handler answered it.
    Yes,
}

impl Ran {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }

    /// The meaning of a word on the wire; one that is not known promises nothing.
    pub fn from_wire(word: &str) -> Self {
        match word {
            "no" => Self::No,
            "yes" => Self::Yes,
            _ => Self::Maybe,
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
