//! Leaving: in order, or at once.

use crate::link::Order;
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a goodbye may take, with a server that does not read.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// What became of the work that a client had when it was asked to leave.
///
/// ```
/// # async fn example(client: answerback::Client) {
/// let drained = client.drain(std::time::Duration::from_secs(10)).await;
/// assert_eq!(drained.cut_off, 0, "everything had time to finish");
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Deliveries that were answered meanwhile.
    pub finished: u64,
    /// Deliveries that were given back unstarted.
    pub handed_back: u64,
    /// Deliveries that were under way at the deadline.
    pub cut_off: u64,
}

/// See [`Client::drain`](crate::Client::drain).
pub(crate) async fn drain(shared: &Arc<Shared>, deadline: Duration) -> Drained {
    let until = Instant::now() + deadline;
    shared.begin_draining();
    let before = {
        let mut inside = shared.lock();
        inside.services.leave();
        for link in &mut inside.links {
            for (action, _) in link.session.served() {
                link.session.unserve(&action);
            }
        }
        inside.services.counts
    };
    shared.wake_all();
    let quiet = wait(shared, until, |inside| {
        let waiting = inside.links.iter().any(|link| link.session.calls() > 0);
        let unsaid = inside.links.iter().any(|link| link.session.is_welcome() && !link.session.is_idle());
        inside.services.under_way() == 0 && !waiting && !unsaid
    });
    quiet.await;
    close(shared).await;
    let after = shared.lock().services.counts;
    Drained {
        finished: after.finished - before.finished,
        handed_back: after.handed_back - before.handed_back,
        cut_off: after.cut_off - before.cut_off,
    }
}

/// See [`Client::close`](crate::Client::close).
pub(crate) async fn close(shared: &Arc<Shared>) {
    shared.begin_draining();
    {
        let mut inside = shared.lock();
        inside.services.leave();
        inside.services.cut_off(None);
    }
    shared.order_all(Order::Leave);
    let goodbye = Instant::now() + GOODBYE_WITHIN;
    wait(shared, goodbye, |inside| inside.links.iter().all(|link| !link.session.is_welcome())).await;
    shared.close(None);
    // Links end by themselves now; so does the work that was cut off.
    wait(shared, goodbye, |inside| inside.links.is_empty() && inside.services.under_way() == 0).await;
}

/// Waits until it is so, at most until the deadline.
async fn wait(shared: &Shared, until: Instant, is_so: impl Fn(&mut crate::shared::Inside) -> bool) {
    loop {
        let rung = shared.quieter.notified();
        let mut rung = std::pin::pin!(rung);
        rung.as_mut().enable();
        if is_so(&mut shared.lock()) || tokio::time::timeout_at(until, rung).await.is_err() {
            return;
        }
    }
}
