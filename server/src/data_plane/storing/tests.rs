//! The data plane's half, with the core that it really has, and a test at the other ends of the channels.

use super::*;
use crate::store::RoundFigures;
use answerback_broker::{ConnectionId, Settings};
use answerback_protocol::frames::{Hello, Request, Serve};
use answerback_protocol::{ClientFrame, Name, Payload, RequestId, SessionId};
use std::sync::mpsc::sync_channel;

const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
const CLIENT: ConnectionId = ConnectionId::new(0, 1, 1);

struct World {
    storing: Storing,
    broker: Broker,
    batches: Receiver<Batch>,
    rounds: Receiver<Round>,
    requests: u64,
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn world() -> World {
    let (journal, batches) = sync_channel(1);
    let (snapshots, rounds) = sync_channel(1);
    let (chunks, sends) = sync_channel(1);
    chunks.send(Chunk::End { complete: true }).unwrap();
    let links = Links { journal, snapshots, sends, was_clean: true };
    let mut broker = Broker::new(Settings { has_store: true, ..Settings::default() });
    broker.handle(
        at(0),
        Input::Connected { connection: CLIENT, peer: "test".to_owned(), holder: None, waited: Duration::ZERO },
    );
    let session = SessionId::new(7);
    let hello = Hello { protocol: (1, 1), name: "test".into(), session, agent: None, node: None };
    let hello = ClientFrame::from(hello);
    broker.handle(at(0), Input::Frame { connection: CLIENT, frame: hello, data: Payload::NONE });
    let storing = Storing::new(links, INTERVAL, PATIENCE, at(0));
    let mut world = World { storing, broker, batches, rounds, requests: 0 };
    world.turn(0);
    world
}

impl World {
    fn send(&mut self, millis: u64, durable: bool) {
        self.requests += 1;
        let call = Request::call(RequestId::new(self.requests).unwrap(), Name::new("work").unwrap());
        let frame = ClientFrame::from(Request { reply: false, durable, ..call });
        self.broker.handle(at(millis), Input::Frame { connection: CLIENT, frame, data: Payload::NONE });
    }

    fn turn(&mut self, millis: u64) {
        self.storing.turn(at(millis), &mut self.broker);
        while self.broker.next_output().is_some() {}
    }

    fn hear(&mut self, millis: u64, news: News) {
        self.storing.hear(at(millis), news, &mut self.broker);
        self.turn(millis);
    }

    fn saved(&mut self, millis: u64) {
        self.hear(millis, News::Saved(RoundFigures::default()));
    }
}

fn written(upto: u64) -> News {
    News::Written { upto, figures: JournalFigures::default() }
}

fn not_written(upto: u64) -> News {
    News::NotWritten { upto, error: "full".to_owned(), figures: JournalFigures::default() }
}

#[test]
fn nothing_wakes_a_server_in_which_nothing_changes() {
    let mut world = world();
    world.turn(5_000);
    assert!(!world.storing.is_busy() && world.storing.next().is_none());
    assert!(world.rounds.try_recv().is_err() && world.batches.try_recv().is_err());
}

#[test]
fn what_changed_is_saved_an_interval_later_in_one_round_at_a_time() {
    let mut world = world();
    world.send(100, false);
    world.turn(100);
    assert_eq!(world.storing.next(), Some(at(1_100)));
    world.turn(1_099);
    assert!(world.rounds.try_recv().is_err());
    world.turn(1_100);
    let round = world.rounds.try_recv().unwrap();
    assert_eq!((round.changes.len(), round.last), (1, false));
    world.send(1_200, false);
    world.turn(2_500);
    assert!(world.rounds.try_recv().is_err(), "the first one is not saved yet");
    world.saved(2_600);
    world.turn(3_500);
    assert_eq!(world.rounds.try_recv().unwrap().changes.len(), 1);
    let counts = world.storing.report(at(3_500)).rounds;
    assert_eq!((counts.rounds, counts.last_took), (1, Duration::from_millis(1_500)));
}

#[test]
fn a_large_round_is_gathered_over_turns_without_a_pause() {
    let mut world = world();
    for _ in 0..2_500 {
        world.send(100, false);
    }
    world.turn(100);
    let mut turns = 0;
    while world.rounds.try_recv().map(|round| assert_eq!(round.changes.len(), 2_500)).is_err() {
        world.turn(1_100 + turns);
        turns += 1;
        assert!(turns < 10);
    }
    assert!(turns >= 3, "gathered in {turns} turns");
}

#[test]
fn steps_for_which_there_is_no_room_are_handed_over_later_all_together() {
    let mut world = world();
    world.send(1, true);
    world.turn(1);
    world.send(2, true);
    world.turn(2);
    world.send(3, true);
    world.turn(3);
    let first = world.batches.try_recv().unwrap();
    assert_eq!((first.upto, first.steps.len()), (1, 1));
    world.hear(4, written(1));
    let second = world.batches.try_recv().unwrap();
    assert_eq!((second.upto, second.steps.len()), (3, 2));
    assert_eq!(world.storing.report(at(4)).steps_waiting, 2);
}

/// A disk that hangs: nobody says that it failed, so only time tells.
#[test]
fn a_sync_that_takes_too_long_is_told_and_forgotten_when_it_returns() {
    let mut world = world();
    world.send(1_000, true);
    world.turn(1_000);
    assert_eq!(world.storing.steps.watch.next(), Some(at(6_000)));
    world.turn(6_000);
    assert_eq!(world.storing.told, Health { takes_durable: false, unsaved_since: Some(at(1_000)) });
    let report = world.storing.report(at(8_000));
    let (since, why) = report.journal_trouble.unwrap();
    assert_eq!((since.as_secs(), why.as_str()), (7, "the disk has not answered for 5000 ms"));
    world.hear(9_000, written(1));
    assert_eq!(world.storing.told, Health { takes_durable: true, unsaved_since: None });
}

#[test]
fn a_failure_is_told_to_the_core_at_once_and_so_is_its_end() {
    let mut world = world();
    world.send(1_000, true);
    world.send(1_000, false);
    world.turn(1_000);
    world.hear(1_010, not_written(1));
    assert_eq!(world.storing.told, Health { takes_durable: false, unsaved_since: Some(at(1_010)) });
    world.turn(2_000);
    world.rounds.try_recv().unwrap();
    world.hear(2_010, News::NotSaved { error: "full".to_owned() });
    assert_eq!(world.storing.told.unsaved_since, Some(at(1_000)), "the oldest change that is not saved");
    world.hear(3_000, News::JournalWorks { figures: JournalFigures::default() });
    world.saved(3_000);
    assert_eq!(world.storing.told, Health { takes_durable: true, unsaved_since: None });
}

/// A durable request was about to be delivered when the disk failed, and nothing else came since: it hung until something did.
#[test]
fn what_waited_for_a_disk_that_had_failed_goes_on_by_itself() {
    let mut world = world();
    world.send(100, true);
    world.turn(100);
    world.hear(110, written(1));
    let serve = Serve { action: Name::new("work").unwrap(), credit: 1 };
    let serve = Input::Frame { connection: CLIENT, frame: serve.into(), data: Payload::NONE };
    world.broker.handle(at(120), serve);
    world.turn(120);
    world.hear(130, not_written(2));
    assert_eq!(world.broker.held().delivered, 0);
    world.hear(3_000, News::JournalWorks { figures: JournalFigures::default() });
    // Its handler's place was given back while the disk failed, so that it is marked once more.
    let all = world.storing.report(at(3_000)).steps_waiting + 2;
    world.hear(3_010, written(all));
    assert_eq!(world.broker.held().delivered, 1);
}

fn last_round(world: &mut World, millis: u64) -> Round {
    for _ in 0..10 {
        assert_eq!(world.storing.finish(at(millis)), None);
        world.turn(millis);
        if let Ok(round) = world.rounds.try_recv() {
            return round;
        }
    }
    panic!("no last round");
}

#[test]
fn the_last_round_is_made_after_the_one_under_way() {
    let mut world = world();
    world.send(100, false);
    world.turn(100);
    world.turn(1_100);
    assert!(!world.rounds.try_recv().unwrap().last);
    world.send(1_200, false);
    world.turn(1_200);
    assert_eq!(world.storing.finish(at(1_200)), None);
    world.saved(1_300);
    let round = last_round(&mut world, 1_300);
    assert!(round.last && !round.changes.is_empty());
    world.saved(1_400);
    assert_eq!(world.storing.finish(at(1_400)), Some(Last::Saved));
}

#[test]
fn with_nothing_to_save_the_end_comes_at_once() {
    let mut world = world();
    for _ in 0..2 {
        world.storing.finish(at(1_000));
        world.turn(1_000);
    }
    assert_eq!(world.storing.finish(at(1_000)), Some(Last::Saved));
}

#[test]
fn the_end_waits_for_the_journal() {
    let mut world = world();
    world.send(1_000, true);
    world.turn(1_000);
    world.storing.finish(at(1_000));
    world.turn(1_000);
    assert_eq!(world.storing.finish(at(60_000)), None, "the disk may only be slow");
    world.hear(60_000, written(1));
    for _ in 0..2 {
        world.turn(60_000);
        while let Ok(batch) = world.batches.try_recv() {
            world.hear(60_000, written(batch.upto));
        }
    }
    assert_eq!(world.storing.finish(at(60_000)), Some(Last::Saved));
}

#[test]
fn a_last_round_that_fails_is_given_up_after_patience() {
    let mut world = world();
    world.send(1_000, false);
    world.turn(1_000);
    last_round(&mut world, 1_000);
    world.hear(1_500, News::NotSaved { error: "full".to_owned() });
    assert_eq!(world.storing.finish(at(5_999)), None);
    assert_eq!(world.storing.next(), Some(at(6_000)));
    assert_eq!(world.storing.finish(at(6_000)), Some(Last::Lost));
}
