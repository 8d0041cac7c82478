//! A window on a segment that is read from front to back: large reads, small memory.

use super::format::{FRAME_HEAD_BYTES, FrameHead};
use crate::DiskFile;
use std::io;

/// Bytes read at once. A frame that is longer gets as much as it needs.
const WINDOW_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Window {
    file: Box<dyn DiskFile>,
    /// What the file may be read up to.
    end: u64,
    ahead: usize,
    base: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(crate) fn new(file: Box<dyn DiskFile>, end: u64) -> Self {
        Self::reading(file, end, WINDOW_BYTES)
    }

    /// A window that reads so many bytes at once.
    pub(crate) fn reading(file: Box<dyn DiskFile>, end: u64, ahead: usize) -> Self {
        Self { file, end, ahead, base: 0, bytes: Vec::new() }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The bytes at a place, as many as asked for or up to the end. What is read ahead is bounded, and nothing is read for a length
    /// that the file does not have.
    pub(crate) fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let length = length.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        let inside = at >= self.base && at + length as u64 <= self.base + self.bytes.len() as u64;
        if !inside {
            let ahead = self.end.saturating_sub(at).min(self.ahead as u64) as usize;
            self.bytes.resize(length.max(ahead), 0);
            let read = self.file.read_at(at, &mut self.bytes)?;
            self.bytes.truncate(read);
            self.base = at;
        }
        let from = (at - self.base) as usize;
        Ok(self.bytes.get(from..self.bytes.len().min(from + length)).unwrap_or_default())
    }

    /// The sound frame at a place: its head and its changes.
    pub(crate) fn frame(&mut self, at: u64, salt: u32) -> io::Result<Option<(FrameHead, &[u8])>> {
        let room = self.end.saturating_sub(at);
        let Some(head) = FrameHead::read(self.get(at, FRAME_HEAD_BYTES)?) else { return Ok(None) };
        if !head.is_plausible(room) {
            return Ok(None);
        }
        let frame = self.get(at, head.total() as usize)?;
        let changes = frame.get(FRAME_HEAD_BYTES..).unwrap_or_default();
        Ok(head.fits(salt, changes).then_some((head, changes)))
    }
}
