//! Broadcasts: one question to every handler, their answers tagged and counted.

use crate::support::{Gate, Mortal, hasty_broker, ms, one_client, serve_gated, soon, told, until};
use answerback::{Client, Code, Counts, Fault, Ran};
use answerback_testing::TestBroker;
use std::collections::BTreeSet;
use std::time::Duration;

/// Three handlers; the third has nothing but a fault to offer if `faulty`.
async fn three(broker: &TestBroker, faulty: bool) -> Vec<Client> {
    let mut handlers = Vec::new();
    for number in 1..=3_u32 {
        let handler = broker.client(&format!("node-{number}")).await;
        let size = move |factor: u32| async move {
            if faulty && number == 3 { Err(Fault::new("empty", "nothing here")) } else { Ok(number * factor) }
        };
        handler.serve("size", size).await.unwrap();
        handlers.push(handler);
    }
    handlers
}

fn counts(counts: Counts) -> [u64; 4] {
    [counts.expected, counts.answered, counts.failed, counts.lost]
}

/// Seed 25: every handler gets it, and all answers come back with who gave them.
#[tokio::test]
async fn gather_has_every_answer_with_its_handler() {
    let broker = TestBroker::start().await;
    let _handlers = three(&broker, false).await;
    let caller = broker.client("caller").await;
    let gathered = soon("all answers", caller.broadcast::<u32>("size", 10).gather()).await.unwrap();
    let replies: BTreeSet<_> =
        gathered.replies.iter().map(|reply| (&*reply.from, *reply.result.as_ref().unwrap())).collect();
    assert_eq!(replies, BTreeSet::from([("node-1", 10), ("node-2", 20), ("node-3", 30)]));
    assert_eq!(counts(gathered.counts), [3, 3, 0, 0]);
    // Awaiting it is the same.
    assert_eq!(counts(caller.broadcast::<u32>("size", 10).await.unwrap().counts), [3, 3, 0, 0]);
}

#[tokio::test]
async fn a_fault_is_one_of_the_answers_and_counted() {
    let broker = TestBroker::start().await;
    let _handlers = three(&broker, true).await;
    let gathered = broker.client("caller").await.broadcast::<u32>("size", 10).await.unwrap();
    assert_eq!(counts(gathered.counts), [3, 2, 1, 0]);
    let failed = gathered.replies.iter().find(|reply| reply.result.is_err()).unwrap();
    assert_eq!(failed.from, "node-3");
    let error = failed.result.as_ref().unwrap_err();
    assert_eq!((told(error), error.fault().unwrap().code()), ((Code::Fault, Ran::Yes, false), "empty"));
}

/// One that does not answer in time, one that dies, and one that answers.
#[tokio::test]
async fn those_that_are_late_or_lost_are_counted() {
    let broker = hasty_broker().await;
    let (gate, caller) = (Gate::new(), broker.client("caller").await);
    caller.serve("size", |(): ()| async move { answerback::Ok(1) }).await.unwrap();
    let late = broker.client("late").await;
    serve_gated(&late, "size", 1, &gate).await;
    let (builder, work) = (broker.builder("lost"), gate.clone());
    let lost = Mortal::begin(async move || {
        let client = builder.connect().await?;
        serve_gated(&client, "size", 1, &work).await;
        Ok(client)
    })
    .await;
    let asking = tokio::spawn(caller.broadcast::<u32>("size", ()).timeout(ms(600)).into_future());
    gate.until_begun(2).await;
    lost.kill().await;
    let gathered = soon("the end of it", asking).await.unwrap().unwrap();
    assert_eq!(counts(gathered.counts), [3, 1, 0, 2]);
    // The one that was late is told to stop.
    gate.until_left().await;
    assert_eq!(gate.done(), 0);
}

#[tokio::test]
async fn a_stream_has_each_answer_as_it_comes_and_then_the_counts() {
    let broker = TestBroker::start().await;
    let (gate, caller) = (Gate::new(), broker.client("caller").await);
    caller.serve("size", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    let slow = broker.client("slow").await;
    serve_gated(&slow, "size", 1, &gate).await;
    let mut replies = caller.broadcast::<u32>("size", 7).stream();
    let first = soon("the quick one", replies.next()).await.unwrap().unwrap();
    assert_eq!((&*first.from, first.result.unwrap()), ("caller", 7));
    assert!(replies.counts().is_none());
    gate.let_go(1);
    assert_eq!(soon("the slow one", replies.next()).await.unwrap().unwrap().from, "slow");
    assert!(soon("the end", replies.next()).await.is_none());
    assert_eq!(counts(replies.counts().unwrap()), [2, 2, 0, 0]);
}

/// Seed 26: the first answer that is one; the others are told to stop.
#[tokio::test]
async fn first_has_the_first_answer_and_cancels_the_others() {
    let broker = TestBroker::start().await;
    let (gate, caller) = (Gate::new(), broker.client("caller").await);
    let slow = broker.client("slow").await;
    serve_gated(&slow, "where", 1, &gate).await;
    let quick = broker.client("quick").await;
    let here = {
        let gate = gate.clone();
        move |(): ()| {
            let gate = gate.clone();
            async move {
                // Not before the other works on it, so that there is something to cancel.
                gate.until_begun(1).await;
                answerback::Ok("here")
            }
        }
    };
    quick.serve("where", here).await.unwrap();
    let faulty = broker.client("faulty").await;
    faulty.serve("where", |(): ()| async move { Err::<(), _>(Fault::new("lost", "no map")) }).await.unwrap();
    let first: String = soon("the first", caller.broadcast("where", ()).first()).await.unwrap();
    assert_eq!(first, "here");
    gate.until_left().await;
    until("nothing is left", || caller.calls_waiting() + slow.work_under_way() == 0).await;
    assert_eq!(gate.done(), 0);
}

#[tokio::test]
async fn first_of_only_faults_is_the_last_of_them() {
    let (_broker, client) = one_client().await;
    client.serve("where", |(): ()| async move { Err::<(), _>(Fault::new("lost", "no map")) }).await.unwrap();
    let error = client.broadcast::<String>("where", ()).first().await.unwrap_err();
    assert_eq!(error.fault().unwrap().code(), "lost");
}

#[tokio::test]
async fn first_of_handlers_that_do_not_answer_ends_with_the_timeout() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "where", 1, &gate).await;
    let asking = client.broadcast::<String>("where", ()).timeout(ms(60)).first();
    let error = soon("its end", asking).await.unwrap_err();
    assert_eq!(told(&error), (Code::Timeout, Ran::Maybe, false));
}

/// Seed 23: a broadcast that reaches nobody says so, at once.
#[tokio::test]
async fn without_a_handler_a_broadcast_fails_at_once() {
    let (_broker, client) = one_client().await;
    let error = client.broadcast::<()>("nobody", ()).timeout(Duration::from_secs(3_600)).await.unwrap_err();
    assert_eq!(told(&error), (Code::NoHandler, Ran::No, true));
    let error = client.broadcast::<()>("nobody", ()).first().await.unwrap_err();
    assert_eq!(error.code(), Code::NoHandler);
}

#[tokio::test]
async fn dropping_a_broadcast_cancels_all_its_handlers() {
    let broker = TestBroker::start().await;
    let (gate, caller) = (Gate::new(), broker.client("caller").await);
    let handlers = [broker.client("one").await, broker.client("two").await];
    for handler in &handlers {
        serve_gated(handler, "size", 1, &gate).await;
    }
    let asking = tokio::spawn(caller.broadcast::<()>("size", ()).into_future());
    gate.until_begun(2).await;
    asking.abort();
    gate.until_left().await;
    until("nothing is left", || caller.calls_waiting() + handlers[0].work_under_way() == 0).await;
}

#[tokio::test]
async fn mistakes_are_told_before_anything_is_sent() {
    let (broker, client) = one_client().await;
    let before = broker.report().await.unwrap().counters.frames_in;
    let error = client.broadcast::<()>("", ()).await.unwrap_err();
    assert_eq!(told(&error), (Code::BadRequest, Ran::No, false));
    assert_eq!(broker.report().await.unwrap().counters.frames_in, before);
}
