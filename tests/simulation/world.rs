//! A run: one seed, one world. Time jumps from event to event; nothing here waits, and nothing is random but the seed.

use crate::agenda::{Agenda, Event, Timer};
use crate::border::Border;
use crate::client::Client;
use crate::ledger::{Ledger, Token, hold};
use crate::network::{Network, Way};
use crate::promises::Disk;
use crate::random::Random;
use crate::scenario::Scenario;
use crate::store::Store;
use crate::trace::Trace;
use answerback_broker::{Broker, Held, Input, Item, ItemId, Time};
use answerback_protocol::inbox::Scratch;
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Everything that is simulated.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) scenario: Scenario,
    pub(crate) agenda: Agenda,
    pub(crate) network: Network,
    pub(crate) broker: Broker,
    pub(crate) clients: Vec<Client>,
    pub(crate) ledger: Ledger,
    pub(crate) border: Border,
    pub(crate) trace: Trace,
    pub(crate) scratch: Scratch,
    /// Deliveries that handlers were given, for intruders to choose from.
    pub(crate) recent: Vec<u64>,
    /// What the broker wrote in this turn, by link.
    pub(crate) outboxes: BTreeMap<usize, BytesMut>,
    /// Whether network and clients have come to rest.
    pub(crate) calm: bool,
    pub(crate) left: bool,
    /// Which life of the server this is, and whether it is between two.
    pub(crate) life: u32,
    pub(crate) down: bool,
    pub(crate) store: Option<Store>,
    pub(crate) disk: Disk,
    /// Requests that were on disk and are not any more.
    pub(crate) gone: BTreeSet<Token>,
    /// What is still to be read from the store.
    pub(crate) still_to_come: VecDeque<(ItemId, Item)>,
    over: bool,
    /// When the broker's timer fires, and for which wish.
    pub(crate) alarm: Option<(Time, Time)>,
    /// How often in a row the broker asked for a time that had come already.
    impatience: u32,
}

/// How often in a row the broker may ask to be called again at once.
const IMPATIENCE_MAX: u32 = 20;

impl World {
    /// The world of this seed.
    pub(crate) fn new(seed: u64, keep_text: bool) -> Self {
        let mut random = Random::new(seed);
        let scenario = Scenario::new(&mut random, seed);
        let mut world = Self {
            now: Time::from_millis(random.below(100)),
            agenda: Agenda::default(),
            network: Network::new(scenario.weather.clone()),
            broker: Broker::new(scenario.settings.clone()),
            clients: Vec::new(),
            ledger: Ledger::default(),
            border: Border::new(scenario.settings.clone(), scenario.slack(), scenario.room_for_stored),
            trace: Trace::new(keep_text),
            scratch: Scratch::new(0),
            recent: Vec::new(),
            outboxes: BTreeMap::new(),
            calm: false,
            left: false,
            life: 0,
            down: false,
            store: scenario.store.is_some().then(Store::default),
            disk: Disk::default(),
            gone: BTreeSet::new(),
            still_to_come: VecDeque::new(),
            over: false,
            alarm: None,
            impatience: 0,
            random,
            scenario,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for habits in self.scenario.habits.clone() {
            self.add_client(habits);
        }
        self.agenda.add(self.scenario.calm_at, Event::Calm);
        if let Some((at, _)) = self.scenario.drain {
            self.agenda.add(at, Event::Drain);
        }
        self.next_mischief();
        self.next_stranger();
        self.next_misfortune();
        if let Some(habits) = self.scenario.store.clone() {
            self.agenda.add(self.now, Event::Round { life: 0 });
            if habits.fail_ms > 0 {
                let after = self.around(habits.fail_ms);
                self.agenda.add(self.now + after, Event::DiskFails);
            }
        }
    }

    /// Lives until the end.
    pub(crate) fn run(&mut self) {
        while !self.over {
            let next = self.agenda.next_at().unwrap_or(Time::NEVER);
            match self.next_alarm() {
                Some(alarm) if alarm <= next => self.ring(alarm),
                _ => match self.agenda.take() {
                    Some((at, event)) => {
                        self.now = self.now.max(at);
                        self.happen(event);
                    }
                    None => panic!("the simulation came to a stop before its end"),
                },
            }
            self.hand_steps_over();
            self.flush();
        }
    }

    /// When the broker's timer fires: when it asked for, or a little later, as a busy server would.
    fn next_alarm(&mut self) -> Option<Time> {
        let wish = if self.down { None } else { self.broker.poll_timeout() };
        let known = self.alarm.filter(|(for_wish, _)| Some(*for_wish) == wish);
        self.alarm = known.or_else(|| wish.map(|wish| (wish, wish + self.lateness())));
        self.alarm.map(|(_, at)| at.max(self.now))
    }

    fn lateness(&mut self) -> Duration {
        Duration::from_micros(self.random.below(self.scenario.lateness_us + 1))
    }

    fn ring(&mut self, at: Time) {
        self.now = at;
        self.alarm = None;
        self.trace.number(at.micros());
        self.trace.line(at, || "the broker's timer".to_owned());
        self.broker.handle_timeout(at);
        self.take_outputs();
        let impatient = self.broker.poll_timeout().is_some_and(|wish| wish <= at);
        self.impatience = if impatient { self.impatience + 1 } else { 0 };
        hold!(self.impatience < IMPATIENCE_MAX, "the broker asks again and again for a time that has come: {at:?}");
    }

    fn happen(&mut self, event: Event) {
        self.trace.number(self.now.micros());
        match event {
            Event::Arrive { link, way } => self.arrive(link, way),
            Event::Timer { client, timer } => self.wake(client, timer),
            Event::Mischief => self.mischief(),
            Event::Stranger => self.stranger(),
            Event::Drain => self.drain(),
            Event::Synced { life, upto } => self.synced(life, upto),
            Event::Round { life } => self.begin_round(life),
            Event::Piece { life } => self.gather(life),
            Event::Saved { life } => self.saved(life),
            Event::DiskFails => self.disk_fails(),
            Event::DiskWorks => self.disk_works(),
            Event::Misfortune => self.misfortune(),
            Event::Stop { life } => self.stop(life),
            Event::Start { clean } => self.start(clean),
            Event::Stream { life } => self.stream(life, 3),
            Event::Calm => self.come_to_rest(),
            Event::Leave => self.leave(),
            Event::End => self.end(),
        }
    }

    fn wake(&mut self, client: usize, timer: Timer) {
        match timer {
            Timer::Act => self.act(client),
            Timer::Reconnect => self.reconnect(client),
            Timer::Ack { link } => self.acknowledge(client, link),
            Timer::Silence { link } => self.listen(client, link),
            Timer::Work { delivery, serial } => self.work(client, delivery, serial),
        }
    }

    /// Wakes a client after a while.
    pub(crate) fn wake_later(&mut self, client: usize, after: Duration, timer: Timer) {
        self.agenda.add(self.now + after, Event::Timer { client, timer });
    }

    /// Something around this many milliseconds.
    pub(crate) fn around(&mut self, ms: u64) -> Duration {
        Duration::from_micros(self.random.between(1, ms * 2_000))
    }

    fn next_mischief(&mut self) {
        if self.network.weather.mischief_ms > 0 && !self.calm {
            let after = self.around(self.network.weather.mischief_ms);
            self.agenda.add(self.now + after, Event::Mischief);
        }
    }

    fn mischief(&mut self) {
        if self.calm {
            return;
        }
        let open: Vec<_> = (0..self.network.links.len()).filter(|link| self.network.links[*link].client_open).collect();
        if !open.is_empty() {
            let link = self.random.pick(&open);
            match self.random.below(8) {
                0 => self.disconnect(link, answerback_broker::Disconnect::Slow),
                1 => self.duplicate(link),
                _ => self.cut(link),
            }
        }
        self.next_mischief();
    }

    /// Breaks a link somewhere in the middle of what is under way.
    pub(crate) fn cut(&mut self, link: usize) {
        self.trace.count("network", "cut");
        self.trace.line(self.now, || format!("link {link} breaks"));
        self.network.cut(link, self.now, &mut self.random, &mut self.agenda);
    }

    fn duplicate(&mut self, link: usize) {
        if let Some(client) = self.network.links[link].client {
            self.trace.count("network", "connected twice");
            self.trace.line(self.now, || format!("client {client} connects again beside link {link}"));
            self.connect(client);
        }
    }

    pub(crate) fn next_stranger(&mut self) {
        if self.scenario.strangers_ms > 0 && !self.calm {
            let after = self.around(self.scenario.strangers_ms);
            self.agenda.add(self.now + after, Event::Stranger);
        }
    }

    fn drain(&mut self) {
        if let Some((_, within)) = self.scenario.drain {
            self.drain_within(within);
        }
    }

    pub(crate) fn drain_within(&mut self, within: Duration) {
        let deadline = self.now + within;
        self.trace.line(self.now, || format!("drain until {deadline:?}"));
        self.trace.count("input", "drain");
        (self.border.drain_until, self.border.ever_drained) = (Some(deadline), true);
        self.broker.handle(self.now, Input::Drain { deadline });
        self.take_outputs();
        hold!(self.broker.is_draining(), "a drain has begun and is not known");
    }

    /// From now on nothing breaks, nobody asks, and whoever is away comes back.
    fn come_to_rest(&mut self) {
        self.calm = true;
        self.trace.line(self.now, || "calm".to_owned());
        self.network.weather =
            crate::network::Weather { delay_us: 50, jitter_us: 100, stall: 0, split: 0, mischief_ms: 0 };
        for client in 0..self.clients.len() {
            let after = self.around(20);
            self.wake_later(client, after, Timer::Reconnect);
        }
        let settings = &self.scenario.settings;
        let longest = settings.default_timeout.max(Duration::from_millis(self.scenario.timeout_ms));
        // A server that is away, or leaves, comes back first.
        let restart = self.store.as_ref().map_or(Duration::ZERO, |_| Duration::from_secs(4) + settings.session_grace);
        let rest = settings.session_grace + 5 * settings.heartbeat + Duration::from_secs(1);
        let until = self.now + restart + longest + rest;
        self.agenda.add(until, Event::Leave);
    }

    /// By now every caller that lives has its answer.
    fn leave(&mut self) {
        self.left = true;
        for client in &self.clients {
            if let Some((id, token)) = client.waiting.iter().next().filter(|_| client.is_ready()) {
                panic!("broken: request {token} (id {id}) was never answered: {:?}", self.ledger.asked[*token]);
            }
            let lately = client.replied + Duration::from_secs(1) > self.now;
            let told = client.kept.is_empty() || !client.is_ready() || lately;
            hold!(told, "client {}: {} replies were never acknowledged", client.number, client.kept.len());
            // A server that leaves takes no new sessions.
            let drains = self.border.drain_until.is_some();
            hold!(client.is_ready() || client.is_dead() || drains, "client {} could not come back", client.number);
        }
        hold!(self.border.drain_until.is_none() || self.border.drained, "a drain has passed its deadline");
        for client in 0..self.clients.len() {
            if self.random.chance(500) { self.say_bye(client) } else { self.vanish(client) }
        }
        let settings = &self.scenario.settings;
        let slowest = settings.send_timeout.max(Duration::from_millis(self.scenario.timeout_ms));
        let until =
            self.now + slowest + settings.session_grace + settings.limits.stored_reply_age + Duration::from_secs(4);
        self.agenda.add(until, Event::End);
    }

    /// By now nothing is left.
    fn end(&mut self) {
        self.store_is_empty();
        let held = self.broker.held();
        hold!(held == Held::default(), "all is answered and all have left, and the broker holds {held:?}");
        self.over = true;
    }

    /// Sends on their way what the broker wrote in this turn, each outbox in one write.
    pub(crate) fn flush(&mut self) {
        while let Some((link, bytes)) = self.outboxes.pop_first() {
            self.trace.number(link as u64);
            self.trace.bytes(&bytes);
            self.network.write((link, Way::Down), &bytes, self.now, &mut self.random, &mut self.agenda);
        }
    }
}
