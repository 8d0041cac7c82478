//! The data plane: one thread that turns. It owns the pool, all sockets and nothing that anybody else touches, so there is no lock on the road of
//! a byte.
//!
//! One turn, in this order:
//!
//! ```text
//!  1 wait       until a socket is ready, a command has come or a time is up
//!  2 obey       commands of other threads: drain, reload, the outcome of a probe, say how things are
//!  3 accept     a few new connections, each with a connect to a backend
//!  4 move       bytes of each pair that has some, both ways; at most so many that others have their turn
//!  5 keep time  connects and silences that took too long, drains, moves
//!  6 probe      hand over what is to be looked at to the control thread
//! ```

mod copier;
mod pair;
mod pairs;

pub(crate) use copier::Way;

use crate::asker::Ask;
use crate::control::{Command, Control, Counters, Report};
use crate::pool::{Key, Pool, Probe};
use crate::settings::Settings;
use answerback_process::listener::{ACCEPTS_PER_TURN_MAX, Listener};
use mio::{Events, Interest, Poll, Token, Waker};
use pairs::{Pairs, log_change};
use std::io;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

const LISTENER: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// Sockets told of in one wait. More come with the next one.
const EVENTS_MAX: usize = 1024;

/// How long connections that shall move, and are busy, are waited for.
const MOVING: Duration = Duration::from_secs(30);

/// Between two looks at them, and at drained backends.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a data plane has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to leave and has. `complete` says whether all connections had ended before the deadline.
    Drained { complete: bool },
    /// It could not go on.
    Failed,
}

/// Who does for the data plane what takes time.
#[derive(Debug)]
pub(crate) struct Errands {
    pub(crate) prober: Sender<Probe>,
    pub(crate) asker: Sender<Ask>,
}

/// A backend whose connections may stay until then.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    key: Key,
    life: u64,
    until: Instant,
}

/// Connections that are to move as soon as they are quiet.
#[derive(Debug, Default)]
struct Moving {
    left: Vec<(Key, usize)>,
    until: Option<Instant>,
    look: Option<Instant>,
}

/// Everything that the thread owns.
#[derive(Debug)]
pub(crate) struct Plane {
    poll: Poll,
    listener: Option<Listener<Instant>>,
    commands: Receiver<Command>,
    errands: Errands,
    pool: Pool,
    pairs: Pairs,
    counters: Counters,
    settings: Settings,
    /// The moment of this turn.
    now: Instant,
    /// When to end whatever is still open, once a drain has begun.
    give_up: Option<Instant>,
    leaving: Vec<Leaving>,
    moving: Moving,
    next_rebalance: Option<Instant>,
    /// While it leaves: when to ask again those to move who were not asked.
    next_ask: Option<Instant>,
}

impl Plane {
    /// A data plane, and the way to command it.
    pub(crate) fn new(
        settings: &Settings,
        mut listener: mio::net::TcpListener,
        pool: Pool,
        errands: Errands,
    ) -> io::Result<(Self, Control)> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (control, commands) = Control::new(Waker::new(poll.registry(), WAKER)?);
        let now = Instant::now();
        let plane = Self {
            pairs: Pairs::new(poll.registry().try_clone()?, settings, settings.copy),
            poll,
            listener: Some(Listener::new(listener)),
            commands,
            errands,
            pool,
            counters: Counters::default(),
            settings: settings.clone(),
            now,
            give_up: None,
            leaving: Vec::new(),
            moving: Moving::default(),
            next_rebalance: settings.rebalance_every().map(|every| now + every),
            next_ask: None,
        };
        Ok((plane, control))
    }

    /// Turns until the end.
    pub(crate) fn run(mut self) -> End {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            match self.turn(&mut events) {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => {
                    tracing::error!(%error, "cannot wait for sockets any longer");
                    return End::Failed;
                }
            }
        }
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<Option<End>> {
        if self.wait(events)? {
            self.obey();
        }
        self.accept();
        self.pairs.turn(&mut self.pool, &mut self.counters, self.now);
        self.pairs.keep_time(&mut self.pool, &mut self.counters, self.now);
        self.end_leaving();
        self.ask_all();
        self.move_some();
        self.probe();
        Ok(self.end())
    }

    /// Waits until there is something to do, and notes for whom. Returns whether a command may have come.
    fn wait(&mut self, events: &mut Events) -> io::Result<bool> {
        let patience = self.patience();
        match self.poll.poll(events, patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.now = Instant::now();
        self.counters.turns += 1;
        let mut woken = false;
        for event in &*events {
            match event.token() {
                WAKER => woken = true,
                LISTENER => self.listener.iter_mut().for_each(Listener::rang),
                token => self.pairs.rang(token, event),
            }
        }
        Ok(woken)
    }

    /// How long there is nothing to do.
    fn patience(&self) -> Option<Duration> {
        if self.pairs.is_busy() {
            return Some(Duration::ZERO);
        }
        let times = [
            self.listener.as_ref().and_then(|listener| listener.look_again(self.now)),
            self.pairs.next_deadline(),
            self.pool.next_probe(),
            self.give_up,
            self.leaving.iter().map(|leaving| leaving.until).min(),
            self.moving.look,
            self.next_rebalance,
            self.next_ask,
        ];
        times.into_iter().flatten().min().map(|time| time.saturating_duration_since(Instant::now()))
    }

    /// Does what other threads asked for. Whoever asked may have given up waiting for the answer.
    fn obey(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Drain(within) => self.drain(within),
                Command::Probed { key, life, found, outcome } => self.probed(key, life, found, &outcome),
                Command::Reload(specs, to) => {
                    let told = self.pool.reload(specs, self.now);
                    self.let_the_gone_leave();
                    drop(to.send(told));
                }
                Command::DrainBackend { name, within, told } => drop(told.send(self.drain_backend(&name, within))),
                Command::Rebalance(to) => drop(to.send(self.rebalance())),
                Command::Report(to) => drop(to.send(self.report())),
            }
        }
    }

    fn report(&self) -> Report {
        let mut counters = self.counters.clone();
        counters.spliced_bytes = self.pairs.spliced_bytes();
        Report {
            counters,
            backends: self.pool.iter().map(|(_, backend)| backend.clone()).collect(),
            up: self.pool.up(),
            connections: self.pairs.len(),
            held_bytes: self.pairs.held_bytes(),
            draining: self.give_up.is_some(),
        }
    }

    /// Begins to leave: who waits at the door comes in, and then it is closed. Asked again, the earlier deadline holds.
    fn drain(&mut self, within: Duration) {
        let until = self.now + within;
        self.give_up = Some(self.give_up.map_or(until, |before| before.min(until)));
        while let Some(listener) = &mut self.listener {
            match listener.accept(self.now, &mut self.counters.accept_pauses) {
                Some(accepted) => self.pairs.open(accepted, &mut self.pool, &mut self.counters, self.now),
                None => self.listener = None,
            }
        }
    }

    /// While all shall go, or those of one backend: asks them to. Some come in the last moment, and only so many are asked at once.
    fn ask_all(&mut self) {
        let all = self.give_up.is_some();
        let wanted = all || !self.leaving.is_empty();
        if !wanted || self.next_ask.is_some_and(|at| self.now < at) {
            self.next_ask = self.next_ask.filter(|_| wanted);
            return;
        }
        let leaving = &self.leaving;
        let asker = &self.errands.asker;
        self.pairs.ask_where(usize::MAX, &self.pool, asker, |pair| all || leaving.iter().any(|l| l.key == pair.key));
        self.next_ask = Some(self.now + LOOK_EVERY);
    }

    fn probed(&mut self, key: Key, life: u64, found: Vec<std::net::SocketAddr>, outcome: &Result<(), String>) {
        let Some(backend) = self.pool.get_mut(key).filter(|backend| backend.life == life) else { return };
        backend.resolved(found);
        let name = std::sync::Arc::clone(&backend.spec.name);
        let outcome = outcome.as_ref().map(|&()| ()).map_err(String::as_str);
        if let Some(change) = self.pool.probed(key, self.now, outcome) {
            log_change(&name, &change);
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some(listener) = &mut self.listener else { return };
            let Some(accepted) = listener.accept(self.now, &mut self.counters.accept_pauses) else { return };
            self.pairs.open(accepted, &mut self.pool, &mut self.counters, self.now);
        }
    }

    fn drain_backend(&mut self, name: &str, within: Option<Duration>) -> bool {
        let Some(key) = self.pool.drain(name, within.is_some()) else { return false };
        self.leaving.retain(|leaving| leaving.key != key);
        if let Some((within, backend)) = within.zip(self.pool.get(key)) {
            self.leaving.push(Leaving { key, life: backend.life, until: self.now + within });
        }
        true
    }

    /// Backends that were taken from the list keep their connections for a while, too.
    fn let_the_gone_leave(&mut self) {
        let until = self.now + self.settings.drain_deadline;
        let (pool, leaving) = (&self.pool, &mut self.leaving);
        leaving.retain(|leaving| pool.get(leaving.key).is_some_and(|backend| backend.gone || backend.draining));
        for (key, backend) in pool.iter().filter(|(_, backend)| backend.gone) {
            if !leaving.iter().any(|leaving| leaving.key == key) {
                leaving.push(Leaving { key, life: backend.life, until });
            }
        }
    }

    /// Ends connections of backends whose time to leave is over.
    fn end_leaving(&mut self) {
        let now = self.now;
        while let Some(at) = self.leaving.iter().position(|leaving| leaving.until <= now) {
            let Leaving { key, life, .. } = self.leaving.swap_remove(at);
            let Some(backend) = self.pool.get(key).filter(|backend| backend.life == life) else { continue };
            let backend = std::sync::Arc::clone(&backend.spec.name);
            let closed = self.pairs.close_where(usize::MAX, &mut self.pool, |pair| pair.key == key);
            self.counters.drain_closed += closed as u64;
            tracing::info!(%backend, closed, "a drained backend's time is over");
        }
    }

    /// Has a share of the connections that backends have too many of move. Says how many.
    fn rebalance(&mut self) -> usize {
        let left = self.pool.surplus(self.settings.rebalance_share, self.now);
        let count = left.iter().map(|(_, count)| count).sum();
        self.moving = Moving { left, until: Some(self.now + MOVING), look: Some(self.now) };
        self.move_some();
        count
    }

    /// Closes connections that are to move and are quiet; their clients come back and resume.
    fn move_some(&mut self) {
        if self.next_rebalance.is_some_and(|at| at <= self.now) {
            self.next_rebalance = self.settings.rebalance_every().map(|every| self.now + every);
            self.rebalance();
        }
        if self.moving.look.is_none_or(|look| self.now < look) {
            return;
        }
        let (now, quiet) = (self.now, self.settings.rebalance_idle);
        for (key, count) in &mut self.moving.left {
            let key = *key;
            // Who can be asked need not be quiet: what is under way ends where it is.
            let asked = self.pairs.ask_where(*count, &self.pool, &self.errands.asker, |pair| pair.key == key);
            *count -= asked;
            let closed =
                self.pairs.close_where(*count, &mut self.pool, |pair| pair.key == key && pair.is_quiet(now, quiet));
            *count -= closed;
            self.counters.moved += (closed + asked) as u64;
            self.pool.expect_moved(closed + asked);
        }
        self.moving.left.retain(|(_, count)| *count > 0);
        let goes_on = !self.moving.left.is_empty() && self.moving.until.is_some_and(|until| now < until);
        self.moving.look = Some(now + LOOK_EVERY).filter(|_| goes_on);
    }

    fn probe(&mut self) {
        for probe in self.pool.probes_due(self.now) {
            let key = probe.key;
            if self.errands.prober.try_send(probe).is_err()
                && let Some(backend) = self.pool.get_mut(key)
            {
                backend.end_probe();
            }
        }
    }

    /// The end, once nobody is connected or the deadline has passed.
    fn end(&mut self) -> Option<End> {
        let give_up = self.give_up?;
        if self.pairs.len() == 0 {
            return Some(End::Drained { complete: true });
        }
        (give_up <= self.now).then_some(End::Drained { complete: false })
    }
}
