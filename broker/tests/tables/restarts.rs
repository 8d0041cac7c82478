//! What becomes of requests when the server starts again: what the store held, what handlers hold, what callers announce.

use crate::durable::with_store;
use crate::script::play_with;

const SERVES: &str = r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
"#;

fn play(script: &str) -> crate::script::Stage {
    play_with(with_store, &script.replace("SERVES", SERVES))
}

/// Without `durable` it may have been delivered since the snapshot: that counts as an attempt.
#[test]
fn a_send_that_waited_is_delivered_in_the_next_life() {
    let stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","durable":true,"reply":false} 1
        written
        web < {"type":"accepted","id":1}
        web > {"type":"request","id":2,"action":"a","reply":false} 2
        web < {"type":"accepted","id":2}
        saved
        web > {"type":"request","id":3,"action":"a","reply":false} 3
        web < {"type":"accepted","id":3}
        killed
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$e,"attempt":2} 2
        written
        svc < {"type":"deliver","id":$d,"attempt":1} 1
        svc > {"type":"reply","id":$d}
        svc > {"type":"reply","id":$e}
        written
        saved
        "#,
    );
    assert_eq!((stage.shelf.journal.len(), stage.shelf.snapshot.len(), stage.held().requests), (0, 0, 0));
}

/// The caller announces its call again, the handler says that it works on it: nobody runs it twice, whoever comes first.
#[test]
fn a_call_under_way_goes_on() {
    let handler = r#"
        svc returns
        svc < {"type":"welcome","resumed":false,"restarted":true}
        svc > {"type":"resume","holding":[$d]}
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
    "#;
    let caller = r#"
        web returns
        web < {"type":"welcome","resumed":false,"restarted":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a","again":true} 1
        web .
    "#;
    for saved in ["", "saved"] {
        for (first, second) in [(handler, caller), (caller, handler)] {
            play(&format!(
                r#"
                SERVES
                web > {{"type":"request","id":1,"action":"a"}} 1
                svc < {{"type":"deliver","id":$d}} 1
                {saved}
                killed
                {first}
                {second}
                svc .
                svc > {{"type":"reply","id":$d}} "done"
                web < {{"type":"reply","id":1}} "done"
                +10100
                "#
            ));
        }
    }
}

/// The handler had answered, and the answer was on its way to the caller when the server died.
#[test]
fn an_answer_that_was_on_its_way_is_said_again() {
    let handler = r#"
        svc returns
        svc < {"type":"welcome"}
        svc > {"type":"reply","id":$d,"part":true,"seq":1} "some"
        svc > {"type":"reply","id":$d} "done"
        svc > {"type":"resume","holding":[]}
    "#;
    let caller = r#"
        web returns
        web < {"type":"welcome"}
        web > {"type":"request","id":1,"action":"a","again":true} 1
    "#;
    for (first, second) in [(handler, caller), (caller, handler)] {
        play(&format!(
            r#"
            SERVES
            web > {{"type":"request","id":1,"action":"a"}} 1
            svc < {{"type":"deliver","id":$d}} 1
            killed
            {first}
            {second}
            web < {{"type":"reply","id":1,"part":true,"seq":1}} "some"
            web < {{"type":"reply","id":1,"seq":2}} "done"
            "#
        ));
    }
}

#[test]
fn an_unknown_call_waits_for_handlers_and_is_delivered_when_none_has_it() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a"} 1
        killed
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"request","id":1,"action":"a","again":true} 1
        web > {"type":"request","id":2,"action":"a"} 2
        SERVES
        svc < {"type":"deliver"} 2
        +9900
        svc .
        +200
        svc < {"type":"deliver","attempt":1} 1
        "#,
    );
}

#[test]
fn one_that_was_handed_back_need_not_wait() {
    play(
        r#"
        SERVES
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        killed
        svc returns
        svc < {"type":"welcome"}
        svc > {"type":"resume","holding":[$d]}
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        svc > {"type":"release","id":$d}
        web returns
        web < {"type":"welcome"}
        web > {"type":"request","id":1,"action":"a","again":true} 1
        svc < {"type":"deliver","attempt":1} 1
        "#,
    );
}

/// The delivery was still on its way to the handler when the server died. The handler lives, and does not hold it.
#[test]
fn a_delivery_that_never_arrived_is_made_again() {
    // Without `durable` it may have been handed back and given to another since the snapshot, so that one is waited for.
    for (durable, disk, wait) in [("", "saved", "+10100"), (r#","durable":true"#, "written", "written")] {
        play(&format!(
            r#"
            SERVES
            web > {{"type":"request","id":1,"action":"a"{durable}}} 1
            written
            svc < {{"type":"deliver","id":$d}} 1
            {disk}
            killed
            web returns
            web < {{"type":"welcome"}}
            web > {{"type":"request","id":1,"action":"a","again":true{durable}}} 1
            svc returns
            svc < {{"type":"welcome"}}
            svc > {{"type":"resume","holding":[]}}
            svc > {{"type":"serve","action":"a","credit":4}}
            svc < {{"type":"serving"}}
            {wait}
            svc < {{"type":"deliver","id":$e,"attempt":1}} 1
            svc > {{"type":"reply","id":$e}} "done"
            web < {{"type":"reply","id":1}} "done"
            "#
        ));
    }
}

/// The server died after it was on disk that the handler is to get it, and before it got it. A durable call of one attempt was lost so.
#[test]
fn a_delivery_that_was_only_written_down_is_made() {
    for first in ["", "svc > {\"type\":\"serve\",\"action\":\"a\",\"credit\":4}\nsvc < {\"type\":\"serving\"}"] {
        let later = if first.is_empty() { SERVES } else { "" };
        let written = if first.is_empty() { "written" } else { "" };
        play(&format!(
            r#"
            {first}
            web > {{"type":"request","id":1,"action":"a","durable":true}} 1
            {written}
            {later}
            stored
            killed
            web returns
            web < {{"type":"welcome"}}
            web > {{"type":"request","id":1,"action":"a","again":true,"durable":true}} 1
            svc returns
            svc < {{"type":"welcome"}}
            svc > {{"type":"resume","holding":[]}}
            svc > {{"type":"serve","action":"a","credit":4}}
            svc < {{"type":"serving"}}
            written
            svc < {{"type":"deliver","id":$e,"attempt":1}} 1
            svc > {{"type":"reply","id":$e}} "done"
            web < {{"type":"reply","id":1}} "done"
            "#
        ));
    }
}

/// Its caller was told that it did not run, and that its end was not on disk yet does not bring it back.
#[test]
fn a_call_that_its_caller_has_given_up_is_not_made_for_a_handler_that_comes_back() {
    play(
        r#"
        SERVES
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        stored
        web > {"type":"cancel","id":1}
        web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"no"}}
        killed
        svc returns
        svc < {"type":"welcome"}
        svc > {"type":"resume","holding":[]}
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        +10100
        svc .
        "#,
    );
}

/// It had answered and was gone for good before the caller came: the answer counts.
#[test]
fn an_answer_of_a_handler_that_left_counts() {
    play(
        r#"
        SERVES
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        killed
        svc returns
        svc < {"type":"welcome"}
        svc > {"type":"reply","id":$d} "done"
        svc > {"type":"bye"}
        web returns
        web < {"type":"welcome"}
        web > {"type":"request","id":1,"action":"a","again":true} 1
        web < {"type":"reply","id":1} "done"
        "#,
    );
}

/// The handler died with the server: what the store says to have been delivered may have run.
#[test]
fn a_call_whose_handler_is_gone_is_judged_by_its_attempts() {
    for (attempts, end) in [
        (1, r#"web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":1}}"#),
        (2, r#"bob < {"type":"deliver","attempt":2} 1"#),
    ] {
        play(&format!(
            r#"
            SERVES
            web > {{"type":"request","id":1,"action":"a","attempts":{attempts}}} 1
            svc < {{"type":"deliver","id":$d}} 1
            saved
            killed
            web returns
            web < {{"type":"welcome"}}
            web > {{"type":"request","id":1,"action":"a","attempts":{attempts},"again":true}} 1
            bob > {{"type":"serve","action":"a","credit":1}}
            bob < {{"type":"serving"}}
            +9900
            web .
            bob .
            +200
            {end}
            "#
        ));
    }
}

/// A call of the store whose caller does not ask for it any more has been answered, or nobody is there to hear it.
#[test]
fn a_call_that_is_not_announced_is_dropped() {
    let comes = r#"
            web returns
            web < {"type":"welcome"}
            web > {"type":"resume","holding":[]}
    "#;
    // Only a client that is heard so much later has surely announced everything.
    let is_heard = r#"
            web > {"type":"ping"}
            web < {"type":"pong"}
            +10100
            svc < {"type":"ping"}
    "#;
    for (caller, later) in [("", ""), (comes, is_heard)] {
        let stage = play(&format!(
            r#"
            web > {{"type":"request","id":1,"action":"a"}} 1
            saved
            killed
            {caller}
            SERVES
            +10100
            svc .
            {later}
            saved
            "#
        ));
        assert_eq!((stage.held().requests, stage.shelf.snapshot.len()), (0, 0));
    }
}

/// After an end in order nothing is in doubt, so nobody waits.
#[test]
fn after_a_clean_end_a_call_goes_on_as_soon_as_it_is_announced() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a"} 1
        bob > {"type":"request","id":1,"action":"a","reply":false,"attempts":1} 2
        bob < {"type":"accepted","id":1}
        left
        SERVES
        svc < {"type":"deliver"} 2
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"request","id":1,"action":"a","again":true} 1
        svc < {"type":"deliver"} 1
        "#,
    );
}

#[test]
fn a_reply_for_a_caller_that_is_away_survives() {
    for end in ["saved\nkilled", "left"] {
        let stage = play(&format!(
            r#"
            SERVES
            web > {{"type":"request","id":1,"action":"a"}} 1
            svc < {{"type":"deliver","id":$d}} 1
            web breaks
            svc > {{"type":"reply","id":$d}} "done"
            {end}
            web returns
            web < {{"type":"welcome","restarted":true}}
            web > {{"type":"request","id":1,"action":"a","again":true}} 1
            web < {{"type":"reply","id":1}} "done"
            web > {{"type":"ack","replies":1}}
            saved
            "#
        ));
        assert!(stage.shelf.snapshot.is_empty());
    }
}

#[test]
fn a_reply_under_a_key_survives() {
    for (durable, end) in [("", "saved\nkilled"), ("", "left"), (r#","durable":true"#, "written\nkilled")] {
        play(&format!(
            r#"
            SERVES
            web > {{"type":"request","id":1,"action":"a","key":"k"{durable}}} 1
            written
            svc < {{"type":"deliver","id":$d}} 1
            svc > {{"type":"reply","id":$d}} "done"
            web < {{"type":"reply","id":1}} "done"
            {end}
            bob > {{"type":"request","id":1,"action":"a","key":"k"}} 1
            bob < {{"type":"reply","id":1}} "done"
            bob > {{"type":"request","id":2,"action":"a","key":"k"}} 2
            bob < {{"type":"reply","id":2,"error":{{"code":"conflict"}}}}
            "#
        ));
    }
}

/// `accepted` was on its way when the server died: the send is there, once.
#[test]
fn a_send_that_is_announced_again_is_known() {
    let stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false,"durable":true} 1
        written
        web < {"type":"accepted","id":1}
        killed
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"request","id":1,"action":"a","reply":false,"durable":true,"again":true} 1
        web < {"type":"accepted","id":1}
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a","reply":false,"durable":true,"again":true} 1
        web < {"type":"accepted","id":1}
        "#,
    );
    assert_eq!(stage.held().requests, 1);
}

#[test]
fn a_broadcast_cannot_be_put_together_again() {
    play(
        r#"
        SERVES
        web > {"type":"request","id":1,"action":"a","broadcast":true} 1
        svc < {"type":"deliver"} 1
        killed
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"request","id":1,"action":"a","broadcast":true,"again":true} 1
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        "#,
    );
}

/// Nobody asks for it any more: the handler is told to stop when the grace time is over.
#[test]
fn work_that_nobody_wants_is_cancelled() {
    play(
        r#"
        SERVES
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        killed
        svc returns
        svc < {"type":"welcome"}
        svc > {"type":"resume","holding":[$d]}
        +10100
        svc < {"type":"cancel","id":$d}
        "#,
    );
}

/// What waits is saved, and does not hold the server up.
#[test]
fn a_drain_with_a_store_does_not_wait_for_sends() {
    let stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false} 1
        web < {"type":"accepted","id":1}
        drain 1000
        web < {"type":"goaway"}
        drained true
        left
        SERVES
        svc < {"type":"deliver"} 1
        "#,
    );
    assert_eq!(stage.held().requests, 1);
}

/// At the deadline a send that a handler has is saved as such; its call is told.
#[test]
fn at_the_drain_deadline_what_runs_is_saved() {
    play(
        r#"
        SERVES
        web > {"type":"request","id":1,"action":"a","reply":false,"durable":true} 1
        written
        web < {"type":"accepted","id":1}
        svc < {"type":"deliver","id":$d} 1
        web > {"type":"request","id":2,"action":"a"} 2
        svc < {"type":"deliver","id":$e} 2
        drain 1000
        web < {"type":"goaway"}
        svc < {"type":"goaway"}
        +1000
        web < {"type":"reply","id":2,"error":{"code":"handler_lost","ran":"maybe"}}
        svc < {"type":"cancel","id":$e}
        drained false
        left
        svc returns
        svc < {"type":"welcome","restarted":true}
        svc > {"type":"reply","id":$d}
        svc > {"type":"resume","holding":[]}
        written
        +10100
        svc .
        "#,
    );
}

/// The deadline is the caller's, over all lives.
#[test]
fn time_goes_on_while_the_server_is_down() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","timeout":5000} 1
        saved
        killed
        +4900
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"request","id":1,"action":"a","timeout":100,"again":true} 1
        +110
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"maybe"}}
        "#,
    );
}

/// It is not known of a call whose caller is away that it is still wanted: it may have had its answer before the restart.
#[test]
fn a_call_that_its_handler_does_not_hold_waits_for_its_caller() {
    let mut stage = play(
        r#"
        SERVES
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        written
        svc < {"type":"deliver","id":$d} 1
        written
        killed
        svc returns
        svc < {"type":"welcome","restarted":true}
        svc > {"type":"resume","holding":[]}
        SERVES
        svc .
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a","durable":true,"again":true} 1
        written
        svc < {"type":"deliver","id":$e,"attempt":1} 1
        svc > {"type":"reply","id":$e}
        web < {"type":"reply","id":1}
        written
        "#,
    );
    stage.pass(1_000);
}

/// After a clean stop the store is taken at its word, so it must not say that nobody has what nobody is known to have.
#[test]
fn what_is_in_doubt_after_a_crash_is_in_doubt_after_a_clean_stop() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false,"attempts":1} 1
        web < {"type":"accepted","id":1}
        saved
        SERVES
        svc < {"type":"deliver","id":$d} 1
        killed
        drain 1000
        drained true
        left
        svc returns
        svc < {"type":"welcome","restarted":true}
        svc > {"type":"resume","holding":[$d]}
        SERVES
        svc .
        svc > {"type":"reply","id":$d}
        saved
        "#,
    );
}
