//! What a journal holds when it is opened. A first reading notes for each item where its newest put stands; whoever takes the items then has them read a
//! second time, one by one. So a million of them are never in memory beside what their reader makes of them.

use super::segment_path;
use super::window::Window;
use crate::codec::Decoder;
use crate::{Calendar, Disk, Finding, FindingKind};
use answerback_broker::{Item, ItemId, Progress};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::vec;

/// Where the bytes of an item stand: 16 bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Which segment, as a place in the list of numbers, and where in it.
    place: u64,
    length: u32,
    /// Of the bytes, as they were when they were read first.
    checksum: u32,
}

/// As many bits as a place in the index has.
const OFFSET_BITS: u32 = 36;

impl Spot {
    fn segment(self) -> usize {
        (self.place >> OFFSET_BITS) as usize
    }

    fn offset(self) -> u64 {
        self.place & ((1 << OFFSET_BITS) - 1)
    }
}

/// Where all items stand.
#[derive(Debug, Default)]
pub(crate) struct Spots {
    spots: HashMap<u64, Spot, FixedState>,
    numbers: Vec<u64>,
}

impl Spots {
    pub(crate) fn put(&mut self, id: ItemId, segment: u64, offset: u64, bytes: &[u8]) {
        let place = self.place(segment, offset);
        self.spots.insert(id.0, Spot { place, length: bytes.len() as u32, checksum: crc32fast::hash(bytes) });
    }

    /// The bytes stand elsewhere too, and may go from where they were.
    pub(crate) fn moved(&mut self, id: ItemId, from: (u64, u64), to: (u64, u64)) {
        let (from, to) = (self.place(from.0, from.1), self.place(to.0, to.1));
        if let Some(spot) = self.spots.get_mut(&id.0).filter(|spot| spot.place == from) {
            spot.place = to;
        }
    }

    /// The same, wherever they were.
    pub(crate) fn moved_to(&mut self, id: ItemId, segment: u64, offset: u64) {
        let place = self.place(segment, offset);
        if let Some(spot) = self.spots.get_mut(&id.0) {
            spot.place = place;
        }
    }

    pub(crate) fn remove(&mut self, id: ItemId) {
        self.spots.remove(&id.0);
    }

    /// All of them, in the order of the ids.
    pub(crate) fn in_order(&self) -> Vec<(ItemId, Spot)> {
        let mut spots: Vec<_> = self.spots.iter().map(|(id, spot)| (ItemId(*id), *spot)).collect();
        spots.sort_unstable_by_key(|(id, _)| *id);
        spots
    }

    pub(crate) fn reader(&self, disk: &Arc<dyn Disk>, dir: PathBuf) -> SpotReader {
        SpotReader { disk: Arc::clone(disk), dir, numbers: self.numbers.clone(), windows: Vec::new() }
    }

    fn place(&mut self, segment: u64, offset: u64) -> u64 {
        let at = self.numbers.iter().rposition(|number| *number == segment).unwrap_or_else(|| {
            self.numbers.push(segment);
            self.numbers.len() - 1
        });
        (at as u64) << OFFSET_BITS | offset & ((1 << OFFSET_BITS) - 1)
    }
}

/// Segments that are open at once. Ids rise along a segment but for what was copied, which is in order itself: two would nearly do.
const WINDOWS: usize = 4;

/// Bytes read at once: little is lost where the next item stands elsewhere.
const AHEAD_BYTES: usize = 128 << 10;

/// Reads items where they stand.
pub(crate) struct SpotReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    numbers: Vec<u64>,
    /// The one that was used last comes last.
    windows: Vec<(usize, Window)>,
}

impl SpotReader {
    /// The bytes of an item, if they are still what they were.
    pub(crate) fn bytes(&mut self, spot: Spot) -> io::Result<&[u8]> {
        let bytes = self.window(spot.segment())?.get(spot.offset(), spot.length as usize)?;
        let is_same = bytes.len() == spot.length as usize && crc32fast::hash(bytes) == spot.checksum;
        if is_same { Ok(bytes) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn window(&mut self, segment: usize) -> io::Result<&mut Window> {
        match self.windows.iter().rposition(|(of, _)| *of == segment) {
            Some(at) if at + 1 == self.windows.len() => {}
            Some(at) => self.windows[at..].rotate_left(1),
            None => {
                let file = self.disk.open(&self.path(segment))?;
                let end = file.size()?;
                if self.windows.len() == WINDOWS {
                    self.windows.remove(0);
                }
                self.windows.push((segment, Window::reading(file, end, AHEAD_BYTES)));
            }
        }
        self.windows.last_mut().map(|(_, window)| window).ok_or(io::ErrorKind::NotFound.into())
    }

    fn path(&self, segment: usize) -> PathBuf {
        segment_path(&self.dir, self.numbers.get(segment).copied().unwrap_or(0))
    }
}

/// What a journal held when it was opened, in the order of the ids. Each item is read when it is asked for, so they must be taken before the journal is
/// written.
pub struct Items {
    reader: SpotReader,
    decoder: Decoder,
    left: vec::IntoIter<(ItemId, Spot)>,
    progress: HashMap<u64, Progress, FixedState>,
    /// How many items of which segment could be read at first but not any more.
    unreadable: Vec<(usize, u64)>,
}

impl Items {
    pub(crate) fn new(
        reader: SpotReader,
        calendar: Calendar,
        spots: Vec<(ItemId, Spot)>,
        progress: HashMap<u64, Progress, FixedState>,
    ) -> Self {
        Self { reader, decoder: Decoder::new(calendar), left: spots.into_iter(), progress, unreadable: Vec::new() }
    }

    /// What was passed over because it could not be read a second time. It stays in the journal.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        let found = std::mem::take(&mut self.unreadable).into_iter();
        found
            .map(|(segment, items)| Finding::new(FindingKind::UnreadableItems { items }, self.reader.path(segment)))
            .collect()
    }

    fn read(&mut self, id: ItemId, spot: Spot) -> Option<Item> {
        let mut item = self.decoder.decode(self.reader.bytes(spot).ok()?).ok()?;
        if let (Item::Request(request), Some(progress)) = (&mut item, self.progress.get(&id.0)) {
            request.progress = *progress;
        }
        Some(item)
    }
}

impl Iterator for Items {
    type Item = (ItemId, Item);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (id, spot) = self.left.next()?;
            if let Some(item) = self.read(id, spot) {
                return Some((id, item));
            }
            match self.unreadable.iter_mut().find(|(segment, _)| *segment == spot.segment()) {
                Some((_, items)) => *items += 1,
                None => self.unreadable.push((spot.segment(), 1)),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left.len()))
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Items({} left)", self.left.len())
    }
}
