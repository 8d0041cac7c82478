//! What a link does with what its session has noticed, and how one link hands over to the next.

use super::task::{self, Task};
use super::{Going, Link, LinkNumber, Order, Rota};
use crate::serve::Work;
use crate::session::Event;
use crate::shared::{Inside, Shared};
use crate::state::State;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server that leaves may say that others are to be asked at once; when there are none, the same one is asked again, and not faster than this.
const LEAST_BEFORE_GOING: Duration = Duration::from_millis(20);

impl Task {
    /// Acts on one event; returns the state that is to be told, if the server has let us in.
    pub(super) fn notice(
        &self,
        inside: &mut Inside,
        event: Event,
        now: Instant,
        address: &str,
        works: &mut Vec<Work>,
    ) -> Option<State> {
        match event {
            Event::Welcome { server, resumed } => {
                tracing::debug!(address, %server, resumed, "connected");
                return Some(State::Connected { server: server.into(), address: address.to_owned(), resumed });
            }
            Event::Serving { action } => inside.services.confirmed(&action),
            Event::ServeRefused { action, error } => self.shared.refused(inside, action, &error),
            Event::Unserved { action } => inside.services.unserved(&action),
            Event::Deliver(delivery) => {
                let id = delivery.id;
                match inside.services.take(&self.shared, self.number, delivery) {
                    Some(work) => works.push(work),
                    // Nobody here serves it any more: it goes back unstarted.
                    None => inside.release(self.number, id),
                }
            }
            Event::Topic(event) => inside.book.event(event),
            Event::Missed(events) => inside.book.missed(events),
            Event::Subscribed(topic) => inside.book.confirmed(&topic),
            Event::SubscribeRefused { topic, error } => inside.book.refused(&topic, &error),
            Event::CancelDelivery(id) => inside.services.cancel(self.number, id),
            Event::Goaway { reason, after, elsewhere } => {
                tracing::info!(address, reason = %reason.escape_debug(), after_ms = after.as_millis() as u64, "the server leaves");
                inside.hand_back_unstarted(|link, _| link == self.number);
                let elsewhere = elsewhere.into_iter().map(Arc::from).collect();
                inside.going(self.number, Going { at: now + after.max(LEAST_BEFORE_GOING), elsewhere });
            }
        }
        None
    }

    /// Lets a new link take over what was not said; this one finishes what it has.
    pub(super) fn go_elsewhere(&self, inside: &mut Inside, address: &str) {
        let Some(link) = inside.link(self.number) else { return };
        let Some(going) = link.going.take() else { return };
        link.order = Order::Retire;
        link.session.unserve_all();
        link.session.unsubscribe_all();
        // Without randomness for a session there can be no other link; this one then ends with its server.
        let Ok(next) = self.shared.add_link(inside) else { return };
        inside.pass_on_unsaid(self.number);
        let rota = Rota::new(self.shared.settings.reconnect.clone(), self.addresses(&going.elsewhere, address));
        task::spawn(&self.shared, next, rota, false);
    }

    /// Where the server sends us, then the other addresses we know, and last the one that leaves.
    fn addresses(&self, elsewhere: &[Arc<str>], leaving: &str) -> Vec<Arc<str>> {
        let known = &self.shared.settings.addresses;
        let others = known.iter().filter(|address| &***address != leaving && !elsewhere.contains(address));
        let last = Arc::from(leaving);
        let here = if elsewhere.contains(&last) { None } else { Some(last) };
        elsewhere.iter().cloned().chain(others.cloned()).chain(here).collect()
    }
}

impl Inside {
    pub(crate) fn link(&mut self, number: LinkNumber) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.number == number)
    }

    fn is_current(&self, number: LinkNumber) -> bool {
        self.links.last().is_some_and(|link| link.number == number)
    }

    /// The server of this link leaves. A link that another has taken over from finishes anyway.
    fn going(&mut self, number: LinkNumber, going: Going) {
        let current = self.is_current(number);
        if let Some(link) = self.link(number).filter(|link| current && link.order == Order::Go) {
            link.going = Some(going);
        }
    }

    /// Gives a delivery back that was not started.
    pub(crate) fn release(&mut self, number: LinkNumber, id: answerback_protocol::DeliveryId) {
        if let Some(link) = self.link(number) {
            link.session.release(id);
            link.rouse();
        }
    }

    /// What a link that another has taken over from cannot say any more is for the current one to say.
    pub(super) fn pass_on_unsaid(&mut self, number: LinkNumber) {
        if self.is_current(number) {
            return;
        }
        let Some(link) = self.link(number) else { return };
        let (unsaid, unpublished) = (link.session.take_unsaid(), link.session.take_unpublished());
        let nothing = unsaid.is_empty() && unpublished.is_empty();
        let Some(current) = self.links.last_mut().filter(|_| !nothing) else { return };
        unpublished.into_iter().for_each(|publish| current.session.publish(publish));
        for (id, ask, caller) in unsaid {
            current.session.take_over(id, ask, caller);
        }
        current.rouse();
    }
}

impl Shared {
    /// The link has a socket; `false` if the link is not wanted any more.
    pub(super) fn connected_link(&self, number: LinkNumber, now: Instant) -> bool {
        self.lock().link(number).map(|link| link.session.connected(now)).is_some()
    }

    /// The link's socket is gone.
    pub(super) fn disconnected_link(&self, number: LinkNumber) {
        let mut inside = self.lock();
        let now = Self::now();
        let current = inside.is_current(number);
        if let Some(link) = inside.link(number) {
            link.session.disconnected(now);
            // A server that has left is like one that broke down: the session may go on when it is back.
            link.going = None;
            if current {
                link.session.stay();
            }
        }
        inside.pass_on_unsaid(number);
    }

    /// Whether the link is to end when its connection does.
    pub(super) fn is_leaving_link(&self, number: LinkNumber) -> bool {
        let mut inside = self.lock();
        let leaves = |link: &mut Link| matches!(link.order, Order::Retire | Order::Leave | Order::Stop);
        !inside.is_current(number) || inside.link(number).is_none_or(leaves)
    }

    /// Begins a new session in place of one that cannot go on, and says why of what ends by that.
    pub(super) fn renew_session(&self, number: LinkNumber, why: &str) {
        let mut inside = self.lock();
        let Ok(session) = self.new_session(&mut inside) else { return };
        let Some(link) = inside.link(number) else { return };
        let mut old = std::mem::replace(&mut link.session, session);
        for (id, ask, caller) in old.take_unsaid() {
            link.session.take_over(id, ask, caller);
        }
        old.move_unsaid(&mut link.session);
        old.take_unpublished().into_iter().for_each(|publish| link.session.publish(publish));
        old.give_up(answerback_protocol::Code::Disconnected, why);
        inside.services.cut_off(Some(number));
        inside.settle_endings();
    }
}
