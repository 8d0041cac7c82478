//! Space comes back: segments are dropped, and what lives in old ones is copied forward.

use super::{FaultyDisk, done, gone, ids, open, put, segments};
use crate::disk::Fault;
use crate::testing::{calendar, processor_seconds, resident_bytes, small_request};
use crate::{Commit, Options, SnapshotsIn, Store};
use answerback_broker::{Change, Item, ItemId, Progress, Step};
use std::ops::ControlFlow;

#[test]
fn segments_go_when_all_in_them_is_done() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    for id in 1..=2_000 {
        done(&mut journal, vec![put(id)]);
        done(&mut journal, vec![gone(id)]);
    }
    assert!(segments(&disk).len() <= 2, "{:?}", segments(&disk));
    assert_eq!((journal.report().items, journal.report().segments), (0, segments(&disk).len() as u64));
}

/// One old item must not hold everything that came after it.
#[test]
fn what_lives_in_an_old_segment_is_copied_with_its_progress() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    let progress = Progress { attempt: 1, deliveries: 2, delivered: true, ..Progress::default() };
    done(&mut journal, vec![put(1), Step(vec![Change::Progress(ItemId(1), progress)])]);
    for id in 2..=3_000 {
        done(&mut journal, vec![put(id)]);
        done(&mut journal, vec![gone(id)]);
        let report = journal.report();
        assert!(report.bytes_on_disk < 40 << 10, "{report:?}");
    }
    let opened = open(&disk.after_power_cut(0));
    assert_eq!(opened.next_item, ItemId(3_001), "ids are not given twice, although none of these is left");
    match &opened.items.collect::<Vec<_>>()[..] {
        [(ItemId(1), Item::Request(request))] => assert_eq!(request.progress, progress),
        other => panic!("{other:?}"),
    }
}

/// A bad sector under an old item: it cannot be copied, that is told once, and the rest goes on.
#[test]
fn what_cannot_be_copied_is_told_once() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, vec![put(1)]);
    let first = segments(&disk)[0].clone();
    disk.tamper(&first, |bytes| bytes[200] ^= 1);
    for id in 2..=200 {
        done(&mut journal, vec![put(id), gone(id - 1 + u64::from(id == 2))]);
    }
    assert_eq!(journal.take_findings().len(), 1);
    assert_eq!(journal.take_findings(), []);
    // Its core still knows it, and ends it one day.
    done(&mut journal, vec![gone(1)]);
    for id in 201..=250 {
        done(&mut journal, vec![put(id), gone(id)]);
    }
    assert!(segments(&disk).len() < 6, "{}", segments(&disk).len());
}

/// A segment is dropped when the next commit comes, also when it could not be at first.
#[test]
fn a_removal_that_fails_is_tried_again() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).journal;
    done(&mut journal, (1..=20).map(put).collect());
    done(&mut journal, vec![put(21)]);
    // The append, the sync, and then the removal.
    disk.inject(Fault::FailOperation(3));
    done(&mut journal, (1..=20).map(gone).collect());
    assert_eq!(segments(&disk).len(), 2);
    done(&mut journal, vec![put(22)]);
    assert_eq!(segments(&disk).len(), 1);
    assert_eq!(ids(&mut open(&disk.after_power_cut(0))), [21, 22]);
}

/// `cargo test --release -p answerback-store figures -- --ignored --nocapture --test-threads 1`
#[test]
#[ignore = "a measurement"]
fn figures() {
    let place = crate::testing::Place::new();
    let options = Options { snapshots: SnapshotsIn::Memory(crate::MemoryShelf::default()), ..Options::default() };
    let at = place.path().join("store");
    let open = || Store::open(&at, calendar(), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let mut journal = open().journal;
    let put = |id| Step(vec![Change::Put(ItemId(id), small_request(id))]);
    for group in [1_u64, 64, 256] {
        let pairs = 400_000.min(group * 4_000);
        let (begun, used) = (std::time::Instant::now(), processor_seconds());
        for first in (0..pairs).step_by(group as usize) {
            let ids = first + 1..=first + group;
            assert!(matches!(journal.commit(&mut ids.clone().map(put).collect()), Commit::Done));
            assert!(matches!(journal.commit(&mut ids.map(gone).collect()), Commit::Done));
        }
        let used = (processor_seconds() - used) / pairs as f64 * 1e6;
        let rate = pairs as f64 / begun.elapsed().as_secs_f64();
        println!("groups of {group}: {rate:.0} pairs/s, {used:.1} us of processor each");
    }
    let memory = resident_bytes();
    let begun = std::time::Instant::now();
    for first in (0..1_000_000).step_by(256) {
        let ids = first + 1_000_001..first + 1_000_257;
        assert!(matches!(journal.commit(&mut ids.map(put).collect()), Commit::Done));
    }
    println!(
        "1,000,000 put in {:?}, {} bytes of memory for each",
        begun.elapsed(),
        (resident_bytes() - memory) / 1_000_000
    );
    drop(journal);
    let memory = resident_bytes();
    let (begun, used) = (std::time::Instant::now(), processor_seconds());
    let opened = open();
    println!(
        "{} replayed in {:?}, {:.2} s of processor, {} bytes of memory for each",
        opened.items.count(),
        begun.elapsed(),
        processor_seconds() - used,
        (resident_bytes() - memory) / 1_000_000
    );
}
