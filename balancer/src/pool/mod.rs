//! The backends: which of them takes the next connection, which of them rests, and what is to be probed when. Pure: time is an argument, and
//! nothing here opens a socket.
//!
//! ```text
//!                 first probe                    fall failures in a row
//!   UNTESTED ─────────────────► UP ◄───────┐  ┌──────────────────────────► RESTING
//!       │                                  │  │                               │ the pause is over
//!       │ first probe fails                └──┴───────── TRYING ◄─────────────┘
//!       └──────────────► RESTING            rise successes │ one failure: RESTING, twice as long
//! ```
//!
//! A failed connect counts like a failed probe. Who comes back from a rest gets a growing part of new connections first (`strategy.rs`).
//! Beside its state a backend may be draining, which an operator has said, or gone from the list; both only end by an operator's word.

mod backend;
mod spec;
mod strategy;
#[cfg(test)]
mod tests;

pub(crate) use backend::{Backend, State};
pub(crate) use spec::{BACKENDS_MAX, Proxy, Spec, lines, read_list};
pub(crate) use strategy::Strategy;

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use strategy::Dice;

/// What decides when a backend rests and how it comes back.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    /// Failures in a row until it rests.
    pub(crate) fall: usize,
    /// Successes in a row until it is up again.
    pub(crate) rise: usize,
    /// Between two probes.
    pub(crate) interval: Duration,
    /// The first pause; each further one is twice as long.
    pub(crate) rest: Duration,
    /// The longest pause.
    pub(crate) rest_max: Duration,
    /// Until a backend that came back gets its full part of new connections.
    pub(crate) slow_start: Duration,
    /// Between two looks at what a name means.
    pub(crate) resolve_every: Duration,
}

/// The place of a backend in the pool. It stays the same as long as a connection uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) usize);

/// Something worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Up,
    Rests { pause: Duration, why: String },
}

/// All backends.
#[derive(Debug)]
pub(crate) struct Pool {
    rules: Rules,
    places: Vec<Option<Backend>>,
    dice: Dice,
    /// Connections that were asked to move: as many of the next ones go where the fewest are, whatever the strategy.
    moved: usize,
}

/// A look at a backend, for somebody with sockets to take.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) key: Key,
    pub(crate) life: u64,
    pub(crate) spec: Spec,
    /// Whether its name is to be looked up first.
    pub(crate) resolve: bool,
    /// Where it was found before.
    pub(crate) address: Option<SocketAddr>,
}

/// What a reload of the list has changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
}

impl Pool {
    /// A pool of these backends. `seed` feeds the choices of two.
    pub(crate) fn new(rules: Rules, specs: Vec<Spec>, seed: u64, now: Instant) -> Self {
        let places = specs.into_iter().map(|spec| Some(Backend::new(spec, now))).collect();
        Self { rules, places, dice: Dice::new(seed), moved: 0 }
    }

    /// The backends, those that are gone and still have connections among them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Backend)> {
        self.places.iter().enumerate().filter_map(|(at, place)| Some((Key(at), place.as_ref()?)))
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Backend> {
        self.places.get(key.0)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Backend> {
        self.places.get_mut(key.0)?.as_mut()
    }

    /// How many backends take connections.
    pub(crate) fn up(&self) -> usize {
        self.iter().filter(|(_, backend)| backend.takes_new() && backend.state == State::Up).count()
    }

    /// Chooses a backend for a new connection, which counts as its own from now on. Those `tried` are left out.
    pub(crate) fn choose(&mut self, now: Instant, tried: &[Key]) -> Option<(Key, SocketAddr)> {
        let fewest = self.moved > 0;
        self.moved = self.moved.saturating_sub(1);
        let strategy = if fewest { Strategy::LeastConnections } else { self.rules.strategy };
        let candidates = self.candidates(now, tried);
        let chosen = strategy::choose(strategy, &candidates, &mut self.dice)?;
        if strategy == Strategy::RoundRobin {
            self.count_turn(&candidates, chosen);
        }
        let backend = self.get_mut(chosen)?;
        let address = backend.next_address()?;
        backend.connections += 1;
        Some((chosen, address))
    }

    /// Backends that may be chosen. Those that nothing is known of are only asked when nobody is known to be up.
    fn candidates(&self, now: Instant, tried: &[Key]) -> Vec<strategy::Candidate> {
        let of = |state: State| -> Vec<_> {
            let all = self.iter().filter(|(key, backend)| {
                backend.state == state && backend.takes_new() && backend.has_room() && !tried.contains(key)
            });
            let slow_start = self.rules.slow_start;
            all.map(|(key, backend)| strategy::Candidate {
                key,
                connections: backend.connections,
                weight: backend.weight(slow_start, now),
                turn: backend.turn,
            })
            .collect()
        };
        let up = of(State::Up);
        if up.is_empty() { of(State::Untested) } else { up }
    }

    /// Everybody's claim grows by their weight; who is chosen pays for all. So turns are spread evenly, whatever the weights.
    fn count_turn(&mut self, candidates: &[strategy::Candidate], chosen: Key) {
        let total: i64 = candidates.iter().map(|candidate| i64::from(candidate.weight)).sum();
        for candidate in candidates {
            if let Some(backend) = self.get_mut(candidate.key) {
                backend.turn += i64::from(candidate.weight);
                if candidate.key == chosen {
                    backend.turn -= total;
                }
            }
        }
    }

    /// A connection of a backend has ended, or never came about. The last one of a backend that is gone frees its place.
    pub(crate) fn release(&mut self, key: Key) {
        let Some(backend) = self.get_mut(key) else { return };
        backend.connections = backend.connections.saturating_sub(1);
        if backend.gone && backend.connections == 0 {
            self.places[key.0] = None;
        }
    }

    /// A probe is over.
    pub(crate) fn probed(&mut self, key: Key, now: Instant, outcome: Result<(), &str>) -> Option<Change> {
        let backend = self.places.get_mut(key.0)?.as_mut()?;
        backend.end_probe();
        match outcome {
            Ok(()) => backend.succeeded(&self.rules, now),
            Err(why) => backend.failed(&self.rules, now, why),
        }
    }

    /// A connect has failed.
    pub(crate) fn refused(&mut self, key: Key, now: Instant, why: &str) -> Option<Change> {
        self.places.get_mut(key.0)?.as_mut()?.refused(&self.rules, now, why)
    }

    /// Backends whose probe is due, marked as being probed.
    pub(crate) fn probes_due(&mut self, now: Instant) -> Vec<Probe> {
        let Rules { interval, resolve_every, .. } = self.rules;
        let mut due = Vec::new();
        for (at, place) in self.places.iter_mut().enumerate() {
            if let Some(backend) = place
                && backend.begin_probe(now, interval)
            {
                let (resolve, address) = backend.whereabouts(now, resolve_every);
                due.push(Probe { key: Key(at), life: backend.life, spec: backend.spec.clone(), resolve, address });
            }
        }
        due
    }

    /// When the next probe is due.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        self.iter().filter_map(|(_, backend)| backend.next_probe()).min()
    }

    /// Puts another list in place of the one before. Who is in both keeps connections, state and drain.
    pub(crate) fn reload(&mut self, specs: Vec<Spec>, now: Instant) -> Reloaded {
        let mut told = Reloaded::default();
        for place in &mut self.places {
            let Some(backend) = place else { continue };
            if backend.gone || specs.iter().any(|spec| spec.name == backend.spec.name) {
                continue;
            }
            backend.gone = true;
            told.removed.push(backend.spec.name.to_string());
            if backend.connections == 0 {
                *place = None;
            }
        }
        for spec in specs {
            let Some(backend) = self.places.iter_mut().flatten().find(|backend| backend.spec.name == spec.name) else {
                told.added.push(spec.name.to_string());
                self.put(Backend::new(spec, now));
                continue;
            };
            if std::mem::take(&mut backend.gone) {
                told.added.push(spec.name.to_string());
            } else if backend.spec != spec {
                told.changed.push(spec.name.to_string());
            }
            backend.spec = spec;
        }
        told
    }

    fn put(&mut self, backend: Backend) {
        match self.places.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(backend),
            None => self.places.push(Some(backend)),
        }
    }

    /// Drains a backend, or takes it in again. Says whether there is one of this name.
    pub(crate) fn drain(&mut self, name: &str, draining: bool) -> Option<Key> {
        let at = self.iter().find(|(_, backend)| !backend.gone && &*backend.spec.name == name).map(|(key, _)| key)?;
        self.get_mut(at)?.draining = draining;
        Some(at)
    }

    /// How many connections of each crowded backend are to move, so that this share of what it has too many of goes.
    pub(crate) fn surplus(&self, share_percent: usize, now: Instant) -> Vec<(Key, usize)> {
        let weight = |backend: &Backend| {
            let takes = backend.state == State::Up && backend.takes_new();
            if takes { u64::from(backend.weight(self.rules.slow_start, now)) } else { 0 }
        };
        let all: usize = self.iter().map(|(_, backend)| backend.connections).sum();
        let weights: u64 = self.iter().map(|(_, backend)| weight(backend)).sum();
        if weights == 0 {
            return Vec::new();
        }
        let over = |backend: &Backend| {
            let fair = (all as u64 * weight(backend)).div_ceil(weights);
            let over = backend.connections.saturating_sub(usize::try_from(fair).unwrap_or(usize::MAX));
            (over * share_percent).div_ceil(100)
        };
        self.iter().map(|(key, backend)| (key, over(backend))).filter(|(_, over)| *over > 0).collect()
    }

    /// So many connections were asked to move.
    pub(crate) fn expect_moved(&mut self, count: usize) {
        self.moved = (self.moved + count).min(self.iter().map(|(_, backend)| backend.connections).sum());
    }
}
