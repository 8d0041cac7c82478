//! Writes a frame's prefix and head straight into the buffer that goes to the socket.

use crate::limits::{HEAD_LENGTH_BYTES, LENGTH_BYTES, MESSAGE_BYTES_MAX, PREFIX_BYTES};
use bytes::{BufMut, BytesMut};

/// A head under construction. Both lengths are filled in when it is finished.
pub(crate) struct HeadWriter<'b> {
    out: &'b mut BytesMut,
    start: usize,
}

impl<'b> HeadWriter<'b> {
    /// Begins a frame of this type.
    pub(crate) fn begin(out: &'b mut BytesMut, kind: &str) -> Self {
        let start = out.len();
        out.reserve(PREFIX_BYTES + 192);
        out.put_bytes(0, PREFIX_BYTES);
        out.put_slice(b"{\"type\":\"");
        out.put_slice(kind.as_bytes());
        out.put_u8(b'"');
        Self { out, start }
    }

    /// Ends the head and says how many bytes of data follow it.
    pub(crate) fn finish(self, data: usize) {
        self.out.put_u8(b'}');
        let head = self.out.len() - self.start - PREFIX_BYTES;
        let length = HEAD_LENGTH_BYTES + head + data;
        let prefix = &mut self.out[self.start..self.start + PREFIX_BYTES];
        prefix[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_be_bytes());
        prefix[LENGTH_BYTES..].copy_from_slice(&(head as u16).to_be_bytes());
    }

    fn name(&mut self, name: &str) {
        self.out.put_slice(b",\"");
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":");
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.bare_number(value);
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.bare_text(value);
    }

    /// Text for people: cut where its escaped form would be over the limit of a message, so that a head always fits.
    pub(crate) fn message(&mut self, name: &str, value: &str) {
        let mut room = MESSAGE_BYTES_MAX;
        let fits = |c: char| {
            let cost = if c < ' ' { 6 } else { c.len_utf8() + usize::from(c == '"' || c == '\\') };
            room.checked_sub(cost).inspect(|left| room = *left).is_none()
        };
        let end = value.find(fits).unwrap_or(value.len());
        self.text(name, &value[..end]);
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out.put_slice(if value { b"true" } else { b"false" });
    }

    /// Writes `name:true`, or nothing.
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.boolean(name, true);
        }
    }

    pub(crate) fn maybe_number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    pub(crate) fn maybe_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(crate) fn numbers(&mut self, name: &str, values: impl Iterator<Item = u64>) {
        self.name(name);
        self.list(values, Self::bare_number);
    }

    pub(crate) fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) {
        self.name(name);
        self.list(values, Self::bare_text);
    }

    fn list<T>(&mut self, values: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.out.put_u8(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.out.put_u8(b',');
            }
            write(self, value);
        }
        self.out.put_u8(b']');
    }

    /// Writes an object as a member. `first` is its first member, which every object here has.
    pub(crate) fn object(&mut self, name: &str, first: (&str, &str), rest: impl FnOnce(&mut Self)) {
        self.name(name);
        self.out.put_slice(b"{\"");
        self.out.put_slice(first.0.as_bytes());
        self.out.put_slice(b"\":");
        self.bare_text(first.1);
        rest(self);
        self.out.put_u8(b'}');
    }

    /// Like [`Self::object`], with a number first.
    pub(crate) fn object_of_numbers(&mut self, name: &str, first: (&str, u64), rest: impl FnOnce(&mut Self)) {
        self.name(name);
        self.out.put_slice(b"{\"");
        self.out.put_slice(first.0.as_bytes());
        self.out.put_slice(b"\":");
        self.bare_number(first.1);
        rest(self);
        self.out.put_u8(b'}');
    }

    fn bare_number(&mut self, value: u64) {
        self.out.put_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn bare_text(&mut self, text: &str) {
        self.out.put_u8(b'"');
        let bytes = text.as_bytes();
        let mut plain = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if byte < 0x20 || byte == b'"' || byte == b'\\' {
                self.out.put_slice(&bytes[plain..at]);
                self.escape(byte);
                plain = at + 1;
            }
        }
        self.out.put_slice(&bytes[plain..]);
        self.out.put_u8(b'"');
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.out.put_slice(b"\\\""),
            b'\\' => self.out.put_slice(b"\\\\"),
            b'\n' => self.out.put_slice(b"\\n"),
            b'\r' => self.out.put_slice(b"\\r"),
            b'\t' => self.out.put_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                self.out.put_slice(b"\\u00");
                self.out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
}
