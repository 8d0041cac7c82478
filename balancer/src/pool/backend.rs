//! One backend: whether it is up, what it has carried, and what is known of its failures.

use super::{Change, Rules, Spec};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The full weight of a backend; one that comes back begins with a tenth of it.
pub(super) const WEIGHT: u32 = 1_000;
const WEIGHT_LEAST: u32 = WEIGHT / 10;

/// A backend that was up for so many of its last pauses begins with the shortest again.
const FORGIVEN_AFTER_PAUSES: u32 = 10;

/// The most of a reason that is kept, in characters.
const WHY_CHARS_MAX: usize = 200;

/// Whether a backend gets connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is known of it.
    Untested,
    Up,
    /// It has failed, and is left alone.
    Resting,
    /// Its rest is over; probes decide.
    Trying,
}

impl State {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Untested => "untested",
            Self::Up => "up",
            Self::Resting => "resting",
            Self::Trying => "trying",
        }
    }
}

/// The last thing that was learnt about a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) at: Instant,
    pub(crate) good: bool,
    pub(crate) why: Cow<'static, str>,
}

/// A backend.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) spec: Spec,
    /// Tells this backend from another that had its place before.
    pub(crate) life: u64,
    pub(crate) state: State,
    /// An operator wants it to have no new connections.
    pub(crate) draining: bool,
    /// It is in the list no more.
    pub(crate) gone: bool,
    pub(crate) connections: usize,
    /// Connections that have come about.
    pub(crate) taken: u64,
    pub(crate) failed_connects: u64,
    pub(crate) failed_probes: u64,
    /// Bytes from clients.
    pub(crate) bytes_up: u64,
    /// Bytes to clients.
    pub(crate) bytes_down: u64,
    pub(crate) check: Option<Check>,
    pub(super) turn: i64,
    addresses: Vec<SocketAddr>,
    next_address: usize,
    /// Since when it is up, if it has come back.
    back_since: Option<Instant>,
    up_since: Instant,
    /// Probes in a row.
    successes: usize,
    failures: usize,
    /// Connects in a row. Of their own, because a server that is leaving takes connections and says that it is not ready.
    refusals: usize,
    pause: Duration,
    /// When it is to be probed, or its rest ends.
    due: Instant,
    being_probed: bool,
    /// When its name is to be looked up again.
    resolve_at: Instant,
}

impl Backend {
    pub(super) fn new(spec: Spec, now: Instant) -> Self {
        static LIVES: AtomicU64 = AtomicU64::new(0);
        Self {
            addresses: spec.address().into_iter().collect(),
            spec,
            life: LIVES.fetch_add(1, Ordering::Relaxed),
            state: State::Untested,
            draining: false,
            gone: false,
            connections: 0,
            taken: 0,
            failed_connects: 0,
            failed_probes: 0,
            bytes_up: 0,
            bytes_down: 0,
            check: None,
            turn: 0,
            next_address: 0,
            back_since: None,
            up_since: now,
            successes: 0,
            failures: 0,
            refusals: 0,
            resolve_at: now,
            pause: Duration::ZERO,
            due: now,
            being_probed: false,
        }
    }

    /// Whether it may be given connections, as far as operators are concerned.
    pub(crate) fn takes_new(&self) -> bool {
        !self.draining && !self.gone && !self.addresses.is_empty()
    }

    /// Whether it has fewer connections than it may.
    pub(super) fn has_room(&self) -> bool {
        self.spec.max.is_none_or(|max| self.connections < max)
    }

    /// What part of new connections it gets, compared with others.
    pub(super) fn weight(&self, slow_start: Duration, now: Instant) -> u32 {
        let Some(since) = self.back_since else { return WEIGHT };
        let age = now.saturating_duration_since(since);
        if age >= slow_start {
            return WEIGHT;
        }
        let part = age.as_millis() * u128::from(WEIGHT) / slow_start.as_millis().max(1);
        u32::try_from(part).unwrap_or(WEIGHT).max(WEIGHT_LEAST)
    }

    /// Its addresses, one after another.
    pub(super) fn next_address(&mut self) -> Option<SocketAddr> {
        let address = *self.addresses.get(self.next_address % self.addresses.len().max(1))?;
        self.next_address = self.next_address.wrapping_add(1);
        Some(address)
    }

    /// What its name means now.
    pub(crate) fn resolved(&mut self, addresses: Vec<SocketAddr>) {
        if !addresses.is_empty() {
            self.addresses = addresses;
        }
    }

    /// A connect has succeeded.
    pub(crate) fn connected(&mut self) {
        self.taken += 1;
        self.refusals = 0;
    }

    /// A probe has succeeded.
    pub(super) fn succeeded(&mut self, rules: &Rules, now: Instant) -> Option<Change> {
        self.check = Some(Check { at: now, good: true, why: "answers".into() });
        self.failures = 0;
        self.successes += 1;
        match self.state {
            State::Untested => {}
            State::Trying if self.successes >= rules.rise => self.back_since = Some(now),
            State::Up | State::Resting | State::Trying => return None,
        }
        (self.state, self.up_since) = (State::Up, now);
        Some(Change::Up)
    }

    /// A connect has failed.
    pub(super) fn refused(&mut self, rules: &Rules, now: Instant, why: &str) -> Option<Change> {
        self.failed_connects += 1;
        self.refusals += 1;
        self.note_failure(rules, now, why, self.refusals)
    }

    /// A probe has failed.
    pub(super) fn failed(&mut self, rules: &Rules, now: Instant, why: &str) -> Option<Change> {
        self.failed_probes += 1;
        self.successes = 0;
        self.failures += 1;
        self.note_failure(rules, now, why, self.failures)
    }

    fn note_failure(&mut self, rules: &Rules, now: Instant, why: &str, in_a_row: usize) -> Option<Change> {
        let why: String = why.chars().take(WHY_CHARS_MAX).collect();
        self.check = Some(Check { at: now, good: false, why: why.clone().into() });
        match self.state {
            State::Resting => return None,
            State::Up if in_a_row < rules.fall => {
                // Whether it is really gone is looked at soon, not after a whole interval.
                self.due = self.due.min(now + rules.interval / 4);
                return None;
            }
            State::Up if now.saturating_duration_since(self.up_since) > self.pause * FORGIVEN_AFTER_PAUSES => {
                self.pause = Duration::ZERO;
            }
            State::Up | State::Untested | State::Trying => {}
        }
        self.pause = if self.pause.is_zero() { rules.rest } else { (self.pause * 2).min(rules.rest_max) };
        (self.state, self.due) = (State::Resting, now + self.pause);
        (self.failures, self.refusals) = (0, 0);
        Some(Change::Rests { pause: self.pause, why })
    }

    pub(super) fn next_probe(&self) -> Option<Instant> {
        if self.gone || self.being_probed { None } else { Some(self.due) }
    }

    /// Begins a probe if it is due. A rest ends with that.
    pub(super) fn begin_probe(&mut self, now: Instant, interval: Duration) -> bool {
        if self.next_probe().is_none_or(|due| now < due) {
            return false;
        }
        if self.state == State::Resting {
            (self.state, self.successes) = (State::Trying, 0);
        }
        (self.being_probed, self.due) = (true, now + interval);
        true
    }

    /// Whether its name is to be looked up with this probe, and its next address if there is one.
    pub(super) fn whereabouts(&mut self, now: Instant, resolve_every: Duration) -> (bool, Option<SocketAddr>) {
        let resolve = self.spec.address().is_none() && (self.resolve_at <= now || self.addresses.is_empty());
        if resolve {
            self.resolve_at = now + resolve_every;
        }
        (resolve, self.addresses.get(self.next_address % self.addresses.len().max(1)).copied())
    }

    /// The probe is over, whatever it has found.
    pub(crate) fn end_probe(&mut self) {
        self.being_probed = false;
    }
}
