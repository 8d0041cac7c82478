//! Who gets what: calls find their handlers, answers find their callers, and nobody waits for somebody else's trouble.

use crate::client::{Client, frame};
use crate::script::{Stage, play};
use std::collections::BTreeSet;

/// S13: two callers have one name and use the same ids. Each answer, and each error, reaches the very connection that
/// asked.
#[test]
fn s13_replies_reach_the_very_connection_that_asked() {
    let stage = Stage::with(|_| {});
    let mut handler = Client::serving(stage.address, "svc", "a", 1_000);
    let mut callers: Vec<_> = (0..10).map(|_| Client::welcomed(stage.address, "web")).collect();
    for (nth, caller) in callers.iter_mut().enumerate() {
        for id in 0..20 {
            caller.call(id, "a", format!("[{nth},{id}]"));
        }
    }
    let mut deliveries: Vec<_> = (0..200).map(|_| handler.hear()).collect();
    // Answered in another order than they came, every third one with an error.
    deliveries.sort_by_key(|delivery| delivery.head["id"].as_u64());
    for (nth, delivery) in deliveries.iter().enumerate() {
        if nth % 3 == 0 {
            let error = r#"{"code":"no","message":"not today"}"#;
            handler.say(format!(r#"{{"type":"reply","id":{},"error":{error}}}"#, delivery.head["id"]), &delivery.data);
        } else {
            handler.answer(delivery, &delivery.data);
        }
    }
    for (nth, caller) in callers.iter_mut().enumerate() {
        let replies: Vec<_> = (0..20).map(|_| caller.hear()).collect();
        for reply in &replies {
            assert_eq!(reply.data, format!("[{nth},{}]", reply.head["id"]).as_bytes(), "{reply:?}");
        }
        let ids: BTreeSet<_> = replies.iter().map(|reply| reply.head["id"].as_u64()).collect();
        assert_eq!(ids.len(), 20);
        assert!(caller.heard_until_now().is_empty());
    }
}

/// S15: what its caller no longer waits for does not run, and neither does what was refused.
#[test]
fn s15_what_has_ended_does_not_run() {
    let mut stage = Stage::with_a_broken_disk();
    stage.play(
        r#"
        web > {"type":"request","id":1,"action":"a","timeout":30}
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":2,"action":"a","ttl":30}
        web < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":3,"action":"a"}
        web > {"type":"cancel","id":3}
        web < {"type":"reply","id":3,"error":{"code":"cancelled","ran":"no"}}
        web > {"type":"request","id":4,"action":"a","ttl":"soon"}
        web < {"type":"reply","id":4,"error":{"code":"bad_request","ran":"no"}}
        web > {"type":"request","id":5,"action":"a","durable":true}
        web < {"type":"reply","id":5,"error":{"code":"unavailable","ran":"no"}}
        two > {"type":"request","id":6,"action":"a"}
        two > {"type":"bye"}
        two closed
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        svc .
        "#,
    );
    assert_eq!(stage.stats()["total"]["deliveries"], 0);
}

/// S7: who serves what is never stale. A handler that has left is not waited for by those who do not want to wait.
#[test]
fn s7_a_handler_that_has_left_is_known_to_have_left() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        bye > {"type":"serve","action":"b","credit":9}
        bye < {"type":"serving"}
        bye > {"type":"bye"}
        bye closed
        web > {"type":"request","id":1,"action":"b","ttl":0,"timeout":60000}
        web < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        svc breaks
        web > {"type":"request","id":2,"action":"a","ttl":0,"timeout":60000}
        web < {"type":"reply","id":2,"error":{"code":"expired","ran":"no"}}
        web > {"type":"request","id":3,"action":"a","broadcast":true,"timeout":60000}
        web < {"type":"reply","id":3,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":4,"action":"$actions"}
        web < {"type":"reply","id":4} {"actions":[{"action":"a","bytes":0,"credit":0,"elsewhere":[],"handlers":1,"in_flight":0,"oldest_ms":null,"queued":0}],"more":0}
        "#,
    );
}

/// S17: a slow action does not delay another one, not even for the same caller, and a slow worker does not delay the
/// others of its action.
#[test]
fn s17_one_that_is_slow_delays_nobody_else() {
    let stage = Stage::with(|_| {});
    let mut slow = Client::serving(stage.address, "slow", "slow", 1);
    let mut stuck = Client::serving(stage.address, "stuck", "fast", 1);
    let mut caller = Client::welcomed(stage.address, "web");
    for id in 0..20 {
        caller.call(id, "slow", "1");
    }
    caller.call(20, "fast", "1");
    let (first_slow, first_stuck) = (slow.hear(), stuck.hear());
    let mut fast = Client::serving(stage.address, "fast", "fast", 1);
    for id in 100..200 {
        caller.call(id, "fast", "1");
        let delivery = fast.hear();
        fast.answer(&delivery, "2");
        assert_eq!(caller.hear().head["id"], id);
    }
    slow.answer(&first_slow, "3");
    stuck.answer(&first_stuck, "3");
    let late: BTreeSet<_> = (0..2).map(|_| caller.hear().head["id"].as_u64()).collect();
    assert_eq!(late, BTreeSet::from([Some(0), Some(20)]));
}

/// S20: 10,000 frames in one write, from a caller and from a handler. Nothing is dropped, and the order is kept.
#[test]
fn s20_a_burst_of_ten_thousand_frames_in_one_write() {
    const CALLS: u64 = 10_000;
    let mut stage = Stage::with(|_| {});
    let mut handler = Client::serving(stage.address, "svc", "a", 65_535);
    let mut caller = Client::welcomed(stage.address, "web");
    let calls: Vec<u8> = (0..CALLS)
        .flat_map(|id| frame(format!(r#"{{"type":"request","id":{id},"action":"a"}}"#), id.to_string()))
        .collect();
    caller.say_bytes(calls);
    let mut replies = Vec::new();
    for id in 0..CALLS {
        let delivery = handler.hear();
        assert_eq!(delivery.data, id.to_string().as_bytes());
        replies.extend(frame(format!(r#"{{"type":"reply","id":{}}}"#, delivery.head["id"]), &delivery.data));
    }
    handler.say_bytes(replies);
    for id in 0..CALLS {
        let reply = caller.hear();
        assert!(reply.head["id"] == id && reply.data == id.to_string().as_bytes(), "{reply:?}");
    }
    assert_eq!(stage.stats()["total"]["deliveries"], CALLS);
}

/// S20: the same for sends and events, which nobody answers.
#[test]
fn s20_a_burst_of_sends_and_events() {
    const EACH: u64 = 5_000;
    let stage = Stage::with(|_| {});
    let mut handler = Client::serving(stage.address, "svc", "a", 65_535);
    handler.say(r#"{"type":"subscribe","topic":"t"}"#, "");
    assert_eq!(handler.hear().head["type"], "subscribed");
    let mut caller = Client::welcomed(stage.address, "web");
    let burst: Vec<u8> = (0..EACH)
        .flat_map(|id| {
            let send = frame(format!(r#"{{"type":"request","id":{id},"action":"a","reply":false}}"#), id.to_string());
            [send, frame(r#"{"type":"publish","topic":"t"}"#, id.to_string())].concat()
        })
        .collect();
    caller.say_bytes(burst);
    for id in 0..EACH {
        for kind in ["deliver", "event"] {
            let heard = handler.hear();
            assert!(heard.head["type"] == kind && heard.data == id.to_string().as_bytes(), "{heard:?}");
        }
        assert_eq!(caller.hear().head, serde_json::json!({ "type": "accepted", "id": id }));
    }
}

/// S21: what applications say is never taken for what the protocol says, wherever they say it.
#[test]
fn s21_data_and_names_are_not_control_messages() {
    let mut stage = play(
        r#"
        svc > {"type":"serve","action":"bye","credit":9}
        svc < {"type":"serving","action":"bye"}
        web > {"type":"request","id":1,"action":"bye"} {"type":"bye"}
        svc < {"type":"deliver","id":$d,"action":"bye"} {"type":"bye"}
        svc > {"type":"reply","id":$d} {"type":"error","code":"draining","fatal":true}
        web < {"type":"reply","id":1,"error":null,"code":null} {"type":"error","code":"draining","fatal":true}
        "#,
    );
    // Data that is frames, and a name that tries to end its own text.
    let frames = [frame(r#"{"type":"bye"}"#, ""), frame(r#"{"type":"request","id":2,"action":"bye"}"#, "")].concat();
    let name = r#"x","type":"bye","y":"\"#;
    let mut caller = Client::welcomed(stage.address, name);
    caller.call(1, "bye", &frames);
    let delivery = stage.client("svc").hear();
    assert!(delivery.head["type"] == "deliver" && delivery.head["from"] == name, "{delivery:?}");
    assert_eq!(delivery.data, frames);
    stage.client("svc").answer(&delivery, &frames);
    assert_eq!(caller.hear().data, frames);
    assert!(caller.settle() && stage.client("svc").heard_until_now().is_empty());
}

/// S22: clients that die without a goodbye are not counted any more, and what they served is not offered.
#[test]
fn s22_clients_are_counted_right_when_they_die_without_a_goodbye() {
    let mut stage = Stage::with(|settings| settings.broker.session_grace = std::time::Duration::from_millis(50));
    for round in 1..=3 {
        let clients: Vec<_> = (0..30).map(|_| Client::serving(stage.address, "svc", "a", 1)).collect();
        let stats = stage.stats();
        assert_eq!((&stats["connections"], &stats["sessions"]), (&31.into(), &31.into()), "round {round}");
        for (nth, mut client) in clients.into_iter().enumerate() {
            match nth % 3 {
                0 => client.reset(),
                1 => drop(client),
                _ => client.say_bytes([0, 0, 1]),
            }
        }
        let stats = stage.until("all to be gone", |stats| stats["connections"] == 1 && stats["sessions"] == 1);
        assert_eq!((&stats["actions"], &stats["total"]["connections"]), (&0.into(), &(30 * round + 1).into()));
    }
    let sessions = stage.ask("$sessions", "").json();
    assert_eq!((sessions["sessions"].as_array().unwrap().len(), &sessions["more"]), (1, &0.into()));
}
