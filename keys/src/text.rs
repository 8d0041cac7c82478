//! The text of a key, for files, environment variables and people:
//!
//! ```text
//!  abk1:billing/2:mzxw6ytboi…
//!  │    │         └─ base32, lower case, no padding: 32 bytes of secret, 4 bytes of checksum
//!  │    └─ id
//!  └─ what it is, and in which form
//! ```
//!
//! The checksum tells a typing error from a wrong key before anybody connects. It is the beginning of SHA-256 over a fixed text, the id and
//! the secret, so a key under another id is noticed too. Errors say what is wrong and never show the text: it may be a key all the same.

use answerback_protocol::sealed::{Key, KeyId, NotAKeyId, SECRET_BYTES, Secret};
use data_encoding::BASE32_NOPAD_NOCASE as BASE32;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What the text of every key begins with.
pub const PREFIX: &str = "abk1:";

/// What keys of any form begin with: so that one of a later form is told from what is no key.
const ANY_PREFIX: &str = "abk";

/// Bytes of the checksum: one typing error in four thousand million passes.
const CHECKSUM_BYTES: usize = 4;

/// Bytes behind the id.
const BYTES: usize = SECRET_BYTES + CHECKSUM_BYTES;

/// Characters behind the id: five bits each.
pub const DIGITS: usize = (BYTES * 8).div_ceil(5);

/// What stands in front of id and secret when the checksum is made, so that it is the checksum of nothing else.
const CHECKSUM_OF: &[u8] = b"answerback key v1";

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyTextError {
    /// There is nothing.
    Empty,
    /// It does not begin with `abk1:`.
    Prefix,
    /// It begins like a key of a form that this version does not know.
    Form,
    /// There is no second `:`.
    Parts,
    /// Its id is not one.
    Id(NotAKeyId),
    /// A character of its last part is not one of base32 in lower case; `at` counts from 1.
    Character {
        /// Which one.
        at: usize,
    },
    /// Its last part is too short or too long.
    Length {
        /// Characters that it has.
        found: usize,
    },
    /// Every part is sound, but they do not belong together.
    Checksum,
}

/// The text of a key, in memory that is wiped.
pub fn print(key: &Key) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    bytes[..SECRET_BYTES].copy_from_slice(key.secret.expose());
    bytes[SECRET_BYTES..].copy_from_slice(&checksum(&key.id, &key.secret));
    let mut digits = Zeroizing::new([0; DIGITS]);
    BASE32.encode_mut(&*bytes, &mut *digits);
    digits.make_ascii_lowercase();
    // All room at once: a text that grows leaves copies of itself behind.
    let id = key.id.as_str();
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + id.len() + 1 + DIGITS));
    text.push_str(PREFIX);
    text.push_str(id);
    text.push(':');
    text.extend(digits.iter().map(|&digit| char::from(digit)));
    text
}

/// Reads the text of a key. White space around it does not count.
pub fn parse(text: &str) -> Result<Key, KeyTextError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(KeyTextError::Empty);
    }
    let Some(rest) = text.strip_prefix(PREFIX) else { return Err(without_prefix(text)) };
    let (id, digits) = rest.split_once(':').ok_or(KeyTextError::Parts)?;
    let id = KeyId::new(id).map_err(KeyTextError::Id)?;
    let secret = checked(&id, &*decoded(digits)?)?;
    Ok(Key { id, secret })
}

fn without_prefix(text: &str) -> KeyTextError {
    let form = text.strip_prefix(ANY_PREFIX).and_then(|rest| rest.split_once(':')).map(|(form, _)| form);
    let is_form = |form: &str| (1..=3).contains(&form.len()) && form.bytes().all(|byte| byte.is_ascii_digit());
    if form.is_some_and(is_form) { KeyTextError::Form } else { KeyTextError::Prefix }
}

fn decoded(digits: &str) -> Result<Zeroizing<[u8; BYTES]>, KeyTextError> {
    let is_digit = |c: char| matches!(c, 'a'..='z' | '2'..='7');
    if let Some(at) = digits.chars().position(|c| !is_digit(c)) {
        return Err(KeyTextError::Character { at: at + 1 });
    }
    if digits.len() != DIGITS {
        return Err(KeyTextError::Length { found: digits.len() });
    }
    let mut bytes = Zeroizing::new([0; BYTES]);
    // The last character has bits to spare, and they must be zero: a key has one text.
    BASE32.decode_mut(digits.as_bytes(), &mut *bytes).map_err(|_| KeyTextError::Character { at: DIGITS })?;
    Ok(bytes)
}

fn checked(id: &KeyId, bytes: &[u8; BYTES]) -> Result<Secret, KeyTextError> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    secret.copy_from_slice(&bytes[..SECRET_BYTES]);
    let secret = Secret::new(*secret);
    let is_right: bool = checksum(id, &secret).ct_eq(&bytes[SECRET_BYTES..]).into();
    if is_right { Ok(secret) } else { Err(KeyTextError::Checksum) }
}

fn checksum(id: &KeyId, secret: &Secret) -> [u8; CHECKSUM_BYTES] {
    let hash =
        Sha256::new().chain_update(CHECKSUM_OF).chain_update(id.as_str()).chain_update(secret.expose()).finalize();
    let mut first = [0; CHECKSUM_BYTES];
    first.copy_from_slice(&hash[..CHECKSUM_BYTES]);
    first
}

impl fmt::Display for KeyTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no key in it"),
            Self::Prefix => write!(f, "it does not begin with `{PREFIX}`, as the text of a key does"),
            Self::Form => write!(f, "it is a key of another form than `{PREFIX}`, which a later version may know"),
            Self::Parts => f.write_str("it has no second `:`, with the secret behind it"),
            Self::Id(error) => write!(f, "what stands between its two `:` is no id: {error}"),
            Self::Character { at } => {
                write!(
                    f,
                    "character {at} behind its second `:` is wrong: there are only a to z and 2 to 7, in lower case"
                )
            }
            Self::Length { found } => {
                let is = if *found < DIGITS { "something is missing" } else { "there is something too much" };
                write!(f, "it has {found} characters behind its second `:` instead of {DIGITS}: {is}")
            }
            Self::Checksum => f.write_str("its checksum is wrong: at least one character is not as it was printed"),
        }
    }
}

impl std::error::Error for KeyTextError {}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "abk1:billing/2:aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp5c7jcgq";

    fn key() -> Key {
        let secret = std::array::from_fn(|at| at as u8);
        Key { id: KeyId::new("billing/2").unwrap(), secret: Secret::new(secret) }
    }

    fn error(text: &str) -> KeyTextError {
        let error = parse(text).unwrap_err();
        // Whatever is wrong, no piece of the text is repeated.
        let told = format!("{error} {error:?}");
        assert!(
            !text.as_bytes().windows(8).any(|piece| told
                .as_bytes()
                .windows(8)
                .any(|said| said == piece && !b"`abk1:`".windows(5).any(|known| piece.starts_with(known)))),
            "{told}"
        );
        error
    }

    #[test]
    fn a_key_has_one_text() {
        assert_eq!(*print(&key()), TEXT);
        for text in [TEXT, &format!("  {TEXT}\r\n")] {
            let read = parse(text).unwrap();
            assert_eq!((read.id.as_str(), read.secret.expose()), ("billing/2", key().secret.expose()));
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        let digits = TEXT.rsplit_once(':').unwrap().1;
        let with = |digits: &str| format!("abk1:billing/2:{digits}");
        for (text, expected) in [
            ("  ", KeyTextError::Empty),
            ("ABK1:billing/2:aaaq", KeyTextError::Prefix),
            ("billing/2:aaaq", KeyTextError::Prefix),
            (digits, KeyTextError::Prefix),
            ("abk:billing:aaaq", KeyTextError::Prefix),
            ("abk2:billing:aaaq", KeyTextError::Form),
            ("abk1:billing", KeyTextError::Parts),
            ("abk1::aaaq", KeyTextError::Id(NotAKeyId)),
            ("abk1:a/b/c:aaaq", KeyTextError::Id(NotAKeyId)),
            (&with(""), KeyTextError::Length { found: 0 }),
            (&with(&digits[1..]), KeyTextError::Length { found: 57 }),
            (&with(&format!("{digits}a")), KeyTextError::Length { found: 59 }),
            (&with(&digits.replacen('q', "Q", 1)), KeyTextError::Character { at: 4 }),
            (&with(&digits.replacen('q', "1", 1)), KeyTextError::Character { at: 4 }),
            (&with(&digits.replacen('q', "ä", 1)), KeyTextError::Character { at: 4 }),
            (&with(&format!("{digits}\n{digits}")), KeyTextError::Character { at: 59 }),
            (&with(&format!("{}r", &digits[..57])), KeyTextError::Character { at: 58 }),
            (&TEXT.replace("/2", "/3"), KeyTextError::Checksum),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    /// Every single wrong character, and every pair of neighbours in the wrong order.
    #[test]
    fn typing_errors_are_noticed() {
        let first = TEXT.len() - DIGITS;
        for at in first..TEXT.len() {
            for other in ('a'..='z').chain('2'..='7').filter(|other| !TEXT[at..].starts_with(*other)) {
                let typed = format!("{}{other}{}", &TEXT[..at], &TEXT[at + 1..]);
                assert!(parse(&typed).is_err(), "{typed}");
            }
            let mut swapped = TEXT.as_bytes().to_vec();
            swapped.swap(at, at - 1);
            let swapped = String::from_utf8(swapped).unwrap();
            assert!(swapped == TEXT || parse(&swapped).is_err(), "{swapped}");
        }
    }
}
