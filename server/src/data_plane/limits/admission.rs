//! Who may connect. Asked when a connection was accepted, before a byte of it is read.
//!
//! ```text
//!  accepted ─► at rest? ─► too many from there? ─► too often from there? ─► too often in all? ─► in
//!               │              │                       │                       └────────────────► told why, closed
//!               └─ closed      └─ told why, closed     └─ told why, closed
//!
//!  in ── hello ─► a client: what its address has failed before is forgotten
//!   └─── ends without a welcome and without a key shown: failed, and so is who is turned away for what its address does. Who fails more often than a probe or a mistake would explain is given a rest, each
//!        twice as long as the last one: for a scanner every attempt is then one accept and one close
//! ```
//!
//! This machine's own addresses are spared what is there against strangers: tunnels, sidecars and balancers on it bring everybody's connections
//! from one address. Limits that somebody has set hold for them too.

use super::Limit;
use super::addresses::{Address, Addresses};
use super::bucket::{Bucket, Rate};
use super::origin::Origin;
use answerback_broker::Time;
use std::time::Duration;

/// Seconds whose handshakes may come at once: with the default, 10,000 clients that come back after a restart.
const BURST_SECONDS: u64 = 2;

/// What an address may fail before it is given a rest: a probe or a wrong key now and then, or a service that starts with a typing error.
const FAILURES: Rate = Rate::with_burst(1, 20);

/// The first rest. Each is twice as long as the one before.
const REST_LEAST: Duration = Duration::from_millis(100);

/// One address may have so large a part of all connections open without a hello.
const STRANGERS_PART: usize = 4;

/// Servers with few places give this many to one address.
const STRANGERS_LEAST: usize = 16;

/// What is allowed.
#[derive(Debug, Clone)]
pub(in crate::data_plane) struct Rules {
    per_address: usize,
    strangers: usize,
    handshakes: Rate,
    handshakes_per_address: Rate,
    rest_longest: Duration,
    spare_loopback: bool,
}

impl Rules {
    pub(super) fn of(settings: &crate::settings::Settings) -> Self {
        Self {
            per_address: settings.max_connections_per_address,
            strangers: (settings.max_connections / STRANGERS_PART).max(STRANGERS_LEAST),
            handshakes: Rate::new(settings.handshakes_per_second, BURST_SECONDS),
            handshakes_per_address: Rate::new(settings.handshakes_per_address, BURST_SECONDS),
            rest_longest: settings.stranger_rest,
            spare_loopback: settings.spare_loopback,
        }
    }

    fn spares(&self, origin: Origin) -> bool {
        self.spare_loopback && origin.is_loopback()
    }

    fn unheard_of(&self, now: Time) -> Address {
        Address {
            open: 0,
            strangers: 0,
            handshakes: self.handshakes_per_address.bucket(now),
            failures: FAILURES.bucket(now),
            rest: Duration::ZERO,
            rests_until: now,
        }
    }

    /// What is remembered of an address does not let it in.
    fn refusal(&self, address: &mut Address, spared: bool, now: Time) -> Option<Limit> {
        if now < address.rests_until {
            return Some(Limit::Rest);
        }
        // Who is turned away has cost an accept too. What holds for all addresses is not touched by that: one could use it up for the others.
        let in_time = address.handshakes.take_one(self.handshakes_per_address, now);
        if self.per_address != 0 && address.open >= self.per_address {
            return Some(Limit::ConnectionsPerAddress { most: self.per_address });
        }
        if !spared && address.strangers >= self.strangers {
            return Some(Limit::Strangers { most: self.strangers });
        }
        let most = self.handshakes_per_address.per_second();
        (!in_time).then_some(Limit::HandshakesPerAddress { most })
    }
}

/// How a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data_plane) enum Left {
    /// It had said hello, and was welcomed.
    Welcomed,
    /// It had shown that it has a key. That its hello was refused, or did not come, makes it no stranger.
    Proven,
    Stranger,
}

/// Who has connected, how often, and how that ended.
#[derive(Debug)]
pub(in crate::data_plane) struct Admission {
    rules: Rules,
    handshakes: Bucket,
    addresses: Addresses,
}

impl Admission {
    pub(super) fn new(rules: Rules) -> Self {
        let handshakes = rules.handshakes.bucket(Time::default());
        Self { rules, handshakes, addresses: Addresses::default() }
    }

    /// Whether a new connection may come in, or which limit is in its way.
    pub(in crate::data_plane) fn may_come(&mut self, from: Origin, now: Time) -> Result<(), Limit> {
        let Self { rules, addresses, .. } = self;
        let spared = rules.spares(from);
        let refused = addresses.with(from, || rules.unheard_of(now), |address| rules.refusal(address, spared, now));
        if let Some(limit) = refused {
            return Err(limit);
        }
        let (rate, most) = (self.rules.handshakes, self.rules.handshakes.per_second());
        if self.handshakes.take_one(rate, now) { Ok(()) } else { Err(Limit::Handshakes { most }) }
    }

    /// It has come in.
    pub(in crate::data_plane) fn came(&mut self, from: Origin, now: Time) {
        self.change(from, now, |address| {
            address.open += 1;
            address.strangers += 1;
        });
    }

    /// It has said hello, and was welcomed.
    pub(in crate::data_plane) fn welcomed(&mut self, from: Origin, now: Time) {
        self.change(from, now, |address| {
            address.strangers = address.strangers.saturating_sub(1);
            (address.failures, address.rest, address.rests_until) = (FAILURES.bucket(now), Duration::ZERO, now);
        });
    }

    /// It has gone. Returns how long its address is given a rest, if that begins now.
    pub(in crate::data_plane) fn left(&mut self, from: Origin, how: Left, now: Time) -> Option<Duration> {
        self.change(from, now, |address| {
            address.open = address.open.saturating_sub(1);
            address.strangers = address.strangers.saturating_sub(usize::from(how != Left::Welcomed));
        });
        if how == Left::Stranger { self.failed(from, now) } else { None }
    }

    /// An attempt from there has failed: a wrong key, no hello, something else than this protocol, more than one address may. The same answer as [`left`](Self::left), which
    /// calls it for each connection that ends as a stranger.
    pub(in crate::data_plane) fn failed(&mut self, from: Origin, now: Time) -> Option<Duration> {
        let longest = self.rules.rest_longest;
        if longest.is_zero() || self.rules.spares(from) {
            return None;
        }
        self.change(from, now, |address| {
            if address.failures.is_full(FAILURES, now) {
                address.rest = Duration::ZERO;
            }
            // What began before a rest and fails within it is not held against it again.
            if address.failures.take_one(FAILURES, now) || now < address.rests_until {
                return None;
            }
            address.rest = (address.rest * 2).max(REST_LEAST).min(longest);
            address.rests_until = now + address.rest;
            Some(address.rest)
        })
    }

    /// Addresses that are remembered.
    pub(in crate::data_plane) fn known(&self) -> usize {
        self.addresses.len()
    }

    fn change<T>(&mut self, from: Origin, now: Time, change: impl FnOnce(&mut Address) -> T) -> T {
        let Self { rules, addresses, .. } = self;
        addresses.with(from, || rules.unheard_of(now), change)
    }
}

#[cfg(test)]
mod tests;
