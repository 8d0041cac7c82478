//! Bytes that are no frames: each gets an error that says what it looks like, and a counter, and nobody else notices.

use crate::client::{Client, frame};
use crate::load::Bystander;
use crate::script::Stage;
use std::io::Read;
use std::net::SocketAddr;

struct Case {
    bytes: Vec<u8>,
    code: &'static str,
    message: &'static str,
    word: &'static str,
}

fn case(bytes: impl AsRef<[u8]>, code: &'static str, message: &'static str, word: &'static str) -> Case {
    Case { bytes: bytes.as_ref().to_vec(), code, message, word }
}

/// Sends the bytes as the first thing on a connection, and again after a hello. Both times the answer is the same error,
/// the connection ends, and the word is counted.
fn told(cases: &[Case]) {
    told_by(cases, &[Client::connect, |address| Client::welcomed(address, "stranger")]);
}

/// The same, after a hello alone: as the first thing these bytes are answered in their own language.
fn told_after_hello(cases: &[Case]) {
    told_by(cases, &[|address| Client::welcomed(address, "stranger")]);
}

/// Sends the bytes as the first thing on a connection, and hears all that comes back, as it comes.
fn answered(bytes: &[u8], kind: &str) -> Vec<u8> {
    let stage = Stage::with(|_| {});
    let mut client = Client::connect(stage.address);
    client.say_bytes(bytes);
    let mut answer = Vec::new();
    client.socket.read_to_end(&mut answer).unwrap();
    let report = stage.server().until("it is counted", |report| report.counters.strangers.contains_key(kind));
    assert_eq!((report.counters.strangers[kind], report.counts.connections), (1, 1), "the observer alone came in");
    answer
}

fn told_by(cases: &[Case], ways: &[fn(SocketAddr) -> Client]) {
    let mut stage = Stage::with(|_| {});
    let bystander = Bystander::start(stage.address);
    for case in cases {
        let before = counted(&mut stage, case.word);
        for mut client in ways.iter().map(|way| way(stage.address)) {
            client.say_bytes(&case.bytes);
            let heard = client.hear_to_the_end();
            let [error] = &heard[..] else { panic!("{}: heard {heard:?}", case.word) };
            assert_eq!((&error.head["type"], error.code()), (&"error".into(), case.code), "{}", case.word);
            assert_eq!(error.head["fatal"], true, "{}", case.word);
            assert!(error.head["message"].as_str().unwrap().contains(case.message), "{error:?}");
        }
        assert_eq!(counted(&mut stage, case.word), before + ways.len() as u64, "{}", case.word);
    }
    bystander.was_not_disturbed();
}

/// How often frames with this fault have come.
pub(crate) fn counted(stage: &mut Stage, word: &str) -> u64 {
    stage.stats()["total"]["malformed"][word].as_u64().unwrap_or(0)
}

/// Also when there are more of them than are ever read.
#[test]
fn s3_garbage() {
    told(&[
        case([0xff; 300_000], "too_large", "a frame of 4294967295 bytes is over", "frame_too_large"),
        case([b'x'; 64], "too_large", "over this server's limit of 8388608", "frame_too_large"),
        case([0; 300_000], "bad_request", "a frame of 0 bytes has no room", "frame_too_short"),
        case([0, 0, 0, 1, 0], "bad_request", "a frame of 1 bytes has no room", "frame_too_short"),
    ]);
}

#[test]
fn s3_a_length_of_4_gib() {
    told(&[
        case([0xff; 4], "too_large", "a frame of 4294967295 bytes is over this server's limit", "frame_too_large"),
        case([0, 0x80, 0, 1], "too_large", "a frame of 8388609 bytes is over this server's limit", "frame_too_large"),
    ]);
}

#[test]
fn s3_a_head_longer_than_its_frame() {
    let ping = br#"{"type":"ping"}"#;
    let one_short = [&[0, 0, 0, 16, 0, 15], &ping[..]].concat();
    let fault = "is longer than its frame";
    told(&[
        case([0, 0, 0, 9, 0, 200, 1, 2, 3], "bad_request", fault, "head_beyond_frame"),
        case([0, 0, 0, 2, 0, 1], "bad_request", fault, "head_beyond_frame"),
        case(one_short, "bad_request", fault, "head_beyond_frame"),
    ]);
}

#[test]
fn s3_a_head_over_4_kib() {
    let padded = format!(r#"{{"type":"ping"}}{}"#, " ".repeat(4_097 - 15));
    told(&[
        case(frame(&padded, ""), "too_large", "a head of 4097 bytes is over the limit of 4096", "head_too_large"),
        case([0, 1, 0x11, 0x70, 0xff, 0xff], "too_large", "a head of 65535 bytes is over", "head_too_large"),
    ]);
    // One byte less is a head.
    let mut stage = Stage::with(|_| {});
    stage.lines(&format!("web > {{\"type\":\"request\",\"id\":1,\"action\":\"$echo\"{}}} 1", " ".repeat(4_054)));
    assert_eq!(stage.client("web").hear().data, b"1");
}

/// A browser, a health check, a WebSocket that wants to begin: this port is not for them, and says which is.
#[test]
fn s3_http() {
    let upgrade = "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let fault = "this port speaks Answerback, not HTTP";
    told_after_hello(&[
        case("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request", fault, "http"),
        case("POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "bad_request", fault, "http"),
        case(upgrade, "bad_request", fault, "http"),
    ]);
    let answer = String::from_utf8(answered(upgrade.as_bytes(), "http")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains(fault), "{answer}");
}

#[test]
fn s3_tls() {
    let fault = "connect without TLS";
    told_after_hello(&[
        case([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], "bad_request", fault, "tls"),
        case([0x16, 3, 3, 0, 0x2a], "bad_request", fault, "tls"),
    ]);
    // A record with a fatal alert: handshake_failure.
    assert_eq!(answered(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], "tls"), [21, 3, 3, 0, 2, 2, 40]);
}

#[test]
fn a_sealed_opening() {
    let opening = b"\xab\x53\x01\x04key1";
    told_after_hello(&[case(opening, "bad_request", "this server has no key", "sealed")]);
    let answer = answered(opening, "sealed");
    let head: serde_json::Value = serde_json::from_slice(&answer[6..]).unwrap();
    assert_eq!((&head["code"], &head["fatal"]), (&"bad_request".into(), &true.into()));
    assert!(head["message"].as_str().unwrap().contains("this server has no keys: connect without a key"), "{head}");
}
