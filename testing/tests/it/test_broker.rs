//! The broker inside the test.

use crate::raw::Raw;
use answerback_testing::TestBroker;
use std::time::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_call_through_a_broker_that_was_stopped_and_started_again() {
    let broker = TestBroker::start().await;
    let mut first = Raw::hello(TcpStream::connect(broker.address()).await.unwrap(), 1).await;
    first.next_of("welcome").await;
    broker.stop().await;
    assert_eq!(first.next().await, None);
    assert!(TcpStream::connect(broker.address()).await.is_err());
    assert!(broker.report().await.is_none());

    broker.start_again().await;
    let mut again = Raw::hello(TcpStream::connect(broker.address()).await.unwrap(), 1).await;
    assert_eq!(again.next_of("welcome").await.0["resumed"], false);
    again.request(1, "$echo", "[1]").await.unwrap();
    assert_eq!(again.next_of("reply").await.1, "[1]");
    assert_eq!(broker.report().await.unwrap().held.sessions, 1);
}

#[tokio::test]
async fn a_drain_waits_for_what_runs() {
    let broker = TestBroker::start().await;
    let mut raw = Raw::hello(TcpStream::connect(broker.address()).await.unwrap(), 1).await;
    raw.serve("slow").await;
    raw.request(1, "slow", "7").await.unwrap();
    let delivery = raw.next_of("deliver").await;
    let answered = async {
        raw.next_of("goaway").await;
        raw.answer(&delivery).await.unwrap();
        raw.next_of("reply").await.1
    };
    let (complete, reply) = tokio::join!(broker.drain(Duration::from_secs(10)), answered);
    assert!(complete);
    assert_eq!(reply, "7");
    assert!(broker.drain(Duration::ZERO).await, "it was gone already");
}

#[test]
fn dropping_it_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let broker = runtime.block_on(TestBroker::start());
    let (address, folder) = (broker.address(), broker.folder().to_owned());
    assert!(folder.exists());
    // A test that panics drops what it has, outside of any runtime too.
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _broker = broker;
        std::panic::resume_unwind(Box::new("the test fails"));
    }));
    assert!(failed.is_err());
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(address).is_err());
}
