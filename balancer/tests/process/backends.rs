//! Which backend gets a connection: the ones that are there, in turn, and never one that is not.

use crate::backing::{Backing, nowhere, round_trip, who};
use crate::support::{Balancer, end_of, until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn names(balancer: &Balancer, count: usize) -> Vec<u8> {
    let mut clients: Vec<_> = (0..count).map(|_| balancer.connect()).collect();
    clients.iter_mut().map(who).collect()
}

/// Seed 43: one port in front of many, in turn.
#[test]
fn connections_go_round() {
    let backends = [b'a', b'b', b'c'].map(Backing::echo);
    let addresses = backends.each_ref().map(|backend| backend.address);
    for strategy in ["round-robin", "least-connections", "two-choices"] {
        let balancer = Balancer::before(&addresses, &["--strategy", strategy]);
        balancer.until_up(&addresses);
        let all = names(&balancer, 30);
        for name in [b'a', b'b', b'c'] {
            let count = all.iter().filter(|other| **other == name).count();
            assert!((8..=12).contains(&count), "{strategy}: {count} of 30");
        }
    }
}

/// Seeds 45 and S18: before this, every other connect failed.
#[test]
fn dead_backends_are_skipped_before_the_client_notices() {
    let alive = Backing::echo(b'a');
    let balancer = Balancer::before(
        &[nowhere(), alive.address, nowhere()],
        &["--probe-interval", "1h", "--rest", "1h", "--rest-max", "1h"],
    );
    for _ in 0..30 {
        let mut client = balancer.connect();
        assert_eq!(who(&mut client), b'a');
        round_trip(&mut client).unwrap();
    }
    assert_eq!(balancer.metric("connections_refused_no_backend_total"), 0);
}

/// A listener whose door is full: connects to it neither succeed nor fail.
fn silent() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let within = std::time::Duration::from_millis(300);
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, within) {
        waiting.push(stream);
        assert!(waiting.len() < 20, "the door is never full");
    }
    (listener, waiting)
}

#[test]
fn a_backend_that_does_not_answer_is_passed_over_after_the_connect_timeout() {
    let (listener, _waiting) = silent();
    let alive = Backing::echo(b'a');
    let silent = listener.local_addr().unwrap();
    // The probes come too late to help.
    let balancer = Balancer::before(&[silent, alive.address], &["--probe-timeout", "1h", "--connect-timeout", "200ms"]);
    let said: Vec<_> = names(&balancer, 4);
    assert_eq!(said, [b'a'; 4]);
    until("the failure", || {
        balancer.backend(silent)["failed_connects"] != 0 || balancer.backend(silent)["connects"] == 0
    });
}

#[test]
fn with_all_backends_dead_clients_are_told_by_a_close_and_the_log_says_so_until_one_is_back() {
    let address = nowhere();
    let balancer = Balancer::before(&[address], &[]);
    balancer.until_logged("backend rests");
    assert!(matches!(balancer.get("/readyz").0, 503));
    for _ in 0..10 {
        drop(end_of(&mut balancer.connect()));
    }
    balancer.until_logged("no backend takes it");
    assert!(balancer.log().matches("no backend takes it").count() <= 3);
    let _back = Backing::echo_at(b'b', address);
    balancer.until_up(&[address]);
    assert_eq!(names(&balancer, 3), [b'b'; 3]);
    assert_eq!(balancer.get("/readyz").0, 200);
}

/// An admin port that is ready or not.
fn admin_port(ready: Arc<AtomicBool>) -> Backing {
    Backing::start(move |mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let ready = ready.load(Ordering::SeqCst);
        let answer =
            if ready { "200 OK\r\n\r\nready\n" } else { "503 Service Unavailable\r\n\r\nnot ready: draining\n" };
        let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Both);
    })
}

#[test]
fn a_backend_that_says_it_is_not_ready_gets_nothing_though_it_takes_connections() {
    let ready = Arc::new(AtomicBool::new(true));
    let admin = admin_port(Arc::clone(&ready));
    let (leaving, other) = (Backing::echo(b'l'), Backing::echo(b'o'));
    let spec = format!("{},admin={}", leaving.address, admin.address);
    let balancer = Balancer::start(&["--backend", &spec, "--backend", &other.address.to_string()]);
    balancer.until_up(&[leaving.address, other.address]);
    assert_eq!(names(&balancer, 4).iter().filter(|name| **name == b'l').count(), 2);
    ready.store(false, Ordering::SeqCst);
    until("its rest", || balancer.backend(leaving.address)["state"] == "resting");
    let why = balancer.backend(leaving.address)["last_check"]["why"].as_str().unwrap().to_owned();
    assert_eq!(why, "/readyz says 503 not ready: draining");
    assert_eq!(names(&balancer, 4), [b'o'; 4]);
    ready.store(true, Ordering::SeqCst);
    balancer.until_up(&[leaving.address]);
}

#[test]
fn names_are_looked_up() {
    let alive = Backing::echo(b'a');
    let name = format!("localhost:{}", alive.address.port());
    let balancer = Balancer::start(&["--backend", &name]);
    until("the name", || balancer.get("/readyz").0 == 200);
    assert_eq!(names(&balancer, 2), [b'a'; 2]);
}

#[test]
fn who_wants_to_know_the_client_is_told_first() {
    let backing = Backing::start(|mut stream| {
        let mut head = [0; 28];
        stream.read_exact(&mut head).unwrap();
        stream.write_all(&head).unwrap();
        let mut rest = [0; 5];
        stream.read_exact(&mut rest).unwrap();
        stream.write_all(&rest).unwrap();
    });
    let balancer = Balancer::start(&["--backend", &format!("{},proxy=v2", backing.address)]);
    let mut client = balancer.connect();
    let mut head = [0; 28];
    client.write_all(b"hello").unwrap();
    client.read_exact(&mut head).unwrap();
    let port = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let client_address = SocketAddr::from(([head[16], head[17], head[18], head[19]], port(24)));
    assert_eq!(&head[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!((client_address, port(26)), (client.local_addr().unwrap(), balancer.address.port()));
    let mut rest = [0; 5];
    client.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"hello");
}
