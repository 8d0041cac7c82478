//! The data plane: one thread that turns. It owns the broker, all sockets of clients and nothing that anybody else touches,
//! so there is no lock on the road of a call.
//!
//! One turn, in this order:
//!
//! ```text
//!  1 wait       until a socket is ready, a command has come or the core wants to be woken
//!  2 obey       commands from other threads: drain, stop, say how things are
//!  3 accept     a few new connections; those of balancers when their PROXY header is there
//!  4 read       each ready connection once; every frame is decided by the core as it is decoded, and what would take too long waits
//!               for the next turn. A new one is looked at before the core hears of it: see `transport`
//!  5 keep time  what is due in the core; connections that take too long to close
//!  6 store      hand over what the store must know, to threads that wait for the disk
//!  7 write      each outbox that got something, once
//! ```
//!
//! Whatever the core wants sent is appended to outboxes at once and written in step 7: that is where the speed comes from.
//! A call on an idle server costs one wait, one read and one write per hop.

mod buffers;
mod clock;
mod connection;
mod counters;
mod dialing;
mod limits;
mod moving;
mod notes;
mod outbox;
mod peers;
mod porch;
mod sockets;
mod storing;
mod table;
mod transport;

pub(crate) use clock::Clock;
pub use counters::Counters;
pub use dialing::DialCounts;
pub(crate) use dialing::Found;
pub(crate) use limits::{BYTES_LEAST, FRAMES_LEAST};
pub(crate) use sockets::TURNED_AWAY_MAX;
pub(crate) use storing::Links;
pub use storing::{RoundCounts, StoreReport};
pub(crate) use transport::Names;

use crate::control::{Command, Control, Report};
use crate::keys::{Exchange, Replacement, Ring};
use crate::settings::Settings;
use answerback_broker::{Broker, ConnectionId, Input, Output, Time};
use answerback_process::listener::{ACCEPTS_PER_TURN_MAX, Listener};
use answerback_protocol::envelope::EnvelopeError;
use answerback_protocol::inbox::{RawFrame, Scratch};
use answerback_protocol::{ClientFrame, LinkFrame, Malformed, ServerFrame};
use dialing::Dialing;
use limits::{Budget, LEFT_OVERS, Limits};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use notes::Notes;
use peers::PeersUp;
use porch::Porch;
use sockets::{Arrived, Bounds, Brought, Sockets};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use storing::{Last, Storing};
use transport::Door;

const LISTENER: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// Sockets told of in one wait. More come with the next one.
const EVENTS_MAX: usize = 1024;

/// The read buffer that all connections share, in bytes.
const SCRATCH_BYTES: usize = 64 << 10;

/// How long clients may still say something once the drain is over. Some have asked before they read that the server goes
/// away; they are told so, instead of being left to guess whether their call has run. Longer than a round trip.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long outboxes may take to empty and clients to close once the drain is over.
const LEAVING: Duration = Duration::from_secs(1);

/// How long after the drain deadline the data plane stops waiting for the core to say that the drain is over.
const GIVE_UP: Duration = Duration::from_secs(1);

/// How a data plane has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was asked to leave and has. `complete` says whether all work could finish before the deadline.
    Drained {
        /// Whether nothing was left.
        complete: bool,
    },
    /// The same, but what changed since the last snapshot could not be saved.
    NotSaved,
    /// It was told to end at once.
    Stopped,
    /// It could not go on.
    Failed,
}

/// How a data plane has ended, and what that means for its store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Whether the store tells exactly how things were.
    pub(crate) exact: bool,
}

/// What a data plane is made of.
pub(crate) struct Parts {
    pub(crate) listener: TcpListener,
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) links: Links,
    /// None on a server without keys.
    pub(crate) ring: Option<Arc<Ring>>,
}

/// Everything that the thread owns.
pub(crate) struct DataPlane {
    poll: Poll,
    listener: Option<Listener<Time>>,
    commands: Receiver<Command>,
    porch: Porch,
    sockets: Sockets,
    broker: Broker,
    clock: Clock,
    /// The moment of this turn.
    now: Time,
    scratch: Scratch,
    /// Connections read in this turn; kept for its memory.
    reading: Vec<ConnectionId>,
    notes: Notes,
    counters: Counters,
    storing: Storing,
    dialing: Dialing,
    peers_up: PeersUp,
    /// When to leave whatever the core says, once a drain has begun.
    give_up: Option<Time>,
    /// How it ends, once there is nothing left to do but to say goodbye.
    leaving: Option<Leaving>,
}

/// The last moments of a data plane.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    end: End,
    /// Until then what comes is answered; then all connections are closed.
    listen_until: Time,
    closed: bool,
    /// By then it is gone, whoever has not read to the end.
    until: Time,
}

impl Leaving {
    /// When to look next. Once everybody had time to go, only the store is waited for.
    fn next(self, now: Time) -> Option<Time> {
        if self.closed { Some(self.until).filter(|until| *until > now) } else { Some(self.listen_until) }
    }
}

impl DataPlane {
    /// A data plane, and the way to command it.
    pub(crate) fn new(settings: &Settings, parts: Parts) -> io::Result<(Self, Control)> {
        let Parts { mut listener, broker, clock, links, ring } = parts;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (control, commands) = Control::new(Waker::new(poll.registry(), WAKER)?);
        let bounds = Bounds {
            connections: settings.max_connections,
            frame_bytes: settings.broker.max_frame,
            outbox_bytes: settings.outbox_limit,
            outbox_bytes_in_all: settings.outbox_memory,
            handshake: settings.broker.handshake,
        };
        let door = Door::new(ring, settings.tls.clone(), bounds.frame_bytes);
        let now = clock.now();
        let plane = Self {
            porch: Porch::new(poll.registry().try_clone()?, &settings.proxy_from, settings.broker.handshake),
            sockets: Sockets::new(poll.registry().try_clone()?, bounds, door, Limits::new(settings)),
            poll,
            listener: Some(Listener::new(listener)),
            commands,
            broker,
            now,
            clock,
            scratch: Scratch::new(SCRATCH_BYTES),
            reading: Vec::new(),
            notes: Notes::default(),
            counters: Counters::default(),
            storing: Storing::new(links, settings.snapshot_interval, settings.sync_patience, now),
            dialing: Dialing::new(&settings.peers, control.clone(), now),
            peers_up: PeersUp::default(),
            give_up: None,
            leaving: None,
        };
        Ok((plane, control))
    }

    /// Turns until the end.
    pub(crate) fn run(mut self) -> Ended {
        // What was restored may have something to say.
        self.carry_out();
        let mut events = Events::with_capacity(EVENTS_MAX);
        let end = loop {
            match self.turn(&mut events) {
                Ok(None) => {}
                Ok(Some(end)) => break end,
                Err(error) => {
                    tracing::error!(%error, "cannot wait for sockets any longer");
                    break End::Failed;
                }
            }
        };
        Ended { end, exact: self.storing.is_exact() }
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<Option<End>> {
        let woken = self.wait(events)?;
        if woken && self.obey() {
            return Ok(Some(End::Stopped));
        }
        self.accept();
        self.move_clients();
        self.read();
        self.keep_time();
        self.store();
        self.write();
        Ok(self.end())
    }

    /// Waits until there is something to do, and notes for whom. Returns whether a command may have come.
    fn wait(&mut self, events: &mut Events) -> io::Result<bool> {
        let patience = self.patience();
        match self.poll.poll(events, patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.now = self.clock.now();
        self.counters.turns += 1;
        self.sockets.turn_begins(self.now);
        let mut woken = false;
        for event in &*events {
            match event.token() {
                WAKER => woken = true,
                LISTENER => self.listener.iter_mut().for_each(Listener::rang),
                Token(waiting) if waiting >= porch::FIRST_TOKEN => self.porch.rang(waiting),
                Token(place) => self.sockets.rang(place, event),
            }
        }
        Ok(woken)
    }

    /// How long there is nothing to do.
    fn patience(&mut self) -> Option<Duration> {
        if self.sockets.is_busy() || self.storing.is_busy() {
            return Some(Duration::ZERO);
        }
        let times = [
            self.broker.poll_timeout(),
            self.listener.as_ref().and_then(|listener| listener.look_again(self.now)),
            self.porch.next_deadline(),
            self.sockets.next_farewell(),
            self.sockets.next_greeting(),
            self.sockets.next_look(),
            self.storing.next(),
            self.dialing.next(),
            self.give_up.filter(|_| self.leaving.is_none()),
            self.leaving.and_then(|leaving| leaving.next(self.now)),
        ];
        times.into_iter().flatten().min().map(|time| time - self.clock.now())
    }

    /// Does what other threads asked for. Returns whether it was to stop.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Stop => return true,
                Command::Drain(within) => self.drain(within),
                Command::Move(client) => self.porch.moves(client),
                Command::HandOver => self.hand_over(),
                Command::Store(news) => {
                    self.storing.hear(self.now, news, &mut self.broker);
                    self.carry_out();
                }
                // Whoever asked may have given up waiting for the answer.
                Command::Exchange(exchange, to) => drop(to.try_send(self.exchange(exchange))),
                Command::Found(found) => self.peer_found(found),
                Command::Report(to) => drop(to.send(self.report())),
            }
        }
        false
    }

    /// Begins to leave. Asked again, the earlier deadline holds.
    fn drain(&mut self, within: Duration) {
        if self.leaving.is_some() {
            return;
        }
        let deadline = self.now + within;
        let give_up = deadline + GIVE_UP;
        self.give_up = Some(self.give_up.map_or(give_up, |before| before.min(give_up)));
        self.storing.stop_restoring();
        self.dialing.leave();
        self.sockets.hang_up();
        self.broker.handle(self.now, Input::Drain { deadline });
        self.carry_out();
    }

    /// Begins to leave without a word: for clients it is a connection that broke, after which they come back to whoever is next with all that they have.
    fn hand_over(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.storing.stop_restoring();
        self.dialing.leave();
        self.sockets.hang_up();
        self.leave_as(End::Stopped, self.now);
    }

    fn report(&self) -> Report {
        Report {
            counters: self.counters.clone(),
            held: self.broker.held(),
            counts: self.broker.counts().clone(),
            connections: self.sockets.len(),
            outbox_bytes: self.sockets.outbox_bytes(),
            inbox_bytes: self.sockets.inbox_bytes(),
            addresses: self.sockets.addresses(),
            draining: self.give_up.is_some(),
            dials: self.dialing.counts().clone(),
            peers_up: self.peers_up.len(),
            store: self.storing.report(self.now),
        }
    }

    fn accept(&mut self) {
        while let Some(accepted) = self.porch.next(self.now, &mut self.counters) {
            self.sockets.open(accepted, self.now, &mut self.counters);
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some(listener) = &mut self.listener else { return };
            let Some(accepted) = listener.accept(self.now, &mut self.counters.accept_pauses) else { return };
            if let Some(accepted) = self.porch.receive(accepted, self.now, &mut self.counters) {
                self.sockets.open(accepted, self.now, &mut self.counters);
            }
        }
    }

    /// Reads who has said something, and then has those go on who were interrupted in the turn before.
    fn read(&mut self) {
        self.go_on_dialing();
        self.sockets.end_pauses(&mut self.counters);
        let left_over = self.sockets.left_over();
        let mut reading = std::mem::take(&mut self.reading);
        self.sockets.take_readable(&mut reading);
        for connection in reading.drain(..) {
            let is_in = match self.sockets.read(connection, &mut self.scratch, self.now, &mut self.counters) {
                Brought::Bytes => true,
                Brought::Opening => self.meet(connection),
                Brought::Nothing => false,
            };
            if is_in {
                self.decide(connection);
            }
        }
        self.reading = reading;
        if left_over > 0 {
            self.go_on(left_over);
        }
    }

    /// Has connections go on where they were interrupted: these many, or as many as there is time for.
    fn go_on(&mut self, connections: usize) {
        let end = self.clock.now() + LEFT_OVERS;
        for _ in 0..connections {
            if let Some(connection) = self.sockets.take_up(&mut self.scratch, &mut self.counters) {
                self.decide(connection);
                if self.clock.now() >= end {
                    return;
                }
            }
        }
    }

    /// Hands what a connection has said to the core, frame by frame, as much of it as the connection may have decided in one turn.
    fn decide(&mut self, connection: ConnectionId) {
        let mut budget = Budget::default();
        while !budget.is_spent(|| self.clock.now()) && self.sockets.may_say_more(connection, &mut self.counters) {
            if !self.decide_next(connection) {
                if self.sockets.shows_life(connection) && budget.frames() == 0 {
                    self.broker.handle(self.now, Input::Bytes { connection });
                }
                return self.sockets.go_on(connection, &mut self.counters);
            }
            budget.decided(|| self.clock.now());
            if self.sockets.said(connection) {
                self.note_link(connection);
            }
        }
        self.sockets.set_aside(connection, &mut self.scratch, &mut self.counters);
    }

    /// Looks at the first bytes of a connection. Returns whether it is in now.
    fn meet(&mut self, connection: ConnectionId) -> bool {
        if let Some(frames) = self.hear_peer(connection) {
            return frames;
        }
        let arrived = self.sockets.meet(connection, &mut self.scratch, self.now, &mut self.counters);
        let Some(Arrived { peer, holder, waited }) = arrived else {
            // What it keeps of a record that has come in part counts like everything else.
            self.sockets.go_on(connection, &mut self.counters);
            return false;
        };
        let peer = peer.to_string();
        self.broker.handle(self.now, Input::Connected { connection, peer, holder, waited });
        self.carry_out();
        true
    }

    /// Puts other keys, and another certificate, in place of those before. Returns how many connections are closed by that.
    fn exchange(&mut self, Exchange { keys, tls }: Exchange) -> usize {
        if let Some(tls) = tls {
            self.sockets.certify(tls);
        }
        keys.map_or(0, |replacement| self.rekey(replacement))
    }

    fn rekey(&mut self, Replacement { ring, removed_keys, rights }: Replacement) -> usize {
        let closed = self.sockets.rekey(&ring, &removed_keys);
        for (holder, rights) in rights {
            self.broker.handle(self.now, Input::Rights { holder, rights });
            self.carry_out();
        }
        // Of those whose holder is gone the core knows that already.
        for &connection in &closed {
            self.broker.handle(self.now, Input::KeyRemoved { connection });
            self.carry_out();
            self.sockets.close(connection, self.now);
        }
        closed.len()
    }

    /// Hands the next frame of what was read to the core. Returns whether there was one.
    fn decide_next(&mut self, connection: ConnectionId) -> bool {
        let Some((link, next)) = self.sockets.next_frame(connection, &mut self.scratch) else { return false };
        self.counters.frames_in += 1;
        let (mut spoilt, mut most) = (None, None);
        let input = match &next {
            Ok(raw) => input_of(connection, link, raw).unwrap_or_else(|error| {
                self.counters.bad_frame(error.word());
                Input::Malformed { connection, error }
            }),
            Err(error) => {
                self.counters.bad_frame(error.word());
                spoilt = if let EnvelopeError::Record(problem) = error { Some(*problem) } else { None };
                Input::NotAFrame { connection, error: *error }
            }
        };
        if let Input::Told { frame: ServerFrame::Welcome(welcome), .. } = &input {
            most = Some(welcome.max_frame);
        }
        let lost = next.is_err();
        self.broker.handle(self.now, input);
        self.carry_out();
        if let Some(most) = most {
            self.sockets.allow(connection, most);
        }
        if let Some(problem) = spoilt {
            self.sockets.note_spoilt(connection, problem);
        }
        if lost {
            // Where the next frame starts is not known. The core has said why it closes; in any case nothing more is read.
            self.sockets.close(connection, self.now);
        }
        !lost
    }

    fn keep_time(&mut self) {
        if self.broker.poll_timeout().is_some_and(|due| due <= self.now) {
            self.broker.handle_timeout(self.now);
            self.carry_out();
        }
        self.porch.keep_time(self.now, &mut self.counters);
        self.sockets.end_farewells(self.now);
        self.sockets.end_greetings(self.now, &mut self.counters);
        self.sockets.end_stalls(&mut self.counters);
        self.dialing.keep_time(self.now);
        if self.give_up.is_some_and(|time| time <= self.now) {
            self.leave(false);
        }
        if let Some(leaving) =
            self.leaving.as_mut().filter(|leaving| !leaving.closed && leaving.listen_until <= self.now)
        {
            leaving.closed = true;
            self.sockets.close_all(self.now);
        }
    }

    fn store(&mut self) {
        self.storing.turn(self.now, &mut self.broker);
        self.carry_out();
    }

    /// Writes each outbox that got something. A connection that ends may mean frames for others: they are written too.
    fn write(&mut self) {
        self.sockets.write_all(&mut self.counters);
        while let Some((connection, reason)) = self.sockets.next_end() {
            self.broker.handle(self.now, Input::Disconnected { connection, reason });
            self.carry_out();
            self.storing.hand_over(self.now, &mut self.broker);
        }
        self.end_dials();
    }

    /// Does what the core wants, in its order.
    fn carry_out(&mut self) {
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::Send { to, frame, data } => self.sockets.send(to, &frame, &data, &mut self.counters),
                Output::Say { to, frame, data } => self.sockets.send(to, &frame, &data, &mut self.counters),
                Output::SendAll { to, frame, data } => {
                    self.sockets.send_all(&to, &frame, &data, &mut self.counters);
                }
                Output::Close { connection } => self.sockets.close(connection, self.now),
                Output::Note(note) => {
                    self.heed(&note);
                    self.notes.log(self.now, &note);
                }
                Output::Drained { complete } => self.leave(complete),
            }
        }
    }

    /// The drain is over: nobody new comes in, and who is there may hear that and is then closed.
    fn leave(&mut self, complete: bool) {
        if self.leaving.is_some() {
            return;
        }
        let last_words = self.now + LAST_WORDS;
        let listen_until = self.give_up.filter(|_| complete).map_or(self.now, |give_up| last_words.min(give_up));
        self.leave_as(End::Drained { complete }, listen_until);
    }

    fn leave_as(&mut self, end: End, listen_until: Time) {
        self.leaving = Some(Leaving { end, listen_until, closed: false, until: listen_until + LEAVING });
        self.listener = None;
    }

    /// The end, once clients are gone and what there is was saved.
    fn end(&mut self) -> Option<End> {
        let leaving = self.leaving?;
        if self.sockets.len() > 0 && leaving.until > self.now {
            return None;
        }
        match self.storing.finish(self.now)? {
            Last::Saved => Some(leaving.end),
            Last::Lost => Some(End::NotSaved),
        }
    }
}

/// What a frame is for the core; between servers each says what a client says and what a server says.
fn input_of<'a>(connection: ConnectionId, link: bool, raw: &RawFrame<'a>) -> Result<Input<'a>, Malformed> {
    let frame = match link {
        false => ClientFrame::read(raw.head)?,
        true => match LinkFrame::read(raw.head)? {
            LinkFrame::AsClient(frame) => frame,
            LinkFrame::AsServer(frame) => return Ok(Input::Told { connection, frame, data: raw.payload() }),
        },
    };
    Ok(Input::Frame { connection, frame, data: raw.payload() })
}
