//! Serving: how many calls at once, how fast, by whom; beginning, ending and beginning again.

use crate::support::{
    Gate, PATIENCE, begin, broker_with, ms, one_client, serve_gated, soon, takes_at_least, told, until, until_told,
};
use answerback::{Code, Context, Ran};
use answerback_testing::TestBroker;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[tokio::test]
async fn concurrency_is_kept_and_used() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (broker.client("service").await, broker.client("caller").await, Gate::new());
    serve_gated(&service, "job", 3, &gate).await;
    let calls: Vec<_> = (0..30).map(|_| begin(caller.call::<()>("job", ()))).collect();
    gate.until_begun(3).await;
    until_told("the others in the queue", &caller, "$actions", |told| told["actions"][0]["queued"] == 27).await;
    assert_eq!((gate.begun(), service.work_under_way()), (3, 3));
    gate.let_go(30);
    for call in calls {
        soon("an answer", call).await.unwrap().unwrap();
    }
    assert_eq!((gate.most(), gate.done()), (3, 30));
}

/// Seed S17: a slow handler does not delay the others; the one with the least to do gets the next.
#[tokio::test]
async fn a_busy_service_does_not_hold_back_work_that_another_could_do() {
    let broker = TestBroker::start().await;
    let (slow, quick, caller) =
        (broker.client("slow").await, broker.client("quick").await, broker.client("caller").await);
    let gate = Gate::new();
    serve_gated(&slow, "job", 64, &gate).await;
    let stuck = begin(caller.call::<()>("job", ()));
    gate.until_begun(1).await;
    quick.serve("job", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    for _ in 0..50 {
        soon("a quick answer", caller.call::<()>("job", ())).await.unwrap();
    }
    assert_eq!(gate.begun(), 1);
    // And within one service, one stuck action does not delay another.
    slow.serve("other", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    soon("another action", caller.call::<()>("other", ())).await.unwrap();
    gate.let_go(1);
    soon("the slow answer", stuck).await.unwrap().unwrap();
}

/// Seed 2: several clients of one action share its calls, round robin while all are free.
#[tokio::test]
async fn several_clients_of_one_action_share_its_calls() {
    let broker = TestBroker::start().await;
    let mut services = Vec::new();
    for number in 0..3 {
        let service = broker.client(&format!("worker-{number}")).await;
        let name = |ctx: Context, (): ()| async move { answerback::Ok(ctx.client().name().to_owned()) };
        service.serve("who", name).concurrency(1).await.unwrap();
        services.push(service);
    }
    let caller = broker.client("caller").await;
    let mut answers = BTreeMap::<String, u32>::new();
    for _ in 0..30 {
        *answers.entry(caller.call("who", ()).await.unwrap()).or_default() += 1;
    }
    assert_eq!(answers.values().copied().collect::<Vec<_>>(), [10, 10, 10], "{answers:?}");
}

/// Seed 16: slowed down with an interval, at the client or at the server.
#[tokio::test]
async fn a_pace_is_kept_at_the_client_and_at_the_server() {
    const PACE: Duration = ms(25);
    let at_client = TestBroker::start().await;
    let at_server = broker_with(|settings| settings.broker.dispatch_interval = PACE).await;
    for (broker, pace) in [(at_client, PACE), (at_server, Duration::ZERO)] {
        let client = broker.client("client").await;
        let starts = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&starts);
        let job = move |(): ()| {
            noted.lock().unwrap().push(Instant::now());
            std::future::ready(answerback::Ok(()))
        };
        client.serve("job", job).pace(pace).await.unwrap();
        let calls: Vec<_> = (0..6).map(|_| begin(client.call::<()>("job", ()))).collect();
        takes_at_least(5 * (PACE - ms(1)), async {
            for call in calls {
                soon("an answer", call).await.unwrap().unwrap();
            }
        })
        .await;
        let starts = starts.lock().unwrap();
        let whole = *starts.last().unwrap() - starts[0];
        assert!(whole >= 5 * (PACE - ms(2)), "six starts within {whole:?}");
    }
}

#[tokio::test]
async fn an_action_is_served_once_by_one_client_and_the_first_service_stays() {
    let (_broker, client) = one_client().await;
    client.serve("job", |(): ()| async move { answerback::Ok("first") }).await.unwrap();
    let error = client.serve("job", |(): ()| async move { answerback::Ok("second") }).await.unwrap_err();
    assert_eq!(told(&error), (Code::BadRequest, Ran::No, false));
    assert!(error.message().contains("stop that service first"), "{error}");
    assert_eq!(client.call::<String>("job", ()).await.unwrap(), "first");
}

/// Seed 13: mistakes are told where they are made, by the name of what is wrong.
#[tokio::test]
async fn mistakes_in_a_service_are_told_before_anything_is_sent() {
    let (broker, client) = one_client().await;
    let before = broker.report().await.unwrap().counters.frames_in;
    let serve = |action: &str| client.serve(action, |(): ()| async move { answerback::Ok(()) });
    let long = "x".repeat(256);
    for (serve, text) in [
        (serve(""), "the name of an action is 1 to 255 bytes"),
        (serve("a\tb"), "a\\tb: the name of an action"),
        (serve(&long), "the name of an action"),
        (serve("a").concurrency(0), "a: concurrency is 1 to 65535"),
        (serve("a").concurrency(65_536), "a: concurrency is 1 to 65535"),
    ] {
        let error = soon("the word on a mistake", serve).await.unwrap_err();
        assert_eq!(told(&error), (Code::BadRequest, Ran::No, false));
        assert!(error.message().contains(text), "{error} should say: {text}");
    }
    drop(serve("never.awaited"));
    assert_eq!(broker.report().await.unwrap().counters.frames_in, before);
}

/// Seed 80: services begin and end while the client runs.
#[tokio::test]
async fn a_service_that_is_stopped_can_begin_again_with_another_handler() {
    let (_broker, client) = one_client().await;
    for round in 0..3 {
        let service = client.serve("job", move |(): ()| async move { answerback::Ok(round) }).await.unwrap();
        assert_eq!(service.action(), "job");
        assert_eq!(client.call::<u32>("job", ()).await.unwrap(), round);
        soon("the end of the service", service.stop()).await;
        let error = client.call::<u32>("job", ()).ttl(Duration::ZERO).await.unwrap_err();
        assert_eq!(error.code(), Code::NoHandler);
    }
}

#[tokio::test]
async fn a_service_that_stops_finishes_what_it_has_and_leaves_the_rest_to_others() {
    let broker = TestBroker::start().await;
    let (old, new, caller, gate) =
        (broker.client("old").await, broker.client("new").await, broker.client("caller").await, Gate::new());
    let service = serve_gated(&old, "job", 1, &gate).await;
    let has = begin(caller.call::<u32>("job", 1));
    gate.until_begun(1).await;
    let waits = begin(caller.call::<u32>("job", 2));
    soon("the word of the server", service.stop()).await;
    new.serve("job", |n: u32| async move { answerback::Ok(10 * n) }).await.unwrap();
    assert_eq!(soon("the answer of the new one", waits).await.unwrap().unwrap(), 20);
    gate.let_go(1);
    assert_eq!(soon("the answer of the old one", has).await.unwrap().unwrap(), 1);
    assert_eq!((gate.begun(), gate.done()), (1, 1));
}

/// Stopping it twice, from two clones, ends both times.
#[tokio::test]
async fn a_service_may_be_stopped_by_several() {
    let (_broker, client) = one_client().await;
    let service = client.serve("job", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    let again = service.clone();
    soon("both ends", async { tokio::join!(service.clone().stop(), again.stop()) }).await;
    soon("a third time", service.stop()).await;
}

#[tokio::test]
async fn a_service_goes_on_when_what_serve_returned_is_dropped() {
    let (_broker, client) = one_client().await;
    drop(client.serve("job", |(): ()| async move { answerback::Ok(7) }).await.unwrap());
    assert_eq!(client.call::<u32>("job", ()).await.unwrap(), 7);
}

/// Seed 80.
#[tokio::test]
async fn fifty_services_on_one_client() {
    let broker = TestBroker::start().await;
    let (service, caller) = (broker.client("service").await, broker.client("caller").await);
    for number in 0..50_u32 {
        let add = move |n: u32| async move { answerback::Ok(n + number) };
        service.serve(&format!("add.{number}"), add).await.unwrap();
    }
    let calls: Vec<_> =
        (0..50).map(|number| (number, begin(caller.call::<u32>(&format!("add.{number}"), 100)))).collect();
    for (number, call) in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), 100 + number);
    }
    assert_eq!(broker.report().await.unwrap().connections, 2);
}

/// Seed 11: who serves what, as it is now.
#[tokio::test]
async fn the_list_of_actions_follows_what_is_served() {
    let broker = TestBroker::start().await;
    let (service, watcher) = (broker.client("service").await, broker.client("watcher").await);
    let handlers = |told: &Value| {
        let actions = told["actions"].as_array().unwrap();
        actions.iter().map(|action| (action["action"].clone(), action["handlers"].clone())).collect::<Vec<_>>()
    };
    let seen: Value = watcher.call("$actions", ()).await.unwrap();
    assert_eq!(handlers(&seen), []);
    let first = service.serve("a", |(): ()| async move { answerback::Ok(()) }).await.unwrap();
    service.serve("b", |(): ()| async move { answerback::Ok(()) }).concurrency(5).await.unwrap();
    let seen: Value = watcher.call("$actions", ()).await.unwrap();
    assert_eq!(handlers(&seen), [("a".into(), 1.into()), ("b".into(), 1.into())]);
    assert_eq!((seen["actions"][0]["credit"].clone(), seen["actions"][1]["credit"].clone()), (64.into(), 5.into()));
    first.stop().await;
    until_told("only one", &watcher, "$actions", |told| handlers(told) == [("b".into(), 1.into())]).await;
    service.close().await;
    until_told("none", &watcher, "$actions", |told| handlers(told).is_empty()).await;
}

/// A handler that never comes to an end does not keep its service from the next call.
#[tokio::test]
async fn work_that_is_late_frees_its_place_at_its_deadline() {
    let (_broker, client) = one_client().await;
    let gate = Gate::new();
    serve_gated(&client, "job", 1, &gate).await;
    for _ in 0..3 {
        let error = client.call::<()>("job", ()).timeout(ms(40)).await.unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
    }
    gate.let_go(1);
    client.call::<()>("job", ()).timeout(PATIENCE).await.unwrap();
    until("nothing is left", || client.work_under_way() == 0).await;
}

/// A handle of a service that had been stopped stopped the one that was begun after it.
#[tokio::test]
async fn the_handle_of_an_older_service_does_not_stop_a_newer_one() {
    let (_broker, client) = one_client().await;
    let old = client.serve("a", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    let again = old.clone();
    soon("the stop", old.stop()).await;
    client.serve("a", |n: u32| async move { answerback::Ok(n + 1) }).await.unwrap();
    soon("another stop", again.stop()).await;
    assert_eq!(soon("an answer", client.call::<u32>("a", 1)).await.unwrap(), 2);
}

/// A panic while a handler was dropped kept its delivery for ever, and the credit it used.
#[tokio::test]
async fn a_handler_that_panics_while_it_is_dropped_gives_its_place_back() {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("on purpose");
            }
        }
    }
    let (_broker, client) = one_client().await;
    let handler = |wait: bool| async move {
        if wait {
            let _guard = Guard;
            std::future::pending::<()>().await;
        }
        answerback::Ok(7)
    };
    client.serve("one", handler).concurrency(1).await.unwrap();
    client.call::<u32>("one", true).timeout(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(soon("the next", client.call::<u32>("one", false)).await.unwrap(), 7);
}
