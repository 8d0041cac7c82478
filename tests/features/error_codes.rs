//! Every error code that a program can see: with whether the work ran, whether a new try is safe, and a text that says what to do.
//!
//! Codes that have files of their own are not here: `conflict` is in `keys.rs`, `handler_lost` and `unavailable` in
//! `call_options.rs`, `too_large` in `calls.rs`.

use crate::support::{
    Gate, begin, broker_with, ms, one_client, serve_gated, soon, takes_at_least, told, until, until_told,
};
use answerback::{Client, Code, Error, Fault, Ran, Reconnect};
use answerback_testing::TestBroker;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One line, lower case at its start or a name, no full stop, and the code and `ran` at its end.
fn reads_well(error: &Error) {
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains(". ") && !text.contains(".)"), "{text}");
    let end = format!("({}, ran: {})", error.code(), error.ran());
    assert!(text.ends_with(&end), "{text}");
    assert_eq!(text, format!("{error:?}"), "what a panic shows is the same line");
}

fn is(error: &Error, code: Code, ran: Ran, safe: bool, text: &str) {
    assert_eq!(told(error), (code, ran, safe), "{error}");
    assert!(error.message().contains(text), "`{error}` should say: {text}");
    reads_well(error);
}

#[tokio::test]
async fn no_handler() {
    let (_broker, client) = one_client().await;
    let at_once = client.call::<()>("a", ()).ttl(Duration::ZERO).await.unwrap_err();
    is(&at_once, Code::NoHandler, Ran::No, true, "start a handler or check the name");
    let waited = client.call::<()>("a", ()).ttl(ms(30)).await.unwrap_err();
    is(&waited, Code::NoHandler, Ran::No, true, "nobody came while it waited");
    let own = client.call::<()>("$nothing", ()).await.unwrap_err();
    is(&own, Code::NoHandler, Ran::No, true, "it has $echo, $actions");
}

#[tokio::test]
async fn expired_and_timeout() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "a", 1, &gate).await;
    let under_way = begin(client.call::<()>("a", ()).timeout(ms(200)));
    gate.until_begun(1).await;
    let (expired, queued) = tokio::join!(
        client.call::<()>("a", ()).ttl(ms(40)).into_future(),
        client.call::<()>("a", ()).timeout(ms(60)).into_future()
    );
    is(&expired.unwrap_err(), Code::Expired, Ran::No, true, "give it a longer ttl, or add handlers");
    is(&queued.unwrap_err(), Code::Timeout, Ran::No, true, "give it more time, or add handlers");
    let delivered = soon("its end", under_way).await.unwrap().unwrap_err();
    is(&delivered, Code::Timeout, Ran::Maybe, false, "the handler was told to stop");
    assert_eq!(delivered.attempts(), 1);
}

/// Seed 24.
#[tokio::test]
async fn fault() {
    let (_broker, client) = one_client().await;
    let fail = |retryable: bool| async move {
        let fault = Fault::new("busy", "the printer is out of paper").with_data(&[1, 2]);
        Err::<(), _>(if retryable { fault.retryable() } else { fault })
    };
    client.serve("print", fail).await.unwrap();
    for retryable in [false, true] {
        let error = client.call::<()>("print", retryable).await.unwrap_err();
        assert_eq!(told(&error), (Code::Fault, Ran::Yes, retryable));
        assert_eq!(error.to_string(), "busy: the printer is out of paper (fault, ran: yes)");
        assert_eq!(error.fault().unwrap().data::<[u8; 2]>().unwrap(), [1, 2]);
        assert_eq!(error.attempts(), 1);
    }
}

#[tokio::test]
async fn overloaded_by_the_brokers_queue() {
    let broker = broker_with(|settings| settings.broker.limits.requests_per_action = 1).await;
    let client = broker.client("client").await;
    let waiting = begin(client.call::<()>("a", ()));
    until_told("a call in the queue", &client, "$actions", |told| told["actions"][0]["queued"] == 1).await;
    let error = client.call::<()>("a", ()).await.unwrap_err();
    is(&error, Code::Overloaded, Ran::No, true, "(--max-queue); it did not run; try later");
    assert!(error.retry_after().is_some());
    waiting.abort();
}

/// Seed 12: any name but those of the broker.
#[tokio::test]
async fn denied() {
    let (_broker, client) = one_client().await;
    let error = client.serve("$mine", |(): ()| async move { answerback::Ok(()) }).await.unwrap_err();
    is(&error, Code::Denied, Ran::No, false, "names that start with `$` belong to the broker; choose another");
    let served = client.serve("mine$", |(): ()| async move { answerback::Ok(()) }).await;
    served.unwrap();
}

#[tokio::test]
async fn bad_request() {
    let (_broker, client) = one_client().await;
    let error = client.call::<()>("$explain", 5).await.unwrap_err();
    is(&error, Code::BadRequest, Ran::No, false, "takes {\"action\"");
    let error = client.call::<()>("a", ()).attempts(0).await.unwrap_err();
    is(&error, Code::BadRequest, Ran::No, false, "attempts: 1 to 1000 handlers");
}

/// What was said may have run, and what was not certainly has not.
#[tokio::test]
async fn disconnected_says_what_may_have_run() {
    let broker = TestBroker::start().await;
    let handler = broker.client("handler").await;
    let caller = broker.builder("caller").reconnect(Reconnect::never()).connect().await.unwrap();
    let gate = Gate::new();
    serve_gated(&handler, "a", 1, &gate).await;
    let said = begin(caller.call::<()>("a", ()));
    gate.until_begun(1).await;
    broker.stop().await;
    let said = soon("the end of the call", said).await.unwrap().unwrap_err();
    is(&said, Code::Disconnected, Ran::Maybe, false, "the connection to 127.0.0.1:");
    let unsaid = caller.call::<()>("a", ()).await.unwrap_err();
    is(&unsaid, Code::Disconnected, Ran::No, true, "the connection to 127.0.0.1:");
    caller.close().await;
}

#[tokio::test]
async fn disconnected_by_its_own_program() {
    let (_broker, client) = one_client().await;
    client.close().await;
    let error = client.call::<()>("a", ()).await.unwrap_err();
    is(&error, Code::Disconnected, Ran::No, true, "this client was closed by its program");
    let error = client.serve("a", |(): ()| async move { answerback::Ok(()) }).await.unwrap_err();
    is(&error, Code::Disconnected, Ran::No, true, "this client was closed by its program");
}

/// The same session on a second connection: the first one must not fight for it.
#[tokio::test]
async fn replaced() {
    let broker = TestBroker::start().await;
    let first = broker.builder("first").seed(7).connect().await.unwrap();
    let second = broker.builder("second").seed(7).connect().await.unwrap();
    until("the end of the first", || first.state().is_closed()).await;
    let error = first.call::<()>("a", ()).await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::Replaced, Ran::No), "{error}");
    reads_well(&error);
    assert!(second.state().is_connected());
}

/// A server that says one thing and closes, or says nothing at all.
async fn server_that_says(frame: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let length = frame.len() as u32;
                if !frame.is_empty() {
                    socket.write_all(&(length + 2).to_be_bytes()).await?;
                    socket.write_all(&(length as u16).to_be_bytes()).await?;
                    socket.write_all(frame.as_bytes()).await?;
                }
                socket.read_to_end(&mut Vec::new()).await
            });
        }
    });
    address
}

async fn refused_by(frame: &'static str) -> Error {
    let address = server_that_says(frame).await;
    let connecting = Client::builder(address).connect_timeout(ms(100)).connect();
    soon("the word on the connection", connecting).await.unwrap_err()
}

#[tokio::test]
async fn version_mismatch() {
    let words = r#"{"type":"error","code":"version_mismatch","message":"this server speaks 2 to 3","fatal":true}"#;
    is(&refused_by(words).await, Code::VersionMismatch, Ran::No, false, "this server speaks 2 to 3");
}

/// Not every program that listens speaks this protocol.
#[tokio::test]
async fn a_server_of_another_kind() {
    let error = refused_by(r#"{"what":"is this"}"#).await;
    is(&error, Code::BadRequest, Ran::No, false, "is not the protocol of this client");
}

#[tokio::test]
async fn silent() {
    let error = takes_at_least(ms(100), refused_by("")).await;
    is(&error, Code::Silent, Ran::No, true, "nothing was heard from 127.0.0.1:");
}
