//! The emitter: what programs on the older systems' emitters did, and the broker's own events.

use crate::support::{ms, one_client, soon, until};
use answerback::{Emitter, Event, Raw};
use answerback_testing::TestBroker;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What listeners have heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn listener(&self, name: &'static str) -> impl FnMut(Event<Raw>) + Send + 'static {
        let heard = self.clone();
        move |event| {
            let data = String::from_utf8_lossy(event.data.as_bytes()).into_owned();
            heard.0.lock().unwrap().push(format!("{name} {} {data}", event.topic));
        }
    }

    async fn has(&self, lines: &[&str]) {
        until("the listeners", || self.0.lock().unwrap().len() >= lines.len()).await;
        let mut heard = std::mem::take(&mut *self.0.lock().unwrap());
        heard.sort();
        assert_eq!(heard, lines);
    }
}

/// Seeds 53, 55: listeners by topic, `*` alone for all, once, and removal of one, of a topic, of all.
#[tokio::test]
async fn listeners_come_and_go() {
    let broker = TestBroker::start().await;
    let (here, there) = (Emitter::new(&broker.client("here").await), Emitter::new(&broker.client("there").await));
    let heard = Heard::default();
    let first = here.on("a", heard.listener("first")).await.unwrap();
    here.on("a", heard.listener("second")).await.unwrap();
    here.on("*", heard.listener("all")).await.unwrap();
    here.once("b.c", heard.listener("once")).await.unwrap();
    there.emit("a", 1).await.unwrap();
    heard.has(&["all a 1", "first a 1", "second a 1"]).await;
    there.emit("b.c", 2).await.unwrap();
    there.emit("b.c", 3).await.unwrap();
    heard.has(&["all b.c 2", "all b.c 3", "once b.c 2"]).await;
    until("the end of the one that hears once", || here.listeners() == 3).await;
    assert!(here.remove_listener(first) && !here.remove_listener(first));
    there.emit("a", 4).confirmed().await.unwrap();
    heard.has(&["all a 4", "second a 4"]).await;
    assert_eq!((here.remove_all_listeners(Some("a")), here.remove_all_listeners(Some("a"))), (1, 0));
    there.emit("a", 5).await.unwrap();
    heard.has(&["all a 5"]).await;
    assert_eq!((here.remove_all_listeners(None), here.listeners()), (1, 0));
}

/// A listener that panics, and an event that is not of its type, are not its end.
#[tokio::test]
async fn a_listener_that_panics_hears_the_next_event() {
    let (_broker, client) = one_client().await;
    let emitter = Emitter::new(&client);
    let (hears, mut heard) = mpsc::unbounded_channel();
    let listener = move |event: Event<u32>| {
        assert!(event.data != 1, "a listener's own mistake");
        hears.send(event.data).unwrap();
    };
    emitter.on("t", listener).await.unwrap();
    emitter.emit("t", "text").await.unwrap();
    for number in [1, 2] {
        emitter.emit("t", number).await.unwrap();
    }
    assert_eq!(soon("the second event", heard.recv()).await, Some(2));
}

/// Nothing that an emitter began outlives it.
#[tokio::test]
async fn listeners_end_with_their_emitter() {
    let (_broker, client) = one_client().await;
    let emitter = Emitter::new(&client);
    let same = emitter.clone();
    emitter.on("t", |event: Event<Raw>| drop(event)).await.unwrap();
    emitter.heartbeat("billing", ms(5));
    drop(emitter);
    assert_eq!(same.listeners(), 1);
    drop(same);
    crate::support::until_told("no subscription", &client, "$stats", |stats| stats["subscriptions"] == 0).await;
}

/// Seed 59: heartbeats with the name of the service.
#[tokio::test]
async fn a_heartbeat_names_its_service() {
    let broker = TestBroker::start().await;
    let mut beats = broker.client("watch").await.subscribe::<String>("<3").await.unwrap();
    let billing = Emitter::new(&broker.client("billing-1").await);
    billing.heartbeat("billing", ms(5));
    for _ in 0..3 {
        let beat = soon("a heartbeat", beats.next()).await.unwrap().unwrap();
        assert_eq!((beat.data.as_str(), &*beat.from), ("billing", "billing-1"));
    }
}

/// Seed 62: who comes and goes, and since when.
#[tokio::test]
async fn the_broker_tells_who_comes_and_goes() {
    let (broker, client) = one_client().await;
    let mut life = client.subscribe::<Value>("$events.>").await.unwrap();
    let mut everything = client.subscribe::<Value>(">").await.unwrap();
    let web = broker.client("web").await;
    web.serve("a", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    web.close().await;
    let mut told = Vec::new();
    while told.len() < 4 {
        let event = soon("an event", life.next()).await.unwrap().unwrap();
        told.push((event.topic.to_string(), event.data));
    }
    let topics: Vec<_> = told.iter().map(|(topic, _)| topic.as_str()).collect();
    let [connected, online, offline, disconnected] = topics[..] else { panic!("{topics:?}") };
    assert_eq!((connected, online), ("$events.client.connected", "$events.action.online"));
    assert_eq!((offline, disconnected), ("$events.action.offline", "$events.client.disconnected"));
    assert_eq!((&told[0].1["name"], &told[1].1["action"]), (&Value::from("web"), &Value::from("a")));
    assert_eq!((&told[3].1["reason"], &told[3].1["client"]), (&Value::from("bye"), &told[0].1["client"]));
    assert!(told[0].1["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{told:?}");
    // A wildcard in first place does not hear of it.
    client.publish("t", 1).await.unwrap();
    assert_eq!(&*soon("an event", everything.next()).await.unwrap().unwrap().topic, "t");
}

/// Seed 63: clients, topics, messages and bytes in and out, uptime, queues.
#[tokio::test]
async fn statistics_are_one_call_away() {
    let (_broker, client) = one_client().await;
    let _orders = client.subscribe::<Raw>("orders.>").await.unwrap();
    client.publish("orders.new", 12_345).confirmed().await.unwrap();
    let stats: Value = client.call("$stats", ()).await.unwrap();
    assert_eq!([&stats["clients"], &stats["topics"], &stats["queued"]], [1, 1, 0]);
    let total = |name: &str| stats["total"][name].as_u64().unwrap();
    assert_eq!((total("published"), total("events"), total("data_out")), (1, 1, 5));
    assert!(total("frames_in") >= 4 && total("frames_out") >= 4 && total("data_in") >= 5, "{stats}");
    assert!(stats["uptime_ms"].is_u64() && stats["actions"] == 0, "{stats}");
}
