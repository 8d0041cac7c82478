//! cargo run --example balanced
//!
//! Two servers that are linked, and a balancer in front: `examples/mesh.sh cargo run --example balanced`. Whichever server a client comes to, it reaches
//! all services; and one service calls another within its handler, with what is left of its caller's time.

use answerback::{Client, Context, Error, State};
use answerback_examples::server;
use std::collections::BTreeSet;

#[tokio::main]
async fn main() -> Result<(), Error> {
    // Each connection goes to the next server in turn.
    let prices = connect("prices").await?;
    prices.serve("price", price).await?;
    let orders = connect("orders").await?;
    orders.serve("order", order).await?;

    let mut servers = BTreeSet::new();
    for number in 1..=4 {
        let caller = connect(&format!("caller-{number}")).await?;
        servers.insert(server_of(&caller));
        let bill: String = caller.call("order", ("bolt", number)).await?;
        println!("{bill}");
        caller.close().await;
    }
    println!("callers were at {servers:?}");
    orders.close().await;
    prices.close().await;
    Ok(())
}

async fn connect(name: &str) -> Result<Client, Error> {
    Client::builder(server()).name(name).connect().await
}

async fn price(item: String) -> Result<u32, answerback::Fault> {
    Ok(item.len() as u32 * 5)
}

async fn order(ctx: Context, (item, count): (String, u32)) -> Result<String, Error> {
    let price: u32 = ctx.call("price", &item).await?;
    Ok(format!("{}: {count} x {item} for {}", ctx.caller(), price * count))
}

fn server_of(client: &Client) -> String {
    match client.state() {
        State::Connected { server, .. } => server,
        other => format!("{other:?}"),
    }
}
