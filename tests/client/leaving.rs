//! A server leaves, and a client goes on with a session that is new, while the one before finishes what it has. For a while
//! it has two; never for longer.

use crate::load::pass;
use crate::quiet::{all_quiet, until};
use answerback::{Client, Reconnect};
use answerback_testing::{Proxy, Simulation, TestBroker, in_virtual_time};
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(10);

/// Lets `service` work on a call that takes so long.
async fn at_work(service: &Client, caller: &Client, takes: Duration) -> JoinHandle<Result<(), answerback::Error>> {
    let slow = move |(): ()| async move {
        pass(takes).await;
        answerback::Ok(())
    };
    service.serve("slow", slow).await.unwrap();
    let caller = caller.clone();
    let call = tokio::spawn(async move { caller.call("slow", ()).await });
    until(PATIENCE, || async { (service.work_under_way() == 1).then_some(()).ok_or("no work".to_owned()) }).await;
    call
}

/// The story: a client had gone on with another session, and the connection of the one before was dead without its knowing.
/// Then its program called `reconnect`. That called the old session back: it connected, served everything again, and stayed.
/// The broker counted the service twice, and broadcasts ran twice in it, for as long as the client lived.
#[tokio::test]
async fn a_session_that_leaves_is_not_called_back_by_a_reconnect() {
    let broker = TestBroker::start().await;
    let proxy = Proxy::start(broker.address()).await;
    let often = Reconnect::default().first_delay(Duration::from_millis(5)).longest_delay(Duration::from_millis(20));
    let builder = Client::builder(proxy.address()).name("service").reconnect(often);
    let service = builder.connect_timeout(Duration::from_millis(200)).connect().await.unwrap();
    let caller = broker.client("caller").await;
    let call = at_work(&service, &caller, Duration::from_millis(400)).await;

    let leaves = async {
        // When the state changes, another session has been begun.
        let mut state = service.watch();
        while state.changed().await.is_connected() {}
        proxy.pause();
        broker.stop().await;
    };
    tokio::join!(broker.drain(Duration::from_millis(100)), leaves);
    broker.start_again().await;
    service.reconnect();
    pass(Duration::from_millis(50)).await;
    proxy.resume();
    let _ = call.await.unwrap();
    let watcher = broker.client("watcher").await;
    all_quiet(&watcher, &[&service, &caller], PATIENCE).await;
    assert_eq!(watcher.broadcast::<()>("slow", ()).gather().await.unwrap().counts.expected, 1);
}

/// A client that is dropped while a server leaves does not open another session.
#[test]
fn a_client_that_is_gone_goes_nowhere_else() {
    in_virtual_time(async {
        let simulation = Simulation::new(2);
        let (service, caller) = (simulation.client("service").await, simulation.client("caller").await);
        let call = at_work(&service, &caller, Duration::from_secs(5)).await;
        let meanwhile = async {
            pass(Duration::from_millis(10)).await;
            call.abort();
            drop((service, caller));
        };
        tokio::join!(simulation.drain(Duration::from_secs(20)), meanwhile);
        simulation.restart();
        let watcher = simulation.client("watcher").await;
        pass(Duration::from_secs(30)).await;
        let list = watcher.call::<Value>("$sessions", ()).await.unwrap();
        assert_eq!(list["sessions"].as_array().unwrap().len(), 1, "{list}");
    });
}
