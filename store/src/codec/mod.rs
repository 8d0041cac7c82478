//! Items as bytes. What the bytes mean is part of the store's format: a change here is a new format.
//!
//! ```text
//!  u8 1  request   u16 flags, origin, received, expires, deadline, attempts,
//!                  [caller], [progress], action, from, [key], [trace], data
//!  u8 2  kept      u8 flags, caller, name, head of the reply as on the wire, data
//!  u8 3  stored    u8 flags, fingerprint, until, action, key, [fault as the head of a reply], data
//! ```
//!
//! Numbers are little endian, times are microseconds since 1970, texts have two bytes of length, data has four.

pub(crate) mod bytes;
pub(crate) mod heads;
#[cfg(test)]
mod tests;

use crate::Calendar;
use answerback_broker::{Caller, Item, Progress, SavedKept, SavedRequest, SavedStored};
use answerback_protocol::{Payload, RequestId};
use bytes::{Reader, put_long, put_text};
use std::fmt;
use std::sync::Arc;

/// Bytes that are not an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged {
    /// What is wrong with them; never a piece of them.
    pub what: &'static str,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl std::error::Error for Damaged {}

const REQUEST: u8 = 1;
const KEPT: u8 = 2;
const STORED: u8 = 3;

const HAS_CALLER: u16 = 1;
const HAS_KEY: u16 = 1 << 1;
const HAS_TRACE: u16 = 1 << 2;
const HAS_PROGRESS: u16 = 1 << 3;
const WANTS_INFO: u16 = 1 << 4;
const IS_DURABLE: u16 = 1 << 5;
const FLAGS: u16 = (1 << 6) - 1;

const IS_DELIVERED: u8 = 1;
const MAY_HAVE_RUN: u8 = 1 << 1;
const HAS_HANDLER: u8 = 1 << 2;
const PROGRESS_FLAGS: u8 = (1 << 3) - 1;

/// Of kept and stored replies: whether they belong into the journal.
const IN_JOURNAL: u8 = 1;

/// Appends an item.
pub fn encode(item: &Item, calendar: &Calendar, into: &mut Vec<u8>) {
    match item {
        Item::Request(request) => put_request(request, calendar, into),
        Item::Kept(kept) => {
            into.extend_from_slice(&[KEPT, u8::from(kept.durable)]);
            put_caller(&kept.caller, into);
            put_text(&kept.name, into);
            heads::put_reply(&kept.reply, into);
            put_long(&kept.data, into);
        }
        Item::Stored(stored) => {
            into.extend_from_slice(&[STORED, u8::from(stored.durable)]);
            into.extend_from_slice(&stored.fingerprint.to_le_bytes());
            into.extend_from_slice(&calendar.to_clock(stored.until).to_le_bytes());
            put_text(&stored.action, into);
            put_text(&stored.key, into);
            heads::put_error(stored.error.as_deref(), into);
            put_long(&stored.data, into);
        }
    }
}

/// Reads an item that takes up all of `bytes`. Total: whatever the bytes are, this is an item or an error.
pub fn decode(bytes: &[u8], calendar: &Calendar) -> Result<Item, Damaged> {
    Decoder::new(*calendar).decode(bytes)
}

/// Reads many items. Names that come again and again are shared between them, which saves most of their memory.
#[derive(Debug)]
pub(crate) struct Decoder {
    calendar: Calendar,
    names: Box<[Option<Arc<str>>; NAMES]>,
}

/// Names that are remembered for sharing: more actions than that are rare, and a miss only costs an allocation.
const NAMES: usize = 512;

impl Decoder {
    pub(crate) fn new(calendar: Calendar) -> Self {
        Self { calendar, names: Box::new([const { None }; NAMES]) }
    }

    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Result<Item, Damaged> {
        let mut reader = Reader::new(bytes);
        let item = match reader.u8()? {
            REQUEST => Item::Request(Box::new(self.request(&mut reader)?)),
            KEPT => Item::Kept(Box::new(SavedKept {
                durable: read_in_journal(&mut reader)?,
                caller: read_caller(&mut reader)?,
                name: self.name(reader.text()?),
                reply: heads::read_reply(reader.long()?)?,
                data: Payload::copy_of(reader.long()?),
            })),
            STORED => {
                let durable = read_in_journal(&mut reader)?;
                let (fingerprint, until) = (reader.u128()?, reader.u64()?);
                Item::Stored(Box::new(SavedStored {
                    action: self.name(reader.text()?),
                    key: reader.text()?.into(),
                    fingerprint,
                    until: self.calendar.from_clock(until),
                    error: heads::read_error(reader.long()?)?,
                    data: Payload::copy_of(reader.long()?),
                    durable,
                }))
            }
            _ => return Err(Damaged { what: "it is of no known kind" }),
        };
        reader.end()?;
        Ok(item)
    }

    fn request(&mut self, reader: &mut Reader<'_>) -> Result<SavedRequest, Damaged> {
        let flags = reader.u16()?;
        if flags & !FLAGS != 0 {
            return Err(Damaged { what: "it has flags of no known meaning" });
        }
        let has = |flag| flags & flag != 0;
        let origin = reader.u64()?;
        let waits = self.calendar.waits(reader.u64()?, reader.u64()?, reader.u64()?);
        Ok(SavedRequest {
            origin,
            received: waits.received,
            expires: waits.expires,
            deadline: waits.deadline,
            attempts: reader.u16()?,
            info: has(WANTS_INFO),
            durable: has(IS_DURABLE),
            caller: if has(HAS_CALLER) { Some(read_caller(reader)?) } else { None },
            progress: if has(HAS_PROGRESS) { read_progress(reader)? } else { Progress::default() },
            action: self.name(reader.text()?),
            from: self.name(reader.text()?),
            key: if has(HAS_KEY) { Some(reader.text()?.into()) } else { None },
            trace: if has(HAS_TRACE) { Some(reader.text()?.into()) } else { None },
            data: Payload::copy_of(reader.long()?),
        })
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        let sum = text.bytes().fold(text.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let place = &mut self.names[sum % NAMES];
        match place {
            Some(name) if **name == *text => Arc::clone(name),
            _ => Arc::clone(place.insert(text.into())),
        }
    }
}

fn put_request(request: &SavedRequest, calendar: &Calendar, into: &mut Vec<u8>) {
    let has_progress = request.progress != Progress::default();
    let flags = [
        (request.caller.is_some(), HAS_CALLER),
        (request.key.is_some(), HAS_KEY),
        (request.trace.is_some(), HAS_TRACE),
        (has_progress, HAS_PROGRESS),
        (request.info, WANTS_INFO),
        (request.durable, IS_DURABLE),
    ];
    let flags = flags.iter().fold(0, |flags, (set, flag)| if *set { flags | flag } else { flags });
    // One reservation, and the numbers that are always there in one piece: most items are these.
    into.reserve(FIXED_BYTES + 96 + request.action.len() + request.from.len() + request.data.len());
    let mut fixed = [0; FIXED_BYTES];
    fixed[0] = REQUEST;
    fixed[1..3].copy_from_slice(&u16::to_le_bytes(flags));
    let times = [request.received, request.expires, request.deadline].map(|time| calendar.to_clock(time));
    for (number, at) in [request.origin, times[0], times[1], times[2]].into_iter().zip((3..).step_by(8)) {
        fixed[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    fixed[35..].copy_from_slice(&request.attempts.to_le_bytes());
    into.extend_from_slice(&fixed);
    if let Some(caller) = &request.caller {
        put_caller(caller, into);
    }
    if has_progress {
        put_progress(&request.progress, into);
    }
    put_text(&request.action, into);
    put_text(&request.from, into);
    for text in [&request.key, &request.trace].into_iter().flatten() {
        put_text(text, into);
    }
    put_long(&request.data, into);
}

/// Kind, flags, origin, three times, attempts.
const FIXED_BYTES: usize = 37;

fn put_caller(caller: &Caller, into: &mut Vec<u8>) {
    into.extend_from_slice(&caller.session.to_le_bytes());
    into.extend_from_slice(&caller.id.get().to_le_bytes());
}

fn read_caller(reader: &mut Reader<'_>) -> Result<Caller, Damaged> {
    let (session, id) = (reader.u128()?, reader.u64()?);
    let id = RequestId::new(id).ok_or(Damaged { what: "an id in it is too large" })?;
    Ok(Caller { session, id })
}

pub(crate) fn put_progress(progress: &Progress, into: &mut Vec<u8>) {
    into.extend_from_slice(&progress.attempt.to_le_bytes());
    into.extend_from_slice(&progress.deliveries.to_le_bytes());
    into.extend_from_slice(&progress.parts.to_le_bytes());
    let flags = [
        (progress.delivered, IS_DELIVERED),
        (progress.may_have_run, MAY_HAVE_RUN),
        (progress.handler.is_some(), HAS_HANDLER),
    ];
    into.push(flags.iter().fold(0, |flags, (set, flag)| if *set { flags | flag } else { flags }));
    if let Some(handler) = progress.handler {
        into.extend_from_slice(&handler.to_le_bytes());
    }
}

pub(crate) fn read_progress(reader: &mut Reader<'_>) -> Result<Progress, Damaged> {
    let (attempt, deliveries, parts, flags) = (reader.u16()?, reader.u16()?, reader.u32()?, reader.u8()?);
    if flags & !PROGRESS_FLAGS != 0 {
        return Err(Damaged { what: "it has flags of no known meaning" });
    }
    let (delivered, may_have_run) = (flags & IS_DELIVERED != 0, flags & MAY_HAVE_RUN != 0);
    let handler = if flags & HAS_HANDLER != 0 { Some(reader.u128()?) } else { None };
    Ok(Progress { attempt, deliveries, parts, delivered, may_have_run, handler })
}

fn read_in_journal(reader: &mut Reader<'_>) -> Result<bool, Damaged> {
    match reader.u8()? {
        flags if flags & !IN_JOURNAL != 0 => Err(Damaged { what: "it has flags of no known meaning" }),
        flags => Ok(flags == IN_JOURNAL),
    }
}
