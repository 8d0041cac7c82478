//! What does not fit.

use super::*;
use answerback_protocol::limits::NAME_BYTES_MAX;

fn data(bytes: usize) -> Bytes {
    Bytes::from(vec![b'7'; bytes])
}

#[test]
fn calls_are_counted() {
    let mut script = Script::with_limits(Limits { calls: 2, ..limits() });
    (1..=3).for_each(|id| script.calls(id));
    assert_eq!((script.outcome(2), script.outcome(3)), (String::new(), "overloaded no".into()));
    let text = script.log.borrow().ended[&3][0].result.as_ref().unwrap_err().to_string();
    assert!(text.contains("2 calls") && text.contains("max_calls"), "{text}");
    script.connect(false);
    script.said();
    script.answers(1, "");
    script.calls(4);
    assert_eq!(script.outcome(4), "");
}

#[test]
fn their_data_is_counted() {
    let mut script = Script::with_limits(Limits { bytes: 100, ..limits() });
    script.connect(false);
    script.asks(1, |ask| ask.data = data(60));
    script.asks(2, |ask| ask.data = data(41));
    script.asks(3, |ask| ask.data = data(40));
    assert_eq!((script.outcome(2), script.outcome(3)), ("overloaded no".into(), String::new()));
    let text = script.log.borrow().ended[&2][0].result.as_ref().unwrap_err().to_string();
    assert!(text.contains("100 bytes") && text.contains("max_bytes"), "{text}");
    script.said();
    script.answers(1, "");
    script.asks(4, |ask| ask.data = data(60));
    assert_eq!(script.outcome(4), "");
}

#[test]
fn however_a_call_ends_its_bytes_are_free_again() {
    let mut script = Script::with_limits(Limits { bytes: 100, ..limits() });
    let ends: [fn(&mut Script); 7] = [
        |script| assert!(script.session.cancel(request_id(1))),
        |script| script.session.give_up(Code::Disconnected, "over"),
        |script| drop(script.session.take_unsaid()),
        |script| script.wait(30_000).unwrap(),
        |script| {
            script.connect(false);
            script.said();
            script.come_back(false);
        },
        |script| {
            script.come_back(false);
            script.said();
            script.answers(1, "");
        },
        |script| {
            script.log.borrow_mut().gone.push(1);
            script.come_back(false);
            script.said();
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        script.log.borrow_mut().ended.clear();
        script.asks(1, |ask| ask.data = data(100));
        assert_eq!(script.outcome(1), "", "before end {number}");
        end(&mut script);
        assert_eq!((script.session.calls.bytes(), script.session.calls()), (0, 0), "after end {number}");
        script.session.disconnected(script.now);
    }
}

#[test]
fn data_that_does_not_fit_into_a_frame_is_refused_when_it_is_asked() {
    let mut script = Script::welcome();
    script.max_frame = 10_000;
    script.come_back(true);
    script.asks(1, |ask| ask.data = data(10_000));
    assert_eq!(script.outcome(1), "too_large no");
    script.asks(2, |ask| ask.data = data(9_000));
    assert_eq!(script.outcome(2), "");
}

#[test]
fn data_that_does_not_fit_into_a_frame_is_refused_when_it_would_be_written() {
    let mut script = Script::away();
    script.asks(1, |ask| ask.data = data(10_000));
    script.max_frame = 10_000;
    script.connect(false);
    assert!(script.said().is_empty());
    assert_eq!(script.outcome(1), "too_large no");
}

#[test]
fn a_call_that_cannot_be_announced_to_a_server_that_takes_less_may_have_run() {
    let mut script = Script::welcome();
    script.asks(1, |ask| ask.data = data(10_000));
    script.said();
    script.max_frame = 10_000;
    script.come_back(true);
    assert_eq!(script.said(), ["resume []"]);
    assert_eq!(script.outcome(1), "too_large maybe");
}

/// A frame over the limit would end the connection, and be said again on the next one, for ever.
#[test]
fn no_request_is_ever_over_the_limit() {
    let mut script = Script::welcome();
    let name = "\"".repeat(NAME_BYTES_MAX);
    for max_frame in [1_024, 1_500, 3_000] {
        script.max_frame = max_frame;
        script.come_back(true);
        for bytes in (0..max_frame as usize).step_by(100) {
            let id = u64::from(max_frame) << 20 | bytes as u64;
            script.asks(id, |ask| {
                (ask.action, ask.key, ask.trace) =
                    (name.clone().into(), Some(name.clone().into()), Some(name.clone().into()));
                (ask.data, ask.ttl) = (data(bytes), Some(Duration::MAX));
                (ask.durable, ask.info, ask.reply, ask.attempts) = (true, true, false, Some(1_000));
            });
            script.asks(id + (1 << 40), |ask| ask.data = data(bytes));
        }
        for (head, data) in script.said_in_full() {
            assert!(head.len() + 2 + data.len() <= max_frame as usize, "{} + {}", head.len(), data.len());
        }
    }
}

#[test]
fn an_answer_that_is_too_large_becomes_a_fault() {
    let mut script = Script::away();
    script.max_frame = 2_000;
    script.connect(false);
    script.delivers(10);
    assert!(script.session.answer(delivery_id(10), Verdict::Done(data(2_000))));
    assert_eq!(script.said(), ["reply 10 fault too_large"]);
    assert_eq!((script.session.held(), script.session.work.kept_bytes()), (0, 0));
}

#[test]
fn a_part_that_is_too_large_ends_its_delivery() {
    let mut script = Script::away();
    script.max_frame = 2_000;
    script.connect(false);
    script.delivers(10);
    assert!(script.session.answer(delivery_id(10), Verdict::Part(data(1_000))));
    assert!(!script.session.answer(delivery_id(10), Verdict::Part(data(2_000))));
    assert!(!script.done(10, "1"));
    assert_eq!(script.said()[1..], ["reply 10 fault too_large"]);
}

#[test]
fn an_answer_that_has_become_too_large_is_a_fault_on_the_next_connection() {
    let mut script = Script::welcome();
    [10, 11].into_iter().for_each(|id| script.delivers(id));
    script.session.answer(delivery_id(10), Verdict::Done(data(5_000)));
    script.session.answer(delivery_id(11), Verdict::Part(data(5_000)));
    script.said();
    script.max_frame = 2_000;
    script.come_back(true);
    assert_eq!(script.said(), ["reply 10 fault too_large", "reply 11 fault too_large", "resume []"]);
    assert!(!script.done(11, "1"));
}

#[test]
fn the_longest_fault_fits_into_the_smallest_frame() {
    let mut script = Script::away();
    script.max_frame = 1_024;
    script.connect(false);
    for (id, message) in [(10, "\u{1}".repeat(1_024)), (11, "\"".repeat(1_024)), (12, "x".repeat(1_024))] {
        script.delivers(id);
        script.session.answer(delivery_id(id), Verdict::Fault(crate::Fault::new("\"".repeat(255), message)));
    }
    let said = script.said_in_full();
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|(head, data)| head.len() + 2 + data.len() <= 1_024));
}
