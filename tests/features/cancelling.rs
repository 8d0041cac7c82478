//! Dropping a call: the broker is told, and the handler stops, at once or after its grace.

use crate::support::{Gate, begin, ms, one_client, pause, serve_gated, soon, until, until_told};
use answerback::{Code, Context, Fault};
use answerback_testing::TestBroker;
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::test]
async fn dropping_a_call_drops_its_handler_where_it_awaits() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (broker.client("service").await, broker.client("caller").await, Gate::new());
    serve_gated(&service, "job", 1, &gate).await;
    let call = begin(caller.call::<()>("job", ()));
    gate.until_begun(1).await;
    call.abort();
    gate.until_left().await;
    until("nothing is left", || caller.calls_waiting() + service.work_under_way() == 0).await;
    assert_eq!(gate.done(), 0);
    // Its place is free for the next.
    gate.let_go(1);
    soon("the next", caller.call::<()>("job", ())).await.unwrap();
}

#[tokio::test]
async fn dropping_a_call_that_waits_in_the_queue_takes_it_out() {
    let (_broker, client) = one_client().await;
    let call = begin(client.call::<()>("later", ()));
    until_told("a call in the queue", &client, "$stats", |told| told["queued"] == 1).await;
    call.abort();
    until_told("an empty queue", &client, "$stats", |told| told["queued"] == 0).await;
    let gate = Gate::new();
    serve_gated(&client, "later", 1, &gate).await;
    gate.let_go(1);
    client.call::<()>("later", ()).await.unwrap();
    assert_eq!((gate.begun(), client.calls_waiting()), (1, 0));
}

#[tokio::test]
async fn a_call_that_was_never_polled_is_never_made() {
    let (broker, client) = one_client().await;
    let before = broker.report().await.unwrap().counters.frames_in;
    drop(client.call::<()>("job", ()).into_future());
    assert_eq!((broker.report().await.unwrap().counters.frames_in, client.calls_waiting()), (before, 0));
}

/// A handler that may clean up learns that nobody waits, and has its grace for it; it is not asked for its answer.
#[tokio::test]
async fn with_a_grace_the_handler_is_told_and_may_clean_up() {
    let (_broker, client) = one_client().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |ctx: Context, (): ()| {
        let tell = tell.clone();
        async move {
            tell.send(("begins", ctx.is_cancelled())).unwrap();
            ctx.cancelled().await;
            pause(20).await;
            tell.send(("cleaned up", ctx.is_cancelled())).unwrap();
            Ok::<_, Fault>(())
        }
    };
    client.serve("job", job).cancel_grace(Duration::from_secs(20)).await.unwrap();
    let call = begin(client.call::<()>("job", ()));
    assert_eq!(soon("its beginning", told.recv()).await, Some(("begins", false)));
    call.abort();
    assert_eq!(soon("its end", told.recv()).await, Some(("cleaned up", true)));
    until("nothing is left", || client.calls_waiting() + client.work_under_way() == 0).await;
}

#[tokio::test]
async fn a_grace_ends() {
    let (_broker, client) = one_client().await;
    let (gate, work) = (Gate::new(), Gate::new());
    let (stays, inside) = (gate.clone(), work.clone());
    let job = move |ctx: Context, (): ()| {
        let (stays, inside) = (stays.clone(), inside.clone());
        async move {
            let clean_up = async {
                ctx.cancelled().await;
                stays.work().await;
            };
            tokio::join!(inside.work(), clean_up);
            Ok::<_, Fault>(())
        }
    };
    client.serve("job", job).cancel_grace(ms(60)).await.unwrap();
    let call = begin(client.call::<()>("job", ()));
    work.until_begun(1).await;
    call.abort();
    gate.until_begun(1).await;
    gate.until_left().await;
    until("nothing is left", || client.work_under_way() == 0).await;
    assert_eq!((gate.done(), work.inside()), (0, 0));
}

/// The same signal comes when the time is up, not only when a caller leaves.
#[tokio::test]
async fn a_handler_is_told_when_the_time_is_up() {
    let (_broker, client) = one_client().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |ctx: Context, (): ()| {
        let tell = tell.clone();
        async move {
            ctx.cancelled().await;
            tell.send(ctx.left()).unwrap();
            Ok::<_, Fault>(())
        }
    };
    client.serve("job", job).cancel_grace(Duration::from_secs(20)).await.unwrap();
    let error = client.call::<()>("job", ()).timeout(ms(60)).await.unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(soon("the signal", told.recv()).await.unwrap() < ms(50));
}

/// Work that waits for its pace was not started, so it is handed back as that.
#[tokio::test]
async fn work_that_was_not_started_is_not_started_after_a_cancel() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    let work = gate.clone();
    let job = move |(): ()| {
        let work = work.clone();
        async move {
            work.work().await;
            answerback::Ok(())
        }
    };
    client.serve("job", job).pace(Duration::from_secs(3_600)).await.unwrap();
    gate.let_go(1);
    client.call::<()>("job", ()).await.unwrap();
    let waits = begin(client.call::<()>("job", ()));
    until("a delivery that waits for its pace", || client.work_under_way() == 1).await;
    waits.abort();
    until("nothing is left", || client.calls_waiting() + client.work_under_way() == 0).await;
    assert_eq!(gate.begun(), 1);
}

/// A handler that finishes in the moment of the cancel harms nobody.
#[tokio::test]
async fn cancels_and_answers_that_cross_leave_nothing_behind() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("service").await, broker.client("caller").await);
    service.serve("quick", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    for n in 0..300 {
        let mut call = Box::pin(caller.call::<u32>("quick", n).into_future());
        let patience = Duration::from_micros(u64::from(n) * 2);
        if let Ok(answer) = tokio::time::timeout(patience, &mut call).await {
            assert_eq!(answer.unwrap(), n);
        }
    }
    assert_eq!(soon("a call after them", caller.call::<u32>("quick", 7)).await.unwrap(), 7);
    until("nothing is left", || caller.calls_waiting() + service.work_under_way() == 0).await;
    until_told("nothing at the broker", &caller, "$stats", |told| told["in_flight"] == 0 && told["queued"] == 0).await;
}
