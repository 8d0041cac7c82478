//! What handlers may be, which errors they may have, and what a panic does.

use crate::support::{one_client, soon, told};
use answerback::{Client, Code, Context, Fault, Ran, Raw};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

async fn fault_of(client: &Client, action: &str) -> Fault {
    let error = soon("the fault", client.call::<Value>(action, ())).await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::Fault, Ran::Yes), "{error}");
    error.fault().unwrap().clone()
}

async fn half(number: u32) -> Result<u32, Fault> {
    if number % 2 == 1 { Err(Fault::new("odd", "only even numbers have halves")) } else { Ok(number / 2) }
}

async fn who(ctx: Context, greeting: String) -> Result<String, Fault> {
    Ok(format!("{greeting}, {}", ctx.caller()))
}

/// Seed 3: a handler is a function of its input, or of what is known of the call and its input.
#[tokio::test]
async fn functions_and_closures_with_and_without_context_are_handlers() {
    let (_broker, client) = one_client().await;
    client.serve("half", half).await.unwrap();
    client.serve("who", who).await.unwrap();
    let factor = 3;
    client.serve("times", move |n: u32| async move { answerback::Ok(n * factor) }).await.unwrap();
    client
        .serve("action", |ctx: Context, (): ()| async move { answerback::Ok(ctx.action().to_owned()) })
        .await
        .unwrap();
    client.serve("raw", |ctx: Context, raw: Raw| async move { answerback::Ok((ctx.attempt(), raw)) }).await.unwrap();
    // What is not async inside is a handler too.
    client.serve("ready", |n: u32| std::future::ready(answerback::Ok(n))).await.unwrap();

    assert_eq!(client.call::<u32>("half", 8).await.unwrap(), 4);
    assert_eq!(client.call::<String>("who", "hello").await.unwrap(), "hello, client");
    assert_eq!(client.call::<u32>("times", 5).await.unwrap(), 15);
    assert_eq!(client.call::<String>("action", ()).await.unwrap(), "action");
    assert_eq!(client.call_raw("raw", "[1, 2]").await.unwrap().as_bytes(), b"[1,[1, 2]]");
    assert_eq!(client.call::<u32>("ready", 7).await.unwrap(), 7);
}

/// Seeds 24, S5: the handler's error reaches the caller, and the handler goes on.
#[tokio::test]
async fn a_fault_reaches_the_caller_with_all_it_says_and_the_service_goes_on() {
    let (_broker, client) = one_client().await;
    let order = |item: String| async move {
        match &*item {
            "bolt" => Ok(7),
            _ => Err(Fault::new("out_of_stock", "keine Schräubchen 🔩")
                .retryable()
                .with_data(&BTreeMap::from([("days", 3)]))),
        }
    };
    client.serve("order", order).await.unwrap();
    for _ in 0..3 {
        let error = client.call::<u32>("order", "nut").await.unwrap_err();
        assert_eq!(told(&error), (Code::Fault, Ran::Yes, true));
        let fault = error.fault().unwrap();
        assert_eq!((fault.code(), fault.message()), ("out_of_stock", "keine Schräubchen 🔩"));
        assert_eq!((fault.is_retryable(), fault.raw_data()), (true, br#"{"days":3}"#.as_slice()));
        assert_eq!(error.to_string(), "out_of_stock: keine Schräubchen 🔩 (fault, ran: yes)");
        assert_eq!(client.call::<u32>("order", "bolt").await.unwrap(), 7);
    }
}

/// An error type of a service's own, which says in one place how it looks from outside.
enum OrderError {
    NoSuchItem,
    Broken(std::num::ParseIntError),
}

impl From<OrderError> for Fault {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NoSuchItem => Self::new("no_such_item", "this shop does not sell that"),
            OrderError::Broken(why) => Self::of(&why),
        }
    }
}

impl From<std::num::ParseIntError> for OrderError {
    fn from(error: std::num::ParseIntError) -> Self {
        Self::Broken(error)
    }
}

#[tokio::test]
async fn an_error_type_of_ones_own_is_a_fault() {
    let (_broker, client) = one_client().await;
    let order = |item: String| async move {
        if item.is_empty() {
            return Err(OrderError::NoSuchItem);
        }
        Ok::<u32, OrderError>(item.parse::<u32>()?)
    };
    client.serve("order", order).await.unwrap();
    assert_eq!(client.call::<u32>("order", "7").await.unwrap(), 7);
    let error = client.call::<u32>("order", "").await.unwrap_err();
    assert_eq!(error.fault().unwrap().code(), "no_such_item");
    let error = client.call::<u32>("order", "seven").await.unwrap_err();
    assert_eq!(error.fault().unwrap().to_string(), "error: invalid digit found in string");
}

/// An error with a cause.
#[derive(Debug)]
struct Outer(fmt::Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the label could not be printed")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::test]
async fn errors_that_everybody_has_are_faults_with_their_texts_and_causes() {
    let (_broker, client) = one_client().await;
    client.serve("text", |(): ()| async move { Err::<(), _>("plain text") }).await.unwrap();
    client.serve("string", |(): ()| async move { Err::<(), _>(format!("text {}", 7)) }).await.unwrap();
    let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
    client.serve("io", move |(): ()| async move { Err::<(), _>(missing()) }).await.unwrap();
    client.serve("json", |(): ()| async move { serde_json::from_str::<u32>("x").map_err(Fault::from) }).await.unwrap();
    let boxed = |(): ()| async move { Err::<(), BoxError>(Box::new(Outer(fmt::Error))) };
    client.serve("boxed", boxed).await.unwrap();
    let question_mark = |text: String| async move { Ok::<i32, BoxError>(text.parse::<i32>()?) };
    client.serve("question", question_mark).await.unwrap();

    assert_eq!(fault_of(&client, "text").await.message(), "plain text");
    assert_eq!(fault_of(&client, "string").await.message(), "text 7");
    assert_eq!(fault_of(&client, "io").await.message(), "no such file");
    assert!(fault_of(&client, "json").await.message().starts_with("expected value at line 1"));
    let cause = fmt::Error.to_string();
    assert_eq!(fault_of(&client, "boxed").await.message(), format!("the label could not be printed: {cause}"));
    let error = client.call::<i32>("question", "x").await.unwrap_err();
    assert_eq!(error.fault().unwrap().message(), "invalid digit found in string");
    for action in ["text", "string", "io", "json", "boxed"] {
        let fault = fault_of(&client, action).await;
        assert_eq!((fault.code(), fault.is_retryable(), fault.raw_data()), ("error", false, b"null".as_slice()));
    }
}

#[tokio::test]
async fn an_anyhow_error_is_a_fault_with_its_whole_story() {
    use anyhow::Context as _;
    let (_broker, client) = one_client().await;
    let read = |text: String| async move {
        let number: u32 = text.parse().with_context(|| format!("`{text}` is not a number"))?;
        anyhow::ensure!(number < 10, "{number} is too much");
        Ok::<u32, anyhow::Error>(number)
    };
    client.serve("read", read).await.unwrap();
    assert_eq!(client.call::<u32>("read", "7").await.unwrap(), 7);
    for (text, story) in [("x", "`x` is not a number: invalid digit found in string"), ("70", "70 is too much")] {
        let error = client.call::<u32>("read", text).await.unwrap_err();
        assert_eq!(error.fault().unwrap().message(), story);
    }
}

/// A handler that asks others can pass their errors on, and the code survives.
#[tokio::test]
async fn the_error_of_a_call_within_a_handler_is_passed_on() {
    let (_broker, client) = one_client().await;
    client
        .serve("inner", |busy: bool| async move {
            let fault = Fault::new("inner_code", "inner text");
            Err::<u32, _>(if busy { fault.retryable() } else { fault })
        })
        .await
        .unwrap();
    let outer = |ctx: Context, action: String| async move {
        let ttl = std::time::Duration::ZERO;
        ctx.call::<u32>(&action, false).ttl(ttl).await
    };
    client.serve("outer", outer).await.unwrap();
    let error = client.call::<u32>("outer", "inner").await.unwrap_err();
    assert_eq!((error.fault().unwrap().code(), error.is_safe_to_retry()), ("fault", false));
    assert!(error.fault().unwrap().message().starts_with("inner_code: inner text"), "{error}");
    let error = client.call::<u32>("outer", "nobody").await.unwrap_err();
    // What the handler did before it asked is done, so only its author can say that a new try is safe.
    assert_eq!((error.fault().unwrap().code(), error.is_safe_to_retry()), ("no_handler", false));
}

#[tokio::test]
async fn a_panic_is_a_fault_and_the_service_goes_on() {
    let (_broker, client) = one_client().await;
    let divide = |(a, b): (i32, i32)| async move { answerback::Ok(a.checked_div(b).expect("on purpose")) };
    client.serve("divide", divide).concurrency(2).await.unwrap();
    // Also a panic before the first await, in a handler that is a plain function.
    let early = |n: u32| {
        assert!(n > 0, "on purpose");
        std::future::ready(answerback::Ok(n))
    };
    client.serve("early", early).await.unwrap();
    for _ in 0..5 {
        let error = soon("the word on a panic", client.call::<i32>("divide", (1, 0))).await.unwrap_err();
        assert_eq!(told(&error), (Code::Fault, Ran::Yes, false));
        assert_eq!(error.fault().unwrap().code(), "panic");
        assert!(!error.to_string().contains("on purpose"), "what a panic says is for the service's own log");
        let error = soon("the word on a panic", client.call::<u32>("early", 0)).await.unwrap_err();
        assert_eq!(error.fault().unwrap().code(), "panic");
    }
    assert_eq!(client.call::<i32>("divide", (6, 3)).await.unwrap(), 2);
    assert_eq!(client.call::<u32>("early", 1).await.unwrap(), 1);
    assert_eq!(client.work_under_way(), 0);
}

/// What cannot travel is made to fit: a long text is cut, an impossible code becomes a plain one.
#[tokio::test]
async fn a_fault_that_cannot_travel_as_it_is_still_arrives() {
    let (_broker, client) = one_client().await;
    let long = "ü\"\n".repeat(5_000);
    let text = long.clone();
    client
        .serve("long", move |(): ()| {
            let text = text.clone();
            async move { Err::<(), _>(Fault::new("c", text)) }
        })
        .await
        .unwrap();
    client.serve("code", |(): ()| async move { Err::<(), _>(Fault::new("a\nb", "m")) }).await.unwrap();
    let fault = fault_of(&client, "long").await;
    assert!(fault.message().len() > 300 && long.starts_with(fault.message()), "{} bytes", fault.message().len());
    assert_eq!(fault_of(&client, "code").await.code(), "error");
    // Large details travel as an answer does.
    client
        .serve("details", |(): ()| async move { Err::<(), _>(Fault::new("c", "m").with_data(&"x".repeat(1 << 20))) })
        .await
        .unwrap();
    assert_eq!(fault_of(&client, "details").await.data::<String>().unwrap().len(), 1 << 20);
}
