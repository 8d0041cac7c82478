//! One delivery, from its arrival to its answer: a task of its own.

use super::context::Context;
use super::handler::Erased;
use super::services::WorkCounts;
use crate::client::Client;
use crate::fault::Fault;
use crate::link::LinkNumber;
use crate::session::{Delivery, Verdict};
use crate::shared::Shared;
use answerback_protocol::DeliveryId;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// A delivery and all that its work needs.
pub(crate) struct Work {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Client,
    pub(crate) link: LinkNumber,
    pub(crate) delivery: Delivery,
    pub(crate) handler: Arc<dyn Erased>,
    pub(crate) slots: Arc<Semaphore>,
    /// Not before this.
    pub(crate) start_at: Option<Instant>,
    pub(crate) cancel_grace: Duration,
    pub(crate) control: Arc<Control>,
}

/// How work is stopped from outside.
#[derive(Debug, Default)]
pub(crate) struct Control {
    phase: AtomicU8,
    stop: CancellationToken,
}

/// Phases of work. Only what is unstarted can be handed back, and that is decided in one step.
const UNSTARTED: u8 = 0;
const STARTED: u8 = 1;
const HANDED_BACK: u8 = 2;
/// Dropped where it stands; nothing is said about it.
const CUT_OFF: u8 = 3;

impl Control {
    /// Nobody waits for the answer any more.
    pub(crate) fn cancel(&self) {
        // What was not started need not be.
        self.hand_back();
        self.stop.cancel();
    }

    /// Back to the broker, if it was not started.
    pub(crate) fn hand_back(&self) {
        if self.phase.compare_exchange(UNSTARTED, HANDED_BACK, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.stop.cancel();
        }
    }

    pub(crate) fn cut_off(&self) {
        self.phase.store(CUT_OFF, Ordering::Release);
        self.stop.cancel();
    }

    /// Begins the work, unless it was taken away.
    fn start(&self) -> bool {
        self.phase.compare_exchange(UNSTARTED, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn is_cut_off(&self) -> bool {
        self.phase.load(Ordering::Acquire) == CUT_OFF
    }

    /// Rings once when the work is to stop.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Work {
    /// Lets it run on its own.
    pub(crate) fn start(self) {
        tokio::spawn(self.run());
    }

    async fn run(self) {
        let slots = Arc::clone(&self.slots);
        let Some(_slot) = self.slot(&slots).await.filter(|_| self.control.start()) else {
            return self.hand_back();
        };
        let (shared, link, id, control) = (self.shared, self.link, self.delivery.id, self.control);
        let data = self.delivery.data.clone();
        let context = Context::new(self.client, link, self.delivery, Arc::clone(&control));
        let handler = self.handler;
        let handling = caught(async move { handler.handle(context, data).await });
        let outcome = stoppable(&control, self.cancel_grace, handling).await;
        match outcome {
            _ if control.is_cut_off() => shared.finish(link, id, None, |counts| counts.cut_off += 1),
            Some(Ok(answer)) => shared.finish(link, id, Some(Verdict::Done(answer)), |counts| counts.finished += 1),
            Some(Err(fault)) => shared.finish(link, id, Some(Verdict::Fault(fault)), |counts| counts.finished += 1),
            None => {
                let fault = Fault::new("cancelled", "the caller has gone or its time is up, and the work was stopped");
                shared.finish(link, id, Some(Verdict::Fault(fault)), |counts| counts.finished += 1);
            }
        }
    }

    /// A free slot, when the pace allows it; nothing if the work was taken away before.
    async fn slot<'a>(&self, slots: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        if let (None, Ok(slot)) = (self.start_at, slots.try_acquire()) {
            return Some(slot);
        }
        let wait = async {
            if let Some(at) = self.start_at {
                tokio::time::sleep_until(at.into()).await;
            }
            slots.acquire().await
        };
        // Slots are never closed, so one is always granted.
        until(&self.control.stop, wait).await?.ok()
    }

    fn hand_back(self) {
        let mut inside = self.shared.lock();
        if !self.control.is_cut_off() {
            inside.release(self.link, self.delivery.id);
        }
        inside.services.ended(self.link, self.delivery.id, |counts| counts.handed_back += 1);
        drop(inside);
        self.shared.wake_all();
        self.shared.quieter.notify_waiters();
    }
}

impl Shared {
    /// Says the last word on a delivery and forgets it.
    fn finish(&self, link: LinkNumber, id: DeliveryId, verdict: Option<Verdict>, count: impl FnOnce(&mut WorkCounts)) {
        let mut inside = self.lock();
        inside.services.ended(link, id, count);
        let waker = inside.link(link).and_then(|link| {
            if let Some(verdict) = verdict {
                link.session.answer(id, verdict);
            }
            link.take_waker()
        });
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.quieter.notify_waiters();
    }
}

/// Waits for `future`, but not beyond the ring of `stop`.
async fn until<T>(stop: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut stop) = (pin!(future), pin!(stop.cancelled()));
    poll_fn(|context| {
        if stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Waits for a handler; when it is stopped, for as long as the grace more.
async fn stoppable<T>(control: &Control, grace: Duration, handling: impl Future<Output = T>) -> Option<T> {
    let mut handling = pin!(handling);
    if let Some(done) = until(&control.stop, handling.as_mut()).await {
        return Some(done);
    }
    if grace.is_zero() || control.is_cut_off() {
        return None;
    }
    tokio::time::timeout(grace, handling).await.ok()
}

/// A handler that panics answers with a fault, and the service goes on.
async fn caught(handling: impl Future<Output = Result<Bytes, Fault>>) -> Result<Bytes, Fault> {
    let mut handling = pin!(handling);
    poll_fn(|context| {
        // What the panic left behind is dropped and never polled again.
        match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(_panic) => {
                tracing::error!("a handler panicked; its caller was answered with a fault");
                Poll::Ready(Err(Fault::new("panic", "the handler panicked: its own log says why")))
            }
        }
    })
    .await
}
