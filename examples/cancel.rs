//! cargo run --example cancel
//!
//! Who drops a call cancels it: the broker is told, and the handler stops.

use answerback::{Context, Fault};
use answerback_examples::server;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> Result<(), answerback::Error> {
    let client = answerback::connect(server()).await?;
    let (tell, mut told) = mpsc::channel(4);

    // By default a handler is dropped where it awaits. This one gets a second to clean up.
    let handler = move |ctx: Context, report: String| {
        let tell = tell.clone();
        async move {
            say(&tell, format!("handler: working on {report}")).await;
            ctx.cancelled().await;
            say(&tell, format!("handler: nobody waits for {report} any more, cleaning up")).await;
            Ok::<_, Fault>(())
        }
    };
    client.serve("report.make", handler).cancel_grace(Duration::from_secs(1)).await?;

    let call = client.call::<()>("report.make", "the year 2026");
    if timeout(Duration::from_millis(100), call.into_future()).await.is_err() {
        println!("caller: it takes too long, I leave");
    }
    for _ in 0..2 {
        println!("{}", told.recv().await.unwrap_or_default());
    }
    while client.calls_waiting() + client.work_under_way() > 0 {
        tokio::task::yield_now().await;
    }
    println!("nothing is left of it");
    client.close().await;
    Ok(())
}

async fn say(tell: &mpsc::Sender<String>, line: String) {
    // The caller reads all that is said.
    let _ = tell.send(line).await;
}
