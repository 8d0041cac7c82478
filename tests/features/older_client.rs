//! What `new MessageBrokerClient({…})` and `request(…)` of nodejs-message-broker could be told, option by option, and where that is here.
//!
//! One short test for each, in the order of that system's pages. More on each subject is in the file of that subject; what it is called
//! here is in `docs/MIGRATION.md`. Its `secureKey` is not part of this version.

use crate::support::{
    Gate, begin, ms, one_client, serve_gated, serve_slow, soon, takes_at_least, told, until, until_told,
};
use answerback::{Client, Code, Context, Error, Fault, Ran, Reconnect, State};
use answerback_testing::TestBroker;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

/// Seed 1: `host`, `port` and `id` (once called `action`).
#[tokio::test]
async fn host_port_and_id() {
    let broker = TestBroker::start().await;
    let (host, port) =
        broker.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    let client = answerback::connect(format!("{host}:{port}")).await.unwrap();
    client.serve("service_1", |data: Value| async move { answerback::Ok(data) }).await.unwrap();
    assert_eq!(client.call::<Value>("service_1", json!({"a": 1})).await.unwrap(), json!({"a": 1}));
}

/// Seed 12: any `id` but the system's own words, of which there are fewer: `init`, `request`, `error` are free.
#[tokio::test]
async fn names_that_were_reserved_are_free() {
    let (_broker, client) = one_client().await;
    for name in ["init", "request", "response", "acknowledge", "error", "receivers"] {
        client.serve(name, |(): ()| async move { answerback::Ok(()) }).await.unwrap();
        client.call::<()>(name, ()).await.unwrap();
    }
}

/// Seed 2: several clients of one `id` share the work, and one that is busy is not given more.
#[tokio::test]
async fn several_clients_of_one_id() {
    let broker = TestBroker::start().await;
    let (one, two, gate) = (broker.client("one").await, broker.client("two").await, Gate::new());
    serve_gated(&one, "work", 1, &gate).await;
    serve_gated(&two, "work", 1, &gate).await;
    let calls = [begin(one.call::<u8>("work", 1)), begin(one.call::<u8>("work", 2))];
    gate.until_begun(2).await;
    assert_eq!((one.work_under_way(), two.work_under_way()), (1, 1));
    gate.let_go(2);
    for call in calls {
        soon("an answer", call).await.unwrap().unwrap();
    }
}

/// Seeds 3, 24, S5: `requestHandler`, with its result sent back, and its error too.
#[tokio::test]
async fn request_handler() {
    let (_broker, client) = one_client().await;
    let handler = |data: Value| async move {
        match data["name"].as_str() {
            Some(name) => Ok(json!({"greeting": format!("hello {name}")})),
            None => Err(Fault::from("name is missing")),
        }
    };
    client.serve("greet", handler).await.unwrap();
    let error = client.call::<Value>("greet", json!({})).await.unwrap_err();
    assert_eq!(error.fault().unwrap().message(), "name is missing");
    let greeting: Value = client.call("greet", json!({"name": "Ada"})).await.unwrap();
    assert_eq!(greeting, json!({"greeting": "hello Ada"}));
}

/// Seeds 4, 5: requests from inside a handler, also to the client's own name.
#[tokio::test]
async fn requests_from_inside_a_handler() {
    let (_broker, client) = one_client().await;
    let down = |ctx: Context, n: u32| async move {
        Ok::<u32, Error>(if n == 0 { 0 } else { 1 + ctx.call::<u32>("down", n - 1).await? })
    };
    client.serve("down", down).await.unwrap();
    assert_eq!(soon("the answer", client.call::<u32>("down", 5)).await.unwrap(), 5);
}

/// Seed 6: `autoStart: false` and `start()`.
#[tokio::test]
async fn auto_start() {
    let broker = TestBroker::start().await;
    let later = broker.builder("later");
    assert_eq!(broker.report().await.unwrap().counters.accepted, 0);
    let client = later.start().unwrap();
    until("the connection", || client.state().is_connected()).await;
}

/// Seed 7: `reconnect: true` and `reconnectInterval`.
#[tokio::test]
async fn reconnect_and_reconnect_interval() {
    let broker = TestBroker::start().await;
    let always = Reconnect::default().first_delay(ms(20)).longest_delay(ms(20));
    let keeps = broker.builder("keeps").reconnect(always).connect().await.unwrap();
    let leaves = broker.builder("leaves").reconnect(Reconnect::never()).connect().await.unwrap();
    broker.stop().await;
    until("both to notice", || !keeps.state().is_connected() && leaves.state().is_closed()).await;
    broker.start_again().await;
    until("the one that comes back", || keeps.state().is_connected()).await;
    assert!(leaves.state().is_closed());
}

/// Seed 8: growing pauses with a maximum, and a limit of tries.
#[tokio::test]
async fn max_attempts_and_delay() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let reconnect = Reconnect::default().first_delay(ms(8)).longest_delay(ms(32)).tries(5);
    let client = broker.builder("client").reconnect(reconnect).start().unwrap();
    let mut watch = client.watch();
    let mut longest = Duration::ZERO;
    let end = loop {
        match soon("the next state", watch.changed()).await {
            State::Waiting { pause, .. } => longest = longest.max(pause),
            State::Closed { why, .. } => break why.unwrap(),
            _ => {}
        }
    };
    assert_eq!(told(&end), (Code::Disconnected, Ran::No, true));
    assert!(longest >= ms(16) && longest <= ms(32), "{longest:?}");
}

/// Seed 9: the state, and a reconnect by hand.
#[tokio::test]
async fn manual_reconnect() {
    let (broker, client) = one_client().await;
    client.call::<()>("$echo", ()).await.unwrap();
    client.reconnect();
    until_told("a second connection", &client, "$stats", |told| told["total"]["connections"] == 2).await;
    assert!(matches!(client.state(), State::Connected { address, .. } if address == broker.address()));
}

/// Seed 10: requests while disconnected.
#[tokio::test]
async fn requests_while_disconnected() {
    let (broker, client) = one_client().await;
    client.serve("echo", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    broker.stop().await;
    until("the loss of the server", || !client.state().is_connected()).await;
    let call = begin(client.call::<u32>("echo", 7));
    until("a call that waits", || client.calls_waiting() == 1).await;
    broker.start_again().await;
    client.reconnect();
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
}

/// Seed 11: `receivers`.
#[tokio::test]
async fn receivers() {
    let (_broker, client) = one_client().await;
    client.serve("a", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    let seen: Value = client.call("$actions", ()).await.unwrap();
    assert_eq!((seen["actions"][0]["action"].clone(), seen["actions"][0]["handlers"].clone()), ("a".into(), 1.into()));
}

/// Seed 13: mistakes in the options.
#[test]
fn mistakes_in_the_options() {
    let error = Client::builder("127.0.0.1:7040").name("").start().unwrap_err();
    assert!(error.message().starts_with("name: "), "{error}");
}

/// Seed 14: a client that can be closed.
#[tokio::test]
async fn close() {
    let (broker, client) = one_client().await;
    soon("the goodbye", client.close()).await;
    let gone = async { while broker.report().await.unwrap().held.sessions > 0 {} };
    soon("the session to be gone", gone).await;
}

/// Seed 15: `defaultRequestTimeout`.
#[tokio::test]
async fn default_request_timeout() {
    let broker = TestBroker::start().await;
    let client = broker.builder("client").default_timeout(ms(40)).connect().await.unwrap();
    let gate = Gate::new();
    serve_gated(&client, "slow", 1, &gate).await;
    assert_eq!(client.call::<()>("slow", ()).await.unwrap_err().code(), Code::Timeout);
}

/// Seed 16: `taskInterval`.
#[tokio::test]
async fn task_interval() {
    let (_broker, client) = one_client().await;
    client.serve("work", |(): ()| async move { answerback::Ok(()) }).pace(ms(20)).await.unwrap();
    let calls: Vec<_> = (0..4).map(|_| begin(client.call::<()>("work", ()))).collect();
    takes_at_least(ms(59), async {
        for call in calls {
            call.await.unwrap().unwrap();
        }
    })
    .await;
}

/// Seeds 17, 29: `request({action, data})`, many at once on one connection; more than three worked badly there.
#[tokio::test]
async fn thirty_requests_at_once() {
    let (_broker, client) = one_client().await;
    client.serve("echo", |data: Value| async move { answerback::Ok(data) }).await.unwrap();
    let calls: Vec<_> = (0..30).map(|n| (n, begin(client.call::<Value>("echo", json!({"n": n}))))).collect();
    for (n, call) in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), json!({"n": n}));
    }
}

/// Seed 18: `info` with its times.
#[tokio::test]
async fn info() {
    let (_broker, client) = one_client().await;
    serve_slow(&client, "slow", 20).await;
    let answer = client.call::<()>("slow", ()).with_info().await.unwrap();
    assert_eq!(answer.info.by.as_deref(), Some("client"));
    assert!(answer.info.ran.unwrap() >= ms(19), "{:?}", answer.info);
}

/// Seed 19: the third argument, a timeout.
#[tokio::test]
async fn timeout() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "slow", 1, &gate).await;
    let error = client.call::<()>("slow", ()).timeout(ms(40)).await.unwrap_err();
    assert_eq!(told(&error), (Code::Timeout, Ran::Maybe, false));
    gate.until_left().await;
}

/// Seed 20: no timeout, which meant fire and forget.
#[tokio::test]
async fn fire_and_forget() {
    let (_broker, client) = one_client().await;
    client.send("note", 7).await.unwrap();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let note = move |n: u32| {
        let tell = tell.clone();
        async move { tell.send(n).map_err(|_| "nobody listens") }
    };
    client.serve("note", note).await.unwrap();
    assert_eq!(soon("the note", heard.recv()).await, Some(7));
}

/// Seeds 21, 22: `ttl`, also below the timeout, and its end in words.
#[tokio::test]
async fn ttl() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "slow", 1, &gate).await;
    let busy = begin(client.call::<()>("slow", ()));
    gate.until_begun(1).await;
    let error = client.call::<()>("slow", ()).ttl(ms(30)).timeout(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(told(&error), (Code::Expired, Ran::No, true));
    assert!(error.to_string().starts_with("its ttl ended after "), "{error}");
    busy.abort();
}

/// Seed 23: `notDelivered` at once.
#[tokio::test]
async fn not_delivered() {
    let (_broker, client) = one_client().await;
    let error = client.call::<()>("nobody", ()).ttl(Duration::ZERO).await.unwrap_err();
    assert_eq!(told(&error), (Code::NoHandler, Ran::No, true));
}

/// Seeds 25, 26: `broadcast`, to all; all answers, or the first.
#[tokio::test]
async fn broadcast() {
    let broker = TestBroker::start().await;
    let clients = [broker.client("one").await, broker.client("two").await, broker.client("three").await];
    for client in &clients {
        let name = |ctx: Context, (): ()| async move { answerback::Ok(ctx.client().name().to_owned()) };
        client.serve("who", name).await.unwrap();
    }
    let all = clients[0].broadcast::<String>("who", ()).gather().await.unwrap();
    assert_eq!((all.counts.expected, all.counts.answered), (3, 3));
    assert!(all.replies.iter().all(|reply| reply.result.as_ref().unwrap() == &reply.from));
    let first: String = clients[0].broadcast("who", ()).first().await.unwrap();
    assert!(["one", "two", "three"].contains(&&*first));
}

/// Seed 27: a queue, first in, first out.
#[tokio::test]
async fn first_in_first_out() {
    let broker = TestBroker::start().await;
    let (client, caller) = (broker.client("client").await, broker.client("caller").await);
    let calls: Vec<_> = (0..20_u32).map(|n| begin(caller.call::<u32>("later", n))).collect();
    until_told("all in the queue", &client, "$stats", |told| told["queued"] == 20).await;
    let (tell, mut heard) = mpsc::unbounded_channel();
    let later = move |n: u32| {
        tell.send(n).unwrap();
        std::future::ready(answerback::Ok(n))
    };
    client.serve("later", later).concurrency(1).await.unwrap();
    for (n, call) in (0..20).zip(calls) {
        assert_eq!(soon("the answer", call).await.unwrap().unwrap(), n);
        assert_eq!(heard.recv().await, Some(n));
    }
}

/// Seed 30: more than the 64 KiB at which messages were lost.
#[tokio::test]
async fn a_message_of_any_sensible_size() {
    let (_broker, client) = one_client().await;
    client.serve("length", |text: String| async move { answerback::Ok(text.len()) }).await.unwrap();
    for size in [65_000, 65_400, 65_536, 70_000, 1 << 20] {
        assert_eq!(soon("the length", client.call::<usize>("length", "x".repeat(size))).await.unwrap(), size);
    }
}
