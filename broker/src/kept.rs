//! Replies that were sent to a session and may not have arrived.
//!
//! ```text
//!            sent ──── acknowledged ───► gone
//!             │
//!             └─ the connection breaks ─► UNCLAIMED ── its request is announced again ──► sent once more
//!                                            │
//!                                            └─ not announced, and the client was heard since ──► gone: it had it
//! ```
//!
//! A reply to a call of an earlier connection that was not announced again yet is unclaimed from the start. What is kept
//! is bounded. Over the limit of bytes the oldest lose their data, over the limit of count they go; but that something of a call went is remembered: announced again, it is
//! not taken for a new one, which would run it twice, nor given an answer with a hole in it, but told that its answer is lost.

use crate::receipts::Receipt;
use crate::saved::ItemId;
use crate::settings::Limits;
use crate::words;
use answerback_protocol::frames::{CallError, Reply};
use answerback_protocol::{Code, Payload, Ran, RequestId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A reply with its data.
#[derive(Debug, Clone)]
pub(crate) struct KeptReply {
    id: RequestId,
    /// What the reply says besides its id, if it says anything.
    more: Option<Box<Reply<'static>>>,
    data: Payload,
    /// The reply of a handler that it is made of: not acknowledged as long as it is kept here alone.
    pub(crate) receipt: Option<Receipt>,
    pub(crate) place: Place,
}

/// Where in a store something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere,
    Journal(ItemId),
    Snapshot(ItemId),
}

impl Place {
    pub(crate) fn of(item: ItemId, durable: bool) -> Self {
        if durable { Self::Journal(item) } else { Self::Snapshot(item) }
    }
}

/// What is kept for all sessions together.
#[derive(Default)]
pub(crate) struct KeptInAll {
    pub(crate) bytes: usize,
    /// Replies that went, if anybody has to be told: the handler that may forget it, the store that need not hold it.
    pub(crate) gone: Vec<(Option<Receipt>, Place)>,
}

impl KeptInAll {
    fn went(&mut self, kept: &KeptReply) {
        if kept.receipt.is_some() || kept.place != Place::Nowhere {
            self.gone.push((kept.receipt, kept.place));
        }
    }
}

/// What a reply counts besides its data.
const OVERHEAD_BYTES: usize = 128;

pub(crate) struct Kept {
    /// Sent on this connection, or made while the client is away; in order.
    sent: VecDeque<KeptReply>,
    /// The number, on this connection, of the first one in `sent`.
    first: u64,
    /// How many of `sent`, from the first on, have lost their data.
    stripped: usize,
    /// Waiting for their requests to be announced again, by request. Ids grow, so the first ones are the oldest.
    unclaimed: BTreeMap<u64, Vec<KeptReply>>,
    /// Calls of which a reply went because there were too many.
    forgotten: Forgotten,
    bytes: usize,
    count: usize,
}

/// Calls of which replies went. Parts count as replies, too, so that a few streams can push out many answers.
#[derive(Default)]
struct Forgotten {
    /// Of earlier connections. Ids grow, so the first ones are the oldest.
    earlier: BTreeSet<u64>,
    /// Of this connection: the numbers of the replies and the ids of their calls, the oldest first.
    here: VecDeque<(u64, u64)>,
}

/// A session remembers so many calls for each reply that it may keep: an id is small. Who lets more than that go unacknowledged is not following
/// PROTOCOL.
const FORGOTTEN_PER_KEPT: usize = 16;

impl Forgotten {
    /// Remembers a reply that went; of this connection if it has a number.
    fn add(&mut self, number: Option<u64>, id: u64, most: usize) {
        match number {
            Some(number) => self.here.push_back((number, id)),
            None => drop(self.earlier.insert(id)),
        }
        while self.earlier.len() + self.here.len() > most {
            if self.earlier.pop_first().is_none() {
                self.here.pop_front();
            }
        }
    }

    /// The client has taken in the first `replies` of this connection.
    fn acknowledged(&mut self, replies: u64) {
        while self.here.front().is_some_and(|(number, _)| *number <= replies) {
            self.here.pop_front();
        }
    }

    fn new_connection(&mut self) {
        self.earlier.extend(self.here.drain(..).map(|(_, id)| id));
    }

    /// What was not announced again until now had arrived. Of this connection nothing is known yet.
    fn settle(&mut self) {
        self.earlier.clear();
    }

    /// Whether something of this call went before this connection. What went on it is on its way, or will be asked for on the next.
    fn holds(&self, id: u64) -> bool {
        self.earlier.contains(&id)
    }
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self {
            sent: VecDeque::new(),
            first: 1,
            stripped: 0,
            unclaimed: BTreeMap::new(),
            forgotten: Forgotten::default(),
            bytes: 0,
            count: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn has_unclaimed(&self) -> bool {
        !self.unclaimed.is_empty()
    }

    /// Keeps a reply that is sent now. `in_all` is what all sessions hold.
    pub(crate) fn push(&mut self, mut kept: KeptReply, limits: &Limits, in_all: &mut KeptInAll) {
        kept.strip_if_over(limits);
        self.add(&kept, in_all);
        self.sent.push_back(kept);
        self.bound(limits, in_all);
    }

    /// Keeps a reply that a store held. Those of one call may come from two places, in the order of neither.
    pub(crate) fn push_restored(&mut self, mut kept: KeptReply, limits: &Limits, in_all: &mut KeptInAll) {
        kept.strip_if_over(limits);
        self.add(&kept, in_all);
        let replies = self.unclaimed.entry(kept.id.get()).or_default();
        let place = replies.partition_point(|before| before.number() <= kept.number());
        replies.insert(place, kept);
        self.bound(limits, in_all);
    }

    /// Keeps a reply that is sent when its request is announced again.
    pub(crate) fn push_unclaimed(&mut self, mut kept: KeptReply, limits: &Limits, in_all: &mut KeptInAll) {
        kept.strip_if_over(limits);
        self.add(&kept, in_all);
        self.unclaimed.entry(kept.id.get()).or_default().push(kept);
        self.bound(limits, in_all);
    }

    /// The client has taken in the first `replies` of this connection.
    pub(crate) fn acknowledged(&mut self, replies: u64, in_all: &mut KeptInAll) {
        while self.first <= replies && self.drop_oldest_sent(in_all).is_some() {}
        self.forgotten.acknowledged(replies);
        if self.sent.is_empty() && self.sent.capacity() > WORTH_KEEPING {
            self.sent = VecDeque::new();
        }
    }

    /// A new connection: counting starts again, and nothing of before is known to have arrived.
    pub(crate) fn new_connection(&mut self) {
        (self.first, self.stripped) = (1, 0);
        self.forgotten.new_connection();
        for kept in self.sent.drain(..) {
            self.unclaimed.entry(kept.id.get()).or_default().push(kept);
        }
    }

    /// The client announced this request again: what had been sent for it, to be sent once more.
    ///
    /// Of a call that still runs, whatever is left: its asker sees by the numbers of its parts that some are missing.
    pub(crate) fn claim(&mut self, id: u64, runs: bool, in_all: &mut KeptInAll) -> Vec<KeptReply> {
        let claimed = self.unclaimed.remove(&id).unwrap_or_default();
        for kept in &claimed {
            self.subtract(1, kept.cost(), in_all);
        }
        match RequestId::new(id).filter(|_| !runs && self.forgotten.holds(id)) {
            // What is left of it has a hole.
            Some(id) => {
                claimed.iter().for_each(|kept| in_all.went(kept));
                vec![KeptReply::note(id)]
            }
            None => claimed,
        }
    }

    /// All that was not announced again. Nothing is kept of it here any longer.
    pub(crate) fn take_unclaimed(&mut self, in_all: &mut KeptInAll) -> Vec<KeptReply> {
        let all: Vec<_> = std::mem::take(&mut self.unclaimed).into_values().flatten().collect();
        for kept in &all {
            self.subtract(1, kept.cost(), in_all);
        }
        all
    }

    /// What has not been announced again until now had arrived.
    pub(crate) fn forget_unclaimed(&mut self, in_all: &mut KeptInAll) {
        while self.drop_oldest_unclaimed(in_all).is_some() {}
        self.forgotten.settle();
    }

    /// The session ends.
    pub(crate) fn forget_all(&mut self, in_all: &mut KeptInAll) {
        self.all().for_each(|kept| in_all.went(kept));
        in_all.bytes -= self.bytes;
        *self = Self::new();
    }

    /// All of them, those of earlier connections first.
    fn all(&self) -> impl Iterator<Item = &KeptReply> {
        self.unclaimed.values().flatten().chain(&self.sent)
    }

    /// Those that no store holds.
    pub(crate) fn unsaved(&mut self) -> impl Iterator<Item = &mut KeptReply> {
        let all = self.unclaimed.values_mut().flatten().chain(&mut self.sent);
        all.filter(|kept| kept.place == Place::Nowhere)
    }

    /// Drops or strips the oldest as long as there is too much.
    fn bound(&mut self, limits: &Limits, in_all: &mut KeptInAll) {
        while self.count > limits.kept_replies_per_session {
            let number = self.first;
            // A note that was sent is no loss: it can be made again.
            let note = self.sent.front().is_some_and(|kept| self.forgotten.holds(kept.id.get()));
            let unclaimed = if note { None } else { self.drop_oldest_unclaimed(in_all).map(|id| (None, id)) };
            let oldest = unclaimed.or_else(|| self.drop_oldest_sent(in_all).map(|id| (Some(number), id)));
            let Some((number, id)) = oldest else { break };
            self.forgotten.add(number, id, limits.kept_replies_per_session.saturating_mul(FORGOTTEN_PER_KEPT));
        }
        // Notes are never dropped for their bytes: what others keep must not make a call of this session run twice.
        while (self.bytes > limits.kept_reply_bytes_per_session || in_all.bytes > limits.kept_reply_bytes_in_all)
            && self.strip_oldest(in_all)
        {}
    }

    /// Takes the data of the oldest reply that still has some. False if none has.
    fn strip_oldest(&mut self, in_all: &mut KeptInAll) -> bool {
        while let Some(kept) = self.sent.get_mut(self.stripped) {
            self.stripped += 1;
            let freed = kept.strip();
            if freed > 0 {
                self.subtract(0, freed, in_all);
                return true;
            }
        }
        let freed = self.unclaimed.values_mut().flatten().map(KeptReply::strip).find(|&freed| freed > 0);
        self.subtract(0, freed.unwrap_or(0), in_all);
        freed.is_some()
    }

    /// Drops one, if there is one, and says whose it was.
    fn drop_oldest_sent(&mut self, in_all: &mut KeptInAll) -> Option<u64> {
        let oldest = self.sent.pop_front()?;
        in_all.went(&oldest);
        self.first += 1;
        self.stripped = self.stripped.saturating_sub(1);
        self.subtract(1, oldest.cost(), in_all);
        Some(oldest.id.get())
    }

    /// The same of all replies to one call of an earlier connection.
    fn drop_oldest_unclaimed(&mut self, in_all: &mut KeptInAll) -> Option<u64> {
        let (id, replies) = self.unclaimed.pop_first()?;
        replies.iter().for_each(|kept| in_all.went(kept));
        self.subtract(replies.len(), replies.iter().map(KeptReply::cost).sum(), in_all);
        Some(id)
    }

    fn add(&mut self, kept: &KeptReply, in_all: &mut KeptInAll) {
        self.count += 1;
        self.bytes += kept.cost();
        in_all.bytes += kept.cost();
    }

    fn subtract(&mut self, count: usize, bytes: usize, in_all: &mut KeptInAll) {
        self.count -= count;
        self.bytes -= bytes;
        in_all.bytes -= bytes;
    }
}

/// A deque that has emptied gives its memory back if it has more places than this.
const WORTH_KEEPING: usize = 256;

impl KeptReply {
    pub(crate) fn new(reply: &Reply<'static>, data: Payload) -> Self {
        let plain = *reply == Reply::to(reply.id);
        let more = if plain { None } else { Some(Box::new(reply.clone())) };
        Self { id: reply.id, more, data, receipt: None, place: Place::Nowhere }
    }

    /// Whose reply it is made of, and where it is stored.
    pub(crate) fn with(mut self, receipt: Option<Receipt>, place: Place) -> Self {
        (self.receipt, self.place) = (receipt, place);
        self
    }

    /// It is in the store from now on, or will be with the snapshot that is being gathered: then its handler may forget it.
    pub(crate) fn saved_as(&mut self, place: Place) -> Option<Receipt> {
        self.place = place;
        self.receipt.take()
    }

    /// The reply and its data, as they were.
    pub(crate) fn parts(&self) -> (Reply<'static>, Payload) {
        (self.more.as_deref().map_or_else(|| Reply::to(self.id), Reply::clone), self.data.clone())
    }

    /// What is left of an answer that went.
    fn note(id: RequestId) -> Self {
        let reply = Reply { error: Some(Box::new(answer_not_kept())), ..Reply::to(id) };
        Self { id, more: Some(Box::new(reply)), data: Payload::NONE, receipt: None, place: Place::Nowhere }
    }

    /// Its place among the replies to its call: a part's number, and the end after all parts.
    fn number(&self) -> u64 {
        self.more.as_ref().filter(|reply| reply.part).and_then(|reply| reply.seq).unwrap_or(u64::MAX)
    }

    fn cost(&self) -> usize {
        self.data.len() + OVERHEAD_BYTES
    }

    /// One that is over the limit by itself does not push the others out.
    fn strip_if_over(&mut self, limits: &Limits) {
        if self.cost() > limits.kept_reply_bytes_per_session {
            self.strip();
        }
    }

    /// Gives the data up and says so instead. How many bytes that frees.
    fn strip(&mut self) -> usize {
        let freed = self.data.len();
        if freed > 0 {
            self.data = Payload::NONE;
            let reply = self.more.get_or_insert_with(|| Box::new(Reply::to(self.id)));
            reply.error = Some(Box::new(answer_not_kept()));
        }
        freed
    }
}

fn answer_not_kept() -> CallError<'static> {
    CallError {
        code: Code::HandlerLost,
        message: words::answer_not_kept().into(),
        ran: Ran::Maybe,
        attempts: 1,
        retry_after: None,
        fault: None,
    }
}
