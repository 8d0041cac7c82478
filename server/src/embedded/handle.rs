//! What a program has in hand: a client, and its process's part in having a broker.

use super::keeper::Standing;
use answerback::{Client, Drained};
use std::fmt;
use std::ops::Deref;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the work of this process's own handlers may take to finish when it leaves.
const OWN_WORK_WITHIN: Duration = Duration::from_secs(10);

/// A client of the broker that is just there, in a process that has it or may take it over.
///
/// It is a [`Client`] wherever one is wanted. The process takes part in having the broker as long as this lives; clones of the client alone are clients and nothing more.
/// [`leave`](Self::leave) hands over in order. Dropping this does so in the background, which the end of `main` may cut short: then it is as if the process was killed, and the
/// others go on all the same.
pub struct Embedded {
    client: Client,
    standing: watch::Receiver<Standing>,
    /// The keeper leaves when this is dropped.
    keep: Option<watch::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Embedded {
    pub(super) fn new(
        client: Client,
        keep: watch::Sender<()>,
        standing: watch::Receiver<Standing>,
        keeper: JoinHandle<()>,
    ) -> Self {
        Self { client, standing, keep: Some(keep), keeper: Some(keeper) }
    }

    /// The client, to be cloned.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether this process has the broker now.
    pub fn is_holder(&self) -> bool {
        self.epoch().is_some()
    }

    /// The epoch of the broker, if this process has it now: it grows with each process that takes it over.
    pub fn epoch(&self) -> Option<u64> {
        self.standing.borrow().epoch()
    }

    /// Tells when this process gets the broker, or has it no more.
    ///
    /// ```no_run
    /// # async fn example(broker: answerback_server::embedded::Embedded) {
    /// let mut watch = broker.watch_epoch();
    /// loop {
    ///     match watch.changed().await {
    ///         Some(epoch) => println!("the broker is here, epoch {epoch}"),
    ///         None => println!("the broker is not here any more"),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn watch_epoch(&self) -> EpochWatch {
        EpochWatch { last: self.epoch(), standing: self.standing.clone() }
    }

    /// Leaves in order: this process's own work finishes, the client says goodbye, and a broker that is here saves what it has and hands over. Another process
    /// takes over at once.
    ///
    /// ```no_run
    /// # async fn example(broker: answerback_server::embedded::Embedded) {
    /// let drained = broker.leave().await;
    /// println!("{} finished", drained.finished);
    /// # }
    /// ```
    pub async fn leave(mut self) -> Drained {
        let drained = self.client.drain(OWN_WORK_WITHIN).await;
        drop(self.keep.take());
        if let Some(keeper) = self.keeper.take() {
            // A panic there was logged.
            let _ = keeper.await;
        }
        drained
    }

    /// Waits until it is clear how things stand.
    pub(super) async fn settled(&self) -> Standing {
        let mut standing = self.standing.clone();
        let settled = standing.wait_for(Standing::is_settled).await;
        settled.map_or_else(|_| Standing::Left, |standing| standing.clone())
    }
}

/// Tells each change of a process's [epoch](Embedded::epoch).
#[derive(Debug, Clone)]
pub struct EpochWatch {
    last: Option<u64>,
    standing: watch::Receiver<Standing>,
}

impl EpochWatch {
    /// Waits for the next change: an epoch if the broker is here now, `None` if it was. After the process has left there is no further one.
    pub async fn changed(&mut self) -> Option<u64> {
        let last = self.last;
        let changed = self.standing.wait_for(|standing| standing.epoch() != last).await;
        let epoch = changed.ok().map(|standing| standing.epoch());
        match epoch {
            Some(epoch) => self.last = epoch,
            // The keeper has ended, and nothing changes any more.
            None => std::future::pending().await,
        }
        self.last
    }
}

impl Deref for Embedded {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("client", &self.client).field("epoch", &self.epoch()).finish()
    }
}
