//! Fifty processes at the same moment: one broker, and nothing is lost of what they say before there is one.

use crate::crowd::Crowd;

const PROCESSES: usize = 50;

/// Each sends to so many others at once, most of which have not started by then.
const SENDS: usize = 3;

/// Seed 48. simple-event-broker ("several start at once", "send before connected"): 1 of 15 crashed with an address in use, and what was said before the connection was dropped.
/// nanomitter ("leader"): the first one binds, the others dial.
#[test]
fn fifty_processes_at_the_same_moment_have_one_broker_and_lose_nothing() {
    let mut crowd = Crowd::new();
    for number in 0..PROCESSES {
        let others: Vec<usize> = (1..=SENDS).map(|step| (number + step) % PROCESSES).collect();
        crowd.start(&others);
    }
    crowd.until_all_are_in();
    crowd.until("all early sends", |said| said.got.len() == PROCESSES * SENDS);
    // Whoever had subscribed by then hears an early event; its publisher had.
    crowd.until("each one's own early event", |said| {
        (0..PROCESSES).all(|number| heard(said, &format!("news.early.{}", Crowd::name(number)), number) == 1)
    });
    for number in crowd.numbers() {
        crowd.tell(number, &format!("publish news.late.{}", Crowd::name(number)));
    }
    crowd.until("all late events", |said| {
        (0..PROCESSES).all(|by| {
            let topic = format!("news.late.{}", Crowd::name(by));
            (0..PROCESSES).all(|number| heard(said, &topic, number) == 1)
        })
    });
    crowd.check();
    let said = crowd.said();
    assert!(said.got.values().all(|times| *times == 1), "a send arrived twice: {:?}", said.got);
    assert_eq!(said.epochs.len(), 1, "more than one broker: {:?}", said.epochs);
    assert_eq!(crowd.spot.epoch(), Some(1));
}

fn heard(said: &crate::said::Said, topic: &str, number: usize) -> u32 {
    said.heard.get(topic).and_then(|by| by.get(&number)).copied().unwrap_or(0)
}
