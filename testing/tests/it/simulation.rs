//! The simulation, with clients that speak by hand over its connections.

use crate::raw::Raw;
use answerback_testing::{History, Simulation, Weather, in_virtual_time};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

/// Serves `echo` for ever, over as many connections as it takes.
async fn serve(simulation: &Simulation) {
    for session in 1_000.. {
        let Ok(stream) = simulation.connect().await else { continue };
        let mut handler = Raw::hello(stream, session).await;
        let serve =
            answerback_protocol::frames::Serve { action: answerback_protocol::Name::new("echo").unwrap(), credit: 8 };
        if handler.say(serve, "").await.is_err() {
            continue;
        }
        while let Some(delivery) = handler.look_for("deliver").await {
            if handler.answer(&delivery).await.is_err() {
                break;
            }
        }
    }
}

/// Calls until so many calls were answered, and says how often it had to connect.
async fn call(simulation: &Simulation, calls: u64) -> u64 {
    let (mut answered, mut connections) = (0, 0);
    while answered < calls {
        let Ok(stream) = simulation.connect().await else { continue };
        connections += 1;
        let mut caller = Raw::hello(stream, u128::from(connections)).await;
        for id in 0.. {
            let data = format!("[{answered}]");
            if answered == calls || caller.request(id, "echo", &data).await.is_err() {
                break;
            }
            // No heartbeat here: who hears nothing for this long gives up.
            let reply = timeout(Duration::from_secs(40), caller.look_for("reply")).await;
            let Ok(Some((head, back))) = reply else { break };
            if head.get("error").is_none() {
                assert_eq!(back, data);
                answered += 1;
            }
        }
    }
    connections
}

fn run(seed: u64, weather: Weather, calls: u64) -> (u64, Duration, History) {
    in_virtual_time(async {
        let simulation = Simulation::with(seed, weather, Simulation::settings());
        let begun = Instant::now();
        let connections = tokio::select! {
            biased;
            () = serve(&simulation) => 0,
            connections = call(&simulation, calls) => connections,
        };
        (connections, begun.elapsed(), simulation.history())
    })
}

#[test]
fn a_fair_network_breaks_nothing() {
    let (connections, took, history) = run(1, Weather::fair(), 100);
    assert_eq!(connections, 1);
    assert!(took > Duration::from_millis(100), "bytes take their time: {took:?}");
    assert!(history.lines().any(|line| line.ends_with("c2 > request 99")), "{history}");
}

#[test]
fn a_rough_one_breaks_much_and_the_same_again() {
    let mut fingerprints = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (connections, took, history) = run(seed, Weather::rough(), 200);
        let (_, _, again) = run(seed, Weather::rough(), 200);
        assert_eq!(history.difference(&again), None);
        assert_eq!(history, again);
        assert!(connections > 3, "{connections} connections in {took:?}");
        let has = |what: &str| history.lines().any(|line| line.ends_with(what));
        assert!(has("breaks") && has("the broker is killed") && has("is gone"), "{history}");
        fingerprints.insert(history.fingerprint());
    }
    assert_eq!(fingerprints.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_everything() {
    let simulation = Simulation::new(3);
    let mut raw = Raw::hello(simulation.connect().await.unwrap(), 1).await;
    raw.request(1, "nobody.home", "1").await.unwrap();
    raw.request(2, "$echo", "2").await.unwrap();
    assert_eq!(raw.next_of("reply").await.0["id"], 2);
    assert_eq!(simulation.held().unwrap().requests, 1);
    simulation.restart();
    assert_eq!(simulation.held().unwrap().requests, 0);
    assert_eq!(raw.next().await, None);
    let mut again = Raw::hello(simulation.connect().await.unwrap(), 1).await;
    assert_eq!(again.next_of("welcome").await.0["resumed"], false);
}

#[tokio::test(start_paused = true)]
async fn a_cut_leaves_the_session_behind() {
    let simulation = Simulation::new(4);
    let mut raw = Raw::hello(simulation.connect().await.unwrap(), 1).await;
    raw.serve("echo").await;
    simulation.cut_all();
    assert_eq!(raw.next().await, None);
    let mut again = Raw::hello(simulation.connect().await.unwrap(), 1).await;
    assert_eq!(again.next_of("welcome").await.0["resumed"], true);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_runs_and_then_nobody_is_there() {
    let simulation = Simulation::new(5);
    let mut raw = Raw::hello(simulation.connect().await.unwrap(), 1).await;
    raw.serve("slow").await;
    raw.request(1, "slow", "7").await.unwrap();
    let delivery = raw.next_of("deliver").await;
    let answered = async {
        raw.next_of("goaway").await;
        raw.answer(&delivery).await.unwrap();
        let reply = raw.next_of("reply").await;
        while raw.next().await.is_some() {}
        reply.1
    };
    let (complete, reply) = tokio::join!(simulation.drain(Duration::from_secs(10)), answered);
    assert!(complete);
    assert_eq!(reply, "7");
    assert_eq!(simulation.connect().await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    simulation.restart();
    assert!(simulation.connect().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_up_at_its_deadline() {
    let simulation = Simulation::new(6);
    let mut raw = Raw::hello(simulation.connect().await.unwrap(), 1).await;
    raw.serve("slow").await;
    raw.request(1, "slow", "7").await.unwrap();
    raw.next_of("deliver").await;
    let begun = Instant::now();
    assert!(!simulation.drain(Duration::from_secs(3)).await);
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!(raw.next_of("reply").await.0["error"]["code"], "handler_lost");
}

#[tokio::test(start_paused = true)]
async fn who_was_sent_away_by_hand_comes_back_by_hand() {
    let often = Weather::fair().restarts(Duration::from_millis(100), Duration::from_millis(10));
    let simulation = Simulation::with(7, often, Simulation::settings());
    simulation.stop();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert!(simulation.connect().await.is_err());
    }
    simulation.restart();
    assert!(simulation.connect().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_after_the_end() {
    let simulation = Simulation::new(8);
    let mut stream = simulation.connect().await.unwrap();
    assert!(timeout(Duration::from_secs(1), stream.read_u8()).await.is_err());
    drop(simulation);
    assert!(stream.read_u8().await.is_err());
    let running = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(running, 0);
}

/// An end that does not learn of a break finds it by its heartbeat, and a session that nobody comes back for ends.
#[tokio::test(start_paused = true)]
async fn whoever_is_silent_is_found() {
    let simulation = Simulation::new(9);
    let mut raw = Raw::hello(simulation.connect().await.unwrap(), 1).await;
    raw.next_of("welcome").await;
    // Nothing is said for long, but pings; the raw client does not answer them.
    assert_eq!(raw.next_of("error").await.0["code"], "silent");
    assert_eq!(raw.next().await, None);
    let end = Instant::now() + Duration::from_secs(60);
    while simulation.held().unwrap().sessions > 0 {
        assert!(Instant::now() < end, "a session stays");
        let _ = simulation.connect().await;
    }
}
