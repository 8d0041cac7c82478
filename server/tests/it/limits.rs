//! What bounds a data plane: connections, outboxes, memory of what came in part.

use crate::client::Client;
use crate::place::{Embedded, wait_for};
use crate::process::Process;
use answerback_protocol::Code;
use answerback_server::{Server, StartError};
use std::io::Write;

#[test]
fn a_connection_over_the_limit_is_told_so_and_the_place_is_free_again_later() {
    let server = Embedded::with(|settings| settings.max_connections = 2);
    let address = server.running.address();
    let first = Client::welcomed(address, "first");
    let _second = Client::welcomed(address, "second");
    let mut third = Client::connect(address);
    let heard = third.hear();
    let error = heard.error();
    assert_eq!((error.code, error.fatal), (Code::Overloaded, true));
    assert!(error.message.contains("2 connections") && error.message.contains("--max-connections"), "{error:?}");
    assert!(third.try_hear().unwrap().is_none());
    drop((first, third));
    server.until("two places are left", |report| report.connections == 1);
    Client::welcomed(address, "fourth");
    let counters = server.report().counters;
    assert_eq!((counters.accepted, counters.refused), (3, 1));
}

/// More strangers than are told why: nobody's connection takes a place for long, and the ones inside go on.
#[test]
fn a_storm_over_the_limit_does_not_disturb_those_inside() {
    let server = Embedded::with(|settings| settings.max_connections = 1);
    let mut inside = Client::welcomed(server.running.address(), "inside");
    let storm: Vec<_> = (0..200).map(|_| Client::connect(server.running.address())).collect();
    let report = server.until("all are turned away", |report| report.counters.refused == 200);
    assert!(report.connections <= 1 + 64);
    inside.call(1, "$echo", b"1");
    assert_eq!(inside.hear().data, b"1");
    drop(storm);
    server.until("only one is left", |report| report.connections == 1);
}

/// A client that is sent much and reads nothing is closed; the others do not notice.
#[test]
fn a_slow_consumer_is_closed() {
    let server = Embedded::with(|settings| {
        settings.broker.max_frame = 1 << 20;
        settings.outbox_limit = 2 << 20;
    });
    let mut slow = Client::welcomed(server.running.address(), "slow");
    let mut other = Client::welcomed(server.running.address(), "other");
    let data = vec![b'1'; 1 << 19];
    let mut id = 0;
    // What fits into the sockets' buffers is not slow yet, so it goes on until the server has had enough.
    while server.report().counters.closed_slow == 0 {
        assert!(id < 200, "nothing was closed");
        id += 1;
        if slow.try_call(id, "$echo", &data).is_err() {
            break;
        }
    }
    let report = server.until("the slow one is gone", |report| report.connections == 1);
    assert_eq!((report.counters.closed_slow, report.outbox_bytes), (1, 0));
    other.call(1, "$echo", b"2");
    assert_eq!(other.hear().data, b"2");
}

/// When all outboxes together hold too much, the ones that hold much are closed and the small ones are not.
#[test]
fn memory_of_all_outboxes_is_bounded_at_the_cost_of_the_slow_ones() {
    let server = Embedded::with(|settings| {
        settings.broker.max_frame = 1 << 20;
        (settings.outbox_limit, settings.outbox_memory) = (16 << 20, 16 << 20);
    });
    let mut other = Client::welcomed(server.running.address(), "other");
    let mut slow: Vec<_> = (0..4).map(|_| Client::welcomed(server.running.address(), "slow")).collect();
    let data = vec![b'1'; 1 << 19];
    for round in 0..200 {
        if server.report().counters.closed_slow > 0 {
            break;
        }
        for client in &mut slow {
            // One of them is closed in the middle of this.
            let _ = client.try_call(round, "$echo", &data);
        }
    }
    let report = server.until("one of the slow is closed", |report| report.counters.closed_slow > 0);
    assert!(report.outbox_bytes <= 17 << 20, "{report:?}");
    other.call(1, "$echo", b"2");
    assert_eq!(other.hear().data, b"2");
}

/// A client that was told to go and stays is cut off, however much it goes on sending.
#[test]
fn who_does_not_leave_when_told_to_is_cut_off() {
    let server = Embedded::start();
    let mut stranger = Client::connect(server.running.address());
    stranger.socket.write_all(&[0xff; 1_000]).unwrap();
    assert!(stranger.hear().error().fatal);
    let mut talker = stranger.socket.try_clone().unwrap();
    wait_for("the server to cut the connection", || talker.write_all(&[0xff; 1_000]).err());
    server.until("its place is free", |report| report.connections == 0);
}

/// 10,000 connections with a session each, of which 100 are busy. An idle one costs the process less than 4 KiB.
#[test]
fn ten_thousand_connections_of_which_a_hundred_are_busy() {
    const CONNECTIONS: usize = 10_000;
    raise_open_files();
    let server = Process::start(&["--handshake", "60s", "--heartbeat", "1h"]);
    drop(Client::welcomed(server.address, "warm"));
    let before = server.resident_kib();
    let mut clients: Vec<_> = (0..CONNECTIONS - 1).map(|_| Client::welcomed(server.address, "idle")).collect();
    let each = (server.resident_kib().saturating_sub(before) << 10) / CONNECTIONS as u64;
    assert!(each < 4 << 10, "{each} bytes for each idle connection");
    for round in 0..20 {
        for (id, client) in clients.iter_mut().step_by(100).enumerate() {
            client.call((round << 10) + id as u64, "$echo", b"1");
        }
        for client in clients.iter_mut().step_by(100) {
            assert_eq!(client.hear().data, b"1");
        }
    }
    assert_eq!(server.ask("GET", "/readyz").0, 200);
}

/// This process holds the clients' ends.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[test]
fn settings_that_cannot_work_do_not_start() {
    let settings = answerback_server::Settings { max_connections: 0, outbox_limit: 1, ..Default::default() };
    match Server::start(settings) {
        Err(StartError::Settings(mistakes)) => assert_eq!(mistakes.len(), 2),
        other => panic!("{other:?}"),
    }
}
