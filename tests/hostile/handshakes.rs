//! Greetings and answers that somebody on the way changes: not one bit may be another. No channel comes of it, and the server's core hears nothing.

use crate::cut::Way;
use crate::place::PATIENCE;
use crate::proxy::Proxy;
use crate::stage::{Stage, builder, client, soon, until, victims_key};
use crate::trick::{Bit, Plan, Trick};
use answerback::{Client, Error, Obstacle, Reconnect};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Two fixed bytes, the version, a length, the id.
const PREAMBLE: usize = 4 + "victim".len();
const MESSAGE: usize = 48;
const GREETING_BITS: usize = (PREAMBLE + MESSAGE) * 8;
const ANSWER_BITS: usize = (3 + MESSAGE) * 8;

/// How long a connection may take to say what it is: as long as the slowest of all ends here.
const HANDSHAKE: &str = "1s";

/// A tampered handshake is over within this time at both ends. A busy machine has its moments.
const OVER_WITHIN: Duration = Duration::from_secs(8);

/// Handshakes under way at once.
const AT_ONCE: usize = 32;

/// Connects through somebody who does this to the handshake, and returns the error that comes of it.
async fn failed(server: SocketAddr, elsewhere: &Proxy, way: Way, trick: Trick) -> (Error, Duration) {
    let proxy = Proxy::before(server);
    proxy.learn_from(elsewhere);
    proxy.plan(Plan { way, trick, seed: 1 });
    let begun = Instant::now();
    let connecting = builder(proxy.address, victims_key()).reconnect(Reconnect::never()).connect_timeout(PATIENCE);
    let refused = soon("the word on it", connecting.connect()).await;
    let error = refused.err().unwrap_or_else(|| panic!("{way:?} {trick:?}: it has connected"));
    (error, begun.elapsed())
}

/// A connection under the same key that somebody on the way has seen.
async fn seen(stage: &Stage) -> Proxy {
    let proxy = Proxy::before(stage.address());
    let other = client(proxy.address, victims_key(), "other").await;
    other.close().await;
    proxy
}

/// Tries all of them, and counts what clients made of them.
async fn all_fail(tricks: Vec<(Way, Trick)>) -> (Stage, BTreeMap<(&'static str, String), usize>) {
    let stage = Stage::with(&["--handshake", HANDSHAKE]);
    let elsewhere = Arc::new(seen(&stage).await);
    nobody_is_left(&stage).await;
    let heard = stage.metric("answerback_frames_received_total");
    let (mut trying, mut found) = (JoinSet::new(), BTreeMap::new());
    let mut tricks = tricks.into_iter();
    loop {
        while trying.len() < AT_ONCE
            && let Some((way, trick)) = tricks.next()
        {
            let (server, elsewhere) = (stage.address(), Arc::clone(&elsewhere));
            trying.spawn(async move { (way, trick, failed(server, &elsewhere, way, trick).await) });
        }
        let Some(tried) = trying.join_next().await else { break };
        let (way, trick, (error, took)) = tried.unwrap();
        assert!(took < OVER_WITHIN, "{way:?} {trick:?} took {took:?}: {error}");
        let side = if way == Way::ToServer { "greeting" } else { "answer" };
        *found.entry((side, format!("{:?}", error.obstacle()))).or_default() += 1;
    }
    nobody_is_left(&stage).await;
    assert_eq!(stage.metric("answerback_frames_received_total"), heard, "the core has heard one of them");
    // Who does not meet anybody on the way is let in.
    let honest: Client = client(stage.address(), victims_key(), "honest").await;
    assert_eq!(soon("an answer", honest.call::<u32>("$echo", 7)).await.unwrap(), 7);
    (stage, found)
}

/// Waits until all connections are gone.
async fn nobody_is_left(stage: &Stage) {
    until("all connections to end", || stage.metric("answerback_connections") == 0).await;
}

/// Lines of a log about this kind of stranger, with its address.
fn lines(log: &str, kind: &str) -> usize {
    log.lines().filter(|line| line.contains(&format!("kind=\"{kind}\"")) && line.contains("peer=127.0.0.1:")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_bit_of_a_greeting_and_of_its_answer_counts() {
    let flips = |way, bits| (0..bits).map(move |bit| (way, Trick::Flip(Bit::At(bit))));
    let all = flips(Way::ToServer, GREETING_BITS).chain(flips(Way::ToClient, ANSWER_BITS)).collect();
    let (stage, found) = all_fail(all).await;
    println!("{found:?}");
    let count =
        |side, obstacle: Obstacle| found.get(&(side, format!("{:?}", Some(obstacle)))).copied().unwrap_or_default();
    // The id and message 1; the length too, where it becomes shorter.
    assert!(count("greeting", Obstacle::KeyRefused) >= MESSAGE * 8 + 8, "{found:?}");
    assert_eq!(count("answer", Obstacle::NotOurServer), MESSAGE * 8, "{found:?}");
    assert_eq!(count("answer", Obstacle::OtherVersion), 16, "{found:?}");
    assert_eq!(count("answer", Obstacle::NotAnswerback), 8, "{found:?}");
    assert_eq!(found.values().sum::<usize>(), GREETING_BITS + ANSWER_BITS);
    let log = stage.log();
    for kind in ["key", "version", "preamble", "unknown"] {
        assert!(lines(&log, kind) >= 1, "{kind} in {log}");
    }
    assert!(log.lines().filter(|line| line.contains(" WARN ")).count() < 80, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn greetings_and_answers_cut_doubled_reflected_moved_and_made_up() {
    let tricks = [
        Trick::Twice,
        Trick::Shorten,
        Trick::CutWithin,
        Trick::CutBefore,
        Trick::Reflect,
        Trick::Move,
        Trick::Invent,
        Trick::LeaveOut,
    ];
    let all: Vec<_> = Way::BOTH.into_iter().flat_map(|way| tricks.map(|trick| (way, trick))).collect();
    let count = all.len();
    let (_stage, found) = all_fail(all).await;
    println!("{found:?}");
    assert_eq!(found.values().sum::<usize>(), count);
}
