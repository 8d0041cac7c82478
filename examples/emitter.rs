//! cargo run --example emitter
//!
//! Events: listeners by topic, one that hears everything, one that hears once, and heartbeats with the name of a service.

use answerback::{Client, Emitter, Event, Raw};
use answerback_examples::server;
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), answerback::Error> {
    let (shop, desk) = (connect("shop").await?, connect("desk").await?);
    let (here, there) = (Emitter::new(&desk), Emitter::new(&shop));
    // Listeners run in tasks of their own; what they say is printed here, in order.
    let (says, mut said) = mpsc::channel(16);

    let say = says.clone();
    let orders = here
        .on("orders.*", move |order: Event<(String, u32)>| {
            let (item, count) = order.data;
            let _ = say.try_send(format!("{} of {}: {count} x {item}", order.topic, order.from));
        })
        .await?;
    there.emit("orders.new", ("bolt", 3)).await?;
    there.emit("orders.paid", ("bolt", 3)).await?;
    print(&mut said, 2).await;

    println!("{}", if here.remove_listener(orders) { "no more orders" } else { "that one was not there" });
    let say = says.clone();
    here.once("shop.closing", move |event: Event<String>| drop(say.try_send(format!("closing {}", event.data))))
        .await?;
    for when in ["at six", "at seven"] {
        there.emit("shop.closing", when).confirmed().await?;
    }
    print(&mut said, 1).await;

    here.on("*", move |event: Event<Raw>| drop(says.try_send(format!("{} from {}", event.topic, event.from)))).await?;
    there.heartbeat("shop", Duration::from_millis(20));
    print(&mut said, 2).await;

    drop((here, there));
    shop.close().await;
    desk.close().await;
    Ok(())
}

async fn connect(name: &str) -> Result<Client, answerback::Error> {
    Client::builder(server()).name(name).connect().await
}

async fn print(said: &mut mpsc::Receiver<String>, lines: usize) {
    for _ in 0..lines {
        if let Some(line) = said.recv().await {
            println!("{line}");
        }
    }
}
