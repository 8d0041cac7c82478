//! What handlers say after a restart about deliveries that the broker does not know yet: their callers may still announce them.
//!
//! Nothing of that can be checked before a caller has spoken, so it is bounded: who may serve nothing has nothing to say, one session is given
//! the room for what a handler keeps at most, and what is said of a request counts only from who may serve its action.

use crate::broker::Broker;
use crate::receipts::Receipt;
use crate::request::Request;
use crate::rights::{Holder, Right};
use crate::session::Session;
use crate::settings::Limits;
use crate::tables::{Key, Map, map};
use answerback_protocol::frames::{Answer, AnswerError, CancelDelivery};
use answerback_protocol::{DeliveryId, Payload};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a handler has said about one delivery.
pub(crate) struct Claim {
    pub(crate) session: Key<Session>,
    /// Whose that is, on a server with keys. Its rights of then count once the session is gone.
    holder: Option<Holder>,
    /// It was handed back: it did not run.
    pub(crate) released: bool,
    /// What it has answered, parts included. Empty while it works.
    pub(crate) answers: Vec<Answered>,
}

impl Claim {
    /// It works on it.
    pub(crate) fn new(session: Key<Session>, holder: Option<Holder>) -> Self {
        Self { session, holder, released: false, answers: Vec::new() }
    }

    fn cost(&self) -> usize {
        OVERHEAD_BYTES + self.answers.iter().map(Answered::cost).sum::<usize>()
    }
}

/// One reply of a handler.
pub(crate) struct Answered {
    pub(crate) frame: Answer<'static>,
    pub(crate) data: Payload,
    pub(crate) receipt: Option<Receipt>,
}

impl Answered {
    fn cost(&self) -> usize {
        self.data.len() + OVERHEAD_BYTES
    }
}

/// All claims, by delivery.
pub(crate) struct Claims {
    by_delivery: Map<u64, Claim>,
    /// The same ids in an order that can be told.
    ids: BTreeSet<u64>,
    bytes: usize,
    /// The same for each session.
    bytes_of: Map<Key<Session>, usize>,
}

/// How many bytes there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    in_all: usize,
    /// Who has as many is given no more.
    of_one: usize,
}

impl Room {
    /// A handler keeps as many answers as this until they are acknowledged, and those here are not.
    fn of(limits: &Limits) -> Self {
        let overhead = limits.kept_replies_per_session.saturating_mul(2 * OVERHEAD_BYTES);
        Self {
            in_all: limits.kept_reply_bytes_in_all,
            of_one: limits.kept_reply_bytes_per_session.saturating_add(overhead),
        }
    }
}

/// What a claim, and each of its answers, counts besides the data.
const OVERHEAD_BYTES: usize = 256;

impl Claims {
    pub(crate) fn new(seed: u64) -> Self {
        Self { by_delivery: map(seed), ids: BTreeSet::new(), bytes: 0, bytes_of: map(seed) }
    }

    /// A handler holds this.
    pub(crate) fn held(&mut self, id: u64, session: Key<Session>, holder: Option<Holder>, room: Room) {
        self.claim(id, session, holder, 0, room);
    }

    /// A handler has handed this back.
    pub(crate) fn released(&mut self, id: u64, session: Key<Session>) {
        if let Some(claim) = self.by_delivery.get_mut(&id).filter(|claim| claim.session == session) {
            claim.released = true;
        }
    }

    /// A handler has answered this. False if there is no room to remember it.
    pub(crate) fn answered(
        &mut self,
        id: u64,
        session: Key<Session>,
        answer: Answered,
        holder: Option<Holder>,
        room: Room,
    ) -> bool {
        let bytes = answer.cost();
        let Some(claim) = self.claim(id, session, holder, bytes, room) else { return false };
        claim.answers.push(answer);
        true
    }

    /// What this session says of a delivery, with room for some bytes more. A handler that came back as another session goes on with its claims.
    fn claim(
        &mut self,
        id: u64,
        session: Key<Session>,
        holder: Option<Holder>,
        bytes: usize,
        room: Room,
    ) -> Option<&mut Claim> {
        let has = self.bytes_of.get(&session).copied().unwrap_or_default();
        if has >= room.of_one || self.bytes + bytes + OVERHEAD_BYTES > room.in_all {
            return None;
        }
        let id_of = |holder: &Option<Holder>| holder.as_ref().map(|holder| Arc::clone(&holder.id));
        if self.by_delivery.get(&id).is_some_and(|claim| id_of(&claim.holder) != id_of(&holder)) {
            // Nobody speaks for another holder.
            return None;
        }
        let mut claim = self.take(id).unwrap_or_else(|| Claim::new(session, None));
        (claim.session, claim.holder) = (session, holder);
        let cost = claim.cost() + bytes;
        self.bytes += cost;
        *self.bytes_of.entry(session).or_default() += cost;
        self.ids.insert(id);
        Some(self.by_delivery.entry(id).or_insert(claim))
    }

    pub(crate) fn take(&mut self, id: u64) -> Option<Claim> {
        let claim = self.by_delivery.remove(&id)?;
        self.ids.remove(&id);
        let cost = claim.cost();
        self.bytes -= cost;
        if let Some(bytes) = self.bytes_of.get_mut(&claim.session) {
            *bytes -= cost;
        }
        Some(claim)
    }

    /// Those that nobody asked for.
    pub(crate) fn into_rest(mut self) -> impl Iterator<Item = (u64, Claim)> {
        let ids = std::mem::take(&mut self.ids);
        ids.into_iter().filter_map(move |id| Some((id, self.by_delivery.remove(&id)?)))
    }
}

impl Broker {
    /// A handler answers what this broker has not given to it.
    pub(crate) fn answered_unknown(&mut self, session: Key<Session>, answer: Answer<'_>, data: Payload) {
        let id = answer.id.get();
        let holder = self.holder_of(session);
        if let Some(request) = self.sought_by_delivery(id) {
            self.adopt(request, id, Claim::new(session, holder.clone()));
            if self.sessions.get(session).is_some_and(|session| session.deliveries.contains_key(&id)) {
                return self.answered(session, answer, data);
            }
        }
        if self.recovering.is_none() || serve_nothing(holder.as_ref()) {
            self.counts.stray_replies += 1;
            return;
        }
        let room = self.room_for(session);
        let receipt = self.need_source();
        let answered = Answered { frame: to_static(answer), data, receipt };
        let Some(recovering) = &mut self.recovering else { return };
        if !recovering.claims.answered(id, session, answered, holder, room) {
            self.counts.stray_replies += 1;
            receipt.into_iter().for_each(|receipt| self.let_go(receipt));
        }
    }

    /// A handler holds what this broker has not given to it.
    pub(crate) fn held_unknown(&mut self, session: Key<Session>, id: DeliveryId) {
        let holder = self.holder_of(session);
        if let Some(request) = self.sought_by_delivery(id.get()) {
            if !self.adopt(request, id.get(), Claim::new(session, holder)) {
                self.tell(session, CancelDelivery { id });
            }
            return;
        }
        let room = self.room_for(session);
        match &mut self.recovering {
            Some(recovering) if !serve_nothing(holder.as_ref()) => {
                recovering.claims.held(id.get(), session, holder, room);
            }
            // Given up meanwhile, or not its to do: the handler need not go on.
            _ => self.tell(session, CancelDelivery { id }),
        }
    }

    /// Another server may have as many answers that were not acknowledged as many clients.
    fn room_for(&self, session: Key<Session>) -> Room {
        Room::of(if self.is_server(session) { self.mesh.limits() } else { &self.settings.limits })
    }

    fn holder_of(&self, session: Key<Session>) -> Option<Holder> {
        self.sessions.get(session)?.holder().cloned()
    }

    /// Whether who has made a claim may serve the action of a request: by the rights of now, or by those it had when its session ended.
    pub(crate) fn may_claim(&self, request: Key<Request>, claim: &Claim) -> bool {
        let Some(holder) = self.holder_of(claim.session).or_else(|| claim.holder.clone()) else { return true };
        let action = self.requests.get(request).and_then(|request| self.actions.get(request.action));
        // Another server was given what its clients may serve, and it has asked their rights.
        holder.rights.peer || action.is_some_and(|action| holder.rights.allow(Right::Serve, &action.name))
    }

    /// What was said of a delivery that this request may be about. What is not said by one who may serve it does not count.
    pub(crate) fn take_claim(&mut self, request: Key<Request>, id: u64) -> Option<Claim> {
        let claim = self.recovering.as_mut()?.claims.take(id)?;
        if self.may_claim(request, &claim) {
            return Some(claim);
        }
        self.let_claim_go(id, claim);
        None
    }

    /// Nobody asks for it.
    pub(crate) fn let_claim_go(&mut self, id: u64, claim: Claim) {
        if claim.answers.is_empty() && !claim.released {
            self.tell(claim.session, CancelDelivery { id: DeliveryId::truncated(id) });
        }
        claim.answers.into_iter().filter_map(|answer| answer.receipt).for_each(|receipt| self.let_go(receipt));
    }

    /// A handler hands back what this broker has not given to it.
    pub(crate) fn released_unknown(&mut self, session: Key<Session>, id: u64) {
        match &mut self.recovering {
            Some(recovering) => recovering.claims.released(id, session),
            None => self.counts.stray_replies += 1,
        }
    }
}

/// A holder that may serve nothing, and is no server, can hold no delivery. What it says otherwise would only take the room of those who do.
fn serve_nothing(holder: Option<&Holder>) -> bool {
    holder.is_some_and(|holder| holder.rights.serve.is_empty() && !holder.rights.peer)
}

fn to_static(answer: Answer<'_>) -> Answer<'static> {
    let error = answer.error.map(|error| AnswerError {
        code: error.code.into_static(),
        message: error.message.into_static(),
        retryable: error.retryable,
    });
    Answer { id: answer.id, error, part: answer.part, seq: answer.seq }
}
