//! Every process in turn goes and comes back, under the load of two hundred clients.

use crate::asked;
use crate::ledger::Ledger;
use crate::load::{CALLERS, Callers, SERVICES, pass, serve};
use crate::set::{Going, Set};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What durable work may take after the last process is back.
const WORK_ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Requests that have to be answered between two blows, so that each falls on clients at work.
const BETWEEN: usize = 200;

/// Seconds of it, if nothing else is asked for.
const SECONDS: u64 = 8;

/// Does it, and says what came of it in numbers and in words.
async fn go_and_come(how: Going) -> (BTreeMap<String, usize>, String) {
    let (seconds, seed) = (asked("SECONDS_LONG", SECONDS), asked("SEED", 1));
    let story = format!("`SEED={seed} SECONDS_LONG={seconds} cargo test -p answerback-tests --test whole`, {how:?}");
    let mut set = tokio::task::block_in_place(Set::start);
    let ledger = Arc::new(Ledger::new());
    let (doors, turn) = (set.doors(), set.in_turn());
    let services = serve(&doors, &ledger).await;
    let callers = Callers::start(&doors, seed, &ledger).await;
    let (end, mut blows) = (Instant::now() + Duration::from_secs(seconds), 0);
    while Instant::now() < end || blows < turn.len() {
        until_answered(&ledger, BETWEEN).await;
        let one = turn[blows % turn.len()];
        ledger.deed(format!("{one:?} is to go"));
        tokio::task::block_in_place(|| set.goes(one, how));
        ledger.deed(format!("{one:?} has gone"));
        until_answered(&ledger, BETWEEN / 4).await;
        tokio::task::block_in_place(|| {
            set.comes_back(one);
            set.until_whole();
        });
        ledger.deed(format!("{one:?} is back"));
        blows += 1;
    }
    until_answered(&ledger, BETWEEN).await;
    callers.finish().await;
    let end = Instant::now() + WORK_ENDS_WITHIN;
    while ledger.owed() > 0 && Instant::now() < end {
        pass(10).await;
    }
    let tally = ledger.check(how, &story);
    let all: usize = tally.values().sum();
    let (clients, longest) = (SERVICES + CALLERS, ledger.longest());
    let report =
        format!("{clients} clients, {blows} blows, {how:?}, {all} requests: {tally:#?}\nthe longest: {longest}");
    for service in services {
        service.close().await;
    }
    (tally, report)
}

async fn until_answered(ledger: &Ledger, more: usize) {
    let (before, end) = (ledger.good(), Instant::now() + Duration::from_secs(30));
    while ledger.good() < before + more {
        assert!(Instant::now() < end, "work has come to a stop");
        pass(5).await;
    }
}

fn many_of_each(tally: &BTreeMap<String, usize>) {
    for what in ["Call Answered", "DurableCall Answered", "Send Accepted", "DurableSend Accepted", "Keyed Answered"] {
        assert!(tally.get(what).copied().unwrap_or_default() > 50, "few {what}: {tally:?}");
    }
}

/// Seed 44 and the promise of many servers: with processes that leave in order, no caller is told of an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_process_drained_in_turn_no_caller_sees_an_error() {
    let (tally, report) = go_and_come(Going::Drained).await;
    println!("{report}");
    many_of_each(&tally);
}

/// With kill -9 every request has one end, what is said not to have run has not, nothing runs more often than it may, and what is durable runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_process_killed_in_turn_every_request_has_one_end() {
    let (tally, report) = go_and_come(Going::Killed).await;
    println!("{report}");
    many_of_each(&tally);
}
