//! Rights that change while their holder works, and keys that go.

use crate::script::{play, play_with};
use std::time::Duration;

const OPS: &str = "
    holder ops call=> serve=> publish=> subscribe=> admin
    ops is ops
    svc is ops
";

fn with_ops(script: &str) -> crate::script::Stage {
    play(&format!("{OPS}{script}"))
}

/// What was accepted or delivered goes on; what comes from now on is judged anew, also if it was allowed a moment ago.
#[test]
fn a_right_to_call_that_is_taken_or_given() {
    with_ops(
        r#"
        holder shop call=a
        web is shop
        web > {"type":"request","id":1,"action":"a"} 1
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"b","ttl":0}
        web < {"type":"reply","id":3,"error":{"code":"denied"}}
        holder shop call=b
        web .
        web > {"type":"request","id":4,"action":"a"} 4
        web < {"type":"reply","id":4,"error":{"code":"denied","ran":"no"}}
        web > {"type":"request","id":5,"action":"b","ttl":0}
        web < {"type":"reply","id":5,"error":{"code":"no_handler"}}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        svc < {"type":"deliver","id":$e} 2
        svc > {"type":"reply","id":$e}
        web < {"type":"reply","id":2}
        "#,
    );
}

#[test]
fn a_right_to_publish_that_is_taken() {
    with_ops(
        r#"
        holder shop publish=a
        web is shop
        ops > {"type":"subscribe","topic":"a"}
        ops < {"type":"subscribed"}
        web > {"type":"publish","topic":"a"} 1
        ops < {"type":"event"} 1
        holder shop publish=b
        web > {"type":"publish","topic":"a"} 2
        web < {"type":"error","code":"denied","topic":"a"}
        "#,
    );
}

/// Handlers get no further deliveries and are told. What they have goes on, and who else may serve gets the rest.
#[test]
fn a_right_to_serve_that_is_taken() {
    let stage = with_ops(
        r#"
        holder mail serve=a,b,c
        old is mail
        old > {"type":"serve","action":"c","credit":1}
        old < {"type":"serving","action":"c"}
        old > {"type":"serve","action":"b","credit":1}
        old < {"type":"serving","action":"b"}
        old > {"type":"serve","action":"a","credit":1}
        old < {"type":"serving","action":"a"}
        ops > {"type":"request","id":1,"action":"a"} 1
        old < {"type":"deliver","id":$d} 1
        ops > {"type":"request","id":2,"action":"a"} 2
        holder mail serve=b
        old < {"type":"error","code":"denied","action":"a","fatal":null,"message":"mail may not serve a: its key has no grant serve = [\"a\"]"}
        old < {"type":"error","code":"denied","action":"c"}
        old > {"type":"reply","id":$d} "done"
        ops < {"type":"reply","id":1} "done"
        old .
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$e} 2
        svc > {"type":"reply","id":$e}
        ops < {"type":"reply","id":2}
        ops > {"type":"request","id":3,"action":"b"} 3
        old < {"type":"deliver","action":"b","id":$f} 3
        old > {"type":"reply","id":$f}
        ops < {"type":"reply","id":3}
        holder mail serve=b
        old .
        "#,
    );
    assert_eq!(stage.held().actions, 2, "`a` of svc and `b` of old");
}

#[test]
fn a_broadcast_that_waits_for_who_may_not_serve_any_more() {
    with_ops(
        r#"
        holder mail serve=a
        old is mail
        old > {"type":"serve","action":"a","credit":1}
        old < {"type":"serving"}
        ops > {"type":"request","id":1,"action":"a"} 1
        old < {"type":"deliver","id":$d} 1
        ops > {"type":"request","id":2,"action":"a","broadcast":true} 2
        holder mail serve=b
        old < {"type":"error","code":"denied","action":"a"}
        ops < {"type":"reply","id":2,"part":true,"from":"mail/old","error":{"ran":"no"}}
        ops < {"type":"reply","id":2,"gather":{"expected":1,"lost":1}}
        old > {"type":"reply","id":$d}
        ops < {"type":"reply","id":1}
        "#,
    );
}

#[test]
fn a_right_to_subscribe_that_is_taken() {
    let stage = with_ops(
        r#"
        holder shop subscribe=a.>
        web is shop
        web > {"type":"subscribe","topic":"a.*"}
        web < {"type":"subscribed"}
        web > {"type":"subscribe","topic":"a.b.c","group":"g"}
        web < {"type":"subscribed"}
        web > {"type":"subscribe","topic":"a.x"}
        web < {"type":"subscribed"}
        holder shop subscribe=a.x
        web < {"type":"error","code":"denied","topic":"a.*","fatal":null,"message":"shop may not subscribe to a.*: its key has no grant subscribe = [\"a.*\"]"}
        web < {"type":"error","code":"denied","topic":"a.b.c"}
        ops > {"type":"publish","topic":"a.b"} 1
        ops > {"type":"publish","topic":"a.b.c"} 2
        ops > {"type":"publish","topic":"a.x"} 3
        web < {"type":"event","topic":"a.x"} 3
        "#,
    );
    assert_eq!(stage.held().subscriptions, 1);
}

#[test]
fn admin_that_is_taken() {
    play(
        r#"
        holder ops admin
        ops is ops
        ops > {"type":"subscribe","topic":"$events.>"}
        ops < {"type":"subscribed"}
        ops > {"type":"request","id":1,"action":"$stats"}
        ops < {"type":"reply","id":1,"error":null} …
        holder ops call=a
        ops < {"type":"error","code":"denied","topic":"$events.>"}
        ops > {"type":"request","id":2,"action":"$stats"}
        ops < {"type":"reply","id":2,"error":{"code":"denied"}}
        "#,
    );
}

/// A client that is told `resumed` takes its services for standing; so it hears of those that are not, and gets nothing of them before.
#[test]
fn rights_that_change_while_a_client_is_away_are_told_when_it_comes_back() {
    let stage = with_ops(
        r#"
        holder mail serve=a,b subscribe=t
        old is mail
        old > {"type":"serve","action":"a","credit":2}
        old < {"type":"serving"}
        old > {"type":"subscribe","topic":"t"}
        old < {"type":"subscribed"}
        old breaks
        holder mail serve=b
        ops > {"type":"request","id":1,"action":"a","ttl":1000} 1
        old returns
        old < {"type":"welcome","resumed":true}
        old < {"type":"error","code":"denied","action":"a"}
        old < {"type":"error","code":"denied","topic":"t"}
        +1000
        ops < {"type":"reply","id":1,"error":{"ran":"no"}}
        old .
        "#,
    );
    assert_eq!((stage.held().actions, stage.held().subscriptions), (0, 0));
}

/// A connection may be there before its client has said hello.
#[test]
fn rights_that_change_before_hello() {
    let mut stage = play("holder shop call=a\nweb is shop");
    stage.open("web", 1);
    stage.play(
        r#"
        holder shop call=b
        web > {"type":"hello","protocol":[1,1],"name":"web","session":"00000000000000000000000000000001"}
        web < {"type":"welcome"}
        web > {"type":"request","id":1,"action":"a","ttl":0}
        web < {"type":"reply","id":1,"error":{"code":"denied"}}
        web > {"type":"request","id":2,"action":"b","ttl":0}
        web < {"type":"reply","id":2,"error":{"code":"no_handler"}}
        "#,
    );
}

/// Its sessions end as with `bye`: what it had goes to others, its calls are dropped, its sends stay.
#[test]
fn a_holder_that_is_gone() {
    let mut stage = with_ops(
        r#"
        holder shop call=a serve=a,b
        web is shop
        two is shop
        away is shop
        late is shop
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"serve","action":"b","credit":1}
        web < {"type":"serving"}
        ops > {"type":"request","id":1,"action":"a","attempts":2} 1
        two < {"type":"deliver","id":$d} 1
        web > {"type":"request","id":1,"action":"a"} 2
        web > {"type":"request","id":2,"action":"a","reply":false} 3
        web < {"type":"accepted","id":2}
        away > {"type":"request","id":1,"action":"a"} 4
        away breaks
        "#,
    );
    stage.open("late", 99);
    stage.play(
        r#"
        holder shop gone
        web < {"type":"error","code":"denied","fatal":true,"message":"`shop` has no key on this server any more; its session has ended; ask whoever runs the server for a new key"}
        two < {"type":"error","code":"denied","fatal":true}
        late < {"type":"error","code":"denied","fatal":true}
        web closed
        two closed
        late closed
        ops .
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$e,"from":"ops/ops","attempt":2} 1
        svc < {"type":"deliver","id":$f,"from":"shop/web"} 3
        svc > {"type":"reply","id":$e}
        svc > {"type":"reply","id":$f}
        ops < {"type":"reply","id":1}
        svc .
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().sessions), (0, 2), "ops and svc are there");
}

/// It comes back with a new key, and begins anew.
#[test]
fn a_holder_that_was_gone_begins_anew() {
    play(
        r#"
        holder shop call=a
        web is shop
        web > {"type":"request","id":1,"action":"a"} 1
        holder shop gone
        web < {"type":"error","code":"denied","fatal":true}
        holder shop call=b
        web returns
        web < {"type":"welcome","resumed":false}
        web > {"type":"request","id":1,"action":"a"} 1
        web < {"type":"reply","id":1,"error":{"code":"denied"}}
        "#,
    );
}

/// Only the connections of that one key close. Without another key the session ends with its grace time, as always.
#[test]
fn a_key_that_is_removed() {
    let mut stage = play_with(
        |settings| settings.session_grace = Duration::from_secs(5),
        &format!(
            r#"{OPS}
            holder shop call=a serve=b
            web is shop
            two is shop
            web > {{"type":"request","id":1,"action":"a"}} 1
            two > {{"type":"request","id":1,"action":"a"}} 2
            web loses its key
            web < {{"type":"error","code":"denied","fatal":true}}
            web closed
            web loses its key
            web breaks
            two .
            svc > {{"type":"serve","action":"a","credit":1}}
            svc < {{"type":"serving"}}
            svc < {{"type":"deliver","id":$d}} 1
            svc > {{"type":"reply","id":$d}} 5
            svc < {{"type":"deliver","id":$e}} 2
            web returns
            web < {{"type":"welcome","resumed":true}}
            web > {{"type":"request","id":1,"action":"a"}} 1
            web < {{"type":"reply","id":1}} 5
            web loses its key
            web < {{"type":"error","code":"denied","fatal":true}}
            svc > {{"type":"reply","id":$e}}
            two < {{"type":"reply","id":1}}
            two > {{"type":"ack","replies":1}}
            "#
        ),
    );
    assert_eq!(stage.held().sessions, 3);
    stage.pass(5_000);
    assert_eq!(stage.held().sessions, 2);
}

/// Only one holder is meant, not one whose name begins alike.
#[test]
fn other_holders_are_left_alone() {
    play(
        r#"
        holder shop call=a serve=a
        holder shop2 call=a serve=a
        web is shop2
        web > {"type":"serve","action":"a","credit":1}
        web < {"type":"serving"}
        holder shop call=b
        holder shop gone
        web .
        web > {"type":"request","id":1,"action":"a"} 1
        web < {"type":"deliver"} 1
        "#,
    );
}
