//! Copying what still lives in the oldest segment to the end, a slice with each commit, so that the segment can go.

use super::backlog::Said;
use super::batch::Batch;
use super::format::{Changes, Written, put_progressed, put_put};
use super::index::{Index, Place};
use super::window::Window;
use answerback_broker::ItemId;
use std::collections::BTreeMap;
use std::io;

/// Bytes that are copied with a commit at least. A small commit becomes longer by less than a millisecond.
const SLICE_BYTES: u64 = 256 << 10;

/// The journal may be so many times as large as what lives in it. Every byte that lives is then copied once for three that came, at most.
const BYTES_PER_LIVE_BYTE: u64 = 4;

/// Segments beyond those that their bytes ask for: small ones are left by restarts and by disks that failed.
const SEGMENTS_SPARE: u64 = 16;

#[derive(Debug)]
pub(crate) struct Copying {
    window: Window,
    serial: u32,
    /// Frames with items that live, the last one first.
    offsets: Vec<u64>,
}

/// Whether so much is dead that the oldest segment is worth copying.
pub(crate) fn is_worth_it(index: &Index, segment_bytes: u64) -> bool {
    let segments = index.segments();
    let (bytes, count) = (index.bytes(), segments.len() as u64);
    let too_large = bytes > segment_bytes.max(BYTES_PER_LIVE_BYTE * index.live_bytes());
    let too_many = count > SEGMENTS_SPARE + 2 * bytes / segment_bytes.max(1);
    count > 1 && (too_large || too_many) && segments.front().is_some_and(|first| first.live > 0 && !first.stuck)
}

impl Copying {
    pub(crate) fn begin(window: Window, index: &Index) -> Self {
        Self { window, serial: index.first_serial(), offsets: index.offsets_in_first() }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Appends what lives in the next frames. Must come before everything else in a batch: a change that is written behind it must stay the
    /// last word. Says where a frame is that cannot be read any more.
    pub(crate) fn slice(&mut self, index: &Index, batch: &mut Batch, salt: u32, steps: u64) -> Result<(), u64> {
        let most = SLICE_BYTES.max(steps);
        while batch.bytes() < most
            && let Some(at) = self.offsets.pop()
        {
            match self.one(at, index, batch, salt) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(at),
            }
        }
        Ok(())
    }

    fn one(&mut self, at: u64, index: &Index, batch: &mut Batch, salt: u32) -> io::Result<bool> {
        let Some((_, bytes)) = self.window.frame(at, salt)? else { return Ok(false) };
        let lives_here = |id: ItemId| {
            index.place(id).is_some_and(|place: Place| place.serial() == self.serial && place.offset() == at)
        };
        // Within a frame the last put of an item counts.
        let mut puts = BTreeMap::new();
        let mut changes = Changes::of(bytes);
        while let Ok(Some(change)) = changes.next() {
            if let Written::Put(id, item) = change
                && lives_here(id)
            {
                puts.insert(id, item);
            }
        }
        if puts.is_empty() {
            return Ok(true);
        }
        batch.frame(|out, say| {
            for (id, item) in puts {
                put_put(id, out, |out| out.extend_from_slice(item));
                say(id, Said::Put { bytes: item.len() });
                if let Some(progress) = index.progress(id) {
                    put_progressed(id, progress, out);
                    say(id, Said::Progress(*progress));
                }
            }
        });
        Ok(true)
    }
}
