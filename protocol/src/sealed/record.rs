//! Records: pieces of the byte stream of frames, each sealed in place under a counter that both ends keep for themselves.
//!
//! ```text
//!  u16 BE  n    bytes that follow, 17 to 65,535
//!  n bytes      ciphertext of 1 to 65,519 bytes of frames (the first: to 4,096), and its tag of 16
//! ```
//!
//! Nothing tells which record it is: the counter does, so one that is missing, repeated or moved does not open. After the first
//! failure a direction is over, and its key is wiped.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use std::fmt;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// Bytes of a record's first field, the length of what follows.
pub const RECORD_LENGTH_BYTES: usize = 2;

/// Bytes of the tag at the end of a record.
pub const TAG_BYTES: usize = 16;

/// What a record adds to the bytes in it.
pub const RECORD_EXTRA_BYTES: usize = RECORD_LENGTH_BYTES + TAG_BYTES;

/// Bytes of frames in one record at most: with the tag it is what Noise allows for one message.
pub const PLAIN_BYTES_MAX: usize = 65_535 - TAG_BYTES;

/// The same of the first record of a direction, so that whoever only repeats somebody's greeting can make the other end keep no more than that.
pub const FIRST_PLAIN_BYTES_MAX: usize = 4 << 10;

/// Bytes of a whole record at most.
pub const RECORD_BYTES_MAX: usize = PLAIN_BYTES_MAX + RECORD_EXTRA_BYTES;

/// After this many records of a direction its key is replaced by one made from it. At most 64 GiB go under one key, far
/// below where the cipher's bounds begin to matter, and who steals a key reads nothing that is older.
pub const REKEY_AFTER_RECORDS: u64 = 1 << 20;

/// Bytes of the key of a direction.
pub(super) const DIRECTION_KEY_BYTES: usize = 32;

/// The key of a direction, wiped when dropped.
pub(super) type DirectionKey = Zeroizing<[u8; DIRECTION_KEY_BYTES]>;

/// Why a record could not be opened or made. The direction is over after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// A length below that of a record with one byte in it, or one to be made that is empty or too long.
    Length {
        /// Bytes behind the length field.
        length: usize,
    },
    /// It was changed on its way, or is not the next one: repeated, moved, or something before it is missing.
    NotOpened,
    /// The counter has come to its end. Nobody lives to see this.
    Exhausted,
    /// An earlier record could not be opened.
    Over,
}

/// Seals the records of one direction.
pub struct Sealer(Direction);

/// Opens the records of one direction.
pub struct Opener(Direction);

/// A key and how many records went under it and those before it.
struct Direction {
    /// Dropped, and so wiped, at the first failure.
    cipher: Option<ChaCha20Poly1305>,
    counter: u64,
}

impl Direction {
    fn new(key: &DirectionKey) -> Self {
        Self { cipher: Some(ChaCha20Poly1305::new(Key::from_slice(&**key))), counter: 0 }
    }

    /// Uses the key for the next record. If that fails there is no next one.
    fn next<T>(
        &mut self,
        work: impl FnOnce(&ChaCha20Poly1305, &Nonce) -> Result<T, RecordError>,
    ) -> Result<T, RecordError> {
        let cipher = self.cipher.as_ref().ok_or(RecordError::Over)?;
        // Noise keeps the last nonce for itself: it makes the next key.
        if self.counter == u64::MAX {
            return Err(self.fail(RecordError::Exhausted));
        }
        match work(cipher, &nonce(self.counter)) {
            Ok(done) => {
                self.counter += 1;
                if self.counter.is_multiple_of(REKEY_AFTER_RECORDS) {
                    self.cipher = rekeyed(cipher);
                }
                Ok(done)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Bytes that may follow the length of the next record.
    fn lengths(&self) -> RangeInclusive<usize> {
        let most = if self.counter == 0 { FIRST_PLAIN_BYTES_MAX } else { PLAIN_BYTES_MAX };
        TAG_BYTES + 1..=TAG_BYTES + most
    }

    fn fail(&mut self, error: RecordError) -> RecordError {
        self.cipher = None;
        error
    }
}

/// Four zero bytes and the counter, least byte first, as Noise says.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = Nonce::default();
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    bytes
}

/// Noise's `REKEY`: the first 32 bytes of 32 zero bytes sealed with the last nonce.
fn rekeyed(cipher: &ChaCha20Poly1305) -> Option<ChaCha20Poly1305> {
    let mut key = DirectionKey::default();
    cipher.encrypt_in_place_detached(&nonce(u64::MAX), b"", &mut *key).ok()?;
    Some(ChaCha20Poly1305::new(Key::from_slice(&*key)))
}

impl Sealer {
    pub(super) fn new(key: &DirectionKey) -> Self {
        Self(Direction::new(key))
    }

    /// Makes a record of `record`, in place: room for the length, then the bytes to be sealed, then room for the tag.
    /// If that fails the bytes are still in the clear, and must not leave.
    pub fn seal(&mut self, record: &mut [u8]) -> Result<(), RecordError> {
        let length = record.len().saturating_sub(RECORD_LENGTH_BYTES);
        let Some((head, body)) = record.split_first_chunk_mut() else { return Err(self.0.fail(bad_length(length))) };
        if !self.0.lengths().contains(&body.len()) {
            return Err(self.0.fail(bad_length(length)));
        }
        *head = (length as u16).to_be_bytes();
        let (plain, space) = body.split_at_mut(length - TAG_BYTES);
        let tag = self.0.next(|cipher, nonce| {
            cipher.encrypt_in_place_detached(nonce, b"", plain).map_err(|_| bad_length(length))
        })?;
        space.copy_from_slice(&tag);
        Ok(())
    }

    /// Records sealed so far.
    pub fn records(&self) -> u64 {
        self.0.counter
    }
}

impl Opener {
    pub(super) fn new(key: &DirectionKey) -> Self {
        Self(Direction::new(key))
    }

    /// The length of the whole record that starts at `bytes`, as soon as it is there.
    pub fn peek(&mut self, bytes: &[u8]) -> Result<Option<usize>, RecordError> {
        if self.0.cipher.is_none() {
            return Err(RecordError::Over);
        }
        let Some(length) = bytes.first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if !self.0.lengths().contains(&length) {
            return Err(self.0.fail(bad_length(length)));
        }
        Ok(Some(RECORD_LENGTH_BYTES + length))
    }

    /// Opens one whole record in place and returns what was in it. If it does not open, nothing of it was decrypted.
    pub fn open<'r>(&mut self, record: &'r mut [u8]) -> Result<&'r mut [u8], RecordError> {
        match self.peek(record)? {
            Some(total) if total == record.len() => {}
            _ => return Err(self.0.fail(bad_length(record.len()))),
        }
        let plain = record.len() - RECORD_EXTRA_BYTES;
        let (plain, tag) = record[RECORD_LENGTH_BYTES..].split_at_mut(plain);
        self.0.next(|cipher, nonce| {
            cipher
                .decrypt_in_place_detached(nonce, b"", plain, Tag::from_slice(tag))
                .map_err(|_| RecordError::NotOpened)
        })?;
        Ok(plain)
    }

    /// Records opened so far.
    pub fn records(&self) -> u64 {
        self.0.counter
    }
}

fn bad_length(length: usize) -> RecordError {
    RecordError::Length { length }
}

impl RecordError {
    /// A short fixed word for counters and tests.
    pub fn word(self) -> &'static str {
        match self {
            Self::Length { .. } => "record_length",
            Self::NotOpened => "record_not_opened",
            Self::Exhausted => "records_exhausted",
            Self::Over => "channel_over",
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { length } => {
                let [least, most, first] = [1, PLAIN_BYTES_MAX, FIRST_PLAIN_BYTES_MAX].map(|plain| plain + TAG_BYTES);
                write!(
                    f,
                    "a record of {length} bytes: one has {least} to {most}, the first of a direction at most {first}"
                )
            }
            Self::NotOpened => write!(f, "a record does not open: it was changed on its way, or is not the next one"),
            Self::Exhausted => write!(f, "the channel has carried as many records as it can; connect again"),
            Self::Over => write!(f, "the channel has ended: an earlier record did not open"),
        }
    }
}

impl std::error::Error for RecordError {}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} records, [secret])", self.0.counter)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({} records, [secret])", self.0.counter)
    }
}

#[cfg(test)]
impl Direction {
    /// Goes on as if so many records were over, with the key that stands there then.
    fn go_on_at(&mut self, counter: u64) {
        for _ in 0..counter / REKEY_AFTER_RECORDS {
            self.cipher = self.cipher.as_ref().and_then(rekeyed);
        }
        self.counter = counter;
    }
}

#[cfg(test)]
impl Sealer {
    pub(super) fn go_on_at(&mut self, counter: u64) {
        self.0.go_on_at(counter);
    }

    /// The same without a change of keys.
    pub(super) fn count_from(&mut self, counter: u64) {
        self.0.counter = counter;
    }
}

#[cfg(test)]
impl Opener {
    pub(super) fn go_on_at(&mut self, counter: u64) {
        self.0.go_on_at(counter);
    }

    /// The same without a change of keys.
    pub(super) fn count_from(&mut self, counter: u64) {
        self.0.counter = counter;
    }
}
