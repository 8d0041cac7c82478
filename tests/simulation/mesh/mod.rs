//! Several servers in the seeded simulation: links of any shape over connections that break, servers that die and leave, clients that come back at
//! another one. This is a world of its own beside that of one server: there the border of one broker is compared with what was said to it, here only
//! what callers, handlers and the wire between servers see.
//!
//! | promise | where it is checked, and why that is obviously right |
//! |---|---|
//! | every call has exactly one answer | a second reply to a call is one for which nobody waits (`caller::take_reply`), and in the end nobody waits (`rest::leave`) |
//! | `ran: no` never said of what a handler started | starts are written down (`handler::start_work`) and compared with the word when it is said (`caller::check_answer`) and with each later start |
//! | never more starts than `attempts` | starts are counted, on all servers (`handler::start_work`) |
//! | no delivery comes twice | a handler has it under its id until it answers (`handler::take_delivery`) |
//! | a request never visits a server twice, nor too many | the way that it says is looked at on every link (`server::passed_on`) |
//! | a broadcast reaches a handler at most once, and adds up | starts by session; `gather` is compared with what came (`caller::check_gather`) |
//! | a key runs once, as long as the servers are the same | starts of a key on all servers (`handler::start_work`) |
//! | with drains only, nobody sees an error but `draining` before work began | every answer is looked at (`caller::check_answer`) |
//! | with nothing in its way, every call is answered by a handler | every answer in a world at peace; and the calls of `rest::probe` after all others |
//! | nothing stays behind | when all have left, nothing is held, and servers say nothing but pings (`rest::end`, `server::heard_of_a_server`) |

mod caller;
mod client;
mod handler;
mod ledger;
mod plan;
mod rest;
mod server;
mod wire;
mod world;

use crate::coverage;
use crate::trace::Counts;
use world::World;

/// Seeds in the gate.
const SEEDS: u64 = 400;

/// Runs a seed. One that fails is run a second time, to tell what happened before.
fn run_seed(seed: u64) -> Result<crate::Outcome, String> {
    let mut world = World::new(seed, false);
    match crate::catch_quietly(|| world.run()) {
        Ok(()) => Ok(crate::Outcome { hash: world.trace.hash(), counts: world.trace.counts().clone() }),
        Err(_) => {
            let mut again = World::new(seed, true);
            let broken =
                crate::catch_quietly(|| again.run()).err().unwrap_or_else(|| "it did not fail again".to_owned());
            Err(format!(
                "seed {seed} failed; the last events were:\n{}\nat {:?}: {broken}\n\nrun it again with\n  SEED={seed} cargo test -p answerback-tests --test simulation -- --nocapture one_mesh\n",
                again.trace.tail(),
                again.now,
            ))
        }
    }
}

/// The seeds that ever failed.
fn seeds_that_failed() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines();
    lines.filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

/// The gate: every seed that ever failed, then some hundred more. Together they must have reached everything.
#[test]
fn hundreds_of_meshes() {
    crate::hush();
    let count = crate::number_from_environment("SEEDS").unwrap_or(SEEDS);
    let first = crate::number_from_environment("FIRST").unwrap_or(1);
    let seeds: Vec<_> = seeds_that_failed().into_iter().chain(first..first + count).collect();
    let began = std::time::Instant::now();
    let (counts, failures): (Counts, _) = crate::run_all(&seeds, run_seed);
    println!("{} meshes in {:?}; they reached {counts:#?}", seeds.len(), began.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n--------\n"));
    if count >= SEEDS {
        coverage::check_mesh(&counts);
    }
}

/// One seed, named by `SEED`.
#[test]
fn one_mesh() {
    crate::hush();
    let seed = crate::number_from_environment("SEED").unwrap_or(1);
    match run_seed(seed) {
        Ok(outcome) => println!("mesh {seed} held, hash {:016x}, reached {:#?}", outcome.hash, outcome.counts),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn the_same_seed_gives_the_same_mesh() {
    crate::hush();
    for seed in 1..=10 {
        let [one, two] = [run_seed(seed), run_seed(seed)].map(|outcome| outcome.map(|outcome| outcome.hash));
        assert_eq!(one, two, "seed {seed}");
    }
}
