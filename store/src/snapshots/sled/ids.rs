//! Which items a generation holds: without this every removal of something that never was there would have to be asked of the disk. Ids come one
//! after the other, so 64 of them share a place: half a byte for an item in a long queue, 24 bytes for one that is left over alone.

use super::block::{BLOCK_IDS, BlockId};
use crate::snapshots::Part;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

#[derive(Debug, Default)]
pub(super) struct Ids {
    masks: HashMap<u64, [u64; 2], FixedState>,
}

/// Blocks that share a place.
const BLOCKS: u64 = 64 / BLOCK_IDS as u64;

impl Ids {
    /// Which ids of a block are there, a bit for each.
    pub(super) fn mask(&self, part: Part, block: BlockId) -> u16 {
        let mask = self.masks.get(&(block.0 / BLOCKS)).map_or(0, |masks| masks[part as usize]);
        (mask >> shift(block)) as u16
    }

    pub(super) fn set(&mut self, part: Part, block: BlockId, mask: u16) {
        let key = block.0 / BLOCKS;
        let shift = shift(block);
        let masks = self.masks.entry(key).or_default();
        let whole = &mut masks[part as usize];
        *whole = *whole & !(u64::from(u16::MAX) << shift) | u64::from(mask) << shift;
        if *masks == [0, 0] {
            self.masks.remove(&key);
        }
        if self.masks.capacity() > 4096 && self.masks.len() < self.masks.capacity() / 8 {
            self.masks.shrink_to(2 * self.masks.len());
        }
    }
}

/// Where the bits of a block begin.
fn shift(block: BlockId) -> u64 {
    block.0 % BLOCKS * BLOCK_IDS as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_parts_are_told_apart() {
        let mut ids = Ids::default();
        for block in [0, 1, 3, 4, 1 << 40] {
            ids.set(Part::First, BlockId(block), 0x8001);
        }
        ids.set(Part::Sends, BlockId(3), 1);
        ids.set(Part::First, BlockId(3), 0);
        let masks = |block| [ids.mask(Part::First, BlockId(block)), ids.mask(Part::Sends, BlockId(block))];
        assert_eq!([masks(0), masks(2), masks(3), masks(4)], [[0x8001, 0], [0, 0], [0, 1], [0x8001, 0]]);
        assert_eq!(masks(1 << 40), [0x8001, 0]);
        ids.set(Part::First, BlockId(4), 0);
        assert!(!ids.masks.contains_key(&1) && ids.masks.len() == 2, "what is empty takes no place");
    }
}
