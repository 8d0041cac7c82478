//! What a save does, block by block.

use super::PARTS;
use super::block::{self, Block, BlockId, Kept, RecordId};
use super::round::Edit;
use crate::Calendar;
use crate::codec;
use crate::snapshots::Part;
use answerback_broker::{Change, Item, ItemId, Progress};
use std::io;

/// Gives the bytes of a record, if there is one.
pub(super) type Look<'a> = dyn FnMut(Part, RecordId) -> io::Result<Option<Vec<u8>>> + 'a;

/// Records to write and to remove, in their order, and what that makes of the items.
#[derive(Debug, Default)]
pub(super) struct Plan {
    edits: Vec<(Part, RecordId, Option<Vec<u8>>)>,
    /// Which ids of the blocks are there afterwards.
    pub(super) masks: Vec<(Part, BlockId, u16)>,
    /// Items written.
    pub(super) puts: u64,
    /// Items removed.
    pub(super) removed: u64,
    /// Items of each part that are not what they were, or not there any more.
    pub(super) gone: [u64; 2],
    /// Items of each part that are there now, of those that were changed.
    pub(super) there: [u64; 2],
    /// One more than the greatest id of all that was put.
    pub(super) next_item: u64,
}

impl Plan {
    /// Reads what the changes touch, and says what is to be written. The last word on each item counts.
    pub(super) fn new(changes: &[Change], calendar: &Calendar, look: &mut Look<'_>) -> io::Result<Self> {
        let mut plan = Self::default();
        let mut order: Vec<&Change> = changes.iter().collect();
        order.sort_by_key(|change| id_of(change));
        for changes in order.chunk_by(|a, b| BlockId::of(id_of(a)) == BlockId::of(id_of(b))) {
            plan.block(changes, calendar, look)?;
        }
        Ok(plan)
    }

    fn block(&mut self, changes: &[&Change], calendar: &Calendar, look: &mut Look<'_>) -> io::Result<()> {
        let Some(block) = changes.first().map(|change| BlockId::of(id_of(change))) else { return Ok(()) };
        let records = [look(Part::First, block.record())?, look(Part::Sends, block.record())?];
        let read = |part: usize| Block::read(records[part].as_deref().unwrap_or_default());
        let mut now = Now { id: block, parts: [read(0), read(1)], large: Vec::new() };
        let before = now.masks();
        let mut touched = 0;
        for change in changes {
            touched |= 1 << block::place(id_of(change));
            now.apply(change, calendar, look)?;
        }
        let after = now.masks();
        for part in PARTS {
            let nth = part as usize;
            self.gone[nth] += u64::from((touched & before[nth]).count_ones());
            self.there[nth] += u64::from((touched & after[nth]).count_ones());
            if touched & (before[nth] | after[nth]) != 0 {
                self.edits.push((part, block.record(), now.parts[nth].record()));
                self.masks.push((part, block, after[nth]));
            }
        }
        now.large.sort_by_key(|(_, record, _)| *record);
        self.edits.append(&mut now.large);
        let (was, is) = (touched & (before[0] | before[1]), touched & (after[0] | after[1]));
        self.puts += u64::from(is.count_ones());
        self.removed += u64::from((was & !is).count_ones());
        let puts = changes.iter().filter(|change| matches!(change, Change::Put(..)));
        let next = puts.map(|change| id_of(change).0.saturating_add(1)).max();
        self.next_item = self.next_item.max(next.unwrap_or(0));
        Ok(())
    }

    pub(super) fn edits(&self) -> impl Iterator<Item = Edit<'_>> {
        self.edits.iter().map(|(part, record, bytes)| match bytes {
            Some(bytes) => Edit::Put(*part, *record, bytes),
            None => Edit::Remove(*part, *record),
        })
    }
}

/// A block of both parts, while changes are made to it.
struct Now<'a> {
    id: BlockId,
    parts: [Block<'a>; 2],
    /// What becomes of records of large items: the last word counts.
    large: Vec<(Part, RecordId, Option<Vec<u8>>)>,
}

impl Now<'_> {
    fn masks(&self) -> [u16; 2] {
        [self.parts[0].mask(), self.parts[1].mask()]
    }

    fn apply(&mut self, change: &Change, calendar: &Calendar, look: &mut Look<'_>) -> io::Result<()> {
        let place = block::place(id_of(change));
        match change {
            Change::Put(_, item) => self.put(place, item, calendar),
            Change::Progress(_, progress) => self.progress(place, *progress, calendar, look)?,
            Change::Gone(_) => self.remove(place),
        }
        Ok(())
    }

    fn put(&mut self, place: u8, item: &Item, calendar: &Calendar) {
        self.remove(place);
        let part = if Part::Sends.has(item) { Part::Sends } else { Part::First };
        let mut bytes = Vec::new();
        codec::encode(item, calendar, &mut bytes);
        if let Some(large) = self.parts[part as usize].put(place, bytes) {
            self.say_of_large(part, place, Some(large));
        }
    }

    fn remove(&mut self, place: u8) {
        for part in PARTS {
            if let Some(Kept::Elsewhere(_)) = self.parts[part as usize].remove(place) {
                self.say_of_large(part, place, None);
            }
        }
    }

    fn say_of_large(&mut self, part: Part, place: u8, bytes: Option<Vec<u8>>) {
        let record = self.id.large(place);
        self.large.retain(|(of, at, _)| (*of, *at) != (part, record));
        self.large.push((part, record, bytes));
    }

    /// An item that is there already, with its progress.
    fn progress(&mut self, place: u8, progress: Progress, calendar: &Calendar, look: &mut Look<'_>) -> io::Result<()> {
        for part in PARTS {
            let bytes = match self.parts[part as usize].get(place) {
                Some(Kept::Here(bytes)) => bytes.to_vec(),
                Some(Kept::Elsewhere(large)) => match self.large(part, place, look)?.filter(|bytes| large.is(bytes)) {
                    Some(bytes) => bytes,
                    None => continue,
                },
                None => continue,
            };
            if let Ok(Item::Request(mut request)) = codec::decode(&bytes, calendar) {
                request.progress = progress;
                self.put(place, &Item::Request(request), calendar);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The record of a large item, as it is to be or as it is.
    fn large(&self, part: Part, place: u8, look: &mut Look<'_>) -> io::Result<Option<Vec<u8>>> {
        let record = self.id.large(place);
        match self.large.iter().find(|(of, at, _)| (*of, *at) == (part, record)) {
            Some((.., bytes)) => Ok(bytes.clone()),
            None => look(part, record),
        }
    }
}

pub(super) fn id_of(change: &Change) -> ItemId {
    match change {
        Change::Put(id, _) | Change::Progress(id, _) | Change::Gone(id) => *id,
    }
}
