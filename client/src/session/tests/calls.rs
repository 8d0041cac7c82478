//! The arrows of the drawn life of a call, on one connection.

use super::*;
use answerback_protocol::frames::{CallInfo, Fault, Gather};

#[test]
fn a_call_is_written_and_ends_with_its_answer() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.data = Bytes::from_static(b"{}"));
    assert_eq!(script.said(), ["request 1 {}"]);
    assert_eq!((script.session.calls(), script.outcome(1)), (1, String::new()));
    script.answers(1, "[2]");
    assert_eq!((script.session.calls(), script.outcome(1)), (0, "ok [2]".into()));
}

#[test]
fn a_call_says_all_that_it_was_asked_to_say() {
    let mut script = Script::welcome();
    script.asks(1, |ask| {
        (ask.ttl, ask.timeout, ask.attempts) = (Some(ms(500)), Some(ms(2_000)), Some(2));
        (ask.durable, ask.info, ask.key, ask.trace) = (true, true, Some("k".into()), Some("t".into()));
    });
    script.asks(2, |ask| (ask.reply, ask.timeout) = (false, None));
    script.asks(3, |ask| ask.broadcast = true);
    let heads: Vec<_> = script.said_in_full().into_iter().map(|(head, _)| head).collect();
    assert_eq!(
        heads,
        [
            r#"{"type":"request","id":1,"action":"a","ttl":500,"timeout":2000,"attempts":2,"durable":true,"key":"k","info":true,"trace":"t"}"#,
            r#"{"type":"request","id":2,"action":"a","reply":false}"#,
            r#"{"type":"request","id":3,"action":"a","timeout":30000,"broadcast":true}"#,
        ]
    );
}

#[test]
fn calls_made_before_there_is_a_connection_are_written_after_welcome_in_order() {
    let mut script = Script::away();
    (1..=20).for_each(|id| script.calls(id));
    assert!(!script.session.wants_to_transmit());
    script.greet();
    script.calls(21);
    assert!(script.said().is_empty());
    script.says(script.welcome_frame(false), "");
    assert_eq!(script.said(), (1..=21).map(|id| format!("request {id}")).collect::<Vec<_>>());
}

#[test]
fn an_error_of_the_broker_ends_a_call() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.fails(1, Code::NoHandler, Ran::No);
    assert_eq!(script.outcome(1), "no_handler no");
}

#[test]
fn a_fault_has_its_data() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    let fault = Fault { code: "broke".into(), message: "it broke".into(), retryable: true };
    let error = CallError {
        code: Code::Fault,
        message: "m".into(),
        ran: Ran::Yes,
        attempts: 1,
        retry_after: None,
        fault: Some(fault),
    };
    script.says(Reply { error: Some(Box::new(error)), ..Reply::to(request_id(1)) }, "[7]");
    let log = script.log.borrow();
    let fault = log.ended[&1][0].result.as_ref().unwrap_err().fault().unwrap();
    assert_eq!((fault.code(), fault.is_retryable(), fault.raw_data()), ("broke", true, &b"[7]"[..]));
}

#[test]
fn an_answer_says_where_the_time_went_and_a_broadcast_how_many_answered() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    let info = CallInfo { queued: 2, ran: Some(3), by: Some("you".into()) };
    let gather = Gather { expected: 3, answered: 1, failed: 1, lost: 1 };
    let reply = Reply { info: Some(Box::new(info)), gather: Some(Box::new(gather)), ..Reply::to(request_id(1)) };
    script.says(reply, "");
    let log = script.log.borrow();
    let ending = &log.ended[&1][0];
    assert_eq!(ending.info, Some(Box::new(Info { queued: ms(2), ran: Some(ms(3)), by: Some("you".into()) })));
    assert_eq!(ending.counts, Some(Counts { expected: 3, answered: 1, failed: 1, lost: 1 }));
}

#[test]
fn a_send_ends_when_it_is_accepted() {
    let mut script = Script::welcome();
    script.sends(1);
    assert_eq!(script.said(), ["request 1"]);
    script.accepts(1);
    assert_eq!(script.outcome(1), "ok ");
}

#[test]
fn a_send_may_be_refused() {
    let mut script = Script::welcome();
    script.sends(1);
    script.said();
    script.fails(1, Code::Overloaded, Ran::No);
    assert_eq!(script.outcome(1), "overloaded no");
}

#[test]
fn a_call_that_is_accepted_still_waits_for_its_answer() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.accepts(1);
    assert_eq!(script.outcome(1), "");
    script.answers(1, "2");
    assert_eq!(script.outcome(1), "ok 2");
}

#[test]
fn parts_come_in_order_and_those_that_come_again_are_known_by_their_numbers() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.sends_part(1, 1, "1");
    script.sends_part(1, 2, "2");
    script.sends_part(1, 1, "1");
    script.sends_part(1, 2, "2");
    script.sends_part(1, 3, "3");
    script.answers(1, "4");
    assert_eq!(script.log.borrow().parts, ["1 1", "1 2", "1 3"]);
    assert_eq!(script.outcome(1), "ok 4");
}

#[test]
fn parts_without_numbers_are_all_passed_on() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    for _ in 0..2 {
        script.says(Reply { part: true, from: Some("you".into()), ..Reply::to(request_id(1)) }, "1");
    }
    assert_eq!(script.log.borrow().parts, ["1 you: 1", "1 you: 1"]);
}

#[test]
fn a_part_of_a_broadcast_may_be_an_error() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    let error = CallError {
        code: Code::HandlerLost,
        message: "m".into(),
        ran: Ran::Maybe,
        attempts: 1,
        retry_after: None,
        fault: None,
    };
    let part = Reply { part: true, seq: Some(1), from: Some("you".into()), ..Reply::to(request_id(1)) };
    script.says(Reply { error: Some(Box::new(error)), ..part }, "");
    assert_eq!(script.log.borrow().parts, ["1 you: handler_lost"]);
    assert_eq!(script.outcome(1), "");
}

#[test]
fn an_answer_to_nobody_is_ignored() {
    let mut script = Script::welcome();
    script.answers(9, "1");
    script.sends_part(9, 1, "1");
    script.accepts(9);
    script.calls_and_says(1);
    script.answers(1, "1");
    script.answers(1, "2");
    assert_eq!(script.outcome(1), "ok 1");
}

#[test]
fn an_error_about_an_id_does_not_leave_its_call_waiting_and_promises_nothing() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.calls(2);
    for id in [1, 2, 3] {
        let about = Some(answerback_protocol::frames::About::Id(request_id(id)));
        let notice = answerback_protocol::frames::ErrorNotice {
            code: Code::BadRequest,
            message: "m".into(),
            about,
            fatal: false,
        };
        script.says(notice, "");
    }
    assert_eq!((script.outcome(1), script.outcome(2)), ("bad_request maybe".into(), String::new()));
}

#[test]
fn a_call_whose_caller_has_gone_is_not_written() {
    let mut script = Script::welcome();
    script.calls(1);
    script.log.borrow_mut().gone.push(1);
    assert!(script.said().is_empty());
    assert_eq!((script.session.calls(), script.outcome(1)), (0, String::new()));
}
