//! Connecting: at once or with patience, to one of several addresses, over TCP or anything else.

use crate::support::{begin, ms, soon, takes_at_least, told, until};
use answerback::{Client, Code, Connecting, Connector, Io, Ran, Reconnect, State};
use answerback_testing::{Fault, Faults, Proxy, TestBroker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// An address at which nobody listens.
async fn dead_address() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn without_a_server_connect_fails_at_once_and_says_what_to_do() {
    let address = dead_address().await;
    let error = soon("the word on it", answerback::connect(&address)).await.unwrap_err();
    assert_eq!(told(&error), (Code::Disconnected, Ran::No, true));
    assert!(error.message().starts_with(&format!("cannot connect to {address}: Connection refused")), "{error}");
    assert!(error.message().ends_with("start a server there, or give another address"), "{error}");
}

#[tokio::test]
async fn an_address_that_cannot_be_is_told() {
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "no such host.invalid:7040"] {
        let error = soon("the word on it", answerback::connect(address)).await.unwrap_err();
        assert!(error.message().starts_with(&format!("cannot connect to {address}: ")), "{error}");
    }
}

/// Seed 13: mistakes in the settings are told where they are made, by the name of the setting.
#[tokio::test]
async fn mistakes_in_the_settings_are_told_by_name_before_anything_is_connected() {
    let mistakes = [
        (Client::builder("a:1").name(""), "name: "),
        (Client::builder("a:1").name("x".repeat(256)), "name: "),
        (Client::builder("a:1").name("a\u{0}"), "name: "),
        (Client::builder(""), "address: "),
        (Client::builder("a:1").address(""), "address: "),
        (Client::builder("a:1").connect_timeout(Duration::ZERO), "connect_timeout: "),
        (Client::builder("a:1").default_timeout(Duration::ZERO), "default_timeout: "),
        (Client::builder("a:1").max_calls(0), "max_calls: "),
    ];
    for (builder, setting) in mistakes {
        let error = builder.start().unwrap_err();
        assert_eq!(told(&error), (Code::BadRequest, Ran::No, false));
        assert!(error.message().starts_with(setting), "{error}");
    }
}

#[test]
fn outside_of_a_runtime_it_says_so_instead_of_panicking() {
    let error = Client::builder("127.0.0.1:7040").start().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().starts_with("a client needs a tokio runtime: "), "{error}");
}

/// A service that starts before its server.
#[tokio::test]
async fn with_retry_first_connection_connect_waits_for_a_server() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let reconnect = Reconnect::default().first_delay(ms(5)).longest_delay(ms(20));
    let builder = broker.builder("early").retry_first_connection().reconnect(reconnect);
    let connecting = tokio::spawn(builder.connect());
    let other = broker.builder("other").start().unwrap();
    until("a try that failed", || matches!(other.state(), State::Waiting { .. })).await;
    assert!(!connecting.is_finished());
    broker.start_again().await;
    let client = soon("the connection", connecting).await.unwrap().unwrap();
    assert!(client.state().is_connected());
}

#[tokio::test]
async fn the_first_connection_is_not_retried_for_ever_if_tries_are_counted() {
    let reconnect = Reconnect::default().first_delay(ms(1)).longest_delay(ms(2)).tries(4);
    let builder = Client::builder(dead_address().await).retry_first_connection().reconnect(reconnect);
    let error = soon("its end", builder.connect()).await.unwrap_err();
    assert_eq!(error.code(), Code::Disconnected);
}

/// Seeds 6, 10: a client that was started without a connection; what is asked meanwhile waits for it.
#[tokio::test]
async fn calls_of_a_client_that_was_only_started_wait_for_the_connection() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let reconnect = Reconnect::default().first_delay(ms(5)).longest_delay(ms(20));
    let client = broker.builder("client").reconnect(reconnect).start().unwrap();
    assert!(!client.state().is_connected());
    let call = begin(client.call::<u32>("double", 7));
    let send = tokio::spawn(client.send("note", 1).into_future());
    let server = client.clone();
    let serve =
        tokio::spawn(async move { server.serve("double", |n: u32| async move { answerback::Ok(2 * n) }).await });
    until("what waits", || client.calls_waiting() == 2).await;
    broker.start_again().await;
    soon("the service", serve).await.unwrap().unwrap();
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 14);
    soon("the send", send).await.unwrap().unwrap();
}

/// Seeds S8, S15: what waits for a connection still ends with its time, and does not run later.
#[tokio::test]
async fn calls_that_wait_for_a_connection_end_with_their_time() {
    let broker = TestBroker::start().await;
    broker.stop().await;
    let client = broker.builder("client").start().unwrap();
    let expired = takes_at_least(ms(40), client.call::<()>("a", 1).ttl(ms(40)).into_future()).await.unwrap_err();
    assert_eq!(told(&expired), (Code::Expired, Ran::No, true));
    assert!(expired.message().starts_with("its ttl ended before there was a connection to send it on"), "{expired}");
    let late = takes_at_least(ms(40), client.call::<()>("a", 2).timeout(ms(40)).into_future()).await.unwrap_err();
    assert_eq!(told(&late), (Code::Timeout, Ran::No, true));
    let at_once = soon("its end", client.call::<()>("a", 3).ttl(Duration::ZERO)).await.unwrap_err();
    assert_eq!(told(&at_once), (Code::Expired, Ran::No, true));
    assert!(at_once.message().contains("no server is connected"), "{at_once}");
    assert_eq!(client.calls_waiting(), 0);
    broker.start_again().await;
    client.reconnect();
    let nobody = soon("an answer", client.call::<()>("a", 4).ttl(ms(40))).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NoHandler);
    assert_eq!(broker.report().await.unwrap().held.requests, 0);
}

/// Times that no clock can hold are as good as for ever.
#[tokio::test]
async fn times_without_measure_are_no_mistake() {
    let broker = TestBroker::start().await;
    let builder = broker.builder("client").connect_timeout(Duration::MAX).default_timeout(Duration::MAX);
    let patient = Reconnect::default().longest_delay(Duration::MAX).first_delay(Duration::MAX);
    let client = builder.reconnect(patient).connect().await.unwrap();
    let echo = |n: u32| async move { answerback::Ok(n) };
    client.serve("echo", echo).pace(Duration::MAX).cancel_grace(Duration::MAX).await.unwrap();
    let whole = client.call::<u32>("echo", 7).ttl(Duration::MAX).timeout(Duration::MAX);
    assert_eq!(soon("an answer", whole).await.unwrap(), 7);
    // The pace is over in half an eternity; this one ends before that.
    let error = client.call::<u32>("echo", 7).ttl(Duration::MAX).timeout(ms(30)).await.unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    soon("leaving", client.drain(Duration::MAX)).await;

    broker.stop().await;
    let patient = Reconnect::default().longest_delay(Duration::MAX).first_delay(Duration::MAX);
    let alone = broker.builder("alone").reconnect(patient).start().unwrap();
    let call = alone.call::<()>("echo", 7).ttl(Duration::MAX).timeout(ms(30));
    assert_eq!(soon("its end", call).await.unwrap_err().code(), Code::Timeout);
    until("a pause", || matches!(alone.state(), State::Waiting { .. })).await;
    soon("its end", alone.close()).await;
}

#[tokio::test]
async fn of_several_addresses_the_dead_ones_are_passed_over() {
    let broker = TestBroker::start().await;
    let builder = Client::builder(dead_address().await).address(dead_address().await).address(broker.address());
    let client = soon("the connection", builder.connect()).await.unwrap();
    assert!(matches!(client.state(), State::Connected { address, .. } if address == broker.address()));
    client.call::<()>("$echo", ()).await.unwrap();
}

/// An address at which something listens and says nothing costs `connect_timeout`, not more.
#[tokio::test]
async fn an_address_that_says_nothing_is_passed_over_too() {
    let broker = TestBroker::start().await;
    let silent = Proxy::with(broker.address(), Faults::each([Fault::Stall])).await;
    let builder = Client::builder(silent.address()).address(broker.address()).connect_timeout(ms(60));
    let client = takes_at_least(ms(60), builder.connect()).await.unwrap();
    assert!(matches!(client.state(), State::Connected { address, .. } if address == broker.address()));
}

#[tokio::test]
async fn a_client_has_a_name_and_says_who_it_is() {
    let broker = TestBroker::start().await;
    let named = broker.client("billing-2").await;
    assert_eq!(named.name(), "billing-2");
    assert!(format!("{named:?}").contains("billing-2"));
    let unnamed = answerback::connect(broker.address()).await.unwrap();
    assert!(unnamed.name().ends_with(&std::process::id().to_string()), "{}", unnamed.name());
}

/// A connector of one's own that counts.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU32>);

impl Connector for Counting {
    fn connect(&self, address: &str) -> Connecting {
        self.0.fetch_add(1, Ordering::SeqCst);
        let address = address.replace("broker-of:", "127.0.0.1:");
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Io>) })
    }
}

#[tokio::test]
async fn a_connector_of_ones_own_opens_every_connection() {
    let broker = TestBroker::start().await;
    let counting = Counting::default();
    let address = broker.address().replace("127.0.0.1:", "broker-of:");
    let client = Client::builder(address).connector(counting.clone()).connect().await.unwrap();
    client.call::<()>("$echo", ()).await.unwrap();
    assert_eq!(counting.0.load(Ordering::SeqCst), 1);
    client.reconnect();
    until("the second connection", || counting.0.load(Ordering::SeqCst) == 2).await;
    soon("an answer on it", client.call::<()>("$echo", ())).await.unwrap();
}

/// The connector in the documentation of [`Connector`].
struct Unix;

impl Connector for Unix {
    fn connect(&self, address: &str) -> Connecting {
        let path = address.to_owned();
        Box::pin(async move { Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Io>) })
    }
}

#[tokio::test]
async fn over_a_unix_socket() {
    let broker = TestBroker::start().await;
    let path = broker.folder().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let target = broker.address();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&target).await?;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
        std::io::Result::Ok(())
    });
    let client = Client::builder(path.to_str().unwrap()).connector(Unix).connect().await.unwrap();
    client.serve("echo", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    assert_eq!(client.call::<u32>("echo", 7).await.unwrap(), 7);
    client.close().await;
}
