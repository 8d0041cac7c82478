//! Connections that say nothing, or say the wrong thing first.

use crate::script::{Stage, play};
use answerback_broker::{ConnectionId, Input, Settings};

#[test]
fn hello_must_come_within_5_seconds() {
    let mut stage = Stage::new(Settings::default());
    stage.open("web", 1);
    stage.play(
        r#"
        +4999
        web .
        +1
        web < {"type":"error","code":"silent","fatal":true}
        web closed
        "#,
    );
}

/// The time began when the shell accepted the connection, not when it told of it.
#[test]
fn the_time_to_say_hello_counts_from_before_the_broker_was_told() {
    let mut stage = Stage::new(Settings::default());
    stage.open_after("web", 1, std::time::Duration::from_secs(4));
    stage.play(
        r#"
        +999
        web .
        +1
        web < {"type":"error","code":"silent","fatal":true}
        web closed
        "#,
    );
}

#[test]
fn the_first_frame_must_be_hello() {
    let mut stage = Stage::new(Settings::default());
    stage.open("web", 1);
    stage.play(
        r#"
        web > {"type":"ping"}
        web < {"type":"error","code":"bad_request","fatal":true,"message":"the first frame must be `hello`, not `ping`"}
        web closed
        web > {"type":"request","id":1,"action":"a"}
        "#,
    );
    stage.open("app", 2);
    stage.play(
        r#"
        app > {"type":"hello"}
        app < {"type":"error","code":"bad_request","fatal":true,"message":"member `protocol` is missing"}
        app closed
        "#,
    );
    assert_eq!(stage.held().sessions, 0);
}

#[test]
fn versions_that_do_not_meet_part_with_both_ranges_named() {
    let mut stage = Stage::new(Settings::default());
    stage.open("web", 1);
    stage.play(
        r#"
        web > {"type":"hello","protocol":[2,7],"name":"web","session":"00000000000000000000000000000001"}
        web < {"type":"error","code":"version_mismatch","fatal":true,"message":"this client speaks protocol 2 to 7, this server 1 to 1; update the older one"}
        web closed
        "#,
    );
}

#[test]
fn hello_twice_changes_nothing() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"hello","protocol":[1,1],"name":"other","session":"000000000000000000000000000000ff"}
        web < {"type":"error","code":"bad_request","fatal":null}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","from":"web"}
        "#,
    );
}

/// Seed 78: who has gone silent is asked, and dropped.
#[test]
fn a_silent_connection_is_asked_after_one_heartbeat_and_closed_after_two() {
    let stage = play(
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        +14999
        web .
        +1
        web < {"type":"ping"}
        web > {"type":"pong"}
        +15000
        web < {"type":"ping"}
        +14999
        web .
        +1
        web < {"type":"error","code":"silent","fatal":true}
        web closed
        "#,
    );
    assert_eq!(stage.held().sessions, 1, "it may come back within the grace time");
}

/// Every byte is a sign of life. Large frames on slow lines were once cut off in the middle, because only whole frames
/// counted.
#[test]
fn bytes_of_a_frame_that_is_not_whole_yet_are_a_sign_of_life() {
    let mut stage = play(
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        "#,
    );
    let connection = ConnectionId::new(0, 1, 1);
    for _ in 0..10 {
        stage.pass(14_999);
        stage.input(Input::Bytes { connection });
    }
    stage.play(
        r#"
        web .
        +15000
        web < {"type":"ping"}
        +15000
        web < {"type":"error","code":"silent","fatal":true}
        web closed
        "#,
    );
}

/// Who sends something wrong is there, and is asked again when it has been silent. It was once closed without being asked.
#[test]
fn bad_heads_are_a_sign_of_life() {
    play(
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        +15000
        web < {"type":"ping"}
        web > {"type":"fly"}
        web < {"type":"error","code":"bad_request"}
        +15000
        web < {"type":"ping"}
        web > {"type":"pong"}
        +14999
        web .
        "#,
    );
}

/// Bytes that are not yet a hello do not hold a place for longer.
#[test]
fn bytes_before_hello_do_not_buy_time() {
    let mut stage = Stage::new(Settings::default());
    let connection = stage.open("web", 1);
    for _ in 0..5 {
        stage.input(Input::Bytes { connection });
        stage.pass(1_000);
    }
    stage.play(
        r#"
        web < {"type":"error","code":"silent","fatal":true}
        web closed
        "#,
    );
}

/// S14: a connection that talks is not looked at with every frame, and nobody wakes up when nothing is due.
#[test]
fn s14_nothing_to_do_asks_for_no_wake_up() {
    let mut stage = Stage::new(Settings::default());
    assert_eq!(stage.broker.poll_timeout(), None);
    stage.play(
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        web breaks
        +10000
        "#,
    );
    assert_eq!(stage.broker.poll_timeout(), None);
}
