//! cargo run --example durable
//!
//! A durable request is on disk before it is accepted: here the broker is killed and started again, and the request is still
//! there. It is a broker of this example's own, so that it can be killed.

use answerback::Error;
use answerback_testing::TestBroker;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let broker = TestBroker::start().await;
    let shop = broker.client("shop").await;

    // Nobody serves it yet, and nobody will wait for it: once this returns, the broker has it on disk.
    shop.send("invoice.print", 7).durable().await?;
    println!("accepted: invoice 7");
    shop.close().await;

    // Ends as by `kill -9`: nobody is told, and nothing more is saved.
    broker.stop().await;
    println!("the broker was killed");
    broker.start_again().await;
    println!("the broker was started again");

    let (tell, mut printed) = mpsc::channel(1);
    let printer = broker.client("printer").await;
    let print = move |invoice: u32| {
        let tell = tell.clone();
        async move {
            // Nobody may be listening any more, when the example has ended.
            let _ = tell.send(invoice).await;
            answerback::Ok(())
        }
    };
    printer.serve("invoice.print", print).await?;
    if let Some(invoice) = printed.recv().await {
        println!("printed: invoice {invoice}");
    }
    printer.close().await;
    Ok(())
}
