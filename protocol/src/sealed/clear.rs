//! What comes in the clear where a server's sealed answer should be. Anybody on the way could have said it, so it is shown and never believed.

use crate::envelope::Envelope;
use crate::frames::{ErrorNotice, ServerFrame};
use crate::limits::{HEAD_BYTES_MAX, PREFIX_BYTES};

/// Bytes in the clear that are read to find out what answers: a frame without data fits.
pub const CLEAR_BYTES_MAX: usize = PREFIX_BYTES + HEAD_BYTES_MAX;

/// Who answers a greeting in the clear.
#[derive(Debug, Clone, PartialEq)]
pub enum Clear<'a> {
    /// A server that refuses, as it says.
    Refused(ErrorNotice<'a>),
    /// A server that says something else, of this kind: it has no keys.
    Frame(&'static str),
    /// No server of this protocol; something well known, maybe.
    Stranger(Option<Foreign>),
}

/// Something well known that is not this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// A web server.
    Http,
    /// A server that speaks TLS alone.
    Tls,
    /// A server for remote shells.
    Ssh,
}

impl<'a> Clear<'a> {
    /// Looks at all that has come so far; nothing yet if more must be seen. [`CLEAR_BYTES_MAX`] bytes are always enough.
    pub fn of(came: &'a [u8]) -> Option<Self> {
        let Ok(envelope) = Envelope::peek(came, CLEAR_BYTES_MAX as u32) else { return Some(Self::stranger(came)) };
        let envelope = envelope?;
        if envelope.total() > CLEAR_BYTES_MAX {
            return Some(Self::stranger(came));
        }
        let head = came.get(PREFIX_BYTES..envelope.data_at())?;
        Some(match ServerFrame::read(head) {
            Ok(ServerFrame::ErrorNotice(notice)) => Self::Refused(notice),
            Ok(other) => Self::Frame(other.kind()),
            Err(_) => Self::stranger(came),
        })
    }

    /// The same when nothing more will come.
    pub fn stranger(came: &[u8]) -> Self {
        Self::Stranger(Foreign::of(came))
    }
}

impl Foreign {
    /// What begins with `bytes`, if it is well known.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'H', b'T', b'T', b'P', b'/', ..] => Some(Self::Http),
            [0x15 | 0x16, 3, ..] => Some(Self::Tls),
            [b'S', b'S', b'H', b'-', ..] => Some(Self::Ssh),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{Code, Pong};
    use bytes::BytesMut;

    #[test]
    fn a_refusal_is_one_when_it_is_whole() {
        let mut bytes = BytesMut::new();
        let notice = ErrorNotice { code: Code::Denied, message: "no".into(), about: None, fatal: true };
        ServerFrame::from(notice.clone()).write(b"", &mut bytes);
        assert!((0..bytes.len()).all(|short| Clear::of(&bytes[..short]).is_none()));
        assert_eq!(Clear::of(&bytes), Some(Clear::Refused(notice)));
    }

    #[test]
    fn what_is_no_refusal_is_told_by_what_it_looks_like() {
        let mut pong = BytesMut::new();
        ServerFrame::from(Pong).write(b"", &mut pong);
        for (bytes, kind) in [
            (&pong[..], Clear::Frame("pong")),
            (b"HTTP/1.1 400 Bad Request\r\n", Clear::Stranger(Some(Foreign::Http))),
            (b"\x15\x03\x03\0\x02\x02\x28", Clear::Stranger(Some(Foreign::Tls))),
            (b"SSH-2.0-x\r\n", Clear::Stranger(Some(Foreign::Ssh))),
            (b"\0\0\0\x06\0\x04nope", Clear::Stranger(None)),
            (b"\0\0\xff\xff\0\x04nope", Clear::Stranger(None)),
            (b"\xff\xff\xff\xff", Clear::Stranger(None)),
        ] {
            assert_eq!(Clear::of(bytes), Some(kind), "{bytes:?}");
        }
    }
}
