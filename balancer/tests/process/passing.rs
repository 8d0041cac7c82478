//! Bytes that go through are the same bytes, ends that are told are the same ends, and who does not read holds nobody else up.

use crate::backing::{Backing, round_trip, who};
use crate::support::{Balancer, PATIENCE, end_of, is_open, until};
use std::hash::{DefaultHasher, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

/// Bytes in each direction; the whole promise is `BYTES=1073741824`.
fn bytes_wanted() -> usize {
    std::env::var("BYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(32 << 20)
}

/// Random bytes from a seed, in pieces of changing length. Returns what they sum up to.
fn send(mut to: &TcpStream, mut seed: u64, bytes: usize) -> u64 {
    let (mut sum, mut left) = (DefaultHasher::new(), bytes);
    let mut piece = vec![0; 300_000];
    while left > 0 {
        for eight in piece.chunks_exact_mut(8) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            eight.copy_from_slice(&(seed ^ (seed >> 29)).to_le_bytes());
        }
        let count = (seed as usize % piece.len() + 1).min(left);
        to.write_all(&piece[..count]).unwrap();
        piece[..count].iter().for_each(|byte| sum.write_u8(*byte));
        left -= count;
    }
    to.shutdown(Shutdown::Write).unwrap();
    sum.finish()
}

fn receive(mut from: &TcpStream) -> (u64, usize) {
    let (mut sum, mut count) = (DefaultHasher::new(), 0);
    let mut piece = vec![0; 200_000];
    loop {
        match from.read(&mut piece).unwrap() {
            0 => return (sum.finish(), count),
            more => {
                piece[..more].iter().for_each(|byte| sum.write_u8(*byte));
                count += more;
            }
        }
    }
}

/// Seed S18: the bytes are the same, both ways at once, and each way ends on its own.
#[test]
fn random_bytes_are_the_same_both_ways_whichever_way_they_are_moved() {
    for (way, at_once) in [("buffer", true), ("splice", true), ("auto", true), ("auto", false)] {
        let bytes = bytes_wanted();
        let (tell, told) = mpsc::channel();
        let backing = Backing::start(move |stream| {
            let received = if at_once {
                std::thread::scope(|scope| {
                    let sending = scope.spawn(|| send(&stream, 2, bytes));
                    (receive(&stream), sending.join().unwrap())
                })
            } else {
                // The half that the client has ended does not end the other one.
                let received = receive(&stream);
                (received, send(&stream, 2, bytes))
            };
            tell.send(received).unwrap();
        });
        let balancer = Balancer::before(&[backing.address], &["--copy", way]);
        let client = balancer.connect();
        let (received, sent) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| send(&client, 1, bytes));
            (receive(&client), sending.join().unwrap())
        });
        let ((backend_received, count), backend_sent) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!((count, backend_received), (bytes, sent), "to the backend, {way}");
        assert_eq!(received, (backend_sent, bytes), "to the client, {way}");
        until("the end of the pair", || balancer.metric("connections") == 0);
        assert_eq!(balancer.metric("held_bytes"), 0);
        assert_eq!(way == "buffer", balancer.metric("spliced_bytes_total") == 0, "{way}");
        let told = balancer.backend(backing.address);
        assert_eq!((&told["bytes_from_clients"], &told["bytes_to_clients"]), (&bytes.into(), &bytes.into()));
    }
}

#[test]
fn a_backend_that_ends_its_half_first_still_hears_the_client() {
    let (tell, told) = mpsc::channel();
    let backing = Backing::start(move |stream| {
        (&stream).write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        tell.send(receive(&stream).1).unwrap();
    });
    let balancer = Balancer::before(&[backing.address], &[]);
    let mut client = balancer.connect();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "bye");
    client.write_all(b"and more").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 8);
}

fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// An orderly end would have the other side take what it has for all there was.
#[test]
fn a_reset_of_one_end_is_a_reset_of_the_other() {
    let (tell, told) = mpsc::channel();
    let backing = Backing::start(move |mut stream| {
        stream.write_all(b"x").unwrap();
        tell.send(stream.read(&mut [0; 9]).map_err(|error| error.kind())).unwrap();
    });
    let balancer = Balancer::before(&[backing.address], &["--probe-interval", "1h"]);
    let mut client = balancer.connect();
    assert_eq!(who(&mut client), b'x');
    reset(client);
    // One is the probe.
    let heard = [told.recv_timeout(PATIENCE).unwrap(), told.recv_timeout(PATIENCE).unwrap()];
    assert!(heard.contains(&Err(ErrorKind::ConnectionReset)), "{heard:?}");

    // No other handle of the socket may be kept for this one to be reset.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let balancer = Balancer::before(&[listener.local_addr().unwrap()], &["--probe-interval", "1h"]);
    let mut client = balancer.connect();
    client.write_all(b"x").unwrap();
    let backend = loop {
        // A probe comes first and says nothing.
        let (mut stream, _) = listener.accept().unwrap();
        if stream.read(&mut [0]).unwrap() == 1 {
            break stream;
        }
    };
    reset(backend);
    assert_eq!(end_of(&mut client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(balancer.metric("connections_broken_total"), 1);
}

/// Seed S18: with backpressure.
#[test]
fn who_does_not_read_stops_who_writes_and_nobody_else() {
    for way in ["buffer", "splice"] {
        let (tell, stuck) = mpsc::channel();
        let flood = Backing::start(move |mut stream| {
            let mut all = 0_u64;
            stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            // Writes until nobody takes more, then says how much it was. A probe has gone before that.
            let gone = loop {
                match stream.write(&[7; 64 << 10]) {
                    Ok(count) => all += count as u64,
                    Err(error) => break error.kind() != ErrorKind::WouldBlock,
                }
            };
            if gone {
                return;
            }
            stream.set_write_timeout(None).unwrap();
            let _ = tell.send(());
            let _ = stream.write_all(&all.to_be_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        });
        let balancer = Balancer::before(&[flood.address], &["--copy", way]);
        let mut slow = balancer.connect();
        stuck.recv_timeout(PATIENCE).unwrap();
        let held = balancer.metric("held_bytes");
        assert!((1..=1 << 20).contains(&held), "{held} bytes for one direction, {way}");
        let others = Backing::echo(b'o');
        let quick = Balancer::before(&[others.address], &[]);
        round_trip_of(&quick);
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).unwrap();
        let (bytes, count) = rest.split_at(rest.len() - 8);
        assert_eq!(bytes.len() as u64, u64::from_be_bytes(count.try_into().unwrap()), "{way}");
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}

fn round_trip_of(balancer: &Balancer) {
    let mut client = balancer.connect();
    who(&mut client);
    round_trip(&mut client).unwrap();
}

#[test]
fn silence_ends_a_connection_and_bytes_do_not_let_it_end() {
    let backing = Backing::echo(b'a');
    let balancer = Balancer::before(&[backing.address], &["--idle-timeout", "400ms"]);
    let (mut quiet, mut busy) = (balancer.connect(), balancer.connect());
    who(&mut quiet);
    who(&mut busy);
    let ended = std::thread::spawn(move || end_of(&mut quiet));
    while !ended.is_finished() {
        round_trip(&mut busy).unwrap();
    }
    ended.join().unwrap().unwrap();
    assert!(is_open(&busy));
    assert_eq!(balancer.metric("connections_idle_closed_total"), 1);
}

#[test]
fn beyond_the_limit_connections_are_closed_and_a_line_says_so() {
    let backing = Backing::echo(b'a');
    let balancer = Balancer::before(&[backing.address], &["--max-connections", "2"]);
    let mut kept = [balancer.connect(), balancer.connect()];
    kept.iter_mut().for_each(|client| assert_eq!(who(client), b'a'));
    for _ in 0..20 {
        assert!(end_of(&mut balancer.connect()).is_ok());
    }
    until("the count", || balancer.metric("connections_refused_full_total") == 20);
    assert_eq!(balancer.log().matches("raise --max-connections").count(), 1);
    drop(kept);
    until("room", || balancer.metric("connections") == 0);
    round_trip_of(&balancer);
}

/// An idle pair is two sockets and a few hundred bytes.
#[test]
fn an_idle_pair_costs_little_memory() {
    let pairs: usize = 400;
    let backing = Backing::start(|mut stream| {
        let _ = stream.read(&mut [0]);
    });
    let balancer = Balancer::before(&[backing.address], &[]);
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", balancer.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
        line.trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    };
    // The first ones pay for what all share.
    let mut clients: Vec<_> = (0..50).map(|_| balancer.connect()).collect();
    until("the first pairs", || balancer.metric("connections") == 50);
    let before = resident();
    clients.extend((0..pairs).map(|_| balancer.connect()));
    until("all pairs", || balancer.metric("connections") as usize == 50 + pairs);
    let each = resident().saturating_sub(before) / pairs;
    assert!(each < 4 << 10, "{each} bytes for an idle pair");
}
