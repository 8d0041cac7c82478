//! What a caller on one server has of a handler on another.

use crate::stage::{Server, ms, pause, soon, until_linked, until_offered};
use answerback::{Client, Code, Context, Counts, Fault, Ran};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Two servers, of which the second one dials; a client of each.
async fn pair() -> ([Server; 2], [Client; 2]) {
    let one = Server::start("one", &[]);
    let two = Server::linked("two", &[&one]);
    let clients = [one.client("caller").await, two.client("service").await];
    until_linked(&clients[0], 1).await;
    ([one, two], clients)
}

async fn serve_doubling(client: &Client, action: &str) {
    client.serve(action, |number: u32| async move { answerback::Ok(number * 2) }).await.unwrap();
}

/// Seed 39: a request for an action that only a peer serves is passed on and answered, whichever side dialed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_reaches_a_handler_on_the_other_server_in_both_directions() {
    let (_servers, [one, two]) = pair().await;
    serve_doubling(&two, "double").await;
    assert_eq!(soon("an answer", one.call::<u32>("double", 21)).await.unwrap(), 42);
    serve_doubling(&one, "twice").await;
    assert_eq!(soon("an answer", two.call::<u32>("twice", 4)).await.unwrap(), 8);
}

/// A call that comes first waits, and goes to whichever server gets a handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_until_any_server_has_a_handler() {
    let (_servers, [one, two]) = pair().await;
    let call = tokio::spawn(one.call::<u32>("double", 21).timeout(Duration::from_secs(15)).into_future());
    pause(100).await;
    serve_doubling(&two, "double").await;
    assert_eq!(soon("an answer", call).await.unwrap().unwrap(), 42);
}

/// Seed S13: each answer and each error goes to the very call that asked, also with many callers under way at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_and_each_error_comes_to_the_one_that_asked() {
    let (servers, [_, two]) = pair().await;
    let odd = |number: u32| async move {
        pause(u64::from(number % 7)).await;
        if number % 2 == 1 { Err(Fault::new("odd", format!("{number} is odd"))) } else { Ok(number) }
    };
    two.serve("even", odd).concurrency(32).await.unwrap();
    let mut tasks = Vec::new();
    for caller in 0..4_u32 {
        let client = servers[0].client(&format!("caller-{caller}")).await;
        for nth in 0..100_u32 {
            let (client, number) = (client.clone(), caller * 1_000 + nth);
            tasks.push(tokio::spawn(async move { (number, client.call::<u32>("even", number).await) }));
        }
    }
    for task in tasks {
        let (number, result) = soon("an end", task).await.unwrap();
        match result {
            Ok(told) => assert_eq!((told, number % 2), (number, 0)),
            Err(error) => {
                let fault = error.fault().unwrap_or_else(|| panic!("{error}"));
                assert_eq!((fault.code(), number % 2), ("odd", 1));
                assert!(fault.message().starts_with(&format!("{number} ")), "{error}");
                assert_eq!(error.ran(), Ran::Yes);
            }
        }
    }
}

/// The handler sees who asks and how much time is left, and not the server between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_sees_the_caller_its_trace_and_its_deadline() {
    let (_servers, [one, two]) = pair().await;
    let who = |context: Context, (): ()| async move {
        let left = context.left().as_millis() as u64;
        answerback::Ok((context.caller().to_owned(), context.attempt(), left))
    };
    two.serve("who", who).await.unwrap();
    let call = one.call::<(String, u32, u64)>("who", ()).timeout(ms(5_000));
    let (from, attempt, left) = soon("an answer", call).await.unwrap();
    assert_eq!((&*from, attempt), ("caller", 1));
    assert!((2_000..=5_000).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_runs_once_on_the_other_server() {
    let (_servers, [one, two]) = pair().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let note = move |number: u32| {
        let tell = tell.clone();
        async move { tell.send(number).map_err(|_| "nobody listens") }
    };
    two.serve("note", note).concurrency(1).await.unwrap();
    for number in 0..50 {
        soon("the broker's word", one.send("note", number)).await.unwrap();
    }
    for number in 0..50 {
        assert_eq!(soon("a send", told.recv()).await, Some(number));
    }
    pause(50).await;
    assert!(told.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_and_a_cancellation_reach_the_far_handler() {
    let (_servers, [one, two]) = pair().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let stay = move |context: Context, (): ()| {
        let tell = tell.clone();
        async move {
            tell.send("begins").unwrap();
            context.cancelled().await;
            tell.send("ends").unwrap();
            answerback::Ok(())
        }
    };
    two.serve("stay", stay).cancel_grace(Duration::from_secs(10)).await.unwrap();
    let begun = Instant::now();
    let error = soon("an end", one.call::<()>("stay", ()).timeout(ms(300))).await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::Timeout, Ran::Maybe), "{error}");
    assert!(begun.elapsed() < ms(3_000), "{:?}", begun.elapsed());
    assert_eq!(soon("the beginning", told.recv()).await, Some("begins"));
    assert_eq!(soon("the end", told.recv()).await, Some("ends"));
    let call = tokio::spawn(one.call::<()>("stay", ()).into_future());
    assert_eq!(soon("the beginning", told.recv()).await, Some("begins"));
    call.abort();
    assert_eq!(soon("the end", told.recv()).await, Some("ends"));
}

/// Seed S7: nobody serves it anywhere, and that is told at once and not after a timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_handler_anywhere_a_call_that_does_not_wait_fails_at_once() {
    let (mut servers, [one, two]) = pair().await;
    let error = soon("an end", one.call::<()>("nothing", ()).ttl(Duration::ZERO)).await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::NoHandler, Ran::No), "{error}");
    // A handler that was there, with its server, is not believed to be there any more.
    serve_doubling(&two, "double").await;
    until_offered(&one, "double", 1).await;
    servers[1].kill();
    until_offered(&one, "double", 0).await;
    let error = soon("an end", one.call::<u32>("double", 1).ttl(Duration::ZERO)).await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::NoHandler, Ran::No), "{error}");
}

/// Seed 41: links both ways make no loop, and nothing is passed to and fro.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_dial_each_other_pass_a_request_once() {
    let mut one = Server::start("one", &[]);
    let two = Server::linked("two", &[&one]);
    one.kill();
    one = Server::start("one", &["--peer", &two.address()]);
    let three = Server::start("three", &["--peer", &one.address(), "--peer", &two.address()]);
    let (caller, service) = (one.client("caller").await, three.client("service").await);
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let count = move |(): ()| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { answerback::Ok(()) }
    };
    service.serve("count", count).await.unwrap();
    for _ in 0..100 {
        soon("an answer", caller.call::<()>("count", ())).await.unwrap();
    }
    assert_eq!(runs.load(Ordering::Relaxed), 100);
    let error = soon("an end", caller.call::<()>("nothing", ()).ttl(Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.code(), Code::NoHandler);
}

/// Seed 42: what a server serves itself is its own: `$` actions are answered where they are asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_answers_for_itself_and_shows_its_peers() {
    let (_servers, [one, two]) = pair().await;
    for (client, own, other, dialed) in [(&one, "one", "two", false), (&two, "two", "one", true)] {
        let stats: Value = soon("an answer", client.call("$stats", ())).await.unwrap();
        assert_eq!(stats["server"], own, "{stats}");
        let told: Value = soon("an answer", client.call("$peers", ())).await.unwrap();
        let peer = &told["peers"][0];
        assert_eq!((&peer["server"], &peer["dialed"], &peer["up"]), (&other.into(), &dialed.into(), &true.into()));
    }
}

/// Three servers in a row: the caller and the handler are two hops apart. The same with a limit of one is out of reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_three_is_passed_and_max_hops_ends_it() {
    let one = Server::start("one", &[]);
    let two = Server::linked("two", &[&one]);
    let three = Server::linked("three", &[&two]);
    let (caller, service) = (one.client("caller").await, three.client("service").await);
    serve_doubling(&service, "double").await;
    until_offered(&caller, "double", 1).await;
    assert_eq!(soon("an answer", caller.call::<u32>("double", 5)).await.unwrap(), 10);

    let near = Server::start("near", &["--max-hops", "1", "--peer", &two.address()]);
    let caller = near.client("caller").await;
    until_linked(&caller, 1).await;
    pause(200).await;
    let error = soon("an end", caller.call::<u32>("double", 5).ttl(Duration::ZERO)).await.unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::NoHandler, Ran::No), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_over_a_ring_of_four_reaches_each_handler_once() {
    let one = Server::start("one", &[]);
    let two = Server::linked("two", &[&one]);
    let three = Server::linked("three", &[&two]);
    let four = Server::linked("four", &[&three, &one]);
    let runs = Arc::new(AtomicU32::new(0));
    let mut handlers = Vec::new();
    for (nth, server) in [&one, &two, &three, &four, &three].into_iter().enumerate() {
        let client = server.client(&format!("node-{nth}")).await;
        let runs = Arc::clone(&runs);
        let ask = move |(): ()| {
            runs.fetch_add(1, Ordering::Relaxed);
            async move { answerback::Ok(nth) }
        };
        client.serve("who", ask).await.unwrap();
        handlers.push(client);
    }
    for server in [&one, &two, &three, &four] {
        let caller = server.client("caller").await;
        until_offered(&caller, "who", 2).await;
    }
    for (nth, server) in [&one, &two, &three, &four].into_iter().enumerate() {
        let caller = server.client("caller").await;
        let gathered = soon("all answers", caller.broadcast::<usize>("who", ())).await.unwrap();
        let Counts { expected, answered, failed, lost, .. } = gathered.counts;
        let told: BTreeSet<_> = gathered.replies.iter().map(|reply| *reply.result.as_ref().unwrap()).collect();
        assert_eq!((expected, answered, failed, lost), (5, 5, 0, 0), "from server {nth}: {told:?}");
        assert_eq!(told, BTreeSet::from([0, 1, 2, 3, 4]));
        assert_eq!(runs.load(Ordering::Relaxed) as usize, 5 * (nth + 1));
    }
}

/// What a client may just say fits on a link, where its head is another one; there and back, in the clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_frame_passes_a_link() {
    let (_servers, [one, two]) = pair().await;
    let back = |context: Context, text: String| async move {
        let _ = context.caller();
        answerback::Ok(text)
    };
    two.serve("back", back).await.unwrap();
    until_offered(&one, "back", 1).await;
    // The frame's limit, less a head as it is usual, the quotes, and the length of the head.
    let text = "x".repeat((8 << 20) - 4_096 - 8);
    let told: String = soon("an answer", one.call("back", &text)).await.unwrap();
    assert!(told == text);
}
