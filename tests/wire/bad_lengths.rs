//! Bytes that are no frames: each gets an error that says what it looks like, and a counter, and nobody else notices.

use crate::client::{Client, frame};
use crate::load::Bystander;
use crate::script::Stage;

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
    let mut stage = Stage::with(|_| {});
    let bystander = Bystander::start(stage.address);
    for case in cases {
        let before = counted(&mut stage, case.word);
        for mut client in [Client::connect(stage.address), Client::welcomed(stage.address, "stranger")] {
            client.say_bytes(&case.bytes);
            let heard = client.hear_to_the_end();
            let [error] = &heard[..] else { panic!("{}: heard {heard:?}", case.word) };
            assert_eq!((&error.head["type"], error.code()), (&"error".into(), case.code), "{}", case.word);
            assert_eq!(error.head["fatal"], true, "{}", case.word);
            assert!(error.head["message"].as_str().unwrap().contains(case.message), "{error:?}");
        }
        assert_eq!(counted(&mut stage, case.word), before + 2, "{}", case.word);
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
    told(&[
        case("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request", fault, "http"),
        case("POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "bad_request", fault, "http"),
        case(upgrade, "bad_request", fault, "http"),
    ]);
}

#[test]
fn s3_tls() {
    let fault = "connect without TLS";
    told(&[
        case([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], "bad_request", fault, "tls"),
        case([0x16, 3, 3, 0, 0x2a], "bad_request", fault, "tls"),
    ]);
}

#[test]
fn a_sealed_opening() {
    told(&[case(b"\xab\x53\x01\x04key1", "bad_request", "this server has no key", "sealed")]);
}
