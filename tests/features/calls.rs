//! Calls: typed in and out, raw, and what is told when data does not fit.

use crate::support::{broker_with, one_client, soon, told};
use answerback::{Code, Fault, Ran, Raw};
use answerback_testing::TestBroker;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
    note: Option<String>,
}

fn order() -> Order {
    Order { item: "bolt".to_owned(), count: 3, note: None }
}

/// Seeds 1, 17: a client is connected by host and port, serves an action, and is called.
#[tokio::test]
async fn a_call_is_typed_in_and_out() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("shop").await, broker.client("web").await);
    let double = |order: Order| async move { answerback::Ok(Order { count: 2 * order.count, ..order }) };
    service.serve("order.double", double).await.unwrap();
    let doubled: Order = caller.call("order.double", order()).await.unwrap();
    assert_eq!(doubled, Order { count: 6, ..order() });
}

#[tokio::test]
async fn any_json_comes_back_as_it_was() {
    let (_broker, client) = one_client().await;
    client.serve("echo", |data: Value| async move { answerback::Ok(data) }).await.unwrap();
    let values = [
        json!(null),
        json!(0),
        json!(-1.5e300),
        json!(u64::MAX),
        json!(""),
        json!([]),
        json!({}),
        json!(false),
        json!("ΑΩ 漢字 🦀 \u{0} \" \\ \u{2028}"),
        json!({"клю́ч": [1, [2, [3, {"four": null}]]]}),
    ];
    for value in values {
        let echo: Value = soon("an echo", client.call("echo", &value)).await.unwrap();
        assert_eq!(echo, value);
    }
}

#[tokio::test]
async fn an_action_may_have_any_name_of_people() {
    let (_broker, client) = one_client().await;
    for name in ["a", "käse.größe", "注文", "with space/and:more", "request", &"x".repeat(255)] {
        client.serve(name, |n: u8| async move { answerback::Ok(n) }).await.unwrap();
        assert_eq!(client.call::<u8>(name, 7).await.unwrap(), 7, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_null_on_the_way_in_and_on_the_way_out() {
    let (_broker, client) = one_client().await;
    client.serve("unit", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    client.serve("maybe", |n: Option<u8>| async move { answerback::Ok(n) }).await.unwrap();
    client.call::<()>("unit", ()).await.unwrap();
    client.call::<()>("unit", Value::Null).await.unwrap();
    let nothing = client.call_raw("unit", "").await.unwrap();
    assert_eq!(nothing.as_bytes(), b"null");
    assert_eq!(client.call::<Option<u8>>("maybe", None::<u8>).await.unwrap(), None);
    assert_eq!(client.call::<Option<u8>>("maybe", Some(7)).await.unwrap(), Some(7));
}

#[tokio::test]
async fn raw_data_passes_byte_for_byte_in_both_directions() {
    let (_broker, client) = one_client().await;
    client.serve("echo", |data: Raw| async move { answerback::Ok(data) }).await.unwrap();
    let odd = "{ \"b\" : 1.50 ,\n\t\"a\":[ 1e2 ], \"a\": \"\\u0041\" }";
    let echo = client.call_raw("echo", odd).await.unwrap();
    assert_eq!(echo.as_bytes(), odd.as_bytes());
    // A typed caller of a raw handler, and raw JSON inside of other data.
    assert_eq!(client.call::<Order>("echo", order()).await.unwrap(), order());
    let (one, raw): (u8, Raw) = client.call("echo", (1, Raw::new("[2.0]"))).await.unwrap();
    assert_eq!((one, raw.as_bytes()), (1, b"[2.0]".as_slice()));
}

/// Seed S16: the value of the caller is not changed, and may be used again, also while it is used.
#[tokio::test]
async fn s16_the_callers_value_is_not_changed_and_can_be_used_twice() {
    let (_broker, client) = one_client().await;
    client.serve("echo", |order: Order| async move { answerback::Ok(order) }).await.unwrap();
    let mine = order();
    let (first, second) =
        tokio::join!(client.call::<Order>("echo", &mine).into_future(), client.call("echo", &mine).into_future());
    let third: Order = client.call("echo", &mine).await.unwrap();
    assert_eq!(mine, order());
    assert_eq!([first.unwrap(), second.unwrap(), third], [order(), order(), order()]);
}

/// The work ran, so nobody may call again just because the answer could not be read.
#[tokio::test]
async fn an_answer_of_another_type_says_that_the_work_ran() {
    let (_broker, client) = one_client().await;
    client.serve("text", |(): ()| async move { answerback::Ok("seven") }).await.unwrap();
    let error = client.call::<u32>("text", ()).await.unwrap_err();
    assert_eq!(told(&error), (Code::BadRequest, Ran::Yes, false));
    assert!(error.to_string().starts_with("the answer is not of the type that was asked for: "), "{error}");
}

#[tokio::test]
async fn data_of_another_type_is_the_fault_bad_data_that_says_where() {
    let (_broker, client) = one_client().await;
    client.serve("order", |order: Order| async move { answerback::Ok(order.count) }).await.unwrap();
    let error = client.call::<u32>("order", json!({"item": "bolt", "count": "three"})).await.unwrap_err();
    assert_eq!(told(&error), (Code::Fault, Ran::Yes, false));
    let fault = error.fault().unwrap();
    assert_eq!(fault.code(), "bad_data");
    assert!(fault.message().starts_with("this is not the data that order takes: "), "{fault}");
    assert!(fault.message().contains("expected u32 at line 1"), "{fault}");
    // The service goes on.
    assert_eq!(client.call::<u32>("order", order()).await.unwrap(), 3);
}

#[tokio::test]
async fn what_cannot_be_json_is_told_by_the_side_that_has_it() {
    let (broker, client) = one_client().await;
    let keys_that_are_no_text = || BTreeMap::from([(vec![1], 2)]);
    client.serve("odd", move |(): ()| async move { Ok::<_, Fault>(keys_that_are_no_text()) }).await.unwrap();

    let before = broker.report().await.unwrap().counters.frames_in;
    let error = client.call::<()>("odd", keys_that_are_no_text()).await.unwrap_err();
    assert_eq!(told(&error), (Code::BadRequest, Ran::No, false));
    assert!(error.to_string().starts_with("the data of this call cannot be JSON: "), "{error}");
    assert_eq!(broker.report().await.unwrap().counters.frames_in, before, "nothing was sent");

    let error = client.call::<Value>("odd", ()).await.unwrap_err();
    assert_eq!((error.code(), error.fault().unwrap().code()), (Code::Fault, "bad_answer"));
}

/// Nothing is asked before it is awaited, and mistakes are told before anything is sent.
#[tokio::test]
async fn mistakes_in_a_call_are_told_before_anything_is_sent() {
    let (broker, client) = one_client().await;
    let before = broker.report().await.unwrap().counters.frames_in;
    let long = "x".repeat(256);
    let mistakes = [
        (client.call::<()>("", ()), "the name of an action is 1 to 255 bytes"),
        (client.call("a\nb", ()), "a\\nb: the name of an action"),
        (client.call(&long, ()), "the name of an action"),
        (client.call("a", ()).key(""), "a: key: 1 to 255 bytes"),
        (client.call("a", ()).key(long.clone()), "a: key: "),
        (client.call("a", ()).key("k\u{7f}"), "a: key: "),
        (client.call("a", ()).trace(""), "a: trace: "),
        (client.call("a", ()).attempts(0), "a: attempts: 1 to 1000"),
        (client.call("a", ()).attempts(1_001), "a: attempts: "),
        (client.call("a", ()).timeout(std::time::Duration::ZERO), "a: timeout: "),
    ];
    for (call, text) in mistakes {
        let error = soon("the word on a mistake", call).await.unwrap_err();
        assert_eq!(told(&error), (Code::BadRequest, Ran::No, false), "{error}");
        assert!(error.message().contains(text), "{error} should say: {text}");
    }
    drop(client.call::<()>("never.awaited", ()));
    assert_eq!(broker.report().await.unwrap().counters.frames_in, before);
    assert_eq!(client.calls_waiting(), 0);
}

/// Seed 29: many calls wait on one connection, and each gets its own answer.
#[tokio::test]
async fn a_thousand_calls_on_one_connection_each_get_their_own_answer() {
    let (broker, client) = one_client().await;
    let service = broker.client("service").await;
    service.serve("square", |n: u64| async move { answerback::Ok(n * n) }).await.unwrap();
    let calls: Vec<_> = (0..1_000).map(|n| (n, crate::support::begin(client.call::<u64>("square", n)))).collect();
    for (n, call) in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n * n);
    }
    assert_eq!(broker.report().await.unwrap().connections, 2);
}

/// Seed 30: large data passes in both directions.
#[tokio::test]
async fn a_mebibyte_passes_in_both_directions() {
    let (_broker, client) = one_client().await;
    client
        .serve("reverse", |mut bytes: Vec<u8>| async move {
            bytes.reverse();
            answerback::Ok(bytes)
        })
        .await
        .unwrap();
    let large: Vec<u8> = (0..(1_u32 << 20) / 4).map(|n| n as u8).collect();
    let mut back: Vec<u8> = soon("large data", client.call("reverse", &large)).await.unwrap();
    back.reverse();
    assert!(back == large);

    client.serve("echo", |text: Raw| async move { answerback::Ok(text) }).await.unwrap();
    let text = format!("\"{}\"", "x".repeat(1 << 20));
    let echo = soon("large text", client.call_raw("echo", text.clone())).await.unwrap();
    assert!(echo.as_bytes() == text.as_bytes());
}

/// Seed 30: there is a limit, it is told by name, and the connection stays.
#[tokio::test]
async fn too_large_is_told_on_both_ways_and_the_connection_stays() {
    let broker = broker_with(|settings| settings.broker.max_frame = 2_048).await;
    let client = broker.client("client").await;
    client.serve("grow", |n: usize| async move { answerback::Ok("x".repeat(n)) }).await.unwrap();
    client.serve("length", |text: String| async move { answerback::Ok(text.len()) }).await.unwrap();

    let error = client.call::<usize>("length", "x".repeat(3_000)).await.unwrap_err();
    assert_eq!(told(&error), (Code::TooLarge, Ran::No, false));
    assert!(error.message().contains("a frame of 2048 (max_frame of the server): send less"), "{error}");

    let error = client.call::<String>("grow", 3_000).await.unwrap_err();
    assert_eq!((error.ran(), error.fault().unwrap().code()), (Ran::Yes, "too_large"));
    assert!(error.fault().unwrap().message().contains("the server takes frames of 2048 (max_frame)"), "{error}");

    assert_eq!(client.call::<usize>("length", "x".repeat(1_000)).await.unwrap(), 1_000);
    assert_eq!(client.call::<String>("grow", 1_000).await.unwrap().len(), 1_000);
    assert_eq!(broker.report().await.unwrap().counters.accepted, 1);
}
