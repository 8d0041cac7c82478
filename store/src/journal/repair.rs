//! Making a journal that was read ready to be written: cutting, setting aside, writing anew what was damaged.

use super::backlog::{Backlog, Said};
use super::batch::Batch;
use super::format::{Changes, FRAME_HEAD_BYTES, Written, put_gone, put_progressed, put_put};
use super::items::{Items, Spots};
use super::replay::Replay;
use super::window::Window;
use super::{Journal, JournalReport, SEGMENT_BYTES_BOUNDS, segment_path};
use crate::{Calendar, Disk, Finding};
use answerback_broker::ItemId;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Items that are written with one sync when a journal is written anew.
const ITEMS_PER_COMMIT: usize = 4096;

/// How a journal is to be written.
pub(crate) struct Manner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) calendar: Calendar,
    pub(crate) segment_bytes: u64,
    /// The salt of a journal that has none yet.
    pub(crate) salt: u32,
}

/// A journal that can be written.
pub(crate) struct Repaired {
    pub(crate) journal: Journal,
    /// What it holds, in the order of the ids.
    pub(crate) items: Items,
    pub(crate) findings: Vec<Finding>,
}

/// Takes over what was read. What can be repaired is; findings say what could not.
pub(crate) fn repair(
    replay: Replay,
    manner: Manner,
    aside: &mut dyn FnMut(&Path) -> io::Result<PathBuf>,
) -> io::Result<Repaired> {
    let Replay {
        mut spots,
        index,
        mut findings,
        next_item,
        salt,
        last,
        greatest,
        unproven,
        garbage,
        keepsakes,
        damaged,
        has_gap,
        newest,
        ..
    } = replay;
    let Manner { disk, dir, calendar, segment_bytes, salt: fresh_salt } = manner;
    disk.make_dir(&dir)?;
    let mut journal = Journal {
        disk,
        dir,
        calendar,
        salt: salt.unwrap_or(fresh_salt),
        segment_bytes: segment_bytes.clamp(SEGMENT_BYTES_BOUNDS.0, SEGMENT_BYTES_BOUNDS.1),
        index,
        file: None,
        serial: 0,
        before: Some(last),
        next_number: greatest + 1,
        next_item,
        batch: Batch::default(),
        backlog: Backlog::default(),
        copying: None,
        oldest: None,
        leftovers: Vec::new(),
        making: None,
        is_noted: false,
        bytes_of_steps: 0,
        failing: false,
        findings: Vec::new(),
        report: JournalReport::default(),
    };
    let newest_there = journal.index.segments().back().map_or(0, |last| last.number);
    journal.is_noted = newest.is_some_and(|newest| newest.number == newest_there);
    if let Some((number, frames)) = unproven {
        journal.prove(number, &frames, &mut spots)?;
    }
    let are_kept = set_aside(&keepsakes, &mut findings, aside);
    for path in garbage.iter().filter(|path| are_kept || !keepsakes.contains(path)) {
        journal.disk.remove_if_there(path)?;
    }
    if !garbage.is_empty() {
        journal.disk.sync_dir(&journal.dir)?;
    }
    if set_aside(&damaged, &mut findings, aside)
        && (has_gap || !damaged.is_empty())
        && let Err(error) = journal.write_anew(&mut spots, &damaged)
    {
        note(&mut findings, &damaged, &error);
    }
    // While a loss has not been repaired, the note stays as it is, and the loss is told again.
    if !has_gap {
        journal.note_newest();
    }
    let reader = spots.reader(&journal.disk, journal.dir.clone());
    let items = Items::new(reader, calendar, spots.in_order(), journal.index.all_progress().clone());
    Ok(Repaired { journal, items, findings })
}

/// Appends changes that were read, and tells of them; of items also where they stood in `bytes` and where they stand in `out`.
fn repeat(
    bytes: &[u8],
    out: &mut Vec<u8>,
    say: &mut dyn FnMut(ItemId, Said),
    moved: &mut dyn FnMut(ItemId, usize, usize),
) {
    let mut changes = Changes::of(bytes);
    while let Ok(Some(change)) = changes.next() {
        match change {
            Written::Put(id, item) => {
                put_put(id, out, |out| out.extend_from_slice(item));
                say(id, Said::Put { bytes: item.len() });
                moved(id, bytes.len() - changes.left() - item.len(), out.len() - item.len());
            }
            Written::Progress(id, progress) => {
                put_progressed(id, &progress, out);
                say(id, Said::Progress(progress));
            }
            Written::Gone(id) => {
                put_gone(id, out);
                say(id, Said::Gone);
            }
        }
    }
}

/// Copies all damaged files; says whether that was possible.
fn set_aside(
    damaged: &[PathBuf],
    findings: &mut [Finding],
    aside: &mut dyn FnMut(&Path) -> io::Result<PathBuf>,
) -> bool {
    let mut all = true;
    for path in damaged {
        let copy = aside(path);
        all &= copy.is_ok();
        for finding in findings.iter_mut().filter(|finding| finding.path == *path) {
            match &copy {
                Ok(copy) => finding.aside = Some(copy.clone()),
                Err(error) => finding.not_aside = Some(error.to_string()),
            }
        }
    }
    all
}

fn note(findings: &mut [Finding], damaged: &[PathBuf], error: &io::Error) {
    for finding in findings.iter_mut().filter(|finding| damaged.contains(&finding.path)) {
        finding.not_aside = Some(format!("writing it anew failed: {error}"));
    }
}

impl Journal {
    /// Writes the last commit of a server that did not end in order once more. It can be read, but nobody knows whether it is on disk: when a
    /// sync fails, the system may show what was written as long as it runs, and call it synced the next time. The header of the
    /// new segment says that the old one counts up to that commit only, which also cuts off a torn end. Header and commit must come true
    /// together, so the commit is one frame now: without it the segment does not count.
    fn prove(&mut self, number: u64, frames: &[u64], spots: &mut Spots) -> io::Result<()> {
        let file = self.disk.open(&segment_path(&self.dir, number))?;
        let end = file.size()?;
        let mut window = Window::new(file, end);
        self.begin()?;
        let (salt, mut outcome) = (self.salt, Ok(()));
        let (new, base) = (self.number(), self.batch.base());
        let mut moved = Vec::new();
        self.batch.frame(|out, say| {
            for at in frames {
                match window.frame(*at, salt) {
                    Ok(Some((_, bytes))) => repeat(bytes, out, say, &mut |id, from, to| {
                        moved.push((id, at + (FRAME_HEAD_BYTES + from) as u64, base + to as u64));
                    }),
                    Ok(None) => outcome = Err(io::ErrorKind::InvalidData.into()),
                    Err(error) => outcome = Err(error),
                }
            }
        });
        outcome?;
        self.sync()?;
        for (id, from, to) in moved {
            spots.moved(id, (number, from), (new, to));
        }
        self.written();
        Ok(())
    }

    /// Writes all items into new segments, then drops the old ones, oldest first: at every moment in between, reading gives the same items.
    fn write_anew(&mut self, spots: &mut Spots, damaged: &[PathBuf]) -> io::Result<()> {
        let first = self.next_number;
        self.file = None;
        let old: Vec<u64> = self.index.segments().iter().map(|segment| segment.number).collect();
        let items = spots.in_order();
        let mut reader = spots.reader(&self.disk, self.dir.clone());
        for items in items.chunks(ITEMS_PER_COMMIT) {
            self.begin()?;
            let mut moved = Vec::with_capacity(items.len());
            for (id, spot) in items {
                moved.push((*id, self.copy(*id, reader.bytes(*spot)?)));
            }
            self.sync()?;
            let number = self.number();
            moved.iter().for_each(|(id, offset)| spots.moved_to(*id, number, *offset));
            self.written();
        }
        // The last segment says that everything before the first new one is not needed any more, in one piece with its only frame.
        self.file = None;
        self.oldest = Some(first);
        self.begin()?;
        self.sync()?;
        self.written();
        let mut old: Vec<PathBuf> = old.iter().map(|number| segment_path(&self.dir, *number)).collect();
        // A file that was passed over as a whole is in the list of the damaged only.
        old.extend(damaged.iter().filter(|path| !old.contains(path)).cloned().collect::<Vec<_>>());
        old.sort();
        for path in old {
            self.disk.remove_if_there(&path)?;
            self.disk.sync_dir(&self.dir)?;
            if self.index.segments().front().is_some_and(|first| segment_path(&self.dir, first.number) == path) {
                self.index.pop_segment();
            }
        }
        (self.copying, self.oldest) = (None, None);
        Ok(())
    }

    /// Appends a frame with an item as it stands and what was last said of it. Says where its bytes are to stand.
    fn copy(&mut self, id: ItemId, item: &[u8]) -> u64 {
        let (base, progress) = (self.batch.base(), self.index.progress(id).copied());
        let mut offset = 0;
        self.batch.frame(|out, say| {
            put_put(id, out, |out| out.extend_from_slice(item));
            offset = base + (out.len() - item.len()) as u64;
            say(id, Said::Put { bytes: item.len() });
            if let Some(progress) = progress {
                put_progressed(id, &progress, out);
                say(id, Said::Progress(progress));
            }
        });
        offset
    }
}
