//! The same heads read with `serde_json`, as strictly as derived code can be: a member that stands there twice, a type
//! that is wrong and a number out of range are refused, strings are borrowed where that is possible, names are checked.
//!
//! What it does not refuse, and the protocol does: twins of unknown members, and nesting deeper than four.

use answerback_protocol::Name;
use answerback_protocol::limits::{ATTEMPTS_MAX, ID_END};
use serde::Deserialize;
use std::borrow::Cow;

/// One struct with the members of all that a client sends on the road of a call. The quickest way with serde.
#[derive(Deserialize)]
pub(super) struct Flat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    id: Option<u64>,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    ttl: Option<u64>,
    timeout: Option<u64>,
    #[serde(default)]
    broadcast: bool,
    attempts: Option<u32>,
    #[serde(default)]
    durable: bool,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(default = "yes")]
    reply: bool,
    #[serde(default)]
    info: bool,
    #[serde(borrow)]
    trace: Option<Cow<'a, str>>,
    #[serde(default)]
    part: bool,
    seq: Option<u64>,
    replies: Option<u64>,
}

/// The way that reads best: one variant for each type. serde has to keep all members until it has seen the type.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Tagged<'a> {
    Request {
        id: u64,
        #[serde(borrow)]
        action: Cow<'a, str>,
        ttl: Option<u64>,
        timeout: Option<u64>,
        attempts: Option<u32>,
        #[serde(borrow)]
        key: Option<Cow<'a, str>>,
        #[serde(default = "yes")]
        reply: bool,
        #[serde(default)]
        info: bool,
        #[serde(borrow)]
        trace: Option<Cow<'a, str>>,
    },
    Reply {
        id: u64,
        #[serde(default)]
        part: bool,
        seq: Option<u64>,
    },
    Ack {
        replies: u64,
    },
}

fn yes() -> bool {
    true
}

/// Reads a head into the flat struct and checks what its type asks for.
pub(super) fn flat(head: &[u8]) -> Result<Flat<'_>, String> {
    let flat: Flat<'_> = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    let sound = match &*flat.kind {
        "request" => is_id(flat.id) && flat.action.as_deref().is_some_and(is_name) && flat.members_in_range(),
        "reply" => is_id(flat.id) && flat.seq.is_none_or(|seq| seq < ID_END),
        "ack" => is_id(flat.replies),
        _ => false,
    };
    if sound { Ok(flat) } else { Err("a member is out of range".to_owned()) }
}

impl Flat<'_> {
    fn members_in_range(&self) -> bool {
        let counts = [self.ttl, self.timeout].into_iter().flatten().all(|count| count < ID_END);
        let attempts = self.attempts.is_none_or(|attempts| (1..=ATTEMPTS_MAX).contains(&attempts));
        let texts = [&self.key, &self.trace].into_iter().flatten().all(|text| is_name(text));
        let contradiction = self.broadcast && (self.durable || self.key.is_some());
        counts && attempts && texts && !contradiction && !self.part && (self.reply || !self.info)
    }
}

/// Reads a head into the tagged enum and checks what its type asks for.
pub(super) fn tagged(head: &[u8]) -> Result<Tagged<'_>, String> {
    let tagged: Tagged<'_> = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    let sound = match &tagged {
        Tagged::Request { id, action, ttl, timeout, attempts, key, reply, info, trace } => {
            *id < ID_END
                && is_name(action)
                && [ttl, timeout].into_iter().flatten().all(|count| *count < ID_END)
                && attempts.is_none_or(|attempts| (1..=ATTEMPTS_MAX).contains(&attempts))
                && [key, trace].into_iter().flatten().all(|text| is_name(text))
                && (*reply || !*info)
        }
        Tagged::Reply { id, part, seq } => *id < ID_END && !*part && seq.is_none_or(|seq| seq < ID_END),
        Tagged::Ack { replies } => *replies < ID_END,
    };
    if sound { Ok(tagged) } else { Err("a member is out of range".to_owned()) }
}

fn is_id(id: Option<u64>) -> bool {
    id.is_some_and(|id| id < ID_END)
}

fn is_name(text: &str) -> bool {
    Name::new(text).is_ok()
}
