//! Reads one segment, whatever has become of it: what is sound is given out in order, the rest is counted.
//!
//! As long as everything is as it was written, frames are given out as they come. From the first one on that is not, the whole rest is looked
//! through for sound frames first, byte by byte where necessary, and these are given out in the order of their sequence numbers, each once: bytes
//! may have been changed, cut out, put in or doubled.

use super::format::{Closed, FRAME_HEAD_BYTES, FrameHead, HEADER_BYTES};
use super::window::Window;
use std::io;

/// How far sequence numbers may jump where bytes are missing. Far more frames than a segment holds; a bound because without one almost every
/// byte of noise could be the beginning of a frame.
const JUMP_FRAMES_MAX: u32 = 1 << 22;

/// Bytes whose checksums are tried while looking for sound frames, for each byte of the segment. A segment that was made to look like many
/// frames must not keep a server from starting.
const TRIED_PER_BYTE: u64 = 16;

/// What was found in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Scan {
    /// Where the part ends that counts.
    pub(crate) length: u64,
    /// The greatest sequence number.
    pub(crate) frames: u32,
    /// Frames given out.
    pub(crate) steps: u64,
    /// Where the first bytes are that are not sound, if there are any or any frame is missing.
    pub(crate) first_bad: Option<u64>,
    /// How many bytes are not sound.
    pub(crate) bad_bytes: u64,
    /// Frames that are known to be missing.
    pub(crate) missing: u64,
    /// Whether more may be missing at the end.
    pub(crate) open_end: bool,
    /// Whether something that is missing had been synced.
    pub(crate) was_synced: bool,
    /// Frames that stand a second time or where they do not belong, and where the first of them is.
    pub(crate) misplaced: u64,
    pub(crate) first_misplaced: Option<u64>,
    /// The first frame of the last commit, and where that commit begins: nothing proves that it was synced.
    pub(crate) last_commit: u32,
    pub(crate) last_commit_at: u64,
    /// Where the sound frames of that commit stand.
    pub(crate) last_frames: Vec<u64>,
}

/// A frame that was found: its number and where it stands.
type Found = (u32, u64);

pub(crate) struct Scanner<'a> {
    pub(crate) window: &'a mut Window,
    pub(crate) salt: u32,
    /// What a later segment says of this one.
    pub(crate) closed: Option<Closed>,
    scan: Scan,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(window: &'a mut Window, salt: u32, closed: Option<Closed>) -> Self {
        Self { window, salt, closed, scan: Scan::default() }
    }

    /// Gives out the changes of all sound frames, each with the place of its frame.
    pub(crate) fn run(mut self, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<Scan> {
        let end = self.window.end();
        let (mut at, mut next) = (HEADER_BYTES.min(end), 1);
        while at < end {
            match self.window.frame(at, self.salt)? {
                Some((head, changes)) if head.sequence == next => {
                    each(at, changes)?;
                    if head.behind == 0 {
                        (self.scan.last_commit, self.scan.last_commit_at) = (next, at);
                        self.scan.last_frames.clear();
                    }
                    self.scan.last_frames.push(at);
                    next += 1;
                    at += head.total();
                }
                _ => {
                    self.damaged(at, next, each)?;
                    return Ok(self.scan);
                }
            }
        }
        self.scan.steps = u64::from(next - 1);
        self.scan.frames = next - 1;
        self.scan.length = at;
        if let Some(closed) = self.closed
            && (closed.frames >= next || closed.length > end)
        {
            self.scan.first_bad = Some(end);
            self.scan.missing = u64::from((closed.frames + 1).saturating_sub(next));
            self.scan.was_synced = true;
        }
        Ok(self.scan)
    }

    /// From `at` on not everything is as it was written; `next` is the number that should have come.
    fn damaged(&mut self, at: u64, next: u32, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.scan.first_bad = None;
        let mut found = self.search(at, next)?;
        found.sort_unstable();
        let all = found.len();
        found.dedup_by_key(|(sequence, _)| *sequence);
        let early = found.partition_point(|(sequence, _)| *sequence < next);
        self.scan.misplaced = (all - found.len() + early) as u64;
        let found = &found[early..];
        let mut expected = next;
        for (sequence, at) in found {
            if *sequence > expected {
                self.missing(expected, u64::from(sequence - expected));
            }
            expected = sequence + 1;
            if let Some((_, changes)) = self.window.frame(*at, self.salt)? {
                each(*at, changes)?;
            }
        }
        self.scan.steps = u64::from(next - 1) + found.len() as u64;
        self.scan.frames = expected - 1;
        self.scan.length = self.window.end();
        if self.scan.last_commit >= next {
            self.scan.last_commit_at = at;
            self.scan.last_frames.clear();
        }
        let last = found.iter().filter(|(sequence, _)| *sequence >= self.scan.last_commit);
        self.scan.last_frames.extend(last.map(|(_, at)| at));
        self.finish(at, expected);
        Ok(())
    }

    fn finish(&mut self, at: u64, expected: u32) {
        match self.closed {
            Some(closed) if closed.frames >= expected => {
                self.missing(expected, u64::from(closed.frames - expected + 1));
                self.scan.frames = closed.frames;
            }
            Some(_) => {}
            None => self.scan.open_end = self.scan.bad_bytes > 0,
        }
        if self.scan.missing > 0 && self.scan.first_bad.is_none() {
            self.scan.first_bad = Some(at);
        }
    }

    fn missing(&mut self, first: u32, frames: u64) {
        let promised = self.closed.map_or(u64::MAX, |closed| u64::from((closed.frames + 1).saturating_sub(first)));
        let frames = frames.min(promised);
        self.scan.missing += frames;
        self.scan.was_synced |= frames > 0 && (first < self.scan.last_commit || self.closed.is_some());
    }

    /// All sound frames from `at` on, in the order in which they stand.
    fn search(&mut self, mut at: u64, next: u32) -> io::Result<Vec<Found>> {
        let end = self.window.end();
        let mut found = Vec::new();
        let mut budget = end.saturating_mul(TRIED_PER_BYTE);
        let mut greatest = next - 1;
        while at < end {
            match self.window.frame(at, self.salt)? {
                Some((head, _)) => {
                    self.note(&head, at, next, &mut greatest);
                    found.push((head.sequence, at));
                    at += head.total();
                }
                None => {
                    let resumes = self.resume(at + 1, next, &mut budget)?;
                    self.scan.first_bad.get_or_insert(at);
                    self.scan.bad_bytes += resumes - at;
                    at = resumes;
                }
            }
        }
        Ok(found)
    }

    fn note(&mut self, head: &FrameHead, at: u64, next: u32, greatest: &mut u32) {
        if head.sequence < next || head.sequence <= *greatest {
            self.scan.first_misplaced.get_or_insert(at);
        }
        *greatest = head.sequence.max(*greatest);
        self.scan.last_commit = self.scan.last_commit.max(head.sequence - head.behind);
    }

    /// Where the next sound frame begins, from `at` on; the end if there is none.
    fn resume(&mut self, mut at: u64, next: u32, budget: &mut u64) -> io::Result<u64> {
        let end = self.window.end();
        while at + (FRAME_HEAD_BYTES as u64) < end && *budget > 0 {
            let Some(head) = FrameHead::read(self.window.get(at, FRAME_HEAD_BYTES)?) else { break };
            if head.is_plausible(end - at) && head.sequence <= next.saturating_add(JUMP_FRAMES_MAX) {
                *budget = budget.saturating_sub(head.total());
                if self.window.frame(at, self.salt)?.is_some() {
                    return Ok(at);
                }
            }
            at += 1;
        }
        Ok(end)
    }
}
