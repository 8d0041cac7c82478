//! What a server does when its disk is full, broken or slow: durable requests are refused at once, everything else goes on,
//! whoever asks is told, and it is over by itself when the disk is well again.

use crate::client::Client;
use crate::disks::{Disks, ready};
use crate::place::Embedded;
use answerback_protocol::{Code, Ran};
use answerback_server::End;
use answerback_store::Fault;
use serde_json::Value;
use std::time::{Duration, Instant};

/// What `$stats` says of the store.
fn stats(client: &mut Client, id: u64) -> Value {
    client.call(id, "$stats", b"null");
    let heard = client.hear();
    serde_json::from_slice::<Value>(&heard.data).unwrap()["store"].clone()
}

fn refused(client: &mut Client, id: u64) {
    client.send(id, "work", b"1", true);
    let heard = client.hear();
    let error = heard.reply().error.clone().unwrap();
    assert_eq!((error.code, error.ran), (Code::Unavailable, Ran::No), "{error:?}");
}

fn until_healthy(server: &Embedded) {
    let is_well = |store: &answerback_server::StoreReport| {
        store.journal_trouble.is_none() && store.snapshot_trouble.is_none() && store.unsaved.is_zero()
    };
    server.until("the disk is well again", |report| is_well(&report.store));
}

#[test]
fn many_that_wait_share_one_sync() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    client.send_accepted(1, "work", b"1", true);
    let before = disks.disk.syncs();
    let gate = disks.disk.hold_syncs();
    client.send(2, "work", b"1", true);
    server.until("the first one waits", |report| report.store.steps_waiting == 1);
    for id in 3..=102 {
        client.send(id, "work", b"1", true);
    }
    server.until("all wait", |report| report.store.steps_waiting == 101);
    drop(gate);
    for id in 2..=102 {
        assert_eq!(client.hear().accepted(), id);
    }
    assert_eq!(disks.disk.syncs() - before, 2);
}

#[test]
fn a_disk_that_fails_refuses_durable_requests_and_nothing_else() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    client.send_accepted(1, "work", b"1", true);
    disks.disk.inject(Fault::FailSyncs);
    refused(&mut client, 2);
    let report = server.until("it is told", |report| report.store.journal_trouble.is_some());
    assert!(report.store.journal.report.failures > 0);
    refused(&mut client, 3);
    client.send_accepted(4, "other", b"1", false);
    assert_eq!(stats(&mut client, 5)["takes_durable"], false);
    let (status, text) = ready(&server);
    assert!(status == 200 && text.starts_with("ready\nwarning: durable requests are refused since 0 s ("), "{text}");
    disks.disk.heal();
    until_healthy(&server);
    client.send_accepted(6, "work", b"1", true);
    assert_eq!(ready(&server), (200, "ready\n".to_owned()));
    assert_eq!(stats(&mut client, 7)["takes_durable"], true);
    // What was refused is not there, also after a restart.
    server.running.stop();
    server.running.join();
    let server = disks.serve(|_| {});
    let report = server.until("all that was stored is there", |report| !report.store.restoring);
    assert!((2..=3).contains(&report.held.queued), "{report:?}");
    let mut handler = Client::serving(server.running.address(), "work", 8);
    assert_eq!((0..2).map(|_| handler.hear().deliver().attempt).count(), 2);
    server.until("there were two", |report| report.held.delivered == 2);
}

#[test]
fn a_full_disk_is_survived() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    disks.disk.inject(Fault::Room(0));
    refused(&mut client, 1);
    disks.disk.heal();
    until_healthy(&server);
    client.send_accepted(2, "work", b"1", true);
}

/// A disk that hangs does not fail. Whoever waits for it waits; nobody else is let in to wait too.
#[test]
fn a_sync_that_hangs_refuses_further_durable_requests_at_once() {
    let disks = Disks::new();
    let server = disks.serve(|settings| settings.sync_patience = Duration::from_millis(200));
    let mut client = Client::welcomed(server.running.address(), "client");
    let mut other = Client::welcomed(server.running.address(), "other");
    let gate = disks.disk.hold_syncs();
    client.send(1, "work", b"1", true);
    server.until("patience is over", |report| report.store.journal_trouble.is_some());
    let asked = Instant::now();
    refused(&mut other, 1);
    other.send_accepted(2, "work", b"1", false);
    assert!(asked.elapsed() < Duration::from_secs(5), "refused, not waited for");
    drop(gate);
    assert_eq!(client.hear().accepted(), 1);
    server.until("it is over", |report| report.store.journal_trouble.is_none());
    other.send_accepted(3, "work", b"1", true);
}

#[test]
fn snapshots_that_fail_are_told_and_made_up_for() {
    let disks = Disks::new();
    let server = disks.serve(|_| {});
    let mut client = Client::welcomed(server.running.address(), "client");
    disks.shelf.fail_saves(true);
    client.send_accepted(1, "work", b"1", false);
    let report = server.until("it is told", |report| report.store.snapshot_trouble.is_some());
    assert!(report.store.rounds.failures > 0 && report.store.rounds.rounds == 0);
    let (status, text) = ready(&server);
    assert!(status == 200 && text.starts_with("ready\nwarning: nothing saved since 0 s ("), "{text}");
    assert!(stats(&mut client, 2)["unsaved_ms"].is_number());
    client.send_accepted(3, "work", b"1", true);
    disks.shelf.fail_saves(false);
    until_healthy(&server);
    assert_eq!(disks.shelf.items(), 1);
}

/// A snapshot that hangs holds up nobody.
#[test]
fn calls_are_answered_while_a_snapshot_hangs() {
    let disks = Disks::new();
    let server = disks.serve(|settings| settings.sync_patience = Duration::from_millis(100));
    let mut client = Client::welcomed(server.running.address(), "client");
    let gate = disks.shelf.hold_saves();
    client.send_accepted(1, "work", b"1", false);
    server.until("patience is over", |report| report.store.snapshot_trouble.is_some());
    for id in 2..=100 {
        client.call(id, "$echo", b"1");
        client.hear().reply();
    }
    drop(gate);
    until_healthy(&server);
}

#[test]
fn a_last_save_that_fails_is_the_end_and_said_so() {
    let disks = Disks::new();
    let server = disks.serve(|settings| settings.sync_patience = Duration::from_millis(100));
    let mut client = Client::welcomed(server.running.address(), "client");
    client.send_accepted(1, "work", b"1", false);
    disks.shelf.fail_saves(true);
    client.send_accepted(2, "work", b"1", false);
    drop(client);
    server.running.drain(Duration::from_secs(5));
    assert_eq!(server.running.join(), End::NotSaved);
}
