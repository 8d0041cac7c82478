//! Frames with sound borders and a head that is not what PROTOCOL.md allows.

use crate::bad_lengths::counted;
use crate::client::{Client, Heard};
use crate::load::Bystander;
use crate::script::{Stage, play};
use serde_json::Value;
use std::path::Path;

/// Says a head on a connection that goes on, and as the first one on another, which does not. Returns what the first one
/// heard.
fn refused(stage: &mut Stage, head: &[u8], word: &str) -> Heard {
    let before = counted(stage, word);
    let mut first = Client::connect(stage.address);
    first.say(head, "");
    let heard = first.hear_to_the_end();
    assert!(heard.len() == 1 && heard[0].code() == "bad_request" && heard[0].head["fatal"] == true, "{heard:?}");
    let mut client = Client::welcomed(stage.address, "stranger");
    client.say(head, "");
    let error = client.hear();
    assert_eq!((error.code(), &error.head["fatal"]), ("bad_request", &Value::Null), "{error:?}");
    client.call(77, "$echo", "\"it goes on\"");
    assert_eq!(client.hear().data, b"\"it goes on\"");
    assert_eq!(counted(stage, word), before + 2, "{word}");
    error
}

/// Each head gets an error with this message, and this word is counted; other connections do not notice.
fn all_refused(heads: &[&[u8]], word: &str, message: &str) {
    let mut stage = Stage::with(|_| {});
    let bystander = Bystander::start(stage.address);
    for head in heads {
        let error = refused(&mut stage, head, word);
        let of_reply = &error.head["error"]["message"];
        let text = if of_reply.is_null() { &error.head["message"] } else { of_reply };
        assert!(text.as_str().unwrap().contains(message), "{error:?}");
    }
    bystander.was_not_disturbed();
}

#[test]
fn s3_deep_nesting() {
    let deep = format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(2_000), "]".repeat(2_000));
    let heads: [&[u8]; 3] =
        [br#"{"type":"ping","x":[[[[]]]]}"#, br#"{"type":"ping","x":{"x":{"x":{"x":{}}}}}"#, deep.as_bytes()];
    all_refused(&heads, "too_deep", "the head is nested deeper than 4 levels");
}

#[test]
fn s3_duplicate_members() {
    let heads: [&[u8]; 5] = [
        br#"{"type":"ping","type":"pong"}"#,
        br#"{"type":"request","id":1,"id":2,"action":"a"}"#,
        br#"{"type":"request","\u0069d":1,"id":1,"action":"a"}"#,
        br#"{"type":"ping","nobody":1,"nobody":1}"#,
        br#"{"type":"ping","x":{"y":[{"z":1,"z":2}]}}"#,
    ];
    all_refused(&heads, "twice", "appears twice");
}

#[test]
fn s3_invalid_utf8() {
    let heads: [&[u8]; 4] = [
        b"{\"type\":\"request\",\"id\":1,\"action\":\"\xff\"}",
        b"{\"type\":\"ping\",\"\xc0\xaf\":1}",
        b"{\"type\":\"ping\",\"x\":\"\xed\xa0\x80\"}",
        br#"{"type":"ping","x":"\ud800"}"#,
    ];
    all_refused(&heads, "not_utf8", "the head is not UTF-8");
}

#[test]
fn s3_ids_out_of_range() {
    let heads: [&[u8]; 7] = [
        br#"{"type":"request","id":9007199254740992,"action":"a"}"#,
        br#"{"type":"request","id":-1,"action":"a"}"#,
        br#"{"type":"request","id":1.0,"action":"a"}"#,
        br#"{"type":"cancel","id":99999999999999999999999999}"#,
        br#"{"type":"reply","id":1e3}"#,
        br#"{"type":"release","id":-0}"#,
        br#"{"type":"reply","id":"7"}"#,
    ];
    all_refused(&heads, "not_an_id", "`id` must be an integer from 0 to 2^53-1");
}

#[test]
fn s3_unknown_types() {
    let heads: [&[u8]; 5] = [
        br#"{"type":"fly"}"#,
        br#"{"type":"welcome"}"#,
        br#"{"type":"deliver","id":1}"#,
        br#"{"type":"PING"}"#,
        br#"{"type":"","id":3}"#,
    ];
    all_refused(&heads, "unknown_type", "is not known here");
}

#[test]
fn s3_null_and_other_things_that_are_no_object() {
    let heads: [&[u8]; 5] = [b"null", b"[]", b"\"ping\"", b"7", br#"[{"type":"ping"}]"#];
    all_refused(&heads, "not_an_object", "the head must be one JSON object");
}

#[test]
fn s3_no_json() {
    let heads: [&[u8]; 6] =
        [b"", b"{", b"PING", br#"{"type":"ping"}}"#, b"{\"type\":\"ping\"}\0", b"\xef\xbb\xbf{\"type\":\"ping\"}"];
    all_refused(&heads, "not_json", "the head is not JSON at byte");
}

#[test]
fn s3_wrong_types() {
    let mut stage = Stage::with(|_| {});
    let bystander = Bystander::start(stage.address);
    for (head, word) in [
        (r#"{"type":7}"#, "not_a_string"),
        (r#"{"type":null}"#, "not_a_string"),
        (r#"{"type":"request","id":null,"action":"a"}"#, "not_an_id"),
        (r#"{"type":"request","id":1,"action":["a"]}"#, "not_a_string"),
        (r#"{"type":"request","id":1,"action":"a","ttl":"5"}"#, "not_in_range"),
        (r#"{"type":"request","id":1,"action":"a","ttl":null}"#, "not_in_range"),
        (r#"{"type":"request","id":1,"action":"a","broadcast":1}"#, "not_a_boolean"),
        (r#"{"type":"request","id":1,"action":"a","reply":"false"}"#, "not_a_boolean"),
        (r#"{"type":"request","id":1,"action":"a","attempts":0}"#, "not_in_range"),
        (r#"{"type":"request","id":1,"action":"a","attempts":2,"broadcast":true}"#, "contradiction"),
        (r#"{"type":"serve","action":"a","credit":65536}"#, "not_in_range"),
        (r#"{"type":"resume","holding":7}"#, "not_a_list"),
        (r#"{"type":"resume","holding":[1,"2"]}"#, "not_a_list"),
        (r#"{"type":"subscribe","topic":"a..b"}"#, "not_a_pattern"),
        (r#"{"type":"publish","topic":"a.*"}"#, "not_a_pattern"),
        (r#"{"type":"reply","id":1,"error":"no"}"#, "not_an_object"),
        (
            r#"{"type":"hello","protocol":[1],"name":"x","session":"00000000000000000000000000000001"}"#,
            "not_a_version_range",
        ),
        (r#"{"type":"hello","protocol":[1,1],"name":"x","session":"1"}"#, "not_a_session"),
        (
            r#"{"type":"ping","a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"s":1,"t":1,"u":1,"v":1,"w":1,"x":1,"y":1,"z":1,"A":1,"B":1,"C":1,"D":1,"E":1,"F":1}"#,
            "too_many_members",
        ),
    ] {
        refused(&mut stage, head.as_bytes(), word);
    }
    bystander.was_not_disturbed();
}

/// A request whose id can be read is answered under it, so that its caller does not wait in vain.
#[test]
fn a_request_that_is_wrong_is_answered_under_its_id() {
    play(
        r#"
        web > {"type":"request","id":7,"action":5}
        web < {"type":"reply","id":7,"error":{"code":"bad_request","ran":"no","attempts":0}}
        web > {"type":"publish","id":8,"topic":".."}
        web < {"type":"error","id":8,"code":"bad_request","fatal":null}
        web > {"type":"release","id":true}
        web < {"type":"error","id":null,"code":"bad_request","fatal":null}
        "#,
    );
}

/// Replies, releases and cancels with an id that is not theirs change nothing, and are counted.
#[test]
fn a_reply_for_somebody_elses_delivery_is_ignored_and_counted() {
    let mut stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        bad > {"type":"reply","id":$d} "stolen"
        bad > {"type":"reply","id":$d,"part":true} "stolen"
        bad > {"type":"release","id":$d}
        bad > {"type":"cancel","id":1}
        bad > {"type":"resume","holding":[$d]}
        bad < {"type":"cancel","id":$d}
        web > {"type":"reply","id":$d} "my own answer"
        svc > {"type":"reply","id":0} "nobody's"
        web .
        svc > {"type":"reply","id":$d} "right"
        web < {"type":"reply","id":1,"error":null} "right"
        svc > {"type":"reply","id":$d} "twice"
        web .
        "#,
    );
    assert_eq!(stage.stats()["total"]["stray_replies"], 6);
}

#[test]
fn the_first_frame_must_be_hello() {
    let mut stage = Stage::with(|_| {});
    for (head, code, message) in [
        (r#"{"type":"ping"}"#, "bad_request", "the first frame must be `hello`, not `ping`"),
        (r#"{"type":"request","id":1,"action":"$echo"}"#, "bad_request", "must be `hello`, not `request`"),
        (
            r#"{"type":"hello","protocol":[2,9],"name":"x","session":"00000000000000000000000000000001"}"#,
            "version_mismatch",
            "this client speaks protocol 2 to 9, this server 1 to 1",
        ),
    ] {
        let mut client = Client::connect(stage.address);
        client.say(head, "");
        client.say(r#"{"type":"ping"}"#, "");
        let heard = client.hear_to_the_end();
        assert!(heard.len() == 1 && heard[0].code() == code && heard[0].head["fatal"] == true, "{heard:?}");
        assert!(heard[0].head["message"].as_str().unwrap().contains(message), "{heard:?}");
    }
    assert_eq!(stage.stats()["sessions"], 1);
}

#[test]
fn a_second_hello_changes_nothing() {
    play(
        r#"
        web > {"type":"hello","protocol":[1,1],"name":"other","session":"000000000000000000000000000000ff"}
        web < {"type":"error","code":"bad_request","fatal":null}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d,"from":"web"}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// Faults of lengths: where the next frame starts is not known, so the connection ends.
const FATAL: [&str; 7] =
    ["frame_too_large", "frame_too_short", "head_too_large", "head_beyond_frame", "http", "tls", "sealed"];

/// Every vector that must be refused is refused by the real server, with the fault that the vector names.
#[test]
fn vectors_that_must_be_refused_are() {
    let mut stage = Stage::with(|_| {});
    let mut client = Client::welcomed(stage.address, "vectors");
    for vector in vectors("invalid.jsonl") {
        let (name, word) = (&vector["name"], vector["error"].as_str().unwrap());
        let before = counted(&mut stage, word);
        client.say_bytes(unhex(vector["hex"].as_str().unwrap()));
        let error = client.hear();
        let fatal = error.head["fatal"] == true;
        assert!(matches!(error.code(), "bad_request" | "too_large"), "{name}: {error:?}");
        assert_eq!(fatal, FATAL.contains(&word), "{name}: {error:?}");
        assert_eq!(counted(&mut stage, word), before + 1, "{name}");
        if fatal {
            assert!(client.hear_to_the_end().is_empty(), "{name}");
            client = Client::welcomed(stage.address, "vectors");
        } else {
            assert!(client.settle(), "{name}: the connection goes on");
        }
    }
}

/// Every vector that must be understood is.
#[test]
fn vectors_that_must_be_understood_are() {
    let mut stage = Stage::with(|_| {});
    for vector in vectors("valid.jsonl") {
        let mut client = Client::welcomed(stage.address, "vectors");
        client.say_bytes(unhex(vector["hex"].as_str().unwrap()));
        assert_eq!(client.settle(), vector["head"]["type"] != "bye", "{}", vector["name"]);
    }
    assert_eq!(stage.stats()["total"]["malformed"], serde_json::json!({}));
}

/// The vectors for the client's side.
fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/vectors").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let all = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let own: Vec<Value> = all.filter(|vector: &Value| vector["side"] == "client").collect();
    assert!(own.len() > 30, "{file} has vectors");
    own
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}
