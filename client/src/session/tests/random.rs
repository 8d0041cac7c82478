//! A client and a small broker that do things at random, on connections that break in the middle of everything.
//!
//! Whatever happens: every call ends exactly once, none that ran is said not to have run, none runs more often than it may, and no
//! delivery that was started is ever taken for one that never arrived.

use super::model::Model;
use super::*;
use std::collections::BTreeSet;

/// xorshift64*: as random as a test needs, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn pick(&mut self, some: &[u64]) -> Option<u64> {
        let place = self.below(some.len().max(1) as u64) as usize;
        some.get(place).copied()
    }
}

struct Asked {
    attempts: u32,
    cancelled: bool,
}

struct World {
    dice: Dice,
    script: Script,
    model: Model,
    connected: bool,
    /// Frames on their way to the server.
    up: VecDeque<(String, String)>,
    asked: BTreeMap<u64, Asked>,
    working: BTreeSet<u64>,
    /// What happened at all, so that a world in which nothing happens is seen.
    opened: u32,
    resumed: u32,
    moved: u32,
}

/// The server's word on a call comes before this client gives up.
fn patient() -> Limits {
    Limits { patience: ms(60_000), ..limits() }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            script: Script::with_limits(patient()),
            model: Model::default(),
            connected: false,
            up: VecDeque::new(),
            asked: BTreeMap::new(),
            working: BTreeSet::new(),
            opened: 0,
            resumed: 0,
            moved: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..3 => self.ask(),
            3 => self.cancel(),
            4..8 => self.transmit(),
            8..11 => self.server_reads(),
            11..14 => self.server_acts(),
            14..16 => self.client_reads(),
            16 | 17 => self.work(),
            18 => self.time_passes(),
            _ if self.dice.below(4) == 0 => self.cut(),
            _ if self.dice.below(8) == 0 => self.change_service(),
            _ if self.dice.below(20) == 0 => self.move_on(),
            _ => self.connect(),
        }
    }

    // ── the application

    fn ask(&mut self) {
        let id = self.asked.len() as u64 + 1;
        let mut ask = self.script.plain_ask();
        ask.data = Bytes::from(id.to_string());
        ask.reply = self.dice.below(4) > 0;
        ask.timeout = (ask.reply || self.dice.below(2) == 0).then(|| ms(1 + self.dice.below(3_000)));
        ask.ttl = (self.dice.below(4) == 0).then(|| ms(self.dice.below(500)));
        ask.attempts = (self.dice.below(2) == 0).then(|| 1 + self.dice.below(4) as u32);
        let attempts = ask.attempts.unwrap_or(if ask.reply { 1 } else { 3 });
        self.asked.insert(id, Asked { attempts, cancelled: false });
        let caller = self.script.caller(id);
        self.script.session.ask(self.script.now, request_id(id), ask, caller);
    }

    fn cancel(&mut self) {
        let recent: Vec<_> = self.asked.keys().rev().take(20).copied().collect();
        if let Some(id) = self.dice.pick(&recent)
            && self.script.outcome(id).is_empty()
        {
            self.script.session.cancel(request_id(id));
            self.asked.entry(id).and_modify(|asked| asked.cancelled = true);
        }
    }

    fn change_service(&mut self) {
        match self.dice.below(4) {
            0 => self.script.session.unserve("a"),
            _ => self.script.session.serve("a", 50),
        }
    }

    fn work(&mut self) {
        let working: Vec<_> = self.working.iter().copied().collect();
        let Some(id) = self.dice.pick(&working) else { return };
        let verdict = match self.dice.below(8) {
            0 if !self.model.started.contains(&id) => {
                self.model.handed_back.insert(id);
                assert!(self.script.session.release(delivery_id(id)));
                self.working.remove(&id);
                return;
            }
            0..3 => Verdict::Part(Bytes::from_static(b"1")),
            3 => Verdict::Fault("broke".into()),
            _ => Verdict::Done(Bytes::from_static(b"2")),
        };
        self.model.started.insert(id);
        if !matches!(verdict, Verdict::Part(_)) {
            self.working.remove(&id);
        }
        assert!(self.script.session.answer(delivery_id(id), verdict));
    }

    fn take_events(&mut self) {
        while let Some(event) = self.script.session.next_event() {
            match event {
                Event::Deliver(delivery) => assert!(self.working.insert(delivery.id.get()), "{delivery:?} came twice"),
                Event::Welcome { resumed: true, .. } => self.resumed += 1,
                Event::Welcome { resumed: false, .. } => self.opened += 1,
                _ => {}
            }
        }
    }

    // ── the network

    fn connect(&mut self) {
        if !self.connected {
            self.connected = true;
            self.script.session.connected(self.script.now);
        }
    }

    fn cut(&mut self) {
        if self.connected {
            self.connected = false;
            self.up.clear();
            self.script.session.disconnected(self.script.now);
            let forgets = self.dice.below(4) == 0;
            self.model.disconnected(forgets);
        }
    }

    fn transmit(&mut self) {
        let mut out = BytesMut::new();
        let most = 1 + self.dice.below(2_000) as usize;
        let wants = self.script.session.wants_to_transmit();
        self.script.session.transmit(self.script.now, &mut out, most);
        assert!(wants || out.is_empty(), "it wrote and did not want to");
        assert!(self.connected || out.is_empty());
        self.up.extend(frames_of(out));
    }

    fn server_reads(&mut self) {
        for _ in 0..=self.dice.below(20) {
            let Some((head, data)) = self.up.pop_front() else { return };
            self.model.hears(self.script.now, self.script.welcome_frame(false), &head, &data);
        }
    }

    fn client_reads(&mut self) {
        for _ in 0..=self.dice.below(20) {
            let Some((frame, data)) = self.model.outbox.pop_front() else { return };
            self.script.says(frame, &data);
            self.take_events();
        }
    }

    // ── the server

    fn server_acts(&mut self) {
        if !self.script.session.is_welcome() {
            return;
        }
        let calls = self.model.calls();
        let Some(id) = self.dice.pick(&calls) else { return self.server_bothers() };
        match self.dice.below(8) {
            0 => self.model.runs(id),
            1 => self.model.sends_part(id),
            2 if self.script.session.leaving => self.model.fails(id, Code::Draining),
            2 => self.model.fails(id, Code::NoHandler),
            3..6 => self.model.answers(id),
            _ => self.server_bothers(),
        }
    }

    fn server_bothers(&mut self) {
        match self.dice.below(6) {
            0 => self.model.pings(),
            1..3 => self.model.acknowledges(),
            _ => self.model.delivers(),
        }
    }

    fn time_passes(&mut self) {
        let millis = 1 + self.dice.below(200);
        let lives = self.script.wait(millis);
        self.model.time_passes(self.script.now);
        if lives.is_err() {
            self.cut();
        }
    }

    /// First the server leaves, and later the client goes to another one.
    fn move_on(&mut self) {
        if !self.script.session.leaving {
            return self.script.session.leave();
        }
        self.cut();
        self.model.disconnected(true);
        let mut old = std::mem::replace(
            &mut self.script.session,
            Session::new(Identity { name: "me".into(), session: SESSION }, patient()),
        );
        for (action, credit) in old.served() {
            self.script.session.serve(&action, credit);
        }
        for (id, ask, caller) in old.take_unsaid() {
            self.script.session.take_over(id, ask, caller);
        }
        old.give_up(Code::Disconnected, "its server has gone");
        self.working.clear();
        self.moved += 1;
    }

    // ── the end

    /// No connection breaks any more, and everything that can end does.
    fn calm_down(&mut self) {
        if self.script.session.leaving {
            self.move_on();
        }
        for _ in 0..2_000 {
            self.connect();
            self.transmit();
            self.server_reads();
            self.client_reads();
            for id in self.model.calls() {
                self.model.answers(id);
            }
            self.model.acknowledges();
            if !self.working.is_empty() {
                self.work();
            }
            self.time_passes();
        }
    }

    fn check(&self) {
        for (&id, asked) in &self.asked {
            let (outcome, runs) = (self.script.outcome(id), self.model.runs.get(&id).copied().unwrap_or(0));
            assert_eq!(outcome.is_empty(), asked.cancelled, "{id} ended as `{outcome}`");
            assert!(!outcome.ends_with(" no") || runs == 0, "{id} ran and ended as `{outcome}`");
            assert!(runs <= asked.attempts, "{id} ran {runs} times and may {}", asked.attempts);
        }
        assert_eq!(self.script.session.calls.all(), 0);
        assert_eq!(self.script.session.calls.bytes(), 0);
        assert!(self.script.session.is_idle());
        assert_eq!(self.script.session.work.kept_bytes(), 0);
        assert_eq!(self.model.deliveries(), [0; 0], "the server waits for answers");
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    world.script.session.serve("a", 50);
    for _ in 0..1_500 {
        world.step();
    }
    world.calm_down();
    world.check();
    world
}

#[test]
fn whatever_happens_every_call_ends_once_and_truly() {
    let (mut opened, mut resumed, mut moved, mut asked, mut answered) = (0, 0, 0, 0, 0);
    for seed in 1..=100 {
        let world = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        (opened, resumed, moved) = (opened + world.opened, resumed + world.resumed, moved + world.moved);
        asked += world.asked.len();
        answered += world.asked.keys().filter(|&&id| world.script.outcome(id).starts_with("ok")).count();
    }
    let much = opened > 200 && resumed > 200 && moved > 20 && answered > asked / 4;
    assert!(much, "{opened} opened, {resumed} resumed, {moved} moved, {answered} of {asked} answered");
}
