//! A round that is too large for one batch of sled: written down beside the database first, then applied in small batches.
//!
//! sled keeps everything that a batch has replaced until the batch is done, some 10 KB for each change: a million changes at once take 10 GB of memory. So
//! a large round becomes a file, synced before anything of it is applied. Whoever opens the generation applies it to its end. It is there completely or
//! not at all, like a small one.
//!
//! ```text
//!  "ABround1"  u32 checksum of the rest  round  next item  two counts
//!  u8 1 part record length bytes | u8 2 part record            again and again
//! ```

use super::block::{BLOCK_IDS, BlockId, RecordId};
use super::generation::{Batch, Meta};
use crate::codec::bytes::Reader;
use crate::codec::{Damaged, bytes::put_long};
use crate::snapshots::Part;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Records that sled is given at once. With 1,000 the allocator ends up with 500 MB more after a million were removed, and nothing is faster …
pub(super) const BATCH_CHANGES: usize = 128;

/// … and bytes of them, unless it is a single one.
const BATCH_BYTES: usize = 1 << 20;

const FILE: &str = "round";
const NEW_FILE: &str = "round.new";
const MAGIC: &[u8; 8] = b"ABround1";
const HEAD_BYTES: u64 = 12;

const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// A change to a generation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit<'a> {
    Put(Part, RecordId, &'a [u8]),
    Remove(Part, RecordId),
}

/// Writes a round down, to stay.
pub(super) fn write_down<'a>(dir: &Path, meta: &Meta, edits: impl Iterator<Item = Edit<'a>>) -> io::Result<()> {
    let new = dir.join(NEW_FILE);
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let mut out = BufWriter::with_capacity(256 << 10, file);
    out.write_all(MAGIC)?;
    out.write_all(&[0; 4])?;
    let mut hasher = crc32fast::Hasher::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        out.write_all(bytes)
    };
    put(&meta.numbers())?;
    let mut bytes = Vec::new();
    for edit in edits {
        bytes.clear();
        edit.write(&mut bytes);
        put(&bytes)?;
    }
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.seek(SeekFrom::Start(HEAD_BYTES - 4))?;
    file.write_all(&hasher.finalize().to_le_bytes())?;
    file.sync_all()?;
    fs::rename(&new, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

/// A round that was written down and perhaps not applied to its end: its meta, and its edits in batches.
pub(super) fn written_down(dir: &Path) -> io::Result<Option<(Meta, Vec<u8>)>> {
    let mut bytes = Vec::new();
    match File::open(dir.join(FILE)) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a round that was written down is damaged");
    let said = bytes.strip_prefix(MAGIC).and_then(|bytes| bytes.split_first_chunk::<4>());
    let (checksum, rest) = said.ok_or_else(damaged)?;
    if *checksum != crc32fast::hash(rest).to_le_bytes() {
        return Err(damaged());
    }
    let meta = Meta::from_numbers(rest).ok_or_else(damaged)?;
    Ok(Some((meta, rest.get(Meta::BYTES..).unwrap_or_default().to_vec())))
}

/// Hands over edits that were written down, in batches.
pub(super) fn apply(edits: &[u8], each: &mut dyn FnMut(Batch) -> io::Result<()>) -> io::Result<()> {
    let mut reader = Reader::new(edits);
    let mut chunk = Chunks::default();
    while reader.left() > 0 {
        let edit = Edit::read(&mut reader).map_err(|damaged| io::Error::new(io::ErrorKind::InvalidData, damaged))?;
        chunk.add(edit, each)?;
    }
    chunk.end(each)
}

/// Puts edits together to batches.
#[derive(Default)]
pub(super) struct Chunks {
    batch: Batch,
    edits: usize,
    bytes: usize,
}

impl Chunks {
    pub(super) fn add(&mut self, edit: Edit<'_>, each: &mut dyn FnMut(Batch) -> io::Result<()>) -> io::Result<()> {
        match edit {
            Edit::Put(part, record, bytes) => {
                self.batch.put(part, record, bytes);
                self.bytes += bytes.len();
            }
            Edit::Remove(part, record) => self.batch.remove(part, record),
        }
        self.edits += 1;
        if self.edits < BATCH_CHANGES && self.bytes < BATCH_BYTES {
            return Ok(());
        }
        (self.edits, self.bytes) = (0, 0);
        each(std::mem::take(&mut self.batch))
    }

    pub(super) fn end(self, each: &mut dyn FnMut(Batch) -> io::Result<()>) -> io::Result<()> {
        each(self.batch)
    }
}

/// Removes the file of a round that was applied. If it is there again after a power cut, its number says that it is old.
pub(super) fn forget(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl<'a> Edit<'a> {
    pub(super) fn part(&self) -> Part {
        match self {
            Self::Put(part, ..) | Self::Remove(part, _) => *part,
        }
    }

    pub(super) fn record(&self) -> RecordId {
        match self {
            Self::Put(_, record, _) | Self::Remove(_, record) => *record,
        }
    }

    fn write(&self, into: &mut Vec<u8>) {
        let (kind, record) = (if matches!(self, Self::Put(..)) { PUT } else { REMOVE }, self.record());
        into.extend_from_slice(&[kind, self.part() as u8]);
        into.extend_from_slice(&record.block.0.to_le_bytes());
        into.push(record.large.map_or(0, |place| place + 1));
        if let Self::Put(.., bytes) = self {
            put_long(bytes, into);
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Damaged> {
        let (kind, part, block, place) = (reader.u8()?, reader.u8()?, BlockId(reader.u64()?), reader.u8()?);
        let part = match part {
            0 => Part::First,
            1 => Part::Sends,
            _ => return Err(Damaged { what: "it belongs to no known part" }),
        };
        if usize::from(place) > BLOCK_IDS {
            return Err(Damaged { what: "it has no place in its block" });
        }
        let record = RecordId { block, large: place.checked_sub(1) };
        match kind {
            PUT => Ok(Self::Put(part, record, reader.long()?)),
            REMOVE => Ok(Self::Remove(part, record)),
            _ => Err(Damaged { what: "it is of no known kind" }),
        }
    }
}
