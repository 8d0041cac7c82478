//! What becomes of the parts of an answer while their caller is away.

use crate::load::pass;
use crate::quiet::until;
use answerback::{Client, Context, Error};
use answerback_testing::{Proxy, TestBroker};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Streams `parts` numbers to a caller whose connection breaks after the first and comes back when all are sent. Returns
/// what the caller heard, or how its call failed.
async fn stream_to_one_who_is_away(parts: u64) -> Result<Vec<u64>, Error> {
    let broker = TestBroker::start().await;
    let proxy = Proxy::start(broker.address()).await;
    let service = broker.client("service").await;
    let count = |context: Context, to: u64| async move {
        context.part(0).await?;
        // Until the caller is away.
        pass(Duration::from_millis(200)).await;
        for part in 1..to {
            context.part(part).await?;
        }
        Ok::<u64, Error>(to)
    };
    service.serve("count", count).await.unwrap();
    let caller = Client::builder(proxy.address()).name("caller").connect().await.unwrap();
    let mut stream = caller.call::<u64>("count", parts).stream();
    let mut heard = vec![stream.next().await.unwrap()?];
    proxy.refuse(true);
    proxy.cut_all();
    until(PATIENCE, || async {
        let (held, work) = (broker.report().await.unwrap().held, service.work_under_way());
        (work == 0 && held.requests == 0).then_some(()).ok_or(format!("{work} at work, {held:?}"))
    })
    .await;
    proxy.refuse(false);
    while let Some(part) = stream.next().await {
        heard.push(part?);
    }
    Ok(heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_were_sent_to_one_who_was_away_come_later() {
    let heard = stream_to_one_who_is_away(3_000).await.unwrap();
    assert_eq!(heard, (0..=3_000).collect::<Vec<_>>());
}

/// The story: a server keeps the last 4,096 replies of a session that is away, and dropped older ones without a trace. When
/// some of them were parts of one answer, the caller was given the rest of the parts and then the end: an answer with a hole
/// in it, which looked like a good one. Now the server remembers that something went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_a_hole_in_it_is_not_a_good_one() {
    match stream_to_one_who_is_away(6_000).await {
        Ok(heard) => assert_eq!(heard.len(), 6_001, "parts are missing, and the call ended well"),
        Err(error) => assert_ne!(error.ran(), answerback::Ran::No, "{error}"),
    }
}

/// A reader that does nothing but read must be fast enough.
#[tokio::test]
async fn a_long_answer_reaches_one_who_reads_it() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("service").await, broker.client("caller").await);
    let count = |context: Context, to: u64| async move {
        for part in 0..to {
            context.part(part).await?;
        }
        Ok::<u64, Error>(to)
    };
    service.serve("count", count).await.unwrap();
    let mut stream = caller.call::<u64>("count", 20_000).stream();
    let mut heard = 0;
    while let Some(part) = stream.next().await {
        assert_eq!(part.unwrap(), heard);
        heard += 1;
    }
    assert_eq!(heard, 20_001);
}
