//! A new connection on the same session, after every point of a call's and a delivery's life.

use super::*;
use answerback_protocol::NodeId;

#[test]
fn a_call_that_was_said_is_announced_again_unchanged() {
    let mut script = Script::welcome();
    script.asks(1, |ask| (ask.data, ask.attempts) = (Bytes::from_static(b"7"), Some(4)));
    let before = script.said_in_full();
    script.come_back(true);
    let after = script.said_in_full();
    assert_eq!(after[0].0, r#"{"type":"resume","holding":[]}"#);
    // Unchanged, but that it says that it was said before.
    let before: Vec<_> =
        before.iter().map(|(head, data)| (head.replace('}', r#","again":true}"#), data.clone())).collect();
    assert_eq!(after[1..], before);
    script.answers(1, "8");
    assert_eq!(script.outcome(1), "ok 8");
}

#[test]
fn said_and_unsaid_calls_are_announced_in_the_order_they_were_made() {
    let mut script = Script::welcome();
    [2, 5, 9].into_iter().for_each(|id| script.calls_and_says(id));
    script.session.disconnected(script.now);
    script.calls(11);
    script.calls(12);
    script.connect(true);
    assert_eq!(script.said(), ["resume []", "request 2", "request 5", "request 9", "request 11", "request 12"]);
}

/// A client behind a balancer came to another server under the name of its session, and from there back to the first one, which took the session up again
/// and knew nothing of the calls made meanwhile: it took their announcements for new ones, and they ran a second time.
#[test]
fn a_session_does_not_go_on_at_another_server() {
    for (resumed, restarted) in [(false, false), (true, false), (false, true)] {
        let mut script = Script::away();
        let of = |script: &Script, number| Welcome { node: NodeId::new(number), ..script.welcome_frame(false) };
        script.greet();
        script.says(of(&script, 1), "");
        script.calls_and_says(1);
        script.session.disconnected(script.now);
        script.greet();
        let welcome = Welcome { resumed, restarted, ..of(&script, 2) };
        assert!(matches!(script.hears(welcome, ""), Err(Broken::Elsewhere)));
        assert_eq!(script.outcome(1), "disconnected maybe");
    }
}

#[test]
fn a_call_that_ended_is_not_announced() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.answers(1, "1");
    script.come_back(true);
    assert_eq!(script.said(), ["resume []"]);
}

#[test]
fn a_send_is_announced_until_it_is_accepted() {
    let mut script = Script::welcome();
    script.sends(1);
    script.said();
    script.come_back(true);
    assert_eq!(script.said(), ["resume []", "request 1"]);
    script.accepts(1);
    script.come_back(true);
    assert_eq!(script.said(), ["resume []"]);
}

#[test]
fn parts_go_on_where_they_were() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.sends_part(1, 1, "1");
    script.come_back(true);
    assert_eq!(script.said(), ["resume []", "request 1"]);
    script.sends_part(1, 1, "1");
    script.sends_part(1, 2, "2");
    assert_eq!(script.log.borrow().parts, ["1 1", "1 2"]);
}

#[test]
fn an_answer_that_comes_before_the_announcement_ends_the_call() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.come_back(true);
    script.answers(1, "1");
    assert_eq!(script.said(), ["resume []"]);
    assert_eq!(script.outcome(1), "ok 1");
}

#[test]
fn everything_is_said_in_the_order_of_the_protocol() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.calls_and_says_all();
    [10, 11, 12].into_iter().for_each(|id| script.delivers(id));
    assert!(script.done(11, "1"));
    script.said();
    script.session.cancel(request_id(1));
    script.come_back(true);
    assert_eq!(script.said(), ["reply 11 1", "resume [10,12]", "serve a 4", "cancel 1", "ping", "request 2"]);
}

impl Script {
    fn calls_and_says_all(&mut self) {
        self.calls(1);
        self.calls(2);
        assert_eq!(self.said(), ["serve a 4", "request 1", "request 2"]);
    }
}

#[test]
fn nothing_is_resumed_on_the_first_connection() {
    let mut script = Script::away();
    script.session.serve("a", 4);
    script.connect(false);
    assert_eq!(script.said(), ["serve a 4"]);
}

#[test]
fn half_a_greeting_changes_nothing() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    for _ in 0..3 {
        script.session.disconnected(script.now);
        script.greet();
    }
    script.come_back(true);
    assert_eq!(script.said(), ["resume []", "request 1"]);
}

#[test]
fn a_connection_that_breaks_while_things_are_said_again_says_all_of_them_on_the_next() {
    let mut script = Script::welcome();
    script.session.serve("a", 4);
    script.calls(1);
    script.calls(2);
    script.said();
    script.delivers(10);
    script.delivers(11);
    script.done(10, "1");
    script.said();
    for frames in 1..5 {
        script.come_back(true);
        for _ in 0..frames {
            script.session.transmit(script.now, &mut BytesMut::new(), 1);
        }
    }
    script.come_back(true);
    assert_eq!(script.said(), ["reply 10 1", "resume [11]", "serve a 4", "request 1", "request 2"]);
}

#[test]
fn more_than_200_deliveries_are_said_in_several_frames() {
    let mut script = Script::welcome();
    script.session.serve("a", 1_000);
    (1..=401).for_each(|id| script.delivers(id));
    script.come_back(true);
    let said = script.said();
    assert!(said[0].starts_with("resume [1,2,") && said[0].ends_with(",200] more"), "{}", said[0]);
    assert!(said[1].ends_with(",400] more"));
    assert_eq!(said[2..], ["resume [401]", "serve a 1000"]);
}

#[test]
fn a_resume_fits_into_the_smallest_frame_that_a_server_takes() {
    let mut script = Script::welcome();
    script.session.serve("a", 1_000);
    (0..200).for_each(|id| script.delivers((1 << 52) + id));
    script.max_frame = 1_024;
    script.come_back(true);
    let said = script.said_in_full();
    assert!(said.iter().all(|(head, _)| head.len() + 2 <= 1_024));
    let told: usize = said.iter().map(|(head, _)| head.matches("45035996").count()).sum();
    assert_eq!(told, 200);
}

/// The server takes back what is neither answered nor held, so what was answered and then written must be on one of the two lists.
#[test]
fn a_delivery_answered_after_welcome_is_answered_before_resume() {
    let mut script = Script::welcome();
    script.delivers(10);
    script.come_back(true);
    script.done(10, "1");
    assert_eq!(script.said(), ["reply 10 1", "resume []"]);
}

#[test]
fn what_was_handed_back_while_nobody_could_hear_it_is_missed_in_resume() {
    let mut script = Script::welcome();
    [10, 11].into_iter().for_each(|id| script.delivers(id));
    script.session.release(delivery_id(10));
    script.come_back(true);
    script.session.release(delivery_id(11));
    assert_eq!(script.said(), ["resume []"]);
}

/// Nothing was held before, so the server delivers at once, and does not wait for `resume` to know what became of it.
#[test]
fn what_came_on_this_connection_is_handed_back_in_words() {
    let mut script = Script::welcome();
    script.come_back(true);
    script.delivers(10);
    script.session.release(delivery_id(10));
    assert_eq!(script.said(), ["resume []", "release 10"]);
}

#[test]
fn a_server_that_has_restarted_is_told_everything() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.delivers(10);
    script.session.disconnected(script.now);
    script.greet();
    script.says(Welcome { restarted: true, ..script.welcome_frame(false) }, "");
    assert_eq!(script.events(), ["deliver 10 1", "welcome here true"]);
    assert_eq!(script.said(), ["resume [10]", "request 1"]);
}

/// It may not know yet what this client holds, and gives it as much again.
#[test]
fn a_server_that_has_restarted_may_give_the_whole_credit() {
    let mut script = Script::welcome();
    script.session.serve("a", 65_535);
    for life in 0..2 {
        (0..65_535).for_each(|id| script.delivers(life << 20 | id));
        script.session.disconnected(script.now);
        script.greet();
        script.says(Welcome { restarted: true, ..script.welcome_frame(false) }, "");
    }
    assert_eq!(script.session.held(), 2 * 65_535);
}

/// A server keeps only so many parts for one who is away. The rest of them looked like a whole answer.
#[test]
fn an_answer_with_a_hole_in_it_is_not_one() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.sends_part(1, 1, "1");
    script.come_back(true);
    script.said();
    script.sends_part(1, 3, "3");
    assert_eq!(script.outcome(1), "handler_lost maybe");
    assert_eq!(script.said(), ["cancel 1"]);
}

/// The last answer after parts says how many there were. Without that, an answer whose last parts had gone looked like a whole one.
#[test]
fn an_answer_whose_last_parts_are_missing_is_not_one() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.sends_part(1, 1, "1");
    script.says(Reply { seq: Some(3), ..Reply::to(request_id(1)) }, "3");
    assert_eq!(script.outcome(1), "handler_lost maybe");

    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.sends_part(1, 1, "1");
    script.says(Reply { seq: Some(2), ..Reply::to(request_id(1)) }, "2");
    assert_eq!(script.outcome(1), "ok 2");
}
