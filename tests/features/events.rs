//! Events: publish and subscribe, groups, one client alone, and what a subscriber is told that it missed.

use crate::support::{broker_with, ms, one_client, soon, until, until_told};
use answerback::{Client, Code, Ran, Raw, Subscription};
use answerback_testing::{Proxy, TestBroker};
use std::collections::BTreeMap;

/// The next event's data.
async fn next<T: serde::de::DeserializeOwned + 'static>(events: &mut Subscription<T>) -> T {
    soon("an event", events.next()).await.unwrap().unwrap().data
}

/// The public number of the client with this name.
async fn number_of(client: &Client, name: &str) -> u64 {
    let sessions: serde_json::Value = client.call("$sessions", ()).await.unwrap();
    let all = sessions["sessions"].as_array().unwrap();
    all.iter().find(|session| session["name"] == name).unwrap()["client"].as_u64().unwrap()
}

/// Seeds 50, 51: who subscribes hears of it and of who published it, others do not.
#[tokio::test]
async fn an_event_reaches_those_who_subscribe() {
    let broker = TestBroker::start().await;
    let (shop, web) = (broker.client("shop").await, broker.client("web").await);
    let mut orders = web.subscribe::<(String, u32)>("orders.*").await.unwrap();
    let mut all = web.subscribe::<Raw>(">").await.unwrap();
    shop.publish("users.new", "Ada").confirmed().await.unwrap();
    shop.publish("orders.new", ("bolt", 3)).await.unwrap();
    let event = soon("an event", orders.next()).await.unwrap().unwrap();
    assert_eq!((&*event.topic, &*event.from, event.data, event.missed), ("orders.new", "shop", ("bolt".into(), 3), 0));
    assert_eq!(next(&mut all).await.as_bytes(), b"\"Ada\"");
    assert_eq!(next(&mut all).await.as_bytes(), br#"["bolt",3]"#);
}

/// The order of one publisher on one topic is kept, for every subscriber.
#[tokio::test]
async fn events_of_one_publisher_on_one_topic_arrive_in_order() {
    let (broker, client) = one_client().await;
    let mut streams = Vec::new();
    for name in ["a", "b", "c"] {
        streams.push(broker.client(name).await.subscribe::<u32>("t.>").await.unwrap());
    }
    for number in 0..5_000_u32 {
        client.publish("t.x", number).await.unwrap();
    }
    for stream in &mut streams {
        for number in 0..5_000 {
            assert_eq!(next(stream).await, number);
        }
    }
}

/// Streams of the same topic share one subscription, which goes with the last of them.
#[tokio::test]
async fn streams_share_a_subscription() {
    let (_broker, client) = one_client().await;
    let mut one = client.subscribe::<u8>("t").await.unwrap();
    let mut other = client.subscribe::<u8>("t").await.unwrap();
    let subscriptions = |count: u64| move |stats: &serde_json::Value| stats["subscriptions"] == count;
    until_told("one subscription", &client, "$stats", subscriptions(1)).await;
    client.publish("t", 1).await.unwrap();
    assert_eq!((next(&mut one).await, next(&mut other).await), (1, 1));
    one.unsubscribe().await;
    client.publish("t", 2).await.unwrap();
    assert_eq!(next(&mut other).await, 2);
    drop(other);
    until_told("no subscription", &client, "$stats", subscriptions(0)).await;
}

/// Seed 52: topics come and go at run time on one connection, with confirmation.
#[tokio::test]
async fn subscriptions_change_at_run_time() {
    let (_broker, client) = one_client().await;
    let mut kept = client.subscribe::<u8>("kept").await.unwrap();
    let dropped = client.subscribe::<u8>("dropped").await.unwrap();
    soon("the server's word", dropped.unsubscribe()).await;
    client.publish("dropped", 1).await.unwrap();
    client.publish("kept", 2).await.unwrap();
    assert_eq!(next(&mut kept).await, 2);
}

/// Of a group one stream gets each event, whether the streams are of one client or of several, and other subscriptions get it besides.
#[tokio::test]
async fn a_group_shares_the_events() {
    let (broker, client) = one_client().await;
    let other = broker.client("other").await;
    let mut members = Vec::new();
    for member in [&client, &client, &other] {
        members.push(member.subscribe::<u32>("t").group("g").await.unwrap());
    }
    let mut everything = client.subscribe::<u32>("t").await.unwrap();
    for number in 0..100_u32 {
        client.publish("t", number).confirmed().await.unwrap();
    }
    let mut heard = BTreeMap::<u32, u32>::new();
    let mut shares = vec![0; members.len()];
    soon("every event", async {
        while heard.len() < 100 {
            for (member, share) in members.iter_mut().zip(&mut shares) {
                if let Ok(Some(event)) = tokio::time::timeout(ms(1), member.next()).await {
                    *heard.entry(event.unwrap().data).or_default() += 1;
                    *share += 1;
                }
            }
        }
    })
    .await;
    assert!(heard.values().all(|&times| times == 1) && shares.iter().all(|&share| share > 10), "{shares:?}");
    for number in 0..100 {
        assert_eq!(next(&mut everything).await, number);
    }
}

/// Seed 56: whether a publisher hears itself is its choice.
#[tokio::test]
async fn a_publisher_may_leave_itself_out() {
    let (_broker, client) = one_client().await;
    let mut events = client.subscribe::<u8>("t").await.unwrap();
    client.publish("t", 1).to_others().await.unwrap();
    client.publish("t", 2).await.unwrap();
    assert_eq!(next(&mut events).await, 2);
}

/// Seed 60: an event to one client, by the number that others see.
#[tokio::test]
async fn an_event_may_be_for_one_client() {
    let broker = TestBroker::start().await;
    let (a, b) = (broker.client("a").await, broker.client("b").await);
    let (mut to_a, mut to_b) =
        (a.subscribe::<u8>("t").await.unwrap(), b.subscribe::<u8>("t").group("g").await.unwrap());
    let (number_a, number_b) = (number_of(&a, "a").await, number_of(&a, "b").await);
    a.to(number_b).publish("t", 1).confirmed().await.unwrap();
    a.publish("t", 2).confirmed().await.unwrap();
    assert_eq!((next(&mut to_a).await, next(&mut to_b).await, next(&mut to_b).await), (2, 1, 2));
    for (number, topic) in [(number_a, "other"), (999, "t")] {
        let error = b.to(number).publish(topic, 3).confirmed().await.unwrap_err();
        assert_eq!((error.code(), error.ran()), (Code::NoHandler, Ran::No), "{error}");
    }
}

/// What is published before there is a connection waits for it.
#[tokio::test]
async fn nothing_is_lost_before_the_connection_is_up() {
    let broker = TestBroker::start().await;
    let mut events = broker.client("hears").await.subscribe::<u32>("t").await.unwrap();
    let early = Client::builder(broker.address().to_string()).name("early").start().unwrap();
    for number in 0..100_u32 {
        early.publish("t", number).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(next(&mut events).await, number);
    }
}

/// A subscription goes on after its connection broke, and the first event after it says how many were missed.
#[tokio::test]
async fn a_subscriber_that_was_away_is_told_what_it_missed() {
    let (broker, publisher) = one_client().await;
    let proxy = Proxy::start(broker.address()).await;
    let away = Client::builder(proxy.address().to_string()).name("away").connect().await.unwrap();
    let mut events = away.subscribe::<u32>("t").await.unwrap();
    publisher.publish("t", 0).await.unwrap();
    assert_eq!(next(&mut events).await, 0);
    proxy.refuse(true);
    proxy.cut_all();
    until_told("the subscriber to be away", &publisher, "$stats", |stats| stats["clients"] == 1).await;
    for number in 1..=7_u32 {
        publisher.publish("t", number).confirmed().await.unwrap();
    }
    proxy.refuse(false);
    until("the subscriber to be told", || events.missed() == 7).await;
    publisher.publish("t", 8).await.unwrap();
    let event = soon("the next event", events.next()).await.unwrap().unwrap();
    assert_eq!((event.data, event.missed), (8, 7));
}

/// A reader that is slow loses the oldest and is told how many; the publisher and others are not held up.
#[tokio::test]
async fn a_slow_reader_loses_the_oldest() {
    let (_broker, client) = one_client().await;
    let mut slow = client.subscribe::<u32>("t").buffer(10).await.unwrap();
    let mut quick = client.subscribe::<u32>("t").await.unwrap();
    for number in 0..100_u32 {
        client.publish("t", number).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(next(&mut quick).await, number);
    }
    let event = soon("an event", slow.next()).await.unwrap().unwrap();
    assert_eq!((event.data, event.missed, slow.missed()), (90, 90, 90));
}

/// What cannot be is told before anything is sent.
#[tokio::test]
async fn mistakes_are_told() {
    let (_broker, client) = one_client().await;
    for topic in ["", "a..b", "a.*", "a.>", &"x".repeat(256)] {
        let error = client.publish(topic, 1).await.unwrap_err();
        assert_eq!((error.code(), error.ran()), (Code::BadRequest, Ran::No), "{topic}");
    }
    for pattern in ["", "a..b", ">.a"] {
        assert_eq!(client.subscribe::<u8>(pattern).await.unwrap_err().code(), Code::BadRequest, "{pattern}");
    }
    let error = client.publish("$events.client.connected", 1).confirmed().await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::Denied, Ran::No));
    let mut numbers = client.subscribe::<u8>("t").await.unwrap();
    client.publish("t", "text").await.unwrap();
    client.publish("t", 2).await.unwrap();
    assert_eq!(soon("an error", numbers.next()).await.unwrap().unwrap_err().code(), Code::BadRequest);
    assert_eq!(next(&mut numbers).await, 2);
    client.close().await;
    assert!(soon("the end", numbers.next()).await.is_none());
    assert!(client.publish("t", 3).await.is_err() && client.subscribe::<u8>("t").await.is_err());
}

/// More events than may be kept for a subscriber: it is cut off, comes back, and knows how many it missed. Nobody else notices.
#[tokio::test]
async fn a_slow_subscriber_is_cut_off_and_told_how_much_it_missed() {
    let broker = broker_with(|settings| {
        settings.broker.max_frame = 64 << 10;
        settings.outbox_limit = 256 << 10;
    })
    .await;
    let (publisher, other) = (broker.client("publisher").await, broker.client("other").await);
    let mut others = other.subscribe::<Raw>("t").buffer(100_000).await.unwrap();
    let proxy = Proxy::start(broker.address()).await;
    let slow = Client::builder(proxy.address().to_string()).name("slow").connect().await.unwrap();
    let mut events = slow.subscribe::<Raw>("t").buffer(100_000).await.unwrap();
    proxy.pause();
    let (data, mut published) = (format!("\"{}\"", "x".repeat(10_000)), 0_u64);
    soon("the slow one to be cut off", async {
        while publisher.call::<serde_json::Value>("$stats", ()).await.unwrap()["clients"] == 3 {
            publisher.publish_raw("t", data.clone()).confirmed().await.unwrap();
            published += 1;
        }
    })
    .await;
    proxy.resume();
    until("the slow one to be told", || events.missed() > 0).await;
    publisher.publish_raw("t", "1").confirmed().await.unwrap();
    let (mut came, mut missed) = (0, 0);
    while came == 0 || missed == 0 {
        let event = soon("an event", events.next()).await.unwrap().unwrap();
        (came, missed) = (came + 1, missed + event.missed);
    }
    assert_eq!(came + missed, published + 1);
    for _ in 0..=published {
        soon("every event for the other", others.next()).await.unwrap().unwrap();
    }
    assert_eq!(others.missed(), 0);
}
