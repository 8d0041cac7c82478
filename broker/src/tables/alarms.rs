//! The few times to wake up at that do not belong to a request: one per connection, a few per session.

use crate::time::Time;
use std::collections::BTreeSet;

/// A set of times, each with what it is for.
pub(crate) struct Alarms<A> {
    set: BTreeSet<(Time, A)>,
}

impl<A: Ord + Copy> Alarms<A> {
    pub(crate) fn new() -> Self {
        Self { set: BTreeSet::new() }
    }

    pub(crate) fn set(&mut self, at: Time, alarm: A) {
        self.set.insert((at, alarm));
    }

    pub(crate) fn unset(&mut self, at: Time, alarm: A) {
        self.set.remove(&(at, alarm));
    }

    /// What they are for, the next one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = A> {
        self.set.iter().map(|&(_, alarm)| alarm)
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.set.first().map(|&(at, _)| at)
    }

    pub(crate) fn pop(&mut self, now: Time) -> Option<A> {
        if self.next()? > now {
            return None;
        }
        self.set.pop_first().map(|(_, alarm)| alarm)
    }
}
