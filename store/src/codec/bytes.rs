//! Numbers and texts as bytes, little endian; reading checks every length against what is there.

use super::Damaged;

/// Bytes that are read from front to back.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Damaged> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Damaged> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = self.u16()?;
        let bytes = self.bytes(length.into())?;
        std::str::from_utf8(bytes).map_err(|_| Damaged { what: "a text in it is not UTF-8" })
    }

    /// A length of four bytes, and as many bytes.
    pub(crate) fn long(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.u32()?;
        self.bytes(usize::try_from(length).map_err(|_| SHORT)?)
    }

    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged { what: "it is longer than it says" }) }
    }
}

const SHORT: Damaged = Damaged { what: "it is shorter than it says" };

/// A text of at most 65,535 bytes; all texts of an item are far shorter by the protocol's limits.
pub(crate) fn put_text(text: &str, into: &mut Vec<u8>) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    into.extend_from_slice(&(text.len() as u16).to_le_bytes());
    into.extend_from_slice(text.as_bytes());
}

/// A length of four bytes, and the bytes. The protocol's limit is 1 GiB.
pub(crate) fn put_long(bytes: &[u8], into: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
    into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    into.extend_from_slice(bytes);
}
