//! TLS on the port of clients: frames within it however they are cut, and every way in which a handshake does not come to an end.

use crate::client::{hello, key};
use crate::place::{PATIENCE, wait_for};
use crate::tls_client::{Authority, call};
use answerback_protocol::ClientFrame;
use answerback_protocol::frames::{Bye, Ping};
use answerback_server::Keys;
use answerback_server::key_ring::KeyRing;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Beside each other on one port, if nobody needs a key.
#[test]
fn frames_within_tls_and_without() {
    let authority = Authority::new();
    let server = authority.server(false, |_| {});
    let address = server.running.address();
    let mut within = authority.client(address, None).welcomed("within");
    let _without = crate::client::Client::welcomed(address, "without");
    for size in [0, 1, 16_384, 16_385, 65_519, 100_000, 3 << 20] {
        within.echo(size as u64, &vec![b'7'; size]);
    }
    let report = server.report();
    assert_eq!((report.connections, report.outbox_bytes, report.counters.strangers.len()), (2, 0, 0));
}

#[test]
fn every_cut_is_as_good_as_none() {
    let authority = Authority::new();
    let server = authority.server(false, |_| {});
    for piece in [1, 2, 5, 100, 1_000] {
        let mut client = authority.client_in_pieces(server.running.address(), None, piece).welcomed("slow");
        let pings: Vec<_> = (0..50).map(|_| (ClientFrame::Ping(Ping), &b""[..])).collect();
        client.say(&pings);
        for _ in 0..50 {
            assert_eq!(client.hear().0["type"], "pong");
        }
        client.echo(1, &[b'1'; 300]);
    }
}

#[test]
fn many_frames_there_and_back() {
    let authority = Authority::new();
    let server = authority.server(false, |_| {});
    let mut client = authority.client(server.running.address(), None).welcomed("busy");
    for _ in 0..10 {
        let pings: Vec<_> = (0..2_000).map(|_| (ClientFrame::Ping(Ping), &b""[..])).collect();
        client.say(&pings);
        for _ in 0..2_000 {
            assert_eq!(client.hear().0["type"], "pong");
        }
    }
    let report = server.report();
    assert!(report.counters.writes < 2_000, "{} writes", report.counters.writes);
}

/// What a socket does not take waits in the outbox, where it counts, and not within TLS. All of it arrives, and then the end is said.
#[test]
fn a_client_that_reads_late_hears_everything_and_the_end() {
    let authority = Authority::new();
    let server = authority.server(false, |_| {});
    let mut late = authority.client(server.running.address(), None).welcomed("late");
    for id in 0..20 {
        late.say(&[(call(id, "$echo"), &vec![b'1'; (1 << 20) + id as usize])]);
    }
    server.until("much waits", |report| report.outbox_bytes > 1 << 20);
    late.say(&[(ClientFrame::Bye(Bye), b"")]);
    for id in 0..20 {
        let (head, data) = late.hear();
        assert!(head["id"] == id && data.len() == (1 << 20) + id as usize, "{head}");
    }
    assert!(late.try_hear().unwrap().is_none());
    drop(late);
    server.until("it is gone", |report| report.connections == 0 && report.outbox_bytes == 0);
}

/// A handshake that goes on for ever, a byte now and then, has the time of a hello and no more.
#[test]
fn a_slow_handshake_ends_when_its_time_is_over() {
    let authority = Authority::new();
    let server = authority.server(false, |settings| settings.broker.handshake = Duration::from_millis(200));
    let mut bytes = Vec::new();
    authority.connection(None).write_tls(&mut bytes).unwrap();
    for said in [&bytes[..1], &bytes[..5], &bytes[..bytes.len() - 1], &bytes[..]] {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(server.running.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(said).unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        assert!(begun.elapsed() >= Duration::from_millis(190), "{} bytes", said.len());
    }
    let report = server.until("all are gone", |report| report.connections == 0);
    assert_eq!((report.counters.strangers["silent"], report.counts.connections), (4, 0));
    // After the handshake nothing is said: told within TLS.
    let mut silent = authority.client(server.running.address(), None);
    silent.stream.conn.complete_io(&mut silent.stream.sock).unwrap();
    assert_eq!(silent.hear().0["code"], "silent");
}

/// What looks like TLS and is not, a client that ends within the handshake, and one that does not trust us.
#[test]
fn handshakes_that_fail() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server(false, |_| {});
    let address = server.running.address();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!((answer[0], answer.len() >= 7), (21, true), "{answer:?}");
    assert_eq!(server.report().counters.strangers["tls"], 1);

    let mut bytes = Vec::new();
    authority.connection(None).write_tls(&mut bytes).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(&bytes).unwrap();
    drop(socket);
    server.until("it is gone", |report| report.connections == 0);

    let mut client = other.client(address, None);
    assert!(client.stream.write_all(b"\0").is_err());
    let _ = client.stream.conn.write_tls(&mut client.stream.sock);
    drop(client);
    server.until("it is told", |report| report.counters.strangers["tls"] == 2 && report.connections == 0);
    // A handshake that never comes to an end by what it says.
    let mut socket = TcpStream::connect(address).unwrap();
    let endless = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    for _ in 0..8 {
        let _ = socket.write_all(&endless);
    }
    server.until("it is refused", |report| report.counters.strangers["tls"] == 3);
    assert_eq!(server.report().counts.connections, 0);
}

/// Half of a record, and then nothing more; a cut without a goodbye; a record that was changed.
#[test]
fn connections_that_break_within_tls() {
    let authority = Authority::new();
    let server = authority.server(false, |_| {});
    let address = server.running.address();
    let mut half = authority.client(address, None).welcomed("half");
    half.stream.sock.write_all(&[23, 3, 3, 0, 50, 1, 2, 3]).unwrap();
    drop(half);
    let cut = authority.client(address, None).welcomed("cut");
    cut.stream.sock.socket.shutdown(std::net::Shutdown::Both).unwrap();
    server.until("both are gone", |report| report.connections == 0);
    let mut changed = authority.client(address, None).welcomed("changed");
    changed.stream.sock.write_all(&[&[23, 3, 3, 0, 50][..], &[9; 50]].concat()).unwrap();
    let error = changed.try_hear().unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
    server.until("it is gone", |report| report.connections == 0);
    assert!(server.report().counters.strangers.is_empty());
}

/// What comes out of TLS is looked at as what comes from a socket.
#[test]
fn every_kind_is_told_within_tls() {
    let authority = Authority::new();
    let server = authority.server(false, |settings| {
        settings.keys = Some(Keys::of(KeyRing::of_one(key("billing", 7))));
    });
    let address = server.running.address();
    let mut plain = authority.client(address, None);
    plain.say(&[(hello("plain"), b"")]);
    assert!(plain.refusal().contains("this server wants a key"));
    let mut web = authority.client(address, None);
    web.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    web.stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let mut nested = authority.client(address, None);
    nested.stream.write_all(&[22, 3, 1, 0]).unwrap();
    assert_eq!(nested.hear().0["code"], "bad_request");
    let strangers =
        wait_for("three strangers", || Some(server.report().counters.strangers).filter(|all| all.len() == 3));
    assert_eq!((strangers["plain"], strangers["http"], strangers["unknown"]), (1, 1, 1));
}
