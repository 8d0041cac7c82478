//! A run: all servers, clients and connections, and what will happen when.

use super::client::Client;
use super::ledger::Ledger;
use super::plan::{Mood, Plan};
use super::server::Server;
use super::wire::{End, Line};
use crate::ledger::hold;
use crate::random::Random;
use crate::trace::Trace;
use answerback_broker::Time;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) random: Random,
    pub(super) now: Time,
    agenda: BTreeMap<(Time, u64), Event>,
    events: u64,
    pub(super) servers: Vec<Server>,
    pub(super) lines: Vec<Line>,
    pub(super) clients: Vec<Client>,
    pub(super) ledger: Ledger,
    pub(super) trace: Trace,
    /// Nothing bad happens any more.
    pub(super) calm: bool,
    /// All clients have gone, and servers have nothing to say to each other.
    pub(super) quiet: bool,
    over: bool,
    /// How often in a row a timer wanted to ring at once.
    impatience: u32,
}

/// Something that happens at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// Something may have arrived at an end of a connection.
    Arrive { line: usize, to: usize },
    /// A client does something.
    Act(usize),
    /// A client that is away comes back.
    Reconnect(usize),
    /// A client looks whether its server is still there.
    Listen { client: usize, line: usize },
    /// A handler goes on with a delivery.
    Work { client: usize, delivery: u64 },
    /// A server dials again.
    Dial(usize),
    /// A connection breaks.
    Break,
    /// A server is killed, or asked to leave.
    Misfortune,
    /// A server that has drained stops.
    Stop { server: usize, life: u32 },
    /// A server starts again.
    Start(usize),
    /// Everything comes to rest.
    Calm,
    /// All is as it should be: now every call is answered.
    Probe,
    /// By now every caller must have its answer.
    Leave,
    /// By now servers have nothing to say to each other.
    Quiet,
    /// By now nothing may be left.
    End,
}

/// A timer that wants to ring at once so often in a row does nothing else.
const IMPATIENCE_MAX: u32 = 1_000;

impl World {
    pub(super) fn new(seed: u64, keep_text: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let mut world = Self {
            servers: (0..plan.servers).map(|server| Server::new(server, &plan)).collect(),
            plan,
            random,
            now: Time::from_millis(1_000),
            agenda: BTreeMap::new(),
            events: 0,
            lines: Vec::new(),
            clients: Vec::new(),
            ledger: Ledger::default(),
            trace: Trace::new(keep_text),
            calm: false,
            quiet: false,
            over: false,
            impatience: 0,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        let (mood, edges) = (self.plan.mood, self.plan.edges.clone());
        self.trace.line(self.now, || format!("{mood:?}, links {edges:?}"));
        for edge in 0..self.plan.edges.len() {
            let after = self.around(50);
            self.after(after, Event::Dial(edge));
        }
        for _ in 0..self.plan.clients {
            self.add_client();
        }
        if matches!(self.plan.mood, Mood::Storm | Mood::War) {
            self.after_around(self.plan.break_ms, Event::Break);
        }
        if matches!(self.plan.mood, Mood::Drains | Mood::War) {
            self.after_around(self.plan.end_ms, Event::Misfortune);
        }
        self.after(Duration::from_millis(self.plan.calm_ms), Event::Calm);
    }

    /// Lives until the end.
    pub(super) fn run(&mut self) {
        while !self.over {
            let event = self.agenda.first_key_value().map_or(Time::NEVER, |((at, _), _)| *at);
            match self.next_alarm() {
                Some((at, server)) if at <= event => self.ring(at, server),
                _ => match self.agenda.pop_first() {
                    Some(((at, _), event)) => {
                        self.now = self.now.max(at);
                        self.impatience = 0;
                        self.happen(event);
                    }
                    None => panic!("the simulation came to a stop before its end"),
                },
            }
        }
    }

    fn next_alarm(&self) -> Option<(Time, usize)> {
        let due = |(number, server): (usize, &Server)| {
            server.is_up.then(|| server.broker.poll_timeout()).flatten().map(|at| (at.max(self.now), number))
        };
        self.servers.iter().enumerate().filter_map(due).min()
    }

    fn ring(&mut self, at: Time, server: usize) {
        self.impatience = if at > self.now { 0 } else { self.impatience + 1 };
        hold!(self.impatience < IMPATIENCE_MAX, "server {server} asks again and again for a time that has come");
        self.now = at;
        self.trace.number(at.micros());
        self.servers[server].broker.handle_timeout(at);
        self.take_outputs(server);
    }

    fn happen(&mut self, event: Event) {
        self.trace.number(self.now.micros());
        match event {
            Event::Arrive { line, to } => self.arrive(line, to),
            Event::Act(client) => self.act(client),
            Event::Reconnect(client) => self.reconnect(client),
            Event::Listen { client, line } => self.listen(client, line),
            Event::Work { client, delivery } => self.work(client, delivery),
            Event::Dial(edge) => self.dial(edge),
            Event::Break => self.break_some(),
            Event::Misfortune => self.misfortune(),
            Event::Stop { server, life } => self.stop(server, life),
            Event::Start(server) => self.start(server),
            Event::Calm => self.come_to_rest(),
            Event::Probe => self.probe(),
            Event::Leave => self.leave(),
            Event::Quiet => self.quiet = true,
            Event::End => self.end(),
        }
    }

    fn arrive(&mut self, line: usize, to: usize) {
        let Some(arrived) = self.lines[line].arrived(to, self.now) else { return };
        if !self.lines[line].open[to] {
            return;
        }
        match (self.lines[line].ends[to], arrived) {
            (End::Server { server, connection }, Some(frame)) => self.frame_to_server(server, connection, line, &frame),
            (End::Server { server, .. }, None) => self.server_lost(server, line),
            (End::Client(client), Some(frame)) => self.frame_to_client(client, line, &frame),
            (End::Client(client), None) => self.client_lost(client, line),
        }
    }

    /// Connections break for a while; at times those of one server, at times all.
    fn break_some(&mut self) {
        if self.calm {
            return;
        }
        let whole: Vec<_> = (0..self.lines.len()).filter(|line| self.lines[*line].is_whole()).collect();
        let links_only = self.random.chance(700);
        let some: Vec<_> = whole.into_iter().filter(|line| !links_only || self.lines[*line].edge.is_some()).collect();
        let count = if self.random.chance(100) { some.len() } else { some.len().min(1) };
        for _ in 0..count {
            let line = self.random.pick(&some);
            self.trace.count("mesh", if self.lines[line].edge.is_some() { "link cut" } else { "client cut" });
            self.trace.line(self.now, || format!("line {line} is cut"));
            self.cut(line);
        }
        self.after_around(self.plan.break_ms, Event::Break);
    }

    fn come_to_rest(&mut self) {
        self.calm = true;
        self.trace.line(self.now, || "calm".to_owned());
        let after = self.plan.heartbeat * 6 + self.plan.grace * 3 + Duration::from_secs(6);
        self.after(after, Event::Probe);
    }

    pub(super) fn later(&mut self, at: Time, event: Event) {
        self.events += 1;
        self.agenda.insert((at, self.events), event);
    }

    pub(super) fn after(&mut self, after: Duration, event: Event) {
        self.later(self.now + after, event);
    }

    pub(super) fn after_around(&mut self, ms: u64, event: Event) {
        let after = self.around(ms);
        self.after(after, event);
    }

    /// Something around this many milliseconds.
    pub(super) fn around(&mut self, ms: u64) -> Duration {
        Duration::from_micros(self.random.between(1, ms * 2_000))
    }

    pub(super) fn finish(&mut self) {
        self.over = true;
    }
}
