//! Connections that are cut while calls are under way, and clients that come back.

use crate::client::Client;
use crate::script::{Stage, play, play_with};
use std::time::Duration;

/// Seeds 10, 28: the caller's connection is cut in the middle of its call, and it finds its answer when it is back.
#[test]
fn a_reply_is_kept_for_a_caller_that_is_away() {
    let mut stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web breaks
        svc > {"type":"reply","id":$d} 5
        web returns
        web < {"type":"welcome","resumed":true,"restarted":null}
        web .
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a"}
        web < {"type":"reply","id":1} 5
        svc .
        web > {"type":"ack","replies":1}
        "#,
    );
    assert_eq!(stage.stats()["total"]["resumed"], 1);
}

/// Its reply was on its way when the connection was cut. What was sent is not known to have come.
#[test]
fn a_reply_that_was_not_acknowledged_is_sent_again_when_it_is_asked_for() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        svc < {"type":"deliver","id":$a}
        svc < {"type":"deliver","id":$b}
        svc < {"type":"deliver","id":$c}
        svc > {"type":"reply","id":$a} 1
        svc > {"type":"reply","id":$b} 2
        web < {"type":"reply","id":1} 1
        web > {"type":"ack","replies":1}
        web < {"type":"reply","id":2} 2
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"a"}
        web < {"type":"reply","id":2} 2
        svc > {"type":"reply","id":$c} 3
        web < {"type":"reply","id":3} 3
        svc .
        "#,
    );
}

/// The answer and the announcement cross on the new connection: the client says again what is already answered.
#[test]
fn a_call_announced_while_its_reply_is_on_its_way_is_not_run_again() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        web breaks
        web returns
        web < {"type":"welcome","resumed":true}
        svc > {"type":"reply","id":$d} 11
        svc .
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a"} 1
        web < {"type":"reply","id":1} 11
        web .
        svc .
        "#,
    );
}

/// The handler's connection is cut: before that it had answered one (told again, once), it works on another, and the third
/// never reached it.
#[test]
fn a_handler_that_comes_back_says_what_it_holds() {
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
        svc > {"type":"reply","id":$a} 11
        web < {"type":"reply","id":1} 11
        svc < {"type":"deliver","id":$x} 4
        svc breaks
        svc returns
        svc < {"type":"welcome","resumed":true}
        svc .
        svc > {"type":"reply","id":$a} 11
        svc > {"type":"resume","holding":[$b]}
        svc > {"type":"serve","action":"a","credit":3}
        svc < {"type":"deliver","id":$e,"attempt":1} 3
        svc < {"type":"deliver","id":$f,"attempt":1} 4
        svc < {"type":"serving"}
        svc > {"type":"reply","id":$b} 22
        svc > {"type":"reply","id":$e} 33
        svc > {"type":"reply","id":$f} 44
        web < {"type":"reply","id":2,"error":null} 22
        web < {"type":"reply","id":3,"error":null} 33
        web < {"type":"reply","id":4,"error":null} 44
        "#,
    );
}

/// More than one frame can say are held; none of them is lost or given out again.
#[test]
fn resume_may_come_in_pieces() {
    let mut stage = Stage::with(|_| {});
    let mut caller = Client::welcomed(stage.address, "web");
    let mut handler = Client::serving(stage.address, "svc", "a", 1_000);
    for id in 0..450 {
        caller.call(id, "a", id.to_string());
    }
    let deliveries: Vec<_> = (0..450).map(|_| handler.hear()).collect();
    let session = handler.session.clone();
    handler.reset();
    stage.until("the handler to be gone", |stats| stats["connections"] == 2);
    let mut handler = Client::greeting(stage.address, "svc", &session);
    assert_eq!(handler.hear().head["resumed"], true);
    let pieces: Vec<_> = deliveries.chunks(200).collect();
    for (nth, piece) in pieces.iter().enumerate() {
        let ids: Vec<_> = piece.iter().map(|delivery| delivery.head["id"].to_string()).collect();
        let more = nth + 1 < pieces.len();
        handler.say(format!(r#"{{"type":"resume","holding":[{}],"more":{more}}}"#, ids.join(",")), "");
    }
    assert!(handler.heard_until_now().is_empty());
    for delivery in &deliveries {
        handler.answer(delivery, &delivery.data);
    }
    for id in 0..450_u64 {
        let reply = caller.hear();
        assert!(reply.head["id"] == id && reply.code().is_empty(), "{reply:?}");
    }
}

/// What was given up while its handler was away is not worked on in vain, and its credit comes back with the answer.
#[test]
fn a_handler_that_comes_back_is_told_what_was_given_up() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        svc breaks
        web > {"type":"cancel","id":1}
        web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"maybe"}}
        web > {"type":"request","id":2,"action":"a"} 2
        svc returns
        svc < {"type":"welcome","resumed":true}
        svc > {"type":"resume","holding":[$a,77]}
        svc < {"type":"cancel","id":77}
        svc < {"type":"cancel","id":$a}
        svc .
        svc > {"type":"release","id":$a}
        svc < {"type":"deliver","id":$b} 2
        svc > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        "#,
    );
}

/// A client that comes back and says nothing of what it holds has lost it.
#[test]
fn without_resume_what_it_had_is_lost_after_the_grace_time() {
    play_with(
        |settings| settings.broker.session_grace = Duration::from_millis(1_500),
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        web > {"type":"request","id":2,"action":"a"} 2
        svc breaks
        svc returns
        svc < {"type":"welcome","resumed":true}
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        svc < {"type":"deliver"} 2
        "#,
    );
}

/// A send whose `accepted` was lost on the way does not run twice.
#[test]
fn a_send_announced_again_is_accepted_again_and_not_run_again() {
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
        "#,
    );
}

#[test]
fn parts_that_were_not_acknowledged_come_again_with_their_numbers() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$a}
        svc > {"type":"reply","id":$a,"part":true,"seq":1} 1
        svc > {"type":"reply","id":$a,"part":true,"seq":2} 2
        web < {"type":"reply","id":1,"part":true,"seq":1} 1
        web > {"type":"ack","replies":1}
        web < {"type":"reply","id":1,"part":true,"seq":2} 2
        web breaks
        svc breaks
        svc returns
        svc < {"type":"welcome","resumed":true}
        svc > {"type":"reply","id":$a,"part":true,"seq":2} 2
        svc > {"type":"resume","holding":[$a]}
        svc > {"type":"reply","id":$a,"part":true,"seq":3} 3
        web returns
        web < {"type":"welcome","resumed":true}
        web > {"type":"request","id":1,"action":"a"}
        web < {"type":"reply","id":1,"part":true,"seq":2} 2
        web < {"type":"reply","id":1,"part":true,"seq":3} 3
        svc > {"type":"reply","id":$a} 4
        web < {"type":"reply","id":1,"part":null} 4
        "#,
    );
}

/// Half-open connections happen: the network went away and only the client has noticed. The newer one is right.
#[test]
fn the_newest_connection_of_a_session_wins() {
    let mut stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        old > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        new takes old
        new < {"type":"welcome","resumed":true}
        old < {"type":"error","code":"replaced","fatal":true}
        new > {"type":"request","id":1,"action":"a"} 1
        svc > {"type":"reply","id":$d} 2
        new < {"type":"reply","id":1} 2
        old closed
        "#,
    );
    // What the old connection still says after that counts for nothing.
    let session = crate::client::new_session();
    let mut old = Client::greeting(stage.address, "old", &session);
    old.hear();
    let mut new = Client::greeting(stage.address, "new", &session);
    assert_eq!(new.hear().head["type"], "welcome");
    let _ = std::io::Write::write_all(
        &mut old.socket,
        &crate::client::frame(r#"{"type":"request","id":9,"action":"a"}"#, "9"),
    );
    assert_eq!(old.hear_to_the_end().last().map(|heard| heard.code().to_owned()).as_deref(), Some("replaced"));
    stage.play("svc .");
    assert!(new.heard_until_now().is_empty());
}

/// A goodbye ends the session at once, for a caller and for a handler.
#[test]
fn bye_ends_the_session_at_once() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web > {"type":"bye"}
        web closed
        svc < {"type":"cancel","id":$d}
        web returns
        web < {"type":"welcome","resumed":false}
        svc > {"type":"bye"}
        svc closed
        svc returns
        svc < {"type":"welcome","resumed":false}
        web > {"type":"request","id":1,"action":"a","ttl":0}
        web < {"type":"reply","id":1,"error":{"code":"no_handler"}}
        "#,
    );
}

/// A session away longer than the grace time is a new one, and its calls are over.
#[test]
fn the_grace_time_ends() {
    let mut stage = play_with(
        |settings| settings.broker.session_grace = Duration::from_millis(50),
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web breaks
        svc < {"type":"cancel","id":$d}
        svc > {"type":"release","id":$d}
        web returns
        web < {"type":"welcome","resumed":false}
        "#,
    );
    assert_eq!(stage.stats()["bytes"], 0);
}
