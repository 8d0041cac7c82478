//! The road of a call over real sockets. Bytes in odd pieces and bytes that are no frames are in `tests/wire`.

use crate::client::{Client, hello};
use crate::place::Embedded;
use answerback_protocol::{ClientFrame, Code, Ran, ServerFrame};
use answerback_server::End;
use bytes::BytesMut;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

#[test]
fn a_call_goes_to_the_handler_and_its_reply_comes_back() {
    let server = Embedded::start();
    let mut handler = Client::serving(server.running.address(), "echo", 8);
    let mut caller = Client::welcomed(server.running.address(), "web-1");
    for size in [0, 1, 1_000, 16 << 10, 64 << 10, 3 << 20] {
        let data = vec![b'7'; size];
        caller.call(size as u64, "echo", &data);
        let heard = handler.hear();
        assert_eq!((heard.deliver().from.as_str(), heard.data == data), ("web-1", true));
        handler.answer(heard.deliver().id, &heard.data);
        let heard = caller.hear();
        assert_eq!((heard.reply().id.get(), heard.data == data), (size as u64, true), "{size} bytes");
    }
    let report = server.report();
    assert_eq!((report.held.requests, report.outbox_bytes, report.connections), (0, 0, 2));
}

/// Far more frames than one read takes, on one connection, beside another that waits for its turn.
#[test]
fn a_busy_connection_does_not_hold_up_another() {
    let server = Embedded::start();
    let mut busy = Client::welcomed(server.running.address(), "busy");
    let mut pings = BytesMut::new();
    for _ in 0..50_000 {
        ClientFrame::Ping(answerback_protocol::frames::Ping).write(b"", &mut pings);
    }
    let mut writer = busy.socket.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&pings).unwrap());
    let mut other = Client::welcomed(server.running.address(), "other");
    other.say(&ClientFrame::Ping(answerback_protocol::frames::Ping), b"");
    assert!(matches!(other.hear().frame(), ServerFrame::Pong(_)));
    for _ in 0..50_000 {
        assert!(matches!(busy.hear().frame(), ServerFrame::Pong(_)));
    }
    writing.join().unwrap();
}

/// What was answered to the last frames of a client that has closed its side still reaches it.
#[test]
fn a_half_closed_client_hears_the_answers_to_what_it_said() {
    let server = Embedded::start();
    let mut client = Client::connect(server.running.address());
    let mut bytes = BytesMut::new();
    hello("short").write(b"", &mut bytes);
    ClientFrame::Ping(answerback_protocol::frames::Ping).write(b"", &mut bytes);
    client.socket.write_all(&bytes).unwrap();
    client.socket.shutdown(Shutdown::Write).unwrap();
    client.hear().welcome();
    assert!(matches!(client.hear().frame(), ServerFrame::Pong(_)));
    assert!(client.try_hear().unwrap().is_none());
    server.until("the connection is gone", |report| report.connections == 0);
}

#[test]
fn a_drain_ends_when_the_work_that_runs_is_done() {
    let server = Embedded::start();
    let mut handler = Client::serving(server.running.address(), "work", 1);
    let mut caller = Client::welcomed(server.running.address(), "caller");
    caller.call(1, "work", b"1");
    let delivery = handler.hear().deliver().id;
    server.running.drain(Duration::from_secs(60));
    assert!(!handler.hear().goaway().reason.is_empty());
    caller.hear().goaway();
    assert!(server.report().draining);
    caller.call(2, "work", b"1");
    let error = caller.hear().reply().error.clone().map(|error| (error.code, error.ran));
    assert_eq!(error, Some((Code::Draining, Ran::No)));
    handler.answer(delivery, b"done");
    assert_eq!(caller.hear().data, b"done");
    assert!(caller.try_hear().unwrap().is_none());
    drop((handler, caller));
    assert_eq!(server.running.join(), End::Drained { complete: true });
}

#[test]
fn a_drain_whose_deadline_passes_tells_the_caller_that_the_work_may_have_run() {
    let server = Embedded::start();
    let mut handler = Client::serving(server.running.address(), "work", 1);
    let mut caller = Client::welcomed(server.running.address(), "caller");
    caller.call(1, "work", b"1");
    handler.hear().deliver();
    server.running.drain(Duration::from_millis(50));
    caller.hear().goaway();
    let error = caller.hear().reply().error.clone().map(|error| (error.code, error.ran));
    assert_eq!(error, Some((Code::HandlerLost, Ran::Maybe)));
    assert_eq!(server.running.join(), End::Drained { complete: false });
}

#[test]
fn a_server_that_is_stopped_or_dropped_is_gone() {
    let server = Embedded::start();
    let mut client = Client::welcomed(server.running.address(), "client");
    server.running.stop();
    assert_eq!(server.running.join(), End::Stopped);
    assert!(client.try_hear().map_or(true, |heard| heard.is_none()));
    let server = Embedded::start();
    let address = server.running.address();
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
}
