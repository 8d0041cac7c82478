//! Which segment is the newest, said outside of it: nothing else would be missed if its file were gone.

use super::segment_path;
use crate::note::{self, NOTE_BYTES_MAX};
use crate::{Disk, Finding, FindingKind};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "newest";

/// What is known to be on disk of the newest segment since its first commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Newest {
    pub(crate) number: u64,
    pub(crate) frames: u32,
    pub(crate) next_item: u64,
}

/// Ids that may have been given since the note was written. Far more than a segment has room for.
const IDS_OF_A_SEGMENT: u64 = 1 << 32;

impl Newest {
    /// Reads the note. Stores of before have none, and a damaged one is written anew; both say nothing.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<(Option<Self>, Option<Finding>)> {
        let path = path(dir);
        let Some(bytes) = disk.read_small(&path, NOTE_BYTES_MAX)? else { return Ok((None, None)) };
        let newest = note::numbers(FILE, &bytes).and_then(|[number, frames, next_item]| {
            Some(Self { number, frames: u32::try_from(frames).ok()?, next_item })
        });
        let damaged = || Finding::new(FindingKind::SmallFile { what: "it is damaged" }, path);
        Ok((newest, newest.is_none().then(damaged)))
    }

    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        disk.replace(dir, FILE, &note::line(FILE, &[self.number, u64::from(self.frames), self.next_item]))
    }

    /// Greater than every id that can stand in it, so that no new item gets the id of one that is lost.
    pub(crate) fn next_item_after_loss(&self) -> u64 {
        self.next_item.saturating_add(IDS_OF_A_SEGMENT)
    }

    pub(crate) fn missing(&self, dir: &Path) -> Finding {
        Finding::new(FindingKind::MissingSegment, segment_path(dir, self.number))
    }
}

pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}
