//! Who waits for the answer to a call: one future, or a stream of several answers.

use crate::session::{Caller, Ending, Part};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;

/// What the parts that wait for a slow reader may take: 64 MiB. A reader that falls behind further loses its call, because nobody else can wait for it.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What a part takes besides its data.
const PART_BYTES: usize = 128;

/// The end at which answers come in.
#[derive(Debug)]
pub(crate) struct Waiter {
    end: oneshot::Sender<Ending>,
    parts: Option<PartsIn>,
}

/// Where the link puts parts.
#[derive(Debug)]
struct PartsIn(Arc<Mutex<Waiting>>);

/// Where a stream takes its parts from.
#[derive(Debug)]
pub(crate) struct PartsOut(Arc<Mutex<Waiting>>);

/// Parts on their way. Not one of tokio's channels: those make a reader pause after so many parts, and a link reads more than that at once.
#[derive(Debug, Default)]
struct Waiting {
    parts: VecDeque<Part>,
    bytes: usize,
    /// The reader, if it sleeps.
    reader: Option<Waker>,
    /// Whether no more will come.
    over: bool,
}

impl Waiter {
    /// For one answer.
    pub(crate) fn one() -> (Self, oneshot::Receiver<Ending>) {
        let (end, answer) = oneshot::channel();
        (Self { end, parts: None }, answer)
    }

    /// For several answers.
    pub(crate) fn many() -> (Self, PartsOut, oneshot::Receiver<Ending>) {
        let (end, answer) = oneshot::channel();
        let waiting = Arc::new(Mutex::default());
        (Self { end, parts: Some(PartsIn(Arc::clone(&waiting))) }, PartsOut(waiting), answer)
    }
}

impl Caller for Waiter {
    fn part(&mut self, part: Part) -> bool {
        // Who asked for one answer gets the last.
        self.parts.as_ref().is_none_or(|parts| parts.put(part))
    }

    fn end(self, ending: Ending) {
        // A receiver that is gone has cancelled the call already.
        let _ = self.end.send(ending);
    }

    fn is_gone(&self) -> bool {
        self.end.is_closed()
    }
}

impl PartsIn {
    /// Whether there was room for it, and somebody who will read it.
    fn put(&self, part: Part) -> bool {
        let mut waiting = lock(&self.0);
        let bytes = waiting.bytes.saturating_add(cost(&part));
        if bytes > WAITING_BYTES_MAX || Arc::strong_count(&self.0) == 1 {
            return false;
        }
        waiting.bytes = bytes;
        waiting.parts.push_back(part);
        let reader = waiting.reader.take();
        drop(waiting);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}

impl Drop for PartsIn {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0);
        waiting.over = true;
        let reader = waiting.reader.take();
        drop(waiting);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl PartsOut {
    /// The next part; nothing once the call has ended and all parts are read.
    pub(crate) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Part>> {
        let mut waiting = lock(&self.0);
        if let Some(part) = waiting.parts.pop_front() {
            waiting.bytes -= cost(&part);
            return Poll::Ready(Some(part));
        }
        if waiting.over {
            return Poll::Ready(None);
        }
        waiting.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Nothing that is done under the lock can leave things half done.
fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cost(part: &Part) -> usize {
    PART_BYTES + part.result.as_ref().map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn part(bytes: usize) -> Part {
        Part { from: None, result: Ok(Bytes::from(vec![b'1'; bytes])) }
    }

    fn read(parts: &mut PartsOut) -> Poll<Option<Part>> {
        parts.poll_next(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_reader_that_falls_behind_loses_its_call() {
        let (mut waiter, _parts, _end) = Waiter::many();
        let many = WAITING_BYTES_MAX / (PART_BYTES + 1);
        assert!((0..many).all(|_| waiter.part(part(1))));
        assert!(!waiter.part(part(1)));
    }

    #[test]
    fn reading_makes_room() {
        let (mut waiter, mut parts, _end) = Waiter::many();
        let all = WAITING_BYTES_MAX - PART_BYTES;
        assert!(waiter.part(part(all)) && !waiter.part(part(1)));
        assert!(matches!(read(&mut parts), Poll::Ready(Some(_))));
        assert!(waiter.part(part(all)));
    }

    #[test]
    fn parts_are_read_to_the_end_after_the_call_has_ended() {
        let (mut waiter, mut parts, _end) = Waiter::many();
        assert!(read(&mut parts).is_pending() && waiter.part(part(1)));
        drop(waiter);
        assert!(matches!(read(&mut parts), Poll::Ready(Some(_))));
        assert!(matches!(read(&mut parts), Poll::Ready(None)));
    }

    #[test]
    fn without_a_reader_no_more_parts_are_wanted() {
        let (mut waiter, parts, _end) = Waiter::many();
        drop(parts);
        assert!(!waiter.part(part(1)));
    }

    #[test]
    fn who_asked_for_one_answer_is_not_bothered_with_parts() {
        let (mut waiter, _end) = Waiter::one();
        assert!((0..10_000).all(|_| waiter.part(part(1))));
    }
}
