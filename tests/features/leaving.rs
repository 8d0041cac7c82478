//! Leaving at once: by word, or by letting go of the client.

use crate::support::{Gate, begin, one_client, serve_gated, soon, told, until, until_told};
use answerback::{Client, Code, Context, Fault, Ran, Reconnect};
use answerback_testing::TestBroker;
use serde_json::Value;

/// Whether a client of this name has a session.
fn has_session(told: &Value, name: &str) -> bool {
    told["sessions"].as_array().unwrap().iter().any(|session| session["name"] == name)
}

async fn until_gone(watcher: &Client, name: &str) {
    until_told("the session to be gone", watcher, "$sessions", |told| !has_session(told, name)).await;
}

/// Seeds 14, 84: a client is closed, and the server is told.
#[tokio::test]
async fn close_ends_session_and_services_at_once() {
    let broker = TestBroker::start().await;
    let (client, watcher) = (broker.client("client").await, broker.client("watcher").await);
    client.serve("job", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    let seen: Value = watcher.call("$sessions", ()).await.unwrap();
    assert!(has_session(&seen, "client"));
    soon("the goodbye", client.close()).await;
    assert!(client.state().is_closed());
    until_gone(&watcher, "client").await;
    soon("once more", client.close()).await;
}

#[tokio::test]
async fn close_ends_calls_and_drops_work_which_goes_to_others_where_it_may() {
    let broker = TestBroker::start().await;
    let (leaving, caller, gate) = (broker.client("leaving").await, broker.client("caller").await, Gate::new());
    serve_gated(&leaving, "job", 64, &gate).await;
    let own = begin(leaving.call::<u32>("nobody", ()));
    let once = begin(caller.call::<u32>("job", 1));
    let again = begin(caller.call::<u32>("job", 2).attempts(2));
    gate.until_begun(2).await;
    let other = broker.client("other").await;
    other.serve("job", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    soon("the goodbye", leaving.close()).await;
    assert_eq!((gate.inside(), gate.done()), (0, 0));
    let error = soon("the end of its own call", own).await.unwrap().unwrap_err();
    assert!(matches!(error.code(), Code::Disconnected | Code::Cancelled), "{error}");
    let error = soon("the word on its work", once).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::HandlerLost, Ran::Maybe, false));
    assert_eq!(soon("the answer of another", again).await.unwrap().unwrap(), 2);
}

/// Seed S23: nothing of a closed client is left in the program, so that it can end.
#[test]
fn after_close_no_task_is_left() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = TestBroker::start().await;
        let client = broker.client("client").await;
        let gate = Gate::new();
        serve_gated(&client, "job", 64, &gate).await;
        let call = begin(client.call::<u32>("job", 1));
        gate.until_begun(1).await;
        soon("the goodbye", client.close()).await;
        let _ = soon("its call", call).await;
        drop(client);
        let metrics = tokio::runtime::Handle::current().metrics();
        until("the last task", || metrics.num_alive_tasks() == 0).await;
    });
}

#[tokio::test]
async fn dropping_the_last_handle_ends_session_and_services() {
    let broker = TestBroker::start().await;
    let watcher = broker.client("watcher").await;
    let client = broker.client("client").await;
    let service = client.serve("job", |(): ()| async move { answerback::Ok(7) }).await.unwrap();
    let clone = client.clone();
    drop(client);
    drop(service);
    assert_eq!(watcher.call::<u32>("job", ()).await.unwrap(), 7, "a clone is enough");
    drop(clone);
    until_gone(&watcher, "client").await;
    until_told("no service", &watcher, "$actions", |told| told["actions"] == serde_json::json!([])).await;
}

#[tokio::test]
async fn a_service_is_a_handle_too() {
    let broker = TestBroker::start().await;
    let watcher = broker.client("watcher").await;
    let client = broker.client("client").await;
    let service = client.serve("job", |(): ()| async move { answerback::Ok(7) }).await.unwrap();
    drop(client);
    assert_eq!(watcher.call::<u32>("job", ()).await.unwrap(), 7);
    drop(service);
    until_gone(&watcher, "client").await;
}

/// A future of a call holds its client, so that `connect(..).await?.call(..).await` works.
#[tokio::test]
async fn a_call_holds_its_client() {
    let broker = TestBroker::start().await;
    let watcher = broker.client("watcher").await;
    let call = broker.client("client").await.call::<u32>("$echo", 7);
    assert_eq!(soon("the answer", call).await.unwrap(), 7);
    until_gone(&watcher, "client").await;
}

/// Work under way does not hold the client: who lets go of it has left, and its work goes to others.
#[tokio::test]
async fn dropping_the_last_handle_leaves_also_while_handlers_work() {
    let broker = TestBroker::start().await;
    let (caller, gate) = (broker.client("caller").await, Gate::new());
    let client = broker.client("client").await;
    serve_gated(&client, "job", 64, &gate).await;
    let call = begin(caller.call::<u32>("job", 7).attempts(2));
    gate.until_begun(1).await;
    drop(client);
    until_gone(&caller, "client").await;
    gate.until_left().await;
    caller.serve("job", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    assert_eq!(soon("the answer of another", call).await.unwrap().unwrap(), 7);
}

/// A handler that holds a clone of its client holds it until the client ends; letting go of the handler then lets go of the last clone,
/// in the middle of ending.
#[tokio::test]
async fn a_handler_may_hold_the_last_clone_of_its_client() {
    let broker = TestBroker::start().await;
    let builder = broker.builder("client").reconnect(Reconnect::never());
    // On a thread of its own, so that a lock that is wanted twice is seen by the test.
    let (tell, ended) = tokio::sync::oneshot::channel();
    let (say, served) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = builder.connect().await.unwrap();
            let mut watch = client.watch();
            let own = client.clone();
            let job = move |n: u32| {
                let own = own.clone();
                async move { own.call::<u32>("$echo", n).await }
            };
            client.serve("job", job).await.unwrap();
            drop(client);
            let _ = say.send(());
            while !watch.changed().await.is_closed() {}
        });
        let _ = tell.send(());
    });
    soon("the service", served).await.unwrap();
    assert_eq!(broker.client("caller").await.call::<u32>("job", 7).await.unwrap(), 7);
    broker.stop().await;
    soon("its end", ended).await.unwrap();
}

/// A handler that ends its own client is answered for as any work that is cut off.
#[tokio::test]
async fn a_handler_may_close_its_own_client() {
    let broker = TestBroker::start().await;
    let (client, caller) = (broker.client("client").await, broker.client("caller").await);
    let end = |ctx: Context, (): ()| async move {
        ctx.client().close().await;
        Ok::<_, Fault>(())
    };
    client.serve("end", end).await.unwrap();
    let error = soon("the word on it", caller.call::<()>("end", ())).await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::HandlerLost, Ran::Maybe));
    until("the end of the client", || client.state().is_closed()).await;
}

#[tokio::test]
async fn closing_without_a_connection_is_no_wait() {
    let (broker, client) = one_client().await;
    broker.stop().await;
    soon("the end", client.close()).await;
    let early = broker.builder("early").start().unwrap();
    soon("the end", early.close()).await;
    drop(broker.builder("dropped").start().unwrap());
}

/// A runtime that ends takes everything with it, and nobody waits in vain.
#[test]
fn a_runtime_that_ends_ends_its_clients() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mine, others) = (runtime(), runtime());
    mine.block_on(async {
        let broker = TestBroker::start().await;
        let address = broker.address();
        let theirs = tokio::task::spawn_blocking(move || {
            let client = others.block_on(answerback::connect(address)).unwrap();
            drop(others);
            client
        });
        let client = soon("the end of the other runtime", theirs).await.unwrap();
        assert!(client.state().is_closed());
        let error = soon("the word on it", client.call::<()>("$echo", ())).await.unwrap_err();
        assert_eq!((error.code(), error.ran()), (Code::Disconnected, Ran::No));
    });
}
