//! Who may connect: limits by address and by rate, over real sockets. Loopback is what all of these come from, so it is spared nothing here.

use crate::client::{Client, Heard};
use crate::place::{Embedded, wait_for};
use crate::process::Process;
use answerback_protocol::Code;
use answerback_server::Settings;
use std::io::{Read, Write};
use std::time::Duration;

fn strict(change: impl FnOnce(&mut Settings)) -> Embedded {
    Embedded::with(|settings| {
        settings.spare_loopback = false;
        change(settings);
    })
}

/// What a connection is told before it is closed, or nothing if it is closed without a word.
fn told(mut client: Client) -> Option<String> {
    let heard = client.try_hear().ok()??;
    let error = heard.error();
    assert_eq!((error.code, error.fatal), (Code::Overloaded, true));
    Some(error.message.to_string())
}

#[test]
fn one_address_has_so_many_connections_and_a_place_that_is_left_can_be_taken() {
    let server = Embedded::with(|settings| settings.max_connections_per_address = 2);
    let address = server.running.address();
    let (first, _second) = (Client::welcomed(address, "first"), Client::welcomed(address, "second"));
    let text = told(Client::connect(address)).unwrap();
    assert!(text.contains("2 connections") && text.contains("--max-connections-per-address"), "{text}");
    drop(first);
    server.until("a place is left", |report| report.connections == 1);
    let _third = Client::welcomed(address, "third");
    let report = server.report();
    assert_eq!(report.counters.limited.get("connections_per_address"), Some(&1));
    assert_eq!((report.counters.accepted, report.counters.refused, report.addresses), (3, 0, 1));
}

#[test]
fn what_is_over_the_rate_of_handshakes_is_told_so_and_closed() {
    for (per_address, flag, word) in
        [(false, "--handshakes-per-second", "handshakes"), (true, "--handshakes-per-address", "handshakes_per_address")]
    {
        let server = Embedded::with(|settings| match per_address {
            false => settings.handshakes_per_second = 1,
            true => settings.handshakes_per_address = 1,
        });
        let mut inside = Client::welcomed(server.running.address(), "inside");
        let crowd: Vec<_> = (0..20).map(|_| Client::connect(server.running.address())).collect();
        let report = server.until("most are turned away", |report| report.counters.limited.get(word) >= Some(&15));
        assert!(report.counters.accepted <= 5, "{report:?}");
        let text = crowd.into_iter().rev().find_map(told).unwrap();
        assert!(text.contains("1 new connections a second") && text.contains(flag), "{text}");
        inside.call(1, "$echo", b"1");
        assert_eq!(inside.hear().data, b"1");
        wait_for("a place in a later second", || {
            let mut client = Client::connect(server.running.address());
            client.say(&crate::client::hello("later"), b"");
            client.try_hear().ok()?.filter(Heard::is_welcome)
        });
    }
}

/// Garbage again and again: in the end a connection costs an accept and a close. A client from there that waits is welcomed.
#[test]
fn an_address_that_keeps_failing_is_not_listened_to_for_a_while() {
    let server = strict(|settings| settings.stranger_rest = Duration::from_millis(200));
    let address = server.running.address();
    let mut inside = Client::welcomed(address, "inside");
    let scan = || {
        let mut stranger = Client::connect(address);
        let _ = stranger.socket.write_all(b"GET / HTTP/1.1\r\n\r\n");
        let mut answer = Vec::new();
        let _ = stranger.socket.read_to_end(&mut answer);
        answer
    };
    assert!(!scan().is_empty(), "the first is told what is wrong");
    wait_for("a rest", || {
        assert!(scan().len() < 4_096);
        server.report().counters.limited.get("rest").copied()
    });
    inside.call(1, "$echo", b"1");
    assert_eq!(inside.hear().data, b"1");
    wait_for("the end of the rest", || {
        let mut client = Client::connect(address);
        client.try_say(&crate::client::hello("patient"), b"").ok()?;
        client.try_hear().ok()?.filter(Heard::is_welcome)
    });
    assert!(scan().len() > 100, "a hello makes up for it");
}

/// Connections that say nothing take a part of the places only, and the others are for whoever comes from elsewhere.
#[test]
fn silent_connections_of_one_address_take_a_part_of_the_places() {
    let server = strict(|settings| settings.max_connections = 80);
    let silent: Vec<_> = (0..30).map(|_| Client::connect(server.running.address())).collect();
    let report = server.until("ten are turned away", |report| report.counters.limited.len() == 1);
    assert!(report.counters.accepted <= 20);
    let text = silent.into_iter().rev().find_map(told).unwrap();
    assert!(text.contains("20 connections") && text.contains("--max-connections leaves"), "{text}");
}

#[test]
fn the_process_logs_and_counts_who_is_turned_away() {
    let process = Process::start(&["--max-connections-per-address", "1"]);
    let _inside = Client::welcomed(process.address, "inside");
    for _ in 0..5 {
        assert!(told(Client::connect(process.address)).is_some());
    }
    let line = process.logged("connection turned away");
    assert!(line.contains("WARN") && line.contains("--max-connections-per-address"), "{line}");
    assert!(line.contains("peer=127.0.0.1:"), "{line}");
    let (_, metrics) = process.ask("GET", "/metrics");
    assert!(metrics.contains("answerback_limited_total{limit=\"connections_per_address\"} 5"), "{metrics}");
    assert!(metrics.contains("answerback_addresses 1"), "{metrics}");
}

/// Those who are turned away stay until they have read why, and take nobody's place meanwhile.
#[test]
fn who_is_turned_away_takes_no_place() {
    let server = Embedded::with(|settings| (settings.max_connections, settings.max_connections_per_address) = (20, 3));
    let address = server.running.address();
    let first = Client::welcomed(address, "first");
    let _others = [Client::welcomed(address, "second"), Client::welcomed(address, "third")];
    let _turned_away: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
    let turned_away =
        |report: &answerback_server::Report| report.counters.limited.get("connections_per_address") == Some(&100);
    let report = server.until("all are turned away", turned_away);
    assert!((30..=3 + 64).contains(&report.connections), "{report:?}");
    drop(first);
    wait_for("the place that is left", || {
        let mut fourth = Client::connect(address);
        fourth.try_say(&crate::client::hello("fourth"), b"").ok()?;
        fourth.try_hear().ok()?.filter(Heard::is_welcome)
    });
    assert_eq!(server.report().counters.refused, 0);
}

/// A holder whose hello the core does not take is no stranger, however often it tries.
#[test]
fn who_has_shown_a_key_is_not_given_a_rest() {
    let key = crate::client::key("billing", 7);
    let ring = answerback_server::key_ring::KeyRing::of_one(key.clone());
    let server = strict(|settings| settings.keys = Some(answerback_server::Keys::of(ring)));
    for _ in 0..60 {
        let mut client = Client::greeted(server.running.address(), &key);
        client.say(&answerback_protocol::ClientFrame::Ping(answerback_protocol::frames::Ping), b"");
        assert!(client.hear().error().fatal);
    }
    server.until("all are gone", |report| report.connections == 0);
    assert_eq!(server.report().counters.limited.get("rest"), None);
}

/// Half a first record that must go is closed without a frame in the clear behind what was said already.
#[test]
fn who_waits_for_records_is_told_nothing_in_the_clear() {
    let key = crate::client::key("billing", 7);
    let ring = answerback_server::key_ring::KeyRing::of_one(key.clone());
    let server = Embedded::with(|settings| {
        settings.keys = Some(answerback_server::Keys::of(ring));
        settings.broker.max_frame = 64 << 10;
        settings.inbox_memory = 128 << 10;
    });
    let half = || {
        let mut client = Client::greeted(server.running.address(), &key);
        client.socket.write_all(&[1_000_u16.to_be_bytes().to_vec(), vec![7; 900]].concat()).unwrap();
        client
    };
    let halves: Vec<_> = (0..300).map(|_| half()).collect();
    server.until("some had to go", |report| report.counters.limited.contains_key("inbox_memory"));
    let report = server.until("they are gone", |report| report.connections < 300);
    assert!(report.inbox_bytes <= 128 << 10, "{report:?}");
    drop(server);
    for mut client in halves {
        let mut heard = Vec::new();
        let _ = client.socket.read_to_end(&mut heard);
        assert!(!String::from_utf8_lossy(&heard).contains("inbox-memory"), "{} bytes", heard.len());
    }
}

/// Silent connections of however many addresses fill a half of the places, and the oldest make room for who comes.
#[test]
fn silent_connections_make_room_for_who_comes() {
    let server = Embedded::with(|settings| settings.max_connections = 40);
    let address = server.running.address();
    let mut inside = Client::welcomed(address, "inside");
    let _silent: Vec<_> = (0..60).map(|_| Client::connect(address)).collect();
    let report = server.until("the oldest are gone", |report| report.counters.limited.get("outsiders") == Some(&40));
    assert_eq!((report.connections, report.counters.refused), (21, 0));
    let mut late = Client::welcomed(address, "late");
    for client in [&mut inside, &mut late] {
        client.call(1, "$echo", b"1");
        assert_eq!(client.hear().data, b"1");
    }
}
