//! Answers in several parts.

use crate::support::{Gate, one_client, pause, soon, told, until};
use answerback::{Client, Code, Context, Fault, Parts, Ran};
use answerback_testing::TestBroker;
use futures_core::Stream;
use serde_json::json;
use std::future::poll_fn;
use std::pin::Pin;

/// Serves `count`: 1 to n, each as a part.
async fn counting(client: &Client) {
    let count = |ctx: Context, n: u32| async move {
        for number in 1..n {
            ctx.part(number).await?;
        }
        Ok::<_, Fault>(n)
    };
    client.serve("count", count).await.unwrap();
}

async fn all(mut parts: Parts<u32>) -> Vec<u32> {
    let mut all = Vec::new();
    while let Some(part) = soon("a part", parts.next()).await {
        all.push(part.unwrap());
    }
    assert!(parts.next().await.is_none(), "nothing comes after the end");
    all
}

#[tokio::test]
async fn parts_come_in_order_and_the_last_is_what_the_handler_returned() {
    let (_broker, client) = one_client().await;
    counting(&client).await;
    assert_eq!(all(client.call("count", 5).stream()).await, [1, 2, 3, 4, 5]);
    assert_eq!(all(client.call("count", 1).stream()).await, [1], "an answer in one piece is a stream of one");
}

#[tokio::test]
async fn a_part_comes_while_the_handler_still_works() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    let work = gate.clone();
    let halves = move |ctx: Context, (): ()| {
        let work = work.clone();
        async move {
            ctx.part(1).await?;
            work.work().await;
            Ok::<_, Fault>(2)
        }
    };
    client.serve("halves", halves).await.unwrap();
    let mut parts = client.call::<u32>("halves", ()).stream();
    assert_eq!(soon("the first part", parts.next()).await.unwrap().unwrap(), 1);
    gate.until_begun(1).await;
    assert_eq!(gate.done(), 0);
    gate.let_go(1);
    assert_eq!(all(parts).await, [2]);
}

#[tokio::test]
async fn who_wants_one_answer_gets_the_last() {
    let (_broker, client) = one_client().await;
    counting(&client).await;
    assert_eq!(client.call::<u32>("count", 5_000).await.unwrap(), 5_000);
}

#[tokio::test]
async fn a_fault_after_parts_ends_the_stream() {
    let (_broker, client) = one_client().await;
    let fail = |ctx: Context, (): ()| async move {
        ctx.part(1).await?;
        Err::<u32, _>(Fault::new("torn", "the second page is missing"))
    };
    client.serve("fail", fail).await.unwrap();
    let mut parts = client.call::<u32>("fail", ()).stream();
    assert_eq!(soon("a part", parts.next()).await.unwrap().unwrap(), 1);
    let error = soon("the fault", parts.next()).await.unwrap().unwrap_err();
    assert_eq!((told(&error), error.fault().unwrap().code()), ((Code::Fault, Ran::Yes, false), "torn"));
    assert!(parts.next().await.is_none());
}

#[tokio::test]
async fn an_error_of_the_broker_is_all_that_a_stream_has() {
    let (_broker, client) = one_client().await;
    let mut parts = client.call::<u32>("nobody", ()).ttl(std::time::Duration::ZERO).stream();
    assert_eq!(soon("the error", parts.next()).await.unwrap().unwrap_err().code(), Code::NoHandler);
    assert!(parts.next().await.is_none());
}

#[tokio::test]
async fn a_part_that_is_not_of_the_type_is_told_and_the_others_are_read() {
    let (_broker, client) = one_client().await;
    let mixed = |ctx: Context, (): ()| async move {
        ctx.part("one").await?;
        Ok::<_, Fault>(json!(2))
    };
    client.serve("mixed", mixed).await.unwrap();
    let mut parts = client.call::<u32>("mixed", ()).stream();
    let error = soon("a part", parts.next()).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::BadRequest, Ran::Yes, false));
    assert_eq!(soon("a part", parts.next()).await.unwrap().unwrap(), 2);
}

/// More parts than a reader may leave unread, and more than may be unacknowledged; a reader that reads gets them all.
#[tokio::test]
async fn twenty_thousand_parts_reach_a_reader_that_reads() {
    let (_broker, client) = one_client().await;
    counting(&client).await;
    let parts = all(client.call("count", 20_000).stream()).await;
    assert!(parts.iter().copied().eq(1..=20_000), "{} parts", parts.len());
}

/// Parts that are given faster than the server takes them wait in the handler, and do not crowd out other work of its client.
#[tokio::test]
async fn a_flood_of_small_parts_does_not_harm_other_calls_of_the_same_service() {
    let broker = TestBroker::start().await;
    let (service, reader, other) =
        (broker.client("service").await, broker.client("reader").await, broker.client("other").await);
    counting(&service).await;
    service.serve("echo", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    let flood = tokio::spawn(all(reader.call("count", 100_000).stream()));
    let mut echoes = 0;
    while !flood.is_finished() {
        echoes += 1;
        assert_eq!(soon("an echo beside the flood", other.call::<u32>("echo", echoes)).await.unwrap(), echoes);
    }
    assert_eq!(flood.await.unwrap().len(), 100_000);
    assert!(echoes > 2, "{echoes} echoes");
}

#[tokio::test]
async fn a_reader_that_reads_slowly_gets_them_all_too() {
    let (_broker, client) = one_client().await;
    counting(&client).await;
    let mut parts = client.call::<u32>("count", 50).stream();
    for number in 1..=50 {
        assert_eq!(soon("a part", parts.next()).await.unwrap().unwrap(), number);
        pause(1).await;
    }
    assert!(parts.next().await.is_none());
}

/// What waits for a reader is bounded. Whoever does not read is told that, and the handler is stopped.
#[tokio::test]
async fn a_reader_that_does_not_read_loses_its_call() {
    let (_broker, client) = one_client().await;
    let flood = |ctx: Context, (): ()| async move {
        for number in 0_u32.. {
            ctx.part(number).await?;
        }
        Ok::<_, Fault>(0)
    };
    client.serve("flood", flood).await.unwrap();
    let mut parts = client.call::<u32>("flood", ()).stream();
    assert_eq!(soon("the first part", parts.next()).await.unwrap().unwrap(), 0);
    // Nothing is read now, until it is too much.
    until("the end of the call", || client.calls_waiting() + client.work_under_way() == 0).await;
    let mut read = 0;
    let error = loop {
        match soon("what was kept", parts.next()).await.unwrap() {
            Ok(_) => read += 1,
            Err(error) => break error,
        }
    };
    assert!((1..1_000_000).contains(&read), "{read} were kept");
    assert_eq!(told(&error), (Code::Cancelled, Ran::Maybe, false));
    assert!(error.message().contains("read them faster"), "{error}");
}

#[tokio::test]
async fn dropping_a_stream_cancels_the_call_and_its_handler() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    let work = gate.clone();
    let endless = move |ctx: Context, (): ()| {
        let work = work.clone();
        async move {
            ctx.part(1).await?;
            work.work().await;
            Ok::<_, Fault>(2)
        }
    };
    client.serve("endless", endless).await.unwrap();
    let mut parts = client.call::<u32>("endless", ()).stream();
    soon("the first part", parts.next()).await.unwrap().unwrap();
    gate.until_begun(1).await;
    drop(parts);
    gate.until_left().await;
    until("nothing is left", || client.calls_waiting() + client.work_under_way() == 0).await;
    assert_eq!(gate.done(), 0);
}

/// It is a `Stream` as others know it.
#[tokio::test]
async fn parts_are_a_stream_of_the_futures_world() {
    async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
        poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
    }
    let (_broker, client) = one_client().await;
    counting(&client).await;
    let mut parts = client.call::<u32>("count", 2).stream();
    assert_eq!(next(&mut parts).await.unwrap().unwrap(), 1);
    let mut replies = client.broadcast::<u32>("count", 1).stream();
    assert_eq!(next(&mut replies).await.unwrap().unwrap().result.unwrap(), 1);
}

/// A handler that keeps its context beyond its answer cannot add to it.
#[tokio::test]
async fn a_part_after_the_answer_is_refused() {
    let (_broker, client) = one_client().await;
    let (tell, kept) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let keep = move |ctx: Context, (): ()| {
        let _ = tell.lock().unwrap().take().unwrap().send(ctx);
        async move { answerback::Ok(()) }
    };
    client.serve("keep", keep).await.unwrap();
    client.call::<()>("keep", ()).await.unwrap();
    let error = kept.await.unwrap().part(1).await.unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
}
