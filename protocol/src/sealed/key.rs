//! What two ends share: a secret of 32 bytes, and the id under which a server finds it.

use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// Bytes of a key's id at most: it stands in the preamble, in front of everything.
pub const KEY_ID_BYTES_MAX: usize = 64;

/// Names a key: 1 to 64 bytes of `a-z A-Z 0-9 - _ .`, and at most one `/` between two such parts.
///
/// What stands before the `/` is the *holder*: who has the key, and whose name handlers see. What stands behind it tells two keys of one holder
/// apart, while one replaces the other: `billing`, then `billing/2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

/// A text that is not the id of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKeyId;

/// The 32 bytes that only the two ends know. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

/// A secret under its id.
#[derive(Debug, Clone)]
pub struct Key {
    /// Under which name a server finds it.
    pub id: KeyId,
    /// What both ends know.
    pub secret: Secret,
}

impl KeyId {
    /// Takes `text` as an id, if it is one.
    pub fn new(text: &str) -> Result<Self, NotAKeyId> {
        let is_plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let sound = match text.split_once('/') {
            Some((holder, number)) => is_plain(holder) && is_plain(number),
            None => is_plain(text),
        };
        if sound && text.len() <= KEY_ID_BYTES_MAX { Ok(Self(text.into())) } else { Err(NotAKeyId) }
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who has the key.
    pub fn holder(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(holder, _)| holder)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotAKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the id of a key is 1 to {KEY_ID_BYTES_MAX} letters, digits, `-`, `_` or `.`, with at most one `/` between two such parts"
        )
    }
}

impl std::error::Error for NotAKeyId {}

impl Secret {
    /// Takes 32 bytes as a secret. Whoever has them elsewhere wipes them there.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for those who must: the handshake, and the file that a key is written to.
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let longest = "x".repeat(KEY_ID_BYTES_MAX);
        for (id, holder) in
            [("billing", "billing"), ("billing/2", "billing"), ("a.b-c_D", "a.b-c_D"), (&longest, &longest)]
        {
            assert_eq!(KeyId::new(id).unwrap().holder(), holder);
        }
        let too_long = "x".repeat(KEY_ID_BYTES_MAX + 1);
        for bad in ["", "/", "a/", "/b", "a/b/c", "a b", "ä", "a\n", "$a", &too_long] {
            assert_eq!(KeyId::new(bad), Err(NotAKeyId), "{bad:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let key = Key { id: KeyId::new("billing").unwrap(), secret: Secret::new([7; SECRET_BYTES]) };
        assert_eq!(format!("{key:?}"), "Key { id: KeyId(\"billing\"), secret: [secret] }");
    }
}
