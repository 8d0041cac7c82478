//! The server does not know the session any more.

use super::*;

#[test]
fn a_call_that_was_said_may_have_run_and_ends() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.asks(2, |ask| ask.broadcast = true);
    script.said();
    script.come_back(false);
    assert_eq!((script.outcome(1), script.outcome(2)), ("disconnected maybe".into(), "disconnected maybe".into()));
    assert_eq!(script.said(), ["resume []"]);
}

#[test]
fn a_call_that_was_not_said_is_simply_said() {
    let mut script = Script::welcome();
    script.calls(1);
    script.session.disconnected(script.now);
    script.calls(2);
    script.come_back(false);
    assert_eq!(script.said(), ["resume []", "request 1", "request 2"]);
    script.fails(1, Code::Expired, Ran::No);
    assert_eq!(script.outcome(1), "expired no");
}

fn attempts(script: &mut Script) -> Vec<String> {
    let heads = script.said_in_full().into_iter().map(|(head, _)| head).filter(|head| head.contains("request"));
    heads.map(|head| head.split(r#""attempts":"#).nth(1).map_or("none", |rest| &rest[..1]).to_owned()).collect()
}

#[test]
fn with_attempts_left_it_is_said_again_with_one_less() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.attempts = Some(3));
    assert_eq!(attempts(&mut script), ["3"]);
    for left in ["2", "1"] {
        script.come_back(false);
        assert_eq!(attempts(&mut script), [left]);
    }
    script.come_back(false);
    assert_eq!(script.outcome(1), "disconnected maybe");
}

#[test]
fn a_send_has_three_attempts() {
    let mut script = Script::welcome();
    script.sends(1);
    assert_eq!(attempts(&mut script), ["none"]);
    for left in ["2", "1"] {
        script.come_back(false);
        assert_eq!(attempts(&mut script), [left]);
    }
    script.come_back(false);
    assert_eq!(script.outcome(1), "disconnected maybe");
}

#[test]
fn a_session_in_which_nothing_was_said_costs_no_attempt() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.attempts = Some(2));
    script.said();
    for _ in 0..5 {
        script.come_back(false);
    }
    assert_eq!(attempts(&mut script), ["1"]);
    script.answers(1, "1");
    assert_eq!(script.outcome(1), "ok 1");
}

#[test]
fn a_session_that_goes_on_costs_no_attempt() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.attempts = Some(2));
    script.said();
    for _ in 0..3 {
        script.come_back(true);
        assert_eq!(attempts(&mut script), ["2"]);
    }
}

/// The new session's server says truly that it did not run the call. Whether the lost session's handler did, it cannot say.
#[test]
fn after_a_lost_session_no_server_can_promise_that_it_did_not_run() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.attempts = Some(2));
    script.said();
    script.come_back(false);
    script.said();
    script.fails(1, Code::NoHandler, Ran::No);
    assert_eq!(script.outcome(1), "disconnected maybe");
}

#[test]
fn after_a_lost_session_a_call_whose_time_is_up_may_have_run() {
    let mut script = Script::welcome();
    script.asks(1, |ask| (ask.attempts, ask.ttl, ask.timeout) = (Some(2), Some(ms(100)), None));
    script.asks(2, |ask| (ask.attempts, ask.timeout) = (Some(2), Some(ms(100))));
    script.said();
    script.come_back(false);
    script.session.disconnected(script.now);
    script.wait(100).unwrap();
    assert_eq!((script.outcome(1), script.outcome(2)), ("timeout maybe".into(), "timeout maybe".into()));
}

#[test]
fn a_call_that_is_unsaid_again_is_due_at_its_own_time_again() {
    let mut script = Script::welcome();
    script.asks(1, |ask| (ask.attempts, ask.timeout) = (Some(2), Some(ms(1_000))));
    script.asks(2, |ask| ask.timeout = Some(ms(100)));
    script.said();
    script.wait(100 + PATIENCE_MS).unwrap();
    assert_eq!(script.outcome(2), "timeout maybe");
    script.come_back(false);
    script.session.disconnected(script.now);
    script.wait(400).unwrap();
    assert_eq!(script.outcome(1), "timeout maybe");
}

#[test]
fn after_a_lost_session_it_may_still_be_cancelled() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.attempts = Some(2));
    script.said();
    script.come_back(false);
    assert!(script.session.cancel(request_id(1)));
    assert_eq!(script.said(), ["resume []"]);
    assert_eq!(script.session.calls.all(), 0);
}

#[test]
fn what_is_held_and_what_was_answered_is_said_to_the_new_session_too() {
    let mut script = Script::welcome();
    script.session.serve("a", 2);
    script.said();
    [10, 11].into_iter().for_each(|id| script.delivers(id));
    script.done(10, "1");
    script.come_back(false);
    assert_eq!(script.said(), ["reply 10 1", "resume [11]", "serve a 2"]);
    script.says(answerback_protocol::frames::CancelDelivery { id: delivery_id(11) }, "");
    assert_eq!(script.events(), ["cancel 11"]);
}

#[test]
fn what_is_still_held_does_not_count_against_the_credit_of_the_new_session() {
    let mut script = Script::welcome();
    script.session.serve("a", 65_535);
    for session in 0..3 {
        (0..65_535).for_each(|id| script.delivers(session << 20 | id));
        script.come_back(false);
    }
    assert_eq!(script.session.held(), 3 * 65_535);
}
