//! Every kind of connection at the wrong server: each is told what is wrong in its own language within a second, and counted and logged by its kind.

use crate::client::{Client, greeting, hello, key};
use crate::place::Embedded;
use crate::process::Process;
use crate::sealed::server_with;
use answerback_protocol::sealed::Key;
use answerback_server::Keys;
use answerback_server::key_ring::KeyRing;
use bytes::BytesMut;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn billing() -> Key {
    key("billing", 7)
}

/// Says something and hears all that comes back, which takes less than a second.
fn told(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let begun = Instant::now();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    answer
}

/// The code and text of a fatal error in the clear, which is all that came.
fn error(address: SocketAddr, bytes: &[u8]) -> (String, String) {
    let answer = told(address, bytes);
    let (length, rest) = answer.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, rest.len());
    let head: serde_json::Value = serde_json::from_slice(&rest[2..]).unwrap();
    assert_eq!((&head["type"], &head["fatal"]), (&"error".into(), &true.into()));
    (head["code"].as_str().unwrap().to_owned(), head["message"].as_str().unwrap().to_owned())
}

fn plain_hello() -> Vec<u8> {
    let mut bytes = BytesMut::new();
    hello("plain").write(b"", &mut bytes);
    bytes.to_vec()
}

fn says(pair: &(String, String)) -> (&str, &str) {
    (&pair.0, &pair.1)
}

#[test]
fn a_plain_client_at_a_server_with_keys() {
    let server = server_with(&billing());
    let text = "this server wants a key: give the client one that the server has, with --key-file FILE or in \
                ANSWERBACK_KEY_FILE";
    assert_eq!(says(&error(server.running.address(), &plain_hello())), ("denied", text));
    // What it is can be told from one byte.
    assert_eq!(says(&error(server.running.address(), &[0])), ("denied", text));
    assert_eq!(server.report().counters.strangers["plain"], 2);
}

#[test]
fn a_sealed_client_at_a_server_without_keys() {
    let server = Embedded::start();
    let text = "this server has no keys: connect without a key, or start the server with the same one";
    assert_eq!(says(&error(server.running.address(), &greeting(&billing()).1)), ("bad_request", text));
    assert_eq!(server.report().counters.strangers["sealed"], 1);
}

/// One answer for both, byte for byte: nobody learns which ids there are.
#[test]
fn a_wrong_key_and_an_unknown_one() {
    let server = server_with(&billing());
    let address = server.running.address();
    let text = "this server does not know this key: give the client a key that the server has, id and secret";
    let wrong = [key("billing", 8), key("nobody", 7), key("billing/2", 7)];
    for key in &wrong {
        assert_eq!(says(&error(address, &greeting(key).1)), ("denied", text));
    }
    let answers: Vec<_> = wrong.iter().map(|key| told(address, &greeting(key).1)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let report = server.report();
    assert_eq!((report.counters.strangers["key"], report.counts.connections), (6, 0));
}

#[test]
fn greetings_that_cannot_be() {
    let server = server_with(&billing());
    let address = server.running.address();
    let sound = greeting(&billing()).1;
    let version = [&[0xab, b'S', 9][..], &sound[3..]].concat();
    let text = "the sealed channel has version 1 here, not 9; update the older one";
    assert_eq!(says(&error(address, &version)), ("version_mismatch", text));
    for id in [&b"\xab\x53\x01\x00"[..], b"\xab\x53\x01\x41", b"\xab\x53\x01\x03a b"] {
        let text = "what should be the id of a key is none";
        assert_eq!(says(&error(address, id)), ("bad_request", text));
    }
    let hasty = [&sound[..], b"x"].concat();
    let text = "bytes came behind the greeting: nothing more may be sent before it is answered";
    assert_eq!(says(&error(address, &hasty)), ("bad_request", text));
    let strangers = server.report().counters.strangers;
    assert_eq!((strangers["version"], strangers["preamble"], strangers["hasty"]), (1, 3, 1));
}

/// HTTP in HTTP, TLS in TLS, whether or not the server has keys. Where the admin port is stands in neither.
#[test]
fn browsers_and_tls_clients() {
    for server in [Embedded::start(), server_with(&billing())] {
        let address = server.running.address();
        for request in
            ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /call HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        {
            let answer = String::from_utf8(told(address, request.as_bytes())).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            assert_eq!(
                body,
                "this port speaks Answerback, not HTTP; pages for people and probes are on the admin port of this server\n"
            );
        }
        let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
        assert_eq!(told(address, &hello), [21, 3, 3, 0, 2, 2, 40]);
        let strangers = server.report().counters.strangers;
        assert_eq!((strangers["http"], strangers["tls"]), (3, 1));
    }
}

/// A server without keys tells unknown bytes what it tells every frame that is too long.
#[test]
fn bytes_that_nobody_knows() {
    let server = server_with(&billing());
    for bytes in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"\xff\xff\xff\xff", b"\xabT12", b"EHLO x\r\n"] {
        let text = "this port speaks Answerback, and these bytes are something else";
        assert_eq!(says(&error(server.running.address(), bytes)), ("bad_request", text));
    }
    assert_eq!(server.report().counters.strangers["unknown"], 4);
    let server = Embedded::start();
    assert_eq!(error(server.running.address(), b"SSH-2.0-OpenSSH_9.9\r\n").0, "too_large");
}

/// Whoever comes with nonsense does not disturb those who are in, and leaves nothing behind.
#[test]
fn strangers_leave_nothing_behind() {
    let server = server_with(&billing());
    let address = server.running.address();
    let mut inside = Client::sealed(address, &billing(), "inside");
    let kinds = [plain_hello(), greeting(&key("nobody", 1)).1, b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 100_000]];
    for bytes in kinds.iter().cycle().take(100) {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        // One that sends much may be cut off before it has sent all of it.
        let _ = socket.write_all(bytes);
    }
    inside.call(1, "$echo", b"1");
    assert_eq!(inside.hear().data, b"1");
    let report = server.until("all are gone", |report| report.connections == 1);
    assert_eq!((report.held.sessions, report.outbox_bytes), (1, 0));
    assert_eq!(report.counters.strangers.values().sum::<u64>(), 100);
}

/// One line for each kind, with the address and what to do.
#[test]
fn the_log_names_kind_and_peer() {
    let process = Process::start(&[]);
    for (kind, bytes) in
        [("sealed", greeting(&billing()).1), ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()), ("tls", vec![22, 3, 1])]
    {
        let mut socket = std::net::TcpStream::connect(process.address).unwrap();
        socket.write_all(&bytes).unwrap();
        let line = process.logged(&format!("kind=\"{kind}\""));
        let peer = format!("peer={}", socket.local_addr().unwrap());
        assert!(line.contains("WARN") && line.contains(&peer) && line.contains("refused"), "{line}");
    }
    let metrics = process.ask("GET", "/metrics").1;
    assert!(metrics.contains("answerback_strangers_total{kind=\"tls\"} 1\n"), "{metrics}");
}

/// A program may have a ring that is empty at first.
#[test]
fn a_ring_of_nobody_lets_nobody_in() {
    let server = Embedded::with(|settings| settings.keys = Some(Keys::of(KeyRing::default())));
    assert_eq!(error(server.running.address(), &greeting(&billing()).1).0, "denied");
    assert_eq!(error(server.running.address(), &plain_hello()).0, "denied");
}
