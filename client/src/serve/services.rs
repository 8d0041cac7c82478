//! Which actions this client serves, and the deliveries it has.

use super::control::Control;
use super::handler::Erased;
use super::work::Work;
use crate::error::Error;
use crate::link::LinkNumber;
use crate::session::Delivery;
use crate::shared::Shared;
use answerback_protocol::{Code, DeliveryId, Ran};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// How an action is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) concurrency: u32,
    pub(crate) pace: Option<Duration>,
    pub(crate) cancel_grace: Duration,
}

/// The services of one client.
#[derive(Default)]
pub(crate) struct Services {
    by_action: BTreeMap<Box<str>, Entry>,
    works: HashMap<(LinkNumber, DeliveryId), Arc<Control>, foldhash::fast::RandomState>,
    /// Whether the client leaves and takes nothing new.
    leaving: bool,
    pub(crate) counts: WorkCounts,
}

/// What became of deliveries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkCounts {
    pub(crate) finished: u64,
    pub(crate) handed_back: u64,
    pub(crate) cut_off: u64,
}

struct Entry {
    handler: Arc<dyn Erased>,
    plan: Plan,
    /// The broker keeps to the credit; but work that outlived a lost session is unknown to it.
    slots: Arc<Semaphore>,
    /// When the pace allows the next start.
    next_start: Option<Instant>,
    /// Whether the server has said that it knows.
    confirmed: bool,
    /// Who waits for the server's word.
    beginning: Vec<oneshot::Sender<Result<(), Error>>>,
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
        entry.confirmed = true;
        for waiting in entry.beginning.drain(..) {
            // Who does not wait any more does not mind.
            let _ = waiting.send(Ok(()));
        }
    }

    pub(crate) fn refused(&mut self, action: &str, error: &Error) {
        let Some(entry) = self.by_action.remove(action) else { return };
        tracing::warn!(action = %action.escape_debug(), %error, "the server refuses the service");
        for waiting in entry.beginning {
            let _ = waiting.send(Err(error.clone()));
        }
    }

    pub(crate) fn unserved(&mut self, action: &str) {
        if self.by_action.get(action).is_some_and(|entry| !entry.ending.is_empty()) {
            // Dropping the senders is the word that it has ended.
            self.by_action.remove(action);
        }
    }

    /// The client has ended.
    pub(crate) fn give_up(&mut self, error: &Error) {
        for waiting in self.by_action.values_mut().flat_map(|entry| entry.beginning.drain(..)) {
            let _ = waiting.send(Err(error.clone()));
        }
        self.by_action.clear();
    }

    /// Makes work of a delivery; nothing if the action is not served any more.
    pub(crate) fn take(&mut self, shared: &Arc<Shared>, link: LinkNumber, delivery: Delivery) -> Option<Work> {
        let entry = self.by_action.get_mut(&delivery.action).filter(|entry| entry.ending.is_empty())?;
        if self.leaving {
            self.counts.handed_back += 1;
            return None;
        }
        let client = crate::client::Client::of(shared.handle()?);
        let now = Shared::now();
        let start_at = entry.plan.pace.map(|pace| {
            let at = entry.next_start.map_or(now, |next| next.max(now));
            entry.next_start = Some(at + pace);
            at
        });
        let control = Arc::new(Control::default());
        self.works.insert((link, delivery.id), Arc::clone(&control));
        Some(Work {
            shared: Arc::clone(shared),
            client,
            link,
            delivery,
            handler: Arc::clone(&entry.handler),
            slots: Arc::clone(&entry.slots),
            start_at: start_at.filter(|at| *at > now),
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
        if let Some(control) = self.works.get(&(link, id)) {
            control.cancel();
        }
    }

    /// What was not started goes back to the broker, which may have others for it.
    pub(crate) fn hand_back_unstarted(&self, link: LinkNumber) {
        for (_, control) in self.works.iter().filter(|((of, _), _)| *of == link) {
            control.hand_back();
        }
    }

    /// The client leaves: nothing new, and what was not started goes back.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        for control in self.works.values() {
            control.hand_back();
        }
    }

    /// Drops work where it stands, of one link or of all, and says nothing about it.
    pub(crate) fn cut_off(&self, link: Option<LinkNumber>) {
        for (_, control) in self.works.iter().filter(|((of, _), _)| link.is_none_or(|link| *of == link)) {
            control.cut_off();
        }
    }
}

impl Shared {
    /// Serves an action from now on; done when the server knows.
    pub(crate) async fn serve(&self, action: &str, handler: Arc<dyn Erased>, plan: Plan) -> Result<(), Error> {
        let (known, word) = oneshot::channel();
        {
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
            let entry = Entry {
                handler,
                plan,
                slots: Arc::new(Semaphore::new(plan.concurrency as usize)),
                next_start: None,
                confirmed: false,
                beginning: vec![known],
                ending: Vec::new(),
            };
            inside.services.by_action.insert(action.into(), entry);
            if let Some(link) = inside.links.last_mut() {
                link.session.serve(action, plan.concurrency);
            }
        }
        self.wake_all();
        word.await.unwrap_or_else(|_| Err(Error::new(Code::Disconnected, Ran::No, "this client was closed")))
    }

    /// Ends a service; done when the server knows, or there is none to know it.
    pub(crate) async fn unserve(&self, action: &str) {
        let ended = {
            let mut inside = self.lock();
            let Some(entry) = inside.services.by_action.get_mut(action) else { return };
            let (waiting, ended) = oneshot::channel();
            entry.ending.push(waiting);
            for link in &mut inside.links {
                link.session.unserve(action);
            }
            ended
        };
        self.wake_all();
        // The sender is dropped when the service has ended.
        let _ = ended.await;
    }
}
