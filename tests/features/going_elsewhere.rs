//! Servers that leave in order: clients go elsewhere, and not one call fails.

use crate::support::{Gate, PATIENCE, begin, broker_with, ms, serve_gated, soon, until, until_told};
use answerback::{Client, Reconnect, State};
use answerback_testing::TestBroker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

fn is_on(client: &Client, broker: &TestBroker) -> bool {
    matches!(client.state(), State::Connected { address, .. } if address == broker.address())
}

/// Two brokers; the first sends its clients to the second.
async fn two() -> (TestBroker, TestBroker) {
    let new = TestBroker::start().await;
    let elsewhere = vec![new.address()];
    (broker_with(|settings| settings.broker.elsewhere = elsewhere).await, new)
}

/// Calls until it is told to stop; says how many calls it made. None may fail.
fn calling(client: &Client, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (client, stop) = (client.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut calls = 0;
        while !stop.load(Ordering::SeqCst) {
            assert_eq!(client.call::<u64>("square", calls).timeout(PATIENCE).await.unwrap(), calls * calls);
            calls += 1;
        }
        calls
    })
}

async fn squares(client: &Client) {
    let square = |n: u64| async move {
        crate::support::pause(1).await;
        answerback::Ok(n * n)
    };
    client.serve("square", square).await.unwrap();
}

#[tokio::test]
async fn under_load_all_clients_move_and_not_one_call_fails() {
    let (old, new) = two().await;
    let services = [old.client("service-1").await, old.client("service-2").await];
    for service in &services {
        squares(service).await;
    }
    let callers = [old.client("a").await, old.client("b").await, old.client("c").await, old.client("d").await];
    let stop = Arc::new(AtomicBool::new(false));
    let calling: Vec<_> = callers.iter().flat_map(|caller| [calling(caller, &stop), calling(caller, &stop)]).collect();
    until_told("some load", &services[0], "$stats", |told| told["total"]["replies"].as_u64() > Some(100)).await;

    let complete = soon("the end of the old broker", old.drain(PATIENCE)).await;
    assert!(complete, "all work could finish");
    let all = || services.iter().chain(&callers).all(|client| is_on(client, &new));
    until("all clients on the other", all).await;
    until_told("some load there", &services[0], "$stats", |told| told["total"]["replies"].as_u64() > Some(100)).await;
    stop.store(true, Ordering::SeqCst);
    for calling in calling {
        assert!(soon("one that calls", calling).await.unwrap() > 0);
    }
    assert!(callers.iter().all(|caller| caller.calls_waiting() == 0));
}

/// What runs may finish where it is, while new calls go to the other server already.
#[tokio::test]
async fn work_that_runs_finishes_on_the_server_that_leaves() {
    let (old, new) = two().await;
    let (service, caller, gate) = (old.client("service").await, old.client("caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let under_way = begin(caller.call::<u32>("job", 1));
    gate.until_begun(1).await;
    let leaving = tokio::spawn(async move { old.drain(PATIENCE).await });
    until("both on the other", || is_on(&service, &new) && is_on(&caller, &new)).await;
    let later = begin(caller.call::<u32>("job", 2));
    gate.until_begun(2).await;
    assert_eq!((caller.calls_waiting(), service.work_under_way()), (2, 2));
    gate.let_go(2);
    assert_eq!(soon("the answer of the old", under_way).await.unwrap().unwrap(), 1);
    assert_eq!(soon("the answer of the new", later).await.unwrap().unwrap(), 2);
    assert!(soon("the end of the old broker", leaving).await.unwrap());
    assert_eq!(gate.begun(), 2);
}

/// Calls that wait for a handler go along with their caller.
#[tokio::test]
async fn calls_in_the_queue_go_along() {
    let (old, new) = two().await;
    let caller = old.client("caller").await;
    let calls: Vec<_> = (0..20).map(|n| (n, begin(caller.call::<u32>("later", n)))).collect();
    until_told("all in the queue", &caller, "$stats", |told| told["queued"] == 20).await;
    assert!(soon("the end of the old broker", old.drain(PATIENCE)).await);
    let service = new.client("service").await;
    service.serve("later", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    for (n, call) in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n);
    }
}

/// With ttl 0 a call does not wait for another server; it is told, and may be made again.
#[tokio::test]
async fn a_call_that_cannot_wait_is_told_while_its_server_leaves() {
    let (old, new) = two().await;
    let (service, caller, gate) = (old.client("service").await, old.client("caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let under_way = begin(caller.call::<u32>("job", 1));
    gate.until_begun(1).await;
    let leaving = tokio::spawn(async move { old.drain(PATIENCE).await });
    let error = loop {
        match soon("a word", caller.call::<u32>("job", 2).ttl(ms(0)).timeout(ms(50))).await {
            Err(error) if error.code() == answerback::Code::Timeout => {}
            Err(error) => break Some(error),
            Ok(_) => break None,
        }
        if is_on(&caller, &new) {
            break None;
        }
    };
    assert!(error.is_none_or(|error| error.is_safe_to_retry()));
    gate.let_go(100);
    soon("the answer", under_way).await.unwrap().unwrap();
    assert!(soon("the end of the old broker", leaving).await.unwrap());
}

/// A server that sends nobody anywhere: the client knows other addresses itself.
#[tokio::test]
async fn without_a_word_on_where_to_go_a_client_goes_to_its_other_addresses() {
    let (old, new) = (TestBroker::start().await, TestBroker::start().await);
    let client = Client::builder(old.address()).address(new.address()).connect().await.unwrap();
    squares(&client).await;
    assert!(is_on(&client, &old));
    assert!(soon("the end of the old broker", old.drain(PATIENCE)).await);
    until("the client on the other", || is_on(&client, &new)).await;
    assert_eq!(soon("an answer", client.call::<u64>("square", 3)).await.unwrap(), 9);
}

/// A lone server that is replaced: for its clients it is a delay.
#[tokio::test]
async fn a_lone_server_that_drains_and_starts_again_is_only_a_delay() {
    let broker = TestBroker::start().await;
    let reconnect = Reconnect::default().first_delay(ms(5)).longest_delay(ms(20));
    let service = broker.builder("service").reconnect(reconnect.clone()).connect().await.unwrap();
    let caller = broker.builder("caller").reconnect(reconnect).connect().await.unwrap();
    squares(&service).await;
    let stop = Arc::new(AtomicBool::new(false));
    let calling: Vec<_> = (0..4).map(|_| calling(&caller, &stop)).collect();
    for _ in 0..2 {
        until_told("some load", &caller, "$stats", |told| told["total"]["replies"].as_u64() > Some(50)).await;
        assert!(soon("the end of the broker", broker.drain(PATIENCE)).await);
        broker.start_again().await;
    }
    until_told("some load", &caller, "$stats", |told| told["total"]["replies"].as_u64() > Some(50)).await;
    stop.store(true, Ordering::SeqCst);
    for calling in calling {
        soon("one that calls", calling).await.unwrap();
    }
}

/// What a service has and has not begun goes to who is still there.
#[tokio::test]
async fn work_that_was_not_started_is_handed_back_when_its_server_leaves() {
    let (old, new) = two().await;
    let (service, caller) = (old.client("service").await, old.client("caller").await);
    let job = |n: u32| async move { answerback::Ok(n) };
    service.serve("job", job).pace(ms(200)).await.unwrap();
    let calls: Vec<_> = (0..3).map(|n| (n, begin(caller.call::<u32>("job", n).timeout(PATIENCE)))).collect();
    until("deliveries that wait for the pace", || service.work_under_way() >= 2).await;
    assert!(soon("the end of the old broker", old.drain(PATIENCE)).await);
    for (n, call) in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n);
    }
    until("both on the other", || is_on(&service, &new) && is_on(&caller, &new)).await;
}
