//! cargo run --example just_there
//!
//! Nobody starts a server. `cargo run --example just_there -- ada` in three terminals, with a name for each: the first one has the broker, and each hears what is
//! typed into the others. Kill the first with `kill -9`, and go on typing. Without a name it plays three processes itself, to its end.

use answerback::{Event, State};
use answerback_server::embedded::{Builder, Embedded, connect_or_start};
use std::io::BufRead;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1) {
        Some(name) => chat(&name).await,
        None => play().await,
    }
}

async fn chat(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let broker = connect_or_start("127.0.0.1:7060").await?;
    println!("you are {name}; type to the others, Ctrl-D leaves");
    let (mut lines, mut states) = (broker.subscribe::<String>("chat.*").await?, broker.watch());
    let (tell, mut typed) = tokio::sync::mpsc::channel::<String>(16);
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| tell.blocking_send(line))
    });
    loop {
        println!(
            "{}",
            broker
                .epoch()
                .map_or("(another has the broker)".to_owned(), |epoch| format!("(the broker is here, epoch {epoch})"))
        );
        tokio::select! {
            Some(line) = lines.next() => println!("{}", line?.data),
            line = typed.recv() => match line {
                Some(line) => broker.publish("chat.line", format!("{name}: {line}")).to_others().await?,
                None => break,
            },
            _ = states.changed() => {}
        }
    }
    broker.leave().await;
    Ok(())
}
