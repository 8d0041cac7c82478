//! What a generation must hold, said outside of it: sled repairs its files by forgetting, and what it then says of itself fits what is left.
//!
//! The note is written when a round is on disk. So sled may be ahead of it, by the round whose note did not come to be; behind it only when
//! something that was on disk is gone.

use super::generation::Meta;
use crate::layout::{Layout, generation_number};
use crate::note::{self, NOTE_BYTES_MAX};
use crate::{Finding, FindingKind};
use std::io;
use std::path::PathBuf;

const WORD: &str = "generation";
const ENDING: &str = ".sum";

/// Reads the note of a generation. Stores of before have none, and a damaged one is written anew; both say nothing.
pub(super) fn read(layout: &Layout, number: u64) -> io::Result<(Option<Meta>, Option<Finding>)> {
    let path = path(layout, number);
    let Some(bytes) = layout.disk.read_small(&path, NOTE_BYTES_MAX)? else { return Ok((None, None)) };
    let sum = note::numbers(WORD, &bytes).map(|[round, next_item, first, sends]| Meta {
        round,
        next_item,
        counts: [first, sends],
    });
    let damaged = || Finding::new(FindingKind::SmallFile { what: "it is damaged" }, path);
    Ok((sum, sum.is_none().then(damaged)))
}

/// Writes the note of a generation, whose round is on disk already.
pub(super) fn write(layout: &Layout, number: u64, meta: &Meta) -> io::Result<()> {
    let line = note::line(WORD, &[meta.round, meta.next_item, meta.counts[0], meta.counts[1]]);
    layout.disk.replace(&layout.path, &name(layout, number), &line)
}

/// Removes all notes but one. What is left of them after a power cut is removed by the next start.
pub(super) fn forget_others(layout: &Layout, kept: Option<u64>) -> io::Result<()> {
    for name in layout.disk.list(&layout.path)? {
        let of = name.strip_suffix(ENDING).and_then(generation_number);
        if of.is_some() && of != kept {
            layout.disk.remove_if_there(&layout.path.join(name))?;
        }
    }
    Ok(())
}

/// Why a generation cannot be all that was saved.
pub(super) fn behind(meta: &Meta, sum: Option<&Meta>) -> Option<String> {
    let sum = sum?;
    if meta.round < sum.round {
        let rounds = sum.round - meta.round;
        return Some(format!("its last {rounds} saves are gone, and what they removed may be there again"));
    }
    (meta.round == sum.round && meta.counts != sum.counts).then(|| "its own count is wrong".to_owned())
}

/// How many items are missing, if that can be told: where saves are gone, what they removed hides some of what they put.
pub(super) fn lost(counts: [u64; 2], sum: Option<&Meta>) -> Option<u64> {
    let missing = |part: usize| Some(sum?.counts[part].saturating_sub(counts[part]));
    Some(missing(0)? + missing(1)?).filter(|lost| *lost > 0)
}

fn path(layout: &Layout, number: u64) -> PathBuf {
    layout.path.join(name(layout, number))
}

fn name(layout: &Layout, number: u64) -> String {
    let generation = layout.generation(number);
    format!("{}{ENDING}", generation.file_name().unwrap_or_default().to_string_lossy())
}
