//! Which items a generation holds: without this every removal of something that never was there would have to be asked of the disk. Ids come one
//! after the other, so 64 of them share a place: half a byte for an item in a long queue, 24 bytes for one that is left over alone.

use crate::snapshots::Part;
use answerback_broker::ItemId;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

#[derive(Debug, Default)]
pub(super) struct Ids {
    masks: HashMap<u64, [u64; 2], FixedState>,
}

impl Ids {
    pub(super) fn has(&self, part: Part, id: ItemId) -> bool {
        let mask = self.masks.get(&(id.0 >> 6)).map_or(0, |masks| masks[part as usize]);
        mask >> (id.0 & 63) & 1 == 1
    }

    pub(super) fn insert(&mut self, part: Part, id: ItemId) {
        let mask = &mut self.masks.entry(id.0 >> 6).or_default()[part as usize];
        *mask |= 1 << (id.0 & 63);
    }

    pub(super) fn remove(&mut self, part: Part, id: ItemId) {
        if let Some(masks) = self.masks.get_mut(&(id.0 >> 6)) {
            masks[part as usize] &= !(1 << (id.0 & 63));
            if *masks == [0, 0] {
                self.masks.remove(&(id.0 >> 6));
            }
        }
        if self.masks.capacity() > 4096 && self.masks.len() < self.masks.capacity() / 8 {
            self.masks.shrink_to(2 * self.masks.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let mut ids = Ids::default();
        for id in [0, 1, 63, 64, 1 << 40] {
            ids.insert(Part::First, ItemId(id));
            ids.insert(Part::First, ItemId(id));
        }
        ids.insert(Part::Sends, ItemId(63));
        ids.remove(Part::First, ItemId(63));
        ids.remove(Part::First, ItemId(62));
        assert!(
            ids.has(Part::Sends, ItemId(63)) && !ids.has(Part::First, ItemId(63)) && ids.has(Part::First, ItemId(64))
        );
        ids.remove(Part::Sends, ItemId(63));
        assert!(!ids.masks.contains_key(&2) && ids.has(Part::First, ItemId(1 << 40)));
    }
}
