//! Who waits for the answer to a call: one future, or a stream of several answers.

use crate::session::{Caller, Ending, Part};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Parts that may wait for a slow reader: several times what comes before a reader on the same thread has its turn …
const PARTS_WAITING_MAX: usize = 65_536;

/// … and their bytes: 64 MiB. A reader that falls behind further loses its call, because nobody else can wait for it.
const PART_BYTES_WAITING_MAX: usize = 64 << 20;

/// The end at which answers come in.
#[derive(Debug)]
pub(crate) struct Waiter {
    end: oneshot::Sender<Ending>,
    parts: Option<PartsIn>,
}

#[derive(Debug)]
struct PartsIn {
    parts: mpsc::Sender<Part>,
    bytes: Arc<AtomicUsize>,
}

/// Where a stream takes its parts from.
#[derive(Debug)]
pub(crate) struct PartsOut {
    parts: mpsc::Receiver<Part>,
    bytes: Arc<AtomicUsize>,
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
        let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
        let bytes = Arc::new(AtomicUsize::new(0));
        let parts = PartsIn { parts: sender, bytes: Arc::clone(&bytes) };
        (Self { end, parts: Some(parts) }, PartsOut { parts: receiver, bytes }, answer)
    }
}

impl Caller for Waiter {
    fn part(&mut self, part: Part) -> bool {
        // Who asked for one answer gets the last.
        let Some(PartsIn { parts, bytes }) = &self.parts else { return true };
        let more = size(&part);
        let fits = bytes.fetch_add(more, Ordering::Relaxed) + more <= PART_BYTES_WAITING_MAX;
        fits && parts.try_send(part).is_ok()
    }

    fn end(self, ending: Ending) {
        // A receiver that is gone has cancelled the call already.
        let _ = self.end.send(ending);
    }

    fn is_gone(&self) -> bool {
        self.end.is_closed()
    }
}

impl PartsOut {
    /// The next part; nothing once the call has ended and all parts are read.
    pub(crate) fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Part>> {
        let next = self.parts.poll_recv(context);
        if let std::task::Poll::Ready(Some(part)) = &next {
            self.bytes.fetch_sub(size(part), Ordering::Relaxed);
        }
        next
    }
}

fn size(part: &Part) -> usize {
    part.result.as_ref().map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::task::{Context, Waker};

    fn part(bytes: usize) -> Part {
        Part { from: None, result: Ok(Bytes::from(vec![b'1'; bytes])) }
    }

    #[test]
    fn a_reader_that_falls_behind_loses_its_call() {
        let (mut waiter, _parts, _end) = Waiter::many();
        assert!((0..PARTS_WAITING_MAX).all(|_| waiter.part(part(1))));
        assert!(!waiter.part(part(1)));
    }

    #[test]
    fn bytes_that_wait_are_bounded_and_reading_makes_room() {
        let (mut waiter, mut parts, _end) = Waiter::many();
        assert!(waiter.part(part(PART_BYTES_WAITING_MAX)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(parts.poll_next(&mut context).is_ready());
        assert!(waiter.part(part(PART_BYTES_WAITING_MAX)));
        assert!(!waiter.part(part(1)));
    }

    #[test]
    fn who_asked_for_one_answer_is_not_bothered_with_parts() {
        let (mut waiter, _end) = Waiter::one();
        assert!((0..2 * PARTS_WAITING_MAX).all(|_| waiter.part(part(1))));
    }
}
