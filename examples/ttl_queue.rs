//! cargo run --example ttl_queue
//!
//! A call waits in the broker until a handler is free, but not beyond its ttl; and the error says whether its work ran.

use answerback::Error;
use answerback_examples::server;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = answerback::connect(server()).await?;

    // Nobody serves it yet, and it may wait for 50 ms only.
    let late = client.call::<u32>("slow.double", 1).ttl(Duration::from_millis(50)).await;
    println!("nobody there: {}", tell(late));

    // This one may wait as long as its timeout allows: until the handler comes, in a moment.
    let patient = tokio::spawn(client.call::<u32>("slow.double", 2).timeout(Duration::from_secs(10)).into_future());
    while client.calls_waiting() == 0 {
        tokio::task::yield_now().await;
    }
    client.serve("slow.double", double).concurrency(1).await?;
    let answer = patient.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    println!("waited for its handler: {}", tell(answer));

    // The handler takes one call at a time and is busy: ttl 0 does not wait at all.
    let busy = tokio::spawn(client.call::<u32>("slow.double", 3).into_future());
    while client.work_under_way() == 0 {
        tokio::task::yield_now().await;
    }
    let hurried = client.call::<u32>("slow.double", 4).ttl(Duration::ZERO).await;
    println!("handler busy: {}", tell(hurried));
    // Dropping the call cancels it.
    busy.abort();
    client.close().await;
    Ok(())
}

async fn double(n: u32) -> Result<u32, answerback::Fault> {
    sleep(Duration::from_millis(200)).await;
    Ok(2 * n)
}

fn tell(answer: Result<u32, Error>) -> String {
    match answer {
        Ok(number) => number.to_string(),
        Err(error) => format!("{}, ran: {}, safe to retry: {}", error.code(), error.ran(), error.is_safe_to_retry()),
    }
}
