//! Whole connections that somebody has recorded, with calls that ran, played again. Nothing of them runs a second time.

use crate::cut::Way;
use crate::place::PATIENCE;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::stage::{Runs, Stage, Work, builder, client, honest_key, soon, victims_key, work};
use answerback::{Client, Obstacle, Reconnect};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const CALLS: u64 = 20;

/// What a greeting is answered with.
const ANSWER: usize = 51;

/// A replay is over at once, or when the time of the handshake is. A busy machine has its moments.
const OVER_WITHIN: Duration = Duration::from_secs(5);

/// What both ends of a connection with calls said, piece by piece.
async fn recorded(stage: &Stage, runs: &Runs) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let _honest = serving(stage, runs).await;
    let proxy = Proxy::before(stage.address());
    let victim = client(proxy.address, victims_key(), "victim").await;
    for number in 0..CALLS {
        let answer = soon("an answer", victim.call::<Work>("work", work(number))).await.unwrap();
        assert_eq!(answer, work(number));
    }
    victim.close().await;
    assert_eq!(proxy.connections(), 1);
    (proxy.seen(0, Way::ToServer), proxy.seen(0, Way::ToClient))
}

/// Who would do the work again.
async fn serving(stage: &Stage, runs: &Runs) -> Client {
    let honest = client(stage.address(), honest_key(), "honest").await;
    runs.serve(&honest, "work").await;
    honest
}

/// Says all of it at once, or as the one who said it did: the greeting, and after its answer one record after the other. Returns what came back.
fn play(address: SocketAddr, pieces: &[Vec<u8>], all_at_once: bool) -> Vec<u8> {
    let begun = Instant::now();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut came = vec![0; if all_at_once { 0 } else { ANSWER }];
    if all_at_once {
        let _ = socket.write_all(&pieces.concat());
    } else {
        socket.write_all(&pieces[0]).unwrap();
        socket.read_exact(&mut came).unwrap();
        // The server may have closed before the last of them.
        let _ = pieces[1..].iter().try_for_each(|piece| socket.write_all(piece));
    }
    // A reset is an end too.
    let _ = socket.read_to_end(&mut came);
    assert!(begun.elapsed() < OVER_WITHIN, "a replay went on for {:?}", begun.elapsed());
    came
}

/// The one who was recorded is still there, or has left, or the server was started again, or it is another one: all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_played_again_runs_nothing_wherever_and_whenever() {
    let runs = Runs::default();
    let (first, other) = (Stage::with(&["--handshake", "1s"]), Stage::with(&["--handshake", "1s"]));
    let (to_server, _) = recorded(&first, &runs).await;
    let _handlers = (serving(&first, &runs).await, serving(&other, &runs).await);
    for stage in [&first, &other] {
        let known = (stage.metric("answerback_sessions"), stage.metric("answerback_requests_total"));
        tokio::task::block_in_place(|| {
            for _ in 0..3 {
                assert_eq!(
                    play(stage.address(), &to_server, false).len(),
                    ANSWER,
                    "it is answered, and told nothing more"
                );
                play(stage.address(), &to_server, true);
            }
            // From any record on.
            for from in 1..to_server.len() {
                let pieces: Vec<_> = to_server[..1].iter().chain(&to_server[from..]).cloned().collect();
                play(stage.address(), &pieces, false);
            }
        });
        let knows = (stage.metric("answerback_sessions"), stage.metric("answerback_requests_total"));
        assert_eq!(knows, known, "the core has heard of a replay");
    }
    for number in 0..CALLS {
        assert_eq!(runs.of(number), 1);
    }
    for stage in [first, other] {
        let log = stage.log();
        for kind in ["record", "hasty"] {
            let line = log.lines().find(|line| line.contains(&format!("kind=\"{kind}\"")));
            assert!(line.is_some_and(|line| line.contains("peer=127.0.0.1:")), "{kind}: {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_played_again_after_a_restart_runs_nothing() {
    let (runs, mut stage) = (Runs::default(), Stage::with(&["--handshake", "1s"]));
    let (to_server, _) = recorded(&stage, &runs).await;
    stage.server.kill();
    stage.server = Process::spawn(stage.command());
    let _handler = serving(&stage, &runs).await;
    tokio::task::block_in_place(|| play(stage.address(), &to_server, false));
    for number in 0..CALLS {
        assert_eq!(runs.of(number), 1);
    }
}

/// Somebody without the key takes the server's place and says what the server said before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_said_before_does_not_deceive_a_client() {
    let (runs, stage) = (Runs::default(), Stage::with(&[]));
    let (to_server, to_client) = recorded(&stage, &runs).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let greeting = to_server[0].len();
    let server = std::thread::spawn(move || {
        for pieces in [&to_client[..1], &to_client[..]] {
            let (mut socket, _) = listener.accept().unwrap();
            socket.read_exact(&mut vec![0; greeting]).unwrap();
            let _ = socket.write_all(&pieces.concat());
            let mut more = Vec::new();
            let _ = socket.read_to_end(&mut more);
            assert!(more.is_empty(), "the client has said something to a server without its key");
        }
    });
    for _ in 0..2 {
        let connecting = builder(address, victims_key()).reconnect(Reconnect::never()).connect();
        let error = soon("the word on it", connecting).await.unwrap_err();
        assert_eq!(error.obstacle(), Some(Obstacle::NotOurServer), "{error}");
    }
    server.join().unwrap();
}
