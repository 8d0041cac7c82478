//! Random steps against a model that is obviously right, with crashes and power cuts at every place.
//!
//! The model knows what was acknowledged and what was refused. After the power was cut, everything acknowledged is there as it was, nothing that was
//! refused is there once a later commit had succeeded, and nothing that is gone lives again. What a last commit wrote without an answer may be
//! there or not, each step of it as a whole.

use super::{calendar, open, options};
use crate::disk::{Fault, FaultyDisk};
use crate::testing::{Dice, random_item, random_progress, random_request};
use crate::{Commit, Items, Store};
use answerback_broker::{Change, Item, ItemId, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

/// Worlds in the gate. Each takes a few milliseconds.
const SEEDS: u64 = 400;

#[derive(Default)]
struct Model {
    /// As it must be found.
    items: BTreeMap<ItemId, Item>,
    /// As it will be once what waits is written.
    wanted: BTreeMap<ItemId, Item>,
    /// Items of which either state may be found, because no commit has succeeded since.
    open: BTreeSet<ItemId>,
    refused: BTreeSet<ItemId>,
    next: u64,
}

impl Model {
    fn step(&mut self, dice: &mut Dice) -> Step {
        let mut known: Vec<ItemId> = self.wanted.keys().copied().collect();
        known.extend(self.refused.iter().rev().take(2));
        let pick = |dice: &mut Dice| known.get(dice.below(known.len().max(1))).copied();
        let mut changes = Vec::new();
        match (dice.below(10), pick(dice)) {
            (0..=4, _) | (_, None) => changes.push(Change::Put(self.fresh(dice), random_request(dice))),
            (5, Some(id)) => changes.push(Change::Progress(id, random_progress(dice))),
            (6..=7, Some(id)) => changes.push(Change::Gone(id)),
            (8, Some(id)) => {
                changes.push(Change::Gone(id));
                changes.push(Change::Put(self.fresh(dice), other_than_a_request(dice)));
            }
            (_, Some(id)) if self.wanted.contains_key(&id) => changes.push(Change::Put(id, random_item(dice))),
            (_, Some(id)) => changes.push(Change::Gone(id)),
        }
        Step(changes)
    }

    fn fresh(&mut self, dice: &mut Dice) -> ItemId {
        self.next += 1 + dice.below(3) as u64;
        ItemId(self.next)
    }

    fn done(&mut self, steps: &[Step]) {
        for change in steps.iter().flat_map(|step| &step.0) {
            change.clone().apply(&mut self.wanted);
        }
        self.items = self.wanted.clone();
        self.open.clear();
    }

    fn failed(&mut self, steps: &[Step]) {
        for change in steps.iter().flat_map(|step| &step.0) {
            let (Change::Put(id, _) | Change::Progress(id, _) | Change::Gone(id)) = change;
            self.open.insert(*id);
            match change {
                Change::Put(id, Item::Request(_)) if !self.wanted.contains_key(id) => {
                    self.refused.insert(*id);
                }
                change => change.clone().apply(&mut self.wanted),
            }
        }
    }

    fn check(&self, seed: u64, found: Items, next_item: ItemId) {
        let found: BTreeMap<ItemId, Item> = found.collect();
        for (id, item) in &self.items {
            assert!(
                self.open.contains(id) || found.get(id) == Some(item),
                "seed {seed}: {id:?} is not as acknowledged"
            );
        }
        for id in found.keys() {
            let may = self.open.contains(id) || self.items.contains_key(id);
            assert!(may, "seed {seed}: {id:?} is there again (refused: {})", self.refused.contains(id));
        }
        let greatest = self.items.keys().next_back();
        assert!(greatest.is_none_or(|id| *id < next_item), "seed {seed}: ids would be given twice");
    }
}

fn other_than_a_request(dice: &mut Dice) -> Item {
    loop {
        let item = random_item(dice);
        if !matches!(item, Item::Request(_)) {
            return item;
        }
    }
}

/// One life of a server: commits until the disk crashes or enough is done.
fn live(disk: &FaultyDisk, model: &mut Model, dice: &mut Dice) {
    let Ok(opened) =
        Store::open(Path::new("/data/store"), calendar(), &options(disk), &mut |_| ControlFlow::Continue(()))
    else {
        assert!(disk.has_crashed());
        return;
    };
    // What was found is what this life goes on with: opening has made sure that it stays.
    let found = opened.items.collect();
    if disk.has_crashed() {
        // While the items were read: which of them this life would have had is not known.
        return;
    }
    model.items = found;
    model.wanted = model.items.clone();
    model.open.clear();
    model.next = model.next.max(opened.next_item.0);
    let mut journal = opened.journal;
    for _ in 0..10 + dice.below(60) {
        match dice.below(40) {
            0 => disk.inject(Fault::FailSync(1)),
            1 => disk.inject(Fault::FailOperation(1 + dice.below(4) as u64)),
            2 => disk.inject(Fault::FailSyncs),
            3 => disk.inject(Fault::Room(dice.below(3_000) as u64)),
            4..=9 => disk.heal_but_crash(),
            _ => {}
        }
        let steps: Vec<Step> = (0..dice.below(8)).map(|_| model.step(dice)).collect();
        let mut given = steps.clone();
        let waited = journal.is_failing();
        match journal.commit(&mut given) {
            Commit::Done if waited || !steps.is_empty() => model.done(&steps),
            Commit::Done => {}
            Commit::Failed(_) => model.failed(&steps),
        }
        if disk.has_crashed() {
            return;
        }
    }
}

fn world(seed: u64) {
    let mut dice = Dice::new(seed);
    let (mut disk, mut model) = (FaultyDisk::default(), Model::default());
    drop(open(&disk));
    for _ in 0..1 + dice.below(4) {
        match dice.below(4) {
            0 => disk.inject(Fault::CrashAtSync(1 + dice.below(40) as u64)),
            1 | 2 => disk.inject(Fault::CrashAtOperation(1 + dice.below(150) as u64)),
            _ => {}
        }
        live(&disk, &mut model, &mut dice);
        disk = if dice.one_in(5) { disk.after_kill() } else { disk.after_power_cut(dice.next()) };
        let opened = open(&disk.after_kill());
        assert!(!opened.findings.iter().any(crate::Finding::is_loss), "seed {seed}: {:?}", opened.findings);
        model.check(seed, opened.items, opened.next_item);
    }
}

#[test]
fn nothing_acknowledged_is_missing_and_nothing_refused_or_gone_comes_back() {
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    (0..seeds).for_each(world);
}

/// `SEED=1234 cargo test -p answerback-store one_seed -- --ignored --nocapture`
#[test]
#[ignore = "one world again"]
fn one_seed() {
    world(std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0));
}

/// The same short life, with the power cut at every single change of the disk.
#[test]
fn the_power_may_go_at_every_operation() {
    for nth in 1..400 {
        let disk = FaultyDisk::default();
        let (mut dice, mut model) = (Dice::new(7), Model::default());
        drop(open(&disk));
        disk.inject(Fault::CrashAtOperation(nth));
        live(&disk, &mut model, &mut dice);
        let has_crashed = disk.has_crashed();
        for seed in 0..4 {
            let opened = open(&disk.after_power_cut(seed));
            model.check(nth, opened.items, opened.next_item);
        }
        if !has_crashed {
            return;
        }
    }
    panic!("the life is longer than the test");
}
