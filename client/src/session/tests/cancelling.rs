//! Calls that nobody waits for any more, at every point of their lives.

use super::*;
use answerback_protocol::frames::Pong;

#[test]
fn what_was_not_said_is_forgotten_without_a_word() {
    let mut script = Script::welcome();
    script.calls(1);
    assert!(script.session.cancel(request_id(1)));
    assert!(script.said().is_empty());
    assert!(!script.session.cancel(request_id(1)));
}

#[test]
fn what_was_said_is_cancelled_and_forgotten_with_its_answer() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    assert!(script.session.cancel(request_id(1)));
    assert_eq!(script.said(), ["cancel 1"]);
    assert_eq!(script.session.calls.all(), 1);
    script.fails(1, Code::Cancelled, Ran::Maybe);
    assert_eq!((script.session.calls.all(), script.outcome(1)), (0, String::new()));
}

#[test]
fn a_send_is_cancelled_like_a_call_and_forgotten_when_it_is_accepted() {
    let mut script = Script::welcome();
    script.sends(1);
    script.said();
    script.session.cancel(request_id(1));
    assert_eq!(script.said(), ["cancel 1"]);
    script.accepts(1);
    assert_eq!((script.session.calls.all(), script.outcome(1)), (0, String::new()));
}

#[test]
fn an_answer_that_crosses_the_cancel_ends_it_before_it_is_said() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.session.cancel(request_id(1));
    script.answers(1, "1");
    assert!(script.said().is_empty());
    assert!(!script.session.cancel(request_id(1)));
}

#[test]
fn who_wants_no_more_parts_cancels() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.log.borrow_mut().want_no_parts = true;
    script.sends_part(1, 1, "1");
    script.sends_part(1, 2, "2");
    assert_eq!(script.log.borrow().parts, ["1 1"]);
    assert_eq!(script.said(), ["cancel 1"]);
    script.answers(1, "3");
    assert_eq!(script.outcome(1), "");
}

#[test]
fn a_cancel_gives_back_the_room_of_the_data_but_not_the_place_of_the_call() {
    let mut script = Script::with_limits(Limits { calls: 2, bytes: 10, ..limits() });
    script.connect(false);
    script.asks(1, |ask| ask.data = Bytes::from_static(b"0123456789"));
    script.said();
    script.session.cancel(request_id(1));
    script.asks(2, |ask| ask.data = Bytes::from_static(b"0123456789"));
    assert_eq!(script.outcome(2), "");
    script.calls(3);
    assert_eq!(script.outcome(3), "overloaded no");
}

/// The broker answers a cancel only on the connection of the announcement, and to announce what was cancelled would start it if the
/// first announcement never arrived. So the answer to a ping tells that the cancel has arrived.
#[test]
fn on_a_new_connection_a_cancel_is_said_without_its_request_and_settled_by_a_pong() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.session.cancel(request_id(1));
    script.said();
    script.come_back(true);
    assert_eq!(script.said(), ["resume []", "cancel 1", "ping"]);
    assert_eq!(script.session.calls.all(), 1);
    script.says(Pong, "");
    assert_eq!(script.session.calls.all(), 0);
    script.come_back(true);
    assert_eq!(script.said(), ["resume []"]);
}

#[test]
fn a_cancel_that_may_not_have_arrived_is_said_on_every_connection() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.session.disconnected(script.now);
    assert!(script.session.cancel(request_id(1)));
    for _ in 0..3 {
        script.come_back(true);
        assert_eq!(script.said(), ["resume []", "cancel 1", "ping"]);
    }
}

#[test]
fn the_pong_to_an_earlier_ping_does_not_settle_a_cancel() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.session.cancel(request_id(1));
    script.come_back(true);
    script.wait(HEARTBEAT_MS).unwrap();
    assert_eq!(script.said(), ["ping", "resume []", "cancel 1", "ping"]);
    script.says(Pong, "");
    assert_eq!(script.session.calls.all(), 1);
    script.says(Pong, "");
    assert_eq!(script.session.calls.all(), 0);
}

#[test]
fn a_pong_of_an_earlier_connection_does_not_settle_a_cancel() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.session.cancel(request_id(1));
    script.come_back(true);
    script.said();
    script.come_back(true);
    // Room for a ping, and not for the cancel.
    script.wait(HEARTBEAT_MS).unwrap();
    script.session.transmit(script.now, &mut BytesMut::new(), 1);
    script.says(Pong, "");
    assert_eq!(script.session.calls.all(), 1);
}

#[test]
fn a_call_that_is_cancelled_before_it_is_announced_again_is_not_announced() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.come_back(true);
    script.session.cancel(request_id(1));
    assert_eq!(script.said(), ["resume []", "cancel 1", "ping"]);
}

#[test]
fn a_lost_session_has_cancelled_already() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.session.cancel(request_id(1));
    script.come_back(false);
    assert_eq!(script.said(), ["resume []"]);
    assert_eq!(script.session.calls.all(), 0);
}

#[test]
fn a_cancel_without_any_answer_is_forgotten_with_the_time_of_its_call() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.timeout = Some(ms(100)));
    script.said();
    script.session.cancel(request_id(1));
    script.said();
    script.wait(100 + PATIENCE_MS - 1).unwrap();
    assert_eq!(script.session.calls.all(), 1);
    script.wait(1).unwrap();
    assert_eq!((script.session.calls.all(), script.outcome(1)), (0, String::new()));
}
