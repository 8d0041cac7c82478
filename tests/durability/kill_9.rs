//! A server that is killed again and again under load, and started on the same directory. What was accepted as durable is
//! there afterwards, each time, and runs once; so is everything else that a snapshot had.

use crate::ledger::{Kill, Ledger};
use crate::load::{Callers, EVERYTHING, client, pass, serve};
use crate::raw_caller::{Aim, RawCaller};
use crate::raw_handler::RawHandler;
use crate::site::{Site, Watch, kill_and_start};
use crate::{dice::Dice, rounds, seed};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Everything ends within this time once the server stays.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// What raw callers ask.
const AIMS: [Aim; 3] = [
    Aim { action: "raw", attempts: 3, handlers_die: false },
    Aim { action: "work", attempts: 3, handlers_die: false },
    Aim { action: "fragile", attempts: 3, handlers_die: true },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_kills_at_random_moments() {
    let (rounds, seed) = (rounds(8), seed(1));
    let story = format!("`SEED={seed} ROUNDS={rounds} cargo test -p answerback-tests --test durability kill`");
    let mut site = Site::new(&["--snapshot-interval", "100ms", "--session-grace", "3s"]);
    let (mut dice, watch, ledger) = (Dice::new(seed), Watch::default(), Arc::new(Ledger::default()));
    let mut server = site.start();
    let address = server.address;
    let services = [client(address, "service-1").await, client(address, "service-2").await];
    for (service, who) in services.iter().zip(["service-1", "service-2"]) {
        serve(service, "work", who, &ledger).await;
    }
    let callers = [client(address, "caller-1").await, client(address, "caller-2").await];
    let load = Callers::start(&callers, 12, EVERYTHING, seed, &ledger);
    let raw_handlers = [("raw", None), ("fragile", Some(seed)), ("fragile", Some(seed + 1))];
    let raw_handlers = raw_handlers.map(|(action, mortal)| RawHandler::start(address, action, mortal, &ledger));
    let raw_callers = AIMS.map(|aim| RawCaller::start(address, aim, seed, &ledger));

    let mut kills: Vec<Kill> = Vec::new();
    for _ in 0..rounds {
        watch.look_for(Duration::from_millis(50 + dice.below(900) as u64), &server).await;
        let (kill, next) = tokio::task::block_in_place(|| kill_and_start(server, &watch, &mut site));
        kills.push(kill);
        server = next;
    }
    pass(Duration::from_millis(300)).await;
    load.finish(ENDS_WITHIN).await;
    tokio::task::block_in_place(|| raw_callers.into_iter().for_each(|caller| caller.finish(ENDS_WITHIN)));
    serve(&services[0], "parked", "service-1", &ledger).await;
    let end = Instant::now() + ENDS_WITHIN;
    while ledger.owed(&kills) > 0 && Instant::now() < end {
        pass(Duration::from_millis(10)).await;
    }
    // A moment more, in which what runs twice would do so.
    pass(Duration::from_millis(500)).await;
    tokio::task::block_in_place(|| raw_handlers.into_iter().for_each(RawHandler::finish));

    let tally = ledger.check(&kills, &story);
    println!("{tally:?}");
    let durable = ["durable Send Accepted", "durable Call Answered", "durable Key Answered", "durable Parked Accepted"];
    for what in durable.into_iter().chain(["plain Send Accepted", "plain Call Answered", "plain Parked Accepted"]) {
        assert!(tally.of(what) as u64 >= 2 * rounds, "few {what}: {tally:?}");
    }
    assert!(tally.saved as u64 >= rounds, "few were saved before a kill: {tally:?}");
}
