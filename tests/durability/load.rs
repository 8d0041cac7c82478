//! Services and callers on the client library.

use crate::dice::Dice;
use crate::ledger::{Asked, End, Kind, Ledger};
use answerback::{Client, Error, Fault, Reconnect, Service};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a handler is given: the number of the request, and how long the work takes in milliseconds.
pub(crate) type Work = (u64, u64);

/// Work that a service can do at once.
const CONCURRENCY: u32 = 8;

/// Longer than all restarts of a test take, so that no deadline ends a request.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A client that comes back as soon as there is a server.
pub(crate) async fn client(address: SocketAddr, name: &str) -> Client {
    let reconnect =
        Reconnect::default().first_delay(Duration::from_millis(10)).longest_delay(Duration::from_millis(100));
    Client::builder(address.to_string()).name(name).reconnect(reconnect).connect().await.unwrap()
}

/// Serves an action, and writes every run down.
pub(crate) async fn serve(client: &Client, action: &str, who: &'static str, ledger: &Arc<Ledger>) -> Service {
    let ledger = Arc::clone(ledger);
    let work = move |(number, takes): Work| {
        ledger.runs(number, who);
        async move {
            pass(Duration::from_millis(takes)).await;
            Ok::<u64, Fault>(answer_of(number))
        }
    };
    client.serve(action, work).concurrency(CONCURRENCY).await.unwrap()
}

pub(crate) fn answer_of(number: u64) -> u64 {
    number * 2 + 1
}

/// What callers ask, each as often as the others.
#[derive(Clone, Copy)]
pub(crate) struct Mix(pub(crate) &'static [Asked]);

const fn asked(kind: Kind, durable: bool, attempts: u32) -> Asked {
    let action = if matches!(kind, Kind::Parked) { "parked" } else { "work" };
    Asked { kind, action, durable, attempts, handlers_die: false }
}

/// All that can be asked.
pub(crate) const EVERYTHING: Mix = Mix(&[
    asked(Kind::Send, true, 1),
    asked(Kind::Send, true, 3),
    asked(Kind::Send, false, 1),
    asked(Kind::Send, false, 3),
    asked(Kind::Call, true, 1),
    asked(Kind::Call, true, 3),
    asked(Kind::Call, false, 1),
    asked(Kind::Call, false, 3),
    asked(Kind::Key, true, 1),
    asked(Kind::Parked, true, 1),
    asked(Kind::Parked, false, 1),
]);

/// All that has a handler.
pub(crate) const HANDLED: Mix = Mix(EVERYTHING.0.split_at(9).0);

/// Callers at work.
pub(crate) struct Callers {
    stop: Arc<AtomicBool>,
    workers: JoinSet<()>,
}

impl Callers {
    /// So many workers for each client, each asking one thing after another.
    pub(crate) fn start(clients: &[Client], workers: u64, mix: Mix, seed: u64, ledger: &Arc<Ledger>) -> Self {
        let (stop, mut set) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for (nth, client) in (0..).zip(clients) {
            for worker in 0..workers {
                let dice = Dice::new(seed.wrapping_mul(1_000_003) + nth * workers + worker);
                let worker = Worker { client: client.clone(), ledger: Arc::clone(ledger), dice, mix };
                set.spawn(worker.run(Arc::clone(&stop)));
            }
        }
        Self { stop, workers: set }
    }

    /// Nothing new. Everything that is under way has to end within this time.
    pub(crate) async fn finish(mut self, within: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let all = async { while self.workers.join_next().await.transpose().expect("no worker fails").is_some() {} };
        timeout(within, all).await.expect("every request ends");
    }
}

struct Worker {
    client: Client,
    ledger: Arc<Ledger>,
    dice: Dice,
    mix: Mix,
}

impl Worker {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let asked = *self.dice.pick(self.mix.0);
            let number = self.ledger.begins(asked);
            let work: Work = (number, self.takes());
            match asked.kind {
                Kind::Call => self.ledger.ends(number, end_of(number, self.call(work, asked).await)),
                Kind::Key => self.keyed(work, asked).await,
                Kind::Send | Kind::Parked => self.send(work, asked).await,
            }
            // A client that cannot take anything says so at once; nobody is served by being asked a million times.
            pass(Duration::from_millis(1)).await;
        }
    }

    /// Mostly short, sometimes long enough to be there when something breaks.
    fn takes(&mut self) -> u64 {
        match self.dice.below(20) {
            0 => 100 + self.dice.below(200) as u64,
            1..=4 => 20 + self.dice.below(40) as u64,
            _ => self.dice.below(4) as u64,
        }
    }

    async fn call(&self, work: Work, asked: Asked) -> Result<u64, Error> {
        let call = self.client.call::<u64>(asked.action, work).attempts(asked.attempts).timeout(TIMEOUT);
        if asked.durable { call.durable().await } else { call.await }
    }

    /// The same call twice, one after the other: the second gets the answer of the first.
    async fn keyed(&self, work: Work, asked: Asked) {
        for _ in 0..2 {
            let call = self.client.call::<u64>(asked.action, work).attempts(asked.attempts).timeout(TIMEOUT).durable();
            let answer = call.key(format!("key-{}", work.0)).await;
            self.ledger.ends(work.0, end_of(work.0, answer));
        }
    }

    async fn send(&self, work: Work, asked: Asked) {
        let send = self.client.send(asked.action, work).attempts(asked.attempts).timeout(TIMEOUT);
        let sent = if asked.durable { send.durable().await } else { send.await };
        self.ledger.ends(work.0, sent.map_or_else(End::from, |()| End::Accepted));
    }
}

/// An answer has to be the answer to this call.
fn end_of(number: u64, answer: Result<u64, Error>) -> End {
    match answer {
        Ok(answer) => {
            assert_eq!(answer, answer_of(number), "an answer to another call");
            End::Answered
        }
        Err(error) => error.into(),
    }
}

#[allow(clippy::disallowed_methods, reason = "work takes time; how much is the point here")]
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
