//! Which handler gets a request, and how many it has at once.

use crate::script::play;

/// Seeds 2, 29: several clients under one action share the work; the broker never gives one more than it takes.
#[test]
fn credit_is_never_exceeded_and_waiting_requests_leave_in_order() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":2}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"a"} 3
        web > {"type":"request","id":4,"action":"a"} 4
        svc < {"type":"deliver","id":$a} 1
        svc < {"type":"deliver","id":$b} 2
        svc .
        svc > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        svc < {"type":"deliver","id":$c} 3
        svc .
        svc > {"type":"reply","id":$a}
        web < {"type":"reply","id":1}
        svc < {"type":"deliver","id":$d} 4
        "#,
    );
}

/// S17: the one with the fewest deliveries gets the next, so a slow handler does not delay the others.
#[test]
fn s17_the_least_busy_handler_is_next_and_ties_go_round_robin() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":9}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":9}
        two < {"type":"serving"}
        tre > {"type":"serve","action":"a","credit":9}
        tre < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"a"} 3
        one < {"type":"deliver","id":$a} 1
        two < {"type":"deliver","id":$b} 2
        tre < {"type":"deliver","id":$c} 3
        tre > {"type":"reply","id":$c}
        web < {"type":"reply","id":3}
        two > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        web > {"type":"request","id":4,"action":"a"} 4
        two < {"type":"deliver"} 4
        web > {"type":"request","id":5,"action":"a"} 5
        tre < {"type":"deliver"} 5
        web > {"type":"request","id":6,"action":"a"} 6
        one < {"type":"deliver"} 6
        "#,
    );
}

#[test]
fn credit_said_again_changes_it() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"a"} 3
        svc < {"type":"deliver","id":$a} 1
        svc > {"type":"serve","action":"a","credit":2}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$b} 2
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc > {"type":"reply","id":$a}
        web < {"type":"reply","id":1}
        svc .
        svc > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        svc < {"type":"deliver"} 3
        "#,
    );
}

/// A handler that was told to stop is busy until it has answered or handed back.
#[test]
fn a_cancelled_delivery_takes_credit_until_the_handler_answers() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        web > {"type":"cancel","id":1}
        svc < {"type":"cancel","id":$a}
        web < {"type":"reply","id":1,"error":{"code":"cancelled"}}
        web > {"type":"request","id":2,"action":"a"} 2
        svc .
        svc > {"type":"reply","id":$a}
        svc < {"type":"deliver","id":$b} 2
        svc > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        "#,
    );
    assert_eq!(stage.broker.counts().stray_replies, 1);
}

#[test]
fn a_release_puts_it_back_to_the_front_as_if_it_had_never_left() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":2}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"a"} 3
        one < {"type":"deliver","id":$a,"attempt":1} 1
        one < {"type":"deliver","id":$b} 2
        one > {"type":"unserve","action":"a"}
        one < {"type":"unserved"}
        one > {"type":"release","id":$b}
        one > {"type":"release","id":$a}
        two > {"type":"serve","action":"a","credit":9}
        two < {"type":"serving"}
        two < {"type":"deliver","attempt":1} 1
        two < {"type":"deliver"} 2
        two < {"type":"deliver"} 3
        "#,
    );
}

#[test]
fn unserve_ends_deliveries_but_not_those_under_way() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        svc > {"type":"unserve","action":"a"}
        svc < {"type":"unserved","action":"a"}
        web > {"type":"request","id":2,"action":"a","ttl":50} 2
        svc > {"type":"reply","id":$a}
        web < {"type":"reply","id":1}
        svc > {"type":"unserve","action":"b"}
        svc < {"type":"unserved","action":"b"}
        +50
        web < {"type":"reply","id":2,"error":{"code":"expired"}}
        "#,
    );
    assert_eq!(stage.held().actions, 0);
}

/// S13: a reply counts only from the session that has the delivery.
#[test]
fn s13_nobody_can_answer_for_somebody_else() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$a}
        bad > {"type":"reply","id":$a} "wrong"
        bad > {"type":"release","id":$a}
        bad > {"type":"cancel","id":1}
        svc > {"type":"reply","id":$a} "right"
        svc > {"type":"reply","id":$a} "twice"
        web < {"type":"reply","id":1} "right"
        "#,
    );
    assert_eq!(stage.broker.counts().stray_replies, 3);
}

/// Seed 80: several actions on one connection, each with its own credit.
#[test]
fn one_slow_action_never_delays_another() {
    play(
        r#"
        svc > {"type":"serve","action":"slow","credit":1}
        svc < {"type":"serving"}
        svc > {"type":"serve","action":"fast","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"slow"} 1
        web > {"type":"request","id":2,"action":"slow"} 2
        web > {"type":"request","id":3,"action":"fast"} 3
        svc < {"type":"deliver"} 1
        svc < {"type":"deliver","id":$c,"action":"fast"} 3
        svc > {"type":"reply","id":$c}
        web < {"type":"reply","id":3}
        "#,
    );
}

/// A handler may answer in several parts; they pass on at once, numbered.
#[test]
fn parts_pass_on_as_they_come() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$a}
        svc > {"type":"reply","id":$a,"part":true} 1
        web < {"type":"reply","id":1,"part":true,"seq":1} 1
        svc > {"type":"reply","id":$a,"part":true,"seq":2} 2
        web < {"type":"reply","id":1,"part":true,"seq":2} 2
        svc > {"type":"reply","id":$a,"part":true,"seq":2} 2
        web .
        svc > {"type":"reply","id":$a} 3
        web < {"type":"reply","id":1,"part":null} 3
        "#,
    );
}

/// A delivery that was handed back goes out again under another id. It once kept its id, and what its first handler still
/// said about it was taken for the word of the second one.
#[test]
fn a_delivery_that_goes_out_again_has_another_id() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        one < {"type":"deliver","id":$a,"attempt":1}
        one > {"type":"release","id":$a}
        one < {"type":"deliver","id":$b,"attempt":1}
        one > {"type":"reply","id":$a} "not this one"
        web .
        one > {"type":"reply","id":$b} "this one"
        web < {"type":"reply","id":1} "this one"
        "#,
    );
}
