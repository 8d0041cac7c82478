//! Leaving in order: what runs finishes, what was not started goes to others, what waits is waited for.

use crate::support::{
    Gate, PATIENCE, begin, ms, one_client, serve_gated, soon, takes_at_least, told, until, until_told,
};
use answerback::{Client, Code, Context, Drained, Error, Ran};
use answerback_testing::TestBroker;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Begins to drain and returns once the client says so.
async fn draining(client: &Client, deadline: Duration) -> JoinHandle<Drained> {
    let leaving = client.clone();
    let drain = tokio::spawn(async move { leaving.drain(deadline).await });
    until("the draining", || !client.state().is_connected()).await;
    drain
}

fn counts(drained: Drained) -> [u64; 3] {
    [drained.finished, drained.handed_back, drained.cut_off]
}

#[tokio::test]
async fn a_drain_with_nothing_to_do_is_done_at_once() {
    let (broker, client) = one_client().await;
    assert_eq!(soon("the drain", client.drain(PATIENCE)).await, Drained::default());
    assert!(client.state().is_closed());
    assert_eq!(soon("another", client.drain(PATIENCE)).await, Drained::default());
    let gone = async { while broker.report().await.unwrap().held.sessions > 0 {} };
    soon("the session to be gone", gone).await;
}

#[tokio::test]
async fn work_that_runs_finishes_and_what_waits_in_the_broker_goes_to_others() {
    let broker = TestBroker::start().await;
    let (old, new, caller, gate) =
        (broker.client("old").await, broker.client("new").await, broker.client("caller").await, Gate::new());
    serve_gated(&old, "job", 2, &gate).await;
    let run: Vec<_> = (0..2).map(|n| (n, begin(caller.call::<u32>("job", n)))).collect();
    gate.until_begun(2).await;
    let wait: Vec<_> = (2..9).map(|n| (n, begin(caller.call::<u32>("job", n)))).collect();
    let drain = draining(&old, PATIENCE).await;
    new.serve("job", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    for (n, call) in wait {
        assert_eq!(soon("an answer of another", call).await.unwrap().unwrap(), n);
    }
    assert!(!drain.is_finished());
    gate.let_go(9);
    for (n, call) in run {
        assert_eq!(soon("an answer of who leaves", call).await.unwrap().unwrap(), n);
    }
    assert_eq!(counts(soon("the drain", drain).await.unwrap()), [2, 0, 0]);
    assert_eq!(gate.begun(), 2);
}

/// Work that a client has and has not begun, because of its pace, is given back; that costs no attempt.
#[tokio::test]
async fn work_that_was_not_started_is_handed_back_and_did_not_count() {
    let broker = TestBroker::start().await;
    let (old, new, caller) = (broker.client("old").await, broker.client("new").await, broker.client("caller").await);
    let job = |ctx: Context, (): ()| async move { answerback::Ok((ctx.client().name().to_owned(), ctx.attempt())) };
    old.serve("job", job).pace(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(caller.call::<(String, u32)>("job", ()).await.unwrap(), ("old".to_owned(), 1));
    let calls: Vec<_> = (0..5).map(|_| begin(caller.call::<(String, u32)>("job", ()))).collect();
    until("all that waits for the pace", || old.work_under_way() == 5).await;
    new.serve("job", job).await.unwrap();
    let drained = soon("the drain", old.drain(PATIENCE)).await;
    // Until the server hears that it leaves, it may give some of it back to it once more.
    assert!(drained.handed_back >= 5 && (drained.finished, drained.cut_off) == (0, 0), "{drained:?}");
    for call in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), ("new".to_owned(), 1));
    }
}

#[tokio::test]
async fn a_drain_waits_for_calls_of_its_own() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (broker.client("service").await, broker.client("caller").await, Gate::new());
    serve_gated(&service, "job", 1, &gate).await;
    let call = begin(caller.call::<u32>("job", 7));
    gate.until_begun(1).await;
    let drain = draining(&caller, PATIENCE).await;
    assert!(!drain.is_finished());
    gate.let_go(1);
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    soon("the drain", drain).await.unwrap();
}

/// Work that still runs may need to ask others.
#[tokio::test]
async fn work_that_finishes_may_still_call() {
    let broker = TestBroker::start().await;
    let (service, other, gate) = (broker.client("service").await, broker.client("other").await, Gate::new());
    other.serve("price", |n: u32| async move { answerback::Ok(3 * n) }).await.unwrap();
    let work = gate.clone();
    let order = move |ctx: Context, n: u32| {
        let work = work.clone();
        async move {
            work.work().await;
            Ok::<u32, Error>(ctx.call::<u32>("price", n).await? + 1)
        }
    };
    service.serve("order", order).await.unwrap();
    let call = begin(other.call::<u32>("order", 2));
    gate.until_begun(1).await;
    let drain = draining(&service, PATIENCE).await;
    gate.let_go(1);
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    assert_eq!(counts(soon("the drain", drain).await.unwrap()), [1, 0, 0]);
}

#[tokio::test]
async fn the_deadline_cuts_off_what_still_runs_and_its_caller_is_told_at_once() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (broker.client("service").await, broker.client("caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let once = begin(caller.call::<u32>("job", 1));
    let again = begin(caller.call::<u32>("job", 2).attempts(2));
    gate.until_begun(2).await;
    let other = broker.client("other").await;
    other.serve("job", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    let drained = takes_at_least(ms(60), service.drain(ms(60))).await;
    assert_eq!(counts(drained), [0, 0, 2]);
    assert_eq!((gate.inside(), gate.done()), (0, 0));
    let error = soon("the word on it", once).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::HandlerLost, Ran::Maybe, false));
    assert_eq!(soon("the answer of another", again).await.unwrap().unwrap(), 2);
}

/// Calls that are still waiting at the deadline end with it.
#[tokio::test]
async fn the_deadline_ends_calls_of_its_own_too() {
    let (_broker, client) = one_client().await;
    let call = begin(client.call::<()>("nobody", ()));
    until_told("the call in the queue", &client, "$stats", |told| told["queued"] == 1).await;
    takes_at_least(ms(50), client.drain(ms(50))).await;
    let error = soon("its end", call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Disconnected);
}

#[tokio::test]
async fn while_it_drains_nothing_new_is_served() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "job", 1, &gate).await;
    let call = begin(client.call::<()>("job", ()));
    gate.until_begun(1).await;
    let drain = draining(&client, PATIENCE).await;
    let error = client.serve("other", |(): ()| async move { answerback::Ok(()) }).await.unwrap_err();
    assert_eq!(told(&error), (Code::Draining, Ran::No, true));
    gate.let_go(1);
    soon("the answer", call).await.unwrap().unwrap();
    soon("the drain", drain).await.unwrap();
}

#[tokio::test]
async fn two_drains_at_once_both_end() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "job", 1, &gate).await;
    let call = begin(client.call::<()>("job", ()));
    gate.until_begun(1).await;
    let (first, second) = (draining(&client, PATIENCE).await, draining(&client, PATIENCE).await);
    gate.let_go(1);
    soon("the answer", call).await.unwrap().unwrap();
    soon("one drain", first).await.unwrap();
    soon("the other", second).await.unwrap();
}

/// Without a server there is nobody to leave.
#[tokio::test]
async fn a_drain_without_a_connection_ends_with_its_deadline_at_the_latest() {
    let (broker, client) = one_client().await;
    client.serve("job", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    broker.stop().await;
    until("the loss of the server", || !client.state().is_connected()).await;
    let call = begin(client.call::<()>("job", ()));
    until("a call that waits", || client.calls_waiting() == 1).await;
    takes_at_least(ms(50), client.drain(ms(50))).await;
    let error = soon("its end", call).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::Disconnected, Ran::No, true));

    let idle = broker.builder("idle").start().unwrap();
    soon("a drain with nothing to do", idle.drain(PATIENCE)).await;
}

/// A drain while the connection was down said that all was done, and the answer that waited for the next connection was never given.
#[tokio::test]
async fn an_answer_that_waits_for_a_connection_is_given_before_the_client_leaves() {
    let broker = TestBroker::start().await;
    let proxy = answerback_testing::Proxy::start(broker.address()).await;
    let (caller, gate) = (broker.client("caller").await, Gate::new());
    let worker = Client::builder(proxy.address()).name("worker").connect().await.unwrap();
    serve_gated(&worker, "job", 1, &gate).await;
    let call = begin(caller.call::<u32>("job", 7));
    gate.until_begun(1).await;
    proxy.refuse(true);
    proxy.cut_all();
    until("the break", || !worker.state().is_connected()).await;
    gate.let_go(1);
    until("the end of the work", || worker.work_under_way() == 0).await;
    let drain = tokio::spawn(async move { worker.drain(PATIENCE).await });
    proxy.refuse(false);
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    soon("the drain", drain).await.unwrap();
}

/// A handler that blocks its thread cannot be dropped. It was not counted as cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn work_that_blocks_its_thread_is_counted_as_cut_off() {
    let (_broker, client) = one_client().await;
    let (blocks, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Arc::new(std::sync::Mutex::new(blocked));
    let begun = std::sync::Arc::new(tokio::sync::Notify::new());
    let handler = {
        let begun = std::sync::Arc::clone(&begun);
        move |(): ()| {
            let (blocked, begun) = (std::sync::Arc::clone(&blocked), std::sync::Arc::clone(&begun));
            async move {
                begun.notify_one();
                let _ = blocked.lock().unwrap().recv();
                answerback::Ok(())
            }
        }
    };
    client.serve("block", handler).await.unwrap();
    let _call = begin(client.call::<()>("block", ()));
    soon("the work", begun.notified()).await;
    let drained = soon("the drain", client.drain(ms(50))).await;
    assert_eq!(drained.cut_off, 1, "{drained:?}");
    drop(blocks);
}
