//! What a call may say: how long it may wait and work, how many handlers may be given it, its trace, and where its time went.

use crate::support::{
    Gate, Mortal, begin, broker_with, hasty_broker, ms, one_client, pause, serve_gated, serve_slow, soon,
    takes_at_least, told, until_told,
};
use answerback::{Client, Code, Context, Fault, Ran};
use answerback_testing::TestBroker;
use std::time::Duration;

/// Seed 23: whoever does not want to wait is told at once.
#[tokio::test]
async fn ttl_zero_fails_at_once_unless_a_handler_is_free() {
    let (_broker, client) = one_client().await;
    let nobody = client.call::<()>("job", ()).ttl(Duration::ZERO).await.unwrap_err();
    assert_eq!(told(&nobody), (Code::NoHandler, Ran::No, true));

    let gate = Gate::new();
    serve_gated(&client, "job", 1, &gate).await;
    let first = begin(client.call::<()>("job", ()).ttl(Duration::ZERO));
    gate.until_begun(1).await;
    let busy = client.call::<()>("job", ()).ttl(Duration::ZERO).await.unwrap_err();
    assert_eq!(told(&busy), (Code::Expired, Ran::No, true));
    gate.let_go(1);
    soon("the first", first).await.unwrap().unwrap();
    assert_eq!(gate.begun(), 1);
}

/// Seeds 21, 22: a ttl is taken as it is given, also below the timeout, and its end is told in words.
#[tokio::test]
async fn a_ttl_below_the_timeout_is_not_raised_to_it() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "job", 1, &gate).await;
    let busy = begin(client.call::<()>("job", ()));
    gate.until_begun(1).await;
    let call = client.call::<()>("job", ()).ttl(ms(60)).timeout(Duration::from_secs(60));
    let error = takes_at_least(ms(60), call.into_future()).await.unwrap_err();
    assert_eq!(told(&error), (Code::Expired, Ran::No, true));
    assert!(error.message().starts_with("its ttl ended after "), "{error}");
    gate.let_go(1);
    soon("the one that ran", busy).await.unwrap().unwrap();
    assert_eq!(gate.begun(), 1, "what expired did not run later");
}

/// A ttl ends when a handler has the call: the work may take longer.
#[tokio::test]
async fn a_ttl_does_not_bound_the_work() {
    let (_broker, client) = one_client().await;
    serve_slow(&client, "slow", 80).await;
    takes_at_least(ms(80), client.call::<()>("slow", ()).ttl(ms(40)).into_future()).await.unwrap();
}

/// Seed 79: a call waits for a handler that is not there yet.
#[tokio::test]
async fn without_a_ttl_a_call_waits_for_a_handler_that_comes_later() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("service").await, broker.client("caller").await);
    let call = begin(caller.call::<u8>("late", 7));
    until_told("a call in the queue", &service, "$actions", |told| told["actions"][0]["queued"] == 1).await;
    service.serve("late", |n: u8| async move { answerback::Ok(n) }).await.unwrap();
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
}

/// Seeds 19, S15: the time is up at the caller, at the broker and at the handler; what was not delivered never runs.
#[tokio::test]
async fn a_timeout_says_whether_the_work_may_have_run() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    let service = serve_gated(&client, "job", 1, &gate).await;
    let delivered = begin(client.call::<()>("job", ()).timeout(ms(300)));
    gate.until_begun(1).await;
    let queued = takes_at_least(ms(50), client.call::<()>("job", ()).timeout(ms(50)).into_future()).await.unwrap_err();
    assert_eq!(told(&queued), (Code::Timeout, Ran::No, true));
    assert!(queued.message().contains("no handler of `job` was free"), "{queued}");

    let delivered = soon("the end of the other", delivered).await.unwrap().unwrap_err();
    assert_eq!(told(&delivered), (Code::Timeout, Ran::Maybe, false));
    assert!(delivered.message().contains("the handler was told to stop"), "{delivered}");
    gate.until_left().await;
    service.stop().await;
    assert_eq!((gate.begun(), gate.done()), (1, 0), "the handler was dropped, and the queued one never ran");
}

/// Seed 15.
#[tokio::test]
async fn the_clients_default_timeout_holds_for_calls_that_say_none() {
    let broker = TestBroker::start().await;
    let client = broker.builder("client").default_timeout(ms(60)).connect().await.unwrap();
    let error = takes_at_least(ms(60), client.call::<()>("nobody", ()).into_future()).await.unwrap_err();
    assert_eq!(told(&error), (Code::NoHandler, Ran::No, true));
    // A call that says its own has its own.
    serve_slow(&client, "slow", 150).await;
    let error = client.call::<()>("slow", ()).await.unwrap_err();
    assert_eq!(told(&error), (Code::Timeout, Ran::Maybe, false));
    client.call::<()>("slow", ()).timeout(Duration::from_secs(20)).await.unwrap();
}

/// The server's own default is for those who send none; this client always says its own.
#[tokio::test]
async fn the_servers_default_timeout_does_not_shorten_a_call() {
    let broker = broker_with(|settings| settings.broker.default_timeout = ms(20)).await;
    let client = broker.client("client").await;
    serve_slow(&client, "slow", 60).await;
    client.call::<()>("slow", ()).await.unwrap();
}

/// A handler on a thread of its own that never answers, and says in which attempt it was asked.
async fn deaf(broker: &TestBroker, gate: &Gate) -> Mortal {
    let (builder, gate) = (broker.builder("deaf"), gate.clone());
    Mortal::begin(async move || {
        let client = builder.connect().await?;
        serve_gated(&client, "job", 64, &gate).await;
        Ok(client)
    })
    .await
}

async fn attempts_of(client: &Client) {
    client.serve("job", |ctx: Context, (): ()| async move { answerback::Ok(ctx.attempt()) }).await.unwrap();
}

/// Seed S6: a worker that dies is noticed, and another gets its work if the caller allows it.
#[tokio::test]
async fn with_attempts_the_work_of_a_killed_handler_goes_to_another() {
    let (broker, gate) = (hasty_broker().await, Gate::new());
    let (first, caller) = (deaf(&broker, &gate).await, broker.client("caller").await);
    let call = begin(caller.call::<u32>("job", ()).attempts(3));
    gate.until_begun(1).await;
    let other = broker.client("other").await;
    attempts_of(&other).await;
    first.kill().await;
    assert_eq!(soon("the answer of another", call).await.unwrap().unwrap(), 2);
}

/// Seed S6.
#[tokio::test]
async fn at_most_once_a_killed_handler_is_told_to_the_caller_and_nobody_else_runs_it() {
    let (broker, gate) = (hasty_broker().await, Gate::new());
    let (first, caller) = (deaf(&broker, &gate).await, broker.client("caller").await);
    let call = begin(caller.call::<u32>("job", ()));
    gate.until_begun(1).await;
    let other = broker.client("other").await;
    attempts_of(&other).await;
    first.kill().await;
    let error = soon("the word on it", call).await.unwrap().unwrap_err();
    assert_eq!((told(&error), error.attempts()), ((Code::HandlerLost, Ran::Maybe, false), 1));
    assert!(error.message().contains("call again only if twice does no harm"), "{error}");
}

#[tokio::test]
async fn attempts_end_with_the_last_handler_that_was_allowed() {
    let (broker, gate) = (hasty_broker().await, Gate::new());
    let caller = broker.client("caller").await;
    let call = begin(caller.call::<u32>("job", ()).attempts(2));
    for handler in 1..=2 {
        let mortal = deaf(&broker, &gate).await;
        gate.until_begun(handler).await;
        mortal.kill().await;
    }
    let error = soon("the word on it", call).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.ran(), error.attempts()), (Code::HandlerLost, Ran::Maybe, 2));
}

#[tokio::test]
async fn a_trace_reaches_the_handler_untouched_and_goes_on_with_its_calls() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (_broker, client) = one_client().await;
    let trace = |ctx: Context, (): ()| async move { answerback::Ok(ctx.trace().map(str::to_owned)) };
    client.serve("trace", trace).await.unwrap();
    let outer = |ctx: Context, (): ()| async move {
        let own = ctx.call::<Option<String>>("trace", ()).trace("of-its-own").await?;
        Ok::<_, Fault>((ctx.call::<Option<String>>("trace", ()).await?, own))
    };
    client.serve("outer", outer).await.unwrap();
    assert_eq!(client.call::<Option<String>>("trace", ()).await.unwrap(), None);
    let traced = client.call::<Option<String>>("trace", ()).trace(TRACE).await.unwrap();
    assert_eq!(traced.as_deref(), Some(TRACE));
    let (inherited, own): (Option<String>, String) = client.call("outer", ()).trace(TRACE).await.unwrap();
    assert_eq!((inherited.as_deref(), &*own), (Some(TRACE), "of-its-own"));
}

/// Seed 18: when it was received, delivered and handled; here as durations.
#[tokio::test]
async fn with_info_an_answer_says_where_its_time_went_and_by_whom() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("worker-7").await, broker.client("caller").await);
    let call = tokio::spawn(caller.call::<u8>("slow", 7).with_info().into_future());
    until_told("a call in the queue", &service, "$actions", |told| {
        told["actions"][0]["oldest_ms"].as_u64() >= Some(40)
    })
    .await;
    let slow = |n: u8| async move {
        pause(30).await;
        answerback::Ok(n)
    };
    service.serve("slow", slow).await.unwrap();
    let answer = soon("the answer", call).await.unwrap().unwrap();
    assert_eq!((answer.value, answer.info.by.as_deref()), (7, Some("worker-7")));
    assert!(answer.info.queued >= ms(40), "{:?}", answer.info);
    assert!(answer.info.ran.unwrap() >= ms(29), "{:?}", answer.info);
}

#[tokio::test]
async fn durable_is_on_disk_before_it_is_accepted() {
    let (broker, client) = one_client().await;
    soon("the send", client.send("later", 7).durable()).await.unwrap();
    let written = broker.report().await.unwrap().store.journal.report;
    assert!(written.syncs >= 1 && written.items == 1, "{written:?}");
    client.serve("job", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    soon("the answer", client.call::<()>("job", ()).durable()).await.unwrap();
}

#[tokio::test]
async fn durable_sends_survive_a_server_that_is_killed() {
    let broker = TestBroker::start().await;
    let client = broker.builder("client").connect().await.unwrap();
    for n in 0..10_u32 {
        soon("the send", client.send("later", n).durable()).await.unwrap();
    }
    client.close().await;
    broker.stop().await;
    broker.start_again().await;
    let service = broker.builder("service").connect().await.unwrap();
    let (seen, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |n: u32| {
        let seen = seen.clone();
        async move {
            seen.send(n).unwrap();
            answerback::Ok(())
        }
    };
    service.serve("later", handler).await.unwrap();
    for n in 0..10 {
        assert_eq!(soon("a delivery", heard.recv()).await, Some(n));
    }
}
