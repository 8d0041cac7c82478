//! Clients that say too much, ask too much or do not read: they are slowed down or closed, and the others do not notice.

use crate::client::Client;
use crate::place::{Embedded, wait_for};
use answerback_protocol::frames::{Pong, Request, Serve};
use answerback_protocol::{ClientFrame, Code, Name, RequestId};
use answerback_server::Keys;
use answerback_server::key_ring::KeyRing;
use bytes::BytesMut;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// The bytes of calls with these ids.
fn calls(ids: std::ops::Range<u64>, action: &str, data: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for id in ids {
        let request = Request::call(RequestId::new(id).unwrap(), Name::new(action).unwrap());
        ClientFrame::from(request).write(data, &mut bytes);
    }
    bytes
}

/// Says all of it from a thread of its own, and hears the answers to so many calls, in order.
fn answered(client: &mut Client, bytes: BytesMut, ids: std::ops::Range<u64>) {
    let mut writer = client.socket.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&bytes).unwrap());
    for id in ids {
        assert_eq!(client.hear().reply().id.get(), id);
    }
    writing.join().unwrap();
}

/// Three seconds' worth at once: the burst is answered, the rest at its rate, nothing is lost, and nobody spins meanwhile.
#[test]
fn frames_over_the_rate_wait_and_are_not_lost() {
    let server = Embedded::with(|settings| settings.frames_per_second = 1_000);
    let mut flood = Client::welcomed(server.running.address(), "flood");
    let mut other = Client::welcomed(server.running.address(), "other");
    let before = server.report().counters;
    let begin = Instant::now();
    answered(&mut flood, calls(1..3_001, "$echo", b"1"), 1..3_001);
    assert!(begin.elapsed() >= Duration::from_millis(1_900), "{:?}", begin.elapsed());
    let after = server.report().counters;
    assert!(after.limited["frames"] >= 15, "{after:?}");
    assert!(after.turns - before.turns < 2_000, "{} turns", after.turns - before.turns);
    other.call(1, "$echo", b"2");
    assert_eq!(other.hear().data, b"2");
    assert_eq!(after.closed_slow, 0);
}

/// Many frames share records, and a read brings many records: what is left of them waits, opened or not, and comes in order.
#[test]
fn sealed_frames_over_the_rate_wait_and_are_not_lost() {
    let key = crate::client::key("billing", 3);
    let server = Embedded::with(|settings| {
        settings.keys = Some(Keys::of(KeyRing::of_one(key.clone())));
        (settings.frames_per_second, settings.bytes_per_second) = (500, 4 << 20);
    });
    let mut flood = Client::sealed(server.running.address(), &key, "flood");
    let datas: Vec<_> = (0..1_000).map(|number| vec![b'1'; [1, 40, 900, 3_000, 20_000][number % 5]]).collect();
    let frame =
        |id: usize| ClientFrame::from(Request::call(RequestId::new(id as u64).unwrap(), Name::new("$echo").unwrap()));
    let frames: Vec<_> = (1..=datas.len()).map(frame).collect();
    let said: Vec<_> = frames.iter().zip(&datas).map(|(frame, data)| (frame, data.as_slice())).collect();
    let bytes = BytesMut::from(&*flood.wire(&said));
    let begin = Instant::now();
    answered(&mut flood, bytes, 1..1_001);
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    assert!(server.report().counters.limited["frames"] >= 8);
}

#[test]
fn bytes_over_the_rate_wait_and_are_not_lost() {
    let server = Embedded::with(|settings| settings.bytes_per_second = 1 << 20);
    let mut flood = Client::welcomed(server.running.address(), "flood");
    let before = server.report().counters;
    let begin = Instant::now();
    let large = vec![b'1'; 1 << 20];
    let mut bytes = calls(1..3, "$echo", &large);
    bytes.extend_from_slice(&calls(3..10, "$echo", &[b'1'; 20_000]));
    let least = Duration::from_millis((bytes.len() as u64 - (1 << 20)) * 1_000 / (1 << 20) - 50);
    answered(&mut flood, bytes, 1..10);
    assert!(begin.elapsed() >= least, "{:?}, not {least:?}", begin.elapsed());
    let after = server.report().counters;
    assert!(after.limited["bytes"] >= 5 && after.turns - before.turns < 2_000, "{after:?}");
}

/// A client that says far too much has its own pings stand behind that. The server says on its own that it is there.
#[test]
fn heartbeats_go_on_while_a_client_is_held_up() {
    let server = Embedded::with(|settings| {
        settings.frames_per_second = 20;
        settings.broker.heartbeat = Duration::from_millis(100);
    });
    let mut flood = Client::welcomed(server.running.address(), "flood");
    // Pongs are answered by nobody.
    let mut bytes = BytesMut::new();
    for _ in 0..50 {
        ClientFrame::from(Pong).write(b"", &mut bytes);
    }
    bytes.extend_from_slice(&calls(1..2, "$echo", b"1"));
    flood.socket.write_all(&bytes).unwrap();
    let mut heard = Vec::new();
    while flood.hear_kind(&mut heard) != "reply" {
        assert!(heard.len() < 1_000);
    }
    let longest = heard.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(heard.len() >= 5, "the server was silent: {} frames", heard.len());
    assert!(longest < Duration::from_secs(1), "silent for {longest:?}");
}

/// Requests that cost milliseconds each, as many as one read takes in: a quick caller waits for a few of them, not for all.
#[test]
fn a_flood_of_costly_requests_does_not_hold_up_a_quick_caller() {
    const NAMES: usize = 10_000;
    const COSTLY: u64 = 600;
    let server = Embedded::start();
    let address = server.running.address();
    let mut handler = Client::welcomed(address, "handler");
    let mut bytes = BytesMut::new();
    let names: Vec<_> = (0..NAMES).map(|number| format!("some.service.of.many.{number}")).collect();
    for name in &names {
        ClientFrame::Serve(Serve { action: Name::new(name.as_str()).unwrap(), credit: 1 }).write(b"", &mut bytes);
    }
    handler.socket.write_all(&bytes).unwrap();
    server.until("all are served", |report| report.held.actions == NAMES);
    let mut quick = Client::welcomed(address, "quick");
    let mut flood = Client::welcomed(address, "flood");
    let begin = Instant::now();
    let flooding = thread::spawn(move || {
        answered(&mut flood, calls(1..COSTLY + 1, "$actions", b""), 1..COSTLY + 1);
        begin.elapsed()
    });
    let mut waits = Vec::new();
    while !flooding.is_finished() {
        let asked = Instant::now();
        quick.call(waits.len() as u64 + 1, "$echo", b"1");
        assert_eq!(quick.hear().data, b"1");
        waits.push(asked.elapsed());
    }
    let (flood_took, worst) = (flooding.join().unwrap(), waits.iter().max().unwrap());
    // Three of them at a time instead of six hundred, with room for a busy machine.
    assert!(*worst < flood_took / 10, "waited {worst:?} of {flood_took:?}");
    assert!(server.report().counters.limited["turn"] >= 10);
}

/// Half frames of many clients: the largest go when they hold too much in all, and the others can go on.
#[test]
fn memory_of_half_frames_is_bounded_at_the_cost_of_the_largest() {
    let server = Embedded::with(|settings| {
        settings.broker.max_frame = 1 << 20;
        settings.inbox_memory = 4 << 20;
    });
    let frame = calls(1..2, "$echo", &vec![b'1'; 1_000_000]);
    let mut small = Client::welcomed(server.running.address(), "small");
    small.socket.write_all(&frame[..1_000]).unwrap();
    let mut clients: Vec<_> = (0..10).map(|_| Client::welcomed(server.running.address(), "half")).collect();
    for client in &mut clients {
        // One that is closed in the middle of this has a broken socket.
        let _ = client.socket.write_all(&frame[..900_000]);
    }
    let report = server.until("some are closed", |report| {
        report.counters.limited.contains_key("inbox_memory") && report.connections < 9
    });
    assert!(report.inbox_bytes <= 4 << 20, "{report:?}");
    small.socket.write_all(&frame[1_000..]).unwrap();
    assert_eq!(small.hear().data.len(), 1_000_000);
    let texts: Vec<_> = clients.into_iter().filter_map(told_overloaded).collect();
    assert!(!texts.is_empty() && texts.iter().all(|text| text.contains("--inbox-memory")), "{texts:?}");
}

/// What the server says of its own to a client that may have been closed; nothing to one that can finish its frame.
fn told_overloaded(mut client: Client) -> Option<String> {
    client.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let heard = client.try_hear().ok()??;
    let error = heard.error();
    assert_eq!((error.code, error.fatal), (Code::Overloaded, true));
    Some(error.message.to_string())
}

/// It goes on talking, so it is not silent; but it has read nothing for two heartbeats.
#[test]
fn an_outbox_that_does_not_move_is_given_up_however_much_its_client_says() {
    let server = Embedded::with(|settings| settings.broker.heartbeat = Duration::from_millis(200));
    let mut deaf = Client::welcomed(server.running.address(), "deaf");
    let data = vec![b'1'; 1 << 19];
    let mut id = 0;
    while server.report().outbox_bytes == 0 {
        id += 1;
        assert!(id < 100, "its socket takes everything");
        deaf.call(id, "$echo", &data);
    }
    let mut pong = BytesMut::new();
    ClientFrame::from(Pong).write(b"", &mut pong);
    let begin = Instant::now();
    let report = wait_for("the deaf one is closed", || {
        let _ = deaf.socket.write_all(&pong);
        Some(server.report()).filter(|report| report.connections == 0)
    });
    assert!(begin.elapsed() >= Duration::from_millis(350), "{:?}", begin.elapsed());
    assert_eq!((report.counters.closed_slow, report.outbox_bytes), (1, 0));
    assert_eq!(report.counters.limited.get("stalled"), Some(&1));
}

/// One that reads, slowly, is not taken for one that does not.
#[test]
fn who_reads_a_little_now_and_then_stays() {
    let server = Embedded::with(|settings| settings.broker.heartbeat = Duration::from_millis(200));
    let mut slow = Client::welcomed(server.running.address(), "slow");
    let data = vec![b'1'; 1 << 19];
    let mut ids = 0;
    while server.report().outbox_bytes == 0 {
        ids += 1;
        slow.call(ids, "$echo", &data);
    }
    let begin = Instant::now();
    let mut pong = BytesMut::new();
    ClientFrame::from(Pong).write(b"", &mut pong);
    while begin.elapsed() < Duration::from_millis(1_500) {
        slow.socket.write_all(&pong).unwrap();
        slow.read_some(64 << 10);
        thread::park_timeout(Duration::from_millis(50));
    }
    while ids > 0 {
        slow.hear().reply();
        ids -= 1;
    }
    assert_eq!(server.report().counters.closed_slow, 0);
}
