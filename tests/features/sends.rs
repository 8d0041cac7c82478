//! Sends: work is handed over, and nobody waits for its end.

use crate::support::{
    Gate, Mortal, broker_with, hasty_broker, ms, one_client, serve_gated, soon, told, until, until_told,
};
use answerback::{Code, Context, Ran};
use answerback_testing::TestBroker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Seed 20: fire and forget, but the broker has it when it is done.
#[tokio::test]
async fn a_send_is_done_when_the_broker_has_it_not_when_the_work_is_done() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "job", 1, &gate).await;
    soon("the broker's word", client.send("job", ())).await.unwrap();
    gate.until_begun(1).await;
    assert_eq!((client.calls_waiting(), gate.done()), (0, 0));
    gate.let_go(1);
    until("the work", || gate.done() == 1).await;
}

/// Seed 27: it waits in the broker, in order, also when its sender has left.
#[tokio::test]
async fn sends_wait_for_a_handler_in_order_and_outlive_their_sender() {
    let broker = TestBroker::start().await;
    let sender = broker.client("sender").await;
    for number in 1..=20 {
        sender.send("job", number).await.unwrap();
    }
    sender.close().await;
    let service = broker.client("service").await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |ctx: Context, number: u32| {
        let tell = tell.clone();
        async move { tell.send((number, ctx.caller().to_owned())).map_err(|_| "nobody listens") }
    };
    service.serve("job", job).concurrency(1).await.unwrap();
    for number in 1..=20 {
        assert_eq!(soon("a send", told.recv()).await.unwrap(), (number, "sender".to_owned()));
    }
}

/// Seed S6: three handlers may be given a send unless it says otherwise.
#[tokio::test]
async fn a_send_goes_to_another_handler_when_the_first_is_killed() {
    let broker = hasty_broker().await;
    let (gate, sender) = (Gate::new(), broker.client("sender").await);
    sender.send("job", ()).await.unwrap();
    let (builder, work) = (broker.builder("killed"), gate.clone());
    let killed = Mortal::begin(async move || {
        let client = builder.connect().await?;
        serve_gated(&client, "job", 1, &work).await;
        Ok(client)
    })
    .await;
    gate.until_begun(1).await;
    let attempt = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&attempt);
    let job = move |ctx: Context, (): ()| {
        seen.store(ctx.attempt(), Ordering::SeqCst);
        async move { answerback::Ok(()) }
    };
    sender.serve("job", job).await.unwrap();
    killed.kill().await;
    until("the other handler", || attempt.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn a_send_with_a_key_is_done_once() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    gate.let_go(9);
    serve_gated(&client, "mail", 1, &gate).await;
    for _ in 0..3 {
        client.send("mail", "ada").key("welcome-ada").await.unwrap();
    }
    client.send("mail", "bob").key("welcome-bob").await.unwrap();
    until("both mails", || gate.done() >= 2).await;
    until_told("nothing is left", &client, "$stats", |told| told["queued"] == 0 && told["in_flight"] == 0).await;
    assert_eq!(gate.done(), 2);
    let error = client.send("mail", "eve").key("welcome-ada").await.unwrap_err();
    assert_eq!(told(&error), (Code::Conflict, Ran::No, false));
}

#[tokio::test]
async fn a_send_that_the_broker_does_not_take_is_told() {
    let broker = broker_with(|settings| settings.broker.limits.requests_per_action = 1).await;
    let client = broker.client("client").await;
    client.send("job", 1).await.unwrap();
    let error = client.send("job", 2).await.unwrap_err();
    assert_eq!(told(&error), (Code::Overloaded, Ran::No, true));
    let error = client.send("free", ()).ttl(Duration::ZERO).await.unwrap_err();
    assert_eq!(told(&error), (Code::NoHandler, Ran::No, true));
}

/// Seeds 22, S8: what waits in vain is dropped when its time is up.
#[tokio::test]
async fn a_send_whose_ttl_ended_is_gone() {
    let (_broker, client) = one_client().await;
    client.send("job", 1).ttl(ms(30)).await.unwrap();
    client.send("job", 2).timeout(ms(30)).await.unwrap();
    client.send("job", 3).await.unwrap();
    until_told("the end of two", &client, "$stats", |told| told["queued"] == 1).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |number: u32| {
        let tell = tell.clone();
        async move { tell.send(number).map_err(|_| "nobody listens") }
    };
    client.serve("job", job).await.unwrap();
    assert_eq!(soon("the third", told.recv()).await, Some(3));
    until_told("the count of two", &client, "$stats", |told| told["total"]["sends_lost"] == 2).await;
}

#[tokio::test]
async fn the_trace_of_a_send_reaches_its_handler() {
    let (_broker, client) = one_client().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |ctx: Context, (): ()| {
        let tell = tell.clone();
        async move { tell.send(ctx.trace().map(str::to_owned)).map_err(|_| "nobody listens") }
    };
    client.serve("job", job).await.unwrap();
    client.send("job", ()).trace("00-1-2-01").await.unwrap();
    assert_eq!(soon("the trace", told.recv()).await.unwrap().as_deref(), Some("00-1-2-01"));
}
