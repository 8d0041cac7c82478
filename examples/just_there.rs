//! cargo run --example just_there
//!
//! Nobody starts a server. Start it in three terminals, each with a name behind `--`: the first has the broker. Kill that with -9, and go on typing into the others.

use answerback_server::embedded::{Builder, Embedded, connect_or_start};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    match std::env::args().nth(1) {
        Some(name) => talk(&name, connect_or_start("127.0.0.1:7060").await?).await,
        None => show().await,
    }
}

async fn talk(name: &str, broker: Embedded) -> Outcome {
    let (mut heard, mut moves) = (broker.subscribe::<String>("talk").await?, broker.watch_epoch());
    let (tell, mut typed) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| tell.blocking_send(line))
    });
    println!("{name}: type something; Ctrl-D leaves{}", here(broker.epoch()));
    loop {
        tokio::select! {
            line = typed.recv() => match line {
                Some(line) => broker.publish("talk", format!("{name}: {line}")).to_others().await?,
                None => break,
            },
            Some(event) = heard.next() => println!("{}", event?.data),
            epoch = moves.changed() => println!("the broker has moved{}", here(epoch)),
        }
    }
    broker.leave().await;
    Ok(())
}

fn here(epoch: Option<u64>) -> String {
    epoch.map_or_else(String::new, |epoch| format!("; the broker is here, epoch {epoch}"))
}

/// Three processes in one: each looks for the broker by itself.
async fn show() -> Outcome {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let folder = std::env::temp_dir().join(format!("just-there-{}", std::process::id()));
    let start = |name| Builder::new(&*address).data_dir(&folder).name(name);
    let ada = start("ada").connect().await?;
    println!("ada came first{}", here(ada.epoch()));
    let bob = start("bob").connect().await?;
    println!("bob came second{}", here(bob.epoch()));
    bob.serve("greet", |name: String| async move { answerback::Ok(format!("hello {name}, here is bob")) }).await?;
    println!("{}", ada.call::<String>("greet", "ada").await?);
    let mut moves = bob.watch_epoch();
    ada.leave().await;
    println!("ada left{}", here(moves.changed().await));
    bob.leave().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
