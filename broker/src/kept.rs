//! Replies that were sent to a session and may not have arrived.
//!
//! Each is kept until the client acknowledges it. When the client comes back on a new connection, those not
//! acknowledged wait until it announces their requests again; whichever it does not announce it had received.

use crate::settings::Limits;
use crate::tables::{Map, give_back, map};
use answerback_protocol::Payload;
use answerback_protocol::frames::Reply;
use std::collections::VecDeque;

/// A reply with its data.
#[derive(Debug, Clone)]
pub(crate) struct KeptReply {
    pub(crate) reply: Reply<'static>,
    pub(crate) data: Payload,
}

/// What a reply counts besides its data.
const OVERHEAD_BYTES: usize = 128;

pub(crate) struct Kept {
    /// Sent on this connection, or made while the client is away; in order.
    sent: VecDeque<KeptReply>,
    /// The number, on this connection, of the first one in `sent`.
    first: u64,
    /// Sent on earlier connections and not acknowledged, by request.
    unclaimed: Map<u64, Vec<KeptReply>>,
    bytes: usize,
    count: usize,
}

impl Kept {
    pub(crate) fn new(seed: u64) -> Self {
        Self { sent: VecDeque::new(), first: 1, unclaimed: map(seed), bytes: 0, count: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Keeps a reply, and drops the oldest as long as there are too many. `in_all` is what all sessions hold.
    pub(crate) fn push(&mut self, kept: KeptReply, limits: &Limits, in_all: &mut usize) {
        self.add(&kept, in_all);
        self.sent.push_back(kept);
        while self.count > limits.kept_replies_per_session
            || self.bytes > limits.kept_reply_bytes_per_session
            || *in_all > limits.kept_reply_bytes_in_all
        {
            let Some(oldest) = self.sent.pop_front() else { break };
            self.first += 1;
            self.subtract(&oldest, in_all);
        }
    }

    /// The client has taken in the first `replies` of this connection.
    pub(crate) fn acknowledged(&mut self, replies: u64, in_all: &mut usize) {
        while self.first <= replies {
            let Some(kept) = self.sent.pop_front() else { break };
            self.first += 1;
            self.subtract(&kept, in_all);
        }
        self.give_back();
    }

    /// A new connection: counting starts again, and nothing of before is known to have arrived.
    pub(crate) fn new_connection(&mut self) {
        self.first = 1;
        for kept in self.sent.drain(..) {
            self.unclaimed.entry(kept.reply.id.get()).or_default().push(kept);
        }
    }

    /// The client announced this request again: what had been sent for it, to be sent once more.
    pub(crate) fn claim(&mut self, id: u64, in_all: &mut usize) -> Vec<KeptReply> {
        let claimed = self.unclaimed.remove(&id).unwrap_or_default();
        for kept in &claimed {
            self.subtract(kept, in_all);
        }
        give_back(&mut self.unclaimed);
        claimed
    }

    /// What has not been announced again until now had arrived.
    pub(crate) fn forget_unclaimed(&mut self, in_all: &mut usize) {
        let (mut count, mut bytes) = (0, 0);
        for (_, some) in self.unclaimed.drain() {
            count += some.len();
            bytes += some.iter().map(KeptReply::cost).sum::<usize>();
        }
        self.count -= count;
        self.bytes -= bytes;
        *in_all -= bytes;
        give_back(&mut self.unclaimed);
    }

    /// The session ends.
    pub(crate) fn forget_all(&mut self, in_all: &mut usize) {
        *in_all -= self.bytes;
        *self = Self::new(0);
    }

    fn add(&mut self, kept: &KeptReply, in_all: &mut usize) {
        self.count += 1;
        self.bytes += kept.cost();
        *in_all += kept.cost();
    }

    fn subtract(&mut self, kept: &KeptReply, in_all: &mut usize) {
        self.count -= 1;
        self.bytes -= kept.cost();
        *in_all -= kept.cost();
    }

    fn give_back(&mut self) {
        const WORTH_KEEPING: usize = 32;
        if self.sent.is_empty() && self.sent.capacity() > WORTH_KEEPING {
            self.sent = VecDeque::new();
        }
    }
}

impl KeptReply {
    fn cost(&self) -> usize {
        self.data.len() + OVERHEAD_BYTES
    }
}
