//! What a connection is, told from its first bytes.

use super::handshake::GREETING;

/// The kinds of connection that can come to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The preamble of a sealed connection.
    Sealed,
    /// The length of a frame.
    Plain,
    /// A TLS client hello.
    Tls,
    /// A browser, `curl`, a health check.
    Http,
    /// Nothing that we know: a scanner, or a wrong port.
    Unknown,
}

/// How requests of HTTP begin.
const HTTP_METHODS: [&[u8]; 10] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"CONN", b"OPTI", b"TRAC", b"PATC", b"PRI "];

/// No frame's length starts with this byte or a higher one: frames are at most 1 GiB, and the first one is a small `hello`.
const NO_LENGTH: u8 = 0x40;

impl Opening {
    /// What begins with `bytes`, or nothing yet if more must be seen. Four bytes are always enough.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] | [0xab | 0x16] => None,
            [first, second, ..] if [*first, *second] == GREETING[..2] => Some(Self::Sealed),
            [0x16, 0x03, ..] => Some(Self::Tls),
            [first, ..] if *first < NO_LENGTH => Some(Self::Plain),
            _ if HTTP_METHODS.iter().any(|method| bytes.starts_with(method)) => Some(Self::Http),
            _ if HTTP_METHODS.iter().any(|method| method.starts_with(bytes)) => None,
            _ => Some(Self::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_what_it_is() {
        for (bytes, kind) in [
            (&b"\xabS\x01\x04"[..], Some(Opening::Sealed)),
            (b"\xabS", Some(Opening::Sealed)),
            (b"\xab", None),
            (b"\xabT", Some(Opening::Unknown)),
            (b"\x16\x03\x01\x02\x00", Some(Opening::Tls)),
            (b"\x16", None),
            (b"\x16\x04", Some(Opening::Plain)),
            (b"\0", Some(Opening::Plain)),
            (b"\x3f\xff\xff\xff", Some(Opening::Plain)),
            (b"\x40", Some(Opening::Unknown)),
            (b"GET / HTTP/1.1", Some(Opening::Http)),
            (b"OPTIONS *", Some(Opening::Http)),
            (b"G", None),
            (b"GE", None),
            (b"GIT ", Some(Opening::Unknown)),
            (b"SSH-2.0-OpenSSH", Some(Opening::Unknown)),
            (b"", None),
        ] {
            assert_eq!(Opening::of(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn four_bytes_are_enough() {
        for first in 0..=255 {
            for rest in [[0; 3], *b"ET ", *b"S\x01\x04", *b"\x03\x01\x02"] {
                assert!(Opening::of(&[first, rest[0], rest[1], rest[2]]).is_some());
            }
        }
    }
}
