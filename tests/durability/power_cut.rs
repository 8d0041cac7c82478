//! The power goes at any moment: the disk is one in memory that remembers what was synced, and afterwards has lost, kept or torn
//! the rest, by the seed. No accepted durable request is missing, and what was refused does not come back: but for what was being
//! written when the disk failed, of which nobody can know whether it is there.

use crate::client::{Client, Heard};
use crate::dice::Dice;
use crate::place::{Embedded, Place};
use crate::{asked, rounds};
use answerback_store::{Fault, FaultyDisk, MemoryShelf, SnapshotsIn};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Durable sends of one seed.
const SENDS: u64 = 120;

/// How many are on their way at once at most.
const IN_FLIGHT: u64 = 16;

/// Every so many are for a handler that is there before the power goes.
const HANDLED_EVERY: u64 = 3;

/// After this the handlers of the first life count as lost.
const GRACE: Duration = Duration::from_millis(50);

#[test]
fn no_power_cut_loses_what_was_accepted() {
    if let Some(seed) = asked("SEED") {
        return one_seed(seed);
    }
    for seed in 0..rounds(50) {
        one_seed(seed);
    }
}

fn one_seed(seed: u64) {
    let story = format!("`SEED={seed} cargo test -p answerback-tests --test durability power`");
    let mut dice = Dice::new(seed);
    // Both lives have the same directory, since the files on the disk in memory are below it.
    let (place, disk, shelf) = (Place::new(), FaultyDisk::default(), MemoryShelf::default());
    let before = {
        let server = server(&place, &disk, &shelf);
        // Some seeds cut before anything was accepted, most within the load.
        let nth = 1 + dice.below(60) as u64;
        disk.inject(if dice.below(2) == 0 { Fault::CrashAtSync(nth) } else { Fault::CrashAtOperation(nth) });
        if dice.below(2) == 0 {
            shelf.crash_at_save(1 + dice.below(5) as u64, seed);
        }
        first_life(&server, &mut dice)
    };
    let server = server(&place, &disk.after_power_cut(seed), &shelf.after_crash());
    let after = second_life(&server, &before);
    for number in 0..SENDS {
        let (accepted, refused) = (before.accepted.contains(&number), before.refused.contains(&number));
        let (first, second) = (before.ran.contains_key(&number), after.get(&number).copied().unwrap_or(0));
        let told = format!("{number}: accepted {accepted}, refused {refused}, ran {first} and then {second}; {story}");
        assert!(!accepted || first || second > 0, "accepted, and missing: {told}");
        assert!(!refused || (!first && (second == 0 || number < before.in_doubt)), "refused, and came back: {told}");
        assert!(second <= 1, "ran twice in one life: {told}");
        assert!(!before.taken_in.contains(&number) || second == 0, "answered, and asked for again: {told}");
    }
}

/// A server on this disk.
fn server(place: &Place, disk: &FaultyDisk, shelf: &MemoryShelf) -> Embedded {
    Embedded::with(|settings| {
        settings.data_dir = place.0.clone();
        settings.disk = Some((Arc::new(disk.clone()), SnapshotsIn::Memory(shelf.clone())));
        settings.snapshot_interval = Duration::from_millis(5);
        settings.broker.session_grace = GRACE;
    })
}

/// What was seen before the power went.
#[derive(Default)]
struct Seen {
    accepted: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    /// What has a smaller number was asked for before the first was refused, and may have been on its way to the disk.
    in_doubt: u64,
    /// Run by the handler, and the how-manieth reply that was.
    ran: BTreeMap<u64, u64>,
    /// Whose replies the server has taken in for good.
    taken_in: BTreeSet<u64>,
}

fn first_life(server: &Embedded, dice: &mut Dice) -> Seen {
    let address = server.running.address();
    let mut handler = Client::serving(address, "handler", "handled", 4);
    let mut caller = Client::welcomed(address, "caller");
    let (mut seen, mut asked_for, mut ended) = (Seen::default(), 0, 0);
    while ended < SENDS {
        while asked_for < SENDS && asked_for < ended + 1 + dice.below(IN_FLIGHT as usize) as u64 {
            let action = if asked_for.is_multiple_of(HANDLED_EVERY) { "handled" } else { "parked" };
            let head = json!({ "type": "request", "id": asked_for, "action": action, "reply": false, "durable": true });
            caller.say(head.to_string(), json!([asked_for, "x".repeat(dice.below(900))]).to_string());
            asked_for += 1;
        }
        let Heard { head, .. } = caller.hear();
        let id = head["id"].as_u64().unwrap();
        ended += 1;
        if head["type"] == "accepted" {
            seen.accepted.insert(id);
        } else {
            assert_eq!(
                (&head["error"]["code"], &head["error"]["ran"]),
                (&json!("unavailable"), &json!("no")),
                "{head}"
            );
            if seen.refused.is_empty() {
                seen.in_doubt = asked_for;
            }
            seen.refused.insert(id);
        }
        handler.settle();
        while let Some(heard) = handler.already_heard() {
            handled(&mut handler, &heard, &mut seen);
        }
    }
    seen
}

fn handled(handler: &mut Client, heard: &Heard, seen: &mut Seen) {
    match heard.head["type"].as_str().unwrap() {
        "deliver" => {
            let number = heard.json()[0].as_u64().unwrap();
            let replies = seen.ran.len() as u64 + 1;
            assert!(seen.ran.insert(number, replies).is_none(), "{number} ran twice in one life");
            handler.answer(heard, "null");
        }
        "ack" => {
            let replies = heard.head["replies"].as_u64().unwrap();
            seen.taken_in.extend(seen.ran.iter().filter(|(_, nth)| **nth <= replies).map(|(number, _)| *number));
        }
        _ => panic!("{}", heard.head),
    }
}

/// Serves everything that is there, and counts how often each was run.
fn second_life(server: &Embedded, before: &Seen) -> BTreeMap<u64, u64> {
    let address = server.running.address();
    let mut handler = Client::serving(address, "second", "handled", 1_000);
    handler.serve("parked", 1_000);
    let mut watcher = Client::welcomed(address, "watcher");
    let (mut ran, mut asked_for) = (BTreeMap::new(), 0);
    let missing = |ran: &BTreeMap<u64, u64>| {
        before.accepted.iter().any(|number| !before.ran.contains_key(number) && !ran.contains_key(number))
    };
    let end = std::time::Instant::now() + crate::place::PATIENCE;
    // Nothing is missing and nothing waits any more, be it for handlers that are lost.
    while missing(&ran) || waiting(&mut watcher, &mut asked_for) > 0 {
        if std::time::Instant::now() > end {
            return ran;
        }
        handler.settle();
        while let Some(heard) = handler.already_heard() {
            if heard.head["type"] == "deliver" {
                *ran.entry(heard.json()[0].as_u64().unwrap()).or_default() += 1;
                handler.answer(&heard, "null");
            }
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    ran
}

/// Requests that the server has.
fn waiting(watcher: &mut Client, asked_for: &mut u64) -> u64 {
    *asked_for += 1;
    watcher.call(*asked_for, "$stats", "");
    let stats: Value = watcher.hear().json();
    stats["queued"].as_u64().unwrap() + stats["in_flight"].as_u64().unwrap()
}
