//! One delivery, from its arrival to its answer: a task of its own.

use super::context::Context;
use super::control::Control;
use super::handler::{Erased, Handling};
use super::pace::Pace;
use crate::client::Client;
use crate::fault::Fault;
use crate::link::LinkNumber;
use crate::session::{Delivery, Verdict};
use crate::shared::Shared;
use answerback_protocol::DeliveryId;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A delivery and all that its work needs.
pub(crate) struct Work {
    pub(crate) client: Client,
    pub(crate) link: LinkNumber,
    pub(crate) delivery: Delivery,
    pub(crate) handler: Arc<dyn Erased>,
    pub(crate) slots: Arc<Semaphore>,
    pub(super) pace: Option<Arc<Pace>>,
    pub(crate) cancel_grace: Duration,
    pub(crate) control: Arc<Control>,
}

/// Work that has begun.
struct Started {
    shared: Arc<Shared>,
    link: LinkNumber,
    id: DeliveryId,
    control: Arc<Control>,
    cancel_grace: Duration,
    /// Free for the next when this is dropped.
    _slot: OwnedSemaphorePermit,
}

impl Work {
    /// Lets it run on its own: at once if there is a slot and the pace allows it, else when it is so.
    pub(crate) fn begin(self) {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) if self.pace.is_none() => {
                tokio::spawn(self.run(slot));
            }
            _ => {
                tokio::spawn(self.wait_and_run());
            }
        }
    }

    /// Boxed, so that work which need not wait is no larger for it.
    fn wait_and_run(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let slot = async {
                // Slots are never closed, so one is always granted.
                let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
                if let Some(pace) = &self.pace {
                    pace.turn().await;
                }
                slot
            };
            match self.control.unless_stopped(slot).await.flatten() {
                Some(slot) => self.run(slot).await,
                None => self.hand_back(),
            }
        })
    }

    /// Not an async function, so that what is only needed to begin is not carried along.
    fn run(self, slot: OwnedSemaphorePermit) -> impl Future<Output = ()> + Send {
        let Self { client, link, delivery, handler, cancel_grace, control, .. } = self;
        let shared = Arc::clone(client.shared());
        let (id, data) = (delivery.id, delivery.data.clone());
        let context = Context::new(client, link, delivery, Arc::clone(&control));
        let started = Started { shared, link, id, control, cancel_grace, _slot: slot };
        async move {
            if started.control.start() {
                let mut last_word = LastWord(Some(started));
                let outcome = match &last_word.0 {
                    Some(started) => started.stoppable(caught(handler, context, data)).await,
                    None => None,
                };
                last_word.say(outcome);
            } else {
                hand_back(&started.shared, link, id);
            }
        }
    }

    fn hand_back(self) {
        hand_back(self.client.shared(), self.link, self.delivery.id);
    }
}

impl Started {
    /// Waits for the handler; when it is stopped, for as long as the grace more.
    async fn stoppable<T>(&self, handling: impl Future<Output = T>) -> Option<T> {
        let mut handling = pin!(handling);
        if let Some(done) = self.control.unless_stopped(handling.as_mut()).await {
            return Some(done);
        }
        if self.cancel_grace.is_zero() || self.control.is_cut_off() {
            return None;
        }
        // Boxed: most work is not cancelled, and need not be larger for it.
        Box::pin(tokio::time::timeout(self.cancel_grace, handling)).await.ok()
    }

    /// Says the last word.
    fn finish(&self, outcome: Option<Result<Bytes, Fault>>) {
        let verdict = match outcome {
            _ if self.control.is_cut_off() => None,
            Some(Ok(answer)) => Some(Verdict::Done(answer)),
            Some(Err(fault)) => Some(Verdict::Fault(fault)),
            None => {
                let message = "the caller has gone or its time is up, and the work was stopped";
                Some(Verdict::Fault(Fault::new("cancelled", message)))
            }
        };
        let Self { shared, link, id, .. } = self;
        let mut inside = shared.lock();
        let cut_off = verdict.is_none();
        inside.services.ended(*link, *id, |counts| {
            *if cut_off { &mut counts.cut_off } else { &mut counts.finished } += 1;
        });
        if let Some(link) = inside.link(*link) {
            if let Some(verdict) = verdict {
                link.session.answer(*id, verdict);
            }
            link.rouse();
        }
        drop(inside);
        shared.ring();
    }
}

/// Sees to it that work which has begun is answered, also if the handler panics while it is dropped.
struct LastWord(Option<Started>);

impl LastWord {
    fn say(&mut self, outcome: Option<Result<Bytes, Fault>>) {
        if let Some(started) = self.0.take() {
            started.finish(outcome);
        }
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.say(Some(Err(panicked())));
    }
}

/// What is said for a handler that cannot speak for itself.
fn panicked() -> Fault {
    Fault::new("panic", "the handler panicked: its own log says why")
}

/// Gives a delivery back that was not started, unless that was done when it was taken away.
fn hand_back(shared: &Shared, link: LinkNumber, id: DeliveryId) {
    shared.lock().hand_back(link, id);
    shared.ring();
}

/// A handler that panics answers with a fault, and the service goes on. It begins when it is first polled, so that a panic in its first lines is caught, too.
async fn caught(handler: Arc<dyn Erased>, context: Context, data: Bytes) -> Result<Bytes, Fault> {
    let mut handling: Option<Handling> = None;
    let mut input = Some((context, data));
    poll_fn(|task| {
        // What the panic left behind is dropped and never polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some((context, data)) = input.take() {
                handling = Some(handler.handle(context, data));
            }
            handling.as_mut().map_or(Poll::Pending, |handling| handling.as_mut().poll(task))
        }));
        polled.unwrap_or_else(|_panic| {
            tracing::error!("a handler panicked; its caller was answered with a fault");
            Poll::Ready(Err(panicked()))
        })
    })
    .await
}
