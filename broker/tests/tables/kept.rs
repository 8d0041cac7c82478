//! Replies that a session keeps until they are acknowledged: how many, and what is remembered of those that went.

use crate::script::play_with;

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
