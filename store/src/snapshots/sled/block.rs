//! Sixteen ids that follow each other share one record of the database.
//!
//! What sled does for a record costs some 30 us, whatever its size: a queue of a million that moves on by ten thousand would cost it 0.6 s with a record for
//! each item. Ids are given one after the other and queues leave in that order, so a change is seldom alone in its block. More ids in one would help a queue no
//! further, and would write more where single items leave from the middle. For the same reason a large item has a record of its own, and its block says so.
//!
//! ```text
//!  u8 place in the block           u32 length   u32 checksum of place and item   item    for each item that is there, in their order
//!  u8 place in the block + 0x80    u32 length   u32 checksum of place and item           the same of one that is elsewhere
//! ```

use answerback_broker::ItemId;
use std::borrow::Cow;

/// Ids in a block.
pub(super) const BLOCK_IDS: usize = 16;

/// An item with more bytes has a record of its own.
const SMALL_BYTES_MAX: usize = 1 << 10;

/// Names a block: the ids in it, without their last four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockId(pub(super) u64);

/// Names a record: that of a block, or of a large item at a place of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordId {
    pub(super) block: BlockId,
    /// The place of the item whose record it is.
    pub(super) large: Option<u8>,
}

/// Items that share a record.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    items: [Option<Kept<'a>>; BLOCK_IDS],
}

/// An item as its block has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept<'a> {
    Here(Cow<'a, [u8]>),
    Elsewhere(Large),
}

/// What a block knows of an item with a record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Large {
    place: u8,
    length: u32,
    checksum: [u8; 4],
}

const HEAD_BYTES: usize = 9;
const ELSEWHERE: u8 = 0x80;

impl BlockId {
    pub(super) fn of(id: ItemId) -> Self {
        Self(id.0 / BLOCK_IDS as u64)
    }

    /// The id at a place in it.
    pub(super) fn id(self, place: u8) -> ItemId {
        ItemId(self.0 * BLOCK_IDS as u64 + u64::from(place))
    }

    /// The record of all its small items.
    pub(super) fn record(self) -> RecordId {
        RecordId { block: self, large: None }
    }

    /// The record of a large one.
    pub(super) fn large(self, place: u8) -> RecordId {
        RecordId { block: self, large: Some(place) }
    }
}

/// Where in its block an id is.
pub(super) fn place(id: ItemId) -> u8 {
    (id.0 % BLOCK_IDS as u64) as u8
}

impl Large {
    /// Whether these are its bytes.
    pub(super) fn is(&self, item: &[u8]) -> bool {
        item.len() == self.length as usize && checksum_of(self.place, item) == self.checksum
    }
}

/// The items of a block as they lie in its record, with their places; nothing instead of one that is not sound. Behind a length that cannot be true there is no
/// telling where the next one begins.
pub(super) fn items(mut record: &[u8]) -> impl Iterator<Item = (u8, Option<Kept<'_>>)> {
    std::iter::from_fn(move || {
        let (head, rest) = record.split_first_chunk::<HEAD_BYTES>()?;
        let [first, l0, l1, l2, l3, checksum @ ..] = *head;
        let (place, length) = (first & !ELSEWHERE, u32::from_le_bytes([l0, l1, l2, l3]));
        if usize::from(place) >= BLOCK_IDS {
            return None;
        }
        if first & ELSEWHERE != 0 {
            record = rest;
            return Some((place, Some(Kept::Elsewhere(Large { place, length, checksum }))));
        }
        let (item, rest) = rest.split_at_checked(length as usize)?;
        record = rest;
        let sound = checksum == checksum_of(place, item);
        Some((place, sound.then_some(Kept::Here(Cow::Borrowed(item)))))
    })
}

fn checksum_of(place: u8, item: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[place]);
    hasher.update(item);
    hasher.finalize().to_le_bytes()
}

impl<'a> Block<'a> {
    /// What is sound in a record.
    pub(super) fn read(record: &'a [u8]) -> Self {
        let mut block = Self::default();
        for (place, item) in items(record) {
            block.items[usize::from(place)] = item;
        }
        block
    }

    pub(super) fn get(&self, place: u8) -> Option<&Kept<'a>> {
        self.items[usize::from(place)].as_ref()
    }

    /// Puts an item in. If it is a large one the bytes come back, for a record of their own.
    pub(super) fn put(&mut self, place: u8, item: Vec<u8>) -> Option<Vec<u8>> {
        let is_large = item.len() > SMALL_BYTES_MAX;
        let large = || Large { place, length: item.len() as u32, checksum: checksum_of(place, &item) };
        let (kept, rest) =
            if is_large { (Kept::Elsewhere(large()), Some(item)) } else { (Kept::Here(item.into()), None) };
        self.items[usize::from(place)] = Some(kept);
        rest
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, place: u8) -> Option<Kept<'a>> {
        self.items[usize::from(place)].take()
    }

    /// Which places are taken, a bit for each.
    pub(super) fn mask(&self) -> u16 {
        (0..BLOCK_IDS).filter(|&place| self.items[place].is_some()).fold(0, |mask, place| mask | 1 << place)
    }

    /// Its record, if there is anything to write.
    pub(super) fn record(&self) -> Option<Vec<u8>> {
        let length = |item: &Kept<'_>| HEAD_BYTES + if let Kept::Here(item) = item { item.len() } else { 0 };
        let mut record = Vec::with_capacity(self.items.iter().flatten().map(length).sum());
        for (place, item) in (0..).zip(&self.items) {
            match item {
                Some(Kept::Here(item)) => {
                    let length = item.len() as u32;
                    put_head(&mut record, place, Large { place, length, checksum: checksum_of(place, item) });
                    record.extend_from_slice(item);
                }
                Some(Kept::Elsewhere(large)) => put_head(&mut record, place | ELSEWHERE, *large),
                None => {}
            }
        }
        Some(record).filter(|record| !record.is_empty())
    }
}

fn put_head(record: &mut Vec<u8>, first: u8, item: Large) {
    record.push(first);
    record.extend_from_slice(&item.length.to_le_bytes());
    record.extend_from_slice(&item.checksum);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block<'static> {
        let mut block = Block::default();
        for (place, item) in [(15, &b"last"[..]), (0, b"first"), (7, b"")] {
            assert_eq!(block.put(place, item.to_vec()), None);
        }
        block
    }

    #[test]
    fn ids_have_a_block_and_a_place() {
        for id in [0, 1, 15, 16, 17, 1 << 40, u64::MAX] {
            assert_eq!(BlockId::of(ItemId(id)).id(place(ItemId(id))), ItemId(id));
        }
    }

    #[test]
    fn what_is_written_is_read_in_the_order_of_the_ids() {
        let record = block().record().unwrap();
        let here = |item: &'static [u8]| Some(Kept::Here(Cow::Borrowed(item)));
        let read: Vec<_> = items(&record).collect();
        assert_eq!(read, [(0, here(b"first")), (7, here(b"")), (15, here(b"last"))]);
        let mut again = Block::read(&record);
        assert_eq!((again.mask(), again.record().unwrap()), (0x8081, record.clone()));
        for place in [0, 7, 15] {
            assert!(again.remove(place).is_some());
        }
        assert_eq!((again.mask(), again.record()), (0, None));
    }

    #[test]
    fn a_large_item_is_elsewhere_and_its_block_knows_it() {
        let mut block = block();
        let large = vec![7; SMALL_BYTES_MAX + 1];
        assert_eq!(block.put(7, large.clone()), Some(large.clone()));
        let record = block.record().unwrap();
        assert!(record.len() < 100);
        let again = Block::read(&record);
        let Some(Kept::Elsewhere(known)) = again.get(7) else { panic!("{again:?}") };
        assert!(known.is(&large) && !known.is(&large[1..]) && !known.is(&vec![8; SMALL_BYTES_MAX + 1]));
    }

    /// One bad byte costs the item that it is in, or those behind it when it is in a length; it never makes another item of one.
    #[test]
    fn damage_makes_no_other_items() {
        let record = block().record().unwrap();
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut damaged = record.clone();
                damaged[at] ^= 1 << bit;
                let here = |(place, item)| match item {
                    Some(Kept::Here(item)) => Some((place, item.into_owned())),
                    // Nothing lies where this one is said to be.
                    Some(Kept::Elsewhere(_)) | None => None,
                };
                let sound: Vec<_> = items(&damaged).filter_map(here).collect();
                assert!(sound.len() < 3);
                assert!(sound.iter().all(|(place, item)| block().get(*place) == Some(&Kept::Here(item.into()))));
            }
            assert!(items(&record[..at]).all(|(place, item)| item.is_none() || block().get(place) == item.as_ref()));
        }
    }
}
