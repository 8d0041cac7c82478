//! What a server keeps from one life to the next, as programs see it.

use crate::support::{Gate, begin, broker_with, ms, one_client, serve_gated, soon, until};
use answerback::Client;
use answerback_testing::TestBroker;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Serves an action and gives out what it is asked, in order.
async fn hear(client: &Client, action: &str) -> mpsc::UnboundedReceiver<u32> {
    let (tell, told) = mpsc::unbounded_channel();
    let work = move |number: u32| {
        let tell = tell.clone();
        async move { tell.send(number).map_err(|_| "nobody listens") }
    };
    client.serve(action, work).concurrency(1).await.unwrap();
    told
}

/// A broker that saves only when it leaves in order.
async fn broker_that_saves_at_its_end() -> TestBroker {
    broker_with(|settings| settings.snapshot_interval = Duration::ZERO).await
}

async fn kill_and_start_again(broker: &TestBroker) {
    broker.stop().await;
    broker.start_again().await;
}

/// Files of a generation of snapshots, or of the journal.
fn files(broker: &TestBroker, folder: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(broker.folder().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let is_meant = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(folder) && path.is_dir();
    let folders = all.filter(is_meant);
    folders.flat_map(|path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())).collect()
}

fn overwrite(file: &Path) {
    if file.is_file() {
        std::fs::write(file, [b'x'; 3_000]).unwrap();
    }
}

/// Seeds 27, 31, 32: the queue is saved now and then, off the road of calls, and is there after a kill.
#[tokio::test]
async fn what_waits_is_saved_in_between_and_is_there_after_a_kill() {
    let broker = broker_with(|settings| settings.snapshot_interval = ms(5)).await;
    let sender = broker.client("sender").await;
    for number in 1..=20 {
        sender.send("job", number).await.unwrap();
    }
    sender.close().await;
    soon("the snapshot", async { while broker.report().await.is_none_or(|report| report.store.rounds.items < 20) {} })
        .await;
    kill_and_start_again(&broker).await;
    let service = broker.client("service").await;
    let mut told = hear(&service, "job").await;
    for number in 1..=20 {
        assert_eq!(soon("a send", told.recv()).await, Some(number));
    }
}

/// Seeds 32, 33: everything is saved when the server leaves, whatever the interval.
#[tokio::test]
async fn what_waits_is_saved_when_the_server_leaves_in_order() {
    let broker = broker_that_saves_at_its_end().await;
    let sender = broker.client("sender").await;
    sender.send("job", 1).await.unwrap();
    sender.send("job", 2).durable().await.unwrap();
    sender.close().await;
    assert!(broker.drain(ms(5_000)).await);
    broker.start_again().await;
    let service = broker.client("service").await;
    let mut told = hear(&service, "job").await;
    let mut both = [soon("a send", told.recv()).await.unwrap(), soon("a send", told.recv()).await.unwrap()];
    both.sort_unstable();
    assert_eq!(both, [1, 2]);
}

/// What is not durable and in no snapshot yet goes with a server that is killed: this is what `durable` is for.
#[tokio::test]
async fn what_no_snapshot_has_is_gone_after_a_kill_unless_it_is_durable() {
    let broker = broker_that_saves_at_its_end().await;
    let sender = broker.client("sender").await;
    sender.send("job", 1).await.unwrap();
    sender.send("job", 2).durable().await.unwrap();
    sender.close().await;
    kill_and_start_again(&broker).await;
    let service = broker.client("service").await;
    let mut told = hear(&service, "job").await;
    assert_eq!(soon("the durable one", told.recv()).await, Some(2));
    service.call::<serde_json::Value>("$echo", ()).await.unwrap();
    assert!(told.try_recv().is_err(), "it came back from nowhere");
}

/// Seed 33: callers that wait notice nothing: they are connected again by themselves and ask again.
#[tokio::test]
async fn a_call_that_waits_goes_on_waiting_in_the_next_life() {
    for durable in [false, true] {
        let (broker, caller) = one_client().await;
        let call = caller.call::<u32>("late", 20);
        let answer = begin(if durable { call.durable() } else { call });
        soon("the call", async { while broker.report().await.is_none_or(|report| report.held.requests == 0) {} }).await;
        kill_and_start_again(&broker).await;
        let service = broker.client("service").await;
        service.serve("late", |n: u32| async move { answerback::Ok(n + 1) }).await.unwrap();
        assert_eq!(soon("the answer", answer).await.unwrap().unwrap(), 21);
    }
}

/// Seed 34: the handler goes on working while the server is away, its answer reaches the caller, and nothing runs twice.
#[tokio::test]
async fn work_under_way_survives_a_restart_and_runs_once() {
    for durable in [false, true] {
        let (broker, caller) = one_client().await;
        let (service, gate) = (broker.client("service").await, Gate::new());
        serve_gated(&service, "slow", 4, &gate).await;
        let call = caller.call::<serde_json::Value>("slow", ());
        let answer = begin(if durable { call.durable() } else { call });
        gate.until_begun(1).await;
        broker.stop().await;
        gate.let_go(1);
        until("the work to be done while nobody is there", || gate.done() == 1).await;
        broker.start_again().await;
        soon("the answer", answer).await.unwrap().unwrap();
        assert_eq!(gate.begun(), 1);
    }
}

/// Seed 35: a snapshot that cannot be read is set aside, never deleted; durable requests are in the journal and are not touched by that.
#[tokio::test]
async fn a_damaged_snapshot_is_set_aside_and_the_server_starts() {
    let broker = TestBroker::start().await;
    let sender = broker.client("sender").await;
    sender.send("job", 1).await.unwrap();
    sender.send("job", 2).durable().await.unwrap();
    sender.close().await;
    assert!(broker.drain(ms(5_000)).await);
    let snapshot = files(&broker, "generation-");
    assert!(!snapshot.is_empty());
    snapshot.iter().for_each(|file| overwrite(file));
    broker.start_again().await;
    assert!(!files(&broker, "aside").is_empty());
    let service = broker.client("service").await;
    let mut told = hear(&service, "job").await;
    assert_eq!(soon("the durable one", told.recv()).await, Some(2));
}

/// The other way round: a journal that is damaged costs what is damaged in it, and no snapshot.
#[tokio::test]
async fn a_damaged_journal_costs_no_snapshot() {
    let broker = TestBroker::start().await;
    let sender = broker.client("sender").await;
    sender.send("job", 1).await.unwrap();
    sender.send("job", 2).durable().await.unwrap();
    sender.close().await;
    assert!(broker.drain(ms(5_000)).await);
    files(&broker, "journal").iter().for_each(|file| overwrite(file));
    broker.start_again().await;
    assert!(!files(&broker, "aside").is_empty());
    let service = broker.client("service").await;
    let mut told = hear(&service, "job").await;
    assert_eq!(soon("the one in the snapshot", told.recv()).await, Some(1));
}

/// Seed 81: a reply under a key is there in the next life, so the work is not done again.
#[tokio::test]
async fn a_reply_under_a_key_answers_after_a_kill() {
    let (broker, caller) = one_client().await;
    let service = broker.client("service").await;
    service.serve("order.place", |n: u32| async move { answerback::Ok(n + 1) }).await.unwrap();
    let order = || caller.call::<u32>("order.place", 7).key("order-7").durable();
    assert_eq!(soon("the work", order()).await.unwrap(), 8);
    service.close().await;
    kill_and_start_again(&broker).await;
    assert_eq!(soon("the stored reply", order()).await.unwrap(), 8);
}
