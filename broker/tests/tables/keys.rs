//! Idempotency keys.

use crate::script::{play, play_with};
use std::time::Duration;

#[test]
fn key_joins_a_call_that_runs() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$d} 1
        app > {"type":"request","id":9,"action":"a","key":"k"} 1
        svc .
        svc > {"type":"reply","id":$d} "once"
        web < {"type":"reply","id":1} "once"
        app < {"type":"reply","id":9} "once"
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().bytes, stage.held().stored_replies), (0, 0, 1));
}

#[test]
fn key_gets_the_stored_reply_later_until_it_is_old() {
    let mut stage = play_with(
        |settings| settings.limits.stored_reply_age = Duration::from_secs(60),
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d} "once"
        web < {"type":"reply","id":1} "once"
        web > {"type":"request","id":2,"action":"a","key":"k"} 1
        web < {"type":"reply","id":2} "once"
        web > {"type":"request","id":3,"action":"b","key":"k"} 1
        svc .
        web > {"type":"request","id":4,"action":"a","key":"k","reply":false} 1
        web < {"type":"accepted","id":4}
        svc .
        web > {"type":"cancel","id":3}
        web < {"type":"reply","id":3}
        svc > {"type":"bye"}
        app > {"type":"serve","action":"a","credit":9}
        app < {"type":"serving"}
        "#,
    );
    stage.pass(60_000);
    assert_eq!(stage.held().stored_replies, 0);
}

/// A fault that is retryable, and errors of the broker, free the key: a new try may succeed.
#[test]
fn key_is_free_again_when_there_is_no_answer_worth_keeping() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$a} 1
        svc > {"type":"reply","id":$a,"error":{"code":"busy","message":"later","retryable":true}}
        web < {"type":"reply","id":1,"error":{"code":"fault"}}
        web > {"type":"request","id":2,"action":"a","key":"k"} 2
        svc < {"type":"deliver","id":$b} 2
        svc > {"type":"reply","id":$b,"error":{"code":"gone","message":"never","retryable":false}} "x"
        web < {"type":"reply","id":2,"error":{"code":"fault"}} "x"
        web > {"type":"request","id":3,"action":"a","key":"k"} 2
        web < {"type":"reply","id":3,"error":{"code":"fault","fault":{"code":"gone"}}} "x"
        web > {"type":"request","id":4,"action":"b","key":"k","ttl":10}
        +10
        web < {"type":"reply","id":4,"error":{"code":"no_handler"}}
        web > {"type":"request","id":5,"action":"b","key":"k"} 3
        web .
        "#,
    );
}

/// The first caller may go; as long as another waits, the work goes on.
#[test]
fn key_work_goes_on_while_anybody_waits_for_it() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$d} 1
        app > {"type":"request","id":9,"action":"a","key":"k"} 1
        web > {"type":"cancel","id":1}
        web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"maybe"}}
        svc .
        svc > {"type":"reply","id":$d} 2
        app < {"type":"reply","id":9} 2
        "#,
    );
}

#[test]
fn key_work_is_cancelled_when_nobody_waits_any_more() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$d} 1
        app > {"type":"request","id":9,"action":"a","key":"k","timeout":500} 1
        web > {"type":"bye"}
        svc .
        +500
        svc < {"type":"cancel","id":$d}
        app < {"type":"reply","id":9,"error":{"code":"timeout","ran":"maybe"}}
        app > {"type":"request","id":10,"action":"a","key":"k"} 2
        svc < {"type":"deliver","id":$e} 2
        "#,
    );
    assert_eq!(stage.held().requests, 1);
}

/// Who joins shares the fate of the first.
#[test]
fn key_joiners_share_the_end_of_the_first() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","key":"k","timeout":100} 1
        app > {"type":"request","id":9,"action":"a","key":"k","timeout":9000} 1
        +100
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        app < {"type":"reply","id":9,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
}

#[test]
fn stored_replies_are_bounded_by_count_and_bytes() {
    let stage = play_with(
        |settings| settings.limits.stored_replies = 2,
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k1"}
        svc < {"type":"deliver","id":$a}
        svc > {"type":"reply","id":$a}
        web < {"type":"reply","id":1}
        web > {"type":"request","id":2,"action":"a","key":"k2"}
        svc < {"type":"deliver","id":$b}
        svc > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        web > {"type":"request","id":3,"action":"a","key":"k3"}
        svc < {"type":"deliver","id":$c}
        svc > {"type":"reply","id":$c}
        web < {"type":"reply","id":3}
        web > {"type":"request","id":4,"action":"a","key":"k3"}
        web < {"type":"reply","id":4}
        web > {"type":"request","id":5,"action":"a","key":"k1"}
        svc < {"type":"deliver"}
        "#,
    );
    assert_eq!(stage.held().stored_replies, 2);
}

/// A call that others have joined is cancelled for its caller alone: the work goes on, so nobody may say that it did not run.
#[test]
fn key_cancelled_for_one_may_still_run_for_the_others() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        app > {"type":"request","id":9,"action":"a","key":"k"} 1
        web > {"type":"cancel","id":1}
        web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"maybe"}}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d} 2
        app < {"type":"reply","id":9} 2
        "#,
    );
}

/// A send that joined a call was once lost without a word when the caller of that call left.
#[test]
fn key_of_a_call_that_a_send_has_joined_runs_for_the_send() {
    let stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        app > {"type":"request","id":9,"action":"a","key":"k","reply":false} 1
        app < {"type":"accepted","id":9}
        web > {"type":"bye"}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d} 2
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().bytes), (0, 0));
}
