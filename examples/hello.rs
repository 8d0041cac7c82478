//! cargo run --example hello
//!
//! A service and a call. It wants a broker: cargo run --release -p answerback-server

use answerback_examples::server;

#[tokio::main]
async fn main() -> Result<(), answerback::Error> {
    let client = answerback::connect(server()).await?;

    // The service: an async function of anything that serde can read.
    client.serve("hello", |name: String| async move { answerback::Ok(format!("Hello, {name}!")) }).await?;

    // The call: the type of its answer is the type that is wanted.
    let greeting: String = client.call("hello", "Ada").await?;
    println!("{greeting}");

    client.close().await;
    Ok(())
}
