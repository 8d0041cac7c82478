//! Keys made of passphrases, with Argon2id. It happens once, when the key is made, and what is written is a key like any other: nobody who
//! connects ever makes a server stretch anything.
//!
//! A passphrase can be guessed and a generated key cannot: whoever records one handshake can try passphrases against it as fast as the
//! figures below let them. So a generated key is better, always.

use answerback_protocol::sealed::{Key, KeyId, SECRET_BYTES, Secret};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE32_NOPAD_NOCASE as BASE32;
use std::fmt;
use std::str::FromStr;
use zeroize::{Zeroize, Zeroizing};

/// Memory for one guess: enough that a graphics card has room for few at a time, and little enough for a small virtual machine.
pub const MEMORY_KIB: u32 = 64 << 10;

/// How often that memory is gone over. What RFC 9106 advises for this much memory; a tenth of a second to a second.
pub const PASSES: u32 = 3;

/// Threads: the memory of one lane cannot be split among many helpers.
pub const LANES: u32 = 1;

/// Characters of a passphrase at least: below, guessing is cheap whatever is done.
pub const PASSPHRASE_CHARS_MIN: usize = 12;

/// Bytes of a passphrase at most: longer than anybody types.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// Bytes of a salt: no two ever meet by chance.
pub const SALT_BYTES: usize = 16;

/// Characters of a salt.
const SALT_DIGITS: usize = (SALT_BYTES * 8).div_ceil(5);

/// Makes the same passphrase another key each time. Not secret: it stands beside the key, so that the key can be made again elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; SALT_BYTES]);

/// A text that is not a salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotASalt;

/// Why a passphrase gave no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StretchError {
    /// It can be guessed.
    TooShort {
        /// Characters that it has.
        found: usize,
    },
    /// It is no passphrase any more.
    TooLong,
    /// There is not enough memory for it here.
    Memory,
}

impl Salt {
    /// Takes these bytes, which should be random.
    pub fn new(bytes: [u8; SALT_BYTES]) -> Self {
        Self(bytes)
    }
}

/// Makes a key of a passphrase, byte for byte as it was typed. The same passphrase and salt make the same secret, whatever the id.
pub fn stretch(id: KeyId, passphrase: &str, salt: &Salt) -> Result<Key, StretchError> {
    check(passphrase)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(SECRET_BYTES)).map_err(|_| StretchError::Memory)?;
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(|_| StretchError::Memory)?;
    blocks.resize(params.block_count(), Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    let done = argon2.hash_password_into_with_memory(passphrase.as_bytes(), &salt.0, &mut *secret, &mut blocks);
    // The secret can be made of the last of them.
    blocks.iter_mut().for_each(Zeroize::zeroize);
    done.map_err(|_| StretchError::Memory)?;
    Ok(Key { id, secret: Secret::new(*secret) })
}

/// Says what is wrong with a passphrase, without making anything of it.
pub fn check(passphrase: &str) -> Result<(), StretchError> {
    match passphrase.chars().count() {
        found if found < PASSPHRASE_CHARS_MIN => Err(StretchError::TooShort { found }),
        _ if passphrase.len() > PASSPHRASE_BYTES_MAX => Err(StretchError::TooLong),
        _ => Ok(()),
    }
}

/// How keys are made here, for a comment beside one.
pub fn parameters() -> String {
    let lanes = if LANES == 1 { "lane" } else { "lanes" };
    format!("Argon2id, {} MiB, {PASSES} passes, {LANES} {lanes}", MEMORY_KIB >> 10)
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0).to_ascii_lowercase())
    }
}

impl FromStr for Salt {
    type Err = NotASalt;

    fn from_str(text: &str) -> Result<Self, NotASalt> {
        let is_lower = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        let bytes = BASE32.decode(text.as_bytes()).ok().filter(|_| is_lower).ok_or(NotASalt)?;
        bytes.try_into().map(Self).map_err(|_| NotASalt)
    }
}

impl fmt::Display for NotASalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a salt is {SALT_DIGITS} characters, a to z and 2 to 7, as they stand in the comment of the key file")
    }
}

impl std::error::Error for NotASalt {}

impl fmt::Display for StretchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { found } => {
                write!(f, "the passphrase has {found} characters, and fewer than {PASSPHRASE_CHARS_MIN} can be guessed")
            }
            Self::TooLong => write!(f, "the passphrase has more than {PASSPHRASE_BYTES_MAX} bytes"),
            Self::Memory => write!(f, "there are no {} MiB of memory to stretch the passphrase with", MEMORY_KIB >> 10),
        }
    }
}

impl std::error::Error for StretchError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    fn billing() -> KeyId {
        KeyId::new("billing").unwrap()
    }

    /// The figures are part of what makes the key: with others, nobody could make an old one again.
    #[test]
    fn the_same_passphrase_and_salt_make_the_same_key() {
        let salt: Salt = "aaaqeayeaudaocajbifqydiob4".parse().unwrap();
        assert_eq!(salt, Salt::new(std::array::from_fn(|at| at as u8)));
        let key = stretch(billing(), "correct horse battery staple", &salt).unwrap();
        assert_eq!(*text::print(&key), "abk1:billing:bundyzjdzdyg4tqk7hcrlks3krem726wqohs2uwd3c3o7do4hqxiskav54");
        let other = stretch(billing(), "correct horse battery staplf", &salt).unwrap();
        let salted = stretch(billing(), "correct horse battery staple", &Salt::new([1; SALT_BYTES])).unwrap();
        assert!(other.secret.expose() != key.secret.expose() && salted.secret.expose() != key.secret.expose());
    }

    #[test]
    fn what_can_be_guessed_is_refused() {
        let refused = |passphrase: &str| stretch(billing(), passphrase, &Salt::new([0; SALT_BYTES])).unwrap_err();
        assert_eq!(refused("elevenchars"), StretchError::TooShort { found: 11 });
        assert_eq!(refused("ääääääääääää"[..22].trim()), StretchError::TooShort { found: 11 });
        assert_eq!(refused(&"x".repeat(PASSPHRASE_BYTES_MAX + 1)), StretchError::TooLong);
        assert_eq!(check("twelve chars"), Ok(()));
        let told = refused("elevenchars").to_string();
        assert_eq!(told, "the passphrase has 11 characters, and fewer than 12 can be guessed");
    }

    #[test]
    fn a_salt_has_one_text() {
        let salt = Salt::new([0xa5; SALT_BYTES]);
        assert_eq!(salt.to_string().parse(), Ok(salt));
        for wrong in
            ["", "aaaa", "AAAQEAYEAUDAOCAJBIFQYDIOB4", "aaaqeayeaudaocajbifqydiob5", "aaaqeayeaudaocajbifqydiob4a"]
        {
            assert_eq!(wrong.parse::<Salt>(), Err(NotASalt), "{wrong}");
        }
    }
}
