//! What keeps memory bounded, and what it costs.

use crate::script::{Stage, play, play_with};
use answerback_broker::{Limits, REQUEST_OVERHEAD_BYTES, Settings};

/// S9: every table has a limit that is told by its flag.
#[test]
fn s9_names_and_subscriptions_and_sessions_are_bounded() {
    play_with(
        |settings| {
            settings.limits.actions = 3;
            settings.limits.actions_per_session = 2;
            settings.limits.subscriptions_per_session = 1;
        },
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        one > {"type":"serve","action":"b","credit":1}
        one < {"type":"serving"}
        one > {"type":"serve","action":"c","credit":1}
        one < {"type":"error","code":"overloaded","action":"c","message":"--max-actions-per-session…"}
        one > {"type":"serve","action":"a","credit":2}
        one < {"type":"serving"}
        two > {"type":"serve","action":"c","credit":1}
        two < {"type":"serving"}
        two > {"type":"serve","action":"d","credit":1}
        two < {"type":"error","code":"overloaded","action":"d","message":"--max-actions…"}
        two > {"type":"request","id":1,"action":"d"}
        two < {"type":"reply","id":1,"error":{"code":"overloaded","ran":"no"}}
        two > {"type":"subscribe","topic":"a"}
        two < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"b"}
        two < {"type":"error","code":"overloaded","topic":"b","message":"--max-subscriptions…"}
        "#,
    );
    let mut stage = Stage::new(Settings { limits: Limits { sessions: 1, ..Limits::default() }, ..Settings::default() });
    stage.play(
        r#"
        one > {"type":"ping"}
        one < {"type":"pong"}
        "#,
    );
    stage.open("two", 99);
    stage.play(
        r#"
        two > {"type":"hello","protocol":[1,1],"name":"two","session":"00000000000000000000000000000063"}
        two < {"type":"error","code":"overloaded","fatal":true,"message":"--max-sessions…"}
        two closed
        "#,
    );
}

/// Many sessions, each within its own limits, have limits together: what they serve, and what they subscribe to.
#[test]
fn what_all_sessions_serve_and_subscribe_to_is_bounded() {
    play_with(
        |settings| (settings.limits.handlers, settings.limits.subscriptions) = (2, 2),
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        two > {"type":"serve","action":"b","credit":1}
        two < {"type":"error","code":"overloaded","action":"b","message":"--max-handlers…"}
        two > {"type":"serve","action":"a","credit":2}
        two < {"type":"serving"}
        one > {"type":"unserve","action":"a"}
        one < {"type":"unserved"}
        two > {"type":"serve","action":"b","credit":1}
        two < {"type":"serving"}
        one > {"type":"subscribe","topic":"a"}
        one < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"a"}
        two < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"a"}
        two < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"b"}
        two < {"type":"error","code":"overloaded","topic":"b","message":"--max-subscriptions-in-all…"}
        one > {"type":"bye"}
        two > {"type":"subscribe","topic":"b"}
        two < {"type":"subscribed"}
        "#,
    );
}

/// A request to a name that nobody serves costs nothing once it has ended.
#[test]
fn names_nobody_needs_are_forgotten() {
    let stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":0}
        web < {"type":"reply","id":1}
        web > {"type":"request","id":2,"action":"b","key":"k"}
        web > {"type":"cancel","id":2}
        web < {"type":"reply","id":2}
        "#,
    );
    assert_eq!(stage.held().actions, 0);
}

/// Every request counts its data and an overhead, and nothing is left when it has ended.
#[test]
fn bytes_are_counted_and_given_back() {
    let mut stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a"} 12345
        web > {"type":"request","id":2,"action":"a","key":"abc"} 12345
        "#,
    );
    assert_eq!(stage.held().bytes, 2 * REQUEST_OVERHEAD_BYTES + 5 + 5 + 3);
    stage.play(r#"web > {"type":"bye"}"#);
    assert_eq!(stage.held().bytes, 0);
}
