//! Leaving: for another server, or for good.

use super::*;
use answerback_protocol::frames::Goaway;

fn goaway() -> Goaway<'static> {
    Goaway { reason: "restart".into(), after: 350, elsewhere: vec!["10.0.0.2:7040".into()] }
}

#[test]
fn a_server_that_leaves_is_said_no_new_call() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.calls(2);
    script.says(goaway(), "");
    assert_eq!(script.events(), [r#"goaway restart 350ms ["10.0.0.2:7040"]"#]);
    assert!(script.session.leaving);
    script.calls(3);
    assert!(!script.session.wants_to_transmit());
    assert!(script.said().is_empty());
    script.answers(1, "1");
    assert_eq!(script.outcome(1), "ok 1");
}

#[test]
fn what_was_not_said_moves_to_the_session_with_another_server() {
    let mut old = Script::welcome();
    old.calls_and_says(1);
    [4, 3, 2].into_iter().for_each(|id| old.calls(id));
    old.session.leave();
    let mut new = Script::with_limits(Limits { calls: 0, bytes: 0, ..limits() });
    new.connect(false);
    for (id, ask, caller) in old.session.take_unsaid() {
        new.session.take_over(id, ask, caller);
    }
    assert_eq!((old.session.calls(), new.session.calls()), (1, 3));
    assert_eq!(new.said(), ["request 2", "request 3", "request 4"]);
    new.answers(3, "3");
    assert_eq!(old.outcome(3), "ok 3");
}

#[test]
fn what_moves_before_there_is_a_connection_is_said_when_there_is() {
    let mut old = Script::away();
    old.calls(1);
    old.asks(2, |ask| ask.timeout = Some(ms(10)));
    let mut new = Script::away();
    for (id, ask, caller) in old.session.take_unsaid() {
        new.session.take_over(id, ask, caller);
    }
    new.wait(20).unwrap();
    new.connect(false);
    assert_eq!(new.said(), ["request 1"]);
    assert_eq!(old.outcome(2), "timeout no");
}

#[test]
fn a_call_that_a_leaving_server_did_not_take_moves_too() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.says(goaway(), "");
    script.fails(1, Code::Draining, Ran::No);
    assert_eq!((script.outcome(1), script.session.calls()), (String::new(), 1));
    assert!(script.said().is_empty());
    let moved = script.session.take_unsaid();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].0, request_id(1));
}

#[test]
fn a_call_that_was_not_taken_and_does_not_move_ends_in_its_time() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.timeout = Some(ms(100)));
    script.said();
    script.session.leave();
    script.fails(1, Code::Draining, Ran::No);
    script.wait(100).unwrap();
    assert_eq!(script.outcome(1), "timeout no");
}

#[test]
fn draining_ends_a_call_that_cannot_move() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.fails(1, Code::Draining, Ran::No);
    assert_eq!(script.outcome(1), "draining no", "nobody has said that the server leaves");

    script.asks(2, |ask| ask.attempts = Some(2));
    script.said();
    script.come_back(false);
    script.said();
    script.session.leave();
    script.fails(2, Code::Draining, Ran::No);
    assert_eq!(script.outcome(2), "disconnected maybe", "it may have run in the session before");

    let mut script = Script::welcome();
    script.calls_and_says(3);
    script.sends_part(3, 1, "1");
    script.session.leave();
    script.fails(3, Code::Draining, Ran::No);
    assert_eq!(script.outcome(3), "draining no", "its caller has a part of the answer");
}

#[test]
fn a_leaving_session_goes_on_with_the_rest() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.calls(2);
    script.delivers(10);
    script.session.leave();
    script.session.serve("b", 1);
    script.done(10, "1");
    assert_eq!(script.said(), ["reply 10 1", "serve b 1"]);
    script.come_back(true);
    assert_eq!(script.said(), ["reply 10 1", "resume []", "serve b 1", "request 1"]);
}

/// It does not move, since the next session could not know that it may have run.
#[test]
fn a_call_of_a_lost_session_is_announced_by_a_leaving_one_and_does_not_move() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.attempts = Some(2));
    script.said();
    script.session.leave();
    script.come_back(false);
    assert!(script.session.take_unsaid().is_empty());
    assert_eq!(script.said(), ["resume []", "request 1"]);
}

#[test]
fn a_session_is_idle_when_nothing_waits() {
    let mut script = Script::welcome();
    assert!(script.session.is_idle());
    script.calls_and_says(1);
    assert!(!script.session.is_idle());
    script.session.cancel(request_id(1));
    assert!(!script.session.is_idle(), "the server has to hear of it");
    script.said();
    assert!(script.session.is_idle());
    script.delivers(10);
    assert!(!script.session.is_idle());
    script.done(10, "1");
    assert!(!script.session.is_idle());
    script.said();
    assert!(script.session.is_idle());
}

#[test]
fn bye_is_the_last_word() {
    let mut script = Script::welcome();
    script.delivers(10);
    script.delivers(11);
    script.done(10, "1");
    script.session.release(delivery_id(11));
    script.calls(1);
    script.session.bye();
    assert!(!script.session.said_bye());
    assert_eq!(script.said(), ["reply 10 1", "release 11", "request 1", "bye"]);
    assert!(script.session.said_bye());
    script.calls(2);
    assert!(!script.session.wants_to_transmit());
    assert!(script.said().is_empty());
}

#[test]
fn bye_waits_for_a_welcome() {
    let mut script = Script::welcome();
    script.delivers(10);
    script.session.disconnected(script.now);
    script.done(10, "1");
    script.session.bye();
    script.greet();
    assert!(script.said().is_empty());
    script.says(script.welcome_frame(true), "");
    assert_eq!(script.said(), ["reply 10 1", "resume []", "bye"]);
}

#[test]
fn giving_up_promises_only_what_was_never_said() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.calls(2);
    script.asks(3, |ask| ask.attempts = Some(2));
    script.said();
    script.calls(4);
    script.session.cancel(request_id(1));
    script.come_back(false);
    script.calls(5);
    script.session.give_up(Code::Disconnected, "no server in sight");
    assert_eq!(script.outcome(1), "");
    assert_eq!(script.outcome(2), "disconnected maybe");
    assert_eq!(script.outcome(3), "disconnected maybe");
    assert_eq!(script.outcome(4), "disconnected no");
    assert_eq!(script.outcome(5), "disconnected no");
    assert_eq!(script.session.calls.all(), 0);
}
