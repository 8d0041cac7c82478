//! All pairs: opens them, tries one backend after another, sees them to their end.

use super::copier::{Copier, Flow, Way};
use super::pair::{Pair, Phase, Side};
use crate::asker::Ask;
use crate::control::Counters;
use crate::pool::{Change, Key, Pool};
use crate::settings::Settings;
use answerback_process::paced::Paced;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::sockopt;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// What bounds pairs.
#[derive(Debug, Clone)]
struct Bounds {
    connections: usize,
    connect: Duration,
    /// None is for ever.
    idle: Option<Duration>,
    keepalive: Option<Duration>,
}

/// Kinds of lines that may come in floods.
#[derive(Debug, Default)]
struct Pace {
    full: Paced<Instant>,
    no_backend: Paced<Instant>,
    refused: Paced<Instant>,
}

/// All pairs of the data plane, by place.
#[derive(Debug)]
pub(super) struct Pairs {
    registry: Registry,
    bounds: Bounds,
    places: Vec<Option<Pair>>,
    free: Vec<usize>,
    /// Those with something to do. Each stands there once.
    ready: Vec<usize>,
    /// The list before this one, while it is worked through; kept for its memory.
    turning: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    copier: Copier,
    pace: Pace,
}

impl Pairs {
    pub(super) fn new(registry: Registry, settings: &Settings, way: Way) -> Self {
        let bounds = Bounds {
            connections: settings.max_connections,
            connect: settings.connect_timeout,
            idle: Some(settings.idle_timeout).filter(|time| !time.is_zero()),
            keepalive: Some(settings.keepalive).filter(|time| !time.is_zero()),
        };
        Self {
            registry,
            bounds,
            places: Vec::new(),
            free: Vec::new(),
            ready: Vec::new(),
            turning: Vec::new(),
            deadlines: BTreeSet::new(),
            copier: Copier::new(way),
            pace: Pace::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.copier.held_bytes
    }

    pub(super) fn spliced_bytes(&self) -> u64 {
        self.copier.spliced_bytes
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes a new connection and finds a backend for it; or closes it.
    pub(super) fn open(
        &mut self,
        (client, peer): (TcpStream, SocketAddr),
        pool: &mut Pool,
        counters: &mut Counters,
        now: Instant,
    ) {
        if self.len() >= self.bounds.connections {
            counters.refused_full += 1;
            if let Some(also) = self.pace.full.may(now) {
                let limit = self.bounds.connections;
                tracing::warn!(%peer, limit, also, "connection closed: as many as may be are open; raise --max-connections");
            }
            return;
        }
        counters.accepted += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let mut tried = Vec::new();
        let Some((key, backend)) = self.dial(place, peer, &mut tried, pool, counters, now) else {
            self.free.push(place);
            return;
        };
        let mut pair = Pair {
            client,
            backend,
            peer,
            key,
            phase: Phase::Connecting(tried),
            up: Flow::new(),
            down: Flow::new(),
            moved: now,
            deadline: None,
            queued: false,
            asked: false,
        };
        if let Err(error) = self.prepare(&mut pair.client, token(place, Side::Client)) {
            tracing::debug!(%peer, %error, "a new connection broke");
            pool.release(key);
            self.free.push(place);
            return;
        }
        self.places[place] = Some(pair);
        self.set_deadline(place, Some(now + self.bounds.connect));
        self.queue(place);
    }

    /// Begins to connect to the next backend that has not been tried.
    fn dial(
        &mut self,
        place: usize,
        peer: SocketAddr,
        tried: &mut Vec<Key>,
        pool: &mut Pool,
        counters: &mut Counters,
        now: Instant,
    ) -> Option<(Key, TcpStream)> {
        loop {
            let Some((key, address)) = pool.choose(now, tried) else {
                counters.refused_no_backend += 1;
                if let Some(also) = self.pace.no_backend.may(now) {
                    let tried = tried.len();
                    tracing::error!(%peer, tried, also, "connection closed: no backend takes it; see /backends of --admin");
                }
                return None;
            };
            if !tried.is_empty() {
                counters.retries += 1;
            }
            tried.push(key);
            let begun = TcpStream::connect(address).and_then(|mut stream| {
                self.prepare(&mut stream, token(place, Side::Backend))?;
                Ok(stream)
            });
            match begun {
                Ok(stream) => return Some((key, stream)),
                Err(error) => self.refused(key, &error.to_string(), pool, now),
            }
        }
    }

    /// Has a socket watched, without delays and with keepalive.
    fn prepare(&self, stream: &mut TcpStream, token: Token) -> io::Result<()> {
        stream.set_nodelay(true)?;
        if let Some(idle) = self.bounds.keepalive {
            sockopt::set_socket_keepalive(&*stream, true)?;
            sockopt::set_tcp_keepidle(&*stream, idle)?;
            sockopt::set_tcp_keepintvl(&*stream, (idle / 3).max(Duration::from_secs(1)))?;
        }
        self.registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// A backend has not taken a connection.
    fn refused(&mut self, key: Key, why: &str, pool: &mut Pool, now: Instant) {
        let change = pool.refused(key, now, why);
        if let Some(backend) = pool.get(key) {
            if let Some(change) = change {
                log_change(&backend.spec.name, &change);
            } else if let Some(also) = self.pace.refused.may(now) {
                tracing::warn!(backend = %backend.spec.name, why, also, "a backend does not take a connection; trying another");
            }
        }
        pool.release(key);
    }

    /// Something happened to a socket.
    pub(super) fn rang(&mut self, Token(number): Token, event: &mio::event::Event) {
        let (place, side) = (number / 2, if number.is_multiple_of(2) { Side::Client } else { Side::Backend });
        if let Some(Some(pair)) = self.places.get_mut(place) {
            pair.note(side, event);
            self.queue(place);
        }
    }

    fn queue(&mut self, place: usize) {
        if let Some(Some(pair)) = self.places.get_mut(place)
            && !std::mem::replace(&mut pair.queued, true)
        {
            self.ready.push(place);
        }
    }

    /// Gives each pair with something to do its turn.
    pub(super) fn turn(&mut self, pool: &mut Pool, counters: &mut Counters, now: Instant) {
        std::mem::swap(&mut self.ready, &mut self.turning);
        for at in 0..self.turning.len() {
            self.turn_one(self.turning[at], pool, counters, now);
        }
        self.turning.clear();
    }

    fn turn_one(&mut self, place: usize, pool: &mut Pool, counters: &mut Counters, now: Instant) {
        let Some(Some(pair)) = self.places.get_mut(place) else { return };
        pair.queued = false;
        if let Phase::Connecting(_) = &pair.phase {
            match pair.is_connected() {
                Ok(true) => {}
                Ok(false) => return self.look_at_waiting_client(place, pool, counters),
                Err(error) => return self.try_another(place, &error.to_string(), pool, counters, now),
            }
            if !self.connected(place, pool, now) {
                return self.close(place, false, pool);
            }
        }
        let Some(Some(pair)) = self.places.get_mut(place) else { return };
        let turned = match pair.turn(&mut self.copier) {
            Ok(turned) => turned,
            Err(error) => {
                tracing::debug!(peer = %pair.peer, %error, "a connection broke; its other end is told so");
                counters.broken += 1;
                return self.close(place, true, pool);
            }
        };
        if turned.up + turned.down > 0 {
            pair.moved = now;
            if let Some(backend) = pool.get_mut(pair.key) {
                backend.bytes_up += turned.up;
                backend.bytes_down += turned.down;
            }
        }
        if turned.over {
            self.close(place, false, pool);
        } else if turned.again {
            self.queue(place);
        }
    }

    /// A client that breaks before there is a backend needs none any more.
    fn look_at_waiting_client(&mut self, place: usize, pool: &mut Pool, counters: &mut Counters) {
        if let Some(Some(pair)) = self.places.get(place)
            && !matches!(pair.client.take_error(), Ok(None))
        {
            counters.broken += 1;
            self.close(place, true, pool);
        }
    }

    fn connected(&mut self, place: usize, pool: &mut Pool, now: Instant) -> bool {
        let Some(Some(pair)) = self.places.get_mut(place) else { return false };
        let Some(backend) = pool.get_mut(pair.key) else { return false };
        backend.connected();
        let opened = pair.open(backend.spec.proxy, now).is_ok();
        self.set_deadline(place, self.bounds.idle.map(|idle| now + idle));
        opened
    }

    /// The backend of a pair has not taken the connection: the next one, before the client notices.
    fn try_another(&mut self, place: usize, why: &str, pool: &mut Pool, counters: &mut Counters, now: Instant) {
        let Some(Some(pair)) = self.places.get_mut(place) else { return };
        let Phase::Connecting(tried) = &mut pair.phase else { return };
        let (key, peer, mut tried) = (pair.key, pair.peer, std::mem::take(tried));
        self.refused(key, why, pool, now);
        let next = self.dial(place, peer, &mut tried, pool, counters, now);
        let Some(Some(pair)) = self.places.get_mut(place) else { return };
        match next {
            Some((key, backend)) => {
                // The client may have said something while the one before was tried; of that nothing is lost.
                (pair.key, pair.backend, pair.phase) = (key, backend, Phase::Connecting(tried));
                (pair.up.writable, pair.down.readable, pair.down.ending) = (true, false, false);
                self.set_deadline(place, Some(now + self.bounds.connect));
            }
            None => self.forget(place),
        }
    }

    fn set_deadline(&mut self, place: usize, at: Option<Instant>) {
        let Some(Some(pair)) = self.places.get_mut(place) else { return };
        if let Some(before) = std::mem::replace(&mut pair.deadline, at) {
            self.deadlines.remove(&(before, place));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, place));
        }
    }

    /// Ends what has taken too long: connects, and silence.
    pub(super) fn keep_time(&mut self, pool: &mut Pool, counters: &mut Counters, now: Instant) {
        while let Some(&(at, place)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            let Some(Some(pair)) = self.places.get_mut(place) else {
                self.deadlines.remove(&(at, place));
                continue;
            };
            if let Phase::Connecting(_) = pair.phase {
                let why = format!("no answer within --connect-timeout ({} ms)", self.bounds.connect.as_millis());
                self.try_another(place, &why, pool, counters, now);
                continue;
            }
            let ends = self.bounds.idle.map(|idle| pair.moved + idle);
            if ends.is_none_or(|ends| ends > now) {
                self.set_deadline(place, ends);
                continue;
            }
            tracing::debug!(peer = %pair.peer, "closed: nothing moved for --idle-timeout");
            counters.idle_closed += 1;
            self.close(place, false, pool);
        }
    }

    /// Ends a pair, with a word that it broke if it did.
    fn close(&mut self, place: usize, broke: bool, pool: &mut Pool) {
        let Some(Some(pair)) = self.places.get(place) else { return };
        if broke {
            pair.reset();
        }
        pool.release(pair.key);
        self.forget(place);
    }

    /// Frees the place of a pair whose backend has been released. Its sockets close.
    fn forget(&mut self, place: usize) {
        self.set_deadline(place, None);
        let Some(pair) = self.places.get_mut(place).and_then(Option::take) else { return };
        self.copier.forget(pair.up);
        self.copier.forget(pair.down);
        self.free.push(place);
    }

    /// Has servers ask clients to move: those that a test is true for, longest quiet first, but not more than so many. Says how many were.
    pub(super) fn ask_where(
        &mut self,
        most: usize,
        pool: &Pool,
        asker: &Sender<Ask>,
        test: impl Fn(&Pair) -> bool,
    ) -> usize {
        let all = self.places.iter().enumerate().filter_map(|(place, pair)| Some((place, pair.as_ref()?)));
        let ask = |pair: &Pair| pool.get(pair.key).and_then(|backend| pair.ask(&backend.spec));
        let mut found: Vec<_> = all
            .filter(|(_, pair)| test(pair))
            .filter_map(|(place, pair)| ask(pair).map(|ask| (pair.moved, place, ask)))
            .collect();
        found.sort_unstable_by_key(|(moved, place, _)| (*moved, *place));
        let mut asked = 0;
        for (_, place, ask) in found.into_iter().take(most) {
            if asker.try_send(ask).is_err() {
                break;
            }
            if let Some(Some(pair)) = self.places.get_mut(place) {
                pair.asked = true;
            }
            asked += 1;
        }
        asked
    }

    /// Ends all pairs that a test is true for, longest quiet first, but not more than so many.
    pub(super) fn close_where(&mut self, most: usize, pool: &mut Pool, test: impl Fn(&Pair) -> bool) -> usize {
        let all = self.places.iter().enumerate().filter_map(|(place, pair)| Some((place, pair.as_ref()?)));
        let mut found: Vec<_> = all.filter(|(_, pair)| test(pair)).map(|(place, pair)| (pair.moved, place)).collect();
        found.sort_unstable();
        found.truncate(most);
        for (_, place) in &found {
            self.close(*place, false, pool);
        }
        found.len()
    }
}

fn token(place: usize, side: Side) -> Token {
    Token(place * 2 + usize::from(side == Side::Backend))
}

/// A line about a backend.
pub(super) fn log_change(backend: &str, change: &Change) {
    match change {
        Change::Up => tracing::info!(backend, "backend is up"),
        Change::Rests { pause, why } => {
            tracing::warn!(backend, why, pause_ms = pause.as_millis() as u64, "backend rests: it gets no connections");
        }
    }
}
