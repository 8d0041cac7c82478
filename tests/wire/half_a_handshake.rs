//! Connections that begin something and do not finish it.

use crate::client::{Client, frame, hello, new_session};
use crate::load::Bystander;
use crate::place::wait_for;
use crate::script::{Stage, play_with};
use std::time::{Duration, Instant};

/// S1: hello, cut in two at every byte. The second half is sent when the server has read the first.
#[test]
fn s1_hello_cut_in_two_at_every_byte() {
    let stage = Stage::with(|_| {});
    let server = stage.server();
    let bytes = frame(hello("halves", &new_session()), "");
    for cut in 1..bytes.len() {
        let mut client = Client::connect(stage.address);
        let before = server.report().counters.bytes_in;
        client.say_bytes(&bytes[..cut]);
        server.until("the first half is read", |report| report.counters.bytes_in >= before + cut as u64);
        client.say_bytes(&bytes[cut..]);
        assert_eq!(client.hear().head["type"], "welcome", "cut at {cut}");
    }
}

/// S1: a call, with every frame of the caller and the handler sent byte by byte, and then all of them in one write.
#[test]
fn s1_frames_split_and_merged_anywhere() {
    let stage = Stage::with(|_| {});
    let mut handler = Client::connect(stage.address);
    for byte in
        [frame(hello("svc", &new_session()), ""), frame(r#"{"type":"serve","action":"a","credit":100}"#, "")].concat()
    {
        handler.say_bytes([byte]);
    }
    assert_eq!(
        (handler.hear().head["type"].as_str(), handler.hear().head["type"].as_str()),
        (Some("welcome"), Some("serving"))
    );
    let request = |id: usize| frame(format!(r#"{{"type":"request","id":{id},"action":"a"}}"#), format!("[{id}]"));
    let mut caller = Client::connect(stage.address);
    for byte in [frame(hello("web", &new_session()), ""), request(0)].concat() {
        caller.say_bytes([byte]);
    }
    let rest: Vec<u8> = (1..100).flat_map(request).collect();
    caller.say_bytes(rest);
    assert_eq!(caller.hear().head["type"], "welcome");
    let deliveries: Vec<_> = (0..100).map(|_| handler.hear()).collect();
    let replies = deliveries
        .iter()
        .flat_map(|delivery| frame(format!(r#"{{"type":"reply","id":{}}}"#, delivery.head["id"]), &delivery.data));
    handler.say_bytes(replies.collect::<Vec<_>>());
    for id in 0..100 {
        let reply = caller.hear();
        assert!(reply.head["id"] == id && reply.data == format!("[{id}]").as_bytes(), "{reply:?}");
    }
}

/// Who says nothing, or never finishes saying hello, holds a place only for a while: bytes that trickle do not help.
#[test]
fn hello_that_never_ends_is_silence() {
    let patience = Duration::from_millis(500);
    let mut stage = Stage::with(|settings| settings.broker.handshake = patience);
    let bystander = Bystander::start(stage.address);
    let begun = Instant::now();
    let mut mute = Client::connect(stage.address);
    let mut half = Client::connect(stage.address);
    half.say_bytes(&frame(hello("half", &new_session()), "")[..40]);
    let mut slow = Client::connect(stage.address);
    slow.say_bytes([0, 0, 0x0f, 0xff, 0x0f, 0xfd]);
    let mut trickle = slow.socket.try_clone().unwrap();
    wait_for("the slow one to be closed", || std::io::Write::write_all(&mut trickle, b" ").err());
    for client in [&mut mute, &mut half] {
        let heard = client.hear_to_the_end();
        assert!(heard.len() == 1 && heard[0].code() == "silent" && heard[0].head["fatal"] == true, "{heard:?}");
        assert_eq!(heard[0].head["message"], "no `hello` within 500 ms");
    }
    assert!(begun.elapsed() >= patience);
    // Of the one that said nothing at all the core has never heard.
    assert_eq!(stage.stats()["total"]["silent"], 2);
    assert_eq!(stage.server().report().counters.strangers["silent"], 1);
    bystander.was_not_disturbed();
}

/// A frame that is begun and never finished: as long as bytes come the client is alive, then it is asked, then closed.
#[test]
fn a_frame_that_never_ends_is_silence() {
    let mut stage = play_with(
        |settings| settings.broker.heartbeat = Duration::from_millis(200),
        r#"
        web > {"type":"request","id":1,"action":"$echo"} 1
        web < {"type":"reply","id":1} 1
        "#,
    );
    let begun = Instant::now();
    let client = stage.client("web");
    client.answers_pings = false;
    client.say_bytes([0, 0x10, 0, 0, 0, 15]);
    client.say_bytes(r#"{"type":"ping"}"#);
    let heard = client.hear_to_the_end();
    assert!(heard.len() == 1 && heard[0].code() == "silent" && heard[0].head["fatal"] == true, "{heard:?}");
    assert!(begun.elapsed() >= Duration::from_millis(400));
}

/// Every byte is a sign of life. A large frame on a slow line takes longer than two heartbeats, and was once cut off in
/// the middle, because only whole frames counted.
#[test]
fn a_frame_that_takes_long_to_arrive_is_not_silence() {
    let heartbeat = Duration::from_millis(500);
    let stage = Stage::with(|settings| settings.broker.heartbeat = heartbeat);
    let mut client = Client::welcomed(stage.address, "slow");
    // An answer would stand in the middle of its frame.
    client.answers_pings = false;
    let begun = Instant::now();
    let bytes = frame(r#"{"type":"request","id":1,"action":"$echo"}"#, "\"it takes its time\"");
    for byte in &bytes[..bytes.len() - 1] {
        client.say_bytes([*byte]);
        client.hears_nothing_for(Duration::from_millis(20));
    }
    assert!(begun.elapsed() > heartbeat * 2);
    client.say_bytes(&bytes[bytes.len() - 1..]);
    assert_eq!(client.hear().data, b"\"it takes its time\"");
}
