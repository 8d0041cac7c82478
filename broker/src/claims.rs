//! What handlers say after a restart about deliveries that the broker does not know yet: their callers may still announce them.

use crate::broker::Broker;
use crate::receipts::Receipt;
use crate::session::Session;
use crate::tables::{Key, Map, map};
use answerback_protocol::frames::{Answer, AnswerError, CancelDelivery};
use answerback_protocol::{DeliveryId, Payload};
use std::collections::BTreeSet;

/// What a handler has said about one delivery.
pub(crate) struct Claim {
    pub(crate) session: Key<Session>,
    /// It was handed back: it did not run.
    pub(crate) released: bool,
    /// What it has answered, parts included. Empty while it works.
    pub(crate) answers: Vec<Answered>,
}

impl Claim {
    /// It works on it.
    pub(crate) fn new(session: Key<Session>) -> Self {
        Self { session, released: false, answers: Vec::new() }
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
}

/// What a claim, and each of its answers, counts besides the data.
const OVERHEAD_BYTES: usize = 256;

impl Claims {
    pub(crate) fn new(seed: u64) -> Self {
        Self { by_delivery: map(seed), ids: BTreeSet::new(), bytes: 0 }
    }

    /// A handler holds this.
    pub(crate) fn held(&mut self, id: u64, session: Key<Session>, most: usize) {
        if let Some(claim) = self.claim(id, session, 0, most) {
            claim.session = session;
        }
    }

    /// A handler has handed this back.
    pub(crate) fn released(&mut self, id: u64, session: Key<Session>) {
        if let Some(claim) = self.by_delivery.get_mut(&id).filter(|claim| claim.session == session) {
            claim.released = true;
        }
    }

    /// A handler has answered this. False if there is no room to remember it.
    pub(crate) fn answered(&mut self, id: u64, session: Key<Session>, answer: Answered, most: usize) -> bool {
        let bytes = answer.cost();
        let Some(claim) = self.claim(id, session, bytes, most) else { return false };
        claim.answers.push(answer);
        true
    }

    fn claim(&mut self, id: u64, session: Key<Session>, bytes: usize, most: usize) -> Option<&mut Claim> {
        if self.bytes + bytes + OVERHEAD_BYTES > most {
            return None;
        }
        self.bytes += bytes;
        if self.ids.insert(id) {
            self.bytes += OVERHEAD_BYTES;
        }
        Some(self.by_delivery.entry(id).or_insert_with(|| Claim::new(session)))
    }

    pub(crate) fn take(&mut self, id: u64) -> Option<Claim> {
        let claim = self.by_delivery.remove(&id)?;
        self.ids.remove(&id);
        self.bytes -= OVERHEAD_BYTES + claim.answers.iter().map(Answered::cost).sum::<usize>();
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
        if let Some(request) = self.sought_by_delivery(id) {
            self.adopt(request, id, Claim::new(session));
            if self.sessions.get(session).is_some_and(|session| session.deliveries.contains_key(&id)) {
                return self.answered(session, answer, data);
            }
        }
        if self.recovering.is_none() {
            self.counts.stray_replies += 1;
            return;
        }
        let most = self.settings.limits.kept_reply_bytes_in_all;
        let receipt = self.need_source();
        let answered = Answered { frame: to_static(answer), data, receipt };
        let Some(recovering) = &mut self.recovering else { return };
        if !recovering.claims.answered(id, session, answered, most) {
            self.counts.stray_replies += 1;
            receipt.into_iter().for_each(|receipt| self.let_go(receipt));
        }
    }

    /// A handler holds what this broker has not given to it.
    pub(crate) fn held_unknown(&mut self, session: Key<Session>, id: DeliveryId) {
        if let Some(request) = self.sought_by_delivery(id.get()) {
            return self.adopt(request, id.get(), Claim::new(session));
        }
        let most = self.settings.limits.kept_reply_bytes_in_all;
        match &mut self.recovering {
            Some(recovering) => recovering.claims.held(id.get(), session, most),
            // Given up meanwhile: the handler need not go on.
            None => self.tell(session, CancelDelivery { id }),
        }
    }

    /// A handler hands back what this broker has not given to it.
    pub(crate) fn released_unknown(&mut self, session: Key<Session>, id: u64) {
        match &mut self.recovering {
            Some(recovering) => recovering.claims.released(id, session),
            None => self.counts.stray_replies += 1,
        }
    }
}

fn to_static(answer: Answer<'_>) -> Answer<'static> {
    let error = answer.error.map(|error| AnswerError {
        code: error.code.into_static(),
        message: error.message.into_static(),
        retryable: error.retryable,
    });
    Answer { id: answer.id, error, part: answer.part, seq: answer.seq }
}
