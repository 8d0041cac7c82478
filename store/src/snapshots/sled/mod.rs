//! Snapshots in sled. Nothing of sled is seen outside this folder.
//!
//! | what | file |
//! |---|---|
//! | one database: keys, values, batches, panics that are caught | `generation.rs` |
//! | how items share records of it | `block.rs` |
//! | what a save does, block by block | `plan.rs` |
//! | which items it holds | `ids.rs` |
//! | finding the one that counts, salvaging, looking | `recover.rs` |
//! | a round that is too large for one batch | `round.rs` |
//! | how much it must hold, said outside of it | `sum.rs` |
//! | files behind sled's back | `files.rs` |
//!
//! sled does not give space back, and takes a gigabyte of memory while a million items are removed. So when much is dead, what lives is written
//! into a fresh generation; `current` is swapped in one piece, and the old one is deleted.

mod block;
mod files;
mod generation;
mod ids;
mod plan;
mod recover;
mod round;
mod sum;
#[cfg(test)]
mod tests;

use super::place::Looked;
use super::{Part, Renewal, SaveReport, Snapshots};
use crate::codec::Decoder;
use crate::layout::Layout;
use crate::open::OpenError;
use crate::{Calendar, Finding};
use answerback_broker::{Change, Item, ItemId};
use block::{Block, BlockId, RecordId};
use files::{copy_generation, remove_generation};
use generation::{Generation, Meta};
use ids::Ids;
use plan::{Plan, id_of};
use round::{Chunks, Edit};
use std::borrow::Cow;
use std::io;
use std::ops::ControlFlow;

/// Items that may be dead before a fresh generation is worth it, however few live. 10,000 of 200 bytes are some 8 MB on disk, and writing as many
/// anew takes a few hundredths of a second.
const DEAD_MAX: u64 = 10_000;

/// The same when nothing lives at all: writing nothing costs nothing but syncs.
const DEAD_MAX_IF_EMPTY: u64 = 1_000;

/// A save that changes at least so many items, and more than it leaves alone, writes a fresh generation instead: that is less to write, and what was
/// removed leaves no traces.
const MASS_CHANGE: u64 = 10_000;

const PARTS: [Part; 2] = [Part::First, Part::Sends];

/// Snapshots in sled.
#[derive(Debug)]
pub struct SledSnapshots {
    layout: Layout,
    calendar: Calendar,
    /// Nothing before the first save that has something to put, and after an error until the next try.
    open: Option<Generation>,
    /// Which generation counts.
    current: Option<u64>,
    next: u64,
    /// Whether `current` may name a generation that was not finished.
    is_unsure: bool,
    meta: Meta,
    ids: Ids,
    /// Which parts have been loaded to their end, so that all their ids are known.
    known: [bool; 2],
    /// Items removed or replaced since the generation was begun.
    dead: u64,
    /// Items of saves that failed: whether they are there nobody knows before it is opened again.
    doubtful: Vec<ItemId>,
}

impl SledSnapshots {
    pub(super) fn open(layout: Layout, calendar: Calendar) -> Result<(Self, Vec<Finding>), OpenError> {
        let recovered = recover::recover(&layout, calendar)?;
        let mut snapshots = Self {
            layout,
            calendar,
            open: None,
            current: None,
            next: recovered.next,
            is_unsure: false,
            meta: Meta { next_item: recovered.next_item, ..Meta::default() },
            ids: Ids::default(),
            known: [true, true],
            dead: 0,
            doubtful: Vec::new(),
        };
        if let Some((number, generation, meta)) = recovered.generation {
            (snapshots.open, snapshots.current) = (Some(generation), Some(number));
            (snapshots.meta, snapshots.known) = (meta, [false, false]);
        }
        Ok((snapshots, recovered.findings))
    }

    /// The generation to write into: opened anew after an error, made if there is none.
    fn ready(&mut self) -> io::Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        if self.is_unsure {
            match self.current {
                Some(number) => self.layout.write_current(number)?,
                None => self.layout.remove_current()?,
            }
            self.is_unsure = false;
        }
        if let Some(number) = self.current {
            let (number, generation) = recover::reopen(&self.layout, number, self.next)?;
            self.next = self.next.max(number + 1);
            self.resolve(&generation)?;
            (self.open, self.current) = (Some(generation), Some(number));
            return Ok(());
        }
        self.make(&mut |_| Ok(()), Meta { round: 0, ..self.meta })
    }

    /// A round that failed may have been done to its end after all: then its number is not given again, and its items count.
    fn resolve(&mut self, generation: &Generation) -> io::Result<()> {
        self.meta = generation.meta()?.unwrap_or(self.meta);
        for id in &self.doubtful {
            let block = BlockId::of(*id);
            for part in PARTS {
                let record = generation.get(part, block.record())?;
                self.ids.set(part, block, record.map_or(0, |record| Block::read(&record).mask()));
            }
        }
        self.doubtful.clear();
        Ok(())
    }

    /// Makes a generation, fills it and lets it count from then on.
    fn make(&mut self, fill: &mut dyn FnMut(&Generation) -> io::Result<()>, meta: Meta) -> io::Result<()> {
        let number = self.next;
        let dir = self.layout.generation(number);
        remove_generation(&dir)?;
        let generation = Generation::open(&dir)?;
        let filled = fill(&generation).and_then(|()| generation.write(std::iter::empty, &meta));
        let filled = filled.and_then(|()| self.layout.disk.sync_dir(&self.layout.path));
        let filled = filled.and_then(|()| sum::write(&self.layout, number, &meta));
        if let Err(error) = filled.and_then(|()| self.layout.write_current(number)) {
            generation.close();
            // Whether `current` names it already is not known after an error. It is set right before anything else is saved, and the number is not
            // used again.
            (self.next, self.is_unsure) = (number + 1, true);
            return Err(error);
        }
        if let Some(old) = self.open.replace(generation) {
            old.close();
        }
        if let Some(old) = self.current.replace(number) {
            // If that fails, the next start removes it.
            let _ = remove_generation(&self.layout.generation(old));
            let _ = sum::forget_others(&self.layout, Some(number));
        }
        (self.next, self.meta, self.dead) = (number + 1, meta, 0);
        Ok(())
    }

    fn plan(&self, changes: &[Change]) -> io::Result<Plan> {
        Plan::new(changes, &self.calendar, &mut |part, record| match &self.open {
            _ if self.known[part as usize] && self.ids.mask(part, record.block) == 0 => Ok(None),
            Some(generation) => generation.get(part, record),
            None => Ok(None),
        })
    }

    fn try_save(&mut self, changes: &[Change]) -> io::Result<SaveReport> {
        let has_puts = changes.iter().any(|change| matches!(change, Change::Put(..)));
        if self.current.is_none() && !has_puts {
            return Ok(SaveReport::default());
        }
        self.ready()?;
        let plan = self.plan(changes)?;
        let meta = self.meta_after(&plan);
        let gone = plan.gone[0] + plan.gone[1];
        let changed = gone + plan.puts;
        let renewed = changed >= MASS_CHANGE && changed >= self.count().saturating_sub(gone);
        if renewed {
            self.rewrite(&plan, meta)?;
        } else if let Some(generation) = &self.open {
            generation.write(|| plan.edits(), &meta)?;
            self.note(&meta)?;
        }
        self.meta = meta;
        self.dead = if renewed { 0 } else { self.dead + gone };
        plan.masks.iter().for_each(|(part, block, mask)| self.ids.set(*part, *block, *mask));
        Ok(SaveReport { put: plan.puts, removed: plan.removed, items: self.count(), renewed })
    }

    fn meta_after(&self, plan: &Plan) -> Meta {
        let mut meta = self.meta;
        meta.round += 1;
        meta.next_item = meta.next_item.max(plan.next_item);
        for part in [0, 1] {
            meta.counts[part] = meta.counts[part].saturating_sub(plan.gone[part]) + plan.there[part];
        }
        meta
    }

    /// Writes what lives after `plan` into a fresh generation.
    fn rewrite(&mut self, plan: &Plan, meta: Meta) -> io::Result<()> {
        let Some(old) = self.open.take() else { return Err(io::ErrorKind::NotFound.into()) };
        let filled =
            self.make(&mut |fresh| PARTS.into_iter().try_for_each(|part| merge(&old, part, plan, fresh)), meta);
        old.close();
        filled
    }

    fn note(&self, meta: &Meta) -> io::Result<()> {
        self.current.map_or(Ok(()), |number| sum::write(&self.layout, number, meta))
    }

    /// Items that are there.
    fn count(&self) -> u64 {
        self.meta.counts[0] + self.meta.counts[1]
    }

    /// Closes the database until it is needed. After an error it must be: sled would fail for good.
    fn give_up(&mut self) {
        if let Some(generation) = self.open.take() {
            generation.close();
        }
    }

    /// A copy of the generation is set aside once, then what makes no sense is taken out of it.
    fn take_out(&mut self, part: Part, seen: &recover::Seen, finding: &mut Finding) -> io::Result<()> {
        let Some(number) = self.current else { return Ok(()) };
        let dir = self.layout.generation(number);
        let aside = self.layout.aside(&dir, &self.calendar)?;
        copy_generation(&dir, &aside, &|_| false)?;
        finding.aside = Some(aside);
        self.meta.counts[part as usize] = seen.items;
        self.meta.round += 1;
        match &self.open {
            Some(_) if seen.has_holes => self.rewrite(&Plan::default(), self.meta),
            Some(generation) => {
                let removes: Vec<_> = seen.unreadable.iter().map(|id| Change::Gone(*id)).collect();
                let plan = self.plan(&removes)?;
                generation.write(|| plan.edits(), &self.meta)?;
                self.note(&self.meta)
            }
            None => Ok(()),
        }
    }
}

/// Writes a part as it is after `plan` into a fresh generation.
fn merge(old: &Generation, part: Part, plan: &Plan, fresh: &Generation) -> io::Result<()> {
    let mut filling = Filling::new(fresh, part);
    let mut edits = plan.edits().filter(|edit| edit.part() == part).peekable();
    old.read_records(part, &mut |record, bytes| {
        while let Some(edit) = edits.next_if(|edit| edit.record() < record) {
            filling.edit(edit)?;
        }
        match edits.next_if(|edit| edit.record() == record) {
            Some(edit) => filling.edit(edit),
            None => filling.copy(old, record, bytes),
        }
    })?;
    let _ = edits.try_for_each(|edit| filling.edit(edit));
    filling.end()
}

/// Fills a part of a fresh generation in batches of a size that sled takes lightly.
struct Filling<'a> {
    fresh: &'a Generation,
    part: Part,
    chunks: Chunks,
    outcome: io::Result<()>,
}

impl<'a> Filling<'a> {
    fn new(fresh: &'a Generation, part: Part) -> Self {
        Self { fresh, part, chunks: Chunks::default(), outcome: Ok(()) }
    }

    /// What is sound of a record of another generation.
    fn copy(&mut self, old: &Generation, record: RecordId, bytes: &[u8]) -> ControlFlow<()> {
        let sound = match record.large {
            Some(_) => Some(Cow::Borrowed(bytes)),
            None => old.sound(self.part, record.block, bytes).record().map(Cow::Owned),
        };
        sound.map_or(ControlFlow::Continue(()), |sound| self.edit(Edit::Put(self.part, record, &sound)))
    }

    fn edit(&mut self, edit: Edit<'_>) -> ControlFlow<()> {
        if self.outcome.is_ok() && matches!(edit, Edit::Put(..)) {
            self.outcome = self.chunks.add(edit, &mut |batch| self.fresh.fill(batch));
        }
        if self.outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn end(self) -> io::Result<()> {
        self.outcome?;
        self.chunks.end(&mut |batch| self.fresh.fill(batch))
    }
}

pub(super) fn look(
    layout: &Layout,
    calendar: Calendar,
    each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>,
) -> Result<Looked, OpenError> {
    recover::look(layout, calendar, each)
}

impl Snapshots for SledSnapshots {
    fn load(&mut self, part: Part, each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>) -> io::Result<Vec<Finding>> {
        if self.current.is_some() {
            self.ready()?;
        }
        let (Some(generation), Some(number)) = (&self.open, self.current) else { return Ok(Vec::new()) };
        let mut decoder = Decoder::new(self.calendar);
        let ids = &mut self.ids;
        let (seen, stopped) = recover::show(generation, part, &mut decoder, &mut |id, item| {
            let block = BlockId::of(id);
            ids.set(part, block, ids.mask(part, block) | 1 << block::place(id));
            each(id, item)
        })?;
        if stopped {
            return Ok(Vec::new());
        }
        self.known[part as usize] = true;
        let dir = self.layout.generation(number);
        let found = recover::judge(&dir, part, &self.meta, &seen).map(|mut finding| {
            if let Err(error) = self.take_out(part, &seen, &mut finding) {
                finding.not_aside = Some(error.to_string());
            }
            finding
        });
        if self.known == [true, true] {
            // The next save opens it again. Until then what it keeps in memory, some 60 MB of a million items, serves nobody.
            self.give_up();
        }
        Ok(found.into_iter().collect())
    }

    fn save(&mut self, changes: &[Change]) -> io::Result<SaveReport> {
        let saved = self.try_save(changes);
        if saved.is_err() {
            self.doubtful = changes.iter().map(id_of).collect();
            self.give_up();
        }
        saved
    }

    fn renew(&mut self) -> io::Result<Option<Renewal>> {
        let is_empty = self.count() == 0;
        if self.dead <= if is_empty { DEAD_MAX_IF_EMPTY } else { self.count().max(DEAD_MAX) } {
            return Ok(None);
        }
        let meta = self.meta;
        let renewed = self.ready().and_then(|()| self.rewrite(&Plan::default(), meta));
        if renewed.is_err() {
            self.give_up();
        }
        renewed?;
        Ok(Some(Renewal { generation: self.current.unwrap_or(0), items: self.count() }))
    }

    fn next_item(&self) -> u64 {
        self.meta.next_item
    }
}

impl Drop for SledSnapshots {
    fn drop(&mut self) {
        self.give_up();
    }
}
