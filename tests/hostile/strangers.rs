//! A crowd of strangers of all kinds while clients work: all that the clients ask is done, about as fast as without, and the server's memory stays
//! what it was. Small and short here; `answerback-benches strangers` measures it.

#[path = "../../benches/src/strangers/load.rs"]
mod load;

use crate::crowd::Crowd;
use crate::place::wait_for;
use crate::stage::{Stage, honest_key};
use load::Load;
use std::time::Duration;

const CLIENTS: usize = 24;
const CALLS_PER_SECOND: u32 = 20;
const STRANGERS_PER_SECOND: u64 = 500;
const TIME: Duration = Duration::from_secs(3);

/// What the machine may add while other tests run beside; the bench, on a machine of its own, asks for no more than twice the time.
const SLACK: Duration = Duration::from_millis(250);

/// A connection that is met costs a KiB or so as long as it is there: a thousand of them are not seen in this.
const GROWS_AT_MOST_KIB: u64 = 8 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_work_go_on_while_a_crowd_of_strangers_comes() {
    // The first snapshot takes 20 MB once, whoever is there.
    let stage = Stage::with(&["--handshake", "500ms", "--snapshot-interval", "0"]);
    let load = Load::connect(stage.address(), &honest_key(), CLIENTS).await.unwrap();
    // What a server takes once, whoever comes, is taken now.
    let first = Crowd::start(stage.address(), STRANGERS_PER_SECOND, &honest_key());
    load.work(CALLS_PER_SECOND, TIME / 3).await.unwrap();
    tokio::task::block_in_place(|| first.end());
    let quiet = load.work(CALLS_PER_SECOND, TIME).await.unwrap();
    let before = stage.server.resident_kib();
    let crowd = Crowd::start(stage.address(), STRANGERS_PER_SECOND, &honest_key());
    let among = load.work(CALLS_PER_SECOND, TIME).await.unwrap();
    let among_kib = stage.server.resident_kib();
    let came = tokio::task::block_in_place(|| crowd.end());
    let (p99, p99_among) = (quiet.per_mille(990), among.per_mille(990));
    println!(
        "p99 {p99:?}, with {:.0} strangers a second {p99_among:?}; {before} KiB, then {among_kib}",
        came.per_second()
    );
    assert!(came.failed == 0 && came.connected > 500, "{came:?}");
    assert!(p99_among <= p99 * 2 + SLACK, "{p99:?} became {p99_among:?}");
    assert!(among_kib <= before + GROWS_AT_MOST_KIB, "{before} KiB became {among_kib}");
    assert_eq!(quiet.len(), among.len(), "as many calls in the same time");
    // All of the crowd are gone, those who work are there.
    tokio::task::block_in_place(|| {
        wait_for("the crowd to be gone", || (stage.metric("answerback_connections") == CLIENTS as u64).then_some(()));
    });
    assert!(stage.server.resident_kib() <= before + GROWS_AT_MOST_KIB);
    let log = stage.log();
    let lines = log.lines().filter(|line| line.contains(" WARN ")).count();
    assert!((5..200).contains(&lines), "{lines} lines: {log}");
}
