//! Idempotency keys: calls under the same key join, are answered from what is stored, or are in conflict.

use crate::support::{Gate, begin, broker_with, ms, one_client, soon, told, until};
use answerback::{Client, Code, Fault, Ran};
use answerback_testing::TestBroker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Serves `count`, which answers how often it has run, when the gate lets it.
async fn counting(client: &Client, gate: &Gate) {
    let (gate, runs) = (gate.clone(), Arc::new(AtomicU32::new(0)));
    let count = move |_item: u32| {
        let (gate, run) = (gate.clone(), runs.fetch_add(1, Ordering::SeqCst) + 1);
        async move {
            gate.work().await;
            answerback::Ok(run)
        }
    };
    client.serve("count", count).await.unwrap();
}

#[tokio::test]
async fn a_second_call_with_the_key_joins_the_one_that_runs() {
    let broker = TestBroker::start().await;
    let (service, gate) = (broker.client("service").await, Gate::new());
    counting(&service, &gate).await;
    let callers = [broker.client("one").await, broker.client("two").await, broker.client("three").await];
    let calls = callers.each_ref().map(|caller| begin(caller.call::<u32>("count", 7).key("order-7")));
    gate.until_begun(1).await;
    until("all who wait", || callers.iter().all(|caller| caller.calls_waiting() == 1)).await;
    gate.let_go(9);
    for call in calls {
        assert_eq!(soon("the shared answer", call).await.unwrap().unwrap(), 1);
    }
    assert_eq!(gate.begun(), 1);
}

#[tokio::test]
async fn a_later_call_with_the_key_gets_the_stored_answer() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    gate.let_go(9);
    counting(&client, &gate).await;
    for _ in 0..3 {
        assert_eq!(client.call::<u32>("count", 7).key("a").await.unwrap(), 1);
    }
    assert_eq!(client.call::<u32>("count", 7).key("b").await.unwrap(), 2, "another key");
    assert_eq!(client.call::<u32>("count", 7).await.unwrap(), 3, "no key");
}

#[tokio::test]
async fn other_data_under_the_key_is_a_conflict_that_is_not_to_be_retried() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    gate.let_go(9);
    counting(&client, &gate).await;
    client.call::<u32>("count", 7).key("a").await.unwrap();
    let error = client.call::<u32>("count", 8).key("a").await.unwrap_err();
    assert_eq!(told(&error), (Code::Conflict, Ran::No, false));
    assert!(error.message().contains("use a new key"), "{error}");
    assert_eq!(gate.begun(), 1);
}

#[tokio::test]
async fn whoever_leaves_ends_only_its_own_wait() {
    let broker = TestBroker::start().await;
    let (service, gate) = (broker.client("service").await, Gate::new());
    counting(&service, &gate).await;
    let (one, two) = (broker.client("one").await, broker.client("two").await);
    let first = begin(one.call::<u32>("count", 7).key("a"));
    gate.until_begun(1).await;
    let second = begin(two.call::<u32>("count", 7).key("a"));
    crate::support::until_told("both who wait", &service, "$sessions", |told| {
        told["sessions"].as_array().unwrap().iter().filter(|session| session["waiting"] == 1).count() == 2
    })
    .await;
    first.abort();
    until("the cancel", || one.calls_waiting() == 0).await;
    assert_eq!(gate.inside(), 1, "the work goes on for the other");
    gate.let_go(1);
    assert_eq!(soon("its answer", second).await.unwrap().unwrap(), 1);
}

/// A fault that will not change is stored as an answer is; one that may change is asked for again.
#[tokio::test]
async fn final_faults_are_stored_and_retryable_ones_are_not() {
    let (_broker, client) = one_client().await;
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let fail = move |retryable: bool| {
        counter.fetch_add(1, Ordering::SeqCst);
        let fault = Fault::new("no", "not today");
        async move { Err::<(), _>(if retryable { fault.retryable() } else { fault }) }
    };
    client.serve("fail", fail).await.unwrap();
    for (key, retryable, ran) in [("a", false, 1), ("a", false, 1), ("b", true, 2), ("b", true, 3)] {
        let error = client.call::<()>("fail", retryable).key(key).await.unwrap_err();
        assert_eq!(told(&error), (Code::Fault, Ran::Yes, retryable));
        assert_eq!(runs.load(Ordering::SeqCst), ran);
    }
}

#[tokio::test]
async fn a_stored_answer_grows_old() {
    let broker = broker_with(|settings| settings.broker.limits.stored_reply_age = ms(50)).await;
    let (client, gate) = (broker.client("client").await, Gate::new());
    gate.let_go(1_000_000);
    counting(&client, &gate).await;
    assert_eq!(client.call::<u32>("count", 7).key("a").await.unwrap(), 1);
    let again = async { while client.call::<u32>("count", 7).key("a").await.unwrap() == 1 {} };
    soon("a new run", again).await;
}
