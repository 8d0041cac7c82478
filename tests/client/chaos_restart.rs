//! A server that is killed again and again under load. It keeps nothing, so whatever was on its way may be lost; but every
//! call ends, nothing runs more often than it may, and what is said not to have run has not.

use crate::ledger::{Ledger, Memory};
use crate::load::{Callers, pass, serve};
use crate::place::Place;
use crate::process::{Process, command};
use crate::quiet::all_quiet;
use answerback::{Client, Reconnect};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KILLS: u32 = 10;

/// A server process at this address, or at a free one.
fn start(place: &Place, address: Option<SocketAddr>) -> Process {
    let mut command = command();
    let address = address.map_or("127.0.0.1:0".to_owned(), |address| address.to_string());
    let folder = place.0.to_str().unwrap();
    command.args(["--listen", &address, "--admin", "127.0.0.1:0", "--data-dir", folder]);
    Process::spawn(command)
}

async fn client(address: SocketAddr, name: &str) -> Client {
    let reconnect =
        Reconnect::default().first_delay(Duration::from_millis(10)).longest_delay(Duration::from_millis(100));
    Client::builder(address.to_string()).name(name).reconnect(reconnect).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_ten_times_leaves_no_call_without_an_end() {
    let (place, ledger) = (Place::new(), Arc::new(Ledger::default()));
    let mut server = start(&place, None);
    let address = server.address;
    let services = [client(address, "service-1").await, client(address, "service-2").await];
    for (service, who) in services.iter().zip(["service-1", "service-2"]) {
        serve(service, who, &ledger).await;
    }
    let callers = [client(address, "caller-1").await, client(address, "caller-2").await];
    let load = Callers::start(&callers, 12, 1, &ledger);
    for kill in 0..KILLS {
        pass(Duration::from_millis(150 + 37 * u64::from(kill))).await;
        // Dropping it is SIGKILL, and waits for the end of the process.
        drop(server);
        let begun = Instant::now();
        server = tokio::task::block_in_place(|| start(&place, Some(address)));
        assert!(begun.elapsed() < Duration::from_secs(5), "the port comes back");
    }
    pass(Duration::from_millis(300)).await;
    load.finish(Duration::from_secs(10)).await;

    let watcher = client(address, "watcher").await;
    let [a, b] = &services;
    let [c, d] = &callers;
    all_quiet(&watcher, &[a, b, c, d], Duration::from_secs(10)).await;
    let tally = ledger.check(Memory::Long);
    assert!(tally.answered > 1_000 && tally.maybe > 0 && tally.dropped > 10, "{tally:?}");
    println!("{tally:?}");
}
