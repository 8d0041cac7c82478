//! Which items are alive, and where their newest put stands. This is all that a journal keeps in memory of an item: 16 bytes, and
//! 20 more for one that was delivered already.

use super::format::Closed;
use answerback_broker::{ItemId, Progress};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Where a put stands, packed: which segment, how large about, where its frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

const OFFSET_BITS: u32 = 36;
const CLASS_BITS: u32 = 8;
const SERIAL_BITS: u32 = 64 - OFFSET_BITS - CLASS_BITS;
const SERIALS: u32 = 1 << SERIAL_BITS;

impl Place {
    pub(crate) fn new(serial: u32, offset: u64, bytes: usize) -> Self {
        let class = u64::from(class(bytes)) << OFFSET_BITS;
        Self(u64::from(serial % SERIALS) << (OFFSET_BITS + CLASS_BITS) | class | offset & ((1 << OFFSET_BITS) - 1))
    }

    pub(crate) fn serial(self) -> u32 {
        (self.0 >> (OFFSET_BITS + CLASS_BITS)) as u32
    }

    pub(crate) fn offset(self) -> u64 {
        self.0 & ((1 << OFFSET_BITS) - 1)
    }

    fn bytes(self) -> u64 {
        class_bytes((self.0 >> OFFSET_BITS) as u8)
    }
}

/// A size in 8 bits, about one eighth exact: five bits of exponent and three that follow the first one.
fn class(bytes: usize) -> u8 {
    let bytes = (bytes as u64).clamp(8, u64::from(u32::MAX));
    let exponent = bytes.ilog2();
    ((exponent << 3) as u64 | (bytes >> (exponent - 3)) & 7) as u8
}

fn class_bytes(class: u8) -> u64 {
    let (exponent, rest) = (u32::from(class >> 3), u64::from(class & 7));
    (8 + rest) << exponent >> 3
}

/// A segment on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Bytes that count.
    pub(crate) length: u64,
    pub(crate) frames: u32,
    /// Items whose newest put stands here.
    pub(crate) live: u64,
    /// About how many bytes they take.
    pub(crate) live_bytes: u64,
    /// Items in it cannot be copied, because they cannot be read any more.
    pub(crate) stuck: bool,
}

impl Segment {
    pub(crate) fn new(number: u64, length: u64, frames: u32) -> Self {
        Self { number, length, frames, live: 0, live_bytes: 0, stuck: false }
    }

    pub(crate) fn closed(&self) -> Closed {
        Closed { number: self.number, length: self.length, frames: self.frames }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    places: HashMap<u64, Place, FixedState>,
    progress: HashMap<u64, Progress, FixedState>,
    segments: VecDeque<Segment>,
    /// The serial number of the first segment.
    first: u32,
}

impl Index {
    pub(crate) fn has(&self, id: ItemId) -> bool {
        self.places.contains_key(&id.0)
    }

    pub(crate) fn items(&self) -> u64 {
        self.places.len() as u64
    }

    pub(crate) fn place(&self, id: ItemId) -> Option<Place> {
        self.places.get(&id.0).copied()
    }

    pub(crate) fn progress(&self, id: ItemId) -> Option<&Progress> {
        self.progress.get(&id.0)
    }

    /// What was last said of all items that were delivered already.
    pub(crate) fn all_progress(&self) -> &HashMap<u64, Progress, FixedState> {
        &self.progress
    }

    pub(crate) fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut Segment> {
        self.segments.back_mut()
    }

    pub(crate) fn first_mut(&mut self) -> Option<&mut Segment> {
        self.segments.front_mut()
    }

    pub(crate) fn first_serial(&self) -> u32 {
        self.first
    }

    /// Adds a segment at the end and says its serial number.
    pub(crate) fn push_segment(&mut self, segment: Segment) -> u32 {
        self.segments.push_back(segment);
        (self.first + self.segments.len() as u32 - 1) % SERIALS
    }

    pub(crate) fn pop_segment(&mut self) {
        if self.segments.pop_front().is_some() {
            self.first = (self.first + 1) % SERIALS;
        }
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.live_bytes).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    pub(crate) fn put(&mut self, id: ItemId, place: Place) {
        if let Some(old) = self.places.insert(id.0, place) {
            self.leave(old);
        }
        if let Some(segment) = self.segment_mut(place) {
            segment.live += 1;
            segment.live_bytes += place.bytes();
        }
        self.progress.remove(&id.0);
    }

    pub(crate) fn set_progress(&mut self, id: ItemId, progress: Progress) {
        if self.has(id) {
            self.progress.insert(id.0, progress);
        }
    }

    pub(crate) fn gone(&mut self, id: ItemId) {
        if let Some(old) = self.places.remove(&id.0) {
            self.leave(old);
            self.progress.remove(&id.0);
        }
        if self.places.capacity() > SHRINK_ABOVE_ITEMS && self.places.len() < self.places.capacity() / 8 {
            self.places.shrink_to(2 * self.places.len());
            self.progress.shrink_to(2 * self.progress.len());
        }
    }

    /// Where the frames of all items stand that live in the first segment, last one first.
    pub(crate) fn offsets_in_first(&self) -> Vec<u64> {
        let here = self.places.values().filter(|place| place.serial() == self.first);
        let mut offsets: Vec<u64> = here.map(|place| place.offset()).collect();
        offsets.sort_unstable_by(|a, b| b.cmp(a));
        offsets.dedup();
        offsets
    }

    fn leave(&mut self, place: Place) {
        if let Some(segment) = self.segment_mut(place) {
            segment.live = segment.live.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(place.bytes());
        }
    }

    fn segment_mut(&mut self, place: Place) -> Option<&mut Segment> {
        let at = place.serial().wrapping_sub(self.first) % SERIALS;
        self.segments.get_mut(at as usize)
    }
}

/// A table for more items than this is made smaller when most of it is empty.
const SHRINK_ABOVE_ITEMS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_what_it_is_given_and_sizes_are_about_right() {
        let place = Place::new(SERIALS + 3, (1 << OFFSET_BITS) - 1, 300);
        assert_eq!((place.serial(), place.offset()), (3, (1 << OFFSET_BITS) - 1));
        for bytes in (8..5_000).chain([1 << 20, u32::MAX as usize]) {
            let about = class_bytes(class(bytes)) as usize;
            assert!(about <= bytes && about + about / 8 >= bytes, "{bytes} {about}");
        }
    }

    #[test]
    fn serial_numbers_go_round() {
        let mut index = Index { first: SERIALS - 1, ..Index::default() };
        let last = index.push_segment(Segment::new(1, 0, 0));
        let zero = index.push_segment(Segment::new(2, 0, 0));
        assert_eq!((last, zero), (SERIALS - 1, 0));
        index.put(ItemId(1), Place::new(last, 128, 100));
        index.put(ItemId(1), Place::new(zero, 128, 100));
        assert_eq!(index.segments().iter().map(|segment| segment.live).collect::<Vec<_>>(), [0, 1]);
        index.pop_segment();
        index.gone(ItemId(1));
        assert_eq!((index.first_serial(), index.live_bytes(), index.items()), (0, 0, 0));
    }
}
