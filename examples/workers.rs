//! cargo run --example workers
//!
//! Three workers share the calls of one action. Each takes one at a time; what they cannot take yet waits in the broker.

use answerback::{Client, Context};
use answerback_examples::server;
use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), answerback::Error> {
    let mut workers = Vec::new();
    for number in 1..=3 {
        let worker = Client::builder(server()).name(format!("worker-{number}")).connect().await?;
        worker.serve("square", square).concurrency(1).await?;
        workers.push(worker);
    }

    let caller = answerback::connect(server()).await?;
    let mut calls = JoinSet::new();
    for n in 1..=9 {
        calls.spawn(caller.call::<(u64, String)>("square", n).into_future());
    }

    let (mut squares, mut by) = (BTreeSet::new(), BTreeSet::new());
    for answer in calls.join_all().await {
        let (square, worker) = answer?;
        squares.insert(square);
        by.insert(worker);
    }
    println!("squares {squares:?}");
    println!("by {by:?}");
    for client in workers.into_iter().chain([caller]) {
        client.close().await;
    }
    Ok(())
}

/// Pretends that squares are hard.
async fn square(ctx: Context, n: u64) -> Result<(u64, String), answerback::Fault> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok((n * n, ctx.client().name().to_owned()))
}
