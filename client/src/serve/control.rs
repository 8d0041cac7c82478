//! How work is stopped from outside.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use tokio::sync::Notify;

/// How far a piece of work is, and whether it is to stop.
///
/// ```text
///                   start                 cancel
///   UNSTARTED ───────────────► STARTED ───────────► CANCELLED
///       │                         └──────┬──────────────┘
///       │ any of them                    │ cut_off
///       ▼                                ▼
///  HANDED_BACK                        CUT_OFF
/// ```
///
/// Only what is unstarted can be handed back, so that is decided in one step.
#[derive(Debug, Default)]
pub(crate) struct Control {
    phase: AtomicU8,
    /// Rung when the phase becomes one in which it is to stop.
    bell: Notify,
}

const UNSTARTED: u8 = 0;
const STARTED: u8 = 1;
/// Back to the broker; nothing was done.
const HANDED_BACK: u8 = 2;
/// Nobody waits for it any more; it answers nevertheless.
const CANCELLED: u8 = 3;
/// Dropped where it stands; nothing is said about it.
const CUT_OFF: u8 = 4;

impl Control {
    /// Nobody waits for the answer any more.
    pub(crate) fn cancel(&self) {
        // What was not started need not be.
        if !self.moves(UNSTARTED, HANDED_BACK) && self.moves(STARTED, CANCELLED) {
            self.bell.notify_waiters();
        }
    }

    /// Back to the broker, if it was not started. Whether this took it away.
    pub(crate) fn hand_back(&self) -> bool {
        self.moves(UNSTARTED, HANDED_BACK)
    }

    /// Ends it where it stands, if it was started.
    pub(crate) fn cut_off(&self) {
        if !self.moves(UNSTARTED, HANDED_BACK) && (self.moves(STARTED, CUT_OFF) || self.moves(CANCELLED, CUT_OFF)) {
            self.bell.notify_waiters();
        }
    }

    /// Begins the work, unless it was taken away.
    pub(crate) fn start(&self) -> bool {
        self.moves(UNSTARTED, STARTED)
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.phase() == CUT_OFF
    }

    /// Whether the work is to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.phase() >= HANDED_BACK
    }

    /// Waits until the work is to stop.
    pub(crate) async fn stopped(&self) {
        let mut rung = pin!(self.bell.notified());
        // Listening first: what happens between the look and the wait is heard.
        rung.as_mut().enable();
        if !self.is_stopped() {
            rung.await;
        }
    }

    /// Waits for `future`, but not beyond the moment at which it is to stop. What is done at once never has to listen.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            return Some(done);
        }
        let mut stopped = pin!(self.stopped());
        poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Acquire)
    }

    fn moves(&self, from: u8, to: u8) -> bool {
        let moved = self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if moved && to == HANDED_BACK {
            self.bell.notify_waiters();
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_cannot_be_handed_back() {
        let control = Control::default();
        assert!(control.start());
        assert!(!control.hand_back());
        assert!(!control.is_stopped());
        control.cancel();
        assert!(control.is_stopped() && !control.is_cut_off());
    }

    #[test]
    fn what_was_handed_back_cannot_be_started() {
        let hand_back = |control: &Control| assert!(control.hand_back());
        for take_away in [hand_back, Control::cancel, Control::cut_off] {
            let control = Control::default();
            take_away(&control);
            assert!(!control.start() && control.is_stopped());
        }
    }

    #[tokio::test]
    async fn a_stop_is_heard_by_all_who_listen_and_by_those_who_come_late() {
        let control = Control::default();
        control.start();
        let waiting = async { tokio::join!(control.stopped(), control.stopped()) };
        let ((), _) = tokio::join!(async { control.cancel() }, waiting);
        control.stopped().await;
        assert_eq!(control.unless_stopped(std::future::pending::<()>()).await, None);
        assert_eq!(control.unless_stopped(async { 1 }).await, Some(1));
    }
}
