//! Bytes that nobody thought of: random ones, and sound frames with random faults. The same ones in every run.

use crate::client::{Client, frame, hello, new_session};
use crate::dice::Dice;
use crate::load::Bystander;
use crate::script::Stage;
use std::io::Write;
use std::net::Shutdown;

/// Connections of each test.
const ROUNDS: u64 = 400;

/// Sends bytes and reads to the end; whatever the server says must be frames. Returns whether it has told of an error.
fn throw(mut client: Client, bytes: &[u8]) -> bool {
    // The server may close before all is written.
    let _ = client.socket.write_all(bytes);
    let _ = client.socket.shutdown(Shutdown::Write);
    client.hear_to_the_end().iter().any(|heard| !heard.code().is_empty())
}

fn survives(mut round: impl FnMut(&mut Dice, &Stage) -> bool) -> u64 {
    let mut stage = Stage::with(|settings| settings.broker.session_grace = std::time::Duration::from_millis(20));
    let bystander = Bystander::start(stage.address);
    let told = (0..ROUNDS).filter(|&seed| round(&mut Dice::new(seed), &stage)).count();
    bystander.was_not_disturbed();
    stage.until("everything to be forgotten", |stats| {
        stats["sessions"] == 1 && stats["bytes"] == 0 && stats["subscriptions"] == 0 && stats["in_flight"] == 0
    });
    told as u64
}

#[test]
fn s3_random_bytes() {
    let told = survives(|dice, stage| {
        let length = 1 << dice.below(12);
        throw(Client::connect(stage.address), &dice.bytes(length))
    });
    // Four random bytes are hardly ever a length that can be, so nearly all that are long enough are told so.
    assert!(told > ROUNDS / 2, "{told}");
}

#[test]
fn s3_random_bytes_as_heads() {
    let told = survives(|dice, stage| {
        let client = Client::welcomed(stage.address, "random");
        let heads = (0..8).flat_map(|_| {
            let length = dice.below(200);
            frame(dice.bytes(length), dice.bytes(length % 7))
        });
        throw(client, &heads.collect::<Vec<_>>())
    });
    assert_eq!(told, ROUNDS);
}

/// Sound frames of every kind, with bytes changed, cut out, put in or doubled.
#[test]
fn s3_sound_frames_with_random_faults() {
    let told = survives(|dice, stage| {
        let mut bytes = frame(hello("mutant", &new_session()), "");
        for _ in 0..dice.below(6) + 1 {
            bytes.extend(frame(dice.pick(HEADS), *dice.pick(&["", "1", "{\"x\":[1,2]}", "\0\u{1}"])));
        }
        for _ in 0..dice.below(4) {
            mutate(dice, &mut bytes);
        }
        throw(Client::connect(stage.address), &bytes)
    });
    assert!(told > ROUNDS / 4, "{told}");
}

/// Random frames that are all sound, from many clients with few names: whatever they mean together, nobody else notices.
#[test]
fn s3_sound_frames_in_random_order() {
    survives(|dice, stage| {
        let client = Client::welcomed(stage.address, "order");
        let frames = (0..20).flat_map(|_| frame(dice.pick(HEADS), "1"));
        throw(client, &frames.collect::<Vec<_>>())
    });
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    let end = (at + dice.below(20)).min(bytes.len());
    match dice.below(5) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.next() as u8,
        2 => drop(bytes.drain(at..end)),
        3 => {
            let inserted = dice.bytes(end - at);
            bytes.splice(at..at, inserted);
        }
        _ => bytes.extend_from_within(at..end),
    }
}

/// Heads of every kind that a client says.
const HEADS: &[&str] = &[
    r#"{"type":"serve","action":"a","credit":2}"#,
    r#"{"type":"serve","action":"b","credit":65535}"#,
    r#"{"type":"unserve","action":"a"}"#,
    r#"{"type":"request","id":1,"action":"a"}"#,
    r#"{"type":"request","id":2,"action":"a","ttl":0}"#,
    r#"{"type":"request","id":3,"action":"b","key":"k","timeout":5,"info":true}"#,
    r#"{"type":"request","id":4,"action":"a","broadcast":true,"timeout":5}"#,
    r#"{"type":"request","id":5,"action":"b","reply":false,"attempts":1,"timeout":5}"#,
    r#"{"type":"request","id":6,"action":"$stats"}"#,
    r#"{"type":"request","id":7,"action":"$echo","trace":"t"}"#,
    r#"{"type":"cancel","id":1}"#,
    r#"{"type":"reply","id":1}"#,
    r#"{"type":"reply","id":1,"part":true,"seq":9007199254740991}"#,
    r#"{"type":"reply","id":1,"error":{"code":"x","message":"m","retryable":true}}"#,
    r#"{"type":"release","id":1}"#,
    r#"{"type":"resume","holding":[1,2,3],"more":true}"#,
    r#"{"type":"resume","holding":[]}"#,
    r#"{"type":"publish","topic":"a.b","id":8}"#,
    r#"{"type":"subscribe","topic":"a.>","group":"g"}"#,
    r#"{"type":"unsubscribe","topic":"a.>","group":"g"}"#,
    r#"{"type":"ack","replies":9007199254740991}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"pong"}"#,
    r#"{"type":"bye"}"#,
];
