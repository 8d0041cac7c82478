//! What a server that never stops talking leaves behind: tests, which look at tables that nobody else sees.

use crate::input::{ConnectionId, Input};
use crate::{Broker, Settings, Time};
use answerback_protocol::{LinkFrame, Payload};
use std::time::Duration;

const BAD: ConnectionId = ConnectionId::new(0, 0, 0);

/// A broker to which a server with the node 99 has said hello.
fn with_peer(change: impl FnOnce(&mut Settings)) -> Broker {
    let mut settings = Settings::default();
    change(&mut settings);
    let mut broker = Broker::new(settings);
    let connected = Input::Connected { connection: BAD, peer: String::new(), holder: None, waited: Duration::ZERO };
    broker.handle(Time::from_millis(1), connected);
    let session = "0".repeat(31) + "1";
    says(&mut broker, &format!(r#"{{"type":"hello","protocol":[1,1],"name":"bad","session":"{session}","node":99}}"#));
    broker
}

fn says(broker: &mut Broker, text: &str) {
    let input = match LinkFrame::read(text.as_bytes()).unwrap() {
        LinkFrame::AsClient(frame) => Input::Frame { connection: BAD, frame, data: Payload::NONE },
        LinkFrame::AsServer(frame) => Input::Told { connection: BAD, frame, data: Payload::NONE },
    };
    broker.handle(Time::from_millis(1), input);
    while broker.next_output().is_some() {}
}

/// The servers of which one has spoken were remembered until somebody asked for a key, also those that had long gone.
#[test]
fn servers_that_are_not_reached_any_more_are_forgotten() {
    let mut broker = with_peer(|_| {});
    for node in 100..1_100 {
        says(&mut broker, &format!(r#"{{"type":"offer","action":"$home.{node:014x}","credit":1,"path":[99,{node}]}}"#));
        says(&mut broker, &format!(r#"{{"type":"offer","action":"$home.{node:014x}","credit":0,"path":[]}}"#));
    }
    while let Some(due) = broker.poll_timeout().filter(|due| *due <= Time::from_millis(100)) {
        broker.handle_timeout(due);
    }
    assert_eq!(broker.mesh.homes.len(), 0);
}

/// A subscription of a server was refused for a limit, and the way to it was remembered all the same.
#[test]
fn what_a_server_may_not_have_is_not_remembered() {
    let mut broker = with_peer(|settings| settings.limits.subscriptions = 10);
    for topic in 0..1_000 {
        says(&mut broker, &format!(r#"{{"type":"subscribe","topic":"t{topic}","path":[99]}}"#));
    }
    let wished: Vec<_> = broker.mesh.links.iter().map(|(_, link)| link.wishes.count()).collect();
    assert_eq!(wished, [10]);
    for topic in 0..1_000 {
        says(&mut broker, &format!(r#"{{"type":"unsubscribe","topic":"t{topic}"}}"#));
    }
    assert!(broker.mesh.links.iter().all(|(_, link)| link.wishes.count() == 0));
}
