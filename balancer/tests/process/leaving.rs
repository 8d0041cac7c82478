//! How a balancer ends, how a backend is drained, and how the list is exchanged: nobody loses a connection before its time.

use crate::backing::{Backing, round_trip, who};
use crate::support::{Balancer, end_of, is_open, until};
use rustix::process::Signal;
use std::net::TcpStream;
use std::path::PathBuf;

/// Seed S23: the balancer ends when it is asked to and its connections have ended.
#[test]
fn sigterm_lets_connections_end_and_nobody_in() {
    let backing = Backing::echo(b'a');
    let mut balancer = Balancer::before(&[backing.address], &["--drain-deadline", "1h"]);
    let mut client = balancer.connect();
    who(&mut client);
    balancer.signal(Signal::TERM);
    until("a closed door", || TcpStream::connect(balancer.address).is_err());
    assert_eq!(balancer.get("/readyz"), (503, "not ready: draining, 1 connections are left\n".to_owned()));
    round_trip(&mut client).unwrap();
    drop(client);
    assert_eq!(balancer.exit_code(), Some(0));
    assert!(balancer.log().contains("drained"));
}

#[test]
fn the_deadline_ends_what_has_not_and_a_second_signal_ends_at_once() {
    let backing = Backing::echo(b'a');
    for (deadline, signals, code) in [("50ms", 1, 5), ("1h", 2, 1)] {
        let mut balancer = Balancer::before(&[backing.address], &["--drain-deadline", deadline]);
        let mut client = balancer.connect();
        who(&mut client);
        balancer.signal(Signal::INT);
        balancer.until_logged("asked to leave");
        if signals == 2 {
            balancer.signal(Signal::TERM);
        }
        assert_eq!(balancer.exit_code(), Some(code));
    }
}

#[test]
fn a_drained_backend_keeps_what_it_has_until_the_deadline_and_gets_nothing_new() {
    let backends = [Backing::echo(b'a'), Backing::echo(b'b')];
    let [a, b] = backends.each_ref().map(|backend| backend.address);
    let balancer = Balancer::before(&[a, b], &[]);
    balancer.until_up(&[a, b]);
    let mut clients = [balancer.connect(), balancer.connect()];
    clients.sort_by_cached_key(|client| who(&mut client.try_clone().unwrap()));
    let page = format!("/drain?backend={a}&deadline=1h");
    assert_eq!(balancer.ask("POST", &page, "").0, 403, "without the header");
    assert_eq!(balancer.post(&page).0, 202);
    assert_eq!(balancer.post("/drain?backend=nobody:1").0, 404);
    assert_eq!(balancer.backend(a)["draining"], true);
    for _ in 0..4 {
        assert_eq!(who(&mut balancer.connect()), b'b');
    }
    round_trip(&mut clients[0]).unwrap();
    assert_eq!(balancer.post(&format!("/drain?backend={a}&deadline=10ms")).0, 202);
    end_of(&mut clients[0]).unwrap();
    round_trip(&mut clients[1]).unwrap();
    assert_eq!(balancer.post(&format!("/undrain?backend={a}")).0, 200);
    until("its turn", || who(&mut balancer.connect()) == b'a');
}

/// A file that is gone when the test is over.
struct ListFile(PathBuf);

impl ListFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("answerback-balancer-{}-{name}", std::process::id())))
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }
}

impl Drop for ListFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn sighup_exchanges_the_list_without_dropping_a_connection() {
    let backends = [b'a', b'b', b'c'].map(Backing::echo);
    let [a, b, c] = backends.each_ref().map(|backend| backend.address);
    let file = ListFile::new("reload");
    file.write(&format!("# two\n{a}\n{b} # the second\n"));
    let mut balancer = Balancer::start(&["--backends", file.0.to_str().unwrap(), "--drain-deadline", "1h"]);
    balancer.until_up(&[a, b]);
    let mut clients = [balancer.connect(), balancer.connect()];
    clients.iter_mut().for_each(|client| assert!(who(client) < b'c'));
    file.write(&format!("{b}\n{c}\n"));
    balancer.signal(Signal::HUP);
    balancer.until_up(&[b, c]);
    assert_eq!(balancer.backend(a)["gone"], true);
    for _ in 0..4 {
        assert_ne!(who(&mut balancer.connect()), b'a');
    }
    clients.iter_mut().for_each(|client| round_trip(client).unwrap());
    // A list with a mistake changes nothing, and the log says which.
    file.write("nonsense\n");
    balancer.signal(Signal::HUP);
    balancer.until_logged("line 1: `nonsense` is not host:port");
    assert_eq!(balancer.post("/reload").0, 400);
    clients.iter_mut().for_each(|client| round_trip(client).unwrap());
    drop(clients);
    until("the end of who is gone", || balancer.backend(a).is_null());
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.exit_code(), Some(0));
}

#[test]
fn connections_of_a_removed_backend_end_at_the_deadline() {
    let backends = [b'a', b'b'].map(Backing::echo);
    let [a, b] = backends.each_ref().map(|backend| backend.address);
    let file = ListFile::new("removed");
    file.write(&format!("{a}\n{b}\n"));
    let balancer = Balancer::start(&["--backends", file.0.to_str().unwrap(), "--drain-deadline", "50ms"]);
    balancer.until_up(&[a, b]);
    let mut clients = [balancer.connect(), balancer.connect()];
    clients.sort_by_cached_key(|client| who(&mut client.try_clone().unwrap()));
    file.write(&format!("{b}\n"));
    assert_eq!(balancer.post("/reload").0, 200);
    end_of(&mut clients[0]).unwrap();
    round_trip(&mut clients[1]).unwrap();
    assert!(is_open(&clients[1]));
}
