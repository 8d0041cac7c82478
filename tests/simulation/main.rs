//! A simulated world around the real broker: clients, handlers and a bad network, all in virtual time, all decided by one
//! seed. What happens is compared with what was promised, and the promises are checked where they can be seen:
//!
//! | promise | where it is checked, and why that is obviously right |
//! |---|---|
//! | exactly one answer per request whose caller lives | the caller keeps a list of what waits: an answer takes a line off (`caller::settle`), one without a line is broken (`take_reply`), and in the end the list of a living caller is empty (`world::leave`) |
//! | `ran: no` never said of work that ran, `yes` only of work that was answered | handlers write every start into the ledger; the word is compared with it when it is said (`border_out::nobody_started`) and when a handler starts later (`ledger::start`) |
//! | never more starts than `attempts`; a key runs once | starts are counted (`ledger::start`); a key has at most one open delivery and none while a reply is stored (`keyed_call_runs_once`) |
//! | credit is never exceeded | counted twice: by the handler, from what it received and answered (`handler::check_credit`), and at the border (`credit_is_free`) |
//! | an answer reaches who asked, unchanged | every answer has data that only it has, written down when it is said (`ledger::check_said`) |
//! | nothing is delivered late, nothing ends early or late | arrival plus `ttl` and `timeout`, compared with the moment of the output (`is_in_time`, `error_has_its_cause`, `reply`) |
//! | requests of an action leave in the order they came | the first delivery of a request must be that of the oldest that waits (`is_next`) |
//! | queues and memory within limits | counted at each arrival (`queue_is_within_limits`) and read from the broker after each input (`look_at_what_is_held`) |
//! | an error has its cause | `error_has_its_cause` has one line per code |
//! | a broadcast adds up | parts are counted by the caller and compared with `gather` (`check_gather`) |
//! | a session with something at stake is kept for the grace time, and not longer | `border::hello`, `noted` |
//! | what must be answered at once is | `border::Expected` |
//! | the broker wakes up when it must, and not for nothing | `look_at_what_is_held`, `world::ring` |
//! | a drain ends in time, and everybody has an answer | `shell::drained`, `world::leave` |
//! | memory goes back to its floor | when all have left and the stored replies are old, nothing is held (`world::end`) |
//!
//! In worlds whose seeds are 4294967296 and more the server has keys (`holders`):
//!
//! | promise | where it is checked, and why that is obviously right |
//! |---|---|
//! | what a holder may not do is denied at once, what it may is not, and nobody ever gets it | compared with a list of names (`error_has_its_cause`, `reply`, `deliver`, `border::Expected::Denied`) |
//! | `from` has the holder in front | compared when a delivery arrives (`handler::take_delivery`) |
//! | an idempotency key belongs to its holder | keys are counted apart (`ledger::Asked::own_key`), and no answer crosses over (`shares_key`) |
//!
//! In half of the worlds the server has a store (`store` is its model), is killed and started again, or leaves and comes back (`restart`), and its disk
//! fails for a while (`keeper`). What was promised before goes on over all its lives, and more:
//!
//! | promise | where it is checked, and why that is obviously right |
//! |---|---|
//! | a durable send is on disk before it is accepted, and that a handler gets it before one does | the disk of the model is looked at when the frame comes out (`promises::is_on_disk`, `is_marked`) |
//! | an accepted durable send is not lost | at each end of a life it is on disk, unless it was delivered or its time is over (`nothing_accepted_is_lost`) |
//! | what waits is in the snapshot, and what has ended is not | compared at the moment in which a snapshot is complete (`note_what_is_gathered`, `look_at_snapshot`) |
//! | what ended on disk does not come back | what is gone from the disk is not restored (`restart::restore`) |
//! | never more starts than `attempts`, over all lives | starts are counted on; `remember_starts` says which of them a server that died may not know of |
//! | no change, no snapshot | nothing is left to gather when all was gathered, and in the end (`keeper::gather`, `store_is_empty`) |
//! | nothing stays in the store | when all have left and all is old, journal and snapshot are empty (`store_is_empty`) |
//! | a client is told of a restart as long as that matters, and no longer | `border_out::says_restarted` |
//!
//! Several servers are in `mesh`, a world of its own.
//!
//! `SEEDS=20000 cargo test -p answerback-tests --test simulation` runs more seeds than the gate does, `FIRST=5000` others; `FAILURES=50` goes
//! on after the first few that fail.
//! A seed that fails prints the command that runs it alone, and goes into `seeds.txt` with its story.

mod agenda;
mod border;
mod border_out;
mod caller;
mod client;
mod coverage;
mod handler;
mod holders;
mod keeper;
mod ledger;
mod mesh;
mod network;
mod promises;
mod random;
mod restart;
mod rude;
mod scenario;
mod shell;
mod store;
mod trace;
mod world;

use scenario::WITH_KEYS;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use trace::Counts;
use world::World;

/// Seeds in the gate.
const SEEDS: u64 = 1_000;

/// Failures after which no further seed is tried.
const FAILURES_MAX: usize = 5;

/// What a seed that held came to.
struct Outcome {
    hash: u64,
    counts: Counts,
}

thread_local! {
    /// Where the last panic of a simulation on this thread was, and whether one is running.
    static PANIC_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a seed. One that fails is run a second time, to tell what happened before.
fn run_seed(seed: u64) -> Result<Outcome, String> {
    let mut world = World::new(seed, false);
    match catch_quietly(|| world.run()) {
        Ok(()) => Ok(Outcome { hash: world.trace.hash(), counts: world.trace.counts().clone() }),
        Err(_) => {
            let mut again = World::new(seed, true);
            let broken = catch_quietly(|| again.run()).err().unwrap_or_else(|| "it did not fail again".to_owned());
            Err(format!(
                "seed {seed} failed; the last events were:\n{}\nat {:?}: {broken}\n\nrun it again with\n  SEED={seed} cargo test -p answerback-tests --test simulation -- --nocapture one_seed\n",
                again.trace.tail(),
                again.now,
            ))
        }
    }
}

/// The message of a panic, and where it was. The standard hook would print each of them at once, out of place.
fn catch_quietly(what: impl FnOnce()) -> Result<(), String> {
    PANIC_AT.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(what));
    let place = PANIC_AT.take().unwrap_or_default();
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("{} ({place})", text.unwrap_or_default())
    })
}

fn hush() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let simulated = PANIC_AT.with_borrow_mut(|place| {
            place.as_mut().map(|place| *place = info.location().map(ToString::to_string).unwrap_or_default()).is_some()
        });
        if !simulated {
            loud(info);
        }
    }));
}

/// The seeds that ever failed.
fn seeds_that_failed() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines();
    lines.filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Runs seeds on all cores and adds up what they reached.
#[expect(clippy::unwrap_used, reason = "a lock is only poisoned if the test fails anyway")]
fn run_all(seeds: &[u64], run_seed: fn(u64) -> Result<Outcome, String>) -> (Counts, Vec<String>) {
    let (next, counts, failures) = (AtomicU64::new(0), Mutex::new(Counts::new()), Mutex::new(Vec::new()));
    let most_failures = number_from_environment("FAILURES").map_or(FAILURES_MAX, |most| most as usize);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    match run_seed(*seed) {
                        Ok(outcome) => coverage::add(&mut counts.lock().unwrap(), &outcome.counts),
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                    if failures.lock().unwrap().len() >= most_failures {
                        return;
                    }
                }
            });
        }
    });
    (counts.into_inner().unwrap(), failures.into_inner().unwrap())
}

/// The gate: every seed that ever failed, then a thousand more, then two hundred with keys. Together they must have reached everything.
#[test]
fn a_thousand_worlds() {
    hush();
    let count = number_from_environment("SEEDS").unwrap_or(SEEDS);
    let first = number_from_environment("FIRST").unwrap_or(1);
    let first_with_keys = WITH_KEYS + first;
    let with_keys = first_with_keys..first_with_keys + count / 5;
    let seeds: Vec<_> = seeds_that_failed().into_iter().chain(first..first + count).chain(with_keys).collect();
    let began = std::time::Instant::now();
    let (counts, failures) = run_all(&seeds, run_seed);
    println!("{} seeds in {:?}; they reached {counts:#?}", seeds.len(), began.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n--------\n"));
    if count >= SEEDS {
        coverage::check(&counts);
    }
}

/// One seed, named by `SEED`.
#[test]
fn one_seed() {
    hush();
    let seed = number_from_environment("SEED").unwrap_or(1);
    match run_seed(seed) {
        Ok(outcome) => println!("seed {seed} held, hash {:016x}, reached {:#?}", outcome.hash, outcome.counts),
        Err(failure) => panic!("{failure}"),
    }
}

/// The same seed is the same world: without that no failure could be looked at twice.
#[test]
fn the_same_seed_gives_the_same_world() {
    hush();
    for seed in 1..=20 {
        let [one, two] = [run_seed(seed), run_seed(seed)].map(|outcome| outcome.map(|outcome| outcome.hash));
        assert_eq!(one, two, "seed {seed}");
    }
}
