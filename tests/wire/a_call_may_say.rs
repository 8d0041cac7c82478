//! The rows of the table "a call may say", over sockets. Each test names its row.

use crate::client::Client;
use crate::script::{Stage, play, play_with};
use std::time::{Duration, Instant};

/// Seeds 1, 3, 17: a client registers an action, another calls it and gets the answer.
#[test]
fn action_names_who_gets_it_and_the_answer_comes_back() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"user.get","credit":64}
        svc < {"type":"serving","action":"user.get"}
        web > {"type":"request","id":1,"action":"user.get","timeout":2000} {"id":7}
        svc < {"type":"deliver","id":$d,"action":"user.get","from":"web","attempt":1,"trace":null} {"id":7}
        svc > {"type":"reply","id":$d} {"name":"Ada"}
        web < {"type":"reply","id":1,"error":null,"info":null,"part":null} {"name":"Ada"}
        "#,
    );
    let held = stage.server().report().held;
    assert_eq!((held.requests, held.bytes), (0, 0));
}

/// Seed 5: a client may call what it serves itself. Names are any text, and `é` is the same name however it is escaped.
#[test]
fn action_may_be_the_callers_own_and_any_text() {
    play(
        r#"
        me > {"type":"serve","action":"größe \"é\" 名","credit":1}
        me < {"type":"serving","action":"größe \"é\" 名"}
        me > {"type":"request","id":9007199254740991,"action":"gr\u00f6\u00dfe \u0022\u00e9\u0022 \u540d"} 1
        me < {"type":"deliver","id":$d,"action":"größe \"é\" 名"} 1
        me > {"type":"reply","id":$d} 2
        me < {"type":"reply","id":9007199254740991} 2
        "#,
    );
}

#[test]
fn action_has_1_to_255_bytes_without_control_characters() {
    let longest = "é".repeat(127) + "x";
    play(&format!(
        r#"
        web > {{"type":"request","id":1,"action":"{longest}","ttl":0}}
        web < {{"type":"reply","id":1,"error":{{"code":"no_handler"}}}}
        web > {{"type":"request","id":2,"action":"{longest}x","ttl":0}}
        web < {{"type":"reply","id":2,"error":{{"code":"bad_request","ran":"no","message":"`action` must be 1 to 255 bytes…"}}}}
        web > {{"type":"request","id":3,"action":"","ttl":0}}
        web < {{"type":"reply","id":3,"error":{{"code":"bad_request","ran":"no"}}}}
        web > {{"type":"request","id":4,"action":"a\u0000b","ttl":0}}
        web < {{"type":"reply","id":4,"error":{{"code":"bad_request","ran":"no"}}}}
        web > {{"type":"request","id":5,"ttl":0}}
        web < {{"type":"reply","id":5,"error":{{"code":"bad_request","ran":"no","message":"member `action` is missing"}}}}
        "#
    ));
}

#[test]
fn action_with_a_dollar_belongs_to_the_broker() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"$echo"} {"x":  1}
        web < {"type":"reply","id":1} {"x":  1}
        web > {"type":"request","id":2,"action":"$nothing"}
        web < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":3,"action":"$actions"}
        web < {"type":"reply","id":3} {"actions":[],"more":0}
        web > {"type":"request","id":4,"action":"$explain"} {"action":"x"}
        web < {"type":"reply","id":4} {"action":"x","handlers":0,"more":0,"text":"nobody serves `x` and nothing waits for it","waiting":[]}
        web > {"type":"request","id":5,"action":"$sessions"}
        web < {"type":"reply","id":5} …
        web > {"type":"request","id":6,"action":"$stats"}
        web < {"type":"reply","id":6} …
        "#,
    );
}

#[test]
fn data_when_absent_is_nothing_and_stays_nothing() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// Whatever stands in data, and of whatever size: it is not looked at and not changed.
#[test]
fn data_is_handed_on_byte_for_byte() {
    let mut stage = Stage::with(|_| {});
    let address = stage.address;
    let mut handler = Client::serving(address, "svc", "a", 1);
    let mut caller = Client::welcomed(address, "web");
    let all_bytes: Vec<u8> = (0..=255).collect();
    let largest = vec![b'7'; (8 << 20) - 2 - br#"{"type":"request","id":6,"action":"a"}"#.len()];
    let data: [&[u8]; 6] =
        [b"null", br#"{"a" : 1.0, "a":1e400}"#, "\"\u{feff} 😀\\ud800\"".as_bytes(), &all_bytes, b" ", &largest];
    for (id, data) in (1..).zip(data) {
        // The head is written by hand, so that the largest frame is exactly as long as may be.
        caller.say(format!(r#"{{"type":"request","id":{id},"action":"a"}}"#), data);
        let delivery = handler.hear();
        assert!(delivery.data == data, "data {id} was changed on the way to the handler");
        handler.answer(&delivery, &data[..data.len() - data.len().min(64)]);
        assert!(caller.hear().data == data[..data.len() - data.len().min(64)], "data {id} was changed on the way back");
    }
    assert_eq!(stage.stats()["bytes"], 0);
}

/// Seeds 21, 22: it expires in the queue, and is told so in words.
#[test]
fn ttl_is_the_longest_it_may_wait_in_the_queue() {
    let mut stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        "#,
    );
    let begun = Instant::now();
    stage.play(
        r#"
        web > {"type":"request","id":2,"action":"a","ttl":60,"timeout":60000}
        web < {"type":"reply","id":2,"error":{"code":"expired","ran":"no","attempts":0,"message":"its ttl ended after …"}}
        "#,
    );
    assert!(begun.elapsed() >= Duration::from_millis(60));
    stage.play(
        r#"
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        svc .
        "#,
    );
}

#[test]
fn ttl_0_fails_at_once_unless_a_handler_is_free() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","ttl":0}
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":2,"action":"a","ttl":0}
        svc < {"type":"deliver","id":$d}
        web > {"type":"request","id":3,"action":"a","ttl":0}
        web < {"type":"reply","id":3,"error":{"code":"expired","ran":"no"}}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":2}
        "#,
    );
}

/// Seed 79: it waits for a handler that is not there yet.
#[test]
fn ttl_when_absent_is_as_long_as_the_timeout_allows() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a"}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// Seed 19: a maximum time for the whole call, with an error of its own, and the handler is told to stop.
#[test]
fn timeout_is_the_whole_call_and_what_is_left_travels_to_the_handler() {
    let mut stage = Stage::with(|_| {});
    let begun = Instant::now();
    stage.lines(
        r#"
        web > {"type":"request","id":1,"action":"a","timeout":800}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        "#,
    );
    let delivery = stage.client("svc").hear();
    assert!(delivery.head["left"].as_u64().is_some_and(|left| left <= 800), "{delivery:?}");
    stage.play(
        r#"
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"maybe","attempts":1}}
        svc < {"type":"cancel","id":$d}
        "#,
    );
    assert!(begun.elapsed() >= Duration::from_millis(800));
    stage.client("svc").answer(&delivery, "\"late\"");
    stage.play("web .");
}

/// Seed 15: the server's default holds for calls that say nothing.
#[test]
fn timeout_when_absent_is_the_servers_setting() {
    let begun = Instant::now();
    play_with(
        |settings| settings.broker.default_timeout = Duration::from_millis(70),
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver","id":$d}
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"maybe"}}
        svc < {"type":"cancel","id":$d}
        "#,
    );
    assert!(begun.elapsed() >= Duration::from_millis(70));
}

/// Longer than a year is a year, and nothing overflows.
#[test]
fn timeout_of_0_leaves_no_time_and_the_greatest_is_taken() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","timeout":0}
        web < {"type":"reply","id":1,"error":{"code":"timeout","ran":"no"}}
        svc .
        web > {"type":"request","id":2,"action":"a","timeout":9007199254740991,"ttl":9007199254740991}
        svc < {"type":"deliver","id":$d,"left":31536000000}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":2}
        "#,
    );
}

/// Seeds 25, 26: every handler gets it, every answer comes back tagged, and the counts end it.
#[test]
fn broadcast_reaches_all_and_gathers_all_answers() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        tre > {"type":"serve","action":"a","credit":1}
        tre < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","broadcast":true,"trace":"t"} 7
        one < {"type":"deliver","id":$a,"from":"web","trace":"t"} 7
        two < {"type":"deliver","id":$b} 7
        tre < {"type":"deliver","id":$c} 7
        two > {"type":"reply","id":$b} 2
        web < {"type":"reply","id":1,"part":true,"seq":1,"from":"two"} 2
        one > {"type":"reply","id":$a,"error":{"code":"x","message":"no"}} "why"
        web < {"type":"reply","id":1,"part":true,"seq":2,"from":"one","error":{"code":"fault","ran":"yes"}} "why"
        tre > {"type":"bye"}
        web < {"type":"reply","id":1,"part":true,"seq":3,"from":"tre","error":{"code":"handler_lost","ran":"maybe"}}
        web < {"type":"reply","id":1,"part":null,"error":null,"gather":{"expected":3,"answered":1,"failed":1,"lost":1}}
        tre closed
        "#,
    );
}

#[test]
fn broadcast_when_absent_is_to_one_handler_the_least_busy() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":9}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":9}
        two < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        one < {"type":"deliver","id":$a} 1
        web > {"type":"request","id":2,"action":"a"} 2
        two < {"type":"deliver","id":$b} 2
        two > {"type":"reply","id":$b}
        web < {"type":"reply","id":2}
        web > {"type":"request","id":3,"action":"a"} 3
        two < {"type":"deliver","id":$c} 3
        one .
        web > {"type":"bye"}
        one < {"type":"cancel","id":$a}
        two < {"type":"cancel","id":$c}
        "#,
    );
}

/// A call may be given to one handler only, unless it says otherwise.
#[test]
fn attempts_when_absent_is_1_for_a_call() {
    play(
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        one < {"type":"deliver","attempt":1}
        one > {"type":"bye"}
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":1}}
        two .
        "#,
    );
}

/// S6: when the worker dies, another gets it, and the caller learns how many had it.
#[test]
fn s6_attempts_are_how_many_handlers_may_be_given_it() {
    play_with(
        |settings| settings.broker.session_grace = Duration::from_millis(50),
        r#"
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","attempts":2} 5
        one < {"type":"deliver","id":$a,"attempt":1} 5
        one breaks
        two < {"type":"deliver","id":$b,"attempt":2} 5
        two > {"type":"reply","id":$b,"error":{"code":"x","message":"no"}}
        web < {"type":"reply","id":1,"error":{"code":"fault","ran":"yes","attempts":2}}
        "#,
    );
}

/// A send that nobody waits for may be given to three handlers.
#[test]
fn attempts_when_absent_is_3_for_a_send() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false}
        web < {"type":"accepted","id":1}
        one > {"type":"serve","action":"a","credit":1}
        one < {"type":"serving"}
        one < {"type":"deliver","attempt":1}
        one > {"type":"bye"}
        two > {"type":"serve","action":"a","credit":1}
        two < {"type":"serving"}
        two < {"type":"deliver","attempt":2}
        two > {"type":"bye"}
        tre > {"type":"serve","action":"a","credit":1}
        tre < {"type":"serving"}
        tre < {"type":"deliver","attempt":3}
        tre > {"type":"bye"}
        qua > {"type":"serve","action":"a","credit":1}
        qua < {"type":"serving"}
        qua .
        "#,
    );
}

#[test]
fn durable_is_delivered_and_accepted_when_it_is_on_disk() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","durable":true}
        svc < {"type":"deliver","id":$c}
        svc > {"type":"reply","id":$c}
        web < {"type":"reply","id":1}
        web > {"type":"request","id":3,"action":"b","durable":true,"reply":false}
        web < {"type":"accepted","id":3}
        web > {"type":"request","id":2,"action":"a","durable":false,"timeout":9000}
        svc < {"type":"deliver","id":$d}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":2}
        "#,
    );
    let written = stage.server().report().store.journal.report;
    assert!(written.syncs >= 2 && written.items >= 1, "{written:?}");
}

/// While it runs a second call joins it, later ones get the stored reply, and other data is a conflict.
#[test]
fn key_runs_the_work_once() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        svc < {"type":"deliver","id":$d} 1
        app > {"type":"request","id":9,"action":"a","key":"k"} 1
        app > {"type":"request","id":10,"action":"a","key":"k"} 2
        app < {"type":"reply","id":10,"error":{"code":"conflict","ran":"no"}}
        svc > {"type":"reply","id":$d} "once"
        web < {"type":"reply","id":1} "once"
        app < {"type":"reply","id":9} "once"
        app > {"type":"request","id":11,"action":"a","key":"k"} 1
        app < {"type":"reply","id":11} "once"
        svc .
        app > {"type":"request","id":12,"action":"b","key":"k","ttl":0} 1
        app < {"type":"reply","id":12,"error":{"code":"no_handler"}}
        "#,
    );
}

/// Seed 20: fire and forget, with a word that the broker has it. The caller may leave, even with a reset.
#[test]
fn reply_false_is_a_send_that_is_accepted() {
    let mut stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false} 1
        web < {"type":"accepted","id":1}
        web breaks
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d,"from":"web"} 1
        svc > {"type":"reply","id":$d}
        "#,
    );
    let stats = stage.stats();
    assert_eq!((&stats["bytes"], &stats["total"]["sends_lost"]), (&0.into(), &0.into()));
}

#[test]
fn trace_is_passed_untouched() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        svc < {"type":"deliver","id":$d,"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        "#,
    );
}

/// Seed 18: where the time went.
#[test]
fn info_says_where_the_time_went() {
    let mut stage = Stage::with(|_| {});
    stage.lines(
        r#"
        web > {"type":"request","id":1,"action":"b","info":true,"ttl":30}
        web < {"type":"reply","id":1,"error":{"code":"no_handler"},"info":{"ran":null,"by":null,"queued":$q}}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":2,"action":"a","info":true}
        svc < {"type":"deliver","id":$d}
        svc > {"type":"reply","id":$d}
        "#,
    );
    let reply = stage.client("web").hear();
    let info = &reply.head["info"];
    assert!(info["queued"].is_u64() && info["ran"].is_u64() && info["by"] == "svc", "{reply:?}");
}
