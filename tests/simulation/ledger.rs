//! The ledger: what every caller asked, which handlers started it, and what everybody was told. It is the memory of an
//! observer who sees all places at once, so most of what the broker promises is a look at one of its lines.
//!
//! Here is the side of callers and handlers; `border` and `border_out` watch the broker.

use crate::random::Random;
use answerback_broker::{ConnectionId, Time};
use answerback_protocol::frames::{Reply, Request};
use answerback_protocol::{Code, Name, Payload, Ran, RequestId, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A request, by its line in the ledger.
pub(crate) type Token = usize;

/// Fails the run if something is not so, and says which invariant is broken.
macro_rules! hold {
    ($so:expr, $($text:tt)+) => {
        if !$so {
            panic!("broken: {}", format!($($text)+));
        }
    };
}
pub(crate) use hold;

/// Which sort of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One for handlers.
    Ordinary,
    /// One that the broker serves itself: `$echo`.
    BuiltIn,
    /// One that its caller may not ask.
    Denied,
    /// One whose head is not what the protocol allows.
    Malformed,
    /// One that uses the id of that other one, which waits. It must never reach anybody.
    Twice(Token),
}

/// A request and all that became of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) session: SessionId,
    pub(crate) id: RequestId,
    pub(crate) action: &'static str,
    pub(crate) ttl: Option<u64>,
    pub(crate) timeout: Option<u64>,
    pub(crate) attempts: Option<u32>,
    pub(crate) broadcast: bool,
    pub(crate) durable: bool,
    pub(crate) key: Option<String>,
    /// Which payload under that key.
    pub(crate) variant: u64,
    pub(crate) reply: bool,
    pub(crate) info: bool,
    pub(crate) trace: Option<String>,
    pub(crate) data: Vec<u8>,

    // What the caller knows.
    /// It was written to a connection at least once.
    pub(crate) sent: bool,
    /// When that was.
    pub(crate) sent_at: Time,
    /// Its session lives and it has not said bye: it must get exactly one answer.
    pub(crate) alive: bool,
    /// It has the answer, or `accepted`.
    pub(crate) settled: bool,
    pub(crate) parts: BTreeMap<u64, PartSeen>,

    // What handlers know.
    pub(crate) starts: Vec<Start>,

    // What the border of the broker saw.
    pub(crate) arrived: Option<Time>,
    /// When it first arrived in the present life of the server, and in which life it arrived last.
    pub(crate) arrived_here: Option<Time>,
    pub(crate) life: Option<u32>,
    /// When its ttl and its timeout end, by what it said when it first arrived in each life.
    pub(crate) expires: Option<Ends>,
    pub(crate) deadline: Option<Ends>,
    /// It was said again after the server had restarted: so it may have run without the server knowing.
    pub(crate) again: bool,
    /// Its session ended while its caller was away: the broker knows nothing of it any more.
    pub(crate) dropped: bool,
    /// It is to be on disk before it counts.
    pub(crate) journaled: bool,
    pub(crate) order: u64,
    pub(crate) announced: Option<(Time, ConnectionId)>,
    pub(crate) cancelled: bool,
    /// It was cancelled in this life or an earlier one.
    pub(crate) ever_cancelled: bool,
    pub(crate) delivered: u32,
    pub(crate) answered: bool,
    /// That was in the life in which it arrived last.
    pub(crate) answered_here: bool,
    pub(crate) accepted: bool,
    /// When it was first answered, as what, and on which connection last.
    pub(crate) ended: Option<(Time, Option<Code>, Ran)>,
    pub(crate) ended_on: Option<ConnectionId>,
    /// Handlers that a broadcast must and may reach.
    pub(crate) audience: (u64, u64),
    /// Its caller used its id again when it was not waiting any more, or a handler of it broke the rules: what comes
    /// is nobody's fault.
    pub(crate) muddled: bool,
}

/// A holder, an action and the words of an idempotency key.
pub(crate) type OwnKey = (String, &'static str, String);

/// When a time ends: the earliest and the latest of what was said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) earliest: Time,
    pub(crate) latest: Time,
}

impl Ends {
    /// Said again, at another time.
    pub(crate) fn and(before: Option<Self>, at: Time) -> Self {
        let earliest = before.map_or(at, |before| before.earliest.min(at));
        Self { earliest, latest: before.map_or(at, |before| before.latest.max(at)) }
    }
}

/// A handler took a delivery in and began to work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) handler: usize,
    pub(crate) at: Time,
    /// When the broker gave it away.
    pub(crate) delivered: Time,
    /// Its handler has died since, or has lost its session.
    pub(crate) abandoned: bool,
    /// The server has died since, and its handler has not come back in time to say what it has.
    pub(crate) in_doubt: bool,
    /// The server knows nothing of it any more, and could not.
    pub(crate) forgiven: bool,
}

/// A part that a caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartSeen {
    Data,
    Fault,
    Lost,
}

/// What a handler said about a delivery.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) about: Option<Token>,
    pub(crate) how: How,
    pub(crate) data: Vec<u8>,
}

/// How a handler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Result,
    Fault {
        retryable: bool,
    },
    Part {
        seq: u64,
    },
    /// For a delivery that is not its own, or a second answer. Nobody may ever see it.
    Intruder,
}

/// All requests and all answers.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) asked: Vec<Asked>,
    pub(crate) said: Vec<Said>,
    /// Deliveries that somebody handed back without having them.
    pub(crate) rude_releases: BTreeSet<u64>,
    /// Until when, after a restart, handlers say what they have.
    pub(crate) window_until: Time,
}

impl Asked {
    /// An ordinary call with nothing said.
    pub(crate) fn new(name: &str, session: SessionId, id: RequestId, action: &'static str) -> Self {
        Self {
            kind: Kind::Ordinary,
            name: name.to_owned(),
            session,
            id,
            action,
            ttl: None,
            timeout: None,
            attempts: None,
            broadcast: false,
            durable: false,
            key: None,
            variant: 0,
            reply: true,
            info: false,
            trace: None,
            data: Vec::new(),
            sent: false,
            sent_at: Time::default(),
            alive: true,
            settled: false,
            parts: BTreeMap::new(),
            starts: Vec::new(),
            arrived: None,
            arrived_here: None,
            life: None,
            expires: None,
            deadline: None,
            again: false,
            dropped: false,
            journaled: false,
            order: 0,
            announced: None,
            cancelled: false,
            ever_cancelled: false,
            delivered: 0,
            answered: false,
            answered_here: false,
            accepted: false,
            ended: None,
            ended_on: None,
            audience: (0, 0),
            muddled: false,
        }
    }

    /// The frame that asks it at this moment. Said again, it has what is left of its times.
    pub(crate) fn frame(&self, now: Time) -> Option<Request<'_>> {
        let gone = self.sent_at.millis_until(now);
        Some(Request {
            id: self.id,
            action: Name::new(self.action).ok()?,
            ttl: self.ttl.map(|ttl| ttl.saturating_sub(gone)),
            timeout: self.timeout.map(|timeout| timeout.saturating_sub(gone)),
            broadcast: self.broadcast,
            attempts: self.attempts,
            durable: self.durable,
            key: self.key.as_deref().map(Into::into),
            reply: self.reply,
            info: self.info,
            trace: self.trace.as_deref().map(Into::into),
            again: self.sent,
            via: None,
        })
    }

    /// The key as it is told from others: by its holder and its action.
    pub(crate) fn own_key(&self) -> Option<OwnKey> {
        let holder = self.name.split_once('/').map_or("", |(holder, _)| holder);
        Some((holder.to_owned(), self.action, self.key.clone()?))
    }

    /// How many handlers may start it.
    pub(crate) fn attempts_allowed(&self) -> u32 {
        self.attempts.unwrap_or(if self.reply { 1 } else { 3 })
    }

    /// It arrived for the first time in a life of the server, with these times.
    pub(crate) fn arrives(&mut self, now: Time, whole: Duration, ttl: Option<u64>) {
        self.arrived_here = Some(now);
        self.deadline = Some(Ends::and(self.deadline, now + whole));
        if let Some(ttl) = ttl {
            self.expires = Some(Ends::and(self.expires, now + Duration::from_millis(ttl)));
        }
    }

    /// Whether its place in a queue and its deadline are its own, shared with no other request.
    pub(crate) fn stands_alone(&self) -> bool {
        self.is_single() && !self.journaled
    }

    /// The same of one that is in the journal.
    pub(crate) fn stands_alone_on_disk(&self) -> bool {
        self.is_single() && self.journaled
    }

    fn is_single(&self) -> bool {
        self.key.is_none() && !self.broadcast && self.kind == Kind::Ordinary
    }
}

impl Start {
    /// A start by this handler.
    pub(crate) fn new(handler: usize, at: Time, delivered: Time) -> Self {
        Self { handler, at, delivered, abandoned: false, in_doubt: false, forgiven: false }
    }
}

impl Ledger {
    /// Writes a request down and gives it data that only it has.
    pub(crate) fn ask(&mut self, mut asked: Asked, longest: u64, random: &mut Random) -> Token {
        let token = self.asked.len();
        match &asked.key {
            Some(key) => {
                asked.data = format!("{{\"k\":\"{key}\",\"v\":{}}}", asked.variant).into_bytes();
                asked.trace = Some(format!("t{token}"));
            }
            None => {
                if random.chance(300) {
                    asked.trace = Some(format!("t{token}"));
                }
                if asked.trace.is_none() || random.chance(900) {
                    let long = if random.chance(30) { random.below(longest) } else { random.below(60) };
                    asked.data = format!("{{\"t\":{token},\"x\":\"{}\"}}", "x".repeat(long as usize)).into_bytes();
                }
            }
        }
        self.asked.push(asked);
        token
    }

    /// The request that a delivery is about: told by its trace, or by its data.
    pub(crate) fn identify(&self, trace: Option<&str>, data: &[u8]) -> Token {
        let token = match trace {
            Some(trace) => trace.strip_prefix('t').and_then(|digits| digits.parse().ok()),
            None => number_after(data, "{\"t\":"),
        };
        match token {
            Some(token) if token < self.asked.len() => token,
            _ => panic!("broken: a delivery of what nobody asked: {trace:?} {:?}", String::from_utf8_lossy(data)),
        }
    }

    /// A handler starts work.
    pub(crate) fn start(&mut self, token: Token, start: Start) {
        let asked = &mut self.asked[token];
        asked.starts.push(start);
        if let Kind::Twice(first) = asked.kind {
            hold!(self.asked[first].muddled, "request {token} used the id of {first}, which waits, and was started");
            return;
        }
        let over = start.at >= self.window_until;
        let counts = |start: &&Start| !(start.forgiven || start.in_doubt && over);
        let started = asked.starts.iter().filter(counts).count();
        if !asked.broadcast {
            hold!(
                started as u32 <= asked.attempts_allowed() || asked.muddled,
                "request {token} was started {started} times, but may be only {} times",
                asked.attempts_allowed()
            );
        }
        if asked.key.is_none() && !asked.broadcast && !asked.muddled {
            let said_no = matches!(asked.ended, Some((_, _, Ran::No)));
            hold!(!said_no, "request {token} was started after its caller was told `ran: no`: {asked:?}");
        }
    }

    /// A handler says something about a delivery: makes the data that only this answer has.
    pub(crate) fn say(&mut self, about: Option<Token>, how: How) -> usize {
        let number = self.said.len();
        let echo = about.map_or("null".into(), |token| {
            let data = &self.asked[token].data;
            String::from_utf8_lossy(if data.is_empty() { b"null" } else { data }).into_owned()
        });
        let data = format!("{{\"r\":{number},\"echo\":{echo}}}").into_bytes();
        self.said.push(Said { about, how, data });
        number
    }

    /// A caller takes an answer in. Its data must be what a handler said to exactly this request.
    pub(crate) fn check_said(&self, token: Token, reply: &Reply<'_>, data: &[u8]) {
        let asked = &self.asked[token];
        if asked.kind == Kind::BuiltIn {
            hold!(data == asked.data, "`$echo` gave back other data than it got");
            return;
        }
        let said = number_after::<usize>(data, "{\"r\":").and_then(|number| self.said.get(number));
        let Some(said) = said else { panic!("broken: request {token} got data that no handler said: {data:?}") };
        hold!(said.data == data, "request {token} got what a handler said, but changed");
        let fault = reply.error.as_ref().and_then(|error| error.fault.as_ref());
        if asked.muddled && said.how == How::Intruder {
            return;
        }
        let how_fits = match said.how {
            How::Result => reply.error.is_none() && (asked.broadcast || !reply.part),
            How::Fault { retryable } => {
                fault.is_some_and(|fault| fault.retryable == retryable && fault.code == "broke")
            }
            // Who joins a call late gets the parts from then on, numbered anew.
            How::Part { seq } => {
                let same = reply.seq == Some(seq) || asked.key.is_some();
                same && reply.part && reply.error.is_none()
            }
            How::Intruder => false,
        };
        hold!(how_fits || asked.muddled, "request {token} got {reply:?}, but the handler said {:?}", said.how);
        let same = said.about == Some(token) || said.about.is_some_and(|about| self.shares_key(about, token));
        hold!(same, "request {token} got the answer to {:?}", said.about);
    }

    fn shares_key(&self, one: Token, other: Token) -> bool {
        let (one, other) = (&self.asked[one], &self.asked[other]);
        one.key.is_some() && (one.own_key(), one.variant) == (other.own_key(), other.variant)
    }

    /// A caller takes a part in; one that it has already is passed over.
    pub(crate) fn take_part(&mut self, token: Token, reply: &Reply<'_>, data: &Payload) {
        let Some(seq) = reply.seq else { panic!("broken: a part without a number") };
        let seen = match &reply.error {
            None => PartSeen::Data,
            Some(error) if error.code == Code::Fault => PartSeen::Fault,
            Some(_) => PartSeen::Lost,
        };
        if seen != PartSeen::Lost {
            self.check_said(token, reply, data);
        }
        let asked = &mut self.asked[token];
        hold!(seq >= 1, "parts are numbered from 1");
        hold!(!asked.broadcast || reply.from.is_some(), "a part of a broadcast says from whom it is");
        asked.parts.entry(seq).or_insert(seen);
    }

    /// A caller takes the last frame of a broadcast in.
    pub(crate) fn check_gather(&self, token: Token, reply: &Reply<'_>) {
        let asked = &self.asked[token];
        let Some(gather) = &reply.gather else {
            hold!(reply.error.is_some(), "the end of broadcast {token} has neither counts nor an error");
            return;
        };
        let count = |kind| asked.parts.values().filter(|seen| **seen == kind).count() as u64;
        let sum = gather.answered + gather.failed + gather.lost;
        hold!(gather.expected == sum, "broadcast {token}: {gather:?} does not add up");
        let seen = (count(PartSeen::Data), count(PartSeen::Fault));
        hold!((gather.answered, gather.failed) == seen, "broadcast {token}: {gather:?}, but parts are {seen:?}");
        let unbroken = asked.parts.keys().copied().eq(1..=asked.parts.len() as u64);
        hold!(unbroken, "broadcast {token}: parts are numbered {:?}", asked.parts.keys());
        let (least, most) = asked.audience;
        hold!(
            (least..=most).contains(&gather.expected),
            "broadcast {token} expected {}, but {least} to {most} handlers were there",
            gather.expected
        );
    }
}

/// The number that follows `prefix` at the start of `data`.
pub(crate) fn number_after<T: std::str::FromStr>(data: &[u8], prefix: &str) -> Option<T> {
    let rest = std::str::from_utf8(data).ok()?.strip_prefix(prefix)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger_of(count: usize) -> Ledger {
        let (mut ledger, mut random) = (Ledger::default(), Random::new(1));
        for id in 0..count as u64 {
            let asked = Asked::new("c", SessionId::new(1), RequestId::truncated(id), "a");
            ledger.ask(asked, 40_000, &mut random);
        }
        ledger
    }

    fn broken(what: impl FnOnce()) -> String {
        let error = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)).unwrap_err();
        error.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn a_request_is_known_by_its_trace_or_its_data() {
        let ledger = ledger_of(50);
        for (token, asked) in ledger.asked.iter().enumerate() {
            assert_eq!(ledger.identify(asked.trace.as_deref(), &asked.data), token);
        }
    }

    #[test]
    fn an_answer_that_is_not_ones_own_is_noticed() {
        let mut ledger = ledger_of(2);
        let said = ledger.say(Some(1), How::Result);
        let data = ledger.said[said].data.clone();
        let reply = Reply::to(RequestId::truncated(1));
        ledger.check_said(1, &reply, &data);
        assert!(broken(|| ledger.check_said(0, &reply, &data)).contains("got the answer to"));
        let intruder = ledger.say(Some(1), How::Intruder);
        assert!(broken(|| ledger.check_said(1, &reply, &ledger.said[intruder].data)).contains("Intruder"));
    }

    #[test]
    fn a_second_start_of_a_call_with_one_attempt_is_noticed() {
        let mut ledger = ledger_of(1);
        let [delivered, at] = [1, 2].map(Time::from_millis);
        ledger.start(0, Start::new(1, at, delivered));
        assert!(broken(|| ledger.start(0, Start::new(2, at, delivered))).contains("started 2 times"));
    }
}
