//! Puts frames together from whatever pieces the network delivers.
//!
//! All connections of a thread read into one [`Scratch`], so an idle connection owns no read buffer. A frame that did
//! not arrive whole is parked in its connection's [`Inbox`] until the next read. A frame larger than the scratch gets a
//! buffer of its own, which grows with the bytes that arrive and never with the length that was announced; its data is
//! then passed on as a part of that buffer, without being copied.
//!
//! ```text
//!  space() ─► read(2) into it ─► received(n) ─► next() … next() = None ─► (what is left is parked)
//! ```
//!
//! On a sealed connection the reads bring records. They are opened where they lie, one after another, and frames are handed out from there as
//! before; nothing of a record that does not open is.

mod growing;
mod sealed;
#[cfg(test)]
mod tests;

use crate::envelope::{Envelope, EnvelopeError};
use crate::limits::PREFIX_BYTES;
use crate::payload::{Payload, SHARE_FROM_BYTES};
use crate::sealed::{Opener, RecordError};
use bytes::Bytes;
use growing::Large;
use sealed::Sealed;
use std::ops::Range;

/// A read buffer shared by all connections of a thread.
pub struct Scratch {
    bytes: Box<[u8]>,
    /// Where frames that were not handed out lie.
    start: usize,
    end: usize,
    /// On a sealed connection: where records that were not opened lie, behind those frames.
    sealed: Range<usize>,
}

/// What one connection has received and not yet handed out.
pub struct Inbox {
    limit: u32,
    /// Bytes before the read that is in the scratch, parked there by the last one.
    parked: Box<[u8]>,
    /// A frame that is assembled in a buffer of its own.
    large: Option<Large>,
    /// On a sealed connection: what opens its records.
    sealed: Option<Box<Sealed>>,
}

/// What stands next in an inbox.
enum Found {
    /// A frame in the scratch.
    Small(Envelope),
    /// The one in a buffer of its own.
    Large(Large),
}

/// A frame as it came: head and data, not yet read.
pub struct RawFrame<'a> {
    /// The JSON of the head.
    pub head: &'a [u8],
    data: Data<'a>,
}

enum Data<'a> {
    Small(&'a [u8]),
    Large(Bytes),
}

/// The most that parking may copy per read, and so what is kept per connection between reads.
const PARK_BYTES_MAX: usize = SHARE_FROM_BYTES;

impl Scratch {
    /// A scratch of `bytes` bytes; reads are at most that large. At least 32 KiB.
    pub fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes.max(2 * PARK_BYTES_MAX)].into(), start: 0, end: 0, sealed: 0..0 }
    }

    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

impl Inbox {
    /// An inbox that takes frames whose first length says at most `limit`.
    pub fn new(limit: u32) -> Self {
        Self { limit, parked: Box::default(), large: None, sealed: None }
    }

    /// The same on a sealed connection, from its first record on.
    pub fn sealed(limit: u32, opener: Opener) -> Self {
        Self { sealed: Some(Box::new(Sealed::new(opener))), ..Self::new(limit) }
    }

    /// From now on its frames may be this long, if that is more than before: who they come from turned out to be one that may say more.
    pub fn allow(&mut self, limit: u32) {
        self.limit = self.limit.max(limit);
    }

    /// Bytes of memory that this inbox holds on to.
    pub fn memory(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.bytes.memory());
        self.parked.len() + large + self.sealed.as_ref().map_or(0, |sealed| sealed.memory())
    }

    /// Whether a frame, or a record, has begun and is not complete.
    pub fn is_amid_a_frame(&self) -> bool {
        !self.parked.is_empty()
            || self.large.is_some()
            || self.sealed.as_ref().is_some_and(|sealed| sealed.is_amid_a_record())
    }

    /// Whether what was read since this was last asked is a sign of life: any byte in the clear, but on a sealed connection only a record that has
    /// opened. Other bytes may be anybody's.
    pub fn shows_life(&mut self) -> bool {
        self.sealed.as_mut().is_none_or(|sealed| sealed.has_opened())
    }

    /// Where the next read goes. Never empty.
    pub fn space<'s>(&'s mut self, scratch: &'s mut Scratch) -> &'s mut [u8] {
        if let Some(sealed) = &mut self.sealed {
            return sealed.space(&self.parked, scratch);
        }
        match &mut self.large {
            Some(large) => large.bytes.space(),
            None => {
                let parked = self.parked.len();
                scratch.bytes[..parked].copy_from_slice(&self.parked);
                &mut scratch.bytes[parked..]
            }
        }
    }

    /// Says that a read has put `count` bytes into the space.
    pub fn received(&mut self, scratch: &mut Scratch, count: usize) {
        if let Some(sealed) = &mut self.sealed {
            if sealed.received(&self.parked, scratch, count) {
                self.parked = Box::default();
            }
            return;
        }
        match &mut self.large {
            Some(large) => {
                large.bytes.received(count);
                (scratch.start, scratch.end) = (0, 0);
            }
            None => {
                (scratch.start, scratch.end) = (0, self.parked.len() + count);
                self.parked = Box::default();
            }
        }
    }

    /// What has come and was not handed out, for those who must see a connection's first bytes to know what it is. Then either
    /// [`next`](Self::next) or [`park`](Self::park) goes on.
    pub fn unread<'s>(&self, scratch: &'s Scratch) -> &'s [u8] {
        scratch.unread()
    }

    /// Keeps what is left of the read for the next one.
    pub fn park(&mut self, scratch: &mut Scratch) {
        if let Some(sealed) = &mut self.sealed {
            if sealed.is_amid_a_long_record() {
                return; // The frame before it is parked already.
            }
            sealed.park(scratch);
        }
        self.parked = scratch.unread().into();
        (scratch.start, scratch.end) = (0, 0);
    }

    /// Keeps all that is left of the read, whole frames too, for those who must let others have their turn. [`take_up`](Self::take_up) comes
    /// before the next read.
    pub fn set_aside(&mut self, scratch: &mut Scratch) {
        if let Some(sealed) = &mut self.sealed {
            if sealed.is_amid_a_long_record() {
                return; // The scratch holds nothing of this connection.
            }
            sealed.set_aside(scratch);
        }
        self.parked = scratch.unread().into();
        (scratch.start, scratch.end) = (0, 0);
    }

    /// Puts back what was set aside: [`next`](Self::next) goes on as if it had just been read.
    pub fn take_up(&mut self, scratch: &mut Scratch) {
        self.space(scratch);
        self.received(scratch, 0);
    }

    /// The next complete frame. When there is none, what is left of the read is kept for the next one; call this until
    /// it says so. After an error the connection cannot go on.
    pub fn next<'s>(&'s mut self, scratch: &'s mut Scratch) -> Result<Option<RawFrame<'s>>, EnvelopeError> {
        match self.find(scratch)? {
            Some(Found::Small(envelope)) => {
                let frame = &scratch.bytes[scratch.start..scratch.start + envelope.total()];
                scratch.start += envelope.total();
                let (head, data) = (&frame[PREFIX_BYTES..envelope.data_at()], &frame[envelope.data_at()..]);
                Ok(Some(RawFrame { head, data: Data::Small(data) }))
            }
            Some(Found::Large(large)) => Ok(Some(Self::hand_out(large, scratch))),
            None => Ok(None),
        }
    }

    /// Looks for a whole frame, and opens records until there is one.
    fn find(&mut self, scratch: &mut Scratch) -> Result<Option<Found>, EnvelopeError> {
        loop {
            if self.large.is_some() {
                // Moved out of the option, so that the inbox owns no large frame once this one is handed out.
                if let Some(large) = self.large.take_if(|large| large.bytes.is_whole()) {
                    return Ok(Some(Found::Large(large)));
                }
            } else {
                let unread = scratch.unread();
                match Envelope::peek(unread, self.limit)? {
                    Some(envelope) if envelope.total() <= unread.len() => return Ok(Some(Found::Small(envelope))),
                    Some(envelope) if envelope.total() > PARK_BYTES_MAX => {
                        self.large = Some(Large::begin(envelope, unread));
                        (scratch.start, scratch.end) = (0, 0);
                    }
                    _ => {}
                }
            }
            if !self.open_record(scratch)? {
                self.park(scratch);
                return Ok(None);
            }
        }
    }

    /// Puts what is in the next record behind what is left of the ones before, if the connection is sealed and one is there. [`next`](Self::next) does
    /// that by itself; this is for those who must know that the peer has the key before they look at what it says. When it says no,
    /// [`park`](Self::park) goes on.
    pub fn open_record(&mut self, scratch: &mut Scratch) -> Result<bool, RecordError> {
        let Some(sealed) = self.sealed.as_mut().filter(|sealed| !sealed.is_amid_a_long_record()) else {
            return Ok(false);
        };
        let Some(plain) = sealed.open(scratch)? else { return Ok(false) };
        let start = match &mut self.large {
            Some(large) => plain.start + large.bytes.copy(&scratch.bytes[plain.clone()]),
            None => {
                let start = plain.start - (scratch.end - scratch.start);
                scratch.bytes.copy_within(scratch.start..scratch.end, start);
                start
            }
        };
        (scratch.start, scratch.end) = (start, plain.end);
        Ok(true)
    }

    /// A large frame's head is copied to the front of the scratch, which is free then; its data is a part of its buffer.
    fn hand_out(large: Large, scratch: &mut Scratch) -> RawFrame<'_> {
        let (envelope, whole) = (large.envelope, large.bytes.whole());
        let head = &whole[PREFIX_BYTES..envelope.data_at()];
        let space = &mut scratch.bytes[..head.len()];
        space.copy_from_slice(head);
        RawFrame { head: space, data: Data::Large(whole.slice(envelope.data_at()..)) }
    }
}

impl RawFrame<'_> {
    /// The data, to be read where it lies.
    pub fn data(&self) -> &[u8] {
        match &self.data {
            Data::Small(data) => data,
            Data::Large(data) => data,
        }
    }

    /// The data, to be kept: copied if small, shared if large.
    pub fn payload(&self) -> Payload {
        match &self.data {
            Data::Small(data) => Payload::copy_of(data),
            Data::Large(data) => Payload::from_received(data.clone()),
        }
    }
}
