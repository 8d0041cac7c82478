//! Rights on the client library, at a real server: for each one that has it and one that does not. All cases are in the tables of the core
//! (`broker/tests/tables/rights.rs`), and the frames in `server/tests/it/rights.rs`.

use crate::stage::{Runs, Stage, Work, client, honest_key, key, soon, victims_key, work};
use answerback::{Code, Error, Ran};
use serde_json::Value;

/// What the core says to whoever lacks a right; nothing has run.
fn denied(error: &Error, words: &str) {
    assert_eq!((error.code(), error.ran()), (Code::Denied, Ran::No), "{error}");
    assert!(error.message().contains(words), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_serve_and_admin_for_one_that_may_and_one_that_may_not() {
    let stage = Stage::with(&[]);
    let (may, not) =
        (client(stage.address(), honest_key(), "may").await, client(stage.address(), key("nothing", 9), "not").await);
    let error = soon("the word on it", not.serve("work", |given: Work| async move { answerback::Ok(given) })).await;
    denied(&error.map(drop).unwrap_err(), "nothing may not serve work: its key has no grant serve = [\"work\"]");
    let runs = Runs::default();
    runs.serve(&may, "work").await;

    let error = soon("the word on it", not.call::<Work>("work", work(1))).await.unwrap_err();
    denied(&error, "nothing may not call work: its key has no grant call = [\"work\"]");
    let error = soon("the word on it", not.send("work", work(1))).await.unwrap_err();
    denied(&error, "nothing may not call work");
    assert_eq!(runs.of(1), 0);
    assert_eq!(soon("an answer", may.call::<Work>("work", work(2))).await.unwrap(), work(2));
    assert_eq!(runs.of(2), 1);

    let error = soon("the word on it", not.call::<Value>("$sessions", ())).await.unwrap_err();
    denied(&error, "nothing may not call $sessions");
    let told = soon("an answer", may.call::<Value>("$sessions", ())).await.unwrap();
    assert_eq!(told["sessions"].as_array().map(Vec::len), Some(2), "{told}");
}

/// `from` is who holds the key, whatever somebody calls itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_told_the_holder_that_nobody_can_forge() {
    let stage = Stage::with(&[]);
    let service = client(stage.address(), honest_key(), "service").await;
    let who = |context: answerback::Context, (): ()| async move { answerback::Ok(context.caller().to_owned()) };
    service.serve("work", who).await.unwrap();
    for (key, name, from) in
        [(victims_key(), "web-1", "victim/web-1"), (victims_key(), "honest/service", "victim/honest/service")]
    {
        let caller = client(stage.address(), key, name).await;
        assert_eq!(soon("an answer", caller.call::<String>("work", ())).await.unwrap(), from);
    }
}
