//! The process is asked to leave: callers and handlers written by hand see every call to its one end.

use crate::client::Client;
use crate::place::Embedded;
use crate::process::Process;
use answerback_server::End;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const CALLERS: u64 = 6;
const IN_FLIGHT: u64 = 8;

/// What a caller has seen of its calls.
#[derive(Default)]
struct Seen {
    answered: BTreeSet<u64>,
    sent_away: BTreeSet<u64>,
}

/// Answers every delivery with its own data until the server closes. Returns which it was given.
fn handler(address: SocketAddr) -> JoinHandle<BTreeSet<u64>> {
    let mut client = Client::serving(address, "svc", "a", 3);
    thread::spawn(move || {
        let mut ran = BTreeSet::new();
        while let Some(heard) = client.hear_any() {
            if heard.head["type"] == "deliver" {
                assert!(ran.insert(heard.json().as_u64().unwrap()), "run twice: {heard:?}");
                client.answer(&heard, &heard.data);
            }
        }
        ran
    })
}

/// Keeps several calls under way until it is told that the server goes away, and then waits for those that are left.
fn caller(address: SocketAddr, number: u64, progress: Sender<()>) -> JoinHandle<Seen> {
    let mut client = Client::welcomed(address, "web");
    thread::spawn(move || {
        let (mut seen, mut next, mut going) = (Seen::default(), 0, false);
        let mut waiting = BTreeSet::new();
        loop {
            while !going && waiting.len() < IN_FLIGHT as usize {
                let id = next * CALLERS + number;
                client.call(id, "a", id.to_string());
                waiting.insert(id);
                next += 1;
            }
            let Some(heard) = client.hear_any() else { break };
            match heard.head["type"].as_str().unwrap() {
                "goaway" => going = true,
                "reply" => {
                    let id = heard.head["id"].as_u64().unwrap();
                    assert!(waiting.remove(&id), "answered twice: {heard:?}");
                    if heard.code() == "draining" {
                        assert_eq!(heard.head["error"]["ran"], "no");
                        seen.sent_away.insert(id);
                    } else {
                        assert!(heard.code().is_empty() && heard.json() == id, "{heard:?}");
                        seen.answered.insert(id);
                        // Nobody may be counting any more.
                        let _ = progress.send(());
                    }
                }
                other => panic!("{other}: {heard:?}"),
            }
        }
        assert!(waiting.is_empty(), "never answered: {waiting:?}");
        seen
    })
}

/// SIGTERM in the middle of the load: every call ends in exactly one answer, none that was sent away has run, and every
/// one that ran was answered.
#[test]
fn every_call_ends_in_one_answer_when_the_server_leaves_under_load() {
    let mut server = Process::start(&["--drain-deadline", "60s"]);
    let handlers: Vec<_> = (0..3).map(|_| handler(server.address)).collect();
    let (progress, answers): (_, Receiver<()>) = channel();
    let callers: Vec<_> = (0..CALLERS).map(|number| caller(server.address, number, progress.clone())).collect();
    answers.iter().take(2_000).for_each(drop);
    server.signal(Signal::TERM);
    let seen: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let ran: BTreeSet<u64> = handlers.into_iter().flat_map(|handler| handler.join().unwrap()).collect();
    assert_eq!(server.end().code(), Some(0));
    let answered: BTreeSet<u64> = seen.iter().flat_map(|seen| seen.answered.iter().copied()).collect();
    let sent_away: BTreeSet<u64> = seen.iter().flat_map(|seen| seen.sent_away.iter().copied()).collect();
    assert_eq!(ran, answered);
    assert!(answered.len() >= 2_000 && answered.is_disjoint(&sent_away));
}

/// Some ask before they read that the server goes away. Nothing runs, so the server is about to close: it was once closed
/// without reading their calls, which left them to guess whether these had run.
#[test]
fn who_asked_before_reading_goaway_is_told() {
    let server = Embedded::start();
    let mut caller = Client::welcomed(server.running.address(), "web");
    server.running.drain(Duration::from_secs(60));
    server.until("the drain to begin", |report| report.draining);
    caller.call(1, "a", "1");
    let heard = caller.hear_to_the_end();
    let kinds: Vec<_> = heard.iter().map(|heard| (heard.head["type"].as_str().unwrap(), heard.code())).collect();
    assert_eq!(kinds, [("goaway", ""), ("reply", "draining")]);
    drop(caller);
    assert_eq!(server.running.join(), End::Drained { complete: true });
}

/// Calls sent after the server has begun to leave, on connections old and new, are told so.
#[test]
fn who_comes_too_late_is_told() {
    let mut server = Process::start(&["--drain-deadline", "60s", "--elsewhere", "10.0.0.2:7040"]);
    let mut handler = Client::serving(server.address, "svc", "a", 1);
    let mut caller = Client::welcomed(server.address, "web");
    caller.call(1, "a", "1");
    let running = handler.hear();
    server.signal(Signal::TERM);
    let goaway = caller.hear();
    assert_eq!((&goaway.head["type"], &goaway.head["elsewhere"][0]), (&"goaway".into(), &"10.0.0.2:7040".into()));
    for id in 2..50 {
        caller.call(id, "a", "1");
    }
    for id in 2..50 {
        let reply = caller.hear();
        assert_eq!(
            (reply.head["id"].as_u64(), reply.code(), &reply.head["error"]["ran"]),
            (Some(id), "draining", &"no".into())
        );
    }
    let late = Client::greeting(server.address, "late", &"e".repeat(32)).hear_to_the_end();
    assert!(late.len() == 1 && late[0].code() == "draining" && late[0].head["fatal"] == true, "{late:?}");
    handler.hear();
    handler.answer(&running, "2");
    assert_eq!(caller.hear().data, b"2");
    assert_eq!(server.end().code(), Some(0));
}

/// At the deadline what still runs is told of as `maybe`, sends that wait are counted as lost, and the process is gone.
#[test]
fn at_the_deadline_everybody_is_told() {
    let mut server = Process::start(&["--drain-deadline", "300ms"]);
    let mut handler = Client::serving(server.address, "svc", "a", 1);
    let mut caller = Client::welcomed(server.address, "web");
    caller.call(1, "a", "1");
    handler.hear();
    caller.call(2, "a", "1");
    caller.say(r#"{"type":"request","id":3,"action":"a","reply":false}"#, "1");
    assert_eq!(caller.hear().head["type"], "accepted");
    server.signal(Signal::TERM);
    let heard = caller.hear_to_the_end();
    let ends: Vec<_> =
        heard.iter().map(|heard| (heard.head["id"].as_u64(), heard.code(), &heard.head["error"]["ran"])).collect();
    assert_eq!(
        ends,
        [(None, "", &Value::Null), (Some(2), "draining", &"no".into()), (Some(1), "handler_lost", &"maybe".into())]
    );
    assert_eq!(server.end().code(), Some(5));
}

/// S23: the process ends when it is asked, whatever its clients do: here they stay, half of them without reading, some
/// before they have said hello.
#[test]
fn s23_clients_that_stay_do_not_keep_the_process() {
    let mut server = Process::start(&[]);
    let mut clients: Vec<_> = (0..20).map(|_| Client::welcomed(server.address, "stays")).collect();
    let _mute: Vec<_> = (0..5).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients[..10] {
        let data = vec![b'7'; 1 << 20];
        for id in 1..=12 {
            client.call(id, "$echo", &data);
        }
    }
    server.signal(Signal::TERM);
    assert_eq!(server.end().code(), Some(0));
}
