//! What will happen when: events in the order of their time, and of their making where the time is the same.

use crate::network::Way;
use answerback_broker::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Something that happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A piece of a stream may have arrived.
    Arrive { link: usize, way: Way },
    /// A client wanted to be woken.
    Timer { client: usize, timer: Timer },
    /// The network does something bad.
    Mischief,
    /// Somebody connects who is no client.
    Stranger,
    /// The broker is asked to leave.
    Drain,
    /// The network and the clients come to rest.
    Calm,
    /// By now every caller must have its answer; the clients leave.
    Leave,
    /// By now nothing may be left in the broker.
    End,
    /// Steps of the journal were written, or could not be.
    Synced { life: u32, upto: u64 },
    /// Time for a snapshot.
    Round { life: u32 },
    /// Time for the next piece of it.
    Piece { life: u32 },
    /// A snapshot was written.
    Saved { life: u32 },
    /// The disk fails from now on.
    DiskFails,
    /// The disk works again.
    DiskWorks,
    /// The server is killed, or asked to leave and start again.
    Misfortune,
    /// The server has drained and stops.
    Stop { life: u32 },
    /// The server is started again.
    Start { clean: bool },
    /// More of what the store held is read.
    Stream { life: u32 },
}

/// Why a client wanted to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// To do something.
    Act,
    /// To connect again.
    Reconnect,
    /// To acknowledge the replies it has taken in.
    Ack { link: usize },
    /// To see whether the broker is still there.
    Silence { link: usize },
    /// To go on with its work on a delivery.
    Work { delivery: u64, serial: u64 },
}

struct Entry {
    at: Time,
    serial: u64,
    event: Event,
}

/// All that is going to happen.
#[derive(Default)]
pub(crate) struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    serial: u64,
}

impl Agenda {
    /// Adds an event.
    pub(crate) fn add(&mut self, at: Time, event: Event) {
        self.serial += 1;
        self.entries.push(Reverse(Entry { at, serial: self.serial, event }));
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.entries.peek().map(|entry| entry.0.at)
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self) -> Option<(Time, Event)> {
        self.entries.pop().map(|entry| (entry.0.at, entry.0.event))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_added() {
        let mut agenda = Agenda::default();
        agenda.add(Time::from_millis(2), Event::Calm);
        agenda.add(Time::from_millis(1), Event::Drain);
        agenda.add(Time::from_millis(1), Event::Leave);
        let order: Vec<_> = std::iter::from_fn(|| agenda.take()).map(|(_, event)| event).collect();
        assert_eq!(order, [Event::Drain, Event::Leave, Event::Calm]);
    }
}
