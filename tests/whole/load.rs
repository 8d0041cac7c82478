//! Callers and services on the client library. All know both balancers and no server.

use crate::dice::Dice;
use crate::ledger::{End, Kind, Ledger};
use answerback::{Builder, Client, Context, Error, Fault, Reconnect, State};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a handler is given: the number of the request, and how long the work takes in milliseconds.
type Work = (u64, u64);

/// Clients that serve, and clients that ask.
pub(crate) const SERVICES: usize = 40;
pub(crate) const CALLERS: usize = 160;

/// Work that a service can do at once.
const CONCURRENCY: u32 = 8;

/// Of all services so many take broadcasts as well: each of them is many answers. Not so few that all may be on their way to another server at one moment: a
/// broadcast goes to who is there.
const CAST_TO: usize = 20;

/// Longer than anything that is waited for here, so that no deadline hides a request that is lost.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A pause between two requests of a caller: the load shall leave the machine time for what is under test.
const PAUSE_MS: u64 = 60;

fn builder(doors: &[SocketAddr], first: usize, name: &str) -> Builder {
    let reconnect =
        Reconnect::default().first_delay(Duration::from_millis(10)).longest_delay(Duration::from_millis(100));
    let address = |nth: usize| doors[(first + nth) % doors.len()].to_string();
    let one = Client::builder(address(0)).name(name).reconnect(reconnect);
    (1..doors.len()).fold(one, |builder, nth| builder.address(address(nth)))
}

/// Services at work.
pub(crate) async fn serve(doors: &[SocketAddr], ledger: &Arc<Ledger>) -> Vec<Client> {
    let mut services = Vec::new();
    for nth in 0..SERVICES {
        let client = builder(doors, nth, &format!("service-{nth}")).connect().await.unwrap();
        serve_one(&client, "work", nth, ledger).await;
        if nth < CAST_TO {
            serve_one(&client, "cast", nth, ledger).await;
        }
        services.push(client);
    }
    services
}

async fn serve_one(client: &Client, action: &str, nth: usize, ledger: &Arc<Ledger>) {
    let ledger = Arc::clone(ledger);
    let work = move |context: Context, (number, takes): Work| {
        ledger.runs(number, nth, format!("attempt {} at {}", context.attempt(), server_of(context.client())));
        async move {
            pass(takes).await;
            Ok::<u64, Fault>(answer_of(number))
        }
    };
    client.serve(action, work).concurrency(CONCURRENCY).await.unwrap();
}

/// Which server a client is connected to.
fn server_of(client: &Client) -> String {
    match client.state() {
        State::Connected { server, .. } => server,
        other => format!("{other:?}"),
    }
}

fn answer_of(number: u64) -> u64 {
    number * 2 + 1
}

/// Callers at work.
pub(crate) struct Callers {
    stop: Arc<AtomicBool>,
    all: JoinSet<()>,
}

impl Callers {
    pub(crate) async fn start(doors: &[SocketAddr], seed: u64, ledger: &Arc<Ledger>) -> Self {
        let (stop, mut all) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for nth in 0..CALLERS {
            let client = builder(doors, nth, &format!("caller-{nth}")).connect().await.unwrap();
            let dice = Dice::new(seed.wrapping_mul(1_000_003) + nth as u64);
            let caller = Caller { client, ledger: Arc::clone(ledger), dice };
            all.spawn(caller.run(Arc::clone(&stop)));
        }
        Self { stop, all }
    }

    /// Nothing new. Everything that is under way has to end within its time.
    pub(crate) async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let all = async { while self.all.join_next().await.transpose().expect("no caller fails").is_some() {} };
        timeout(TIMEOUT * 2, all).await.expect("every request ends");
    }
}

struct Caller {
    client: Client,
    ledger: Arc<Ledger>,
    dice: Dice,
}

impl Caller {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let kind = self.kind();
            let number = self.ledger.begins(kind, server_of(&self.client));
            let work: Work = (number, self.takes());
            let end = self.ask(kind, work).await.unwrap_or_else(End::Failed);
            self.ledger.ends(number, end, server_of(&self.client));
            pass(self.dice.below(2 * PAUSE_MS as usize) as u64).await;
        }
        self.client.close().await;
    }

    fn kind(&mut self) -> Kind {
        match self.dice.below(20) {
            0..=8 => Kind::Call,
            9..=10 => Kind::DurableCall,
            11..=12 => Kind::Send,
            13..=14 => Kind::DurableSend,
            15..=18 => Kind::Keyed,
            _ => Kind::Broadcast,
        }
    }

    /// Mostly short, sometimes long enough to be there when something goes.
    fn takes(&mut self) -> u64 {
        match self.dice.below(20) {
            0 => 200 + self.dice.below(400) as u64,
            1..=4 => 20 + self.dice.below(60) as u64,
            _ => self.dice.below(4) as u64,
        }
    }

    async fn ask(&self, kind: Kind, work: Work) -> Result<End, Error> {
        let number = work.0;
        let call = || self.client.call::<u64>("work", work).attempts(kind.attempts()).timeout(TIMEOUT);
        let send = || self.client.send("work", work).attempts(kind.attempts()).timeout(TIMEOUT);
        let answer = match kind {
            Kind::Call => call().await?,
            Kind::DurableCall => call().durable().await?,
            Kind::Keyed => call().key(format!("key-{number}")).await?,
            Kind::Send => return send().await.map(|()| End::Accepted),
            Kind::DurableSend => return send().durable().await.map(|()| End::Accepted),
            Kind::Broadcast => return self.broadcast(work).await,
        };
        assert_eq!(answer, answer_of(number), "an answer to another call");
        Ok(End::Answered)
    }

    async fn broadcast(&self, work: Work) -> Result<End, Error> {
        let gathered = self.client.broadcast::<u64>("cast", work).timeout(TIMEOUT).gather().await?;
        let counts = gathered.counts;
        assert_eq!(counts.expected, counts.answered + counts.failed + counts.lost, "{gathered:?}");
        Ok(if counts.answered > 0 { End::Answered } else { End::Accepted })
    }
}

#[allow(clippy::disallowed_methods, reason = "work takes time; how much is the point here")]
pub(crate) async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
