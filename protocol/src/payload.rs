//! The data of a frame: bytes that are passed on and never looked at.

use bytes::Bytes;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// From this many bytes on, data is kept as the part of the received buffer where it lies; below, it is copied into an
/// allocation of its own. A copy this small costs less than the bookkeeping of sharing, and it lets the read buffer be
/// used again at once: a small request that waits for minutes must not hold a large buffer all that time.
pub const SHARE_FROM_BYTES: usize = 16 << 10;

/// One JSON value, or nothing (the same as `null`), as the bytes that came. Cheap to clone.
#[derive(Clone, Default)]
pub struct Payload(Kept);

#[derive(Clone, Default)]
enum Kept {
    #[default]
    Nothing,
    /// Its own allocation, one for bytes and counter together.
    Copied(Arc<[u8]>),
    /// A part of the buffer that held the frame. Boxed, because large data is rare and a payload stands in every record.
    Part(Box<Bytes>),
}

impl Payload {
    /// No data: the receiver takes it as `null`.
    pub const NONE: Self = Self(Kept::Nothing);

    /// Copies `data` into an allocation of its own.
    pub fn copy_of(data: &[u8]) -> Self {
        if data.is_empty() { Self::NONE } else { Self(Kept::Copied(data.into())) }
    }

    /// Takes over a buffer, or a part of one: shared if large, copied if small.
    pub fn from_received(data: Bytes) -> Self {
        if data.len() < SHARE_FROM_BYTES { Self::copy_of(&data) } else { Self(Kept::Part(Box::new(data))) }
    }

    /// The bytes, as a reference-counted slice, if they are worth sharing instead of copying.
    pub fn shared(&self) -> Option<Bytes> {
        match &self.0 {
            Kept::Part(bytes) => Some(Bytes::clone(bytes)),
            Kept::Nothing | Kept::Copied(_) => None,
        }
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Nothing => &[],
            Kept::Copied(bytes) => bytes,
            Kept::Part(bytes) => bytes,
        }
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::copy_of(text.as_bytes())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from_received(bytes.into())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

/// Shows how much there is, never what: payloads are not for logs.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}
