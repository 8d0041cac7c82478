//! Established channels, and somebody on the way who changes one thing. Whatever it is, who receives it closes the channel, and nothing of it, nor of
//! what comes behind it, arrives. The client comes back over a new channel, and then everything that was asked is done, once.

use crate::cut::Way;
use crate::dice::Dice;
use crate::proxy::{Proxy, until_closed};
use crate::stage::{Role, Runs, Stage, Work, client, honest_key, pause, soon, victims_key, work};
use crate::trick::{Bit, Plan, Trick};
use answerback::{Client, Error, State};
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// Calls under way when the blow falls: more than a record holds.
const CALLS: u64 = 12;

/// Rounds under way at once.
const AT_ONCE: usize = 8;

/// In this time something that was not stopped would have arrived.
const SETTLES_MS: u64 = 15;

/// No channel stays open for longer. Most close at once; a busy machine has its moments.
const CLOSES_WITHIN: Duration = Duration::from_secs(8);

/// Somebody whose line is attacked, and what is done to it.
#[derive(Debug, Clone, Copy)]
struct Round {
    role: Role,
    plan: Plan,
}

/// All that can be done, each once: first one of every kind, then all bits, in an order of the seed's.
fn all_rounds(seed: u64) -> Vec<Round> {
    let mut dice = Dice::new(seed);
    let mut bits: Vec<_> = Bit::all();
    let one_of_each = [0..16, 16..24, 24..32, 32..40, 40..168].map(|class| *dice.pick(&bits[class]));
    let first = Trick::OTHERS.into_iter().chain(one_of_each.map(Trick::Flip));
    let first: Vec<_> = pairs(first).collect();
    for at in (1..bits.len()).rev() {
        bits.swap(at, dice.below(at + 1));
    }
    let rest = pairs(bits.into_iter().map(Trick::Flip));
    first.into_iter().chain(rest).map(|(role, way, trick)| round(role, way, trick, dice.next())).collect()
}

fn pairs(tricks: impl Iterator<Item = Trick>) -> impl Iterator<Item = (Role, Way, Trick)> {
    tricks.flat_map(|trick| Role::BOTH.into_iter().flat_map(move |role| Way::BOTH.map(|way| (role, way, trick))))
}

fn round(role: Role, way: Way, trick: Trick, seed: u64) -> Round {
    Round { role, plan: Plan { way, trick, seed } }
}

/// What all rounds share.
struct Scene {
    server: SocketAddr,
    honest: Client,
    runs: Runs,
    /// A connection under the victim's key that somebody on the way has seen.
    elsewhere: Proxy,
    numbers: AtomicU64,
}

impl Scene {
    async fn open(server: SocketAddr) -> Self {
        let (runs, elsewhere) = (Runs::default(), Proxy::before(server));
        let honest = client(server, honest_key(), "honest").await;
        runs.serve(&honest, "work").await;
        let scene = Self { server, honest, runs, elsewhere, numbers: AtomicU64::new(1) };
        scene.be_seen().await;
        scene
    }

    /// Calls and serves, record by record, with the victim's key on another connection.
    async fn be_seen(&self) {
        let other = client(self.elsewhere.address, victims_key(), "other").await;
        self.runs.serve(&other, "victim.other").await;
        for _ in 0..12 {
            for (client, action) in [(&other, "work"), (&self.honest, "victim.other")] {
                answered(self.call(client, action).1).await;
            }
        }
        other.close().await;
    }

    /// Begins a call that nobody has made before.
    fn call(&self, client: &Client, action: &str) -> (u64, JoinHandle<Result<Work, Error>>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        (number, tokio::spawn(client.call::<Work>(action, work(number)).into_future()))
    }

    async fn play(&self, Round { role, plan }: Round) -> Duration {
        let Plan { way, trick, .. } = plan;
        let proxy = Proxy::before(self.server);
        proxy.learn_from(&self.elsewhere);
        let victim = client(proxy.address, victims_key(), "victim").await;
        let told = Told::listen(&victim);
        let own_action = format!("victim.{}", self.numbers.fetch_add(1, Ordering::Relaxed));
        let (caller, action) = match role {
            Role::Caller => (&victim, "work"),
            Role::Handler => (&self.honest, own_action.as_str()),
        };
        if role == Role::Handler {
            self.runs.serve(&victim, action).await;
        }
        answered(self.call(caller, action).1).await;
        proxy.strike(plan);
        let mut calls = Vec::new();
        for _ in 0..CALLS {
            calls.push(self.call(caller, action));
            pause(1).await;
        }
        let took = tokio::task::block_in_place(|| until_closed(&proxy, 0, way));
        pause(SETTLES_MS).await;
        self.check_what_arrived(role, plan, &calls);
        proxy.let_go();
        for (number, call) in calls {
            answered(call).await;
            assert_eq!(self.runs.of(number), 1, "every call has run once");
        }
        assert_eq!(proxy.connections(), 2, "one new channel is enough");
        soon("the end", victim.close()).await;
        told.check(way, trick).await;
        took
    }

    /// The channel is closed, and no other one is there yet.
    fn check_what_arrived(&self, role: Role, plan: Plan, calls: &[(u64, JoinHandle<Result<Work, Error>>)]) {
        for (number, call) in calls {
            let runs = self.runs.of(*number);
            assert!(runs <= 1, "it has run {runs} times");
            if plan.trick.lets_some_through() {
                continue;
            }
            if role.is_asked(plan.way) {
                assert_eq!(runs, 0, "what was changed has run");
            }
            assert!(!call.is_finished(), "what was changed was answered");
        }
    }
}

async fn answered(call: JoinHandle<Result<Work, Error>>) {
    let answer = soon("an answer", call).await.unwrap().unwrap();
    assert_eq!(answer, work(answer.0));
}

/// What a client is told about its connection.
struct Told(JoinHandle<Vec<String>>);

impl Told {
    /// Notes everything until the client has ended.
    fn listen(client: &Client) -> Self {
        let mut watch = client.watch();
        Self(tokio::spawn(async move {
            let mut told = Vec::new();
            loop {
                match watch.changed().await {
                    State::Waiting { why, .. } => told.push(why.to_string()),
                    State::Closed { .. } => return told,
                    _ => {}
                }
            }
        }))
    }

    async fn check(self, way: Way, trick: Trick) {
        let told = soon("what was told", self.0).await.unwrap();
        let words = match way {
            _ if trick.only_cuts() => return,
            // Told by the server, within the channel.
            Way::ToServer => "a record",
            Way::ToClient => "broke: in its sealed channel, a record",
        };
        assert!(told.iter().any(|why| why.contains(words)), "{way:?} {trick:?}: {told:?}");
    }
}

/// Two honest clients that never notice anything.
struct Beside {
    over: Arc<AtomicBool>,
    calling: JoinHandle<u64>,
}

impl Beside {
    async fn start(scene: &Scene) -> Self {
        let (over, runs) = (Arc::<AtomicBool>::default(), Runs::default());
        let service = client(scene.server, victims_key(), "beside").await;
        runs.serve(&service, "victim.beside").await;
        let (caller, end) = (client(scene.server, honest_key(), "calling").await, Arc::clone(&over));
        let calling = tokio::spawn(async move {
            let mut number = 0;
            while !end.load(Ordering::Relaxed) {
                number += 1;
                answered(tokio::spawn(caller.call::<Work>("victim.beside", work(number)).into_future())).await;
                assert_eq!(runs.of(number), 1);
                pause(1).await;
            }
            drop(service);
            number
        });
        Self { over, calling }
    }

    async fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.calling.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_done_to_records_the_channel_closes_and_nothing_arrives() {
    let (seed, most) = (crate::asked("SEED").unwrap_or(1), crate::asked("ROUNDS").unwrap_or(120) as usize);
    println!("`SEED={seed} ROUNDS={most} cargo test -p answerback-tests --test hostile tampering`");
    let stage = Stage::with(&["--heartbeat", "2s"]);
    let scene = Arc::new(Scene::open(stage.address()).await);
    let beside = Beside::start(&scene).await;
    let mut rounds: Vec<_> = all_rounds(seed);
    rounds.truncate(most);
    let (count, mut playing, mut slowest) = (rounds.len(), JoinSet::new(), Duration::ZERO);
    for round in rounds {
        if playing.len() == AT_ONCE {
            slowest = slowest.max(playing.join_next().await.unwrap().unwrap());
        }
        let scene = Arc::clone(&scene);
        playing.spawn(async move { scene.play(round).await });
    }
    while let Some(took) = playing.join_next().await {
        slowest = slowest.max(took.unwrap());
    }
    let quiet = beside.end().await;
    println!("{count} rounds, the slowest channel closed after {slowest:?}; {quiet} calls beside");
    assert!(slowest < CLOSES_WITHIN, "a channel was open for {slowest:?}");
    assert!(quiet > count as u64);
    assert_eq!(stage.metric("answerback_requests_delivered") + stage.metric("answerback_requests_queued"), 0);
    let log = stage.log();
    let line = log.lines().find(|line| line.contains("kind=\"spoilt\""));
    assert!(line.is_some_and(|line| line.contains("peer=127.0.0.1:") && line.contains("key_id=\"victim\"")), "{log}");
}

/// A record whose length was made longer takes what follows for its own, and there may not be much: bytes that open nothing are no sign of life, so
/// whoever waits for the rest gives up after two heartbeats, however the other end answers its pings.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_record_that_never_ends_is_silence() {
    let stage = Stage::with(&["--heartbeat", "300ms"]);
    let scene = Scene::open(stage.address()).await;
    for way in Way::BOTH {
        let proxy = Proxy::before(stage.address());
        let victim = client(proxy.address, victims_key(), "victim").await;
        // The server keeps the session of a client that has said something.
        assert_eq!(soon("an answer", victim.call::<u32>("$echo", 6)).await.unwrap(), 6);
        proxy.strike(Plan { way, trick: Trick::Flip(Bit::Length(7)), seed: 1 });
        let begun = std::time::Instant::now();
        let call = tokio::spawn(victim.call::<u32>("$echo", 7).into_future());
        tokio::task::block_in_place(|| until_closed(&proxy, 0, way));
        assert!(begun.elapsed() < CLOSES_WITHIN, "{way:?} took {:?}", begun.elapsed());
        assert!(!call.is_finished());
        proxy.let_go();
        let answer = soon("an answer", call).await.unwrap();
        assert_eq!(answer.map_err(|error| format!("{way:?}: {error}")), Ok(7));
    }
    drop(scene);
}
