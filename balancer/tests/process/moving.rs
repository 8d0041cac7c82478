//! Connections that move when a backend has come back.

use crate::backing::{Backing, round_trip, who};
use crate::support::{Balancer, is_open, until};
use rustix::process::Signal;
use std::net::TcpStream;

/// A balancer with all of `count` connections on the first of two backends.
fn crowded(count: usize, args: &[&str]) -> (Balancer, [Backing; 2], Vec<TcpStream>) {
    let backends = [b'a', b'b'].map(Backing::echo);
    let addresses = backends.each_ref().map(|backend| backend.address);
    let balancer = Balancer::before(&addresses, args);
    balancer.until_up(&addresses);
    balancer.post(&format!("/drain?backend={}&deadline=1h", addresses[1]));
    let mut clients: Vec<_> = (0..count).map(|_| balancer.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(who(client), b'a'));
    balancer.post(&format!("/undrain?backend={}", addresses[1]));
    (balancer, backends, clients)
}

#[test]
fn a_share_of_what_is_too_much_moves_when_it_is_quiet() {
    for by_signal in [true, false] {
        let (balancer, _backends, mut clients) = crowded(20, &["--rebalance-share", "50", "--rebalance-idle", "50ms"]);
        // Ten too many, of which half are to move.
        if by_signal {
            balancer.signal(Signal::USR1);
        } else {
            assert_eq!(balancer.post("/rebalance"), (200, "{\"to_move\":5}\n".to_owned()));
        }
        until("five that move", || balancer.metric("connections_moved_total") == 5);
        until("their ends", || clients.iter().filter(|client| is_open(client)).count() == 15);
        for client in clients.iter_mut().filter(|client| !is_open(client)) {
            *client = balancer.connect();
            assert_eq!(who(client), b'b', "who moves goes where there is room");
        }
        clients.iter_mut().for_each(|client| round_trip(client).unwrap());
        assert_eq!(balancer.metric("connections_moved_total"), 5);
    }
}

#[test]
fn who_is_busy_is_left_alone() {
    let (balancer, _backends, mut clients) = crowded(4, &["--rebalance-share", "100", "--rebalance-idle", "1h"]);
    assert_eq!(balancer.post("/rebalance").0, 200);
    clients.iter_mut().for_each(|client| round_trip(client).unwrap());
    assert_eq!(balancer.metric("connections_moved_total"), 0);
}

#[test]
fn by_a_setting_it_comes_by_itself() {
    let (balancer, _backends, _clients) =
        crowded(8, &["--rebalance-share", "100", "--rebalance-idle", "50ms", "--rebalance-every", "100ms"]);
    until("four that move", || balancer.metric("connections_moved_total") == 4);
}
