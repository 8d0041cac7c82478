//! A session that a newer connection takes over.

use crate::load::pass;
use crate::quiet::until;
use answerback::{Client, Connecting, Connector, Tcp};
use answerback_testing::{Fault, Faults, Proxy, TestBroker};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_millis(300);

/// Goes wherever it was told last.
#[derive(Clone)]
struct Road(Arc<Mutex<String>>);

impl Road {
    fn is_now(&self, address: String) {
        *self.0.lock().unwrap() = address;
    }
}

impl Connector for Road {
    fn connect(&self, _address: &str) -> Connecting {
        Tcp.connect(&self.0.lock().unwrap())
    }
}

/// The story: a connection was given up before its welcome, because the program or a timer wanted another one. Its `hello`
/// was under way and reached the server after that of the other. So the server took the dead connection for the newer one,
/// told the living one that it was replaced, and the client closed for good: it took that for another program's doing.
#[tokio::test]
async fn a_client_is_not_closed_by_a_hello_of_its_own_that_comes_late() {
    let broker = TestBroker::start().await;
    let slow = Proxy::with(broker.address(), Faults::each([Fault::Delay { by: LATE }])).await;
    let road = Road(Arc::new(Mutex::new(broker.address())));
    let client = Client::builder("by road").name("client").connector(road.clone()).connect().await.unwrap();
    let connected = || async { client.state().is_connected().then_some(()).ok_or(format!("{:?}", client.state())) };

    road.is_now(slow.address());
    client.reconnect();
    until(PATIENCE, || async { (slow.connections() == 1).then_some(()).ok_or("not there".to_owned()) }).await;
    // It says hello, which takes its time. Meanwhile the program wants another connection.
    pass(LATE / 6).await;
    road.is_now(broker.address());
    client.reconnect();
    until(PATIENCE, connected).await;
    // The late one arrives.
    pass(2 * LATE).await;
    until(PATIENCE, connected).await;
    assert!(client.call::<bool>("$echo", true).await.unwrap());
    assert_eq!(broker.report().await.unwrap().held.sessions, 1);
}
