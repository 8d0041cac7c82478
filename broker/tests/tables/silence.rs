//! Connections that say nothing, or say the wrong thing first.

use crate::script::{Stage, play};
use answerback_broker::Settings;

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
    assert_eq!(stage.held().sessions, 0);
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
        "#,
    );
    assert_eq!(stage.broker.poll_timeout(), None);
}
