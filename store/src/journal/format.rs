//! The bytes of a segment.
//!
//! ```text
//!  header, twice       64 bytes each: one of them may be damaged
//!    "ABjourn1"  u32 salt  u64 number  u64 oldest  u64 next item
//!    u64 previous  u64 its length  u32 its frames  u32 checksum
//!  frames, one for each step
//!    u32 length  u32 checksum  u32 sequence  u32 behind  changes…
//!  change
//!    u8 1  u64 id  u32 length  item        put
//!    u8 2  u64 id  progress                progress
//!    u8 3  u64 id                          gone
//! ```
//!
//! `sequence` counts the frames of a segment from 1: what is lost in the middle can be counted, and what stands there twice is not taken
//! twice. `behind` says how many frames of the same commit come before this one: everything before them had been synced when this one was
//! written, so damage there is damage and not a write that was interrupted. `salt` is mixed into the checksums of frames, so that nobody
//! can plant a frame in the data of a request and have it found after some damage.
//!
//! A header says how long its predecessor was when it was closed. What stands behind that was never acknowledged, and does not count. A segment
//! without any sound frame was never acknowledged itself, and what its header says does not count either.

use crate::codec::bytes::Reader;
use crate::codec::{Damaged, put_progress, read_progress};
use answerback_broker::{ItemId, Progress};
use crc32fast::Hasher;

/// Which format, and that this is a segment of a journal at all. A later format has another last digit.
const MAGIC: &[u8; 8] = b"ABjourn1";

const ONE_HEADER_BYTES: usize = 64;

/// Both copies.
pub(crate) const HEADER_BYTES: u64 = 2 * ONE_HEADER_BYTES as u64;

/// Length, checksum, sequence, behind.
pub(crate) const FRAME_HEAD_BYTES: usize = 16;

/// The shortest change is a kind and an id.
pub(crate) const CHANGES_BYTES_LEAST: usize = 9;

const PUT: u8 = 1;
const PROGRESS: u8 = 2;
const GONE: u8 = 3;

/// What stands at the start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) salt: u32,
    pub(crate) number: u64,
    /// The oldest segment that was still needed when this one was made.
    pub(crate) oldest: u64,
    pub(crate) next_item: u64,
    pub(crate) previous: Closed,
}

/// What is known of a segment that is not written any more. Number 0 means that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Closed {
    pub(crate) number: u64,
    pub(crate) length: u64,
    pub(crate) frames: u32,
}

/// The first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Bytes of the changes behind it.
    pub(crate) length: u32,
    pub(crate) checksum: u32,
    pub(crate) sequence: u32,
    pub(crate) behind: u32,
}

/// A change, as it stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written<'a> {
    Put(ItemId, &'a [u8]),
    Progress(ItemId, Progress),
    Gone(ItemId),
}

impl Header {
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        for _ in 0..2 {
            let start = into.len();
            into.extend_from_slice(MAGIC);
            into.extend_from_slice(&self.salt.to_le_bytes());
            for number in [self.number, self.oldest, self.next_item, self.previous.number, self.previous.length] {
                into.extend_from_slice(&number.to_le_bytes());
            }
            into.extend_from_slice(&self.previous.frames.to_le_bytes());
            into.resize(start + ONE_HEADER_BYTES - 4, 0);
            let checksum = crc32fast::hash(&into[start..]);
            into.extend_from_slice(&checksum.to_le_bytes());
        }
    }

    /// Reads the copies of a header: the first sound one, and how many are not sound.
    pub(crate) fn read(bytes: &[u8]) -> (Option<Self>, usize) {
        let copies = bytes.chunks(ONE_HEADER_BYTES).take(2);
        let sound: Vec<Self> = copies.filter_map(Self::read_one).collect();
        (sound.first().copied(), 2 - sound.len())
    }

    fn read_one(bytes: &[u8]) -> Option<Self> {
        let (said, checksum) = bytes.split_at_checked(ONE_HEADER_BYTES - 4)?;
        if checksum != crc32fast::hash(said).to_le_bytes() {
            return None;
        }
        let mut reader = Reader::new(said.strip_prefix(MAGIC)?);
        let salt = reader.u32().ok()?;
        let mut number = || reader.u64().ok();
        let (own, oldest, next_item) = (number()?, number()?, number()?);
        let previous = Closed { number: number()?, length: number()?, frames: reader.u32().ok()? };
        Some(Self { salt, number: own, oldest, next_item, previous })
    }
}

/// Whether a segment begins as one of a later format does.
pub(crate) fn is_newer(bytes: &[u8]) -> bool {
    bytes
        .split_first_chunk::<8>()
        .is_some_and(|(magic, _)| magic[..7] == MAGIC[..7] && magic[7] > MAGIC[7] && magic[7].is_ascii_digit())
}

impl FrameHead {
    /// Reads the first bytes of a frame. Whether it is one, the checksum says.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut number = || reader.u32().ok();
        Some(Self { length: number()?, checksum: number()?, sequence: number()?, behind: number()? })
    }

    /// Bytes of the frame.
    pub(crate) fn total(&self) -> u64 {
        FRAME_HEAD_BYTES as u64 + u64::from(self.length)
    }

    /// Whether this can be the head of a frame in `room` bytes.
    pub(crate) fn is_plausible(&self, room: u64) -> bool {
        self.length as usize >= CHANGES_BYTES_LEAST && self.total() <= room && self.behind < self.sequence
    }

    pub(crate) fn fits(&self, salt: u32, changes: &[u8]) -> bool {
        self.checksum == self.sum(salt, changes)
    }

    fn sum(&self, salt: u32, changes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(salt);
        for number in [self.length, self.sequence, self.behind] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(changes);
        hasher.finalize()
    }
}

/// Keeps room for the head of a frame; the changes follow, then [`end_frame`].
pub(crate) fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + FRAME_HEAD_BYTES, 0);
    start
}

/// Writes the head of the frame that began at `start`. A frame of 4 GiB cannot be written: its step would hold more data than the
/// protocol lets a request have.
pub(crate) fn end_frame(out: &mut [u8], start: usize, salt: u32, sequence: u32, behind: u32) {
    let (head, changes) = out[start..].split_at_mut(FRAME_HEAD_BYTES);
    let mut frame = FrameHead { length: changes.len() as u32, checksum: 0, sequence, behind };
    frame.checksum = frame.sum(salt, changes);
    for (number, place) in [frame.length, frame.checksum, sequence, behind].into_iter().zip(head.chunks_mut(4)) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// Appends a put; `item` appends the item.
pub(crate) fn put_put(id: ItemId, out: &mut Vec<u8>, item: impl FnOnce(&mut Vec<u8>)) {
    put_kind(PUT, id, out);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    item(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

pub(crate) fn put_progressed(id: ItemId, progress: &Progress, out: &mut Vec<u8>) {
    put_kind(PROGRESS, id, out);
    put_progress(progress, out);
}

pub(crate) fn put_gone(id: ItemId, out: &mut Vec<u8>) {
    put_kind(GONE, id, out);
}

fn put_kind(kind: u8, id: ItemId, out: &mut Vec<u8>) {
    let mut bytes = [kind; CHANGES_BYTES_LEAST];
    bytes[1..].copy_from_slice(&id.0.to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// The changes of a frame, one after the other.
pub(crate) struct Changes<'a>(Reader<'a>);

impl<'a> Changes<'a> {
    pub(crate) fn of(changes: &'a [u8]) -> Self {
        Self(Reader::new(changes))
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.0.left()
    }

    pub(crate) fn next(&mut self) -> Result<Option<Written<'a>>, Damaged> {
        if self.0.left() == 0 {
            return Ok(None);
        }
        let (kind, id) = (self.0.u8()?, ItemId(self.0.u64()?));
        match kind {
            PUT => Ok(Some(Written::Put(id, self.0.long()?))),
            PROGRESS => Ok(Some(Written::Progress(id, read_progress(&mut self.0)?))),
            GONE => Ok(Some(Written::Gone(id))),
            _ => Err(Damaged { what: "a change of no known kind" }),
        }
    }
}
