//! What a process of these tests does. It is this test program again, with [`as_a_process_of_its_own`] as its only test. It is told by lines on its standard input,
//! and tells by lines that begin with `@`.
//!
//! | told | it does | and says |
//! |---|---|---|
//! | nothing | serves `inbox.NAME` and `echo`, hears `news.>`; sends and publishes before there is a connection | `connected`, `subscribed`, `got TEXT`, `heard TOPIC` |
//! | `ask ROUND` | calls `echo`, and sends to `ledger`, durably | `asked ROUND`, `accepted ID` |
//! | `publish TOPIC` | does so | |
//! | `serve ledger` | does so | `ran ID` |
//!
//! Besides, it calls `echo` all the time, and says `failed` if that ever has another end than the answer.

use answerback::{Client, Raw, State};
use answerback_process::logging;
use answerback_server::embedded::{Builder, Embedded};
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) const ADDRESS: &str = "EMBEDDED_ADDRESS";
pub(crate) const FOLDER: &str = "EMBEDDED_FOLDER";
pub(crate) const NAME: &str = "EMBEDDED_NAME";
/// Inboxes to which it sends at once, with commas between them.
pub(crate) const SENDS_TO: &str = "EMBEDDED_SENDS_TO";

/// Who dies has the call that it works on; so many others may get it.
const ATTEMPTS: u32 = 20;

/// How often it calls by itself.
const CALL_EVERY: Duration = Duration::from_millis(20);

/// The other side. Without the variables it has nothing to do.
#[test]
#[ignore = "the tests of this program start it as a process of its own"]
fn as_a_process_of_its_own() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let lines = logging::start("info".parse().unwrap(), logging::Format::Text).unwrap();
    let told = told();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(live(address, told));
    lines.flush();
}

fn say(line: impl std::fmt::Display) {
    // The test's own words may stand on the same line.
    let _ = std::io::stdout().lock().write_all(format!("\n@ {line}\n").as_bytes());
}

/// The lines on the standard input.
fn told() -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
        // Whoever started it is gone.
        std::process::exit(3);
    });
    told
}

async fn live(address: String, mut told: mpsc::Receiver<String>) {
    let [folder, name, sends_to] = [FOLDER, NAME, SENDS_TO].map(|variable| std::env::var(variable).unwrap());
    let broker = Builder::new(address).data_dir(folder).name(&name).start().await.unwrap();
    begin(&broker, &name, &sends_to).await;
    while let Some(line) = told.recv().await {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("ask", round) => ask(broker.client(), &name, round),
            ("publish", topic) => broker.publish(topic, &name).await.unwrap(),
            ("serve", "ledger") => serve_ledger(broker.client()).await,
            _ => panic!("what is {line:?}?"),
        }
    }
}

/// All that is done before there is a connection.
async fn begin(broker: &Embedded, name: &str, sends_to: &str) {
    let client = broker.client().clone();
    let inbox = format!("inbox.{name}");
    let begun = async move {
        // Subscribed to before anything is published below.
        let mut news = client.subscribe::<Raw>("news.>").await.unwrap();
        let got = |text: String| async move {
            say(format!("got {text}"));
            answerback::Ok(())
        };
        client.serve(&inbox, got).await.unwrap();
        client.serve("echo", |round: String| async move { answerback::Ok(round) }).await.unwrap();
        say("subscribed");
        while let Some(event) = news.next().await {
            say(format!("heard {}", event.unwrap().topic));
        }
    };
    tokio::spawn(begun);
    tokio::task::yield_now().await;
    for other in sends_to.split(',').filter(|other| !other.is_empty()) {
        let send = broker.send(&format!("inbox.{other}"), format!("{name}-{other}")).into_future();
        tokio::spawn(async move { send.await.unwrap() });
    }
    broker.publish(&format!("news.early.{name}"), ()).await.unwrap();
    tokio::spawn(keep_calling(broker.client().clone()));
    let mut states = broker.watch();
    tokio::spawn(async move {
        while !states.now().is_connected() {
            states.changed().await;
        }
        say("connected");
    });
}

async fn keep_calling(client: Client) {
    let mut ticks = tokio::time::interval(CALL_EVERY);
    loop {
        ticks.tick().await;
        match client.call::<String>("echo", "again").attempts(ATTEMPTS).await {
            Ok(answer) if answer == "again" => {}
            Err(_) if matches!(client.state(), State::Draining | State::Closed { .. }) => return,
            other => say(format!("failed {other:?}")),
        }
    }
}

fn ask(client: &Client, name: &str, round: &str) {
    let (client, name, round) = (client.clone(), name.to_owned(), round.to_owned());
    tokio::spawn(async move {
        let asked = client.call::<String>("echo", &round).attempts(ATTEMPTS).await;
        say(if asked.is_ok() { format!("asked {round}") } else { format!("failed {asked:?}") });
        let id = format!("{name}-{round}");
        if client.send("ledger", &id).durable().await.is_ok() {
            say(format!("accepted {id}"));
        }
    });
}

async fn serve_ledger(client: &Client) {
    let run = |id: String| async move {
        say(format!("ran {id}"));
        answerback::Ok(())
    };
    client.serve("ledger", run).await.unwrap();
}
