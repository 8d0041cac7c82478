//! cargo run --example graceful_shutdown
//!
//! A worker is replaced while calls come in: the old one finishes what it has, the new one gets the rest, and no call fails. A service of its
//! own ends with `client.run_until_signal(deadline).await`, which does the same on SIGTERM and SIGINT.

use answerback::{Client, Context, Fault};
use answerback_examples::server;
use std::future::IntoFuture;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Rung when work begins.
static BEGUN: Notify = Notify::const_new();

#[tokio::main]
async fn main() -> Result<(), answerback::Error> {
    let old = worker("old").await?;
    let caller = answerback::connect(server()).await?;
    let mut calls = JoinSet::new();
    for job in 1..=3 {
        calls.spawn(caller.call::<String>("job", job).into_future());
    }
    BEGUN.notified().await;

    // The old worker has one job; the other two wait in the broker.
    let drained = old.drain(Duration::from_secs(10)).await;
    println!("old worker left: {} finished, {} cut off", drained.finished, drained.cut_off);

    let new = worker("new").await?;
    let mut answers = Vec::new();
    for answer in calls.join_all().await {
        answers.push(answer?);
    }
    answers.sort();
    println!("{}", answers.join("\n"));
    new.drain(Duration::from_secs(10)).await;
    caller.close().await;
    Ok(())
}

/// A client that works on one job at a time.
async fn worker(name: &str) -> Result<Client, answerback::Error> {
    let client = Client::builder(server()).name(name).connect().await?;
    client.serve("job", work).concurrency(1).await?;
    Ok(client)
}

async fn work(ctx: Context, _job: u32) -> Result<String, Fault> {
    BEGUN.notify_one();
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(format!("a job done by the {} worker", ctx.client().name()))
}
