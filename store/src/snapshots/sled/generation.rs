//! One generation of snapshots: a sled database in a directory of its own.
//!
//! ```text
//!  key 0                              meta: round, next item, how many items of each part
//!  key 1 for the first part, 2 for    a record:
//!    sends, block (BE), 0               the items of a block, see `block.rs`
//!    sends, block (BE), 1 + place       a large item
//! ```
//!
//! sled is asked for nothing but batches, reading and flushing. It may panic on files that it does not
//! understand, so every call is made where that can be caught; after any error the database is opened anew, because it fails for good.

use super::block::{self, Block, BlockId, Kept, RecordId};
use super::files::sync_generation;
use super::round::{self, BATCH_CHANGES, Chunks, Edit};
use crate::snapshots::Part;
use answerback_broker::ItemId;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Bytes of pages that sled may keep in memory. A round touches what has changed, and a load reads everything once: neither gains from more.
const CACHE_BYTES: u64 = 16 << 20;

/// How often each record is looked at while all are read. sled adds up what its cache holds only after some 16,000 looks, whatever lies behind them:
/// 200 MB of records that are seen once. A look costs a microsecond.
const LOOKS: usize = 6;

const META: &[u8] = &[0];

/// Bytes of the key of a record.
const KEY_BYTES: usize = 10;

/// What is known of a generation as a whole. Written with every batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meta {
    pub(super) round: u64,
    pub(super) next_item: u64,
    /// Items of each part.
    pub(super) counts: [u64; 2],
}

pub(super) struct Generation {
    db: ::sled::Db,
    dir: PathBuf,
}

/// Takes the items that are read; nothing instead of one that is not sound.
pub(super) type EachItem<'a> = dyn FnMut(ItemId, Option<&[u8]>) -> ControlFlow<()> + 'a;

/// Takes the records that are read.
pub(super) type EachRecord<'a> = dyn FnMut(RecordId, &[u8]) -> ControlFlow<()> + 'a;

/// What reading a part has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Read {
    /// Records that were given out.
    pub(super) given: u64,
    /// Whether somebody said stop.
    pub(super) stopped: bool,
    /// Whether there were places that cannot be read.
    pub(super) has_holes: bool,
}

impl Generation {
    /// Opens the database in `dir`, or makes one.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let config = ::sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .mode(::sled::Mode::LowSpace)
            .flush_every_ms(None);
        let db = caught(|| config.open())?;
        let generation = Self { db, dir: dir.to_owned() };
        match generation.catch_up() {
            Ok(()) => Ok(generation),
            Err(error) => {
                generation.close();
                Err(error)
            }
        }
    }

    pub(super) fn meta(&self) -> io::Result<Option<Meta>> {
        let value = caught(|| self.db.get(META))?;
        Ok(value.and_then(|value| Meta::read(&value)))
    }

    pub(super) fn get(&self, part: Part, record: RecordId) -> io::Result<Option<Vec<u8>>> {
        let value = caught(|| self.db.get(key(part, record)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Does all edits of a round or none, and makes sure that it stays. sled's own flush was seen not to be enough when the power goes.
    pub(super) fn write<'a, E: Iterator<Item = Edit<'a>>>(&self, edits: impl Fn() -> E, meta: &Meta) -> io::Result<()> {
        let is_large = edits().nth(BATCH_CHANGES).is_some();
        if is_large {
            round::write_down(&self.dir, meta, edits())?;
        }
        let mut chunks = Chunks::default();
        for edit in edits() {
            chunks.add(edit, &mut |batch| self.fill(batch))?;
        }
        chunks.end(&mut |batch| self.end_round(batch, meta))?;
        if is_large { round::forget(&self.dir) } else { Ok(()) }
    }

    /// The last batch of a round: from here on it is there.
    fn end_round(&self, mut batch: Batch, meta: &Meta) -> io::Result<()> {
        batch.0.insert(META, meta.bytes());
        self.fill(batch)?;
        self.sync()
    }

    /// Does what is left of a round that was written down.
    fn catch_up(&self) -> io::Result<()> {
        let Some((meta, edits)) = round::written_down(&self.dir)? else { return Ok(()) };
        if self.meta()?.is_none_or(|now| now.round < meta.round) {
            round::apply(&edits, &mut |batch| self.fill(batch))?;
            self.end_round(Batch::default(), &meta)?;
        }
        round::forget(&self.dir)
    }

    /// Writes a piece of a generation that does not count yet: there is no meta in it.
    pub(super) fn fill(&self, batch: Batch) -> io::Result<()> {
        caught(|| self.db.apply_batch(batch.0))
    }

    fn sync(&self) -> io::Result<()> {
        caught(|| self.db.flush())?;
        sync_generation(&self.dir)
    }

    /// Gives out all items of a part in the order of their ids; nothing instead of one that is not sound.
    pub(super) fn read(&self, part: Part, each: &mut EachItem<'_>) -> io::Result<Read> {
        self.read_records(part, &mut |record, bytes| {
            if record.large.is_some() {
                // Its block has given it out.
                return ControlFlow::Continue(());
            }
            block::items(bytes).try_for_each(|(place, item)| self.give_out(part, record.block, place, item, each))
        })
    }

    fn give_out(
        &self,
        part: Part,
        block: BlockId,
        place: u8,
        item: Option<Kept<'_>>,
        each: &mut EachItem<'_>,
    ) -> ControlFlow<()> {
        match item {
            Some(Kept::Here(item)) => each(block.id(place), Some(&item)),
            Some(Kept::Elsewhere(large)) => {
                let item = self.get(part, block.large(place)).unwrap_or_default();
                each(block.id(place), item.as_deref().filter(|item| large.is(item)))
            }
            None => each(block.id(place), None),
        }
    }

    /// The items of a block that can be read.
    pub(super) fn sound<'b>(&self, part: Part, block: BlockId, record: &'b [u8]) -> Block<'b> {
        let mut sound = Block::read(record);
        for (place, item) in block::items(record) {
            if let Some(Kept::Elsewhere(large)) = item {
                let item = self.get(part, block.large(place)).unwrap_or_default();
                if !item.is_some_and(|item| large.is(&item)) {
                    sound.remove(place);
                }
            }
        }
        sound
    }

    /// Gives out all records of a part in their order.
    pub(super) fn read_records(&self, part: Part, each: &mut EachRecord<'_>) -> io::Result<Read> {
        let mut read = Read::default();
        let mut from = 0;
        let mut leap = 1_u64;
        loop {
            let before = read.given;
            let outcome = self.read_from(part, from, &mut read, each);
            match outcome {
                Ok(()) => return Ok(read),
                Err(block) => {
                    // Behind a page that cannot be read there may be others that can. How far it goes is not known.
                    read.has_holes = true;
                    leap = if read.given > before { 1 } else { leap.saturating_mul(2) };
                    let Some(further) = block.checked_add(leap) else { return Ok(read) };
                    from = further;
                }
            }
        }
    }

    /// The error is the block from which on nothing was read, or not all.
    fn read_from(&self, part: Part, from: u64, read: &mut Read, each: &mut EachRecord<'_>) -> Result<(), u64> {
        let range = key(part, BlockId(from).record()).to_vec()..vec![part_byte(part) + 1];
        let mut next = from;
        let mut values = catch_unwind(AssertUnwindSafe(|| self.db.range(range))).map_err(|_| next)?;
        loop {
            let value = caught(|| values.next().transpose()).map_err(|_| next)?;
            let Some((found, value)) = value else { return Ok(()) };
            let Some(record) = record_of(&found) else {
                read.has_holes = true;
                continue;
            };
            read.given += 1;
            for _ in 0..LOOKS {
                caught(|| self.db.contains_key(&found)).map_err(|_| next)?;
            }
            next = record.block.0;
            if each(record, &value).is_break() {
                read.stopped = true;
                return Ok(());
            }
        }
    }

    /// Ends it. What sled has to say about that does not matter any more: everything that counts was synced.
    pub(super) fn close(self) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.db)));
    }
}

/// Changes for one generation.
#[derive(Default)]
pub(super) struct Batch(::sled::Batch);

impl Batch {
    pub(super) fn put(&mut self, part: Part, record: RecordId, bytes: &[u8]) {
        self.0.insert(key(part, record).as_slice(), bytes);
    }

    pub(super) fn remove(&mut self, part: Part, record: RecordId) {
        self.0.remove(key(part, record).as_slice());
    }
}

impl Meta {
    /// Bytes of its numbers.
    pub(super) const BYTES: usize = 32;

    pub(super) fn numbers(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let numbers = [self.round, self.next_item, self.counts[0], self.counts[1]];
        for (place, number) in bytes.chunks_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_numbers(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks(8).map(|bytes| bytes.try_into().map(u64::from_le_bytes));
        let mut number = || numbers.next()?.ok();
        Some(Self { round: number()?, next_item: number()?, counts: [number()?, number()?] })
    }

    fn bytes(&self) -> Vec<u8> {
        let numbers = self.numbers();
        let mut bytes = crc32fast::hash(&numbers).to_le_bytes().to_vec();
        bytes.extend_from_slice(&numbers);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Self::from_numbers(sound(bytes)?)
    }
}

fn part_byte(part: Part) -> u8 {
    part as u8 + 1
}

fn key(part: Part, record: RecordId) -> [u8; KEY_BYTES] {
    let mut key = [part_byte(part); KEY_BYTES];
    key[1..9].copy_from_slice(&record.block.0.to_be_bytes());
    key[9] = record.large.map_or(0, |place| place + 1);
    key
}

fn record_of(key: &[u8]) -> Option<RecordId> {
    let [_, block @ .., kind] = *<&[u8; KEY_BYTES]>::try_from(key).ok()?;
    Some(RecordId { block: BlockId(u64::from_be_bytes(block)), large: kind.checked_sub(1) })
}

/// The meta without its checksum, if that fits.
fn sound(value: &[u8]) -> Option<&[u8]> {
    let (checksum, item) = value.split_first_chunk::<4>()?;
    (*checksum == crc32fast::hash(item).to_le_bytes()).then_some(item)
}

/// Calls sled where a panic is an error like any other.
fn caught<T>(call: impl FnOnce() -> ::sled::Result<T>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(io::Error::from),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            // Only the first line, and not raw: what sled says may quote what it has read.
            let line: String = text.lines().next().unwrap_or_default().chars().take(120).collect();
            Err(io::Error::other(format!("the database gave up: {}", line.escape_debug())))
        }
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Generation({})", self.dir.display())
    }
}
