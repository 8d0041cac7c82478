//! Servers that go and come back, or do not: what becomes of calls, sends and services.

use crate::support::{Gate, PATIENCE, begin, ms, serve_gated, soon, takes_at_least, told, until, until_told};
use answerback::{Client, Code, Ran, Reconnect, State};
use answerback_testing::{Proxy, TestBroker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// Comes back soon.
fn soon_back() -> Reconnect {
    Reconnect::default().first_delay(ms(5)).longest_delay(ms(20))
}

async fn eager(broker: &TestBroker, name: &str) -> Client {
    broker.builder(name).reconnect(soon_back()).connect().await.unwrap()
}

/// Ends the broker as a kill does, and starts another in its place that knows nothing.
async fn restart(broker: &TestBroker, clients: &[&Client]) {
    broker.stop().await;
    until("the loss of the server", || clients.iter().all(|client| !client.state().is_connected())).await;
    broker.start_again().await;
}

/// The same, and the new server knows nothing of the old one.
async fn restart_with_nothing(broker: &TestBroker, clients: &[&Client]) {
    broker.stop().await;
    broker.forget().await;
    until("the loss of the server", || clients.iter().all(|client| !client.state().is_connected())).await;
    broker.start_again().await;
}

/// Seed 7: services are there again after a restart of the server, without a word from their program.
#[tokio::test]
async fn a_service_and_its_caller_find_each_other_again_after_a_restart() {
    let broker = TestBroker::start().await;
    let (service, caller) = (eager(&broker, "service").await, eager(&broker, "caller").await);
    service.serve("double", |n: u32| async move { answerback::Ok(2 * n) }).await.unwrap();
    for n in 0..3 {
        assert_eq!(soon("an answer", caller.call::<u32>("double", n)).await.unwrap(), 2 * n);
        restart(&broker, &[&service, &caller]).await;
    }
}

/// Seed 34: what was under way is asked again if it may be.
#[tokio::test]
async fn calls_with_attempts_survive_a_restart() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (eager(&broker, "service").await, eager(&broker, "caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let calls: Vec<_> = (0..10).map(|n| (n, begin(caller.call::<u32>("job", n).attempts(3)))).collect();
    gate.until_begun(10).await;
    restart(&broker, &[&service, &caller]).await;
    gate.let_go(100);
    for (n, call) in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n);
    }
    assert!(gate.begun() <= 20, "{} runs", gate.begun());
}

/// A server with a store finds the handler and the caller of what was under way, and nobody notices.
#[tokio::test]
async fn at_most_once_calls_under_way_survive_a_restart() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (eager(&broker, "service").await, eager(&broker, "caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let calls: Vec<_> = (0..10).map(|n| begin(caller.call::<u32>("job", n))).collect();
    gate.until_begun(10).await;
    restart(&broker, &[&service, &caller]).await;
    gate.let_go(100);
    for (n, call) in (0..).zip(calls) {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n);
    }
    assert_eq!(gate.begun(), 10);
}

/// Seed 34: what may run only once is not run twice, and its caller is told that nobody knows.
#[tokio::test]
async fn at_most_once_calls_under_way_end_as_maybe_and_are_not_asked_again() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (eager(&broker, "service").await, eager(&broker, "caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let calls: Vec<_> = (0..10).map(|n| begin(caller.call::<u32>("job", n))).collect();
    gate.until_begun(10).await;
    restart_with_nothing(&broker, &[&service, &caller]).await;
    for call in calls {
        let error = soon("the word on it", call).await.unwrap().unwrap_err();
        assert_eq!(told(&error), (Code::Disconnected, Ran::Maybe, false));
        assert!(error.message().contains("allow more attempts if it may run twice"), "{error}");
    }
    gate.let_go(100);
    assert_eq!(soon("a new call", caller.call::<u32>("job", 7)).await.unwrap(), 7);
    assert_eq!(gate.begun(), 11);
}

/// Seed 10: what was asked while there was no server is late, and nothing else.
#[tokio::test]
async fn calls_and_sends_made_while_the_server_is_away_are_only_late() {
    let broker = TestBroker::start().await;
    let (service, caller) = (eager(&broker, "service").await, eager(&broker, "caller").await);
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let count = move |n: u32| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move { answerback::Ok(n) }
    };
    service.serve("count", count).await.unwrap();
    broker.stop().await;
    until("the loss of the server", || !service.state().is_connected() && !caller.state().is_connected()).await;
    let calls: Vec<_> = (0..10).map(|n| (n, begin(caller.call::<u32>("count", n)))).collect();
    let send = tokio::spawn(caller.send("count", 7).into_future());
    until("all that waits", || caller.calls_waiting() == 11).await;
    broker.start_again().await;
    for (n, call) in calls {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n);
    }
    soon("the send", send).await.unwrap().unwrap();
    until("every run", || runs.load(Ordering::SeqCst) == 11).await;
}

/// The new server does not know the work of the old one, and has it stopped: its places are free for what is asked again.
#[tokio::test]
async fn work_of_a_lost_session_is_stopped_and_never_more_runs_at_once_than_was_said() {
    let broker = TestBroker::start().await;
    let (service, caller, gate) = (eager(&broker, "service").await, eager(&broker, "caller").await, Gate::new());
    serve_gated(&service, "job", 2, &gate).await;
    let calls: Vec<_> = (0..4).map(|n| begin(caller.call::<u32>("job", n).attempts(2))).collect();
    gate.until_begun(2).await;
    restart_with_nothing(&broker, &[&service, &caller]).await;
    gate.until_begun(4).await;
    gate.let_go(100);
    for call in calls {
        soon("an answer", call).await.unwrap().unwrap();
    }
    assert_eq!((gate.most(), gate.done()), (2, 4));
    until("nothing is left", || service.work_under_way() == 0).await;
}

/// A new server has the work of the old one stopped and gives it again in one breath. It once gave it the same id; the second was taken
/// for the first, and the fault of what was stopped ended a call that had attempts left.
#[tokio::test]
async fn work_that_is_stopped_does_not_answer_for_the_same_work_given_again() {
    let broker = TestBroker::start().await;
    let proxy = Proxy::start(broker.address()).await;
    let builder = Client::builder(proxy.address()).name("service").reconnect(soon_back());
    let (service, caller, gate) = (builder.connect().await.unwrap(), eager(&broker, "caller").await, Gate::new());
    serve_gated(&service, "job", 64, &gate).await;
    let call = begin(caller.call::<u32>("job", 7).attempts(2));
    gate.until_begun(1).await;
    proxy.refuse(true);
    restart_with_nothing(&broker, &[&service, &caller]).await;
    // The caller is back first, so that its call waits for the service.
    until_told("the call in the queue", &caller, "$stats", |told| told["queued"] == 1).await;
    proxy.refuse(false);
    until("the work given again", || gate.begun() == 2 || call.is_finished()).await;
    gate.let_go(100);
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
    until("nothing is left", || service.work_under_way() == 0).await;
}

/// Seed 8: a limit of tries. Everything that waits ends then, and so does everything new.
#[tokio::test]
async fn when_the_tries_are_used_up_the_client_closes_and_everything_ends() {
    let broker = TestBroker::start().await;
    let gate = Gate::new();
    let reconnect = soon_back().tries(3);
    let client = broker.builder("client").reconnect(reconnect).connect().await.unwrap();
    serve_gated(&client, "job", 64, &gate).await;
    let under_way = begin(client.call::<()>("job", ()).attempts(9));
    gate.until_begun(1).await;
    broker.stop().await;
    let lost = client.clone();
    until("the loss of the server", || !lost.state().is_connected()).await;
    let unsaid = begin(client.call::<()>("job", ()));
    let error = soon("the end of what was said", under_way).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::Disconnected, Ran::Maybe, false));
    let error = soon("the end of what was not", unsaid).await.unwrap().unwrap_err();
    assert_eq!(told(&error), (Code::Disconnected, Ran::No, true));
    let State::Closed { why: Some(why), .. } = client.state() else { panic!("{:?}", client.state()) };
    assert!(why.message().starts_with("cannot connect to 127.0.0.1:"), "{why}");
    broker.start_again().await;
    let error = client.call::<()>("job", ()).await.unwrap_err();
    assert_eq!(told(&error), (Code::Disconnected, Ran::No, true));
    gate.until_left().await;
    until("nothing is left", || client.calls_waiting() + client.work_under_way() == 0).await;
}

/// Seed 7: reconnecting turned off.
#[tokio::test]
async fn whoever_never_reconnects_ends_with_its_connection() {
    let broker = TestBroker::start().await;
    let client = broker.builder("client").reconnect(Reconnect::never()).connect().await.unwrap();
    let call = begin(client.call::<()>("nobody", ()));
    until("a call that waits", || client.calls_waiting() == 1).await;
    broker.stop().await;
    let error = soon("its end", call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Disconnected);
    let State::Closed { why: Some(why), .. } = client.state() else { panic!("{:?}", client.state()) };
    assert!(why.message().starts_with("the connection to 127.0.0.1:"), "{why}");
}

/// Seeds 7, 8: the pauses are as long as was said, also between the first ones.
#[tokio::test]
async fn pauses_between_tries_are_as_long_as_they_were_set() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let reconnect = Reconnect::default().first_delay(ms(40)).longest_delay(ms(80)).tries(4);
    let builder = broker.builder("client").retry_first_connection().reconnect(reconnect);
    // Pauses of 40, 80 and 80 ms, each shortened by chance by half at most.
    let error = takes_at_least(ms(100), builder.connect()).await.unwrap_err();
    assert_eq!(error.code(), Code::Disconnected);
}

/// A server that lets everybody in and throws them out again is not besieged.
#[tokio::test]
async fn a_server_that_closes_every_connection_is_not_besieged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder(listener.local_addr().unwrap().to_string()).start().unwrap();
    let mut connections = 0;
    let counting = async {
        loop {
            drop(listener.accept().await.unwrap());
            connections += 1;
        }
    };
    assert!(tokio::time::timeout(ms(400), counting).await.is_err());
    // At most 25, 50, 100 and 200 ms of pauses; a busy machine sees fewer.
    assert!((1..=6).contains(&connections), "{connections} connections");
    soon("its end", client.close()).await;
}

/// The address that worked is tried first, and the others when it is gone.
#[tokio::test]
async fn when_its_server_is_gone_a_client_goes_to_another_address() {
    let (first, second) = (TestBroker::start().await, TestBroker::start().await);
    let builder = Client::builder(first.address()).address(second.address()).reconnect(soon_back());
    let client = builder.connect().await.unwrap();
    client.serve("echo", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    assert!(matches!(client.state(), State::Connected { address, .. } if address == first.address()));
    for (gone, there) in [(&first, &second), (&second, &first)] {
        gone.stop().await;
        assert_eq!(soon("an answer", client.call::<u32>("echo", 7).timeout(PATIENCE).attempts(2)).await.unwrap(), 7);
        assert!(matches!(client.state(), State::Connected { address, .. } if address == there.address()));
        gone.start_again().await;
    }
}

/// A restart while thousands of calls come and go: each ends once, and no answer belongs to another call.
#[tokio::test]
async fn under_load_a_restart_loses_no_call_that_may_be_asked_again() {
    let broker = TestBroker::start().await;
    let (service, caller) = (eager(&broker, "service").await, eager(&broker, "caller").await);
    service.serve("square", |n: u64| async move { answerback::Ok(n * n) }).await.unwrap();
    let workers: Vec<_> = (0..8_u64)
        .map(|worker| {
            let caller = caller.clone();
            tokio::spawn(async move {
                for n in (worker * 1_000..).take(100) {
                    let call = caller.call::<u64>("square", n).attempts(10).timeout(Duration::from_secs(60));
                    assert_eq!(call.await.unwrap(), n * n);
                }
            })
        })
        .collect();
    restart(&broker, &[&service, &caller]).await;
    for worker in workers {
        soon("a worker", worker).await.unwrap();
    }
    assert_eq!(caller.calls_waiting(), 0);
}
