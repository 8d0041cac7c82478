//! Topics, over sockets.

use crate::client::Client;
use crate::script::{Stage, play};
use std::collections::BTreeSet;

/// S19: each event reaches each subscriber once, however many of its patterns match.
#[test]
fn s19_each_event_reaches_each_subscriber_once() {
    play(
        r#"
        all > {"type":"subscribe","topic":">"}
        all < {"type":"subscribed","topic":">","group":null}
        all > {"type":"subscribe","topic":"orders.*"}
        all < {"type":"subscribed","topic":"orders.*"}
        one > {"type":"subscribe","topic":"orders.new","group":"g"}
        one < {"type":"subscribed","group":"g"}
        pub > {"type":"publish","topic":"orders.new","id":4} 1
        pub < {"type":"accepted","id":4}
        all < {"type":"event","topic":"orders.new","from":"pub"} 1
        one < {"type":"event","topic":"orders.new"} 1
        all .
        one > {"type":"unsubscribe","topic":"orders.new","group":"g"}
        one < {"type":"unsubscribed"}
        pub > {"type":"publish","topic":"orders.new"} 2
        all < {"type":"event"} 2
        one .
        "#,
    );
}

/// S19: a subscriber comes and goes while events are published, and subscribes again each time it is back, as a careful
/// client does. It hears nothing twice, and misses nothing while it is there.
#[test]
fn s19_each_event_once_also_after_reconnects() {
    let mut stage = Stage::with(|_| {});
    let mut publisher = Client::welcomed(stage.address, "pub");
    let session = crate::client::new_session();
    let mut heard = BTreeSet::new();
    for round in 0_u64..10 {
        let mut subscriber = Client::greeting(stage.address, "sub", &session);
        assert_eq!(subscriber.hear().head["resumed"], round > 0);
        for _ in 0..2 {
            subscriber.say(r#"{"type":"subscribe","topic":"t.*"}"#, "");
            assert_eq!(subscriber.hear().head["type"], "subscribed");
        }
        for event in round * 100..(round + 1) * 100 {
            publisher.say(r#"{"type":"publish","topic":"t.x"}"#, event.to_string());
        }
        for event in round * 100..(round + 1) * 100 {
            assert_eq!(subscriber.hear().data, event.to_string().as_bytes());
            assert!(heard.insert(event));
        }
        if round % 2 == 0 {
            subscriber.reset();
        } else {
            drop(subscriber);
        }
        stage.until("the subscriber to be gone", |stats| stats["connections"] == 2);
        publisher.say(r#"{"type":"publish","topic":"t.x"}"#, "\"nobody is there\"");
        publisher.settle();
    }
    assert_eq!(heard.len(), 1_000);
}
