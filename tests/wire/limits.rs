//! S9: everything that clients can make grow has a limit, and who meets it is told which one.

use crate::client::Client;
use crate::script::{Stage, play_with};

/// Queues by count and by bytes are among the error codes; connections and outboxes among the tests of the server.
#[test]
fn s9_names_and_subscriptions_are_bounded() {
    play_with(
        |settings| {
            settings.broker.limits.actions = 3;
            settings.broker.limits.actions_per_session = 2;
            settings.broker.limits.subscriptions_per_session = 1;
        },
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        one > {"type":"serve","action":"b","credit":1}
        one < {"type":"serving"}
        one > {"type":"serve","action":"c","credit":1}
        one < {"type":"error","code":"overloaded","action":"c","fatal":null,"message":"--max-actions-per-session…"}
        one > {"type":"serve","action":"a","credit":2}
        one < {"type":"serving"}
        two > {"type":"serve","action":"c","credit":1}
        two < {"type":"serving"}
        two > {"type":"serve","action":"d","credit":1}
        two < {"type":"error","code":"overloaded","action":"d","fatal":null,"message":"--max-actions…"}
        two > {"type":"request","id":1,"action":"d"}
        two < {"type":"reply","id":1,"error":{"code":"overloaded","ran":"no","message":"--max-actions…"}}
        two > {"type":"subscribe","topic":"a"}
        two < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"b"}
        two < {"type":"error","code":"overloaded","topic":"b","fatal":null,"message":"--max-subscriptions…"}
        "#,
    );
}

#[test]
fn s9_sessions_are_bounded() {
    let mut stage = Stage::with(|settings| {
        settings.max_connections = 2;
        settings.broker.limits.sessions = 2;
    });
    stage.play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        one breaks
        "#,
    );
    // The one that is away has its place for the grace time.
    let mut two = Client::greeting(stage.address, "two", &"2".repeat(32));
    let heard = two.hear_to_the_end();
    assert!(heard.len() == 1 && heard[0].code() == "overloaded" && heard[0].head["fatal"] == true, "{heard:?}");
    assert!(heard[0].head["message"].as_str().unwrap().contains("--max-sessions"), "{heard:?}");
}

/// A caller that never acknowledges costs no more than the limit, and hears every answer all the same.
#[test]
fn s9_replies_kept_are_bounded() {
    let mut stage = Stage::with(|settings| settings.broker.limits.kept_replies_per_session = 10);
    let mut caller = Client::welcomed(stage.address, "web");
    for id in 0..500 {
        caller.call(id, "$echo", "1");
    }
    for id in 0..500 {
        assert_eq!(caller.hear().head["id"], id);
    }
    let kept = stage.stats()["kept_replies"].as_u64().unwrap();
    // The observer does not acknowledge either.
    assert!((10..=20).contains(&kept), "{kept}");
}

/// Replies stored under keys are bounded; the oldest go first, and their work runs again.
#[test]
fn s9_stored_replies_are_bounded() {
    let mut stage = Stage::with(|settings| settings.broker.limits.stored_replies = 3);
    let mut handler = Client::serving(stage.address, "svc", "a", 1);
    let mut caller = Client::welcomed(stage.address, "web");
    let mut call = |id: u64, key: u64| {
        caller.say(format!(r#"{{"type":"request","id":{id},"action":"a","key":"{key}"}}"#), key.to_string());
        // Whatever the server makes of it has reached the handler when both have an answer to a ping.
        caller.settle();
        let ran = handler.heard_until_now();
        for delivery in &ran {
            handler.answer(delivery, "1");
        }
        assert_eq!(caller.hear().head["id"], id);
        ran.len()
    };
    let runs: Vec<_> = [1, 2, 3, 1, 2, 3, 4, 4, 1].iter().zip(0..).map(|(&key, id)| call(id, key)).collect();
    assert_eq!(runs, [1, 1, 1, 0, 0, 0, 1, 0, 1]);
    assert_eq!(stage.stats()["stored_replies"], 3);
}

/// S8: what has expired is gone from memory, not only from the list.
#[test]
fn s8_what_has_expired_is_dropped_from_memory() {
    let stage = Stage::with(|_| {});
    let mut caller = Client::welcomed(stage.address, "web");
    for id in 0..1_000 {
        caller.say(format!(r#"{{"type":"request","id":{id},"action":"a","ttl":20}}"#), vec![b'7'; 1_000]);
    }
    for _ in 0..1_000 {
        let reply = caller.hear();
        assert_eq!((reply.code(), &reply.head["error"]["ran"]), ("no_handler", &"no".into()));
    }
    let held = stage.server().report().held;
    assert_eq!((held.requests, held.queued, held.bytes, held.actions), (0, 0, 0, 0));
}
