//! Tests of the journal: against a model on a disk that fails, and with damaged files.

mod damage;
mod model;
mod space;

use super::{Commit, Journal};
use crate::disk::{Disk, Fault, FaultyDisk};
use crate::testing::{Dice, calendar, random_item, small_request};
use crate::{OpenError, Opened, Options, SnapshotsIn, Store, Strictness};
use answerback_broker::{Change, Item, ItemId, Progress, Step};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Small, so that tests see many.
const SEGMENT_BYTES: u64 = 4 << 10;

fn options(disk: &FaultyDisk) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        snapshots: SnapshotsIn::Memory(crate::MemoryShelf::default()),
        segment_bytes: SEGMENT_BYTES,
        ..Options::default()
    }
}

fn try_open(disk: &FaultyDisk, strictness: Strictness) -> Result<Opened, OpenError> {
    let options = Options { strictness, ..options(disk) };
    Store::open(Path::new("/data/store"), calendar(), &options, &mut |_| ControlFlow::Continue(()))
}

fn open(disk: &FaultyDisk) -> Opened {
    try_open(disk, Strictness::Forgiving).unwrap()
}

fn put(id: u64) -> Step {
    Step(vec![Change::Put(ItemId(id), small_request(id))])
}

fn gone(id: u64) -> Step {
    Step(vec![Change::Gone(ItemId(id))])
}

fn ids(opened: &mut Opened) -> Vec<u64> {
    opened.items.by_ref().map(|(id, _)| id.0).collect()
}

fn done(journal: &mut Journal, mut steps: Vec<Step>) {
    let commit = journal.commit(&mut steps);
    assert!(matches!(commit, Commit::Done), "{commit:?}");
    assert!(steps.is_empty());
}

/// How many requests a commit that must fail has dropped.
fn refused(journal: &mut Journal, mut steps: Vec<Step>) -> usize {
    match journal.commit(&mut steps) {
        Commit::Failed(failed) => failed.dropped,
        Commit::Done => panic!("the disk should have failed"),
    }
}

fn segments(disk: &FaultyDisk) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.extension().is_some_and(|form| form == "journal")).collect()
}

fn a_kept_reply() -> Item {
    let mut dice = Dice::new(3);
    std::iter::repeat_with(|| random_item(&mut dice)).find(|item| matches!(item, Item::Kept(_))).unwrap()
}

#[test]
fn what_is_committed_is_there_after_a_power_cut() {
    let disk = FaultyDisk::default();
    let mut opened = open(&disk);
    assert!(opened.is_new && !opened.clean && opened.next_item == ItemId(1));
    let progress =
        Progress { attempt: 2, deliveries: 3, parts: 4, delivered: true, may_have_run: true, handler: Some(5) };
    done(&mut opened.journal, vec![put(5), put(7), put(9)]);
    done(&mut opened.journal, vec![gone(7), Step(vec![Change::Progress(ItemId(9), progress)])]);
    drop(opened);
    for seed in 0..20 {
        let opened = open(&disk.after_power_cut(seed));
        assert!(opened.findings.is_empty() && !opened.clean && !opened.is_new, "{:?}", opened.findings);
        assert_eq!(opened.next_item, ItemId(10));
        match &opened.items.collect::<Vec<_>>()[..] {
            [(ItemId(5), _), (ItemId(9), Item::Request(request))] => assert_eq!(request.progress, progress),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_step_is_synced_at_once_and_a_hundred_share_a_sync() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, vec![put(1)]);
    let before = disk.syncs();
    done(&mut journal, vec![put(2)]);
    assert_eq!(disk.syncs() - before, 1);
    done(&mut journal, (3..103).map(put).collect());
    assert_eq!(disk.syncs() - before, 2);
    assert!(matches!(journal.commit(&mut Vec::new()), Commit::Done));
    assert!(matches!(journal.retry(), Commit::Done));
    assert_eq!(disk.syncs() - before, 2, "nothing to write is nothing to sync");
    assert_eq!((journal.report().items, journal.report().syncs), (102, 3));
}

/// The commit hangs as long as the disk does, and is not done before.
#[test]
fn a_commit_waits_for_the_sync() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, vec![put(1)]);
    let gate = disk.hold_syncs();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            done(&mut journal, vec![put(2)]);
            tell.send(()).unwrap();
        });
        gate.wait_for_somebody();
        assert!(told.try_recv().is_err());
        drop(gate);
        told.recv_timeout(Duration::from_secs(60)).unwrap();
    });
}

#[test]
fn a_sync_that_fails_once_drops_new_requests_and_keeps_the_rest() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, vec![put(1), put(2)]);
    disk.inject(Fault::FailSync(1));
    assert_eq!(refused(&mut journal, vec![put(3), gone(1), put(4)]), 2);
    assert!(journal.is_failing());
    assert_eq!((journal.report().waiting, journal.report().failures), (1, 1));
    assert!(matches!(journal.retry(), Commit::Done));
    assert!(!journal.is_failing());
    // What the core says of a request that was refused means nothing any more.
    done(&mut journal, vec![gone(3), put(5)]);
    for seed in 0..20 {
        assert_eq!(ids(&mut open(&disk.after_power_cut(seed))), [2, 5]);
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_space() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, vec![put(1)]);
    disk.inject(Fault::Room(300));
    assert_eq!(refused(&mut journal, vec![put(2), put(3)]), 2);
    disk.inject(Fault::Room(10));
    assert_eq!(refused(&mut journal, vec![gone(1)]), 0);
    assert_eq!(refused(&mut journal, (10..40).map(put).collect()), 30);
    disk.heal();
    assert!(matches!(journal.retry(), Commit::Done));
    done(&mut journal, vec![put(5)]);
    assert_eq!(ids(&mut open(&disk.after_kill())), [5]);
}

#[test]
fn a_disk_that_becomes_read_only_refuses_and_recovers() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, vec![put(1), put(2)]);
    disk.inject(Fault::ReadOnly);
    assert_eq!(refused(&mut journal, vec![put(3), gone(2)]), 1);
    assert_eq!(refused(&mut journal, vec![put(4)]), 1);
    disk.heal();
    done(&mut journal, vec![put(6)]);
    for seed in 0..20 {
        assert_eq!(ids(&mut open(&disk.after_power_cut(seed))), [1, 6]);
    }
    disk.inject(Fault::ReadOnly);
    let error = try_open(&disk, Strictness::Forgiving).unwrap_err().to_string();
    assert!(error.contains("read-only"), "{error}");
}

/// A reply of a request that was accepted must not be forgotten because the disk failed when it came.
#[test]
fn replies_wait_for_the_disk() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, vec![put(1)]);
    disk.inject(Fault::FailSyncs);
    let answer = Step(vec![Change::Gone(ItemId(1)), Change::Put(ItemId(2), a_kept_reply())]);
    assert_eq!(refused(&mut journal, vec![answer]), 0);
    assert_eq!(ids(&mut open(&disk.after_power_cut(0))), [1]);
    disk.heal();
    assert!(matches!(journal.retry(), Commit::Done));
    assert_eq!(open(&disk.after_power_cut(1)).items.collect::<Vec<_>>(), [(ItemId(2), a_kept_reply())]);
}

#[test]
fn a_clean_end_is_remembered_once() {
    let disk = FaultyDisk::default();
    let mut opened = open(&disk);
    done(&mut opened.journal, vec![put(1)]);
    opened.store.mark_clean().unwrap();
    assert!(open(&disk.after_power_cut(0)).clean);
    assert!(open(&disk).clean);
    assert!(!open(&disk.after_power_cut(0)).clean, "opening it took the mark away");
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    let disk = FaultyDisk::default();
    done(&mut open(&disk).journal, vec![put(1)]);
    let segment = segments(&disk)[0].clone();
    let newer = disk.after_kill();
    newer.tamper(Path::new("/data/store/format"), |bytes| *bytes = b"answerback-store 2 and so on\n".to_vec());
    let before = newer.files();
    let error = try_open(&newer, Strictness::Forgiving).unwrap_err().to_string();
    assert!(error.contains("format 2") && error.contains("newer version"), "{error}");
    assert_eq!(newer.files(), before);
    let newer = disk.after_kill();
    newer.tamper(&segment, |bytes| (bytes[7], bytes[71]) = (b'2', b'2'));
    assert!(matches!(try_open(&newer, Strictness::Forgiving), Err(OpenError::Newer { .. })));
}

#[test]
fn a_directory_with_other_things_in_it_is_not_taken() {
    let disk = FaultyDisk::default();
    disk.make_dir(Path::new("/data/store")).unwrap();
    drop(disk.create(Path::new("/data/store/photos.zip")).unwrap());
    assert!(matches!(try_open(&disk, Strictness::Forgiving), Err(OpenError::NotAStore { .. })));
    assert_eq!(disk.files().len(), 1);
}

/// Whoever watches a long replay may stop it.
#[test]
fn a_replay_can_be_stopped() {
    let disk = FaultyDisk::default();
    done(&mut open(&disk).journal, (1..=70_000).map(gone).collect());
    let mut calls = 0;
    let watch = &mut |steps| {
        assert_eq!(steps, 65_536);
        calls += 1;
        ControlFlow::Break(())
    };
    let stopped = Store::open(Path::new("/data/store"), calendar(), &options(&disk), watch);
    assert!(matches!(stopped, Err(OpenError::Stopped)));
    assert_eq!(calls, 1);
}
