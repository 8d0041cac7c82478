//! The journal: steps of durable requests, each on disk before it counts.
//!
//! ```text
//!  commit(steps) ──► batch: [header] [copies] [backlog] step step step … ──► append, one sync ──► index
//!                                                                  │ fails
//!                                                                  ▼
//!            new requests are dropped; everything else waits in the backlog; the segment is cut and closed; the next
//!            commit begins a new one, whose header says how much of the old one counts
//! ```
//!
//! Segments are dropped from the oldest on only, one after the other, each when no item's newest put stands in it, and each removal is synced before
//! the next. So a record that an item is gone outlives every put of that item: puts of it stand in the same segment or in older ones, and these
//! went before. The newest segment stays, because its header remembers which ids were given.
//!
//! | what | file |
//! |---|---|
//! | bytes of headers, frames and changes | `format.rs` |
//! | what one commit writes | `batch.rs` |
//! | what waits while the disk fails | `backlog.rs` |
//! | which items live, and where | `index.rs` |
//! | copying what lives out of old segments | `copying.rs` |
//! | which segment is the newest, said outside of it | `newest.rs` |
//! | reading a segment, sound or not | `scan.rs`, `window.rs` |
//! | reading all of them, and repairing | `replay.rs`, `repair.rs` |
//! | the items that were found, one by one | `items.rs` |

mod backlog;
mod batch;
mod copying;
mod format;
mod index;
mod items;
mod newest;
mod repair;
mod replay;
mod scan;
#[cfg(test)]
mod tests;
mod window;

pub use items::Items;
pub(crate) use repair::{Manner, Repaired, repair};
pub(crate) use replay::{Replay, ReplayError, replay};

use crate::{Calendar, Disk, DiskFile, Finding, FindingKind};
use answerback_broker::{ItemId, Step};
use backlog::Backlog;
use batch::Batch;
use copying::Copying;
use format::{Closed, HEADER_BYTES, Header, put_gone};
use index::{Index, Segment};
use newest::Newest;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use window::Window;

/// Bytes after which a new segment is begun. Large enough that a sync of the directory for each does not count (one every few
/// hundred thousand requests), small enough that space comes back soon.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// The least and the most that can be set. Below, segments would be begun all the time; above, space comes back too late.
const SEGMENT_BYTES_BOUNDS: (u64, u64) = (4 << 10, 4 << 30);

/// A segment with nothing alive in it is closed from this size on, so that an idle journal is small.
const EMPTY_SEGMENT_BYTES: u64 = 4 << 20;

/// An id that no item has.
const NOBODY: ItemId = ItemId(0);

/// An append-only log of steps.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    calendar: Calendar,
    salt: u32,
    segment_bytes: u64,
    index: Index,
    /// The segment that is written, if one is, and its serial number.
    file: Option<Box<dyn DiskFile>>,
    serial: u32,
    /// What the first header says of the segment before it; later ones say what the index knows.
    before: Option<Closed>,
    /// While everything is written anew: which segment is the oldest that will stay.
    oldest: Option<u64>,
    next_number: u64,
    next_item: u64,
    batch: Batch,
    backlog: Backlog,
    copying: Option<Copying>,
    /// Segments that could not be made and could not be removed again. None must outlive its successor.
    leftovers: Vec<u64>,
    /// The segment that is being made, until its first sync.
    making: Option<u64>,
    /// Whether the note of the newest segment is on disk.
    is_noted: bool,
    /// Bytes of the steps of the last commit: as many are copied with the next one.
    bytes_of_steps: u64,
    failing: bool,
    findings: Vec<Finding>,
    report: JournalReport,
}

/// What became of a commit.
#[derive(Debug)]
#[must_use = "a step counts only when its commit is done"]
pub enum Commit {
    /// All steps are on disk, to stay, and so is everything that was left from commits that failed.
    Done,
    /// They are not.
    Failed(Failed),
}

/// A commit that failed.
#[derive(Debug)]
pub struct Failed {
    /// What the disk said.
    pub error: io::Error,
    /// New requests that are not in the journal and never will be: tell their callers that the store is not available.
    pub dropped: usize,
    /// Other changes that wait for [`Journal::retry`], from this commit and earlier ones.
    pub waiting: usize,
    /// Replies that were forgotten, because too much waits already. They are lost if the server stops before they are delivered.
    pub forgotten: usize,
}

/// Figures about a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalReport {
    /// Commits that were done, ever since it was opened.
    pub commits: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Steps that were written.
    pub steps: u64,
    /// Syncs of segments.
    pub syncs: u64,
    /// Bytes that were written.
    pub bytes_written: u64,
    /// Bytes on disk.
    pub bytes_on_disk: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Items that are there.
    pub items: u64,
    /// Changes that wait for a retry.
    pub waiting: u64,
}

impl Journal {
    /// Writes all steps and syncs once. Takes them out of `steps` in any case: when it fails, new requests among them are dropped for
    /// good, and all other changes wait for the next commit or retry.
    pub fn commit(&mut self, steps: &mut Vec<Step>) -> Commit {
        if steps.is_empty() && !self.is_failing() {
            return Commit::Done;
        }
        match self.write(steps) {
            Ok(()) => {
                self.report.steps += steps.len() as u64;
                steps.clear();
                self.written();
                Commit::Done
            }
            Err(error) => Commit::Failed(self.failed(steps, error)),
        }
    }

    /// Tries again to write what waits since a commit failed. Done at once if nothing does.
    pub fn retry(&mut self) -> Commit {
        self.commit(&mut Vec::new())
    }

    /// Whether changes wait for a retry, or the last commit failed.
    pub fn is_failing(&self) -> bool {
        self.failing || !self.backlog.is_empty()
    }

    /// Figures.
    pub fn report(&self) -> JournalReport {
        JournalReport {
            bytes_on_disk: self.index.bytes(),
            segments: self.index.segments().len() as u64,
            items: self.index.items(),
            waiting: self.backlog.len() as u64,
            ..self.report
        }
    }

    /// What was found wrong since it was opened, while old segments were read again.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// One more than the greatest id that was ever put.
    pub(crate) fn next_item(&self) -> u64 {
        self.next_item
    }

    /// The number of the segment that a batch was begun for.
    fn number(&self) -> u64 {
        self.making.or(self.index.segments().back().map(|last| last.number)).unwrap_or(0)
    }

    fn write(&mut self, steps: &[Step]) -> io::Result<()> {
        self.begin()?;
        self.copy_slice();
        let copied = self.batch.bytes();
        self.batch.backlog(&self.backlog);
        for step in steps {
            self.batch.step(step, &self.calendar);
            if let Some(file) = self.file.as_deref_mut() {
                self.batch.flush_if_large(file)?;
            }
        }
        self.sync()?;
        self.bytes_of_steps = self.batch.bytes() - copied;
        Ok(())
    }

    /// Puts the batch on disk, to stay.
    fn sync(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_deref_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        // A segment counts from its first frame on, so every commit has one, also when it only tries the disk.
        if self.batch.is_empty() {
            self.batch.frame(|out, _| put_gone(NOBODY, out));
        }
        self.batch.flush(file)?;
        file.sync()?;
        if self.making.is_some() {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Begins a batch, in a new segment if there is none to go on with.
    fn begin(&mut self) -> io::Result<()> {
        let segments = self.index.segments();
        if self.file.is_some()
            && let Some(last) = segments.back()
        {
            self.batch.begin(last.length, last.frames, self.salt);
            return Ok(());
        }
        let number = self.next_number;
        let header = Header {
            salt: self.salt,
            number,
            oldest: self.oldest.unwrap_or_else(|| segments.front().map_or(number, |first| first.number)),
            next_item: self.next_item,
            previous: self.before.or(segments.back().map(Segment::closed)).unwrap_or_default(),
        };
        (self.next_number, self.making) = (number + 1, Some(number));
        self.file = Some(self.disk.create(&segment_path(&self.dir, number))?);
        self.batch.begin(0, 0, self.salt);
        self.batch.header(|out| header.put(out));
        Ok(())
    }

    fn copy_slice(&mut self) {
        let Some(copying) = self.copying.as_mut().filter(|_| !self.failing) else { return };
        let Err(offset) = copying.slice(&self.index, &mut self.batch, self.salt, self.bytes_of_steps) else { return };
        self.copying = None;
        let Some(first) = self.index.first_mut() else { return };
        first.stuck = true;
        let kind = FindingKind::DamagedJournal { offset, bytes: 0, steps: None };
        self.findings.push(Finding::new(kind, segment_path(&self.dir, first.number)));
    }

    /// Everything in the batch is on disk.
    fn written(&mut self) {
        if let Some(number) = self.making.take() {
            self.before = None;
            self.serial = self.index.push_segment(Segment::new(number, 0, 0));
            self.is_noted = false;
        }
        let (length, frames) = (self.batch.at(), self.batch.frames());
        self.next_item = self.next_item.max(self.batch.apply(&mut self.index, self.serial));
        if let Some(last) = self.index.last_mut() {
            (last.length, last.frames) = (length, frames);
        }
        self.note_newest();
        let is_idle = self.index.items() == 0 && length >= EMPTY_SEGMENT_BYTES;
        if length >= self.segment_bytes || is_idle {
            self.file = None;
        }
        self.backlog.clear();
        self.failing = false;
        self.report.commits += 1;
        self.report.syncs += 1;
        self.report.bytes_written += self.batch.bytes();
        self.give_back_space();
    }

    /// Says which segment is the newest, once it is there to stay: a note that came before it would call a power cut a loss. The commit is done
    /// without it too, so if it cannot be written it is tried again with the next one.
    fn note_newest(&mut self) {
        if !self.is_noted
            && let Some(last) = self.index.segments().back()
        {
            let newest = Newest { number: last.number, frames: last.frames, next_item: self.next_item };
            self.is_noted = newest.write(&*self.disk, &self.dir).is_ok();
        }
    }

    fn give_back_space(&mut self) {
        if self.copying.as_ref().is_some_and(Copying::is_done) {
            self.copying = None;
            // What lives there after all has been copied cannot be read; trying again would never end.
            if let Some(first) = self.index.first_mut() {
                first.stuck = first.live > 0;
            }
        }
        let (disk, dir) = (&self.disk, &self.dir);
        self.leftovers.retain(|number| disk.remove_if_there(&segment_path(dir, *number)).is_err());
        let first = self.index.segments().front().filter(|first| first.live == 0).map(|first| first.number);
        if let Some(number) = first
            && self.index.segments().len() > 1
            && self.leftovers.is_empty()
        {
            let removed = disk.remove_if_there(&segment_path(dir, number)).and_then(|_| disk.sync_dir(dir));
            if removed.is_ok() {
                self.index.pop_segment();
                self.copying = None;
            }
        }
        if self.copying.is_none()
            && copying::is_worth_it(&self.index, self.segment_bytes)
            && let Some(first) = self.index.segments().front()
            && let Ok(file) = disk.open(&segment_path(dir, first.number))
        {
            self.copying = Some(Copying::begin(Window::new(file, first.length), &self.index));
        }
    }

    /// What was written since the last good sync is in doubt: a sync that succeeds later would prove nothing about it. It is cut off, and the
    /// segment is not written any more.
    fn failed(&mut self, steps: &mut Vec<Step>, error: io::Error) -> Failed {
        let file = self.file.take();
        let good = self.index.segments().back().map_or(HEADER_BYTES, |last| last.length);
        let in_doubt = match self.making.take() {
            Some(number) => {
                let stays = self.disk.remove_if_there(&segment_path(&self.dir, number)).is_err();
                self.leftovers.extend(Some(number).filter(|_| stays));
                stays
            }
            None => file.is_none_or(|mut file| file.truncate(good).is_err()),
        };
        self.copying = None;
        self.failing = true;
        self.report.failures += 1;
        let mut failed = Failed { error, dropped: 0, waiting: 0, forgotten: 0 };
        for step in steps.drain(..) {
            let dropped = self.backlog.take(step, &self.index, &self.calendar, in_doubt);
            failed.dropped += dropped.requests;
            failed.forgotten += dropped.replies;
        }
        failed.waiting = self.backlog.len();
        failed
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.journal"))
}

/// The number in the name of a segment.
fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    let is_number = digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}
