//! What a client holds at most: over a limit a call fails at once, and says which setting it is.

use crate::support::{Gate, begin, one_client, serve_gated, soon, told, until};
use answerback::{Code, Ran};
use answerback_testing::TestBroker;

/// Seed S9: what waits is bounded, and the sender is told.
#[tokio::test]
async fn more_calls_at_once_than_max_calls_fail_at_once() {
    let broker = TestBroker::start().await;
    let (service, gate) = (broker.client("service").await, Gate::new());
    let caller = broker.builder("caller").max_calls(3).connect().await.unwrap();
    serve_gated(&service, "job", 64, &gate).await;
    let mut calls: Vec<_> = (0..3).map(|_| begin(caller.call::<()>("job", ()))).collect();
    gate.until_begun(3).await;
    let error = soon("the word on one more", caller.call::<()>("job", ())).await.unwrap_err();
    assert_eq!(told(&error), (Code::Overloaded, Ran::No, true));
    assert!(error.message().contains("wait for answers, or raise max_calls"), "{error}");
    for kind in [caller.send("job", ()).await.unwrap_err(), caller.broadcast::<()>("job", ()).await.unwrap_err()] {
        assert_eq!(kind.code(), Code::Overloaded);
    }
    // One that has its answer makes room, and so does one that is cancelled, once the server has heard of it.
    calls.pop().unwrap().abort();
    until("a call fewer", || caller.calls_waiting() == 2).await;
    let mut again = begin(caller.call::<()>("job", ()));
    until("room", || {
        if again.is_finished() {
            again = begin(caller.call::<()>("job", ()));
        }
        gate.begun() == 4
    })
    .await;
    calls.push(again);
    gate.let_go(9);
    for call in calls {
        soon("an answer", call).await.unwrap().unwrap();
    }
    soon("one more", caller.call::<()>("job", ())).await.unwrap();
}

#[tokio::test]
async fn more_bytes_at_once_than_max_bytes_fail_at_once() {
    let broker = TestBroker::start().await;
    let (service, gate) = (broker.client("service").await, Gate::new());
    let caller = broker.builder("caller").max_bytes(10_000).connect().await.unwrap();
    serve_gated(&service, "job", 64, &gate).await;
    let large = "x".repeat(6_000);
    let first = begin(caller.call::<String>("job", &large));
    gate.until_begun(1).await;
    let error = caller.call::<String>("job", &large).await.unwrap_err();
    assert_eq!(told(&error), (Code::Overloaded, Ran::No, true));
    assert!(error.message().contains("wait for answers, or raise max_bytes"), "{error}");
    let small = begin(caller.call::<u8>("job", 7));
    gate.let_go(9);
    assert_eq!(soon("the small one", small).await.unwrap().unwrap(), 7);
    assert_eq!(soon("the large one", first).await.unwrap().unwrap(), large);
    assert_eq!(caller.call::<String>("job", &large).await.unwrap(), large);
}

/// The same holds while there is no connection: memory does not grow with the time that the server is away.
#[tokio::test]
async fn limits_hold_also_without_a_connection() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let caller = broker.builder("caller").max_calls(100).start().unwrap();
    let calls: Vec<_> = (0..100).map(|_| begin(caller.call::<()>("$echo", ()))).collect();
    until("all that may wait", || caller.calls_waiting() == 100).await;
    let error = caller.call::<()>("$echo", ()).await.unwrap_err();
    assert_eq!(told(&error), (Code::Overloaded, Ran::No, true));
    broker.start_again().await;
    caller.reconnect();
    for call in calls {
        soon("an answer", call).await.unwrap().unwrap();
    }
}

/// Clones are one client, and share its limits.
#[tokio::test]
async fn clones_share_the_limits() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "job", 64, &gate).await;
    let call = begin(client.clone().call::<()>("job", ()));
    gate.until_begun(1).await;
    assert_eq!((client.calls_waiting(), client.work_under_way()), (1, 1));
    gate.let_go(1);
    soon("the answer", call).await.unwrap().unwrap();
}
