//! cargo run --example broadcast
//!
//! One question to every handler: their answers come tagged with who gave them, and counted.

use answerback::{Client, Fault};
use answerback_examples::server;

#[tokio::main]
async fn main() -> Result<(), answerback::Error> {
    let mut caches = Vec::new();
    for (name, entries) in [("cache-1", 120), ("cache-2", 80), ("cache-3", 0)] {
        let cache = Client::builder(server()).name(name).connect().await?;
        cache.serve("cache.clear", move |users: String| clear(users, entries)).await?;
        caches.push(cache);
    }

    let client = answerback::connect(server()).await?;
    let mut gathered = client.broadcast::<u32>("cache.clear", "users").gather().await?;
    gathered.replies.sort_by(|one, other| one.from.cmp(&other.from));
    for reply in gathered.replies {
        match reply.result {
            Ok(entries) => println!("{}: {entries} entries cleared", reply.from),
            Err(error) => println!("{}: {error}", reply.from),
        }
    }
    let counts = gathered.counts;
    println!("{} answered, {} failed, {} lost of {}", counts.answered, counts.failed, counts.lost, counts.expected);
    for client in caches.into_iter().chain([client]) {
        client.close().await;
    }
    Ok(())
}

async fn clear(what: String, entries: u32) -> Result<u32, Fault> {
    if entries == 0 { Err(Fault::new("empty", format!("there are no {what} here"))) } else { Ok(entries) }
}
