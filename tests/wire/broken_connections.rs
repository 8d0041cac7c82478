//! S2: connections that are reset at any moment, with and without data in flight.

use crate::client::{Client, frame, hello, new_session};
use crate::load::Bystander;
use crate::script::{Stage, play_with};
use serde_json::Value;
use std::time::Duration;

/// A server that forgets soon who has left.
fn forgetful() -> Stage {
    Stage::with(|settings| settings.broker.session_grace = Duration::from_millis(50))
}

/// Waits until nothing is left of those who have gone: `connections` are open, and all that is held belongs to them.
fn nothing_is_left(stage: &mut Stage, connections: u64) {
    stage.until("nothing to be left", |stats| {
        let zero = |name: &str| stats[name] == 0;
        stats["connections"] == connections
            && stats["sessions"] == connections
            && zero("queued")
            && zero("bytes")
            && zero("kept_replies")
            && zero("subscriptions")
    });
}

/// The caller is reset after each byte of what it says: before, in the middle of and after hello and two requests.
#[test]
fn s2_the_caller_is_reset_after_any_byte() {
    let mut stage = forgetful();
    let mut handler = Client::serving(stage.address, "svc", "a", 65_535);
    for cut in 0.. {
        let said = [
            frame(hello("web", &new_session()), ""),
            frame(r#"{"type":"request","id":1,"action":"a"}"#, "1"),
            frame(r#"{"type":"request","id":2,"action":"nobody"}"#, "2"),
        ]
        .concat();
        if cut > said.len() {
            break;
        }
        let mut client = Client::connect(stage.address);
        client.say_bytes(&said[..cut]);
        client.reset();
    }
    for heard in handler.heard_until_now() {
        if heard.head["type"] == "deliver" {
            handler.answer(&heard, "1");
        }
    }
    nothing_is_left(&mut stage, 2);
    handler.call(1, "$echo", "7");
    assert_eq!(until_reply(&mut handler).1, b"7");
}

/// The handler is reset after each byte of its answer. The caller hears either the answer or that the handler was lost.
#[test]
fn s2_the_handler_is_reset_after_any_byte_of_its_answer() {
    let mut stage = forgetful();
    let mut caller = Client::welcomed(stage.address, "web");
    let answer = |id: &Value| frame(format!(r#"{{"type":"reply","id":{id}}}"#), r#"{"name":"Ada"}"#);
    let mut answered = 0;
    // Ids of deliveries have up to 16 digits, so a frame up to this many bytes.
    for cut in 0..=60 {
        let mut handler = Client::serving(stage.address, "svc", "a", 1);
        caller.call(cut, "a", "1");
        let delivery = handler.hear();
        let bytes = answer(&delivery.head["id"]);
        handler.say_bytes(&bytes[..bytes.len().min(cut as usize)]);
        handler.reset();
        let reply = caller.hear();
        assert_eq!(reply.head["id"], cut);
        match reply.code() {
            "" => answered += u32::from(reply.data == br#"{"name":"Ada"}"#),
            code => assert_eq!((code, &reply.head["error"]["ran"]), ("handler_lost", &"maybe".into()), "{reply:?}"),
        }
    }
    // A reset may overtake an answer that is whole, but never makes one out of a part.
    assert!(answered <= 12, "{answered} answers");
    // The caller acknowledges what it has, so that nothing is kept for it.
    caller.say(r#"{"type":"ack","replies":61}"#, "");
    nothing_is_left(&mut stage, 2);
}

/// Each moment of the life of a connection, told as a script: after it the server is as it was before.
#[test]
fn s2_reset_at_each_moment_of_a_call() {
    let moments = [
        r#"
        web > {"type":"ping"}
        web < {"type":"pong"}
        web breaks"#,
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc breaks"#,
        r#"
        svc > {"type":"subscribe","topic":"a.>"}
        svc < {"type":"subscribed"}
        svc breaks"#,
        r#"
        web > {"type":"request","id":1,"action":"a"} 1
        web breaks"#,
        r#"
        web > {"type":"request","id":1,"action":"$echo"} 1
        web < {"type":"reply","id":1} 1
        web breaks"#,
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$d} 1
        web breaks
        svc < {"type":"cancel","id":$d}
        svc > {"type":"reply","id":$d}
        svc breaks"#,
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        svc breaks
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        web breaks"#,
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","broadcast":true} 1
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d,"part":true} 1
        web < {"type":"reply","id":1,"part":true,"from":"svc"} 1
        web breaks
        svc < {"type":"cancel","id":$d}
        svc breaks"#,
        r#"
        web > {"type":"bye"}
        web closed"#,
    ];
    let mut stage = forgetful();
    for moment in moments {
        // A stage with new clients before the same server.
        Stage::at(stage.address).play(moment);
        nothing_is_left(&mut stage, 1);
    }
}

/// Far more than fits into the sockets' buffers is on its way to a client, and then the client is reset.
#[test]
fn s2_reset_with_much_data_in_flight() {
    let mut stage = forgetful();
    let bystander = Bystander::start(stage.address);
    let data = vec![b'7'; 1 << 20];
    for _ in 0..5 {
        let mut client = Client::welcomed(stage.address, "much");
        for id in 1..=16 {
            client.call(id, "$echo", &data);
        }
        client.reset();
    }
    bystander.was_not_disturbed();
    nothing_is_left(&mut stage, 1);
    assert_eq!(stage.server().report().outbox_bytes, 0);
}

/// Half of a large frame has come when the connection ends: its memory goes with it, and nothing of it is delivered.
#[test]
fn s2_half_a_frame_is_nothing() {
    let mut stage = play_with(
        |settings| settings.broker.session_grace = Duration::from_millis(50),
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        "#,
    );
    let whole = frame(r#"{"type":"request","id":1,"action":"a"}"#, vec![b'7'; 1 << 20]);
    for share in 1..8 {
        let mut client = Client::welcomed(stage.address, "half");
        client.say_bytes(&whole[..whole.len() * share / 8]);
        client.reset();
    }
    nothing_is_left(&mut stage, 2);
    stage.play("svc .");
    assert_eq!(stage.stats()["total"]["deliveries"], 0);
}

/// The next reply, and its data.
fn until_reply(client: &mut Client) -> (Value, Vec<u8>) {
    loop {
        let heard = client.hear();
        if heard.head["type"] == "reply" {
            return (heard.head, heard.data);
        }
    }
}
