//! Connections that break and come back.

use crate::script::{play, play_with};
use answerback_broker::Note;
use std::time::Duration;

/// Seeds 10, 28: a caller that is away for a moment finds its answer.
#[test]
fn a_reply_is_kept_for_a_caller_that_is_away() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web breaks
        svc > {"type":"reply","id":$d} 5
        +9000
        web returns
        web < {"type":"welcome","resumed":true,"restarted":null}
        web .
        web > {"type":"request","id":1,"action":"a"}
        web < {"type":"reply","id":1} 5
        svc .
        web > {"type":"ack","replies":1}
        "#,
    );
    assert_eq!(stage.held().kept_replies, 0);
}

/// A reply that was sent may have been lost on the way; only an acknowledgement says that it was not.
#[test]
fn a_reply_that_was_not_acknowledged_is_sent_again() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        svc < {"type":"deliver","id":$a}
        svc < {"type":"deliver","id":$b}
        svc > {"type":"reply","id":$a} 1
        svc > {"type":"reply","id":$b} 2
        web < {"type":"reply","id":1} 1
        web > {"type":"ack","replies":1}
        web < {"type":"reply","id":2} 2
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":2,"action":"a"}
        web < {"type":"reply","id":2} 2
        svc .
        "#,
    );
}

/// What a client that is heard after the grace time has not announced again, it had received. One that is not heard may
/// never have read its welcome: dropping its replies once made its calls run again.
#[test]
fn a_reply_that_is_not_announced_again_is_dropped() {
    let mut stage = play_with(
        |settings| settings.heartbeat = Duration::from_secs(60),
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$a}
        svc > {"type":"reply","id":$a} 1
        web < {"type":"reply","id":1} 1
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        "#,
    );
    stage.pass(10_000);
    assert_eq!(stage.held().kept_replies, 1, "the new link may be dead");
    stage.play(
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        +10000
        web > {"type":"ping"}
        web < {"type":"pong"}
        "#,
    );
    assert_eq!(stage.held().kept_replies, 1);
    stage.pass(10_000);
    assert_eq!(stage.held().kept_replies, 0);
}

/// A client that never announces a call again is answered all the same, once it has surely announced all that it will.
#[test]
fn an_answer_does_not_wait_for_an_announcement_for_ever() {
    let stage = play_with(
        |settings| settings.heartbeat = Duration::from_secs(60),
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","timeout":60000}
        svc < {"type":"deliver","id":$a}
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"ping"}
        web < {"type":"pong"}
        +10000
        web > {"type":"ping"}
        web < {"type":"pong"}
        +10000
        svc > {"type":"reply","id":$a} 1
        web < {"type":"reply","id":1} 1
        web > {"type":"ack","replies":1}
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().kept_replies), (0, 0));
}

/// Who comes back and finds more than is kept is told that the answer is lost. The call must not run again.
#[test]
fn a_reply_too_large_to_keep_is_not_taken_for_a_new_call() {
    let stage = play_with(
        |settings| settings.limits.kept_reply_bytes_per_session = 300,
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        svc < {"type":"deliver","id":$a}
        svc < {"type":"deliver","id":$b}
        web breaks
        svc > {"type":"reply","id":$a} "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        svc > {"type":"reply","id":$b} 2
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a"}
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","message":"--kept-reply-bytes…"}}
        web > {"type":"request","id":2,"action":"a"}
        web < {"type":"reply","id":2,"error":null} 2
        svc .
        web > {"type":"ack","replies":2}
        "#,
    );
    assert_eq!(stage.held().kept_replies, 0);
}

#[test]
fn an_announced_request_that_waits_stays_what_it_is() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","timeout":5000} 1
        web breaks
        +1000
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a","timeout":5000} 1
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d,"left":4000} 1
        svc .
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

#[test]
fn an_announced_request_that_is_not_known_is_new() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"subscribe","topic":"t"}
        web < {"type":"subscribed"}
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver"}
        "#,
    );
}

/// A call ends on the new connection before its caller has announced it again: the answer waits for the announcement. The
/// two once crossed, and what was announced was taken for a new request, so that it ran twice and was answered twice.
#[test]
fn an_announced_request_that_was_answered_a_moment_before_is_not_new() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        svc < {"type":"deliver","id":$a} 1
        svc < {"type":"deliver","id":$b} 2
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        svc > {"type":"reply","id":$a} 11
        web .
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a"} 1
        web < {"type":"reply","id":1} 11
        web > {"type":"request","id":2,"action":"a"} 2
        web .
        svc .
        svc > {"type":"reply","id":$b} 22
        web < {"type":"reply","id":2} 22
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a"} 1
        web < {"type":"reply","id":1} 11
        svc .
        "#,
    );
    assert_eq!(stage.held().requests, 0);
}

/// A send whose `accepted` was lost on the way must not run twice; a new send may have any id on its own connection.
#[test]
fn a_send_that_was_accepted_is_accepted_again_and_not_run_again() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","reply":false}
        svc < {"type":"deliver"}
        web < {"type":"accepted","id":1}
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a","reply":false}
        web < {"type":"accepted","id":1}
        svc .
        web > {"type":"request","id":2,"action":"a","reply":false}
        web < {"type":"accepted","id":2}
        svc < {"type":"deliver"}
        "#,
    );
}

/// What a handler has taken in it still holds; what was on the way never arrived and goes to the front, unrun.
#[test]
fn resume_says_what_is_held_and_the_rest_never_arrived() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":3}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"a"} 3
        web > {"type":"request","id":4,"action":"a"} 4
        svc < {"type":"deliver","id":$a} 1
        svc < {"type":"deliver","id":$b} 2
        svc < {"type":"deliver","id":$c} 3
        svc breaks
        +100
        svc returns
        svc < {"type":"welcome","resumed":true}
        svc .
        svc > {"type":"reply","id":$a} 11
        web < {"type":"reply","id":1} 11
        svc .
        svc > {"type":"resume","holding":[$b]}
        svc < {"type":"deliver","id":$e,"attempt":1} 3
        svc < {"type":"deliver","id":$f} 4
        svc > {"type":"reply","id":$b} 22
        web < {"type":"reply","id":2,"error":null} 22
        "#,
    );
}

#[test]
fn resume_may_come_in_pieces() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":3}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        svc < {"type":"deliver","id":$a} 1
        svc < {"type":"deliver","id":$b} 2
        svc breaks
        svc returns
        svc < {"type":"welcome"}
        svc > {"type":"resume","holding":[$a],"more":true}
        svc > {"type":"resume","holding":[$b]}
        svc .
        "#,
    );
}

/// A handler that holds what has been given up meanwhile is told so, and its credit comes back when it answers.
#[test]
fn resume_with_what_was_given_up_is_told_to_cancel() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","timeout":500} 1
        svc < {"type":"deliver","id":$a} 1
        svc breaks
        +500
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"maybe"}}
        web > {"type":"request","id":2,"action":"a"} 2
        svc returns
        svc < {"type":"welcome","resumed":true}
        svc > {"type":"resume","holding":[$a,77]}
        svc < {"type":"cancel","id":77}
        svc < {"type":"cancel","id":$a}
        svc .
        svc > {"type":"reply","id":$a}
        svc < {"type":"deliver"} 2
        "#,
    );
}

/// A client that comes back and says nothing of what it holds has lost it.
#[test]
fn without_resume_what_it_had_is_lost_after_the_grace_time() {
    play_with(
        |settings| settings.heartbeat = Duration::from_secs(60),
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        web > {"type":"request","id":2,"action":"a"} 2
        svc breaks
        +5000
        svc returns
        svc < {"type":"welcome","resumed":true}
        +9999
        web .
        +1
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        svc < {"type":"deliver"} 2
        "#,
    );
}

/// Seed 22 of what must be survived: clients that die without a good-bye are counted right.
#[test]
fn s22_sessions_end_when_the_grace_time_has_passed() {
    let mut stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        idle > {"type":"ping"}
        idle < {"type":"pong"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web breaks
        idle breaks
        "#,
    );
    assert_eq!(stage.held().sessions, 3);
    stage.play(
        r#"
        +10000
        svc < {"type":"cancel","id":$d}
        "#,
    );
    assert_eq!((stage.held().sessions, stage.held().requests), (1, 0));
    let closed = stage.notes.iter().filter(|note| matches!(note, Note::SessionClosed { .. })).count();
    assert_eq!(closed, 2, "both that were away");
}

/// Half-open connections happen: the network went away and only the client has noticed. The newer one is right.
#[test]
fn the_newest_connection_of_a_session_wins() {
    let mut stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a"}
        "#,
    );
    let old = answerback_broker::ConnectionId::new(0, 1, 1);
    stage.play(
        r#"
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a"}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d}
        svc .
        "#,
    );
    assert!(stage.notes.iter().any(
        |note| matches!(note, Note::ConnectionRefused { connection, code, .. } if *connection == old && code.as_str() == "replaced")
    ));
    use answerback_broker::{Disconnect, Input};
    stage.input(Input::Disconnected { connection: old, reason: Disconnect::Asked });
    stage.play(
        r#"
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// A client that has said nothing but hello may not have read its welcome: it would not know that the session before had
/// ended. So it is told again that its session is new, also while the first connection seems open.
#[test]
fn a_session_that_said_nothing_after_hello_is_new_again() {
    let mut stage = play("");
    stage.open("web", 1);
    let hello = r#"web > {"type":"hello","protocol":[1,1],"name":"web","session":"00000000000000000000000000000001"}
                   web < {"type":"welcome","resumed":false}"#;
    stage.play(hello);
    stage.open("web", 1);
    stage.play(hello);
    stage.play(
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        web returns
        web < {"type":"welcome","resumed":true}
        "#,
    );
    assert_eq!(stage.held().sessions, 1);
}

/// What a client said may have been lost on the way, so its session stays for the grace time though nothing is known of
/// it. When sessions run out, one that would lose nothing makes room.
#[test]
fn sessions_stay_for_the_grace_time_unless_room_is_needed() {
    let mut stage = play_with(
        |settings| settings.limits.sessions = 2,
        r#"
        one > {"type":"ping"}
        one < {"type":"pong"}
        two > {"type":"request","id":1,"action":"a"}
        one breaks
        two breaks
        "#,
    );
    assert_eq!(stage.held().sessions, 2);
    stage.play(
        r#"
        tre > {"type":"ping"}
        tre < {"type":"pong"}
        two returns
        two < {"type":"welcome","resumed":true}
        "#,
    );
    assert_eq!(stage.held().sessions, 2);
}

/// Seed 84: a client that says good-bye is gone at once.
#[test]
fn bye_ends_the_session_at_once() {
    let stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"bye"}
        web closed
        web returns
        web < {"type":"welcome","resumed":false}
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().sessions), (0, 1));
}

#[test]
fn parts_that_were_not_acknowledged_come_again_with_their_numbers() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$a}
        svc > {"type":"reply","id":$a,"part":true} 1
        svc > {"type":"reply","id":$a,"part":true} 2
        web < {"type":"reply","id":1,"seq":1} 1
        web > {"type":"ack","replies":1}
        web < {"type":"reply","id":1,"seq":2} 2
        web breaks
        svc > {"type":"reply","id":$a,"part":true} 3
        web returns
        web < {"type":"welcome"}
        svc > {"type":"reply","id":$a,"part":true} 4
        web > {"type":"request","id":1,"action":"a"}
        web < {"type":"reply","id":1,"seq":2} 2
        web < {"type":"reply","id":1,"seq":3} 3
        web < {"type":"reply","id":1,"seq":4} 4
        svc > {"type":"reply","id":$a} 4
        web < {"type":"reply","id":1,"part":null} 4
        "#,
    );
}

/// The broker tells handlers which of their replies it has, soon and not one by one.
#[test]
fn replies_of_handlers_are_acknowledged_within_250_ms_or_128() {
    let mut stage = play(
        r#"
        svc > {"type":"reply","id":1}
        svc > {"type":"reply","id":2}
        +249
        svc .
        svc > {"type":"reply","id":3}
        +1
        svc < {"type":"ack","replies":3}
        "#,
    );
    for id in 0..127 {
        stage.play(&format!(r#"svc > {{"type":"reply","id":{id}}}"#));
    }
    stage.play(
        r#"
        svc > {"type":"reply","id":500}
        svc < {"type":"ack","replies":131}
        +1000
        svc > {"type":"reply","id":501}
        +250
        svc < {"type":"ack","replies":132}
        "#,
    );
}

/// A grace time of nothing once made the broker look for ever whether it was over.
#[test]
fn a_grace_time_of_nothing_does_not_hang() {
    let mut stage = play_with(
        |settings| settings.session_grace = Duration::ZERO,
        r#"
        web > {"type":"request","id":1,"action":"$echo"} 1
        web < {"type":"reply","id":1} 1
        web returns
        web < {"type":"welcome","resumed":true}
        "#,
    );
    stage.pass(1_000);
    assert_eq!(stage.held().sessions, 1);
}

/// What others keep must not make this one's call run twice: over the limit of all sessions data is given up, notes are not.
#[test]
fn what_others_keep_does_not_make_a_call_run_twice() {
    let data = "x".repeat(300);
    play_with(
        |settings| settings.limits.kept_reply_bytes_in_all = 500,
        &format!(
            r#"
        svc > {{"type":"serve","action":"a","credit":9}}
        svc < {{"type":"serving"}}
        other > {{"type":"request","id":1,"action":"$echo"}} "{data}"
        other < {{"type":"reply","id":1}} "{data}"
        web > {{"type":"request","id":1,"action":"a"}}
        svc < {{"type":"deliver","id":$a}}
        web breaks
        svc > {{"type":"reply","id":$a}} "{data}"
        web returns
        web < {{"type":"welcome","resumed":true}}
        web > {{"type":"request","id":1,"action":"a"}}
        web < {{"type":"reply","id":1,"error":{{"code":"handler_lost","ran":"maybe"}}}}
        svc .
        "#
        ),
    );
}
