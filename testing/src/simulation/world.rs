//! The world of a simulation: the broker, everything that reaches it, and everything that it wants done.

use crate::random::Random;
use crate::simulation::history::{self, History};
use crate::simulation::line::{self, Fate, Line};
use crate::simulation::weather::Weather;
use answerback_broker::{Broker, ConnectionId, Disconnect, Input, Output, Secrets, Settings, Time};
use answerback_protocol::codec::{CodecError, FrameCodec, HeadAndData};
use answerback_protocol::{ClientFrame, Payload, ServerFrame};
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::codec::Decoder;

/// Connections at once at most, as with a server.
const CONNECTIONS_MAX: usize = 10_000;

/// Bytes that may wait for one client at most, as with a server. More, and its connection ends as too slow.
const OUTBOX_BYTES_MAX: usize = 64 << 20;

/// How long a broker listens when its last work is done and it leaves, as with a server.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What all tasks of a simulation share. The lock is never held while one waits.
#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    start: Instant,
    settings: Settings,
    inside: Mutex<Inside>,
    /// The broker is due at another time.
    due: Notify,
    weather_changed: Notify,
    /// Which life of the broker this is, and how its drain has ended.
    drained: watch::Sender<(u64, Option<bool>)>,
}

#[derive(Debug)]
pub(super) struct Inside {
    /// Nothing while it is down.
    pub(super) broker: Option<Broker>,
    pub(super) lines: BTreeMap<ConnectionId, Line>,
    pub(super) history: History,
    pub(super) weather: Weather,
    /// When the clock wakes the broker.
    due: Option<Time>,
    /// Connections that were ever asked for.
    attempts: u64,
    /// Clients that were ever made.
    clients: u64,
    tasks: JoinSet<()>,
    /// Whether it was sent away by hand, so that only a hand brings it back.
    stays_away: bool,
    /// Nothing happens any more.
    ended: bool,
}

impl World {
    pub(super) fn start(seed: u64, weather: Weather, mut settings: Settings) -> Arc<Self> {
        let mut random = Random::nth(seed, 0);
        // The same in all lives of the broker: a server keeps this key too.
        let delivery = (u128::from(random.bits()) << 64 | u128::from(random.bits())).to_be_bytes();
        settings.secrets = Secrets { delivery, tables: random.bits() };
        let inside = Inside {
            broker: None,
            lines: BTreeMap::new(),
            history: History::default(),
            weather,
            due: None,
            attempts: 0,
            clients: 0,
            tasks: JoinSet::new(),
            stays_away: false,
            ended: false,
        };
        let world = Arc::new(Self {
            seed,
            start: Instant::now(),
            settings,
            inside: Mutex::new(inside),
            due: Notify::new(),
            weather_changed: Notify::new(),
            drained: watch::Sender::new((0, None)),
        });
        world.start_broker();
        world.inside().tasks.spawn(keep_time(Arc::clone(&world)));
        world.inside().tasks.spawn(kill_now_and_then(Arc::clone(&world), random));
        world
    }

    /// Everything. Who panicked with the lock in hand was a test that has failed.
    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of the next client. Far from those of connections, so that no two draw from one generator.
    pub(crate) fn next_client(&self) -> u64 {
        let mut inside = self.inside();
        inside.clients += 1;
        u64::MAX - inside.clients
    }

    fn now(&self) -> Time {
        Time::default() + self.start.elapsed()
    }

    /// The broker starts with nothing in it, if it is down and may be there.
    pub(super) fn start_broker(&self) {
        let mut inside = self.inside();
        if inside.ended || inside.stays_away || inside.broker.is_some() {
            return;
        }
        self.drained.send_modify(|(life, end)| (*life, *end) = (*life + 1, None));
        let mut settings = self.settings.clone();
        // A server draws this one anew whenever it starts.
        settings.secrets.tables ^= self.drained.borrow().0;
        inside.broker = Some(Broker::new(settings));
        self.note(&mut inside, "the broker starts");
    }

    /// The broker is gone at once, if it is there.
    pub(super) fn stop(&self, how: &str) {
        self.take_broker(how, Fate::Killed);
    }

    fn take_broker(&self, how: &str, fate: Fate) {
        let mut inside = self.inside();
        if inside.broker.take().is_none() {
            return;
        }
        // Nothing is due any more; the clock must not go on waking nobody.
        inside.due = None;
        self.note(&mut inside, &format!("the broker {how}"));
        for line in inside.lines.values_mut().filter(|line| line.known) {
            line.known = false;
            line.decide(fate);
        }
        self.drained.send_modify(|(_, end)| *end = end.or(Some(false)));
    }

    /// All connections break.
    pub(super) fn cut_all(&self) {
        let mut inside = self.inside();
        self.note(&mut inside, "all connections break");
        inside.lines.values_mut().for_each(|line| line.decide(Fate::Broken));
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.inside().weather = weather;
        self.weather_changed.notify_waiters();
    }

    /// Waits until what the weather says is over; whenever it changes, it is asked again. `None` means never.
    pub(super) async fn weather_ends(&self, mut says: impl FnMut(&Weather) -> Option<Duration>) {
        loop {
            let changed = self.weather_changed.notified();
            let ends = says(&self.inside().weather).map(|after| Instant::now() + after);
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(ends.unwrap_or_else(Instant::now)), if ends.is_some() => return,
            }
        }
    }

    /// Nothing happens any more; every task ends, and clients see their connections close.
    pub(super) fn end(&self) {
        let mut inside = self.inside();
        inside.ended = true;
        inside.broker = None;
        inside.lines.clear();
        inside.tasks.abort_all();
    }

    /// Whether the broker stays away once it is gone.
    pub(super) fn stays_away(&self, stays: bool) {
        self.inside().stays_away = stays;
    }

    /// Writes a line of the history.
    pub(super) fn say(&self, what: &str) {
        self.note(&mut self.inside(), what);
    }

    /// The same for who has the lock.
    fn note(&self, inside: &mut Inside, what: &str) {
        let line = format!("{:?} {what}", self.now());
        inside.history.add(&line);
    }

    /// Bytes have arrived. Says whether the connection goes on.
    pub(super) fn take_in(&self, id: ConnectionId, bytes: &mut BytesMut) -> bool {
        let mut inside = self.inside();
        let mut codec = FrameCodec::new(self.settings.max_frame);
        let mut frames = 0;
        while inside.lines.get(&id).is_some_and(|line| line.known) {
            match codec.decode(bytes) {
                Ok(Some(frame)) => self.frame(&mut inside, id, &frame),
                Ok(None) if frames > 0 => return true,
                Ok(None) => {
                    self.give(&mut inside, Input::Bytes { connection: id });
                    return true;
                }
                Err(CodecError::Envelope(error)) => self.give(&mut inside, Input::NotAFrame { connection: id, error }),
                // Bytes in memory do not fail.
                Err(CodecError::Io(_)) => return false,
            }
            frames += 1;
        }
        false
    }

    fn frame(&self, inside: &mut Inside, connection: ConnectionId, frame: &HeadAndData) {
        match ClientFrame::read(&frame.head) {
            Ok(said) => {
                self.note(inside, &format!("{} > {}", line::name(connection), history::said(&said)));
                let data = Payload::from_received(frame.data.clone());
                self.give(inside, Input::Frame { connection, frame: said, data });
            }
            Err(error) => {
                self.note(inside, &format!("{} > malformed", line::name(connection)));
                self.give(inside, Input::Malformed { connection, error });
            }
        }
    }

    /// A connection has ended; the broker learns of it if it had not asked for that.
    pub(super) fn disconnected(&self, id: ConnectionId) {
        let mut inside = self.inside();
        let Some(line) = inside.lines.get_mut(&id) else { return };
        if std::mem::take(&mut line.known) {
            self.note(&mut inside, &format!("{} is gone", line::name(id)));
            self.give(&mut inside, Input::Disconnected { connection: id, reason: Disconnect::ByPeer });
        }
    }

    fn give(&self, inside: &mut Inside, input: Input<'_>) {
        if let Some(broker) = &mut inside.broker {
            broker.handle(self.now(), input);
            self.take_outputs(inside);
        }
    }

    /// Does what the broker wants, and sees to it that it is woken in time.
    fn take_outputs(&self, inside: &mut Inside) {
        while let Some(output) = inside.broker.as_mut().and_then(Broker::next_output) {
            match output {
                Output::Send { to, frame, data } => self.writes(inside, to, &frame, &data),
                Output::SendAll { to, frame, data } => {
                    to.into_iter().for_each(|to| self.writes(inside, to, &frame, &data));
                }
                Output::Close { connection } => self.closes(inside, connection, Disconnect::Asked, Fate::Closing),
                Output::Drained { complete } => self.drained.send_modify(|(_, end)| *end = Some(complete)),
                // There is one broker here, and it dials nobody.
                Output::Note(_) | Output::Say { .. } => {}
            }
        }
        let due = inside.broker.as_ref().and_then(Broker::poll_timeout);
        if due != inside.due {
            inside.due = due;
            self.due.notify_one();
        }
    }

    fn writes(&self, inside: &mut Inside, to: ConnectionId, frame: &ServerFrame<'_>, data: &Payload) {
        self.note(inside, &format!("{} < {}", line::name(to), history::told(frame)));
        let Some(line) = inside.lines.get_mut(&to).filter(|line| line.known) else { return };
        if line.write(frame, data) > OUTBOX_BYTES_MAX {
            self.closes(inside, to, Disconnect::Slow, Fate::Broken);
        }
    }

    /// The broker's end of a connection closes. What the broker wants because of that is taken with the other outputs.
    fn closes(&self, inside: &mut Inside, id: ConnectionId, reason: Disconnect, fate: Fate) {
        let Some(line) = inside.lines.get_mut(&id).filter(|line| line.known) else { return };
        line.known = false;
        line.decide(fate);
        self.note(inside, &format!("{} is closed by the broker", line::name(id)));
        let now = self.now();
        if let Some(broker) = &mut inside.broker {
            broker.handle(now, Input::Disconnected { connection: id, reason });
        }
    }

    fn time_has_come(&self) {
        let (mut inside, now) = (self.inside(), self.now());
        if let Some(broker) = &mut inside.broker {
            broker.handle_timeout(now);
            self.take_outputs(&mut inside);
        }
    }

    /// The number of the next try to connect, and its chances.
    fn attempt(&self) -> (u64, Random, Weather) {
        let mut inside = self.inside();
        inside.attempts += 1;
        (inside.attempts, Random::nth(self.seed, inside.attempts), inside.weather)
    }
}

/// Opens a connection, if the broker is there when the client reaches it.
pub(crate) async fn connect(world: &Arc<World>) -> io::Result<DuplexStream> {
    let (number, mut random, weather) = world.attempt();
    line::pass(random.up_to(weather.delay)).await;
    let mut inside = world.inside();
    if inside.broker.is_none() || inside.lines.len() >= CONNECTIONS_MAX {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let id = ConnectionId::new(0, inside.free_place(), number as u32);
    let (client, broker) = tokio::io::duplex(line::BYTES_ON_THEIR_WAY_MAX);
    let (line, ends) = Line::new();
    inside.lines.insert(id, line);
    world.note(&mut inside, &format!("{} opens", line::name(id)));
    world.give(
        &mut inside,
        Input::Connected { connection: id, peer: format!("simulated:{number}"), holder: None, waited: Duration::ZERO },
    );
    // Tasks that have ended are let go, so that they do not pile up.
    while inside.tasks.try_join_next().is_some() {}
    inside.tasks.spawn(line::carry(Arc::clone(world), id, broker, ends, random));
    Ok(client)
}

/// Asks the broker to leave and waits until it has.
pub(super) async fn drain(world: &Arc<World>, deadline: Duration) -> bool {
    let mut drained = world.drained.subscribe();
    {
        let mut inside = world.inside();
        if inside.broker.is_none() {
            return true;
        }
        world.note(&mut inside, "the broker is asked to leave");
        world.give(&mut inside, Input::Drain { deadline: world.now() + deadline });
    }
    let life = drained.borrow().0;
    let end = drained.wait_for(|(now, end)| *now != life || end.is_some()).await.map(|end| *end);
    let Ok((now, Some(complete))) = end else { return false };
    line::pass(LAST_WORDS).await;
    if now == life && world.drained.borrow().0 == life {
        world.stays_away(true);
        world.take_broker("has left", Fate::Closing);
    }
    now == life && complete
}

impl Inside {
    /// The first place that no connection has which the broker knows.
    fn free_place(&self) -> u32 {
        let mut taken: Vec<_> = self.lines.iter().filter(|(_, line)| line.known).map(|(id, _)| id.place()).collect();
        taken.sort_unstable();
        let free = taken.iter().enumerate().find(|(nth, place)| nth != *place).map_or(taken.len(), |(nth, _)| nth);
        free as u32
    }
}

/// Wakes the broker when something is due.
async fn keep_time(world: Arc<World>) {
    loop {
        let due = world.inside().due.filter(|due| *due < Time::NEVER);
        let at = world.start + due.map_or(Duration::ZERO, |due| due.since(Time::default()));
        tokio::select! {
            biased;
            () = world.due.notified() => {}
            () = sleep_until(at), if due.is_some() => world.time_has_come(),
        }
    }
}

/// Kills the broker as often as the weather says.
async fn kill_now_and_then(world: Arc<World>, mut random: Random) {
    loop {
        world.weather_ends(|weather| weather.restarts.map(|(about, _)| random.around(about))).await;
        let away = world.inside().weather.restarts.map_or(Duration::ZERO, |(_, away)| away);
        world.stop("is killed");
        line::pass(random.up_to(away)).await;
        world.start_broker();
    }
}
