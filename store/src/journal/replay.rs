//! Reading a whole journal: which of its segments count, what stands in them, what is wrong. Changes nothing.

use super::format::{Changes, Closed, FRAME_HEAD_BYTES, HEADER_BYTES, Header, Written, is_newer};
use super::index::{Index, Place, Segment};
use super::items::{Items, Spots};
use super::newest::Newest;
use super::scan::{Scan, Scanner};
use super::window::Window;
use super::{segment_number, segment_path};
use crate::codec::Decoder;
use crate::{Calendar, Disk, Finding, FindingKind};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Steps between two words to whoever watches.
const WATCH_EVERY_STEPS: u64 = 1 << 16;

/// What a journal holds, and what must be done before it can be written again.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Where all items stand that live.
    pub(crate) spots: Spots,
    pub(crate) index: Index,
    pub(crate) findings: Vec<Finding>,
    pub(crate) next_item: u64,
    pub(crate) salt: Option<u32>,
    /// What the next header shall say of the segment before it.
    pub(crate) last: Closed,
    /// The greatest number that a file has.
    pub(crate) greatest: u64,
    /// What the last commit wrote, if nothing proves that it was synced: in which segment, and where its frames stand.
    pub(crate) unproven: Option<(u64, Vec<u64>)>,
    /// Files that do not count, and never did.
    pub(crate) garbage: Vec<PathBuf>,
    /// Garbage that something could be read of: a copy is kept.
    pub(crate) keepsakes: Vec<PathBuf>,
    /// Files to be set aside before everything is written anew, each with its findings.
    pub(crate) damaged: Vec<PathBuf>,
    /// Whether a segment is missing.
    pub(crate) has_gap: bool,
    /// What the note says of the newest segment.
    pub(crate) newest: Option<Newest>,
    pub(crate) steps: u64,
}

/// Why a journal could not be read.
#[derive(Debug)]
pub(crate) enum ReplayError {
    Io { path: PathBuf, error: io::Error },
    Newer { path: PathBuf },
    Stopped,
}

impl Replay {
    /// All items that live.
    pub(crate) fn items(&self, disk: &Arc<dyn Disk>, dir: PathBuf, calendar: Calendar) -> Items {
        let reader = self.spots.reader(disk, dir);
        Items::new(reader, calendar, self.spots.in_order(), self.index.all_progress().clone())
    }
}

/// A segment that counts, or would.
struct Candidate {
    number: u64,
    header: Option<Header>,
    unsound_headers: usize,
    closed: Option<Closed>,
    size: u64,
}

/// What the reading of segments shares.
struct Reading<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    /// The last server ended in order, so nothing can have been interrupted.
    clean: bool,
    decoder: Decoder,
    watch: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
    stopped: bool,
    replay: Replay,
}

/// Reads the journal in `dir`. `salt` is what the store says of its checksums, if it does.
pub(crate) fn replay(
    disk: &dyn Disk,
    dir: &Path,
    calendar: Calendar,
    clean: bool,
    salt: Option<u32>,
    watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Replay, ReplayError> {
    let decoder = Decoder::new(calendar);
    let replay = Replay { salt, ..Replay::default() };
    let mut reading = Reading { disk, dir, clean, decoder, watch, stopped: false, replay };
    reading.note()?;
    let mut candidates = reading.candidates()?;
    let headers = || candidates.iter().filter_map(|candidate| candidate.header);
    reading.replay.next_item = headers().map(|header| header.next_item).max().unwrap_or(0);
    reading.replay.salt = headers().next_back().map(|header| header.salt).or(salt);
    reading.leave_unborn(&mut candidates)?;
    reading.miss_newest(&candidates);
    let oldest = candidates.iter().filter_map(|candidate| candidate.header).next_back();
    reading.choose(&mut candidates, oldest.map_or(0, |header| header.oldest));
    let last = candidates.len();
    for (at, candidate) in candidates.iter().enumerate() {
        reading.segment(candidate, at + 1 == last)?;
    }
    Ok(reading.replay)
}

impl Reading<'_> {
    /// All segments and their headers, in order.
    fn candidates(&mut self) -> Result<Vec<Candidate>, ReplayError> {
        let names = match self.disk.list(self.dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(ReplayError::Io { path: self.dir.to_owned(), error }),
        };
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        self.replay.greatest = numbers.last().copied().unwrap_or(0).max(self.newest().number);
        numbers.into_iter().map(|number| self.candidate(number)).collect()
    }

    fn candidate(&self, number: u64) -> Result<Candidate, ReplayError> {
        let path = segment_path(self.dir, number);
        let mut bytes = [0; HEADER_BYTES as usize];
        let read = self.disk.open(&path).and_then(|file| Ok((file.read_at(0, &mut bytes)?, file.size()?)));
        let (read, size) = read.map_err(|error| ReplayError::Io { path: path.clone(), error })?;
        let (header, unsound_headers) = Header::read(&bytes[..read]);
        if header.is_none() && is_newer(&bytes[..read]) {
            return Err(ReplayError::Newer { path });
        }
        Ok(Candidate { number, header, unsound_headers, closed: None, size })
    }

    /// Segments at the end that were being made when the power went: no step of theirs is there, or steps of the first commit without the header
    /// that was written with it, so nothing of them was acknowledged.
    fn leave_unborn(&mut self, candidates: &mut Vec<Candidate>) -> Result<(), ReplayError> {
        let newest = self.newest().number;
        while !self.clean
            && let Some(last) = candidates.last()
            && last.number > newest
        {
            let path = segment_path(self.dir, last.number);
            let failed = |error| ReplayError::Io { path: path.clone(), error };
            let mut window = Window::new(self.disk.open(&path).map_err(failed)?, last.size);
            let is_born = match self.replay.salt {
                Some(salt) => {
                    let scan = Scanner::new(&mut window, salt, None).run(&mut |_, _| Ok(())).map_err(failed)?;
                    if scan.steps > 0 && last.header.is_none() && scan.last_commit <= 1 {
                        self.replay.keepsakes.push(path.clone());
                    }
                    scan.steps > 0 && (last.header.is_some() || scan.last_commit > 1)
                }
                None => last.size > HEADER_BYTES,
            };
            if is_born {
                break;
            }
            let sound = if last.header.is_some() { HEADER_BYTES } else { 0 };
            if last.size > sound {
                let kind = FindingKind::TornTail { offset: sound, bytes: last.size - sound };
                self.replay.findings.push(Finding::new(kind, path.clone()));
            }
            self.replay.garbage.push(path);
            candidates.pop();
        }
        Ok(())
    }

    /// Goes from the newest segment back along what each says of the one before it. What is not on that way was left by commits that failed.
    fn choose(&mut self, candidates: &mut Vec<Candidate>, oldest: u64) {
        let mut expected: Option<Closed> = None;
        let mut kept = Vec::new();
        while let Some(mut candidate) = candidates.pop() {
            let path = segment_path(self.dir, candidate.number);
            let is_void = expected.is_some_and(|closed| candidate.number > closed.number);
            if is_void || candidate.number < oldest {
                self.replay.garbage.push(path);
                continue;
            }
            if let Some(header) = candidate.header.filter(|header| header.number != candidate.number) {
                self.foreign(header.number, candidate.size, path);
                continue;
            }
            candidate.closed = expected.filter(|closed| closed.number == candidate.number);
            if let Some(closed) = expected
                && candidate.closed.is_none()
            {
                let missing = segment_path(self.dir, closed.number);
                self.replay.findings.push(Finding::new(FindingKind::MissingSegment, missing));
                self.replay.has_gap = true;
            }
            expected = candidate.header.map(|header| header.previous);
            kept.push(candidate);
        }
        kept.reverse();
        *candidates = kept;
    }

    fn note(&mut self) -> Result<(), ReplayError> {
        let read = Newest::read(self.disk, self.dir);
        let (newest, finding) = read.map_err(|error| ReplayError::Io { path: super::newest::path(self.dir), error })?;
        self.replay.newest = newest;
        self.replay.findings.extend(finding);
        Ok(())
    }

    fn newest(&self) -> Newest {
        self.replay.newest.unwrap_or_default()
    }

    /// Later segments say which ones should be there before them; of the newest one only the note does.
    fn miss_newest(&mut self, candidates: &[Candidate]) {
        let newest = self.newest();
        if candidates.last().map_or(0, |last| last.number) < newest.number {
            self.replay.findings.push(newest.missing(self.dir));
            self.replay.next_item = self.replay.next_item.max(newest.next_item_after_loss());
            self.replay.has_gap = true;
        }
    }

    /// What was on disk when the note was written is no write that was interrupted.
    fn miss_first_commit(&mut self, number: u64, scan: &mut Scan) {
        let newest = self.newest();
        if newest.number != number || scan.steps >= u64::from(newest.frames) {
            return;
        }
        scan.was_synced = true;
        self.replay.next_item = self.replay.next_item.max(newest.next_item_after_loss());
        if scan.first_bad.is_none() {
            scan.first_bad = Some(scan.length);
            scan.missing = u64::from(newest.frames) - scan.steps;
        }
    }

    fn segment(&mut self, candidate: &Candidate, is_last: bool) -> Result<(), ReplayError> {
        let path = segment_path(self.dir, candidate.number);
        let failed = |error| ReplayError::Io { path: path.clone(), error };
        let file = self.disk.open(&path).map_err(failed)?;
        let end = candidate.closed.map_or(candidate.size, |closed| candidate.size.min(closed.length));
        let mut window = Window::new(file, end);
        let Some(salt) = candidate.header.map(|header| header.salt).or(self.replay.salt) else {
            return self.judge(candidate, &Scan::default(), is_last, &path);
        };
        let serial = self.replay.index.push_segment(Segment::new(candidate.number, 0, 0));
        let mut unreadable = 0;
        let scanner = Scanner::new(&mut window, salt, candidate.closed);
        let number = candidate.number;
        let scan = scanner.run(&mut |at, changes| self.step((serial, number, at), changes, &mut unreadable));
        if self.stopped {
            return Err(ReplayError::Stopped);
        }
        let mut scan = scan.map_err(failed)?;
        self.miss_first_commit(candidate.number, &mut scan);
        if unreadable > 0 {
            self.damaged(FindingKind::UnreadableItems { items: unreadable }, path.clone());
        }
        let is_interrupted = self.is_interrupted(&scan, is_last);
        if let Some(segment) = self.replay.index.last_mut() {
            (segment.length, segment.frames) = (scan.length, scan.frames);
            self.replay.last = segment.closed();
            if is_interrupted && scan.misplaced == 0 && scan.steps > 0 {
                self.replay.unproven = Some((segment.number, scan.last_frames.clone()));
                (segment.length, segment.frames) = (scan.last_commit_at, scan.last_commit - 1);
                // With its first commit the segment itself is not proven to be there.
                let before = candidate.header.filter(|_| scan.last_commit == 1).map(|header| header.previous);
                self.replay.last = before.unwrap_or(segment.closed());
            }
        }
        self.judge(candidate, &scan, is_last, &path)
    }

    /// Whether all that is wrong with a segment may come from a commit that was interrupted.
    fn is_interrupted(&self, scan: &Scan, is_last: bool) -> bool {
        is_last && !self.clean && !scan.was_synced
    }

    /// Says what is wrong with a segment.
    fn judge(&mut self, candidate: &Candidate, scan: &Scan, is_last: bool, path: &Path) -> Result<(), ReplayError> {
        let interrupted = self.is_interrupted(scan, is_last);
        if candidate.unsound_headers > 0 {
            let bytes = HEADER_BYTES / 2 * candidate.unsound_headers as u64;
            let steps = if scan.steps == 0 { None } else { Some(0) };
            self.damaged(FindingKind::DamagedJournal { offset: 0, bytes, steps }, path.to_owned());
        }
        if let Some(offset) = scan.first_misplaced {
            self.damaged(FindingKind::MisplacedSteps { offset, steps: scan.misplaced }, path.to_owned());
        }
        let Some(offset) = scan.first_bad else { return Ok(()) };
        let torn = FindingKind::TornTail { offset, bytes: scan.bad_bytes };
        if interrupted {
            self.replay.findings.push(Finding::new(torn, path));
        } else {
            let steps = if scan.open_end { None } else { Some(scan.missing) };
            self.damaged(FindingKind::DamagedJournal { offset, bytes: scan.bad_bytes, steps }, path.to_owned());
        }
        Ok(())
    }

    /// A file that is a copy of another segment, or has got the name of one.
    fn foreign(&mut self, number: u64, bytes: u64, path: PathBuf) {
        let kind = FindingKind::ForeignSegment { number, bytes };
        self.damaged(kind, path);
    }

    fn damaged(&mut self, kind: FindingKind, path: PathBuf) {
        self.replay.findings.push(Finding::new(kind, path.clone()));
        if self.replay.damaged.last() != Some(&path) {
            self.replay.damaged.push(path);
        }
    }

    fn step(&mut self, frame: (u32, u64, u64), changes: &[u8], unreadable: &mut u64) -> io::Result<()> {
        self.replay.steps += 1;
        if self.replay.steps.is_multiple_of(WATCH_EVERY_STEPS) && (self.watch)(self.replay.steps).is_break() {
            self.stopped = true;
            return Err(io::ErrorKind::Interrupted.into());
        }
        let total = changes.len();
        let mut changes = Changes::of(changes);
        loop {
            match changes.next() {
                Ok(None) => return Ok(()),
                Ok(Some(change)) => self.change(frame, total - changes.left(), change, unreadable),
                Err(_) => {
                    *unreadable += 1;
                    return Ok(());
                }
            }
        }
    }

    /// A change of the frame that stands in a segment, by serial and by number, at a place; it ends `end` bytes behind the frame's head.
    fn change(&mut self, (serial, number, at): (u32, u64, u64), end: usize, change: Written<'_>, unreadable: &mut u64) {
        let replay = &mut self.replay;
        match change {
            Written::Put(id, bytes) => {
                replay.next_item = replay.next_item.max(id.0.saturating_add(1));
                match self.decoder.decode(bytes) {
                    Ok(_) => {
                        replay.index.put(id, Place::new(serial, at, bytes.len()));
                        let offset = at + (FRAME_HEAD_BYTES + end - bytes.len()) as u64;
                        replay.spots.put(id, number, offset, bytes);
                    }
                    Err(_) => *unreadable += 1,
                }
            }
            // What is said of an item that is not there is about one that went, or was lost: its put is told, or was dropped with its segment.
            Written::Progress(id, progress) => replay.index.set_progress(id, progress),
            Written::Gone(id) => {
                replay.index.gone(id);
                replay.spots.remove(id);
            }
        }
    }
}
