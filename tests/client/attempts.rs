//! How many handlers are given a call.

use crate::load::pass;
use crate::quiet::until;
use answerback::Client;
use answerback_testing::{Simulation, in_virtual_time};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Serves `work`, which never ends, and counts how often it is begun.
async fn serve(client: &Client, runs: &Arc<AtomicU32>) {
    let runs = Arc::clone(runs);
    let work = move |(): ()| {
        runs.fetch_add(1, Ordering::Relaxed);
        async {
            pending::<()>().await;
            answerback::Ok(())
        }
    };
    client.serve("work", work).await.unwrap();
}

async fn until_runs(runs: &AtomicU32, count: u32) {
    until(Duration::from_secs(20), || async {
        let now = runs.load(Ordering::Relaxed);
        (now == count).then_some(()).ok_or(format!("{now} runs"))
    })
    .await;
}

/// Gives a call with two attempts to handlers that all are lost, `lost` of them in the first life of the broker and the rest
/// in its second, and says how often it ran.
async fn runs_when_lost(lost: u32) -> u32 {
    let (simulation, runs) = (Simulation::new(1), Arc::new(AtomicU32::new(0)));
    let caller = simulation.client("caller").await;
    let mut service = simulation.client("service").await;
    serve(&service, &runs).await;
    let call = tokio::spawn(async move { caller.call::<()>("work", ()).attempts(2).await });
    until_runs(&runs, 1).await;
    for nth in 0..lost {
        service.close().await;
        service = simulation.client("service").await;
        serve(&service, &runs).await;
        until_runs(&runs, nth + 2).await;
    }
    simulation.restart();
    pass(Duration::from_secs(60)).await;
    let error = call.await.unwrap().unwrap_err();
    assert!(error.fault().is_none(), "no handler has said that: {error}");
    runs.load(Ordering::Relaxed)
}

/// The story: a server is killed and started again. A caller asks again, since it has an attempt left, and its request waits.
/// The handler comes back and says that it still holds the delivery of before, which the server does not know: it is told to
/// `cancel`. Then the request is delivered, under the same id, since the key of ids is kept over restarts. The handler's
/// client takes that for what it works on already, and answers it with what it says to a cancel: the fault `cancelled`. So
/// the caller is told that a handler answered with an error, which none did. Without a store, ids should differ from one
/// life of a server to the next; or a server should not cancel what it is about to deliver.
#[test]
#[ignore = "known: a delivery of the server's life before is cancelled, and that is taken as the answer; see the story"]
fn a_lost_session_counts_as_one_attempt() {
    assert_eq!(in_virtual_time(runs_when_lost(0)), 2);
}

/// The story: a broker gives a call with two attempts to a second handler, since the first was lost, and is then killed. The
/// caller knows of one lost session, counts it as one attempt, and asks the next broker with the one that it thinks is left.
/// So three handlers run it. The caller would have to be told how many attempts were used up, or `attempts` be said to
/// hold for each life of a session.
#[test]
#[ignore = "known: a caller does not learn how many attempts a broker had used up; see the story"]
fn no_more_handlers_run_a_call_than_it_has_attempts() {
    assert_eq!(in_virtual_time(runs_when_lost(1)), 2);
}
