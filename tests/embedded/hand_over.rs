//! A holder that leaves in order, or that may not go on.

use crate::spot::{Spot, soon, until};
use answerback::Raw;
use answerback_server::embedded::{Builder, Embedded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

async fn connect(builder: Builder) -> Embedded {
    soon("a connection", builder.connect()).await.unwrap()
}

/// Seed 48. simple-event-broker ("holder of the server dies"), nanomitter ("no `close()`"): leaving is said, and the next one has everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_leaves_hands_over_and_work_under_way_is_answered() {
    let spot = Spot::new();
    let first = connect(spot.builder("first")).await;
    let (second, third) = (connect(spot.builder("second")).await, connect(spot.builder("third")).await);
    assert_eq!((first.epoch(), second.epoch(), third.epoch()), (Some(1), None, None));
    first.send("later", 7).durable().await.unwrap();
    let (gate, runs) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let (opened, counted) = (Arc::clone(&gate), Arc::clone(&runs));
    let slow = move |n: u32| {
        let (opened, counted) = (Arc::clone(&opened), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            opened.notified().await;
            answerback::Ok(n + 1)
        }
    };
    second.serve("slow", slow).await.unwrap();
    let call = tokio::spawn(third.call::<u32>("slow", 1).into_future());
    until("work under way", || runs.load(Ordering::SeqCst) == 1).await;

    soon("the leave", first.leave()).await;
    until("the next holder", || second.is_holder() || third.is_holder()).await;
    gate.notify_one();
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 2);
    assert_eq!((runs.load(Ordering::SeqCst), spot.epoch()), (1, Some(2)));

    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let later = move |n: u32| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(n).await;
            answerback::Ok(())
        }
    };
    second.serve("later", later).await.unwrap();
    assert_eq!(soon("the durable request", told.recv()).await, Some(7));
    soon("the leave", second.leave()).await;
    until("the last holder", || third.is_holder()).await;
    soon("the leave", third.leave()).await;
    assert!(!answerback::connect(spot.address.to_string()).await.is_ok_and(|client| client.state().is_connected()));
}

/// Whoever drops its handle takes no part any more, also when clones of its client go on.
#[tokio::test]
async fn a_handle_that_is_dropped_hands_over_and_its_clients_go_on() {
    let spot = Spot::new();
    let first = connect(spot.builder("first")).await;
    let (second, client) = (connect(spot.builder("second")).await, first.client().clone());
    drop(first);
    until("the next holder", || second.is_holder()).await;
    client.serve("hello", |name: String| async move { answerback::Ok(name) }).await.unwrap();
    assert_eq!(soon("an answer", second.call::<String>("hello", "Ada").into_future()).await.unwrap(), "Ada");
}

/// Others could take what looks like the same lock: its holder does not go on as if nothing had happened.
#[tokio::test]
async fn a_holder_whose_lock_file_was_removed_hands_over() {
    let spot = Spot::new();
    let first = connect(spot.builder("first")).await;
    first.send("later", 7).durable().await.unwrap();
    std::fs::remove_file(spot.folder.join("server.lock")).unwrap();
    until("the end of its time", || !first.is_holder()).await;
    until("its new time, with a lock file of its own", || first.is_holder()).await;
    assert_eq!(spot.epoch(), Some(1));
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let later = move |n: u32| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(n).await;
            answerback::Ok(())
        }
    };
    first.serve("later", later).await.unwrap();
    assert_eq!(soon("the durable request", told.recv()).await, Some(7));
}

/// Seed 48. simple-event-broker ("send before connected"): it was dropped, with a line on the terminal. Here all of it waits: a call, a send, a subscription, an event.
#[tokio::test]
async fn what_is_said_before_there_is_a_connection_waits() {
    let spot = Spot::new();
    let broker = spot.builder("one").start().await.unwrap();
    let mut news = {
        let (subscribe, publish) = (broker.subscribe::<Raw>("news"), broker.publish("news", 1));
        let (news, published) = tokio::join!(subscribe.into_future(), publish.into_future());
        published.unwrap();
        news.unwrap()
    };
    assert_eq!(&*soon("the event", news.next()).await.unwrap().unwrap().topic, "news");
    let other = spot.builder("two").start().await.unwrap();
    let call = tokio::spawn(other.call::<u32>("double", 2).into_future());
    broker.serve("double", |n: u32| async move { answerback::Ok(2 * n) }).await.unwrap();
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 4);
}
