//! A thousand calls are dropped. Nothing of them is left: not in the broker, not in the handlers, not in the client.

use crate::quiet::{all_quiet, until};
use answerback::Client;
use answerback_testing::TestBroker;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const CALLS: usize = 1_000;
const CONCURRENCY: u32 = 64;
/// Longer than the grace time of the broker, for which work is not told to stop after a restart.
const PATIENCE: Duration = Duration::from_secs(20);

/// Work that is under way, counted by what lives in it.
#[derive(Clone, Default)]
struct UnderWay(Arc<AtomicUsize>);

struct Mark(Arc<AtomicUsize>);

impl UnderWay {
    fn mark(&self) -> Mark {
        self.0.fetch_add(1, Ordering::Relaxed);
        Mark(Arc::clone(&self.0))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A service whose work never ends.
async fn serve_for_ever(client: &Client) -> UnderWay {
    let under_way = UnderWay::default();
    let marks = under_way.clone();
    let work = move |_: u64| {
        let mark = marks.mark();
        async move {
            let _mark = mark;
            pending::<()>().await;
            answerback::Ok(())
        }
    };
    client.serve("endless", work).concurrency(CONCURRENCY).await.unwrap();
    under_way
}

async fn until_it_holds(what: &str, mut holds: impl FnMut() -> bool) {
    until(PATIENCE, || {
        let holds = holds();
        async move { if holds { Ok(()) } else { Err(what.to_owned()) } }
    })
    .await;
}

/// Makes the calls, each by a way of its own, and waits until the client has them all.
async fn call(caller: &Client) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for number in 0..CALLS as u64 {
        let caller = caller.clone();
        calls.spawn(async move {
            // Some share a key, and so what they ask.
            let asked = if number % 4 == 1 { number / 8 } else { number };
            let call = caller.call::<()>("endless", asked).timeout(Duration::from_secs(60));
            match number % 4 {
                0 => drop(call.stream().next().await),
                1 => drop(call.key(format!("key-{asked}")).await),
                2 => drop(caller.broadcast::<()>("endless", number).timeout(Duration::from_secs(60)).await),
                _ => drop(call.attempts(3).await),
            }
        });
    }
    until_it_holds("calls that were not made", || caller.calls_waiting() == CALLS).await;
    calls
}

#[tokio::test]
async fn a_thousand_calls_that_are_dropped_leave_nothing_behind() {
    let broker = TestBroker::start().await;
    let (service, caller, watcher) =
        (broker.client("service").await, broker.client("caller").await, broker.client("watcher").await);
    let under_way = serve_for_ever(&service).await;
    let calls = call(&caller).await;
    until_it_holds("room in the handler", || under_way.count() == CONCURRENCY as usize).await;
    assert_eq!(service.work_under_way(), CONCURRENCY as usize);
    drop(calls);
    until_it_holds("work whose caller is gone", || under_way.count() == 0).await;
    all_quiet(&watcher, &[&service, &caller], PATIENCE).await;
    let held = broker.report().await.unwrap().held;
    assert_eq!((held.requests, held.queued, held.delivered, held.bytes), (0, 0, 0, 0));

    // And everything goes on as if nothing had been.
    service.serve("sum", |(a, b): (u64, u64)| async move { answerback::Ok(a + b) }).await.unwrap();
    assert_eq!(caller.call::<u64>("sum", (2, 3)).await.unwrap(), 5);
}

/// The broker is away when they are dropped: those that were never said are gone at once, the others when it is back.
#[tokio::test]
async fn calls_that_are_dropped_while_the_broker_is_away_leave_nothing_behind() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("service").await, broker.client("caller").await);
    let under_way = serve_for_ever(&service).await;
    let calls = call(&caller).await;
    until_it_holds("room in the handler", || under_way.count() == CONCURRENCY as usize).await;
    broker.stop().await;
    until_it_holds("a connection that is gone", || !caller.state().is_connected()).await;
    drop(calls);
    broker.start_again().await;
    // The handler's client learns from a server that does not know it that nobody waits for its work any more.
    until_it_holds("work whose caller is gone", || under_way.count() == 0).await;
    let watcher = broker.client("watcher").await;
    all_quiet(&watcher, &[&service, &caller], PATIENCE).await;
}

/// A client that goes takes everything with it, without a word of the program.
#[tokio::test]
async fn a_caller_that_is_dropped_takes_its_calls_along() {
    let broker = TestBroker::start().await;
    let (service, caller, watcher) =
        (broker.client("service").await, broker.client("caller").await, broker.client("watcher").await);
    let under_way = serve_for_ever(&service).await;
    let calls = call(&caller).await;
    until_it_holds("room in the handler", || under_way.count() == CONCURRENCY as usize).await;
    drop((calls, caller));
    until_it_holds("work whose caller is gone", || under_way.count() == 0).await;
    all_quiet(&watcher, &[&service], PATIENCE).await;
}
