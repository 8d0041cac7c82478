//! Which actions this client serves, and the deliveries it has.

use super::control::Control;
use super::handler::Erased;
use super::pace::Pace;
use super::work::Work;
use crate::client::Client;
use crate::error::Error;
use crate::link::LinkNumber;
use crate::session::Delivery;
use crate::shared::{Inside, Shared};
use answerback_protocol::{Code, DeliveryId, Ran};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How an action is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) concurrency: u32,
    pub(crate) pace: Option<Duration>,
    pub(crate) cancel_grace: Duration,
}

/// A service that was confirmed once and is refused on a later connection is said again after this pause: what stood in its way may pass.
const SERVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The services of one client.
#[derive(Default)]
pub(crate) struct Services {
    by_action: BTreeMap<Box<str>, Entry>,
    works: HashMap<(LinkNumber, DeliveryId), UnderWay, foldhash::fast::RandomState>,
    /// Whether the client leaves and takes nothing new.
    leaving: bool,
    pub(crate) counts: WorkCounts,
    /// Entries that are over, until the lock is free: they hold what a user's closures own.
    ended: Vec<Entry>,
    next_number: u64,
}

/// What became of deliveries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkCounts {
    pub(crate) finished: u64,
    pub(crate) handed_back: u64,
    pub(crate) cut_off: u64,
}

/// A delivery that was not answered.
struct UnderWay {
    control: Arc<Control>,
    /// The service it is for.
    service: u64,
}

/// A service.
pub(crate) struct Entry {
    /// An action may be served anew; this tells the two apart.
    number: u64,
    handler: Arc<dyn Erased>,
    plan: Plan,
    /// The broker keeps to the credit; but work that outlived a lost session is unknown to it.
    slots: Arc<Semaphore>,
    pace: Option<Arc<Pace>>,
    /// Who waits for the server's first word. Nobody any more: it was served.
    beginning: Option<oneshot::Sender<Result<(), Error>>>,
    /// Who waits for the end; the entry goes then.
    ending: Vec<oneshot::Sender<()>>,
}

impl Services {
    /// What is to be said to a new server.
    pub(crate) fn served(&self) -> Vec<(Box<str>, u32)> {
        let served = self.by_action.iter().filter(|(_, entry)| entry.ending.is_empty() && !self.leaving);
        served.map(|(action, entry)| (action.clone(), entry.plan.concurrency)).collect()
    }

    /// Deliveries that were not answered.
    pub(crate) fn under_way(&self) -> usize {
        self.works.len()
    }

    pub(crate) fn confirmed(&mut self, action: &str) {
        let Some(entry) = self.by_action.get_mut(action) else { return };
        if let Some(waiting) = entry.beginning.take() {
            // Who does not wait any more does not mind.
            let _ = waiting.send(Ok(()));
        }
    }

    pub(crate) fn unserved(&mut self, action: &str) {
        if self.by_action.get(action).is_some_and(|entry| !entry.ending.is_empty()) {
            self.end(action);
        }
    }

    /// The service is over. Dropping its entry, once the lock is free, is the word to those who wait for that.
    fn end(&mut self, action: &str) {
        self.ended.extend(self.by_action.remove(action));
    }

    /// The client has ended.
    pub(crate) fn give_up(&mut self, error: &Error) {
        for entry in std::mem::take(&mut self.by_action).into_values() {
            self.ended.push(entry);
        }
        for waiting in self.ended.iter_mut().filter_map(|entry| entry.beginning.take()) {
            let _ = waiting.send(Err(error.clone()));
        }
    }

    /// What is to be dropped when the lock is free.
    pub(crate) fn take_ended(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.ended)
    }

    /// Makes work of a delivery; nothing if the action is not served any more.
    pub(crate) fn take(&mut self, shared: &Arc<Shared>, link: LinkNumber, delivery: Delivery) -> Option<Work> {
        let entry = self.by_action.get(&delivery.action).filter(|entry| entry.ending.is_empty());
        let Some(entry) = entry.filter(|_| !self.leaving) else {
            self.counts.handed_back += 1;
            return None;
        };
        let control = Arc::new(Control::default());
        let under_way = UnderWay { control: Arc::clone(&control), service: entry.number };
        self.works.insert((link, delivery.id), under_way);
        Some(Work {
            client: Client::that_keeps_nothing(shared),
            link,
            delivery,
            handler: Arc::clone(&entry.handler),
            slots: Arc::clone(&entry.slots),
            pace: entry.pace.clone(),
            cancel_grace: entry.plan.cancel_grace,
            control,
        })
    }

    /// A piece of work has ended.
    pub(crate) fn ended(&mut self, link: LinkNumber, id: DeliveryId, count: impl FnOnce(&mut WorkCounts)) {
        if self.works.remove(&(link, id)).is_some() {
            count(&mut self.counts);
        }
    }

    /// The broker says that nobody waits for this any more.
    pub(crate) fn cancel(&self, link: LinkNumber, id: DeliveryId) {
        if let Some(work) = self.works.get(&(link, id)) {
            work.control.cancel();
        }
    }

    /// The client leaves and takes nothing new.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Drops work where it stands, of one link or of all, and says nothing about it.
    pub(crate) fn cut_off(&self, link: Option<LinkNumber>) {
        for (_, work) in self.works.iter().filter(|((of, _), _)| link.is_none_or(|link| *of == link)) {
            work.control.cut_off();
        }
    }
}

impl Inside {
    /// Gives back, of the links and services that `of` picks, what was not started: the broker may have others for it.
    pub(crate) fn hand_back_unstarted(&mut self, of: impl Fn(LinkNumber, u64) -> bool) {
        let picked = self.services.works.iter().filter(|((link, _), work)| of(*link, work.service));
        let taken = picked.filter(|(_, work)| work.control.hand_back()).map(|(key, _)| *key);
        let mut taken: Vec<_> = taken.collect();
        taken.sort_unstable();
        for (link, id) in taken {
            self.hand_back(link, id);
        }
    }

    /// Gives one delivery back that was not started. Nothing happens if that was done before.
    pub(crate) fn hand_back(&mut self, link: LinkNumber, id: DeliveryId) {
        self.services.ended(link, id, |counts| counts.handed_back += 1);
        self.release(link, id);
    }

    /// No server is to give us this action any more.
    fn unserve(&mut self, action: &str) {
        for link in &mut self.links {
            link.session.unserve(action);
            link.rouse();
        }
    }

    /// A service that is to end, and of which no server that is left knows, has ended.
    pub(crate) fn settle_endings(&mut self) {
        let ending = self.services.by_action.iter().filter(|(_, entry)| !entry.ending.is_empty());
        let unknown = ending.filter(|(action, _)| !self.links.iter().any(|link| link.session.knows_action(action)));
        let over: Vec<Box<str>> = unknown.map(|(action, _)| action.clone()).collect();
        for action in over {
            self.services.end(&action);
        }
    }
}

impl Shared {
    /// Serves an action from now on; done when the server knows. Whoever stops waiting for that has not begun to serve. Says the service's number.
    pub(crate) async fn serve(&self, action: &str, handler: Arc<dyn Erased>, plan: Plan) -> Result<u64, Error> {
        let (known, word) = oneshot::channel();
        let number = self.register(action, handler, plan, known)?;
        let mut undo = Undo { shared: self, action, number: Some(number) };
        let word =
            word.await.unwrap_or_else(|_| Err(Error::new(Code::Disconnected, Ran::No, "this client was closed")));
        word?;
        undo.number = None;
        Ok(number)
    }

    fn register(
        &self,
        action: &str,
        handler: Arc<dyn Erased>,
        plan: Plan,
        known: oneshot::Sender<Result<(), Error>>,
    ) -> Result<u64, Error> {
        let mut inside = self.lock();
        if let Some(error) = &inside.closed {
            return Err(error.clone());
        }
        if inside.services.leaving {
            return Err(Error::new(Code::Draining, Ran::No, format!("{action}: this client is draining")));
        }
        if inside.services.by_action.contains_key(action) {
            let message = format!("{action} is served by this client already: stop that service first");
            return Err(Error::new(Code::BadRequest, Ran::No, message));
        }
        let number = inside.services.next_number;
        inside.services.next_number += 1;
        let entry = Entry {
            number,
            handler,
            plan,
            slots: Arc::new(Semaphore::new(plan.concurrency as usize)),
            pace: plan.pace.map(|pace| Arc::new(Pace::new(pace))),
            beginning: Some(known),
            ending: Vec::new(),
        };
        inside.services.by_action.insert(action.into(), entry);
        if let Some(link) = inside.links.last_mut() {
            link.session.serve(action, plan.concurrency);
            link.rouse();
        }
        Ok(number)
    }

    /// Ends a service; done when the server knows, or there is none to know it.
    pub(crate) async fn unserve(&self, action: &str, number: u64) {
        let ended = {
            let mut inside = self.lock();
            let entry = inside.services.by_action.get_mut(action);
            let Some(entry) = entry.filter(|entry| entry.number == number) else { return };
            let (waiting, ended) = oneshot::channel();
            entry.ending.push(waiting);
            inside.hand_back_unstarted(|_, service| service == number);
            inside.unserve(action);
            inside.settle_endings();
            ended
        };
        // The sender is dropped when the service has ended.
        let _ = ended.await;
    }

    /// The server refuses a service. A new one ends with that; one that was served before is said again in a while.
    pub(crate) fn refused(self: &Arc<Self>, inside: &mut Inside, action: Box<str>, error: &Error) {
        let Some(entry) = inside.services.by_action.get_mut(&action) else { return };
        if let Some(waiting) = entry.beginning.take() {
            let _ = waiting.send(Err(error.clone()));
            return inside.services.end(&action);
        }
        if !entry.ending.is_empty() {
            return inside.services.end(&action);
        }
        tracing::warn!(action = %action.escape_debug(), %error, "the server refuses a service that it had; asking again");
        let (shared, number) = (Arc::downgrade(self), entry.number);
        tokio::spawn(async move {
            // The pause is the point: asking at once would be refused at once.
            #[allow(clippy::disallowed_methods)]
            tokio::time::sleep(SERVE_AGAIN_AFTER).await;
            if let Some(shared) = shared.upgrade() {
                shared.say_again(&action, number);
            }
        });
    }

    fn say_again(&self, action: &str, number: u64) {
        let mut inside = self.lock();
        if inside.services.leaving || inside.closed.is_some() {
            return;
        }
        let entry = inside.services.by_action.get(action);
        let still = entry.filter(|entry| entry.number == number && entry.ending.is_empty());
        let Some(credit) = still.map(|entry| entry.plan.concurrency) else { return };
        if let Some(link) = inside.links.last_mut() {
            link.session.serve(action, credit);
            link.rouse();
        }
    }
}

/// Takes a service back that nobody waited for to begin.
struct Undo<'a> {
    shared: &'a Shared,
    action: &'a str,
    /// The service, until it has begun.
    number: Option<u64>,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut inside = self.shared.lock();
        if inside.services.by_action.get(self.action).is_some_and(|entry| entry.number == number) {
            inside.services.end(self.action);
            inside.unserve(self.action);
        }
    }
}
