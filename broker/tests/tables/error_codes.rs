//! The rows of the table of error codes: each code, its `ran`, and when it is said.

use crate::script::{play, play_with};

/// Seed 23 and S7: told at once, or when its time has ended and nobody ever came.
#[test]
fn no_handler_when_nobody_ever_served_it_while_it_waited() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":0}
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no","message":"nobody serves `a`…"}}
        web > {"type":"request","id":2,"action":"a","ttl":100}
        +100
        web < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":3,"action":"a","timeout":100}
        +100
        web < {"type":"reply","id":3,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
}

#[test]
fn expired_when_its_ttl_ended_in_the_queue() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":100}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":2,"action":"a","ttl":100}
        svc > {"type":"unserve","action":"a"}
        svc < {"type":"unserved","action":"a"}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        +100
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
        +1
        web > {"type":"request","id":2,"action":"a","timeout":100}
        +99
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"maybe","attempts":1}}
        svc < {"type":"cancel","id":$d}
        +1
        web < {"type":"reply","id":2,"error":{"code":"timeout","ran":"no","attempts":0}}
        svc > {"type":"release","id":$d}
        svc .
        "#,
    );
}

#[test]
fn handler_lost_when_its_session_did_not_come_back() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        svc breaks
        +9999
        web .
        +1
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":1}}
        "#,
    );
}

/// Seed 24 and S5: the handler's error reaches the caller with its text, and the handler goes on.
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
        web < {"type":"reply","id":2,"error":{"code":"cancelled","ran":"no"}}
        web > {"type":"cancel","id":1}
        svc < {"type":"cancel","id":$d}
        web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"maybe"}}
        web > {"type":"cancel","id":1}
        svc > {"type":"reply","id":$d}
        web .
        "#,
    );
}

/// S15: what its caller no longer wants does not run.
#[test]
fn s15_cancelled_when_the_caller_left() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"bye"}
        svc < {"type":"cancel","id":$d}
        svc > {"type":"reply","id":$d}
        svc .
        "#,
    );
    assert_eq!(stage.held().requests, 0);
}

#[test]
fn overloaded_when_the_queue_is_full_by_count() {
    play_with(
        |settings| settings.limits.requests_per_action = 2,
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
    play_with(
        |settings| {
            settings.limits.bytes_per_action = 600;
            settings.limits.bytes_in_all = 1_000;
        },
        r#"
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 1
        web > {"type":"request","id":3,"action":"a"} 1
        web < {"type":"reply","id":3,"error":{"code":"overloaded","ran":"no","retry_after":1000,"message":"--max-queue-bytes…"}}
        web > {"type":"request","id":4,"action":"b"} 1
        web > {"type":"request","id":5,"action":"c"} 1
        web < {"type":"reply","id":5,"error":{"code":"overloaded","ran":"no","message":"--max-memory…"}}
        web > {"type":"cancel","id":1}
        web < {"type":"reply","id":1,"error":{"code":"cancelled"}}
        web > {"type":"request","id":6,"action":"a"} 1
        web .
        "#,
    );
}

/// The queue moves one request each 100 ms; one that may wait 250 ms behind four others cannot make it.
#[test]
fn overloaded_when_the_predicted_wait_exceeds_the_ttl() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$a}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        web > {"type":"request","id":4,"action":"a"}
        web > {"type":"request","id":5,"action":"a"}
        web > {"type":"request","id":6,"action":"a"}
        +100
        svc > {"type":"reply","id":$a}
        web < {"type":"reply","id":1}
        svc < {"type":"deliver","id":$b}
        +100
        svc > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        svc < {"type":"deliver","id":$c}
        web > {"type":"request","id":7,"action":"a","ttl":250}
        web < {"type":"reply","id":7,"error":{"code":"overloaded","ran":"no","retry_after":150}}
        web > {"type":"request","id":8,"action":"a","ttl":1000}
        web .
        "#,
    );
}

#[test]
fn conflict_when_another_payload_comes_under_the_same_key() {
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

#[test]
fn bad_request_says_which_member_and_the_connection_stays() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":-1}
        web < {"type":"reply","id":1,"error":{"code":"bad_request","ran":"no","message":"`ttl` must be an integer…"}}
        web > {"type":"request","action":"a"}
        web < {"type":"error","code":"bad_request","message":"member `id` is missing","fatal":null}
        web > {"type":"serve","action":"a","credit":0}
        web < {"type":"error","code":"bad_request","message":"`credit` must be an integer from 1 to 65535"}
        web > {"type":"fly","id":3}
        web < {"type":"error","code":"bad_request","id":null,"message":"type `fly` is not known here"}
        web > {"type":"publish","id":4,"topic":"a.*"}
        web < {"type":"error","code":"bad_request","id":4}
        web > {"type":"request","id":5,"action":"a","broadcast":true,"key":"k"}
        web < {"type":"reply","id":5,"error":{"code":"bad_request","ran":"no","message":"`key` cannot stand beside `broadcast`"}}
        web > {"type":"ping"}
        web < {"type":"pong"}
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
        web < {"type":"error","code":"bad_request","id":1}
        web > {"type":"request","id":1,"action":"a","ttl":-1} 2
        web < {"type":"error","code":"bad_request","id":1}
        svc > {"type":"reply","id":$d} 1
        web < {"type":"reply","id":1} 1
        web > {"type":"request","id":1,"action":"a"} 3
        svc < {"type":"deliver","id":$e} 3
        svc > {"type":"reply","id":$e}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// `too_large` ends the connection, because where the next frame begins is not known.
#[test]
fn too_large_ends_the_connection() {
    use answerback_broker::Input;
    use answerback_protocol::envelope::Envelope;
    let mut stage = play(
        r#"web > {"type":"ping"}
                            web < {"type":"pong"}"#,
    );
    let error = Envelope::peek(&u32::MAX.to_be_bytes(), 1_024).unwrap_err();
    let connection = answerback_broker::ConnectionId::new(0, 1, 1);
    stage.input(Input::NotAFrame { connection, error });
    stage.play(
        r#"
        web < {"type":"error","code":"too_large","fatal":true,"message":"a frame of 4294967295 bytes is over this server's limit of 1024 (max_frame)"}
        web closed
        "#,
    );
}

#[test]
fn draining_when_the_server_goes_away() {
    play(
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        drain 1000
        web < {"type":"goaway","reason":"draining","after":0}
        web > {"type":"request","id":1,"action":"a"}
        web < {"type":"reply","id":1,"error":{"code":"draining","ran":"no"}}
        "#,
    );
}

#[test]
fn unavailable_when_the_store_cannot_take_it() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","durable":true,"reply":false}
        web < {"type":"reply","id":1,"error":{"code":"unavailable","ran":"no"}}
        "#,
    );
}
