//! What a stranger can make the process hold: as little as it has sent.

use crate::client::{Client, frame};
use crate::load::Bystander;
use crate::process::Process;
use crate::script::Stage;

/// Length announced is not memory: 200 connections that announce 8 MiB and send 8 bytes of it.
#[test]
fn announced_lengths_are_not_allocated() {
    let server = Process::start(&[]);
    let bystander = Bystander::start(server.address);
    let before = server.resident_kib();
    let announcers: Vec<_> = (0..200)
        .map(|_| {
            let mut client = Client::connect(server.address);
            client.say_bytes([0, 0x80, 0, 0, 0, 100, b'{', b'"']);
            client
        })
        .collect();
    // All those bytes were there before this hello, so they are read by the time it is answered.
    let _last = Client::welcomed(server.address, "last");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 2 << 10, "grown by {grown} KiB");
    bystander.was_not_disturbed();
    drop(announcers);
}

/// The same after a hello, with the limit of a frame at its greatest: 200 GiB are announced.
#[test]
fn announced_lengths_are_not_allocated_whatever_the_limit() {
    let server = Process::start(&[
        "--max-frame",
        "1GiB",
        "--max-queue-bytes",
        "2GiB",
        "--max-memory",
        "2GiB",
        "--outbox-limit",
        "2GiB",
        "--outbox-memory",
        "2GiB",
        "--inbox-memory",
        "2GiB",
    ]);
    let mut announcers: Vec<_> = (0..200).map(|_| Client::welcomed(server.address, "announcer")).collect();
    let before = server.resident_kib();
    let begun = frame(r#"{"type":"request","id":1,"action":"$echo"}"#, vec![b'7'; 1_000]);
    for client in &mut announcers {
        client.say_bytes([&[0x40, 0, 0, 0][..], &begun[4..]].concat());
    }
    let _last = Client::welcomed(server.address, "last");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 3 << 10, "grown by {grown} KiB");
}

/// Bad frames by the thousand, from one client: each is answered and counted, and nothing of them stays.
#[test]
fn bad_frames_leave_nothing_behind() {
    const FRAMES: usize = 20_000;
    let server = Process::start(&[]);
    let mut stage = Stage::at(server.address);
    let mut client = Client::welcomed(server.address, "bad");
    let mut burst = |frames: usize| {
        let bytes = frame(r#"{"type":"request","id":1,"action":"a","ttl":-1}"#, "").repeat(frames);
        let mut writer = client.socket.try_clone().unwrap();
        let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes).unwrap());
        for _ in 0..frames {
            assert_eq!(client.hear().code(), "bad_request");
        }
        writing.join().unwrap();
        client.say(format!(r#"{{"type":"ack","replies":{}}}"#, u32::MAX), "");
        client.settle();
    };
    burst(FRAMES);
    let before = server.resident_kib();
    burst(FRAMES);
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 2 << 10, "grown by {grown} KiB");
    let stats = stage.stats();
    assert_eq!(
        (&stats["total"]["malformed"]["not_in_range"], &stats["kept_replies"]),
        (&(2 * FRAMES).into(), &0.into())
    );
}
