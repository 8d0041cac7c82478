//! Events that wait for the reader of one stream. A reader that is slow loses the oldest, and is told how many those were.

use crate::error::Error;
use crate::session::TopicEvent;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What may wait for one reader: 64 MiB, besides the number of events that the stream was given.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What an event takes besides its data.
const EVENT_BYTES: usize = 128;

/// Between the link and the reader.
#[derive(Debug)]
pub(crate) struct Inbox {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Arrived>,
    bytes: usize,
    /// Missed since the last event that is here, and since the stream began.
    missed: u64,
    missed_in_all: u64,
    reader: Option<Waker>,
    over: bool,
    /// Why it is over, until that was told.
    error: Option<Error>,
}

/// An event, and how many were missed right before it.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) event: TopicEvent,
    pub(crate) missed: u64,
}

impl Inbox {
    /// With room for so many events.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, waiting: Mutex::default() })
    }

    pub(crate) fn push(&self, event: TopicEvent) {
        let mut waiting = self.lock();
        if waiting.over {
            return;
        }
        waiting.bytes += cost(&event);
        let missed = std::mem::take(&mut waiting.missed);
        waiting.events.push_back(Arrived { event, missed });
        while waiting.events.len() > self.most || waiting.bytes > WAITING_BYTES_MAX && waiting.events.len() > 1 {
            waiting.drop_oldest();
        }
        wake(waiting);
    }

    /// So many did not even come.
    pub(crate) fn missed(&self, events: u64) {
        let mut waiting = self.lock();
        waiting.missed += events;
        waiting.missed_in_all += events;
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self, error: Option<Error>) {
        let mut waiting = self.lock();
        if !std::mem::replace(&mut waiting.over, true) {
            waiting.error = error;
        }
        wake(waiting);
    }

    pub(crate) fn missed_in_all(&self) -> u64 {
        self.lock().missed_in_all
    }

    /// The next event; then why it is over, if that was not asked for; then nothing.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Result<Arrived, Error>>> {
        let mut waiting = self.lock();
        if let Some(arrived) = waiting.events.pop_front() {
            waiting.bytes -= cost(&arrived.event);
            return Poll::Ready(Some(Ok(arrived)));
        }
        if waiting.over {
            return Poll::Ready(waiting.error.take().map(Err));
        }
        waiting.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Nothing that is done under the lock can leave things half done.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn drop_oldest(&mut self) {
        let Some(oldest) = self.events.pop_front() else { return };
        self.bytes -= cost(&oldest.event);
        self.missed_in_all += 1;
        let before = oldest.missed + 1;
        match self.events.front_mut() {
            Some(next) => next.missed += before,
            None => self.missed += before,
        }
    }
}

fn wake(mut waiting: MutexGuard<'_, Waiting>) {
    let reader = waiting.reader.take();
    drop(waiting);
    if let Some(reader) = reader {
        reader.wake();
    }
}

fn cost(event: &TopicEvent) -> usize {
    EVENT_BYTES + event.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn event(data: usize) -> TopicEvent {
        TopicEvent { topic: "t".into(), from: "p".into(), group: None, data: Bytes::from(vec![b'1'; data]) }
    }

    fn read(inbox: &Inbox) -> Option<(usize, u64)> {
        match inbox.poll_next(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(arrived))) => Some((arrived.event.data.len(), arrived.missed)),
            _ => None,
        }
    }

    #[test]
    fn the_oldest_go_and_the_next_one_says_how_many() {
        let inbox = Inbox::new(2);
        (1..=5).for_each(|bytes| inbox.push(event(bytes)));
        assert_eq!((read(&inbox), read(&inbox), read(&inbox)), (Some((4, 3)), Some((5, 0)), None));
        inbox.missed(7);
        inbox.push(event(6));
        assert_eq!((read(&inbox), inbox.missed_in_all()), (Some((6, 7)), 10));
    }

    #[test]
    fn bytes_are_bounded_but_for_one_event() {
        let inbox = Inbox::new(1_000_000);
        inbox.push(event(WAITING_BYTES_MAX));
        assert_eq!(inbox.missed_in_all(), 0);
        inbox.push(event(1));
        assert_eq!(read(&inbox), Some((1, 1)));
    }

    #[test]
    fn what_came_is_read_before_the_end_is_told() {
        let inbox = Inbox::new(2);
        inbox.push(event(1));
        inbox.end(None);
        inbox.push(event(2));
        assert_eq!(read(&inbox), Some((1, 0)));
        assert!(matches!(inbox.poll_next(&Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }
}
