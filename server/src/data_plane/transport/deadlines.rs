//! By when connections that the core does not know must have shown what they are. All have the same time, so a queue is in order by itself.

use answerback_broker::{ConnectionId, Time};
use std::collections::VecDeque;

/// Connections by their deadline. Those that came in, or are gone, are passed over when they come to the front.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(VecDeque<(Time, ConnectionId)>);

impl Deadlines {
    /// Adds one whose deadline is not before those of all others.
    pub(crate) fn push(&mut self, until: Time, id: ConnectionId) {
        self.0.push_back((until, id));
    }

    /// The next deadline of a connection of which `waits` says so.
    pub(crate) fn next(&mut self, mut waits: impl FnMut(ConnectionId) -> bool) -> Option<Time> {
        while let Some(&(until, id)) = self.0.front() {
            if waits(id) {
                return Some(until);
            }
            self.0.pop_front();
        }
        None
    }

    /// Takes out the next one whose time is up.
    pub(crate) fn pop(&mut self, now: Time) -> Option<ConnectionId> {
        self.0.pop_front_if(|(until, _)| *until <= now).map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_came_in_do_not_wake_anybody() {
        let (id, at) = (|place| ConnectionId::new(0, place, 0), Time::from_millis);
        let mut deadlines = Deadlines::default();
        for place in 0..4 {
            deadlines.push(at(100 + u64::from(place)), id(place));
        }
        assert_eq!(deadlines.next(|known| known.place() >= 2), Some(at(102)));
        assert_eq!(deadlines.pop(at(101)), None);
        assert_eq!((deadlines.pop(at(102)), deadlines.pop(at(103))), (Some(id(2)), Some(id(3))));
        assert_eq!((deadlines.pop(at(200)), deadlines.next(|_| true)), (None, None));
    }
}
