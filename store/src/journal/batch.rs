//! What one commit writes: frames in order, and what they say, for the index once they are synced.

use super::backlog::{Backlog, Said};
use super::format::{begin_frame, end_frame, put_gone, put_progressed, put_put};
use super::index::{Index, Place};
use crate::{Calendar, DiskFile, codec};
use answerback_broker::{Change, ItemId, Step};
use std::io;

/// Bytes after which a batch goes on to the operating system before it is complete: a large one must not be in memory twice.
const FLUSH_BYTES: usize = 1 << 20;

/// A buffer that a large batch has left is given back.
const KEEP_BYTES: usize = 2 * FLUSH_BYTES;

/// A batch. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    out: Vec<u8>,
    said: Vec<(ItemId, u64, Said)>,
    /// Where `out` begins in the segment.
    base: u64,
    /// Bytes in front of the first frame of this batch, in the segment.
    start: u64,
    sequence: u32,
    behind: u32,
    salt: u32,
}

impl Batch {
    /// Begins a batch behind so many bytes and frames of a segment.
    pub(crate) fn begin(&mut self, length: u64, frames: u32, salt: u32) {
        self.out.clear();
        self.out.shrink_to(KEEP_BYTES);
        self.said.clear();
        self.said.shrink_to(KEEP_BYTES / 32);
        *self = Self {
            out: std::mem::take(&mut self.out),
            said: std::mem::take(&mut self.said),
            base: length,
            start: length,
            sequence: frames,
            behind: 0,
            salt,
        };
    }

    /// Puts bytes that are not a frame: the header.
    pub(crate) fn header(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.out);
    }

    pub(crate) fn step(&mut self, step: &Step, calendar: &Calendar) {
        self.frame(|out, say| {
            for change in &step.0 {
                match change {
                    Change::Put(id, item) => {
                        let before = out.len();
                        put_put(*id, out, |out| codec::encode(item, calendar, out));
                        say(*id, Said::Put { bytes: out.len() - before });
                    }
                    Change::Progress(id, progress) => {
                        put_progressed(*id, progress, out);
                        say(*id, Said::Progress(*progress));
                    }
                    Change::Gone(id) => {
                        put_gone(*id, out);
                        say(*id, Said::Gone);
                    }
                }
            }
        });
    }

    pub(crate) fn backlog(&mut self, backlog: &Backlog) {
        if !backlog.is_empty() {
            self.frame(|out, say| backlog.write(out, say));
        }
    }

    /// A frame whose changes `write` appends and tells of.
    pub(crate) fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>, &mut dyn FnMut(ItemId, Said))) {
        let at = self.at();
        let start = begin_frame(&mut self.out);
        let said = &mut self.said;
        write(&mut self.out, &mut |id, what| said.push((id, at, what)));
        self.sequence += 1;
        end_frame(&mut self.out, start, self.salt, self.sequence, self.behind);
        self.behind += 1;
    }

    /// Hands over what there is, if it is much.
    pub(crate) fn flush_if_large(&mut self, file: &mut dyn DiskFile) -> io::Result<()> {
        if self.out.len() < FLUSH_BYTES { Ok(()) } else { self.flush(file) }
    }

    pub(crate) fn flush(&mut self, file: &mut dyn DiskFile) -> io::Result<()> {
        self.base = self.at();
        let outcome = file.append(&self.out);
        self.out.clear();
        outcome
    }

    /// Whether there is no frame in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.behind == 0
    }

    /// Where the next frame begins.
    pub(crate) fn at(&self) -> u64 {
        self.base + self.out.len() as u64
    }

    /// Where in the segment the buffer begins that `frame` hands out.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Bytes of this batch.
    pub(crate) fn bytes(&self) -> u64 {
        self.at() - self.start
    }

    /// Frames of the segment, this batch included.
    pub(crate) fn frames(&self) -> u32 {
        self.sequence
    }

    /// Takes in what is now on disk. Says one more than the greatest id that was put.
    pub(crate) fn apply(&self, index: &mut Index, serial: u32) -> u64 {
        let mut next_item = 0;
        for (id, at, what) in &self.said {
            match what {
                Said::Put { bytes } => {
                    next_item = next_item.max(id.0.saturating_add(1));
                    index.put(*id, Place::new(serial, *at, *bytes));
                }
                Said::Progress(progress) => index.set_progress(*id, *progress),
                Said::Gone => index.gone(*id),
            }
        }
        next_item
    }
}
