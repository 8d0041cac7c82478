//! The rows of the table of error codes, over sockets. Each test names its row.
//!
//! One row has no test here: `disconnected` is never on the wire. Client libraries make it when they gave up reconnecting.

use crate::client::Client;
use crate::script::{Stage, play, play_with};
use std::time::Duration;

/// Seed 23.
#[test]
fn no_handler_when_nobody_ever_served_it_while_it_waited() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":0}
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no","attempts":0,"message":"nobody serves `a`…"}}
        web > {"type":"request","id":2,"action":"a","ttl":30}
        web < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":3,"action":"a","timeout":30}
        web < {"type":"reply","id":3,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":4,"action":"a","broadcast":true}
        web < {"type":"reply","id":4,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
}

/// It was served once while it waited, so it is not `no_handler`.
#[test]
fn expired_when_its_ttl_ended_in_the_queue() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":2,"action":"a","ttl":600}
        svc > {"type":"unserve","action":"a"}
        svc < {"type":"unserved","action":"a"}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        web < {"type":"reply","id":2,"error":{"code":"expired","ran":"no"}}
        "#,
    );
}

#[test]
fn timeout_in_the_queue_did_not_run_and_delivered_may_have() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","timeout":100}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":2,"action":"a","timeout":150}
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"maybe","attempts":1}}
        svc < {"type":"cancel","id":$d}
        web < {"type":"reply","id":2,"error":{"code":"timeout","ran":"no","attempts":0}}
        svc > {"type":"release","id":$d}
        svc .
        "#,
    );
}

#[test]
fn handler_lost_when_its_session_did_not_come_back() {
    play_with(
        |settings| settings.broker.session_grace = Duration::from_millis(80),
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        svc breaks
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":1}}
        "#,
    );
}

/// Seed 24 and S5: the handler's error reaches the caller with its text and details, and the handler goes on.
#[test]
fn s5_fault_carries_the_handlers_own_error() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        svc > {"type":"reply","id":$d,"error":{"code":"no_such_user","message":"user 7 is unknown","retryable":true}} {"id":7}
        web < {"type":"reply","id":1,"error":{"code":"fault","ran":"yes","attempts":1,"fault":{"code":"no_such_user","message":"user 7 is unknown","retryable":true}}} {"id":7}
        web > {"type":"request","id":2,"action":"a"}
        svc < {"type":"deliver","id":$e}
        svc > {"type":"reply","id":$e} 1
        web < {"type":"reply","id":2} 1
        "#,
    );
}

#[test]
fn cancelled_in_the_queue_did_not_run_and_delivered_may_have() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"cancel","id":2}
        web < {"type":"reply","id":2,"error":{"code":"cancelled","ran":"no","attempts":0}}
        web > {"type":"cancel","id":1}
        svc < {"type":"cancel","id":$d}
        web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"maybe","attempts":1}}
        web > {"type":"cancel","id":1}
        svc > {"type":"reply","id":$d}
        web .
        "#,
    );
}

#[test]
fn overloaded_when_the_queue_is_full_by_count() {
    play_with(
        |settings| settings.broker.limits.requests_per_action = 2,
        r#"
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        web < {"type":"reply","id":3,"error":{"code":"overloaded","ran":"no","retry_after":1000,"message":"2 requests wait…"}}
        web > {"type":"request","id":4,"action":"b"}
        web .
        "#,
    );
}

#[test]
fn overloaded_when_the_queue_is_full_by_bytes() {
    let data = "7".repeat(900);
    play_with(
        |settings| {
            settings.broker.max_frame = 1_024;
            settings.broker.limits.bytes_per_action = 2_500;
            settings.broker.limits.bytes_in_all = 3_000;
        },
        &format!(
            r#"
            web > {{"type":"request","id":1,"action":"a"}} {data}
            web > {{"type":"request","id":2,"action":"a"}} {data}
            web > {{"type":"request","id":3,"action":"a"}} {data}
            web < {{"type":"reply","id":3,"error":{{"code":"overloaded","ran":"no","retry_after":1000,"message":"--max-memory…"}}}}
            web > {{"type":"request","id":4,"action":"a"}}
            web < {{"type":"reply","id":4,"error":{{"code":"overloaded","ran":"no","message":"--max-queue-bytes…"}}}}
            web > {{"type":"request","id":5,"action":"b"}}
            web > {{"type":"cancel","id":1}}
            web < {{"type":"reply","id":1,"error":{{"code":"cancelled"}}}}
            web > {{"type":"request","id":6,"action":"a"}} {data}
            web .
            "#
        ),
    );
}

/// The queue moves at most one request each 40 ms; one that may wait a second behind a hundred others cannot make it.
#[test]
fn overloaded_when_the_predicted_wait_exceeds_the_ttl() {
    let mut stage = Stage::with(|_| {});
    let mut handler = Client::serving(stage.address, "svc", "a", 1);
    let mut caller = Client::welcomed(stage.address, "web");
    let mut clock = Client::welcomed(stage.address, "clock");
    for id in 1..=100 {
        caller.call(id, "a", "");
    }
    for id in 1..=4 {
        let delivery = handler.hear();
        // Time that passes: nobody comes for this one.
        clock.say(format!(r#"{{"type":"request","id":{id},"action":"nobody","ttl":40}}"#), "");
        assert_eq!(clock.hear().code(), "no_handler");
        handler.answer(&delivery, "");
        assert_eq!(caller.hear().head["id"], id);
    }
    handler.hear();
    stage.play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":1000}
        web < {"type":"reply","id":1,"error":{"code":"overloaded","ran":"no","retry_after":$w,"message":"the queue of `a` takes about …"}}
        web > {"type":"request","id":2,"action":"a","ttl":3600000}
        web .
        "#,
    );
}

#[test]
fn conflict_when_other_data_comes_under_the_same_key() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$d} 1
        web > {"type":"request","id":2,"action":"a","key":"k"} 2
        web < {"type":"reply","id":2,"error":{"code":"conflict","ran":"no"}}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        web > {"type":"request","id":3,"action":"a","key":"k"} 2
        web < {"type":"reply","id":3,"error":{"code":"conflict","ran":"no"}}
        "#,
    );
}

/// Seed 12: every name but those of the broker can be served.
#[test]
fn denied_to_serve_or_publish_names_of_the_broker() {
    play(
        r#"
        web > {"type":"serve","action":"$echo","credit":1}
        web < {"type":"error","code":"denied","action":"$echo","fatal":null}
        web > {"type":"publish","topic":"$events.x"}
        web < {"type":"error","code":"denied","topic":"$events.x"}
        web > {"type":"publish","topic":"$events.x","id":4}
        web < {"type":"error","code":"denied","id":4}
        "#,
    );
}

/// The frame's length says that it is too large, so nobody waits for the rest of it.
#[test]
fn too_large_when_the_frame_is_over_the_limit() {
    let mut stage = play_with(
        |settings| settings.broker.max_frame = 1_024,
        r#"
        web > {"type":"request","id":1,"action":"$echo"} 1
        web < {"type":"reply","id":1} 1
        "#,
    );
    stage.client("web").say_bytes(1_025_u32.to_be_bytes());
    stage.play(
        r#"
        web < {"type":"error","code":"too_large","fatal":true,"message":"a frame of 1025 bytes is over this server's limit of 1024 (max_frame)"}
        web closed
        "#,
    );
}

#[test]
fn bad_request_says_which_member_and_the_connection_stays() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":-1}
        web < {"type":"reply","id":1,"error":{"code":"bad_request","ran":"no","message":"`ttl` must be an integer…"}}
        web > {"type":"request","action":"a"}
        web < {"type":"error","code":"bad_request","message":"member `id` is missing","fatal":null}
        web > {"type":"serve","action":"a","credit":0}
        web < {"type":"error","code":"bad_request","message":"`credit` must be an integer from 1 to 65535","fatal":null}
        web > {"type":"request","id":5,"action":"a","broadcast":true,"key":"k"}
        web < {"type":"reply","id":5,"error":{"code":"bad_request","ran":"no","message":"`key` cannot stand beside `broadcast`"}}
        web > {"type":"request","id":6,"action":"$explain"} 5
        web < {"type":"reply","id":6,"error":{"code":"bad_request","ran":"no"}}
        web > {"type":"request","id":7,"action":"$echo"} 7
        web < {"type":"reply","id":7} 7
        "#,
    );
}

/// An id names one request at a time; a second one with it does not disturb the first.
#[test]
fn bad_request_for_an_id_that_waits() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        web > {"type":"request","id":1,"action":"a"} 2
        web < {"type":"error","code":"bad_request","id":1,"fatal":null}
        web > {"type":"request","id":1,"action":"a","ttl":-1} 2
        web < {"type":"error","code":"bad_request","id":1,"fatal":null}
        svc > {"type":"reply","id":$d} 1
        web < {"type":"reply","id":1} 1
        svc .
        "#,
    );
}

/// Calls that wait are sent elsewhere at once, and so are new ones; a newcomer is told before it can ask.
#[test]
fn draining_when_the_server_goes_away() {
    let mut stage = play_with(
        |settings| settings.broker.elsewhere = vec!["10.0.0.2:7040".to_owned()],
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":2,"action":"a"}
        "#,
    );
    stage.server().running.drain(Duration::from_secs(60));
    stage.play(
        r#"
        web < {"type":"goaway","reason":"draining","after":$a,"elsewhere":["10.0.0.2:7040"]}
        web < {"type":"reply","id":2,"error":{"code":"draining","ran":"no","attempts":0}}
        web > {"type":"request","id":3,"action":"a"}
        web < {"type":"reply","id":3,"error":{"code":"draining","ran":"no","attempts":0}}
        svc < {"type":"goaway","elsewhere":["10.0.0.2:7040"]}
        "#,
    );
    let mut late = Client::greeting(stage.address, "late", &"f".repeat(32));
    assert_eq!(late.hear().code(), "draining");
    stage.play(
        r#"
        svc > {"type":"reply","id":$d} 1
        web < {"type":"reply","id":1} 1
        "#,
    );
}

#[test]
fn unavailable_when_the_store_cannot_take_it() {
    Stage::with_a_broken_disk().play(
        r#"
        web > {"type":"request","id":1,"action":"a","durable":true,"reply":false}
        web < {"type":"reply","id":1,"error":{"code":"unavailable","ran":"no"}}
        "#,
    );
}
