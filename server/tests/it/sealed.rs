//! Clients with a key at a server that has it: the same frames as in the clear, in records, however they are cut.

use crate::client::{Client, greeting, hello, key};
use crate::place::{Embedded, wait_for};
use answerback_protocol::frames::Ping;
use answerback_protocol::sealed::{Key, MESSAGE_BYTES, OPENING_BYTES_MAX};
use answerback_protocol::{ClientFrame, ServerFrame};
use answerback_server::Keys;
use answerback_server::key_ring::KeyRing;
use std::io::Write;
use std::time::Duration;

/// A server with one key, whose holder may do everything.
pub(crate) fn server_with(key: &Key) -> Embedded {
    Embedded::with(|settings| settings.keys = Some(Keys::of(KeyRing::of_one(key.clone()))))
}

fn billing() -> Key {
    key("billing/2", 7)
}

/// Both directions carry frames of every size, and `from` names the holder, whatever the key is called.
#[test]
fn a_call_goes_to_the_handler_and_its_reply_comes_back_sealed() {
    let server = server_with(&billing());
    let address = server.running.address();
    let mut handler = Client::sealed(address, &billing(), "handler");
    handler.serve("echo", 8);
    let mut caller = Client::sealed(address, &billing(), "web-1");
    for size in [0, 1, 1_000, 16 << 10, 65_000, 65_519, 65_520, 3 << 20] {
        let data = vec![b'7'; size];
        caller.call(size as u64, "echo", &data);
        let heard = handler.hear_delivery();
        assert_eq!((heard.deliver().from.as_str(), heard.data == data), ("billing/web-1", true));
        handler.answer(heard.deliver().id, &heard.data);
        let heard = caller.hear();
        assert_eq!((heard.reply().id.get(), heard.data == data), (size as u64, true), "{size} bytes");
    }
    let report = server.report();
    assert_eq!((report.held.requests, report.outbox_bytes, report.connections), (0, 0, 2));
    assert!(report.counters.strangers.is_empty());
}

/// The greeting, and then a record with many frames, a byte at a time.
#[test]
fn every_cut_is_as_good_as_none() {
    let server = server_with(&billing());
    let mut client = Client::connect(server.running.address());
    let (greeting, bytes) = greeting(&billing());
    for byte in bytes {
        client.socket.write_all(&[byte]).unwrap();
    }
    client.finish(greeting);
    let (hello, ping) = (hello("slow"), ClientFrame::Ping(Ping));
    let mut frames = vec![(&ping, &b""[..]); 50];
    frames.insert(0, (&hello, b""));
    for byte in client.wire(&frames) {
        client.socket.write_all(&[byte]).unwrap();
    }
    client.hear().welcome();
    for _ in 0..50 {
        assert!(matches!(client.hear().frame(), ServerFrame::Pong(_)));
    }
}

/// A greeting cut at each of its bytes, each half read by itself; the same for the first record.
#[test]
fn a_greeting_and_a_first_record_may_come_in_two_pieces() {
    let server = server_with(&billing());
    let whole = greeting(&billing()).1.len();
    for cut in 1..whole {
        let mut client = Client::connect(server.running.address());
        let (greeting, bytes) = greeting(&billing());
        in_two(&server, &mut client, &bytes, cut);
        client.finish(greeting);
        let record = client.wire(&[(&hello("halves"), b"")]);
        in_two(&server, &mut client, &record, cut.min(record.len() - 1));
        client.hear().welcome();
    }
}

fn in_two(server: &Embedded, client: &mut Client, bytes: &[u8], cut: usize) {
    let before = server.report().counters.bytes_in;
    client.socket.write_all(&bytes[..cut]).unwrap();
    server.until("the first half is read", |report| report.counters.bytes_in >= before + cut as u64);
    client.socket.write_all(&bytes[cut..]).unwrap();
}

/// One connection with far more frames than one record holds, and one that is told much at once.
#[test]
fn many_frames_there_and_back() {
    let server = server_with(&billing());
    let mut busy = Client::sealed(server.running.address(), &billing(), "busy");
    let ping = ClientFrame::Ping(Ping);
    let bytes = busy.wire(&vec![(&ping, &b""[..]); 30_000]);
    let mut writer = busy.socket.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    for _ in 0..30_000 {
        assert!(matches!(busy.hear().frame(), ServerFrame::Pong(_)));
    }
    writing.join().unwrap();
    let report = server.report();
    assert_eq!(report.outbox_bytes, 0);
    // Frames of a turn share a record, and with it a write.
    assert!(report.counters.writes < 3_000, "{} writes", report.counters.writes);
}

/// What is large waits unsealed, and all of it arrives once it is read; nothing is lost when it was said before the end.
#[test]
fn a_client_that_reads_late_hears_everything() {
    let server = server_with(&billing());
    let mut late = Client::sealed(server.running.address(), &billing(), "late");
    for id in 0..20 {
        late.call(id, "$echo", &vec![b'1'; (1 << 20) + id as usize]);
    }
    server.until("much waits", |report| report.outbox_bytes > 1 << 20);
    late.say(&ClientFrame::Bye(answerback_protocol::frames::Bye), b"");
    for id in 0..20 {
        let heard = late.hear();
        assert_eq!((heard.reply().id.get(), heard.data.len()), (id, (1 << 20) + id as usize));
    }
    assert!(late.try_hear().unwrap().is_none());
    drop(late);
    server.until("it is gone", |report| report.connections == 0 && report.outbox_bytes == 0);
}

/// A record that was changed on its way ends the connection, and is told so inside the channel. Nothing that follows is looked at.
#[test]
fn a_changed_record_ends_the_connection() {
    let server = server_with(&billing());
    let mut client = Client::sealed(server.running.address(), &billing(), "changed");
    let mut bytes = client.wire(&[(&ClientFrame::Ping(Ping), b"")]);
    bytes[5] ^= 1;
    bytes.extend(client.wire(&[(&ClientFrame::Ping(Ping), b"")]));
    client.socket.write_all(&bytes).unwrap();
    let heard = client.hear();
    assert!(heard.error().fatal && heard.error().message.contains("a record does not open"), "{:?}", heard.error());
    assert!(client.try_hear().unwrap().is_none());
    assert_eq!(server.report().counters.bad_frames["record_not_opened"], 1);
}

/// Who plays a greeting again is answered, and can do no more: the core never hears of it.
#[test]
fn a_replayed_greeting_leaves_no_session() {
    let server = server_with(&billing());
    let address = server.running.address();
    let (first, bytes) = greeting(&billing());
    let mut client = Client::connect(address);
    client.socket.write_all(&bytes).unwrap();
    client.finish(first);
    let record = client.wire(&[(&hello("once"), b"")]);
    client.socket.write_all(&record).unwrap();
    client.hear().welcome();
    let known = server.report().counts.connections;
    let mut replay = Client::connect(address);
    replay.socket.write_all(&bytes).unwrap();
    let mut answer = [0; 51];
    std::io::Read::read_exact(&mut replay.socket, &mut answer).unwrap();
    replay.socket.write_all(&record).unwrap();
    assert!(replay.try_hear().unwrap().is_none(), "it is closed without a word");
    let report = server.until("it is gone", |report| report.connections == 1);
    assert_eq!((report.held.sessions, report.counts.connections), (1, known));
    assert_eq!(report.counters.strangers["record"], 1);
}

/// Greetings that are never finished: closed when the time of the handshake is over, whatever state they are in, and nothing was kept.
#[test]
fn half_a_handshake_is_over_in_time() {
    let within = Duration::from_millis(300);
    let server = Embedded::with(|settings| {
        settings.keys = Some(Keys::of(KeyRing::of_one(billing())));
        settings.broker.handshake = within;
    });
    let address = server.running.address();
    let bytes = greeting(&billing()).1;
    assert!(bytes.len() <= OPENING_BYTES_MAX && bytes.len() > MESSAGE_BYTES);
    let mut clients: Vec<_> = [0, 1, 3, 10, bytes.len() - 1]
        .map(|length| {
            let mut client = Client::connect(address);
            client.socket.write_all(&bytes[..length]).unwrap();
            client
        })
        .into();
    let mut mute = Client::greeted(address, &billing());
    // In the channel, and says no hello: the core sees to that, from the same moment on.
    let mut idle = Client::greeted(address, &billing());
    idle.say(&ClientFrame::Ping(Ping), b"");
    for client in &mut clients {
        let heard = client.hear();
        assert_eq!((heard.error().code.as_str(), heard.error().fatal), ("silent", true));
        assert_eq!(heard.error().message, "no `hello` within 300 ms");
        assert!(client.try_hear().unwrap().is_none());
    }
    assert!(mute.try_hear().unwrap().is_none(), "a frame in the clear would not be understood");
    assert_eq!(idle.hear().error().message, "the first frame must be `hello`, not `ping`");
    drop((clients, mute, idle));
    let report = server.until("all are gone", |report| report.connections == 0);
    assert_eq!((report.counters.strangers["silent"], report.held.sessions), (6, 0));
}

/// A first record that trickles does not buy time.
#[test]
fn a_first_record_that_never_ends_is_silence() {
    let server = Embedded::with(|settings| {
        settings.keys = Some(Keys::of(KeyRing::of_one(billing())));
        settings.broker.handshake = Duration::from_millis(300);
    });
    let mut slow = Client::greeted(server.running.address(), &billing());
    slow.socket.write_all(&[0xff, 0xff]).unwrap();
    wait_for("the slow one to be closed", || slow.socket.write_all(b"x").err());
    server.until("it is gone", |report| report.connections == 0);
}
