//! What an inbox has besides, on a sealed connection: what opens records, and the part of one that has come.
//!
//! ```text
//!  scratch   │ room │ partial frame │ 2 │ plaintext │ 16 │ 2 │ plaintext │ 16 │ 2 │ part of a record …
//!              for a                  └── a record, opened where it lies ┘
//!              head                   └ before it is read, the partial frame moves up to it
//! ```

use super::growing::Growing;
use super::{PARK_BYTES_MAX, Scratch};
use crate::limits::HEAD_BYTES_MAX;
use crate::sealed::{Opener, RECORD_BYTES_MAX, RECORD_LENGTH_BYTES, RecordError, TAG_BYTES};
use std::ops::Range;

/// Where reads go at the earliest: a large frame's head is put in front while records wait behind.
pub(super) const FIRST_AT: usize = HEAD_BYTES_MAX;

/// A scratch for sealed connections has at least this many bytes: besides what is parked, a whole record has room.
const SCRATCH_BYTES: usize = FIRST_AT + PARK_BYTES_MAX + RECORD_BYTES_MAX + PARK_BYTES_MAX;

pub(super) struct Sealed {
    opener: Opener,
    /// The first bytes of a record, parked.
    parked: Box<[u8]>,
    /// A record of which more than is parked has come, in a buffer of its own.
    long: Option<Growing>,
    /// Whether a record has opened since that was last asked.
    opened: bool,
}

impl Sealed {
    pub(super) fn new(opener: Opener) -> Self {
        Self { opener, parked: Box::default(), long: None, opened: false }
    }

    /// Bytes of memory that wait here for the rest of a record.
    pub(super) fn memory(&self) -> usize {
        self.parked.len() + self.long.as_ref().map_or(0, Growing::memory)
    }

    pub(super) fn is_amid_a_record(&self) -> bool {
        self.memory() > 0
    }

    /// Whether the next read goes into a long record, and the scratch holds nothing of this connection.
    pub(super) fn is_amid_a_long_record(&self) -> bool {
        self.long.is_some()
    }

    /// Whether a record has opened since this was last asked.
    pub(super) fn has_opened(&mut self) -> bool {
        std::mem::take(&mut self.opened)
    }

    /// Where the next read goes, behind `frame`, the part of a frame that was parked.
    pub(super) fn space<'s>(&'s mut self, frame: &[u8], scratch: &'s mut Scratch) -> &'s mut [u8] {
        let [frame_at, record_at, free_at] = self.places(frame);
        if let Some(long) = &mut self.long {
            return long.space();
        }
        if scratch.bytes.len() < SCRATCH_BYTES {
            scratch.bytes = vec![0; SCRATCH_BYTES].into();
        }
        scratch.bytes[frame_at..record_at].copy_from_slice(frame);
        scratch.bytes[record_at..free_at].copy_from_slice(&self.parked);
        &mut scratch.bytes[free_at..]
    }

    /// Takes in a read. Whether the scratch holds something of this connection now: not while a long record lacks its end.
    pub(super) fn received(&mut self, frame: &[u8], scratch: &mut Scratch, count: usize) -> bool {
        let [frame_at, record_at, free_at] = self.places(frame);
        let mut end = free_at + count;
        if let Some(mut long) = self.long.take() {
            long.received(count);
            if !long.is_whole() {
                self.long = Some(long);
                (scratch.start, scratch.end, scratch.sealed) = (0, 0, 0..0);
                return false;
            }
            let record = long.whole();
            end = record_at + record.len();
            scratch.bytes[frame_at..record_at].copy_from_slice(frame);
            scratch.bytes[record_at..end].copy_from_slice(&record);
        }
        self.parked = Box::default();
        (scratch.start, scratch.end, scratch.sealed) = (frame_at, record_at, record_at..end);
        true
    }

    /// Where in the scratch the parked frame, the parked record and the free space begin.
    fn places(&self, frame: &[u8]) -> [usize; 3] {
        [FIRST_AT, FIRST_AT + frame.len(), FIRST_AT + frame.len() + self.parked.len()]
    }

    /// Opens the next record in the scratch, if it is there, and says where its plaintext lies.
    pub(super) fn open(&mut self, scratch: &mut Scratch) -> Result<Option<Range<usize>>, RecordError> {
        let came = &mut scratch.bytes[scratch.sealed.clone()];
        match self.opener.peek(came)? {
            Some(total) if total <= came.len() => {
                self.opener.open(&mut came[..total])?;
                self.opened = true;
                let at = scratch.sealed.start;
                scratch.sealed.start += total;
                Ok(Some(at + RECORD_LENGTH_BYTES..at + total - TAG_BYTES))
            }
            _ => Ok(None),
        }
    }

    /// Keeps all that is left in the scratch, whole records too.
    pub(super) fn set_aside(&mut self, scratch: &mut Scratch) {
        self.parked = scratch.bytes[scratch.sealed.clone()].into();
        scratch.sealed = 0..0;
    }

    /// Keeps the part of a record that is left in the scratch.
    pub(super) fn park(&mut self, scratch: &mut Scratch) {
        let came = &scratch.bytes[scratch.sealed.clone()];
        match came.first_chunk() {
            Some(length) if came.len() > PARK_BYTES_MAX => {
                let total = RECORD_LENGTH_BYTES + usize::from(u16::from_be_bytes(*length));
                self.long = Some(Growing::begin(total, came));
            }
            _ => self.parked = came.into(),
        }
        scratch.sealed = 0..0;
    }
}
