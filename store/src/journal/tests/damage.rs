//! Journals whose bytes were changed, cut, doubled, zeroed, or whose files were swapped or lost.

use super::{FaultyDisk, Strictness, done, gone, ids, open, put, segments, try_open};
use crate::testing::Dice;
use crate::{Disk, Finding, FindingKind, OpenError};
use answerback_broker::ItemId;
use std::path::Path;

/// Some segments; the server ended in order if `clean`. Items 1 to 60 live but for every fourth one.
fn journal(clean: bool) -> FaultyDisk {
    let disk = FaultyDisk::default();
    let mut opened = open(&disk);
    for id in 1..=60 {
        done(&mut opened.journal, vec![put(id)]);
        if id % 4 == 0 {
            done(&mut opened.journal, vec![gone(id - 2)]);
        }
    }
    if clean {
        opened.store.mark_clean().unwrap();
    }
    disk
}

fn live() -> Vec<u64> {
    (1..=60).filter(|id| id % 4 != 2).collect()
}

fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len());
    let end = (at + 1 + dice.below(700)).min(bytes.len());
    match dice.below(6) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => bytes[at..end].fill(0),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            let piece = bytes[at..end].to_vec();
            let over = dice.below(bytes.len());
            let end = (over + piece.len()).min(bytes.len());
            bytes[over..end].copy_from_slice(&piece[..end - over]);
        }
    }
}

/// Whatever happens to a file: it opens, loses no more than it says, and goes on. An item that was gone may be back only if steps were lost.
#[test]
fn any_damage_is_told_and_the_rest_is_kept() {
    let sound = journal(true);
    let files: Vec<_> = sound.files().into_iter().filter(|(path, _)| !path.ends_with("clean")).collect();
    let mut dice = Dice::new(11);
    for round in 0..600 {
        let disk = sound.after_kill();
        let path = &files[round % files.len()].0;
        disk.tamper(path, |bytes| change(bytes, &mut dice));
        let mut opened = match try_open(&disk, Strictness::Forgiving) {
            Ok(opened) => opened,
            Err(OpenError::Newer { .. }) => continue,
            Err(error) => panic!("round {round}: {error}"),
        };
        let found = ids(&mut opened);
        let is_loss = opened.findings.iter().any(Finding::is_loss);
        assert!(is_loss || found == live(), "round {round}: {:?} {found:?}", opened.findings);
        assert!(found.len() >= 30, "round {round}: one damage took {} items", 45 - found.len());
        assert_eq!(is_loss, !opened.clean, "round {round}");
        for finding in opened.findings.iter().filter(|finding| finding.path.extension().is_some()) {
            let aside = finding.aside.as_ref().unwrap_or_else(|| panic!("round {round}: {finding}"));
            assert!(disk.open(aside).is_ok() && finding.to_string().contains("aside"), "{finding}");
        }
        // The next start finds nothing wrong, and the same items.
        let mut journal = opened.journal;
        done(&mut journal, vec![put(100)]);
        let mut again = open(&disk.after_power_cut(round as u64));
        assert!(again.findings.is_empty(), "round {round}: {:?}", again.findings);
        assert_eq!(ids(&mut again), [found, vec![100]].concat(), "round {round}");
    }
}

/// Without the mark of a clean end the last commit may be torn, but nothing before it.
#[test]
fn only_the_end_can_be_torn() {
    let sound = journal(false);
    let last = segments(&sound).pop().unwrap();
    let length = sound.files().iter().find(|(path, _)| *path == last).unwrap().1 as usize;
    for cut in [1, 100, 200] {
        let disk = sound.after_kill();
        disk.tamper(&last, |bytes| bytes.truncate(length - cut));
        let opened = open(&disk);
        assert!(
            matches!(opened.findings[..], [Finding { kind: FindingKind::TornTail { .. }, .. }]),
            "{:?}",
            opened.findings
        );
        assert!(try_open(&disk.after_kill(), Strictness::Strict).is_ok(), "a torn end is no loss");
    }
    let disk = sound.after_kill();
    disk.tamper(&last, |bytes| bytes[length / 2] ^= 1);
    let opened = open(&disk);
    assert!(opened.findings.iter().all(Finding::is_loss) && !opened.findings.is_empty(), "{:?}", opened.findings);
}

#[test]
fn damage_says_where_and_how_much() {
    let disk = journal(true);
    let first = segments(&disk)[0].clone();
    disk.tamper(&first, |bytes| bytes[1_000] ^= 1);
    let opened = open(&disk);
    let Finding { kind: FindingKind::DamagedJournal { offset, bytes, steps }, .. } = &opened.findings[0] else {
        panic!("{:?}", opened.findings)
    };
    assert!((800..1_000).contains(offset) && (200..400).contains(bytes) && *steps == Some(1), "{:?}", opened.findings);
    let text = opened.findings[0].to_string();
    assert!(text.contains("1 steps of durable requests are lost") && text.contains("/data/store/aside/"), "{text}");
}

#[test]
fn strict_refuses_loss_and_changes_nothing() {
    let disk = journal(true);
    let first = segments(&disk)[0].clone();
    disk.tamper(&first, |bytes| drop(bytes.drain(700..900)));
    let before = disk.files();
    let Err(OpenError::Loss { findings }) = try_open(&disk, Strictness::Strict) else { panic!("it opened") };
    assert!(!findings.is_empty());
    assert_eq!(disk.files(), before);
}

#[test]
fn segments_that_are_missing_or_swapped_are_told() {
    let sound = journal(true);
    let files = segments(&sound);
    let disk = sound.after_kill();
    disk.remove(&files[1]).unwrap();
    let opened = open(&disk);
    assert_eq!(opened.findings[0].kind, FindingKind::MissingSegment);
    assert!(open(&disk.after_power_cut(3)).findings.is_empty(), "told once");
    let disk = sound.after_kill();
    disk.rename(&files[0], &files[1]).unwrap();
    let mut opened = open(&disk);
    assert!(matches!(opened.findings[0].kind, FindingKind::ForeignSegment { number: 1, .. }), "{:?}", opened.findings);
    assert!(ids(&mut opened).len() > 10);
}

/// No later segment says that the newest one should be there: a note does.
#[test]
fn a_newest_segment_that_is_gone_is_told() {
    for clean in [true, false] {
        let sound = journal(clean);
        let last = segments(&sound).pop().unwrap();
        for how in 0..3 {
            let disk = sound.after_kill();
            match how {
                0 => disk.remove(&last).unwrap(),
                1 => assert!(disk.tamper(&last, Vec::clear)),
                _ => assert!(disk.tamper(&last, |bytes| bytes.truncate(140))),
            }
            let before = disk.files();
            assert!(matches!(try_open(&disk, Strictness::Strict), Err(OpenError::Loss { .. })), "{how}");
            assert_eq!(disk.files(), before);
            let mut opened = open(&disk);
            let kept = ids(&mut opened);
            assert!(opened.findings.iter().any(Finding::is_loss), "{how}: {:?}", opened.findings);
            assert!(how > 0 || opened.findings[0] == Finding::new(FindingKind::MissingSegment, last.clone()));
            assert!(kept.len() < live().len() && opened.next_item > ItemId(60), "{how}");
            let mut again = open(&disk.after_power_cut(3));
            assert!(again.findings.is_empty() && ids(&mut again) == kept, "{how}: {:?}", again.findings);
        }
    }
}

/// When there is only one segment, nothing of it is left that could say so.
#[test]
fn an_only_segment_that_is_gone_is_told() {
    let disk = FaultyDisk::default();
    done(&mut open(&disk).journal, (1..6).map(put).collect());
    let only = segments(&disk).pop().unwrap();
    disk.remove(&only).unwrap();
    let mut opened = open(&disk);
    assert_eq!(opened.findings, [Finding::new(FindingKind::MissingSegment, only)]);
    assert!(ids(&mut opened).is_empty() && opened.next_item > ItemId(6), "ids of what is lost are not given again");
    done(&mut opened.journal, vec![put(opened.next_item.0)]);
    assert!(open(&disk.after_power_cut(1)).findings.is_empty(), "told once");
}

/// The note is worth nothing by itself: damaged it is told and written anew, and stores of before have none.
#[test]
fn a_note_that_is_gone_costs_nothing() {
    let note = Path::new("/data/store/journal/newest");
    for gone in [true, false] {
        let disk = journal(false);
        match gone {
            true => disk.remove(note).unwrap(),
            false => assert!(disk.tamper(note, |bytes| bytes[9] ^= 1)),
        }
        let mut opened = open(&disk);
        assert!(ids(&mut opened) == live() && !opened.findings.iter().any(Finding::is_loss), "{:?}", opened.findings);
        assert_eq!(opened.findings.is_empty(), gone);
        assert!(open(&disk.after_power_cut(2)).findings.is_empty());
        disk.remove(&segments(&disk).pop().unwrap()).unwrap();
        assert!(open(&disk).findings.iter().any(Finding::is_loss), "it was written again");
    }
}

/// A request whose data looks like a frame must not become one when the bytes around it are damaged.
#[test]
fn planted_frames_are_not_found() {
    let disk = journal(true);
    let first = segments(&disk)[0].clone();
    let mut piece = Vec::new();
    disk.tamper(&first, |bytes| piece = bytes[128..600].to_vec());
    // The same frames in a store of its own: another salt, so none of them is sound there.
    let other = journal(true);
    let file = segments(&other)[0].clone();
    other.tamper(&file, |bytes| {
        let end = 128 + piece.len();
        bytes[128..end].copy_from_slice(&piece);
    });
    let mut opened = open(&other);
    assert!(opened.findings.iter().any(Finding::is_loss));
    assert!(!ids(&mut opened).contains(&1));
}

/// A damaged file that cannot be copied is left as it is.
#[test]
fn without_space_to_set_aside_nothing_is_repaired() {
    let disk = journal(true);
    let first = segments(&disk)[0].clone();
    disk.tamper(&first, |bytes| bytes[1_000] ^= 1);
    disk.inject(super::Fault::Room(100));
    let mut opened = open(&disk);
    let finding = &opened.findings[0];
    assert!(finding.not_aside.is_some() && finding.to_string().contains("left as it is"), "{finding}");
    assert_eq!(ids(&mut opened).len(), 44);
    assert!(disk.open(&first).is_ok());
    disk.heal();
    assert!(open(&disk).findings[0].aside.is_some());
    assert!(disk.list(Path::new("/data/store/aside")).is_ok_and(|names| !names.is_empty()));
}

/// A sector may go bad between the two readings: the item is told and passed over, the others come, and it is not dropped from the journal.
#[test]
fn what_cannot_be_read_a_second_time_is_told() {
    let disk = journal(true);
    let mut opened = open(&disk);
    let first = segments(&disk)[0].clone();
    disk.tamper(&first, |bytes| bytes[200] ^= 1);
    let found = ids(&mut opened);
    assert_eq!(found, live()[1..]);
    let findings = opened.items.take_findings();
    assert!(matches!(findings[..], [Finding { kind: FindingKind::UnreadableItems { items: 1 }, .. }]), "{findings:?}");
    assert!(findings[0].is_loss() && findings[0].path == first, "{findings:?}");
    assert_eq!((opened.items.take_findings(), opened.journal.report().items), (Vec::new(), live().len() as u64));
}
