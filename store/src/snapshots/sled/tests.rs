//! Tests of snapshots in sled, on real files.

use super::*;
use crate::testing::{Dice, Place, calendar, processor_seconds, random_item, resident_bytes, small_request};
use crate::{FindingKind, OpenError, Opened, Options, Store, Strictness};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn try_open(place: &Path, strictness: Strictness) -> Result<Opened, OpenError> {
    let options = Options { strictness, ..Options::default() };
    Store::open(&place.join("store"), calendar(), &options, &mut |_| ControlFlow::Continue(()))
}

fn open(place: &Path) -> Opened {
    try_open(place, Strictness::Forgiving).unwrap()
}

fn load(snapshots: &mut dyn Snapshots, part: Part) -> (Vec<(ItemId, Item)>, Vec<Finding>) {
    let mut items = Vec::new();
    let findings = snapshots.load(part, &mut |id, item| {
        items.push((id, item));
        ControlFlow::Continue(())
    });
    (items, findings.unwrap())
}

fn all(snapshots: &mut dyn Snapshots) -> BTreeMap<ItemId, Item> {
    PARTS.into_iter().flat_map(|part| load(snapshots, part).0).collect()
}

fn put(id: u64) -> Change {
    Change::Put(ItemId(id), small_request(id))
}

fn size_of(dir: &Path) -> u64 {
    files(dir).iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Random changes and restarts against a map.
#[test]
fn what_is_saved_is_there_after_every_restart() {
    let place = Place::new();
    let (mut dice, mut model) = (Dice::new(5), BTreeMap::new());
    let mut next = 0;
    for life in 0..6 {
        let mut opened = open(place.path());
        assert!(opened.findings.is_empty(), "{:?}", opened.findings);
        // Now and then it is used before it was read, as when a server streams while it serves.
        if dice.one_in(2) {
            assert_eq!(all(&mut *opened.snapshots), model, "life {life}");
        }
        for _ in 0..8 {
            let changes: Vec<Change> = (0..dice.below(60)).map(|_| change(&mut dice, &model, &mut next)).collect();
            opened.snapshots.save(&changes).unwrap();
            changes.iter().for_each(|change| change.clone().apply(&mut model));
        }
        assert_eq!(all(&mut *opened.snapshots), model, "life {life}");
        let greatest = model.keys().next_back().map_or(0, |id: &ItemId| id.0);
        assert!(opened.snapshots.next_item() > greatest);
    }
    let mut opened = open(place.path());
    for part in PARTS {
        let (items, _) = load(&mut *opened.snapshots, part);
        assert!(items.is_sorted_by_key(|(id, _)| *id) && items.iter().all(|(_, item)| part.has(item)));
    }
}

fn change(dice: &mut Dice, model: &BTreeMap<ItemId, Item>, next: &mut u64) -> Change {
    let known: Vec<ItemId> = model.keys().copied().collect();
    let old = known.get(dice.below(known.len().max(1))).copied();
    match (dice.below(6), old) {
        (0, Some(id)) => Change::Put(id, random_item(dice)),
        (1, Some(id)) => Change::Progress(id, crate::testing::random_progress(dice)),
        (2 | 3, Some(id)) => Change::Gone(id),
        _ => {
            *next += 1;
            Change::Put(ItemId(*next), random_item(dice))
        }
    }
}

#[test]
fn nothing_is_made_before_there_is_something_to_put() {
    let place = Place::new();
    let mut opened = open(place.path());
    opened.snapshots.save(&[Change::Gone(ItemId(3))]).unwrap();
    assert_eq!(opened.snapshots.renew().unwrap(), None);
    assert!(files(place.path()).iter().all(|path| !path.to_string_lossy().contains("generation")));
    let report = opened.snapshots.save(&[put(3)]).unwrap();
    assert_eq!(report, SaveReport { put: 1, removed: 0, items: 1, renewed: false });
    assert_eq!(fs::read_to_string(place.path().join("store/current")).unwrap(), "generation-000001\n");
}

/// sled itself gives nothing back: without fresh generations this would end at 15 MB.
#[test]
fn space_comes_back_after_a_drain() {
    let place = Place::new();
    let mut opened = open(place.path());
    let ids: Vec<u64> = (1..=60_000).collect();
    opened.snapshots.save(&ids.iter().map(|id| put(*id)).collect::<Vec<_>>()).unwrap();
    let full = size_of(place.path());
    let mut renewals = 0;
    for ids in ids.chunks(4_000) {
        opened.snapshots.save(&ids.iter().map(|id| Change::Gone(ItemId(*id))).collect::<Vec<_>>()).unwrap();
        renewals += u64::from(opened.snapshots.renew().unwrap().is_some());
    }
    assert!(renewals < 6, "{renewals}");
    assert!(full > 10_000_000 && size_of(place.path()) < 4_000_000, "{full} {}", size_of(place.path()));
    drop(opened);
    assert_eq!(all(&mut *open(place.path()).snapshots), BTreeMap::new());
}

#[test]
fn a_save_that_removes_most_writes_what_is_left() {
    let place = Place::new();
    let mut opened = open(place.path());
    opened.snapshots.save(&(1..=30_000).map(put).collect::<Vec<_>>()).unwrap();
    let mut changes: Vec<Change> = (1..=29_000).map(|id| Change::Gone(ItemId(id))).collect();
    changes.push(put(40_000));
    let report = opened.snapshots.save(&changes).unwrap();
    assert_eq!(report, SaveReport { put: 1, removed: 29_000, items: 1_001, renewed: true });
    assert!(size_of(place.path()) < 4_000_000);
    drop(opened);
    let left: Vec<u64> = all(&mut *open(place.path()).snapshots).keys().map(|id| id.0).collect();
    assert_eq!(left, (29_001..=30_000).chain([40_000]).collect::<Vec<_>>());
}

/// A large round is written down before it is applied: whenever the power goes after that, all of it is there at the next start.
#[test]
fn a_large_round_that_was_interrupted_is_done_at_the_next_start() {
    let place = Place::new();
    let dir = place.path().join("generation-000001");
    let generation = Generation::open(&dir).unwrap();
    let meta = |round| Meta { round, next_item: 9_000, counts: [0, 3_000] };
    let bytes = |id: u64| id.to_le_bytes();
    let record = |block| {
        let mut one = Block::default();
        assert_eq!(one.put(3, bytes(block).to_vec()), None);
        one.record().unwrap()
    };
    let values: Vec<(RecordId, Vec<u8>)> = (0..3_000).map(|block| (BlockId(block).record(), record(block))).collect();
    let edits = || values.iter().map(|(record, bytes)| Edit::Put(Part::Sends, *record, bytes));
    generation.write(|| edits().take(500), &meta(1)).unwrap();
    round::write_down(&dir, &meta(2), edits()).unwrap();
    // Some of it was applied, but not the end.
    let mut chunks = Chunks::default();
    for edit in edits().take(1_500) {
        chunks.add(edit, &mut |batch| generation.fill(batch)).unwrap();
    }
    generation.close();
    let count = |generation: &Generation| {
        let mut count = 0;
        generation
            .read(Part::Sends, &mut |id, found| {
                assert_eq!(found, Some(&bytes(id.0 / 16)[..]));
                count += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        count
    };
    let copied = place.path().join("copy");
    copy(&dir, &copied);
    let generation = Generation::open(&copied).unwrap();
    assert_eq!((count(&generation), generation.meta().unwrap()), (3_000, Some(meta(2))));
    // The file is there again after a power cut, but by then its round is an old one.
    generation.write(|| [Edit::Remove(Part::Sends, BlockId(5).record())].into_iter(), &meta(3)).unwrap();
    generation.close();
    let later = place.path().join("later");
    copy(&copied, &later);
    fs::copy(dir.join("round"), later.join("round")).unwrap();
    let generation = Generation::open(&later).unwrap();
    assert_eq!((count(&generation), generation.meta().unwrap()), (2_999, Some(meta(3))));
    assert!(!later.join("round").exists());
}

fn lost(finding: &Finding) -> u64 {
    match finding.kind {
        FindingKind::BrokenGeneration { lost, .. } => lost.unwrap_or(0),
        FindingKind::UnreadableItems { items } => items,
        _ => 0,
    }
}

/// Bytes are changed, cut off, zeroed and doubled in every file: it opens, says what is wrong, and what it gives out is what was saved.
#[test]
fn damage_is_told_and_what_can_be_read_is_kept() {
    let sound = Place::new();
    let mut opened = open(sound.path());
    for round in 0..4 {
        let changes: Vec<Change> = (1..=500).map(|id| put(round * 500 + id)).collect();
        opened.snapshots.save(&changes).unwrap();
    }
    drop(opened);
    let saved = all(&mut *open(sound.path()).snapshots);
    let mut dice = Dice::new(9);
    for round in 0..120 {
        let place = Place::new();
        copy(sound.path(), place.path());
        let files = files(place.path());
        let file = &files[round % files.len()];
        tamper(file, &mut dice);
        let name = file.file_name().unwrap().to_string_lossy();
        let mut opened = match try_open(place.path(), Strictness::Forgiving) {
            Ok(opened) => opened,
            Err(OpenError::Newer { .. }) if name == "format" => continue,
            Err(error) => panic!("round {round}, {name}: {error}"),
        };
        let mut findings = opened.findings;
        let mut found = BTreeMap::new();
        for part in PARTS {
            let (items, more) = load(&mut *opened.snapshots, part);
            found.extend(items);
            findings.extend(more);
        }
        for (id, item) in &found {
            assert_eq!(saved.get(id), Some(item), "round {round}, {name}");
        }
        // Nothing was ever removed, so what is told is what is missing, to the item.
        let told: u64 = findings.iter().map(lost).sum();
        let missing = (saved.len() - found.len()) as u64;
        assert_eq!(told, missing, "round {round}, {name}: {findings:?}");
        assert!(missing == 0 || name != "conf", "round {round}: nothing of it is in this file: {findings:?}");
        assert!(opened.next_item > ItemId(2_000), "round {round}, {name}: ids of what is lost are not given again");
        // It goes on from there, and what was damaged is not told again.
        opened.snapshots.save(&[put(9_000)]).unwrap();
        drop(opened.snapshots);
        let mut again = open(place.path());
        assert_eq!(all(&mut *again.snapshots).len(), found.len() + 1, "round {round}, {name}");
        assert!(!again.findings.iter().any(Finding::is_loss), "round {round}, {name}: {:?}", again.findings);
    }
}

#[test]
fn strict_does_not_open_what_is_damaged_and_changes_nothing() {
    let place = Place::new();
    let mut opened = open(place.path());
    opened.snapshots.save(&(1..=2_000).map(put).collect::<Vec<_>>()).unwrap();
    drop(opened);
    drop(try_open(place.path(), Strictness::Strict).unwrap());
    let db = place.path().join("store/generation-000001/db");
    let mut bytes = fs::read(&db).unwrap();
    // Where items lie, and not in the space between sled's segments.
    let last = bytes.windows(100).rposition(|window| window == [b'7'; 100]).unwrap();
    bytes[last - 20_000..last].fill(0xa5);
    fs::write(&db, bytes).unwrap();
    let before: Vec<(PathBuf, Vec<u8>)> =
        files(place.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let error = try_open(place.path(), Strictness::Strict).unwrap_err().to_string();
    assert!(error.contains("--strict-store") && error.contains("nothing was changed"), "{error}");
    let after: Vec<(PathBuf, Vec<u8>)> =
        files(place.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(before == after);
}

/// A database that is an older one as a whole fits what it says of itself: only the note tells.
#[test]
fn saves_that_are_gone_are_told() {
    let place = Place::new();
    let dir = place.path().join("store/generation-000001");
    open(place.path()).snapshots.save(&(1..=100).map(put).collect::<Vec<_>>()).unwrap();
    let old = place.path().join("old");
    copy(&dir, &old);
    let mut opened = open(place.path());
    all(&mut *opened.snapshots);
    opened.snapshots.save(&(101..=140).map(put).collect::<Vec<_>>()).unwrap();
    opened.snapshots.save(&[put(141)]).unwrap();
    drop(opened);
    fs::remove_dir_all(&dir).unwrap();
    copy(&old, &dir);
    let error = try_open(place.path(), Strictness::Strict).unwrap_err().to_string();
    assert!(error.contains("its last 2 saves are gone") && error.contains("41 are lost"), "{error}");
    let mut opened = open(place.path());
    let kind = &opened.findings[0].kind;
    assert!(
        matches!(kind, FindingKind::BrokenGeneration { salvaged: 100, lost: Some(41), .. }),
        "{:?}",
        opened.findings
    );
    assert!(opened.findings[0].aside.as_ref().is_some_and(|aside| aside.join("db").exists()));
    assert_eq!((all(&mut *opened.snapshots).len(), opened.next_item), (100, ItemId(142)));
    drop(opened);
    assert!(open(place.path()).findings.is_empty(), "told once");
}

/// Between the round and its note the power may go; a store of before has no note, and a damaged one is written anew.
#[test]
fn a_note_that_is_old_damaged_or_gone_costs_nothing() {
    let place = Place::new();
    let note = place.path().join("store/generation-000001.sum");
    open(place.path()).snapshots.save(&[put(1), put(2)]).unwrap();
    let old = fs::read(&note).unwrap();
    let mut opened = open(place.path());
    opened.snapshots.save(&[Change::Gone(ItemId(1)), Change::Gone(ItemId(2)), put(3)]).unwrap();
    drop(opened);
    let whole = fs::read(&note).unwrap();
    for what in [Some(old), Some(b"generation 1 7 7 7 7 sum 01234567\n".to_vec()), None] {
        match &what {
            Some(bytes) => fs::write(&note, bytes).unwrap(),
            None => fs::remove_file(&note).unwrap(),
        }
        let mut opened = try_open(place.path(), Strictness::Strict).unwrap();
        assert!(!opened.findings.iter().any(Finding::is_loss), "{:?}", opened.findings);
        assert_eq!(all(&mut *opened.snapshots).into_keys().collect::<Vec<_>>(), [ItemId(3)]);
        drop(opened);
        assert!(fs::read(&note).unwrap() == whole, "it is written again: {what:?}");
    }
}

#[test]
fn a_generation_that_is_not_there_is_told() {
    let place = Place::new();
    let mut opened = open(place.path());
    opened.snapshots.save(&[put(1)]).unwrap();
    drop(opened);
    fs::remove_dir_all(place.path().join("store/generation-000001")).unwrap();
    let opened = open(place.path());
    assert!(matches!(opened.findings[0].kind, FindingKind::NoGeneration { .. }), "{:?}", opened.findings);
    assert!(opened.findings[0].to_string().contains("with its 1 items"), "{:?}", opened.findings);
    assert!(!opened.clean && opened.next_item == ItemId(2));
}

#[test]
fn a_store_can_be_filled_and_looked_at() {
    let place = Place::new();
    let at = place.path().join("store");
    let mut dice = Dice::new(4);
    let items: BTreeMap<ItemId, Item> = (1..300).map(|id| (ItemId(id), random_item(&mut dice))).collect();
    let taken = Store::import(&at, calendar(), &Options::default(), &mut items.clone().into_iter()).unwrap();
    assert_eq!(taken, 299);
    let again = Store::import(&at, calendar(), &Options::default(), &mut items.clone().into_iter());
    assert!(matches!(again, Err(OpenError::NotEmpty { .. })));
    let mut shown = BTreeMap::new();
    let seen = Store::inspect(&at, calendar(), &Options::default(), &mut |id, item| {
        shown.insert(id, item);
        ControlFlow::Continue(())
    });
    let seen = seen.unwrap();
    assert!(shown == items && seen.clean && seen.items == 299 && seen.next_item == 300);
    let mut opened = open(place.path());
    let mut found = all(&mut *opened.snapshots);
    found.extend(opened.items.by_ref());
    assert!(found == items && opened.clean && opened.next_item == ItemId(300));
}

/// A machine that loses power ends nothing in order: what a save has put must be in the files when it returns, not in sled's memory.
#[test]
fn a_save_is_in_the_files_when_it_returns() {
    let place = Place::new();
    let (mut dice, mut model, mut next) = (Dice::new(11), BTreeMap::new(), 0);
    let mut opened = open(place.path());
    for _ in 0..12 {
        let changes: Vec<Change> = (0..dice.below(200)).map(|_| change(&mut dice, &model, &mut next)).collect();
        opened.snapshots.save(&changes).unwrap();
        changes.iter().for_each(|change| change.clone().apply(&mut model));
        let found = Place::new();
        copy(place.path(), found.path());
        let mut second = open(found.path());
        assert!(second.findings.is_empty(), "{:?}", second.findings);
        assert_eq!(all(&mut *second.snapshots), model);
    }
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

fn tamper(file: &Path, dice: &mut Dice) {
    let mut bytes = fs::read(file).unwrap();
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len());
    let end = (at + 1 + dice.below(5_000)).min(bytes.len());
    match dice.below(5) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => bytes[at..end].fill(0),
        3 => drop(bytes.drain(at..end)),
        _ => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
    }
    fs::write(file, bytes).unwrap();
}

/// `cargo test --release -p answerback-store figures -- --ignored --nocapture --test-threads 1`
#[test]
#[ignore = "a measurement"]
fn figures() {
    let place = Place::new();
    let resident = || resident_bytes() >> 20;
    let mut opened = open(place.path());
    // In pieces, so that the memory of the test itself is not counted.
    for first in (0..900_000).step_by(100_000) {
        opened.snapshots.save(&(first + 1..=first + 100_000).map(put).collect::<Vec<_>>()).unwrap();
    }
    println!("{} MB of memory with 900,000", resident());
    let changes: Vec<Change> = (900_001..=1_000_000).map(put).collect();
    let begun = std::time::Instant::now();
    opened.snapshots.save(&changes).unwrap();
    println!(
        "100,000 more saved in {:?}, {} MB on disk, {} MB of memory",
        begun.elapsed(),
        size_of(place.path()) >> 20,
        resident()
    );
    drop((changes, opened));
    println!("{} MB of memory after closing it", resident());
    let mut opened = open(place.path());
    let (begun, used) = (std::time::Instant::now(), processor_seconds());
    let mut count = 0;
    let mut each = |_, _| {
        count += 1;
        ControlFlow::Continue(())
    };
    opened.snapshots.load(Part::First, &mut each).unwrap();
    opened.snapshots.load(Part::Sends, &mut each).unwrap();
    let used = processor_seconds() - used;
    println!("{count} loaded in {:?}, {used:.2} s of processor, {} MB of memory", begun.elapsed(), resident());
    for round in 0..5 {
        let first = round * 5_000;
        let changes = (first..first + 5_000).map(|id| Change::Gone(ItemId(id + 1)));
        let changes: Vec<Change> = changes.chain((first..first + 5_000).map(|id| put(id + 1_000_001))).collect();
        let (begun, used) = (std::time::Instant::now(), processor_seconds());
        opened.snapshots.save(&changes).unwrap();
        let used = processor_seconds() - used;
        println!("a round of 5,000 gone and 5,000 new: {:?}, {used:.2} s of processor", begun.elapsed());
    }
    let (begun, used) = (std::time::Instant::now(), processor_seconds());
    let (mut worst, mut most) = (std::time::Duration::ZERO, 0);
    for first in (25_000..1_025_000).step_by(20_000) {
        let changes: Vec<Change> = (first..first + 20_000).map(|id| Change::Gone(ItemId(id + 1))).collect();
        let begun = std::time::Instant::now();
        opened.snapshots.save(&changes).unwrap();
        if let Some(renewal) = opened.snapshots.renew().unwrap() {
            println!("renewed with {} items", renewal.items);
        }
        (worst, most) = (worst.max(begun.elapsed()), most.max(resident()));
    }
    println!(
        "drained in {:?}, {:.1} s of processor, longest round {worst:?}, {most} MB of memory at most, {} MB then, {} MB on disk",
        begun.elapsed(),
        processor_seconds() - used,
        resident(),
        size_of(place.path()) >> 20
    );
}

/// `cargo test --release -p answerback-store small_saves -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn small_saves() {
    let place = Place::new();
    let mut opened = open(place.path());
    opened.snapshots.save(&(1..=1_000).map(put).collect::<Vec<_>>()).unwrap();
    let mut times: Vec<_> = (1_001..1_301)
        .map(|id| {
            let begun = std::time::Instant::now();
            opened.snapshots.save(&[put(id)]).unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("a save of one item: half of them within {:?}, 99 of 100 within {:?}", times[150], times[297]);
}
