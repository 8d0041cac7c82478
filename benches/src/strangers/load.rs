//! Clients at work: each calls so often a second, whatever the answers do. A call's time counts from the moment when it was due.

use answerback::{Client, Error, Key};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

const ACTION: &str = "work";

/// Handlers that share the work.
const HANDLERS: usize = 8;

/// Deliveries that each has at once.
const CONCURRENCY: u32 = 256;

/// Clients that have connected.
pub(crate) struct Load {
    callers: Vec<Client>,
    _handlers: Vec<Client>,
}

/// Times of calls that were answered, in nanoseconds, the shortest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    /// The time that so many of a thousand calls did not exceed.
    pub(crate) fn per_mille(&self, part: usize) -> Duration {
        let at = (self.0.len() * part / 1_000).min(self.0.len().saturating_sub(1));
        Duration::from_nanos(self.0.get(at).copied().unwrap_or_default())
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Load {
    /// Connects so many clients with this key.
    pub(crate) async fn connect(server: SocketAddr, key: &Key, clients: usize) -> Result<Self, Error> {
        let (mut callers, mut handlers) = (Vec::new(), Vec::new());
        for number in 0..clients.max(HANDLERS + 1) {
            let client = Client::builder(server.to_string()).key(key.clone()).connect().await?;
            if number < HANDLERS {
                let echo = |text: String| async move { answerback::Ok(text) };
                client.serve(ACTION, echo).concurrency(CONCURRENCY).await?;
                handlers.push(client);
            } else {
                callers.push(client);
            }
        }
        Ok(Self { callers, _handlers: handlers })
    }

    /// Every caller makes this many calls a second for a while. All of them must be answered.
    pub(crate) async fn work(&self, per_second: u32, time: Duration) -> Result<Times, Error> {
        let (mut callers, pause) = (JoinSet::new(), Duration::from_secs(1) / per_second.max(1));
        for (nth, caller) in (0u32..).zip(&self.callers) {
            // Spread over the pause, so that they do not all come at once.
            let begin = Instant::now() + pause * nth / self.callers.len().max(1) as u32;
            callers.spawn(call_steadily(caller.clone(), begin, pause, begin + time));
        }
        let mut times = Vec::new();
        for one in callers.join_all().await {
            times.extend(one?);
        }
        times.sort_unstable();
        Ok(Times(times))
    }
}

async fn call_steadily(client: Client, begin: Instant, pause: Duration, end: Instant) -> Result<Vec<u64>, Error> {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks.reset_at(begin.into());
    let mut calls = JoinSet::new();
    loop {
        let due = ticks.tick().await.into_std();
        if due >= end {
            break;
        }
        let client = client.clone();
        calls.spawn(async move {
            let _: String = client.call(ACTION, "something to say").await?;
            Ok(due.elapsed().as_nanos() as u64)
        });
    }
    calls.join_all().await.into_iter().collect()
}
