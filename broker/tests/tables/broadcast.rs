//! One request for every handler.

use crate::script::play;

/// Seeds 25, 26: every handler gets it, every answer comes back tagged, and the counts end it.
#[test]
fn broadcast_reaches_all_and_gathers_all_answers() {
    let stage = play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        tre > {"type":"serve","action":"a","credit":1}
        tre < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","broadcast":true,"trace":"t"} 7
        one < {"type":"deliver","id":$a,"from":"web","trace":"t"} 7
        two < {"type":"deliver","id":$b} 7
        tre < {"type":"deliver","id":$c} 7
        two > {"type":"reply","id":$b} 2
        web < {"type":"reply","id":1,"part":true,"seq":1,"from":"two"} 2
        one > {"type":"reply","id":$a,"error":{"code":"x","message":"no"}} "why"
        web < {"type":"reply","id":1,"part":true,"seq":2,"from":"one","error":{"code":"fault","ran":"yes"}} "why"
        tre > {"type":"bye"}
        web < {"type":"reply","id":1,"part":true,"seq":3,"from":"tre","error":{"code":"handler_lost","ran":"maybe"}}
        web < {"type":"reply","id":1,"part":null,"error":null,"gather":{"expected":3,"answered":1,"failed":1,"lost":1}}
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().bytes), (0, 0));
}

#[test]
fn broadcast_to_nobody_is_no_handler_at_once() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","broadcast":true,"ttl":5000}
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        one breaks
        web > {"type":"request","id":2,"action":"a","broadcast":true,"ttl":5000}
        web < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
}

/// Credit holds for broadcasts too: who is busy gets its part next, before other work.
#[test]
fn broadcast_waits_for_credit_and_goes_first() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        one < {"type":"deliver","id":$a} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"a","broadcast":true} 3
        one .
        one > {"type":"reply","id":$a}
        web < {"type":"reply","id":1}
        one < {"type":"deliver","id":$b} 3
        one > {"type":"reply","id":$b} 33
        web < {"type":"reply","id":3,"part":true,"from":"one"} 33
        web < {"type":"reply","id":3,"gather":{"expected":1,"answered":1,"failed":0,"lost":0}}
        one < {"type":"deliver"} 2
        "#,
    );
}

#[test]
fn broadcast_ends_at_its_deadline_with_what_has_come() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","broadcast":true,"timeout":100}
        one < {"type":"deliver","id":$a}
        two < {"type":"deliver","id":$b}
        one > {"type":"reply","id":$a} 1
        web < {"type":"reply","id":1,"part":true,"from":"one"} 1
        +100
        two < {"type":"cancel","id":$b}
        web < {"type":"reply","id":1,"part":true,"from":"two","error":{"code":"timeout","ran":"maybe"}}
        web < {"type":"reply","id":1,"gather":{"expected":2,"answered":1,"failed":0,"lost":1}}
        "#,
    );
}

#[test]
fn broadcast_part_that_waits_for_credit_expires_with_its_ttl() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        one < {"type":"deliver"}
        web > {"type":"request","id":2,"action":"a","broadcast":true,"ttl":100}
        +100
        web < {"type":"reply","id":2,"part":true,"from":"one","error":{"code":"expired","ran":"no"}}
        web < {"type":"reply","id":2,"gather":{"expected":1,"answered":0,"failed":0,"lost":1}}
        "#,
    );
}

#[test]
fn broadcast_cancelled_tells_every_handler() {
    let stage = play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        one < {"type":"deliver","id":$x}
        web > {"type":"request","id":2,"action":"a","broadcast":true}
        two < {"type":"deliver","id":$y}
        web > {"type":"cancel","id":2}
        two < {"type":"cancel","id":$y}
        web < {"type":"reply","id":2,"error":{"code":"cancelled","ran":"maybe"},"gather":{"expected":2,"lost":2}}
        one > {"type":"reply","id":$x}
        web < {"type":"reply","id":1}
        two > {"type":"release","id":$y}
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().bytes), (0, 0));
}

#[test]
fn broadcast_without_reply_is_accepted_and_delivered() {
    let stage = play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","broadcast":true,"reply":false} 1
        web < {"type":"accepted","id":1}
        one < {"type":"deliver","id":$a} 1
        one > {"type":"reply","id":$a}
        "#,
    );
    assert_eq!(stage.held().requests, 0);
}

#[test]
fn broadcast_part_goes_with_a_handler_that_stops_serving() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        one < {"type":"deliver","id":$a}
        web > {"type":"request","id":2,"action":"a","broadcast":true}
        one > {"type":"unserve","action":"a"}
        web < {"type":"reply","id":2,"part":true,"from":"one","error":{"code":"no_handler","ran":"no"}}
        web < {"type":"reply","id":2,"gather":{"expected":1,"lost":1}}
        one < {"type":"unserved"}
        "#,
    );
}

/// `ttl:0` does not wait: who is free gets its part, who is busy does not. Free handlers once got none.
#[test]
fn broadcast_with_ttl_0_reaches_those_that_are_free() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        one < {"type":"deliver"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"request","id":2,"action":"a","broadcast":true,"ttl":0}
        two < {"type":"deliver","id":$b}
        two > {"type":"reply","id":$b} 2
        web < {"type":"reply","id":2,"part":true,"from":"two"} 2
        +1
        web < {"type":"reply","id":2,"part":true,"from":"one","error":{"code":"expired","ran":"no"}}
        web < {"type":"reply","id":2,"gather":{"expected":2,"answered":1,"failed":0,"lost":1}}
        "#,
    );
}
