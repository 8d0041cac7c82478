//! The process and its store, on a real disk: killed and started again, drained, damaged.

use crate::client::Client;
use crate::place::{Place, wait_for};
use crate::process::{Process, Said, command_in, http};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;

fn deliver(process: &Process, action: &str, count: usize) -> Vec<Vec<u8>> {
    let mut handler = Client::serving(process.address, action, 64);
    let mut answered = Vec::new();
    for _ in 0..count {
        let heard = handler.hear_delivery();
        handler.answer(heard.deliver().id, b"1");
        answered.push(heard.data);
    }
    answered
}

/// Runs it to its end.
fn end_of(place: &Place, args: &[&str]) -> Said {
    let output = command_in(place, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn segments(place: &Place) -> Vec<PathBuf> {
    let journal = fs::read_dir(place.0.join("store/journal")).unwrap();
    let files = journal.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|form| form == "journal")).collect();
    files.sort();
    files
}

#[test]
fn what_was_accepted_durably_is_there_after_kill_9() {
    let place = Place::new();
    let mut process = Process::start_in(&place, &["--snapshot-interval", "0"]);
    let mut client = Client::welcomed(process.address, "client");
    for id in 1..=20 {
        client.send_accepted(id, "work", format!("{id}").as_bytes(), true);
    }
    client.send_accepted(21, "work", b"not durable", false);
    process.kill();
    let process = Process::start_in(&place, &[]);
    let expected: Vec<_> = (1..=20).map(|id: u64| id.to_string().into_bytes()).collect();
    assert_eq!(deliver(&process, "work", 20), expected);
}

#[test]
fn what_waits_is_saved_by_sigterm_and_the_process_ends_with_0() {
    let place = Place::new();
    let mut process = Process::start_in(&place, &["--snapshot-interval", "0"]);
    let mut client = Client::welcomed(process.address, "client");
    client.send_accepted(1, "work", b"1", false);
    client.send_accepted(2, "work", b"2", true);
    process.signal(Signal::TERM);
    drop(client);
    assert_eq!(process.end().code(), Some(0));
    let said = process.said_to_the_end();
    assert!(said.contains(" drained") && !said.contains("WARN"), "{said}");
    let process = Process::start_in(&place, &[]);
    let mut data = deliver(&process, "work", 2);
    data.sort();
    assert_eq!(data, [b"1", b"2"]);
}

#[test]
fn work_that_cannot_finish_is_saved_and_the_process_ends_with_5() {
    let place = Place::new();
    let mut process = Process::start_in(&place, &["--drain-deadline", "50ms"]);
    let mut handler = Client::serving(process.address, "work", 1);
    let mut client = Client::welcomed(process.address, "client");
    client.send_accepted(1, "work", b"1", false);
    handler.hear().deliver();
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(5));
    drop(handler);
    let process = Process::start_in(&place, &["--session-grace", "50ms"]);
    let stats = wait_for("what was saved to be there", || {
        let (_, text) = process.ask("GET", "/metrics");
        let line = text.lines().find(|line| line.starts_with("answerback_restoring "))?;
        line.ends_with(" 0").then_some(text)
    });
    let held = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    assert!(held("answerback_requests_bytes ") > 0);
}

#[test]
fn the_admin_port_drains_a_server() {
    let mut process = Process::start(&[]);
    let admin = process.admin.unwrap();
    let unmeant = http(admin, &format!("POST /drain HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"));
    assert!(unmeant.starts_with("HTTP/1.1 403"), "{unmeant}");
    assert_eq!(process.ask("GET", "/drain").0, 405);
    assert_eq!(process.ask("POST", "/drain?deadline=soon").0, 400);
    assert_eq!(process.ask("GET", "/readyz").0, 200);
    let (status, text) = process.ask("POST", "/drain?deadline=2s");
    assert_eq!((status, text.as_str()), (202, "draining: running work may finish within 2s; see /readyz\n"));
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn metrics_are_text_that_prometheus_reads() {
    let process = Process::start(&[]);
    let mut client = Client::welcomed(process.address, "client");
    client.send_accepted(1, "work", b"1", true);
    let (status, text) = process.ask("GET", "/metrics");
    assert_eq!((status, text.ends_with("# EOF\n")), (200, true));
    for line in ["answerback_journal_commits_total 1", "answerback_requests_queued 1", "answerback_connections 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}

#[test]
fn a_damaged_store_is_told_and_started_with_unless_that_is_not_wanted() {
    let place = Place::new();
    let mut process = Process::start_in(&place, &[]);
    let mut client = Client::welcomed(process.address, "client");
    for id in 1..=10 {
        client.send_accepted(id, "work", &[b'x'; 300], true);
    }
    process.kill();
    let segment = segments(&place).pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&segment, &bytes).unwrap();
    let said = end_of(&place, &["--strict-store"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("--strict-store") && said.err.contains("damaged"), "{}", said.err);
    assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing was changed");
    let process = Process::start_in(&place, &[]);
    let line = process.logged("not as it should be");
    assert!(line.contains("WARN") && line.contains("aside"), "{line}");
    assert_eq!(deliver(&process, "work", 9).len(), 9);
}

#[test]
fn a_store_of_a_newer_version_is_refused_with_a_clear_text() {
    let place = Place::new();
    let mut process = Process::start_in(&place, &[]);
    process.kill();
    fs::write(place.0.join("store/format"), "answerback-store 2\n").unwrap();
    let said = end_of(&place, &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("newer version"), "{}", said.err);
}
