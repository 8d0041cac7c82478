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
/// `cancel`. Then the request was delivered under the same id, since the key of ids is kept over restarts; the handler's
/// client took that for what it worked on already, and answered it with what it says to a cancel, the fault `cancelled`. Without a store, ids
/// now differ from one life of a server to the next.
#[test]
fn a_lost_session_counts_as_one_attempt() {
    assert_eq!(in_virtual_time(runs_when_lost(0)), 2);
}

/// A broker that had given a call with two attempts to both of its handlers is killed. The caller knows of one lost session and counts it as one attempt, as its
/// documentation says, since nobody is left who could say how many it was.
#[test]
fn a_lost_session_counts_as_one_attempt_however_many_it_had_used() {
    assert_eq!(in_virtual_time(runs_when_lost(1)), 3);
}
