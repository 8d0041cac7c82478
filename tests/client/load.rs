//! Services and callers under load. What they do is chosen by a seed.

use crate::dice::Dice;
use crate::ledger::{End, KEYS_FROM, Kind, Ledger};
use answerback::{Client, Context, Error, Fault, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a handler is given: the number of the call, how long the work takes, and whether it fails.
type Work = (u64, u64, bool);

/// Work that a service can do at once.
const CONCURRENCY: u32 = 8;

/// Calls that share an idempotency key, about.
const CALLS_OF_A_KEY: usize = 3;

/// What the parts of an answer are, before the last.
const PARTS: u64 = 3;

/// Serves `work`, `parts` and `nested`, and writes every run down.
pub(crate) async fn serve(client: &Client, who: &'static str, ledger: &Arc<Ledger>) -> [Service; 3] {
    let of_work = Arc::clone(ledger);
    let work = move |(number, takes, fails): Work| {
        of_work.runs(number, who);
        async move {
            pass(Duration::from_millis(takes)).await;
            if fails { Err(Fault::new("unlucky", "this one fails")) } else { Ok(answer_of(number)) }
        }
    };
    let work = client.serve("work", work).concurrency(CONCURRENCY).await.unwrap();
    let of_parts = Arc::clone(ledger);
    let parts = move |context: Context, (number, takes, _): Work| {
        of_parts.runs(number, who);
        async move {
            for part in 0..PARTS {
                context.part(part).await?;
                pass(Duration::from_millis(takes)).await;
            }
            Ok::<u64, Error>(answer_of(number))
        }
    };
    let parts = client.serve("parts", parts).concurrency(CONCURRENCY).await.unwrap();
    let of_nested = Arc::clone(ledger);
    let nested = move |context: Context, (number, takes, _): Work| {
        of_nested.runs(number, who);
        async move {
            pass(Duration::from_millis(takes)).await;
            // What a handler asks on the way has to end before its own call does.
            let echo: u64 = context.call("$echo", number).await?;
            Ok::<u64, Error>(answer_of(echo))
        }
    };
    let nested = client.serve("nested", nested).concurrency(CONCURRENCY).await.unwrap();
    [work, parts, nested]
}

fn answer_of(number: u64) -> u64 {
    number * 2 + 1
}

/// Callers at work.
pub(crate) struct Callers {
    stop: Arc<AtomicBool>,
    workers: JoinSet<()>,
}

impl Callers {
    /// So many workers for each client, each making one call after another.
    pub(crate) fn start(clients: &[Client], workers: u64, seed: u64, ledger: &Arc<Ledger>) -> Self {
        let (stop, mut set) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for (nth, client) in (0..).zip(clients) {
            for worker in 0..workers {
                let dice = Dice::new(seed.wrapping_mul(1_000_003) + nth * workers + worker);
                let worker = Worker { client: client.clone(), ledger: Arc::clone(ledger), dice };
                set.spawn(worker.run(Arc::clone(&stop)));
            }
        }
        Self { stop, workers: set }
    }

    /// No new calls. Every call that is under way has to end within this time.
    pub(crate) async fn finish(mut self, within: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let all = async { while self.workers.join_next().await.transpose().expect("no worker fails").is_some() {} };
        timeout(within, all).await.expect("every call ends");
    }
}

struct Worker {
    client: Client,
    ledger: Arc<Ledger>,
    dice: Dice,
}

impl Worker {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let kind = self.kind();
            let number = self.ledger.begins(kind);
            let end = self.ask(kind, number).await;
            self.ledger.ends(number, end);
            // A client that cannot take anything says so at once; nobody is served by being asked a million times.
            pass(Duration::from_millis(1)).await;
        }
    }

    fn kind(&mut self) -> Kind {
        match self.dice.below(20) {
            0..=4 => Kind::Call { attempts: 1 },
            5 => Kind::Hurried,
            6..=9 => Kind::Call { attempts: 3 },
            10 => Kind::Send { attempts: 1 },
            11 => Kind::Send { attempts: 3 },
            12 => Kind::Broadcast,
            13..=15 => Kind::Keyed { key: KEYS_FROM + self.dice.below(1 << 20) as u64 },
            16 | 17 => Kind::Dropped,
            _ => Kind::Parts,
        }
    }

    /// Mostly short, sometimes long enough to be there when something breaks.
    fn takes(&mut self) -> u64 {
        match self.dice.below(20) {
            0 => 200 + self.dice.below(200) as u64,
            1..=4 => 20 + self.dice.below(40) as u64,
            _ => self.dice.below(4) as u64,
        }
    }

    async fn ask(&mut self, kind: Kind, number: u64) -> End {
        let fails = self.dice.below(10) == 0;
        let work: Work = (number, self.takes(), fails);
        match kind {
            Kind::Call { attempts } => self.call(work, attempts).await,
            Kind::Hurried => {
                let within = Duration::from_millis(1 + self.dice.below(100) as u64);
                end_of(number, self.client.call("work", work).timeout(within).await)
            }
            Kind::Send { attempts } => {
                let sent = self.client.send("work", work).attempts(attempts).timeout(Duration::from_secs(5)).await;
                sent.map_or_else(End::Failed, |()| End::Accepted)
            }
            Kind::Broadcast => self.broadcast(work).await,
            Kind::Keyed { key } => self.keyed(key).await,
            Kind::Dropped => {
                let within = Duration::from_millis(self.dice.below(60) as u64);
                let call = self.client.call::<u64>("work", work).timeout(Duration::from_secs(5));
                match timeout(within, call).await {
                    Ok(answer) => end_of(number, answer),
                    Err(_elapsed) => End::Dropped,
                }
            }
            Kind::Parts => self.parts(work).await,
        }
    }

    async fn call(&mut self, work: Work, attempts: u32) -> End {
        let action = if attempts == 1 && self.dice.below(3) == 0 { "nested" } else { "work" };
        let mut call = self.client.call::<u64>(action, work).attempts(attempts).timeout(Duration::from_secs(5));
        // Some would rather not wait for a handler.
        if self.dice.below(10) == 0 {
            call = call.ttl(Duration::from_millis(self.dice.below(50) as u64));
        }
        end_of(work.0, call.await)
    }

    /// The same call several times, at once and one after another.
    async fn keyed(&mut self, key: u64) -> End {
        let work: Work = (key, key % 50, key.is_multiple_of(7));
        let name = format!("key-{key}");
        let ask = || self.client.call::<u64>("work", work).key(&name).timeout(Duration::from_secs(5));
        let mut others = JoinSet::new();
        for _ in 1..CALLS_OF_A_KEY {
            let (ledger, number) = (Arc::clone(&self.ledger), self.ledger.begins(Kind::Keyed { key }));
            let call = ask().into_future();
            others.spawn(async move { ledger.ends(number, end_of(key, call.await)) });
        }
        let end = end_of(key, ask().await);
        others.join_all().await;
        end
    }

    async fn broadcast(&self, work: Work) -> End {
        let gathered = self.client.broadcast::<u64>("work", work).timeout(Duration::from_secs(5)).gather().await;
        let gathered = match gathered {
            Ok(gathered) => gathered,
            Err(error) => return End::Failed(error),
        };
        let counts = gathered.counts;
        assert_eq!(counts.expected, counts.answered + counts.failed + counts.lost, "{gathered:?}");
        // Of a handler that was lost there may be an error, or no word at all.
        let replies = gathered.replies.len() as u64;
        assert!((counts.answered + counts.failed..=counts.expected).contains(&replies), "{gathered:?}");
        let mut from: Vec<_> = gathered.replies.iter().map(|reply| &reply.from).collect();
        from.sort_unstable();
        from.dedup();
        assert_eq!(from.len(), gathered.replies.len(), "one handler, one reply: {gathered:?}");
        // Without an answer nobody can say that it ran.
        if counts.answered + counts.failed == 0 { End::Accepted } else { End::Answered }
    }

    async fn parts(&self, work: Work) -> End {
        let mut parts = self.client.call::<u64>("parts", work).timeout(Duration::from_secs(5)).stream();
        let mut heard = Vec::new();
        while let Some(part) = parts.next().await {
            match part {
                Ok(part) => heard.push(part),
                Err(error) => return End::Failed(error),
            }
        }
        assert_eq!(heard, [0, 1, 2, answer_of(work.0)], "every part once, in order");
        End::Answered
    }
}

/// An answer has to be the answer to this call.
fn end_of(number: u64, answer: Result<u64, Error>) -> End {
    match answer {
        Ok(answer) => {
            assert_eq!(answer, answer_of(number), "an answer to another call");
            End::Answered
        }
        Err(error) => End::Failed(error),
    }
}

#[allow(clippy::disallowed_methods, reason = "work takes time; how much is the point here")]
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
