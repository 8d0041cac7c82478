//! Leaving: in order, or at once.

use crate::serve::WorkCounts;
use crate::shared::{Inside, Shared};
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

impl Drained {
    /// What was done between two counts.
    pub(crate) fn between(before: WorkCounts, after: WorkCounts) -> Self {
        Self {
            finished: after.finished - before.finished,
            handed_back: after.handed_back - before.handed_back,
            cut_off: after.cut_off - before.cut_off,
        }
    }
}

/// See [`Client::drain`](crate::Client::drain). A drain that is given up half-way, or begun again with less time, goes on from where it is.
pub(crate) async fn drain(shared: &Arc<Shared>, deadline: Duration) -> Drained {
    let before = begin_draining(shared);
    wait(shared, deadline, Inside::is_quiet).await;
    close(shared).await;
    let inside = shared.lock();
    let mut drained = Drained::between(before, inside.services.counts);
    // Work that does not let itself be dropped, because it blocks its thread, is cut off as well.
    drained.cut_off += inside.services.under_way() as u64;
    drained
}

/// Takes nothing new and hands back what was not started. What was counted until then.
fn begin_draining(shared: &Shared) -> WorkCounts {
    shared.begin_draining();
    let mut inside = shared.lock();
    let before = inside.services.counts;
    inside.services.leave();
    inside.hand_back_unstarted(|_, _| true);
    for link in &mut inside.links {
        link.session.unserve_all();
        link.rouse();
    }
    before
}

impl Inside {
    /// Whether nothing is under way, nothing waits, all was said, and no server can have a delivery on its way to us.
    fn is_quiet(&mut self) -> bool {
        let over = |link: &crate::link::Link| {
            let session = &link.session;
            // Without a connection no delivery can come; but answers wait for the next one.
            session.is_idle() && !(session.is_welcome() && session.serves_anything())
        };
        self.services.under_way() == 0 && self.links.iter().all(over)
    }
}

/// See [`Client::close`](crate::Client::close).
pub(crate) async fn close(shared: &Arc<Shared>) {
    begin_closing(shared);
    wait(shared, GOODBYE_WITHIN, |inside| inside.links.iter().all(|link| !link.session.is_welcome())).await;
    shared.close(None);
    // Links end by themselves now; so does the work that was cut off.
    wait(shared, GOODBYE_WITHIN, |inside| inside.links.is_empty() && inside.services.under_way() == 0).await;
}

/// Drops what is at work, hands the rest back, and lets every link say goodbye.
pub(crate) fn begin_closing(shared: &Shared) {
    begin_draining(shared);
    shared.lock().services.cut_off(None);
    shared.order_leave();
}

/// Waits until it is so, at most for so long.
async fn wait(shared: &Shared, at_most: Duration, is_so: impl Fn(&mut Inside) -> bool) {
    let so = shared.bell.until(|| is_so(&mut shared.lock()).then_some(()));
    match Instant::now().checked_add(at_most) {
        // Whether it came to be so is seen in the counts.
        Some(until) => drop(tokio::time::timeout_at(until, so).await),
        None => so.await,
    }
}
