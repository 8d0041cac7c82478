//! Where a frame begins and ends: two lengths in front of two pieces of JSON.
//!
//! ```text
//!  u32 BE  n    bytes that follow
//!  u16 BE  h    length of the head
//!  h bytes      head
//!  n-2-h bytes  data, or nothing
//! ```
//!
//! The limit is checked on the length, before anything is allocated for it.

use crate::limits::{HEAD_BYTES_MAX, HEAD_LENGTH_BYTES, LENGTH_BYTES, PREFIX_BYTES};
use crate::sealed::{Opening, RecordError};
use std::fmt;

/// The borders of a frame at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Length of the head.
    pub head: usize,
    /// Length of the data.
    pub data: usize,
}

impl Envelope {
    /// Reads the borders of the frame that starts at `bytes`, as soon as both lengths are there. `limit` is the most
    /// that the first length may say.
    pub fn peek(bytes: &[u8], limit: u32) -> Result<Option<Self>, EnvelopeError> {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        if length > limit {
            return Err(EnvelopeError::TooLarge { length, limit, looks_like: Stranger::recognise(bytes) });
        }
        if (length as usize) < HEAD_LENGTH_BYTES {
            return Err(EnvelopeError::TooShort { length });
        }
        let Some(head) = rest.first_chunk::<HEAD_LENGTH_BYTES>() else { return Ok(None) };
        let head = usize::from(u16::from_be_bytes(*head));
        if head > HEAD_BYTES_MAX {
            return Err(EnvelopeError::HeadTooLarge { head });
        }
        match (length as usize - HEAD_LENGTH_BYTES).checked_sub(head) {
            Some(data) => Ok(Some(Self { head, data })),
            None => Err(EnvelopeError::HeadBeyondFrame { head, length }),
        }
    }

    /// Bytes of the whole frame, lengths included.
    pub fn total(self) -> usize {
        PREFIX_BYTES + self.head + self.data
    }

    /// Bytes from the start of the frame to its data.
    pub fn data_at(self) -> usize {
        PREFIX_BYTES + self.head
    }
}

/// Lengths that cannot be, or a record of a sealed connection that does not open. Where the next frame starts is not known after that, so the
/// connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The frame is over the limit.
    TooLarge {
        /// What was announced.
        length: u32,
        /// What is allowed.
        limit: u32,
        /// What the first bytes look like, if they are a well-known greeting of something else.
        looks_like: Option<Stranger>,
    },
    /// A frame too short to hold the length of its head.
    TooShort {
        /// What was announced.
        length: u32,
    },
    /// The head is over its limit.
    HeadTooLarge {
        /// What was announced.
        head: usize,
    },
    /// The head is longer than the frame that should hold it.
    HeadBeyondFrame {
        /// What was announced for the head.
        head: usize,
        /// What was announced for the frame.
        length: u32,
    },
    /// On a sealed connection: a record that does not open.
    Record(RecordError),
}

/// Another protocol, recognised by its first bytes, so that the error can say what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// A browser, `curl`, a health check.
    Http,
    /// A TLS client hello.
    Tls,
    /// The preamble of an Answerback connection that is sealed.
    Sealed,
}

impl Stranger {
    fn recognise(bytes: &[u8]) -> Option<Self> {
        match Opening::of(bytes)? {
            Opening::Http => Some(Self::Http),
            Opening::Tls => Some(Self::Tls),
            Opening::Sealed => Some(Self::Sealed),
            Opening::Plain | Opening::Unknown => None,
        }
    }
}

impl EnvelopeError {
    /// A short fixed word for counters and tests.
    pub fn word(&self) -> &'static str {
        match self {
            Self::TooLarge { looks_like: Some(Stranger::Http), .. } => "http",
            Self::TooLarge { looks_like: Some(Stranger::Tls), .. } => "tls",
            Self::TooLarge { looks_like: Some(Stranger::Sealed), .. } => "sealed",
            Self::TooLarge { .. } => "frame_too_large",
            Self::TooShort { .. } => "frame_too_short",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::HeadBeyondFrame { .. } => "head_beyond_frame",
            Self::Record(error) => error.word(),
        }
    }

    /// Whether the frame was over a limit, rather than not a frame at all.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { looks_like: None, .. } | Self::HeadTooLarge { .. })
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { looks_like: Some(Stranger::Http), .. } => {
                write!(
                    f,
                    "this port speaks Answerback, not HTTP; the pages for people and probes are on the admin port"
                )
            }
            Self::TooLarge { looks_like: Some(Stranger::Tls), .. } => {
                write!(f, "this port speaks Answerback without TLS; connect without TLS")
            }
            Self::TooLarge { looks_like: Some(Stranger::Sealed), .. } => {
                write!(f, "this server has no key; connect without a key, or give the server the same key")
            }
            Self::TooLarge { length, limit, looks_like: None } => {
                write!(f, "a frame of {length} bytes is over this server's limit of {limit} (max_frame)")
            }
            Self::TooShort { length } => write!(f, "a frame of {length} bytes has no room for the length of its head"),
            Self::HeadTooLarge { head } => write!(f, "a head of {head} bytes is over the limit of {HEAD_BYTES_MAX}"),
            Self::HeadBeyondFrame { head, length } => {
                write!(f, "a head of {head} bytes is longer than its frame of {length}")
            }
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EnvelopeError {}

impl From<RecordError> for EnvelopeError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u32, head: u16) -> Vec<u8> {
        [length.to_be_bytes().as_slice(), &head.to_be_bytes()].concat()
    }

    #[test]
    fn borders_are_known_as_soon_as_both_lengths_are_there() {
        let bytes = frame(12, 7);
        for short in 0..PREFIX_BYTES {
            assert_eq!(Envelope::peek(&bytes[..short], 100), Ok(None));
        }
        let envelope = Envelope::peek(&bytes, 100).unwrap().unwrap();
        assert_eq!((envelope.head, envelope.data, envelope.total()), (7, 3, 16));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_at_the_first_byte_that_shows_it() {
        let error = |length, head| Envelope::peek(&frame(length, head), 1024).unwrap_err().word();
        assert_eq!(Envelope::peek(&u32::MAX.to_be_bytes(), 1024).unwrap_err().word(), "frame_too_large");
        assert_eq!(error(1025, 2), "frame_too_large");
        assert_eq!(error(1, 0), "frame_too_short");
        assert_eq!(error(5, 4), "head_beyond_frame");
        assert_eq!(Envelope::peek(&frame(9000, 4097), 9000).unwrap_err().word(), "head_too_large");
        assert_eq!(Envelope::peek(b"GET / HTTP/1.1", 1024).unwrap_err().word(), "http");
        assert_eq!(Envelope::peek(&[0x16, 3, 1, 0, 200], 1024).unwrap_err().word(), "tls");
        assert_eq!(Envelope::peek(&[0xab, 0x53, 1, 4], 1024).unwrap_err().word(), "sealed");
    }
}
