//! The rows of the table "a call may say".

use crate::script::{play, play_with};
use std::time::Duration;

/// Seeds 1, 3, 17: a client registers an action, another calls it and gets the answer.
#[test]
fn action_and_data_reach_the_handler_and_the_answer_comes_back() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"user.get","credit":64}
        svc < {"type":"serving","action":"user.get"}
        web > {"type":"request","id":1,"action":"user.get","timeout":2000} {"id":7}
        svc < {"type":"deliver","id":$d,"action":"user.get","from":"web","left":2000,"attempt":1,"trace":null} {"id":7}
        svc > {"type":"reply","id":$d} {"name":"Ada"}
        web < {"type":"reply","id":1,"error":null,"info":null,"part":null} {"name":"Ada"}
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().bytes), (0, 0));
}

/// Seed 5: a client may call what it serves itself.
#[test]
fn action_may_be_the_callers_own() {
    play(
        r#"
        me > {"type":"serve","action":"a","credit":1}
        me < {"type":"serving","action":"a"}
        me > {"type":"request","id":1,"action":"a"}
        me < {"type":"deliver","id":$d}
        me > {"type":"reply","id":$d} 1
        me < {"type":"reply","id":1} 1
        "#,
    );
}

#[test]
fn data_when_absent_is_nothing_and_stays_nothing() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// The broker never looks at data: what is not JSON goes through as it came.
#[test]
fn data_is_handed_on_byte_for_byte() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} {"a":1,  "a": [01,}
        svc < {"type":"deliver","id":$d} {"a":1,  "a": [01,}
        svc > {"type":"reply","id":$d} ]]]
        web < {"type":"reply","id":1} ]]]
        "#,
    );
}

/// Seeds 21, 22: it expires in the queue, and is told so.
#[test]
fn ttl_is_the_longest_it_may_wait_in_the_queue() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":2,"action":"a","ttl":100}
        +99
        web .
        +1
        web < {"type":"reply","id":2,"error":{"code":"expired","ran":"no","attempts":0,"message":"its ttl ended after 100 ms…"}}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// S8: a ttl shorter than the timeout is honoured as given, and does not end a call that a handler has.
#[test]
fn s8_ttl_says_nothing_once_a_handler_has_it() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","ttl":100,"timeout":1500}
        svc < {"type":"deliver","id":$d,"left":1500}
        +1400
        svc > {"type":"reply","id":$d} 1
        web < {"type":"reply","id":1} 1
        "#,
    );
}

#[test]
fn ttl_0_fails_at_once_unless_a_handler_is_free() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":0}
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":2,"action":"a","ttl":0}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":3,"action":"a","ttl":0}
        web < {"type":"reply","id":3,"error":{"code":"expired","ran":"no"}}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":2}
        "#,
    );
}

/// Seed 79: it waits for a handler that is not there yet.
#[test]
fn ttl_when_absent_is_as_long_as_the_timeout_allows() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","timeout":5000}
        +4999
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d,"left":1}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// Seed 19: a maximum time for the whole call, with an error of its own, and the handler is told to stop.
#[test]
fn timeout_is_the_whole_call_and_what_is_left_travels_to_the_handler() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","timeout":1000}
        +400
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d,"left":600}
        +600
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"maybe","attempts":1}}
        svc < {"type":"cancel","id":$d}
        svc > {"type":"reply","id":$d} "late"
        "#,
    );
}

/// Seed 15: the server's default holds for calls that say nothing.
#[test]
fn timeout_when_absent_is_the_servers_setting() {
    play_with(
        |settings| settings.default_timeout = Duration::from_millis(700),
        r#"
        web > {"type":"request","id":1,"action":"a"}
        svc > {"type":"serve","action":"b","credit":1}
        svc < {"type":"serving"}
        +699
        web .
        +1
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
}

#[test]
fn timeout_of_nothing_leaves_no_time() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","timeout":0}
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"no"}}
        "#,
    );
}

/// A call may be given to one handler only, unless it says otherwise.
#[test]
fn attempts_when_absent_is_1_for_a_call() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        one < {"type":"deliver","attempt":1}
        one > {"type":"bye"}
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":1}}
        two .
        "#,
    );
}

/// S6: when the worker dies, another gets it.
#[test]
fn s6_attempts_are_how_many_handlers_may_be_given_it() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","attempts":2} 5
        one < {"type":"deliver","id":$a,"attempt":1} 5
        one > {"type":"bye"}
        two < {"type":"deliver","id":$b,"attempt":2} 5
        two > {"type":"reply","id":$b,"error":{"code":"x","message":"no"}}
        web < {"type":"reply","id":1,"error":{"code":"fault","ran":"yes","attempts":2}}
        "#,
    );
}

/// What was lost with a handler may have run, so nothing that promises the opposite is said of it any more.
#[test]
fn attempts_left_do_not_make_it_unrun() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","attempts":2,"ttl":500,"timeout":2000}
        one < {"type":"deliver"}
        one > {"type":"bye"}
        +500
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":1}}
        web > {"type":"request","id":2,"action":"b","attempts":2}
        "#,
    )
    .play(
        r#"
        one returns
        one < {"type":"welcome","resumed":false}
        one > {"type":"serve","action":"b","credit":1}
        one < {"type":"serving"}
        one < {"type":"deliver"}
        one > {"type":"bye"}
        web > {"type":"cancel","id":2}
        web < {"type":"reply","id":2,"error":{"code":"cancelled","ran":"maybe"}}
        "#,
    );
}

/// A send that nobody waits for may be given to three handlers.
#[test]
fn attempts_when_absent_is_3_for_a_send() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false}
        web < {"type":"accepted","id":1}
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        one < {"type":"deliver","attempt":1}
        one > {"type":"bye"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        two < {"type":"deliver","attempt":2}
        two > {"type":"bye"}
        tre > {"type":"serve","action":"a","credit":1}
        tre < {"type":"serving"}
        tre < {"type":"deliver","attempt":3}
        tre > {"type":"bye"}
        qua > {"type":"serve","action":"a","credit":1}
        qua < {"type":"serving"}
        qua .
        "#,
    );
}

/// Without a store nothing can be on disk before it is accepted; saying so is better than accepting it.
#[test]
fn durable_is_refused_by_a_server_without_a_store() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","durable":true}
        web < {"type":"reply","id":1,"error":{"code":"unavailable","ran":"no"}}
        "#,
    );
}

/// Seed 20: fire and forget, with a word that the broker has it.
#[test]
fn reply_false_is_a_send_that_is_accepted() {
    let stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false} 1
        web < {"type":"accepted","id":1}
        web > {"type":"bye"}
        +100000
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d,"from":"web","left":86300000} 1
        svc > {"type":"reply","id":$d}
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().bytes), (0, 0));
}

#[test]
fn trace_is_passed_untouched() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        svc < {"type":"deliver","id":$d,"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// Seed 18: where the time went.
#[test]
fn info_says_where_the_time_went() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","info":true}
        +30
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d}
        +12
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1,"info":{"queued":30,"ran":12,"by":"svc"}}
        web > {"type":"request","id":2,"action":"b","info":true,"ttl":40}
        +40
        web < {"type":"reply","id":2,"error":{"code":"no_handler"},"info":{"queued":40,"ran":null,"by":null}}
        "#,
    );
}

/// Seed 16: a pause between two deliveries of an action, if the operator wants one.
#[test]
fn dispatch_interval_spaces_the_deliveries_of_an_action() {
    play_with(
        |settings| settings.dispatch_interval = Duration::from_millis(50),
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","reply":false}
        web < {"type":"accepted","id":1}
        web > {"type":"request","id":2,"action":"a","reply":false}
        web < {"type":"accepted","id":2}
        web > {"type":"request","id":3,"action":"a","reply":false}
        web < {"type":"accepted","id":3}
        svc < {"type":"deliver"}
        svc .
        +49
        svc .
        +1
        svc < {"type":"deliver"}
        svc .
        +50
        svc < {"type":"deliver"}
        "#,
    );
}
