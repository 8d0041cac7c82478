//! A server that is restarted in order, several times, under load: nobody notices.

use crate::ledger::Ledger;
use crate::load::{Callers, HANDLED, client, pass, serve};
use crate::site::{Site, leave};
use crate::{rounds, seed};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Everything ends within this time once the server stays.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_restarts_in_order() {
    let (rounds, seed) = (rounds(4), seed(1));
    let story = format!("`SEED={seed} ROUNDS={rounds} cargo test -p answerback-tests --test durability rolling`");
    let mut site = Site::new(&["--drain-deadline", "5s"]);
    let ledger = Arc::new(Ledger::default());
    let mut server = site.start();
    let address = server.address;
    let services = [client(address, "service-1").await, client(address, "service-2").await];
    for (service, who) in services.iter().zip(["service-1", "service-2"]) {
        serve(service, "work", who, &ledger).await;
    }
    let callers = [client(address, "caller-1").await, client(address, "caller-2").await];
    let load = Callers::start(&callers, 12, HANDLED, seed, &ledger);
    for round in 0..rounds {
        pass(Duration::from_millis(300 + 37 * (round % 10))).await;
        server = tokio::task::block_in_place(|| {
            let status = leave(server);
            assert_eq!(status.code(), Some(0), "round {round} of {story}: the server did not leave in order");
            site.start()
        });
    }
    pass(Duration::from_millis(300)).await;
    load.finish(ENDS_WITHIN).await;
    let end = Instant::now() + ENDS_WITHIN;
    while ledger.owed(&[]) > 0 && Instant::now() < end {
        pass(Duration::from_millis(10)).await;
    }
    let tally = ledger.check_that_nobody_noticed(&story);
    println!("{tally:?}");
    for what in ["durable Send Accepted", "durable Call Answered", "plain Send Accepted", "plain Call Answered"] {
        assert!(tally.of(what) as u64 >= 5 * rounds, "few {what}: {tally:?}");
    }
}
