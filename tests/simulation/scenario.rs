//! What a seed decides before anything happens: settings, weather, who is there and what they like to do.

use crate::holders::Holder;
use crate::network::Weather;
use crate::random::Random;
use answerback_broker::{Limits, Secrets, Settings, Time};
use std::time::Duration;

/// The frame of a run.
pub(crate) struct Scenario {
    pub(crate) settings: Settings,
    pub(crate) weather: Weather,
    pub(crate) habits: Vec<Habits>,
    /// Actions that may be served.
    pub(crate) actions: Vec<&'static str>,
    /// When network and clients come to rest.
    pub(crate) calm_at: Time,
    /// When the broker is asked to leave, and how long it has, if that happens in this run.
    pub(crate) drain: Option<(Time, Duration)>,
    /// The broker's timer may fire this much late, in microseconds.
    pub(crate) lateness_us: u64,
    /// The longest timeout a caller asks for, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// The longest that work takes, in milliseconds.
    pub(crate) work_ms: u64,
    /// Whether stored replies are only dropped for their age.
    pub(crate) room_for_stored: bool,
    /// The mean pause between strangers, in milliseconds; none if 0.
    pub(crate) strangers_ms: u64,
    /// How often a request shall be durable, per mille.
    pub(crate) durable: u64,
    /// The store, if there is one.
    pub(crate) store: Option<StoreHabits>,
    /// Who has keys; nobody on a server without.
    pub(crate) holders: Vec<Holder>,
}

/// How a store and its server behave.
#[derive(Debug, Clone)]
pub(crate) struct StoreHabits {
    /// The longest that a sync takes, in microseconds.
    pub(crate) sync_us: u64,
    /// The mean pause between two snapshots, in milliseconds.
    pub(crate) round_ms: u64,
    /// The mean time that writing one takes, in milliseconds.
    pub(crate) save_ms: u64,
    /// Changes that are gathered at once.
    pub(crate) piece: usize,
    /// The mean pause between two ends of the server, in milliseconds; none if 0.
    pub(crate) restart_ms: u64,
    /// How many of them are in good order, per mille.
    pub(crate) clean: u64,
    /// How likely a client dies with the server, per mille.
    pub(crate) deaths: u64,
    /// The mean pause between two failures of the disk, in milliseconds; none if 0.
    pub(crate) fail_ms: u64,
    /// Whether clients come while sends are still read from the store.
    pub(crate) streams: bool,
}

/// What a client likes to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    /// The mean pause between two acts, in milliseconds.
    pub(crate) pause_ms: u64,
    /// How likely each act is, per mille, as far as it is wanted in this run.
    pub(crate) calls: u64,
    pub(crate) serves: u64,
    /// Deaths, byes, long absences.
    pub(crate) unsteady: u64,
    /// Garbage, ids used twice, answers to what is not theirs.
    pub(crate) rude: u64,
    /// The largest credit it gives.
    pub(crate) credit: u64,
    /// The largest number of calls it makes at once.
    pub(crate) burst: u64,
}

/// Seeds from here on are worlds with keys. The worlds before them are what they were before there were keys.
pub(crate) const WITH_KEYS: u64 = 1 << 32;

const ACTIONS: [&str; 3] = ["user.get", "größe", "mail send"];

impl Scenario {
    /// What this seed decides.
    pub(crate) fn new(random: &mut Random, seed: u64) -> Self {
        let mut scenario = Self::without_store(random);
        // From a source of its own, so that worlds without a store are what they were before there was one.
        let mut random = Random::new(!seed);
        if random.chance(500) {
            scenario.durable = random.pick(&[50, 200, 700]);
            scenario.drain = None;
            scenario.settings.has_store = true;
            if random.chance(300) {
                scenario.settings.durable_actions = vec![random.pick(&ACTIONS).to_owned()];
            }
            scenario.store = Some(StoreHabits::new(&mut random));
        }
        if seed >= WITH_KEYS {
            scenario.holders = Holder::some(&mut random, &scenario.actions);
        }
        scenario
    }

    fn without_store(random: &mut Random) -> Self {
        let calm_at = Time::from_millis(random.between(2_000, 9_000));
        let drained = random.chance(300);
        let drain_at = Time::from_millis(random.between(1_000, calm_at.micros() / 1_000));
        let room_for_stored = random.chance(700);
        let clients = random.between(2, 6);
        let mut habits: Vec<_> = (0..clients).map(|_| Habits::new(random)).collect();
        // Somebody must ask and, nearly always, somebody must serve.
        habits[0].calls = 600;
        habits[1].serves = if random.chance(950) { 300 } else { 0 };
        Self {
            settings: settings(random, room_for_stored),
            weather: weather(random),
            habits,
            actions: ACTIONS[..random.between(1, 3) as usize].to_vec(),
            calm_at,
            drain: drained.then(|| (drain_at, Duration::from_millis(random.between(0, 3_000)))),
            lateness_us: random.pick(&[0, 0, 200, 3_000]),
            timeout_ms: random.pick(&[500, 2_000, 4_000]),
            work_ms: random.pick(&[5, 50, 400, 3_000]),
            room_for_stored,
            strangers_ms: random.pick(&[0, 0, 700]),
            durable: 10,
            store: None,
            holders: Vec::new(),
        }
    }

    /// How much later than asked the broker may do what time demands: its timer fires late, and its timers may be
    /// grouped by the millisecond.
    pub(crate) fn slack(&self) -> Duration {
        Duration::from_micros(self.lateness_us + 2_000)
    }
}

impl StoreHabits {
    fn new(random: &mut Random) -> Self {
        Self {
            sync_us: random.pick(&[10, 1_000, 20_000, 200_000]),
            round_ms: random.pick(&[2, 50, 300, 2_000]),
            save_ms: random.pick(&[1, 20, 300]),
            piece: random.pick(&[1, 2, 7, 1_000]),
            restart_ms: random.pick(&[0, 700, 1_500, 3_000]),
            clean: random.pick(&[0, 300, 1_000]),
            deaths: random.pick(&[0, 0, 200]),
            fail_ms: random.pick(&[0, 0, 500, 2_000]),
            streams: random.chance(500),
        }
    }
}

impl Habits {
    fn new(random: &mut Random) -> Self {
        Self {
            pause_ms: random.pick(&[10, 50, 200]),
            calls: random.pick(&[0, 300, 600, 600]),
            serves: random.pick(&[0, 100, 300]),
            unsteady: random.pick(&[0, 0, 10, 40]),
            rude: random.pick(&[0, 0, 20, 80]),
            credit: random.pick(&[1, 2, 5, 60]),
            burst: random.pick(&[1, 1, 4, 25]),
        }
    }
}

fn settings(random: &mut Random, room_for_stored: bool) -> Settings {
    let stored_replies = if room_for_stored { 100_000 } else { random.between(1, 4) as usize };
    Settings {
        secrets: Secrets { delivery: random_key(random), tables: random.bits() },
        default_timeout: Duration::from_millis(random.pick(&[1_000, 3_000])),
        send_timeout: Duration::from_millis(random.pick(&[1_000, 6_000])),
        session_grace: Duration::from_millis(random.pick(&[1_000, 2_000])),
        heartbeat: Duration::from_millis(random.pick(&[600, 1_500])),
        handshake: Duration::from_millis(500),
        dispatch_interval: Duration::from_millis(random.pick(&[0, 0, 0, 0, 5])),
        max_frame: random.pick(&[8 << 10, 64 << 10, 8 << 20]),
        elsewhere: if random.chance(500) { vec!["127.0.0.1:7042".to_owned()] } else { Vec::new() },
        limits: Limits {
            requests_per_action: random.pick(&[1, 3, 20, 1_000]),
            bytes_per_action: random.pick(&[4 << 10, 100 << 10, 256 << 20, 256 << 20]),
            bytes_in_all: random.pick(&[8 << 10, 200 << 10, 1 << 30, 1 << 30]),
            actions: random.pick(&[2, 100, 100, 100]),
            stored_replies,
            stored_reply_age: Duration::from_millis(random.pick(&[200, 2_000, 5_000])),
            ..Limits::default()
        },
        ..Settings::default()
    }
}

fn random_key(random: &mut Random) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&random.bits().to_le_bytes());
    key[8..].copy_from_slice(&random.bits().to_le_bytes());
    key
}

fn weather(random: &mut Random) -> Weather {
    Weather {
        delay_us: random.pick(&[20, 500, 10_000]),
        jitter_us: random.pick(&[0, 300, 20_000]),
        stall: random.pick(&[0, 0, 5, 30]),
        split: random.pick(&[0, 100, 600]),
        mischief_ms: random.pick(&[0, 0, 1_500, 600, 200]),
    }
}
