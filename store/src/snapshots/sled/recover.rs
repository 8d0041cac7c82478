//! Finding the generation that counts, whatever has become of it.

use super::files::{copy_generation, is_held, remove_generation};
use super::generation::{Generation, Meta};
use super::{Filling, round, sum};
use crate::codec::Decoder;
use crate::layout::Layout;
use crate::open::{OpenError, failed};
use crate::snapshots::Part;
use crate::snapshots::place::Looked;
use crate::{Calendar, Finding, FindingKind};
use answerback_broker::{Item, ItemId};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) generation: Option<(u64, Generation, Meta)>,
    /// The number of the next one.
    pub(super) next: u64,
    /// Greater than every id in a generation that is lost as a whole.
    pub(super) next_item: u64,
    pub(super) findings: Vec<Finding>,
}

/// Which generation counts.
struct Which {
    number: Option<u64>,
    /// All that are there.
    there: Vec<u64>,
    findings: Vec<Finding>,
    /// What the note says of one that is not there.
    missing: Option<Meta>,
}

/// Which generation counts, and what is wrong with the note that says so.
fn which(layout: &Layout) -> Result<Which, OpenError> {
    let at = &layout.path;
    let there = layout.generations().map_err(failed("list", at))?;
    let said = layout.current().map_err(failed("read", &layout.current_path()))?;
    let greatest = there.last().copied();
    let small = |what| Finding::new(FindingKind::SmallFile { what }, layout.current_path());
    let mut missing = None;
    let (number, findings) = match said {
        Ok(Some(number)) if there.contains(&number) => (Some(number), Vec::new()),
        Ok(Some(number)) => {
            let (sum, _) = sum::read(layout, number).map_err(failed("read notes in", at))?;
            let held = sum.map_or(String::new(), |sum| format!(" with its {} items", items(&sum)));
            let what = format!("it names generation {number}, which is not there{held}");
            missing = sum;
            (greatest, vec![Finding::new(FindingKind::NoGeneration { what }, layout.current_path())])
        }
        // The first generation is made before the note is.
        Ok(None) => (greatest, Vec::new()),
        Err(what) => (greatest, vec![small(what)]),
    };
    Ok(Which { number, there, findings, missing })
}

/// Opens the generation that counts, or what can be salvaged of it.
pub(super) fn recover(layout: &Layout, calendar: Calendar) -> Result<Recovered, OpenError> {
    let Which { number, there, findings, missing } = which(layout)?;
    let next = there.last().map_or(1, |last| last + 1);
    let next_item = missing.map_or(0, |sum| sum.next_item);
    let mut recovered = Recovered { next, next_item, findings, ..Recovered::default() };
    if let Some(number) = number {
        recovered.open(layout, calendar, number).map_err(failed("recover", &layout.generation(number)))?;
    }
    let kept = recovered.generation.as_ref().map(|(number, ..)| *number);
    for other in layout.generations().map_err(failed("list", &layout.path))? {
        if Some(other) != kept {
            let dir = layout.generation(other);
            remove_generation(&dir).map_err(failed("remove", &dir))?;
        }
    }
    sum::forget_others(layout, kept).map_err(failed("remove notes in", &layout.path))?;
    Ok(recovered)
}

impl Recovered {
    fn open(&mut self, layout: &Layout, calendar: Calendar, number: u64) -> io::Result<()> {
        let dir = layout.generation(number);
        let said = layout.current()?;
        if is_held(&dir) {
            // By an earlier life in this same process: no other one can be here.
            let (number, generation) = reopen(layout, number, self.next)?;
            let meta = generation.meta()?.unwrap_or_default();
            self.next = self.next.max(number + 1);
            self.generation = Some((number, generation, meta));
            return Ok(());
        }
        let (sum, damaged) = sum::read(layout, number)?;
        self.findings.extend(damaged);
        let what = match open_all(&dir, sum.as_ref()) {
            Ok((generation, meta)) => {
                if sum != Some(meta) {
                    sum::write(layout, number, &meta)?;
                }
                self.generation = Some((number, generation, meta));
                // The note was missing or damaged, or names another one.
                if said != Ok(Some(number)) {
                    layout.write_current(number)?;
                }
                return Ok(());
            }
            // It was being made when the power went: the note comes last.
            Err(_) if said == Ok(None) && sum.is_none() => return Ok(()),
            Err(what) => what,
        };
        let aside = layout.aside(&dir, &calendar)?;
        layout.disk.rename(&dir, &aside)?;
        layout.disk.sync_dir(&layout.path)?;
        let counts = self.salvage(layout, &aside, sum.as_ref())?;
        let (salvaged, lost) = (counts[0] + counts[1], sum::lost(counts, sum.as_ref()));
        let kind = FindingKind::BrokenGeneration { salvaged, lost, what };
        self.findings.push(Finding { aside: Some(aside), ..Finding::new(kind, dir) });
        Ok(())
    }

    /// Tries again, with sled's own summaries and without them, when it reads its whole log. What holds more goes on as a fresh generation.
    fn salvage(&mut self, layout: &Layout, aside: &Path, sum: Option<&Meta>) -> io::Result<[u64; 2]> {
        let mut best: Option<(u64, Generation, Meta)> = None;
        for with_summaries in [false, true] {
            let number = self.next;
            self.next += 1;
            let Some((generation, meta)) = attempt(&layout.generation(number), aside, with_summaries)? else {
                continue;
            };
            let tried = (number, generation, meta);
            let (better, worse) = match best.take() {
                Some(old) if items(&old.2) >= items(&tried.2) => (old, Some(tried)),
                old => (tried, old),
            };
            best = Some(better);
            if let Some((number, generation, _)) = worse {
                generation.close();
                remove_generation(&layout.generation(number))?;
            }
        }
        let Some((number, broken, mut meta)) = best else {
            layout.remove_current()?;
            self.next_item = sum.map_or(0, |sum| sum.next_item);
            return Ok([0, 0]);
        };
        let sum = sum.copied().unwrap_or_default();
        // No id of what is lost is given again, and what is there now is newer than what was.
        (meta.round, meta.next_item) = (meta.round.max(sum.round) + 1, meta.next_item.max(sum.next_item));
        let generation = self.save_from(&broken, layout, &mut meta);
        broken.close();
        remove_generation(&layout.generation(number))?;
        let counts = meta.counts;
        self.generation = Some((self.next, generation?, meta));
        self.next += 1;
        Ok(counts)
    }

    /// Writes what can be read into a fresh generation: one that was damaged may fail at any later call.
    fn save_from(&self, broken: &Generation, layout: &Layout, meta: &mut Meta) -> io::Result<Generation> {
        let dir = layout.generation(self.next);
        remove_generation(&dir)?;
        let fresh = Generation::open(&dir)?;
        meta.counts = [0, 0];
        for part in [Part::First, Part::Sends] {
            let mut filling = Filling::new(&fresh, part);
            broken.read_records(part, &mut |record, bytes| {
                if record.large.is_none() {
                    meta.counts[part as usize] +=
                        u64::from(broken.sound(part, record.block, bytes).mask().count_ones());
                }
                filling.copy(broken, record, bytes)
            })?;
            filling.end()?;
        }
        fresh.write(std::iter::empty, meta)?;
        layout.disk.sync_dir(&layout.path)?;
        sum::write(layout, self.next, meta)?;
        layout.write_current(self.next)?;
        Ok(fresh)
    }
}

/// Opens a copy of a broken generation in `dir` and counts what can be read of it.
fn attempt(dir: &Path, aside: &Path, with_summaries: bool) -> io::Result<Option<(Generation, Meta)>> {
    // A round that was written down and cannot be read must not keep the rest from being read.
    let has_round = round::written_down(aside).is_ok();
    let leave_out = |name: &str| match name {
        // sled's own settings are the same for every generation, so it writes them anew.
        "conf" => true,
        _ => !with_summaries && name.starts_with("snap.") || !has_round && name.starts_with("round"),
    };
    remove_generation(dir)?;
    copy_generation(aside, dir, &leave_out)?;
    let Ok(generation) = Generation::open(dir) else {
        remove_generation(dir)?;
        return Ok(None);
    };
    let mut meta = generation.meta().ok().flatten().unwrap_or_default();
    meta.counts = [0, 0];
    for part in [Part::First, Part::Sends] {
        generation.read(part, &mut |id, bytes| {
            meta.counts[part as usize] += u64::from(bytes.is_some());
            meta.next_item = meta.next_item.max(id.0.saturating_add(1));
            ControlFlow::Continue(())
        })?;
    }
    Ok(Some((generation, meta)))
}

fn items(meta: &Meta) -> u64 {
    meta.counts[0] + meta.counts[1]
}

/// Opens a generation again after an error. sled may never give back its lock on the files after one; then a copy takes their place.
pub(super) fn reopen(layout: &Layout, number: u64, next: u64) -> io::Result<(u64, Generation)> {
    let dir = layout.generation(number);
    if !is_held(&dir) {
        return Ok((number, Generation::open(&dir)?));
    }
    let copy = layout.generation(next);
    remove_generation(&copy)?;
    copy_generation(&dir, &copy, &|_| false)?;
    let generation = Generation::open(&copy)?;
    if let Some(meta) = generation.meta()? {
        sum::write(layout, next, &meta)?;
    }
    layout.write_current(next)?;
    let _ = remove_generation(&dir);
    Ok((next, generation))
}

/// Opens a generation that was finished and holds all that was saved; the error is a text.
fn open_all(dir: &Path, sum: Option<&Meta>) -> Result<(Generation, Meta), String> {
    let (generation, meta) = open_whole(dir)?;
    match sum::behind(&meta, sum) {
        None => Ok((generation, meta)),
        Some(what) => {
            generation.close();
            Err(what)
        }
    }
}

/// Opens a generation that was finished; the error is a text.
fn open_whole(dir: &Path) -> Result<(Generation, Meta), String> {
    let generation = Generation::open(dir).map_err(|error| error.to_string())?;
    match generation.meta() {
        Ok(Some(meta)) => Ok((generation, meta)),
        Ok(None) => {
            generation.close();
            Err("its first record is missing".to_owned())
        }
        Err(error) => {
            generation.close();
            Err(error.to_string())
        }
    }
}

/// Shows all items. sled cannot open without writing, so it gets a copy, which goes again.
pub(super) fn look(
    layout: &Layout,
    calendar: Calendar,
    each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>,
) -> Result<Looked, OpenError> {
    let Which { number, findings, .. } = which(layout)?;
    let mut looked = Looked { findings, next_item: 0 };
    let Some(number) = number else { return Ok(looked) };
    let dir = layout.generation(number);
    let copy = Copy::new();
    copy_generation(&dir, &copy.0, &|_| false).map_err(failed("copy", &dir))?;
    let (sum, damaged) = sum::read(layout, number).map_err(failed("read the sum of", &dir))?;
    looked.findings.extend(damaged);
    let (generation, meta) = match open_whole(&copy.0) {
        Ok(whole) => whole,
        Err(_) if sum.is_none() && layout.current().ok() == Some(Ok(None)) => return Ok(looked),
        Err(what) => {
            looked.findings.push(broken(&dir, 0, sum::lost([0, 0], sum.as_ref()), what));
            return Ok(looked);
        }
    };
    looked.next_item = meta.next_item.max(sum.map_or(0, |sum| sum.next_item));
    let mut counts = [0, 0];
    let mut decoder = Decoder::new(calendar);
    for part in [Part::First, Part::Sends] {
        let (seen, stopped) = show(&generation, part, &mut decoder, each).map_err(failed("read", &dir))?;
        if stopped {
            generation.close();
            return Ok(looked);
        }
        looked.findings.extend(judge(&dir, part, &meta, &seen));
        counts[part as usize] = seen.items + seen.unreadable.len() as u64;
    }
    generation.close();
    let behind = sum::behind(&meta, sum.as_ref());
    let lost = sum::lost(counts, sum.as_ref());
    looked.findings.extend(behind.map(|what| broken(&dir, counts[0] + counts[1], lost, what)));
    Ok(looked)
}

/// What was seen of a part.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) items: u64,
    /// Items that are there but make no sense.
    pub(super) unreadable: Vec<ItemId>,
    pub(super) has_holes: bool,
}

/// Gives out the items of a part; says what was seen and whether somebody said stop.
pub(super) fn show(
    generation: &Generation,
    part: Part,
    decoder: &mut Decoder,
    each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>,
) -> io::Result<(Seen, bool)> {
    let mut seen = Seen::default();
    let read = generation.read(part, &mut |id, bytes| match bytes.map(|bytes| decoder.decode(bytes)) {
        Some(Ok(item)) => {
            seen.items += 1;
            each(id, item)
        }
        _ => {
            seen.unreadable.push(id);
            ControlFlow::Continue(())
        }
    })?;
    seen.has_holes = read.has_holes;
    Ok((seen, read.stopped))
}

/// What is wrong with a part that was read to its end.
pub(super) fn judge(dir: &Path, part: Part, meta: &Meta, seen: &Seen) -> Option<Finding> {
    let unreadable = seen.unreadable.len() as u64;
    let missing = meta.counts[part as usize].saturating_sub(seen.items + unreadable);
    if missing > 0 || seen.has_holes {
        let what = "pages of it cannot be read".to_owned();
        return Some(broken(dir, seen.items, Some(missing + unreadable), what));
    }
    let kind = FindingKind::UnreadableItems { items: unreadable };
    (unreadable > 0).then(|| Finding::new(kind, dir))
}

fn broken(dir: &Path, salvaged: u64, lost: Option<u64>, what: String) -> Finding {
    Finding::new(FindingKind::BrokenGeneration { salvaged, lost, what }, dir)
}

/// A directory for a copy, removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("answerback-look-{}-{number}", std::process::id())))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = remove_generation(&self.0);
    }
}
