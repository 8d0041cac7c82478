//! Greeting, signs of life, acks, and servers that do not keep to the protocol.

use super::*;
use answerback_protocol::frames::{ErrorNotice, Ping, Pong};
use answerback_protocol::limits::{FRAME_BYTES_DEFAULT, SERVER_EXTRA_BYTES};

fn raw(head: &str) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&(head.len() as u32 + 2).to_be_bytes());
    bytes.extend_from_slice(&(head.len() as u16).to_be_bytes());
    bytes.extend_from_slice(head.as_bytes());
    bytes
}

#[test]
fn hello_says_who_this_is() {
    let mut script = Script::away();
    script.session.connected(script.now);
    let (head, _) = script.said_in_full().remove(0);
    let session = "00000000000000000000000000000007";
    let agent = concat!("answerback-rust/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        head,
        format!(r#"{{"type":"hello","protocol":[1,1],"name":"me","session":"{session}","agent":"{agent}"}}"#)
    );
}

#[test]
fn the_frame_limit_is_what_welcome_says() {
    let mut script = Script::away();
    assert_eq!(script.session.frame_limit(), FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES);
    script.max_frame = 5_000;
    script.connect(false);
    assert_eq!(script.session.frame_limit(), 5_000 + SERVER_EXTRA_BYTES);
    script.session.disconnected(script.now);
    assert_eq!(script.session.frame_limit(), FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES);
}

#[test]
fn a_welcome_that_does_not_come_in_time_is_silence() {
    let mut script = Script::away();
    script.greet();
    script.wait(4_999).unwrap();
    assert!(matches!(script.wait(1), Err(Broken::Silent)));
}

#[test]
fn a_ping_is_answered_at_once_and_each() {
    let mut script = Script::welcome();
    script.says(Ping, "");
    script.says(Ping, "");
    assert_eq!(script.said(), ["pong", "pong"]);
}

#[test]
fn after_one_heartbeat_of_silence_it_asks_once_and_after_two_it_leaves() {
    let mut script = Script::welcome();
    script.wait(HEARTBEAT_MS - 1).unwrap();
    assert!(script.said().is_empty());
    script.wait(1).unwrap();
    assert_eq!(script.said(), ["ping"]);
    script.wait(HEARTBEAT_MS - 1).unwrap();
    assert!(script.said().is_empty());
    assert!(matches!(script.wait(1), Err(Broken::Silent)));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut script = Script::welcome();
    for _ in 0..5 {
        script.wait(HEARTBEAT_MS + 10).unwrap();
        assert_eq!(script.said(), ["ping"]);
        script.session.heard(script.now);
    }
}

#[test]
fn who_slept_asks_before_it_calls_the_server_silent() {
    let mut script = Script::welcome();
    script.now += ms(10 * HEARTBEAT_MS);
    script.session.handle_timeout(script.now).unwrap();
    assert_eq!(script.said(), ["ping"]);
    script.says(Pong, "");
    script.wait(HEARTBEAT_MS - 1).unwrap();
    assert!(script.said().is_empty());
}

#[test]
fn a_heartbeat_is_neither_too_short_nor_too_long() {
    for (heartbeat, due) in [(0, 10), (u64::MAX >> 11, 3_600_000)] {
        let mut script = Script::away();
        script.greet();
        script.says(Welcome { heartbeat, ..script.welcome_frame(false) }, "");
        assert_eq!(script.session.poll_timeout(), Some(script.now + ms(due)));
    }
}

#[test]
fn no_timers_run_while_it_is_away() {
    let mut script = Script::welcome();
    script.answers(9, "1");
    script.session.disconnected(script.now);
    assert_eq!(script.session.poll_timeout(), None);
}

#[test]
fn replies_are_acknowledged_after_128() {
    let mut script = Script::welcome();
    (0..127).for_each(|id| script.answers(id, ""));
    assert!(script.said().is_empty());
    script.sends_part(9, 1, "");
    assert_eq!(script.said(), ["ack 128"]);
    (0..128).for_each(|id| script.answers(id, ""));
    assert_eq!(script.said(), ["ack 256"]);
}

#[test]
fn replies_are_acknowledged_after_a_quarter_of_a_mebibyte() {
    let mut script = Script::welcome();
    script.answers(1, &"7".repeat(262_143));
    assert!(script.said().is_empty());
    script.answers(2, "7");
    assert_eq!(script.said(), ["ack 2"]);
}

#[test]
fn replies_are_acknowledged_250_ms_after_the_first() {
    let mut script = Script::welcome();
    script.answers(1, "");
    script.wait(200).unwrap();
    script.answers(2, "");
    script.wait(49).unwrap();
    assert!(script.said().is_empty());
    script.wait(1).unwrap();
    assert_eq!(script.said(), ["ack 2"]);
    script.wait(400).unwrap();
    assert!(script.said().is_empty());
}

#[test]
fn acks_count_from_nothing_on_each_connection() {
    let mut script = Script::welcome();
    (0..130).for_each(|id| script.answers(id, ""));
    script.come_back(true);
    script.answers(1, "");
    script.wait(250).unwrap();
    assert_eq!(script.said(), ["ack 1", "resume []"]);
}

#[test]
fn a_fatal_error_ends_the_connection_with_the_servers_words() {
    let notice = ErrorNotice { code: Code::Replaced, message: "taken over".into(), about: None, fatal: true };
    let mut script = Script::away();
    script.greet();
    for ran in [Ran::No, Ran::Maybe] {
        let Err(Broken::Fatal(error)) = script.hears(notice.clone(), "") else { panic!("it goes on") };
        assert_eq!((error.code(), error.message(), error.ran()), (Code::Replaced, "taken over", ran));
        script.connect(false);
    }
}

#[test]
fn an_error_that_is_not_fatal_and_about_nothing_is_ignored() {
    let mut script = Script::welcome();
    script.says(ErrorNotice { code: Code::BadRequest, message: "m".into(), about: None, fatal: false }, "");
    assert!(script.said().is_empty());
}

#[test]
fn types_that_are_not_known_and_confirmations_that_nobody_waits_for_are_ignored() {
    let mut script = Script::welcome();
    script.hears_bytes(raw(r#"{"type":"weather","of":"tomorrow"}"#)).unwrap();
    script.hears_bytes(raw(r#"{"type":"subscribed","topic":"t"}"#)).unwrap();
    assert!(script.events().is_empty());
}

#[test]
fn a_head_that_is_wrong_ends_the_connection_and_says_why() {
    for (head, why) in
        [("{", "not JSON"), (r#"{"type":"reply"}"#, "`id` is missing"), ("[]", "must be one JSON object")]
    {
        let Err(Broken::Malformed(text)) = Script::welcome().hears_bytes(raw(head)) else { panic!("{head} is taken") };
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn nothing_but_welcome_and_errors_may_come_first() {
    let mut script = Script::away();
    script.greet();
    script.says(Ping, "");
    assert!(script.said().is_empty());
    assert!(matches!(script.hears(Reply::to(request_id(1)), ""), Err(Broken::Malformed(_))));
    let mut script = Script::welcome();
    assert!(script.hears(script.welcome_frame(false), "").is_err());
}

#[test]
fn a_welcome_that_cannot_be_is_not_one() {
    let wrong: [fn(&mut Welcome<'_>); 4] = [
        |welcome| welcome.session = SessionId::new(8),
        |welcome| welcome.protocol = 2,
        |welcome| welcome.max_frame = 1_023,
        |welcome| welcome.max_frame = u32::MAX,
    ];
    for change in wrong {
        let mut script = Script::away();
        script.greet();
        let mut welcome = script.welcome_frame(false);
        change(&mut welcome);
        assert!(matches!(script.hears(welcome, ""), Err(Broken::Malformed(_))));
        assert!(!script.session.is_welcome());
    }
}

#[test]
fn a_server_that_delivers_without_end_is_left() {
    let mut script = Script::welcome();
    script.session.serve("a", 10);
    (0..1_010).for_each(|id| script.delivers(id));
    assert!(matches!(script.hears(deliver(1_010), ""), Err(Broken::Malformed(_))));
    assert_eq!(script.session.held(), 1_010);
}

#[test]
fn frames_of_a_connection_that_is_gone_are_not_heard() {
    let mut script = Script::welcome();
    script.calls_and_says(1);
    script.session.disconnected(script.now);
    script.answers(1, "1");
    assert_eq!(script.outcome(1), "");
}

#[test]
fn transmit_stops_when_it_has_written_enough() {
    let mut script = Script::welcome();
    (1..=10).for_each(|id| script.calls(id));
    let mut out = BytesMut::new();
    script.session.transmit(script.now, &mut out, 100);
    assert!((100..200).contains(&out.len()), "{}", out.len());
    assert!(script.session.wants_to_transmit());
    let before = frames_of(out).len();
    assert_eq!(before + script.said().len(), 10);
    assert!(!script.session.wants_to_transmit());
}
