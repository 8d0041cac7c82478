//! Servers that are killed or drained, links that are cut or stand still.

use crate::stage::{Server, ms, pause, soon, until_linked, until_offered};
use answerback::{Client, Code, Ran};
use answerback_testing::{Faults, Proxy};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// Serves work that tells when it begins and stays under way until the test lets it go.
async fn serve_staying(client: &Client, action: &str) -> (mpsc::UnboundedReceiver<()>, Arc<AtomicBool>) {
    let (tell, told) = mpsc::unbounded_channel();
    let gone = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&gone);
    let stay = move |(): ()| {
        let (tell, watched) = (tell.clone(), Arc::clone(&watched));
        async move {
            let _ = tell.send(());
            while !watched.load(Ordering::Relaxed) {
                pause(2).await;
            }
            answerback::Ok("stayed".to_owned())
        }
    };
    client.serve(action, stay).await.unwrap();
    (told, gone)
}

/// Kill -9 of the server with the handler: a call that may run once ends as lost, and maybe ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_with_one_attempt_is_a_lost_handler() {
    let one = Server::start("one", &[]);
    let mut two = Server::linked("two", &[&one]);
    let (caller, service) = (one.client("caller").await, two.client("service").await);
    let (mut begun, _) = serve_staying(&service, "stay").await;
    until_offered(&caller, "stay", 1).await;
    let call = tokio::spawn(caller.call::<String>("stay", ()).attempts(1).into_future());
    soon("its beginning", begun.recv()).await.unwrap();
    two.kill();
    let error = soon("its end", call).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.ran()), (Code::HandlerLost, Ran::Maybe), "{error}");
    one.logged("requests that it has wait for it to come back");
}

/// With two attempts another handler answers, on a server that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_with_two_attempts_is_replaced_by_another() {
    let one = Server::start("one", &[]);
    let mut two = Server::linked("two", &[&one]);
    let three = Server::linked("three", &[&one]);
    let (caller, service) = (one.client("caller").await, two.client("service").await);
    let (mut begun, _) = serve_staying(&service, "stay").await;
    until_offered(&caller, "stay", 1).await;
    let call = tokio::spawn(caller.call::<String>("stay", ()).attempts(2).into_future());
    soon("its beginning", begun.recv()).await.unwrap();
    let other = three.client("other").await;
    other.serve("stay", |(): ()| async { answerback::Ok("other".to_owned()) }).await.unwrap();
    two.kill();
    assert_eq!(soon("its end", call).await.unwrap().unwrap(), "other");
}

/// Handlers and callers at work on two servers whose link is cut, and stands still, again and again. Whatever runs, runs once for each answer.
async fn work_over(faults: Faults, by_hand: impl AsyncFn(&Proxy)) -> (u32, Proxy) {
    let one = Server::start("one", &[]);
    let proxy = Proxy::with(one.address(), faults).await;
    let two = Server::start("two", &["--peer", &proxy.address()]);
    let (caller, service) = (one.client("caller").await, two.client("service").await);
    let runs: Arc<Mutex<HashMap<u32, u32>>> = Arc::default();
    let counted = Arc::clone(&runs);
    let count = move |number: u32| {
        *counted.lock().unwrap().entry(number).or_default() += 1;
        async move {
            pause(u64::from(number % 5)).await;
            answerback::Ok(number)
        }
    };
    service.serve("count", count).concurrency(64).await.unwrap();
    until_offered(&caller, "count", 1).await;
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let worker = || {
        let (caller, stop, next) = (caller.clone(), Arc::clone(&stop), Arc::clone(&next));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let call = caller.call::<u32>("count", number).attempts(1).timeout(Duration::from_secs(15));
                assert_eq!(call.await.unwrap_or_else(|error| panic!("{number}: {error}")), number);
            }
        }
    };
    let workers: Vec<_> = (0..16).map(|_| tokio::spawn(worker())).collect();
    by_hand(&proxy).await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        soon("the end of all calls", worker).await.unwrap();
    }
    let runs = runs.lock().unwrap();
    let twice: Vec<_> = runs.iter().filter(|(_, runs)| **runs != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    (next.load(Ordering::Relaxed), proxy)
}

/// Links are resumed within the grace time, as sessions are: nobody sees an error, and nothing runs twice, though it may only run once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_in_the_middle_of_frames_costs_nobody_an_answer() {
    let (calls, proxy) = work_over(Faults::seeded(5).cut_within(20_000).without_hangs(), async |proxy| {
        for _ in 0..10 {
            pause(200).await;
            proxy.cut_all();
        }
    })
    .await;
    assert!(calls > 100 && proxy.broken() > 5, "{calls} calls, {} broken", proxy.broken());
}

/// A network that stands still says nothing; heartbeats notice it, and the link begins anew elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_stands_still_is_noticed_by_heartbeats_and_nothing_runs_twice() {
    let (calls, proxy) = work_over(Faults::none(), async |proxy| {
        pause(300).await;
        proxy.pause();
        // Two heartbeats, and a little more.
        pause(1_100).await;
        proxy.resume();
        pause(500).await;
    })
    .await;
    assert!(calls > 50 && proxy.connections() > 1, "{calls} calls, {} connections", proxy.connections());
}

/// A server that is drained passes its work on, and who asks elsewhere sees no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_drained_under_load_costs_nobody_an_answer() {
    let one = Server::start("one", &[]);
    let two = Server::linked("two", &[&one]);
    let three = Server::linked("three", &[&one, &two]);
    let mut services = Vec::new();
    for server in [&two, &three] {
        let client = server.client("service").await;
        let work = |number: u32| async move {
            pause(u64::from(number % 10)).await;
            answerback::Ok(number)
        };
        client.serve("work", work).concurrency(8).await.unwrap();
        services.push(client);
    }
    let caller = one.client("caller").await;
    until_offered(&caller, "work", 2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let worker = |first: u32| {
        let (caller, stop) = (caller.clone(), Arc::clone(&stop));
        async move {
            let mut number = first;
            while !stop.load(Ordering::Relaxed) {
                let told = caller.call::<u32>("work", number).await;
                assert_eq!(told.unwrap_or_else(|error| panic!("{number}: {error}")), number);
                number += 100;
            }
            number / 100
        }
    };
    let workers: Vec<_> = (0..24).map(|first| tokio::spawn(worker(first))).collect();
    pause(300).await;
    two.process.signal(rustix::process::Signal::TERM);
    two.logged("drained");
    pause(300).await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        assert!(soon("the end of all calls", worker).await.unwrap() > 5);
    }
    until_linked(&caller, 1).await;
}

/// A server that was killed is linked again when it is back, under the same name and node, and serves on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_linked_again() {
    let one = Server::start("one", &[]);
    let mut two = Server::linked("two", &[&one]);
    let (caller, service) = (one.client("caller").await, two.client("service").await);
    service.serve("echo", |number: u32| async move { answerback::Ok(number) }).await.unwrap();
    for round in 0..3 {
        until_offered(&caller, "echo", 1).await;
        let call = caller.call::<u32>("echo", round).timeout(ms(10_000));
        assert_eq!(soon("an answer", call).await.unwrap(), round);
        two.kill();
        until_linked(&caller, 0).await;
        two.again();
        until_linked(&caller, 1).await;
    }
}
