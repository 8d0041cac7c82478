//! What a program can see of its connection, and what it may be told to do.

use crate::support::{ms, one_client, soon, told, until};
use answerback::{Code, Ran, Reconnect, State, StateWatch};
use answerback_testing::{Proxy, TestBroker};

/// The next state of a kind; others may come between.
async fn next(watch: &mut StateWatch, what: &str, is_so: impl Fn(&State) -> bool) -> State {
    soon(what, async {
        loop {
            let state = watch.changed().await;
            if is_so(&state) {
                return state;
            }
        }
    })
    .await
}

/// Seed 9: the state of the connection can be read and watched.
#[tokio::test]
async fn each_change_of_the_state_is_told() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let reconnect = Reconnect::default().first_delay(ms(5)).longest_delay(ms(20));
    let client = broker.builder("client").reconnect(reconnect).start().unwrap();
    let mut watch = client.watch();
    assert!(matches!(watch.now(), State::Connecting { address, .. } if address == broker.address()));
    let State::Waiting { pause, why, .. } =
        next(&mut watch, "a pause", |state| matches!(state, State::Waiting { .. })).await
    else {
        unreachable!()
    };
    assert!(pause <= ms(20), "{pause:?}");
    assert_eq!(told(&why), (Code::Disconnected, Ran::No, true));
    broker.start_again().await;
    let State::Connected { server, address, resumed, .. } = next(&mut watch, "a connection", State::is_connected).await
    else {
        unreachable!()
    };
    assert_eq!((&*server, address, resumed), ("server1", broker.address(), false));
    broker.stop().await;
    next(&mut watch, "the loss of it", |state| !state.is_connected()).await;
    broker.start_again().await;
    next(&mut watch, "another connection", State::is_connected).await;
    client.drain(ms(1_000)).await;
    let closed = next(&mut watch, "the end", State::is_closed).await;
    assert!(matches!(closed, State::Closed { why: None, .. }));
    // A closed client stays so, and says so at once.
    assert!(soon("the same again", watch.changed()).await.is_closed());
    assert!(client.state().is_closed());
}

#[tokio::test]
async fn while_it_drains_a_client_says_so() {
    let (_broker, client) = one_client().await;
    let gate = crate::support::Gate::new();
    crate::support::serve_gated(&client, "job", 1, &gate).await;
    let call = crate::support::begin(client.call::<()>("job", ()));
    gate.until_begun(1).await;
    let leaving = client.clone();
    let drain = tokio::spawn(async move { leaving.drain(crate::support::PATIENCE).await });
    until("the draining", || matches!(client.state(), State::Draining)).await;
    gate.let_go(1);
    soon("the answer", call).await.unwrap().unwrap();
    soon("the end", drain).await.unwrap();
    assert!(client.state().is_closed());
}

/// Several watches, also of clones, each see every state for themselves.
#[tokio::test]
async fn several_may_watch() {
    let (_broker, client) = one_client().await;
    let mut watches = [client.watch(), client.clone().watch(), client.watch().clone()];
    client.close().await;
    for watch in &mut watches {
        next(watch, "the end", State::is_closed).await;
    }
}

/// Seed 9: a reconnect by hand.
#[tokio::test]
async fn a_reconnect_by_hand_keeps_the_session() {
    let broker = TestBroker::start().await;
    let proxy = Proxy::start(broker.address()).await;
    let client = answerback::connect(proxy.address()).await.unwrap();
    client.call::<()>("$echo", ()).await.unwrap();
    let mut watch = client.watch();
    for connections in 2..5 {
        client.reconnect();
        let state = next(&mut watch, "another connection", State::is_connected).await;
        assert!(matches!(state, State::Connected { resumed: true, .. }), "{state:?}");
        assert_eq!(proxy.connections(), connections);
        client.call::<()>("$echo", ()).await.unwrap();
    }
}

/// Also without reconnecting by itself, since it was asked to.
#[tokio::test]
async fn a_reconnect_by_hand_works_also_for_who_never_reconnects() {
    let broker = TestBroker::start().await;
    let client = broker.builder("client").reconnect(Reconnect::never()).connect().await.unwrap();
    client.call::<()>("$echo", ()).await.unwrap();
    let mut watch = client.watch();
    client.reconnect();
    next(&mut watch, "another connection", State::is_connected).await;
    client.call::<()>("$echo", ()).await.unwrap();
}

/// A program that knows that the server is back need not wait for the end of the pause.
#[tokio::test]
async fn a_reconnect_by_hand_ends_a_pause() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let hour = std::time::Duration::from_secs(3_600);
    let reconnect = Reconnect::default().longest_delay(hour).first_delay(hour);
    let client = broker.builder("client").reconnect(reconnect).start().unwrap();
    until("a pause", || matches!(client.state(), State::Waiting { .. })).await;
    broker.start_again().await;
    client.reconnect();
    soon("an answer", client.call::<()>("$echo", ())).await.unwrap();
}
