//! A sound server behind a network that cuts in the middle of frames, delays, half-closes and stalls, for callers and for
//! services. Sessions are resumed, so a break costs nobody an answer.

use crate::ledger::{Ledger, Memory};
use crate::load::{Callers, pass, serve};
use crate::quiet::all_quiet;
use answerback::{Client, Reconnect};
use answerback_testing::{Faults, Proxy, Settings, TestBroker};
use std::sync::Arc;
use std::time::Duration;

/// How long there is chaos.
const CHAOS: Duration = Duration::from_secs(4);

/// How many things are done by hand meanwhile.
const STEPS: u32 = 20;

async fn broker() -> TestBroker {
    let mut settings = Settings::default();
    // What hangs is found in half a second rather than in half a minute.
    settings.broker.heartbeat = Duration::from_millis(250);
    settings.broker.handshake = Duration::from_millis(500);
    TestBroker::with(settings).await
}

async fn client(proxy: &Proxy, name: &str) -> Client {
    let reconnect = Reconnect::default().first_delay(Duration::from_millis(5)).longest_delay(Duration::from_millis(50));
    let builder = Client::builder(proxy.address()).name(name).connect_timeout(Duration::from_millis(500));
    builder.reconnect(reconnect).retry_first_connection().connect().await.unwrap()
}

/// Runs the load through two proxies, and says what became of it and how many connections there were.
async fn run(seed: u64, faults: impl Fn(u64) -> Faults) -> (crate::ledger::Tally, u64) {
    let (broker, ledger) = (broker().await, Arc::new(Ledger::default()));
    let to_services = Proxy::with(broker.address(), faults(seed)).await;
    let to_callers = Proxy::with(broker.address(), faults(seed + 1)).await;
    let mut clients = Vec::new();
    for who in ["service-1", "service-2", "service-3"] {
        clients.push(client(&to_services, who).await);
        serve(&clients[clients.len() - 1], who, &ledger).await;
    }
    let mut callers = Vec::new();
    for who in ["caller-1", "caller-2", "caller-3", "caller-4"] {
        callers.push(client(&to_callers, who).await);
    }
    let load = Callers::start(&callers, 6, seed, &ledger);
    for nth in 0..STEPS {
        pass(CHAOS / STEPS).await;
        // By hand, too: everything at once, so that connections come with other faults; and a network that stands still.
        match nth % 4 {
            0 => to_services.cut_all(),
            1 => to_callers.cut_all(),
            2 => to_services.pause(),
            _ => to_services.resume(),
        }
    }
    load.finish(Duration::from_secs(10)).await;
    let watcher = broker.client("watcher").await;
    clients.extend(callers);
    all_quiet(&watcher, &clients.iter().collect::<Vec<_>>(), Duration::from_secs(15)).await;
    let connections = to_services.connections() + to_callers.connections();
    assert!(to_services.broken() > 5 && to_callers.broken() > 5, "the plan of faults was hardly followed");
    (ledger.check(Memory::Long), connections)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_cost_nobody_an_answer() {
    let (tally, connections) = run(1, |seed| Faults::seeded(seed).cut_within(6_000).without_hangs()).await;
    println!("{connections} connections, {tally:?}");
    assert!(connections > 40 && tally.answered > 500, "{connections} connections, {tally:?}");
    // Everything that broke was resumed within the grace time: no handler was lost, no session, and no answer.
    for code in ["handler_lost", "disconnected"] {
        assert_eq!(tally.codes.get(code), None, "{tally:?}");
    }
    assert_eq!(tally.late, 0, "five seconds were not enough: {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_hang_are_found_and_left() {
    let (tally, connections) = run(3, |seed| Faults::seeded(seed).cut_within(6_000)).await;
    println!("{connections} connections, {tally:?}");
    assert!(connections > 40 && tally.answered > 200, "{connections} connections, {tally:?}");
}
