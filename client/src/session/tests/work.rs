//! Deliveries, answers, and acknowledgements of them.

use super::*;
use answerback_protocol::frames::CancelDelivery;

fn serving() -> Script {
    let mut script = Script::welcome();
    script.session.serve("a", 100);
    script.said();
    script
}

#[test]
fn a_delivery_is_held_until_its_answer() {
    let mut script = serving();
    script.delivers(10);
    assert_eq!(script.events(), ["deliver 10 1"]);
    assert_eq!(script.session.held(), 1);
    assert!(script.done(10, "2"));
    assert_eq!(script.session.held(), 0);
    assert!(!script.done(10, "3"));
    assert_eq!(script.said(), ["reply 10 2"]);
}

#[test]
fn a_delivery_says_what_it_is() {
    let mut script = serving();
    let deliver = Deliver { left: 250, attempt: 3, trace: Some("t".into()), ..deliver(10) };
    script.says(deliver, "7");
    let Some(Event::Deliver(delivery)) = script.session.next_event() else { panic!("no delivery") };
    assert_eq!((&*delivery.action, &*delivery.from, delivery.trace.as_deref()), ("a", "you", Some("t")));
    assert_eq!((delivery.deadline, delivery.attempt), (script.now + ms(250), 3));
}

#[test]
fn a_delivery_that_is_held_already_is_not_worked_on_twice() {
    let mut script = serving();
    script.delivers(10);
    script.delivers(10);
    assert_eq!(script.events(), ["deliver 10 1"]);
}

#[test]
fn an_answer_in_parts_is_numbered() {
    let mut script = serving();
    script.delivers(10);
    for data in ["1", "2"] {
        assert!(script.session.answer(delivery_id(10), Verdict::Part(Bytes::copy_from_slice(data.as_bytes()))));
    }
    script.done(10, "3");
    assert_eq!(script.said(), ["reply 10 part 1 1", "reply 10 part 2 2", "reply 10 3"]);
}

#[test]
fn a_fault_has_code_message_and_data() {
    let mut script = serving();
    script.delivers(10);
    let fault = crate::Fault::new("no_stock", "none left").retryable().with_data(&7);
    assert!(script.session.answer(delivery_id(10), Verdict::Fault(fault)));
    let (head, data) = script.said_in_full().remove(0);
    assert_eq!(head, r#"{"type":"reply","id":10,"error":{"code":"no_stock","message":"none left","retryable":true}}"#);
    assert_eq!(data, "7");
}

#[test]
fn what_is_handed_back_is_not_held() {
    let mut script = serving();
    script.delivers(10);
    assert!(script.session.release(delivery_id(10)));
    assert!(!script.session.release(delivery_id(10)));
    assert!(!script.done(10, "1"));
    assert_eq!(script.said(), ["release 10"]);
}

#[test]
fn only_what_is_held_can_be_cancelled() {
    let mut script = serving();
    script.delivers(10);
    script.says(CancelDelivery { id: delivery_id(10) }, "");
    script.says(CancelDelivery { id: delivery_id(11) }, "");
    assert_eq!(script.events(), ["deliver 10 1", "cancel 10"]);
    assert_eq!(script.session.held(), 1);
}

#[test]
fn answers_are_said_again_until_they_are_acknowledged() {
    let mut script = serving();
    for id in 10..15 {
        script.delivers(id);
        script.done(id, "12345");
    }
    assert_eq!(script.said().len(), 5);
    assert_eq!(script.session.work.kept_bytes(), 25);
    script.acknowledges(2);
    assert_eq!(script.session.work.kept_bytes(), 15);
    script.acknowledges(1);
    script.come_back(true);
    let again = ["reply 12 12345", "reply 13 12345", "reply 14 12345", "resume []", "serve a 100"];
    assert_eq!(script.said(), again);
    script.acknowledges(3);
    assert_eq!(script.session.work.kept_bytes(), 0);
    script.come_back(true);
    assert_eq!(script.said(), ["resume []", "serve a 100"]);
}

#[test]
fn an_answer_made_while_away_is_said_on_the_next_connection() {
    let mut script = serving();
    script.delivers(10);
    script.session.disconnected(script.now);
    assert!(script.done(10, "1"));
    assert!(!script.session.is_idle());
    script.connect(true);
    assert_eq!(script.said(), ["reply 10 1", "resume []", "serve a 100"]);
    assert!(script.session.is_idle());
}

#[test]
fn a_server_cannot_acknowledge_what_it_was_not_sent() {
    let mut script = serving();
    script.delivers(10);
    script.done(10, "1");
    let early = script.hears(Ack { replies: 1 }, "");
    assert!(matches!(early, Err(Broken::Malformed(_))), "{early:?}");
    script.said();
    script.acknowledges(1);
    assert!(script.hears(Ack { replies: u64::MAX >> 12 }, "").is_err());
}

/// A client with more answers than a server may leave unacknowledged.
fn with_many_answers() -> Script {
    let mut script = Script::welcome();
    script.session.serve("a", 65_535);
    script.said();
    for id in 0..66_000 {
        script.delivers(id);
        script.done(id, "1");
        script.session.next_event();
    }
    script
}

impl Script {
    /// The server is there, and says nothing.
    fn idles(&mut self, heartbeats: u64) -> Result<(), Broken> {
        (0..heartbeats).try_for_each(|_| {
            self.says(answerback_protocol::frames::Pong, "");
            self.wait(HEARTBEAT_MS - 1)
        })
    }
}

#[test]
fn a_server_that_acknowledges_nothing_is_left() {
    let mut script = with_many_answers();
    assert_eq!(script.said().len(), 65_536, "more would only fill the server");
    script.idles(9).unwrap();
    script.calls_and_says(1);
    let waited = script.idles(2);
    assert!(matches!(waited, Err(Broken::Unacknowledged)), "{waited:?}");
    assert_eq!(script.session.work.kept_bytes(), 66_000);
}

#[test]
fn a_server_that_acknowledges_late_gets_the_rest() {
    let mut script = with_many_answers();
    script.session.bye();
    assert_eq!(script.said().len(), 65_536);
    script.idles(9).unwrap();
    script.acknowledges(65_000);
    script.idles(20).unwrap();
    let rest = script.said();
    assert_eq!((rest.len(), rest.last().unwrap().as_str()), (66_000 - 65_536 + 1, "bye"));
    script.acknowledges(66_000);
    assert_eq!(script.session.work.kept_bytes(), 0);
    assert!(script.session.is_idle());
}

/// Otherwise the server would take the deliveries whose answers wait for ones that never arrived.
#[test]
fn resume_waits_for_answers_that_wait_for_acknowledgements() {
    let mut script = with_many_answers();
    script.come_back(true);
    assert!(script.said().iter().all(|frame| frame.starts_with("reply")));
    script.calls(1);
    assert!(!script.session.wants_to_transmit());
    script.acknowledges(65_000);
    let rest = script.said();
    assert_eq!(rest[66_000 - 65_536..], ["resume []", "serve a 65535", "request 1"]);
}
