//! What a server takes from one life to the next, on disks in memory.

use crate::client::Client;
use crate::disks::Disks;
use crate::place::Embedded;
use answerback_server::{End, Interrupt, Server, Settings, StartError, StoreError};
use std::time::Duration;

/// Delivers what waits for an action, and returns its data in the order of delivery.
fn handle(server: &Embedded, action: &str, count: usize) -> Vec<Vec<u8>> {
    let mut handler = Client::serving(server.running.address(), action, 64);
    let mut seen = Vec::new();
    for _ in 0..count {
        let heard = handler.hear_delivery();
        handler.answer(heard.deliver().id, b"1");
        seen.push(heard.data);
    }
    server.until("nothing waits any more", |report| report.held.requests == 0);
    seen
}

fn drained(server: Embedded) -> End {
    server.running.drain(Duration::from_secs(10));
    server.running.join()
}

#[test]
fn a_durable_send_is_there_after_the_server_was_killed() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    for id in 1..=3 {
        client.send_accepted(id, "work", format!("{id}").as_bytes(), true);
    }
    server.running.stop();
    assert_eq!(server.running.join(), End::Stopped);
    let server = disks.serve(|_| {});
    assert_eq!(handle(&server, "work", 3), [b"1", b"2", b"3"]);
    server.running.stop();
    server.running.join();
    let server = disks.serve(|_| {});
    assert_eq!(server.report().held.requests, 0, "what was answered does not come back");
}

#[test]
fn what_a_pattern_names_is_durable_without_saying_so() {
    let disks = Disks::new();
    let server = disks.serve(|settings| {
        settings.broker.durable_actions = vec!["billing.>".to_owned()];
        settings.snapshot_interval = Duration::ZERO;
    });
    let mut client = Client::welcomed(server.running.address(), "client");
    client.send_accepted(1, "billing.pay", b"1", false);
    client.send_accepted(2, "mail", b"2", false);
    server.running.stop();
    server.running.join();
    let server = disks.serve(|_| {});
    server.until("all that was stored is there", |report| !report.store.restoring);
    assert_eq!(server.report().held.queued, 1);
    assert_eq!(handle(&server, "billing.pay", 1), [b"1"]);
}

#[test]
fn a_snapshot_saves_what_waits_and_a_drain_saves_the_rest() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    client.send_accepted(1, "work", b"1", false);
    server.until("it is saved", |report| report.store.rounds.items == 1);
    server.running.stop();
    server.running.join();
    let server = disks.serve(|settings| settings.snapshot_interval = Duration::ZERO);
    let mut client = Client::welcomed(server.running.address(), "client");
    client.send_accepted(2, "work", b"2", false);
    drop(client);
    assert_eq!(drained(server), End::Drained { complete: true });
    let server = disks.serve(|_| {});
    server.until("both are there", |report| report.held.queued == 2);
    assert_eq!(handle(&server, "work", 2), [b"1", b"2"]);
}

/// What a call costs the disk if it comes and goes between two snapshots.
#[test]
fn calls_that_come_and_go_are_not_written() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    for id in 1..=1_000 {
        client.call(id, "$echo", b"1");
        client.hear().reply();
    }
    let report = server.report();
    assert_eq!((report.store.rounds.changes, report.store.journal.report.steps), (0, 0));
}

/// More than one chunk of sends comes in while calls are answered already.
#[test]
fn a_server_serves_while_stored_sends_come_in() {
    const SENDS: u64 = 5_000;
    let disks = Disks::new();
    let server = disks.serve(|settings| settings.snapshot_interval = Duration::ZERO);
    let mut client = Client::welcomed(server.running.address(), "client");
    for id in 1..=SENDS {
        client.send(id, "work", b"1", false);
    }
    for _ in 1..=SENDS {
        client.hear().accepted();
    }
    drop(client);
    assert_eq!(drained(server), End::Drained { complete: true });
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    client.call(1, "$echo", b"1");
    client.hear().reply();
    let report = server.until("all are there", |report| !report.store.restoring);
    assert_eq!((report.store.sends_restored, report.held.queued), (SENDS, SENDS as usize));
}

/// As SIGTERM does while a server reads what it has stored: it is gone soon, and everything is still there.
#[test]
fn a_start_that_is_interrupted_leaves_everything_as_it_was() {
    const SENDS: u64 = 3_000;
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    for id in 1..=SENDS {
        client.send(id, "work", b"1", true);
    }
    for _ in 1..=SENDS {
        client.hear().accepted();
    }
    drop(client);
    assert_eq!(drained(server), End::Drained { complete: true });
    let files = disks.disk.files();
    let mut settings = Settings::default();
    disks.choose(&mut settings);
    settings.listen.set_port(0);
    let interrupt = Interrupt::default();
    interrupt.interrupt();
    let outcome = Server::start_unless(settings, interrupt);
    assert!(matches!(outcome, Err(StartError::Store(StoreError::Interrupted))), "{outcome:?}");
    assert_eq!(disks.disk.files(), files, "also the mark of a clean end");
    assert_eq!(disks.serve(|_| {}).report().held.queued, SENDS as usize);
}

#[test]
fn a_drain_that_is_not_complete_saves_what_could_not_finish() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut handler = Client::serving(server.running.address(), "work", 1);
    let mut client = Client::welcomed(server.running.address(), "client");
    client.send_accepted(1, "work", b"1", false);
    handler.hear().deliver();
    server.running.drain(Duration::from_millis(50));
    assert_eq!(server.running.join(), End::Drained { complete: false });
    let server = disks.serve(|settings| settings.broker.session_grace = Duration::from_millis(50));
    assert_eq!(server.until("it is there", |report| !report.store.restoring).held.requests, 1);
}
