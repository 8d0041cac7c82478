//! Snapshots in sled. Nothing of sled is seen outside this folder.
//!
//! | what | file |
//! |---|---|
//! | one database: keys, values, batches, panics that are caught | `generation.rs` |
//! | which items it holds | `ids.rs` |
//! | finding the one that counts, salvaging, looking | `recover.rs` |
//! | a round that is too large for one batch | `round.rs` |
//! | how much it must hold, said outside of it | `sum.rs` |
//! | files behind sled's back | `files.rs` |
//!
//! sled does not give space back, and takes a gigabyte of memory while a million items are removed. So when much is dead, what lives is written
//! into a fresh generation; `current` is swapped in one piece, and the old one is deleted.

mod files;
mod generation;
mod ids;
mod recover;
mod round;
mod sum;
#[cfg(test)]
mod tests;

use super::place::Looked;
use super::{Part, Renewal, SaveReport, Snapshots};
use crate::codec::{self, Decoder};
use crate::layout::Layout;
use crate::open::OpenError;
use crate::{Calendar, Finding};
use answerback_broker::{Change, Item, ItemId, Progress};
use files::{copy_generation, remove_generation};
use generation::{Generation, Meta};
use ids::Ids;
use round::{Chunks, Edit};
use std::collections::BTreeMap;
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

    fn has(&self, part: Part, id: ItemId) -> io::Result<bool> {
        match &self.open {
            _ if self.known[part as usize] => Ok(self.ids.has(part, id)),
            Some(generation) => generation.has(part, id),
            None => Ok(false),
        }
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
            for part in PARTS {
                if generation.has(part, *id)? { self.ids.insert(part, *id) } else { self.ids.remove(part, *id) }
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

    /// What is to be done, as bytes: the last word on each item counts.
    fn plan(&mut self, changes: &[Change]) -> io::Result<Plan> {
        let mut plan = Plan::default();
        for change in changes {
            match change {
                Change::Put(id, item) => {
                    let part = if Part::Sends.has(item) { Part::Sends } else { Part::First };
                    let mut bytes = Vec::new();
                    codec::encode(item, &self.calendar, &mut bytes);
                    plan.last.insert(*id, Some((part, bytes)));
                    plan.next_item = plan.next_item.max(id.0.saturating_add(1));
                }
                Change::Progress(id, progress) => {
                    if let Some((part, bytes)) = self.progressed(&plan, *id, *progress)? {
                        plan.last.insert(*id, Some((part, bytes)));
                    }
                }
                Change::Gone(id) => {
                    plan.last.insert(*id, None);
                }
            }
        }
        for (id, last) in &plan.last {
            for part in PARTS {
                if self.has(part, *id)? {
                    plan.replaced.push((part, *id));
                }
            }
            plan.puts += u64::from(last.is_some());
        }
        Ok(plan)
    }

    /// An item that is there already, with its progress.
    fn progressed(&self, plan: &Plan, id: ItemId, progress: Progress) -> io::Result<Option<(Part, Vec<u8>)>> {
        let mut found = plan.last.get(&id).cloned().flatten();
        if !plan.last.contains_key(&id)
            && let Some(generation) = &self.open
        {
            for part in PARTS {
                if self.has(part, id)?
                    && let Some(bytes) = generation.get(part, id)?
                {
                    found = Some((part, bytes));
                }
            }
        }
        let Some((part, bytes)) = found else { return Ok(None) };
        let Ok(Item::Request(mut request)) = codec::decode(&bytes, &self.calendar) else { return Ok(None) };
        request.progress = progress;
        let mut bytes = Vec::new();
        codec::encode(&Item::Request(request), &self.calendar, &mut bytes);
        Ok(Some((part, bytes)))
    }

    fn try_save(&mut self, changes: &[Change]) -> io::Result<SaveReport> {
        let has_puts = changes.iter().any(|change| matches!(change, Change::Put(..)));
        if self.current.is_none() && !has_puts {
            return Ok(SaveReport::default());
        }
        self.ready()?;
        let plan = self.plan(changes)?;
        let meta = self.meta_after(&plan);
        let gone = plan.replaced.len() as u64;
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
        plan.replaced.iter().for_each(|(part, id)| self.ids.remove(*part, *id));
        plan.puts().for_each(|(part, id, _)| self.ids.insert(part, id));
        let removed = plan.last.len() as u64 - plan.puts;
        Ok(SaveReport { put: plan.puts, removed: removed.min(gone), items: self.count(), renewed })
    }

    fn meta_after(&self, plan: &Plan) -> Meta {
        let mut meta = self.meta;
        meta.round += 1;
        meta.next_item = meta.next_item.max(plan.next_item);
        for (part, _) in &plan.replaced {
            meta.counts[*part as usize] = meta.counts[*part as usize].saturating_sub(1);
        }
        for (part, ..) in plan.puts() {
            meta.counts[part as usize] += 1;
        }
        meta
    }

    /// Writes what lives after `plan` into a fresh generation.
    fn rewrite(&mut self, plan: &Plan, meta: Meta) -> io::Result<()> {
        let Some(old) = self.open.take() else { return Err(io::ErrorKind::NotFound.into()) };
        let filled = self.make(
            &mut |fresh| {
                for part in PARTS {
                    let mut filling = Filling::new(fresh);
                    old.read(part, &mut |id, bytes| match bytes {
                        Some(bytes) if !plan.last.contains_key(&id) => filling.put(part, id, bytes),
                        _ => ControlFlow::Continue(()),
                    })?;
                    for (_, id, bytes) in plan.puts().filter(|(of, ..)| *of == part) {
                        let _ = filling.put(part, id, bytes);
                    }
                    filling.end()?;
                }
                Ok(())
            },
            meta,
        );
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

    /// After an error sled is not to be used any more: it would fail for good.
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
                let removes = || seen.unreadable.iter().map(|id| Edit::Remove(part, *id));
                generation.write(removes, &self.meta)?;
                self.note(&self.meta)
            }
            None => Ok(()),
        }
    }
}

fn id_of(change: &Change) -> ItemId {
    match change {
        Change::Put(id, _) | Change::Progress(id, _) | Change::Gone(id) => *id,
    }
}

/// What a save does.
#[derive(Debug, Default)]
struct Plan {
    /// What is to be there of each item.
    last: BTreeMap<ItemId, Option<(Part, Vec<u8>)>>,
    /// What is there of them now.
    replaced: Vec<(Part, ItemId)>,
    puts: u64,
    next_item: u64,
}

impl Plan {
    fn edits(&self) -> impl Iterator<Item = Edit<'_>> {
        let stays = |part: Part, id: ItemId| {
            self.last.get(&id).is_some_and(|last| last.as_ref().is_some_and(|(now, _)| *now == part))
        };
        let removes = self.replaced.iter().filter(move |(part, id)| !stays(*part, *id));
        let removes = removes.map(|(part, id)| Edit::Remove(*part, *id));
        removes.chain(self.puts().map(|(part, id, bytes)| Edit::Put(part, id, bytes)))
    }

    fn puts(&self) -> impl Iterator<Item = (Part, ItemId, &[u8])> {
        self.last.iter().filter_map(|(id, last)| last.as_ref().map(|(part, bytes)| (*part, *id, bytes.as_slice())))
    }
}

/// Fills a fresh generation in batches of a size that sled takes lightly.
struct Filling<'a> {
    fresh: &'a Generation,
    chunks: Chunks,
    outcome: io::Result<()>,
}

impl<'a> Filling<'a> {
    fn new(fresh: &'a Generation) -> Self {
        Self { fresh, chunks: Chunks::default(), outcome: Ok(()) }
    }

    fn put(&mut self, part: Part, id: ItemId, bytes: &[u8]) -> ControlFlow<()> {
        if self.outcome.is_ok() {
            self.outcome = self.chunks.add(Edit::Put(part, id, bytes), &mut |batch| self.fresh.fill(batch));
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
            ids.insert(part, id);
            each(id, item)
        })?;
        if stopped {
            return Ok(Vec::new());
        }
        self.known[part as usize] = true;
        let dir = self.layout.generation(number);
        let Some(mut finding) = recover::judge(&dir, part, &self.meta, &seen) else { return Ok(Vec::new()) };
        if let Err(error) = self.take_out(part, &seen, &mut finding) {
            finding.not_aside = Some(error.to_string());
        }
        Ok(vec![finding])
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
