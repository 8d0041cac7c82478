//! Replies that a session keeps until they are acknowledged: how many, and what is remembered of those that went.

use crate::script::play_with;
use std::time::Duration;

/// Who never acknowledges loses the oldest, nothing else.
#[test]
fn kept_replies_are_bounded_and_the_oldest_go_first() {
    let mut stage = play_with(
        |settings| settings.limits.kept_replies_per_session = 2,
        r#"
        web > {"type":"request","id":1,"action":"$echo"} 1
        web < {"type":"reply","id":1} 1
        web > {"type":"request","id":2,"action":"$echo"} 2
        web < {"type":"reply","id":2} 2
        web > {"type":"request","id":3,"action":"$echo"} 3
        web < {"type":"reply","id":3} 3
        "#,
    );
    assert_eq!(stage.held().kept_replies, 2);
    stage.play(r#"web > {"type":"ack","replies":2}"#);
    assert_eq!(stage.held().kept_replies, 1, "numbers count those that were dropped");
    stage.play(r#"web > {"type":"ack","replies":3}"#);
    assert_eq!(stage.held().kept_replies, 0);
}

/// More answers than a session may keep came while its caller was away: the oldest went without a trace. Announced again, those calls were taken for
/// new ones and ran again, although each had one attempt. Parts of a stream count, too, so this took no client with many calls.
#[test]
fn a_call_whose_answer_went_is_not_run_again() {
    play_with(
        |settings| settings.limits.kept_replies_per_session = 2,
        r#"
        svc > {"type":"serve","action":"work","credit":9}
        svc < {"type":"serving","action":"work"}
        web > {"type":"request","id":1,"action":"work"} 1
        svc < {"type":"deliver","id":$a} 1
        web > {"type":"request","id":2,"action":"work"} 2
        svc < {"type":"deliver","id":$b} 2
        web > {"type":"request","id":3,"action":"work"} 3
        svc < {"type":"deliver","id":$c} 3
        web breaks
        svc > {"type":"reply","id":$a} 1
        svc > {"type":"reply","id":$b} 2
        svc > {"type":"reply","id":$c} 3
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"work"} 1
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        web > {"type":"request","id":2,"action":"work"} 2
        web < {"type":"reply","id":2} 2
        web > {"type":"request","id":3,"action":"work"} 3
        web < {"type":"reply","id":3} 3
        svc .
        "#,
    );
}

/// An answer in parts, of which some went while its caller was away, ended as if it were whole.
#[test]
fn an_answer_of_which_parts_went_is_told_to_be_lost() {
    play_with(
        |settings| settings.limits.kept_replies_per_session = 2,
        r#"
        svc > {"type":"serve","action":"work","credit":9}
        svc < {"type":"serving","action":"work"}
        web > {"type":"request","id":1,"action":"work"} 1
        svc < {"type":"deliver","id":$a} 1
        web breaks
        svc > {"type":"reply","id":$a,"part":true} 1
        svc > {"type":"reply","id":$a,"part":true} 2
        svc > {"type":"reply","id":$a,"part":true} 3
        svc > {"type":"reply","id":$a} 4
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"work"} 1
        web < {"type":"reply","id":1,"part":null,"error":{"code":"handler_lost","ran":"maybe"}}
        "#,
    );
}

/// Once the replies of earlier connections had arrived for certain, what went on this one was forgotten with them, and a call ran twice.
#[test]
fn what_went_on_this_connection_is_remembered_beyond_the_grace_time() {
    play_with(
        |settings| {
            settings.limits.kept_replies_per_session = 2;
            settings.heartbeat = Duration::from_secs(60);
        },
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":60,"action":"b"}
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$x}
        svc > {"type":"reply","id":$x} 1
        web > {"type":"request","id":2,"action":"a"}
        svc < {"type":"deliver","id":$y}
        svc > {"type":"reply","id":$y} 2
        web > {"type":"request","id":3,"action":"a"}
        svc < {"type":"deliver","id":$z}
        svc > {"type":"reply","id":$z} 3
        web < {"type":"reply","id":1} 1
        web < {"type":"reply","id":2} 2
        web < {"type":"reply","id":3} 3
        +5000
        web > {"type":"ping"}
        web < {"type":"pong"}
        +6000
        web > {"type":"ping"}
        web < {"type":"pong"}
        +5000
        web > {"type":"ping"}
        web < {"type":"pong"}
        +5000
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a"}
        svc .
        web < {"type":"reply","id":1,"error":{"code":"handler_lost"}}
        "#,
    );
}

/// The part of a call that still runs went, and its last answer looked like a whole one. Its number says that something is missing.
#[test]
fn after_parts_the_last_reply_has_a_number_so_that_a_hole_is_seen() {
    play_with(
        |settings| settings.limits.kept_replies_per_session = 2,
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        svc < {"type":"deliver","id":$x}
        svc < {"type":"deliver","id":$y}
        svc < {"type":"deliver","id":$z}
        web breaks
        svc > {"type":"reply","id":$x,"part":true,"seq":1} 1
        svc > {"type":"reply","id":$y} 2
        svc > {"type":"reply","id":$z} 3
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        web < {"type":"reply","id":2} 2
        web < {"type":"reply","id":3} 3
        svc > {"type":"reply","id":$x} 9
        web < {"type":"reply","id":1,"part":null,"seq":2} 9
        "#,
    );
}

/// What had gone on an earlier connection kept acknowledged parts of this one remembered, and their whole answer was told to be lost.
#[test]
fn what_is_acknowledged_is_forgotten_whatever_went_before() {
    play_with(
        |settings| settings.limits.kept_replies_per_session = 2,
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        web > {"type":"request","id":4,"action":"a"}
        svc < {"type":"deliver","id":$x}
        svc < {"type":"deliver","id":$y}
        svc < {"type":"deliver","id":$z}
        svc < {"type":"deliver","id":$s}
        web breaks
        svc > {"type":"reply","id":$x} 1
        svc > {"type":"reply","id":$y} 2
        svc > {"type":"reply","id":$z} 3
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        web > {"type":"request","id":4,"action":"a"}
        web < {"type":"reply","id":1,"error":{"code":"handler_lost"}}
        web < {"type":"reply","id":2} 2
        web < {"type":"reply","id":3} 3
        web > {"type":"ack","replies":3}
        svc > {"type":"reply","id":$s,"part":true,"seq":1} 1
        svc > {"type":"reply","id":$s,"part":true,"seq":2} 2
        svc > {"type":"reply","id":$s,"part":true,"seq":3} 3
        web < {"type":"reply","id":4,"seq":1} 1
        web < {"type":"reply","id":4,"seq":2} 2
        web < {"type":"reply","id":4,"seq":3} 3
        web > {"type":"ack","replies":6}
        web breaks
        svc > {"type":"reply","id":$s} 4
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":4,"action":"a"}
        web < {"type":"reply","id":4,"seq":4} 4
        "#,
    );
}
