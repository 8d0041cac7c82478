//! What this client works on, and what it has answered: a delivery is held until its last answer, and the answer is kept until the
//! server acknowledges it. In between it is never in neither place, because such a delivery goes to another handler.

use super::words::Verdict;
use crate::fault::Fault;
use answerback_protocol::frames::{Answer, AnswerError, Release, Resume};
use answerback_protocol::limits::{HEAD_LENGTH_BYTES, HOLDING_MAX, MESSAGE_BYTES_MAX};
use answerback_protocol::{ClientFrame, DeliveryId, Text};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Replies written and not acknowledged, and bytes of their data, from which on no more are written: a server that acknowledges as it
/// should has at most a few hundred of them open, and what the road between holds.
const UNACKNOWLEDGED_MAX: usize = 65_536;
const UNACKNOWLEDGED_BYTES_MAX: usize = 256 << 20;

/// How long to wait for an acknowledgement then. The server should send one within 250 ms.
const ACK_PATIENCE: Duration = Duration::from_secs(10);

/// Deliveries that may come beyond any credit. Only a broken server sends more, and must not fill the memory.
const BEYOND_CREDIT: usize = 1_000;

/// What one delivery takes in a `resume`, its share of the frame's other members included.
const HELD_BYTES: usize = 20;

/// A reply's head without code and message of a fault: all members, each at its longest.
const HEAD_BYTES: usize = 160;

pub(super) struct Work {
    /// Deliveries that are not answered to the end.
    held: BTreeMap<DeliveryId, Held>,
    /// Answers that are not acknowledged, in order.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// How many of them, from the first on, were written on this connection, and bytes of their data.
    written: usize,
    written_bytes: usize,
    /// Answers that were acknowledged on this connection.
    acknowledged: u64,
    /// Since when no more are written, because too many are not acknowledged.
    stuck_since: Option<Instant>,
    /// Deliveries to hand back on this connection.
    releases: VecDeque<DeliveryId>,
    /// Deliveries that the server may have given to this client at once, if it is generous.
    credit: usize,
}

struct Held {
    /// How many parts of its answer there were.
    parts: u64,
    /// The connection on which it came.
    connection: u64,
}

/// An answer as it is written.
struct Kept {
    id: DeliveryId,
    /// The number of this part, or 0 if it is the last answer.
    part: u64,
    fault: Option<Box<Fault>>,
    data: Bytes,
}

impl Work {
    pub(super) fn new() -> Self {
        Self {
            held: BTreeMap::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            written: 0,
            written_bytes: 0,
            acknowledged: 0,
            stuck_since: None,
            releases: VecDeque::new(),
            credit: BEYOND_CREDIT,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub(super) fn is_held(&self, id: DeliveryId) -> bool {
        self.held.contains_key(&id)
    }

    // ── deliveries

    /// The server may give this client so many more.
    pub(super) fn extend_credit(&mut self, credit: u32) {
        self.credit = self.credit.saturating_add(credit as usize);
    }

    /// A delivery has come. Whether it is a new one; `None` if there are more than any credit allows.
    pub(super) fn hold(&mut self, id: DeliveryId, connection: u64) -> Option<bool> {
        let is_new = !self.is_held(id);
        if is_new && self.held.len() >= self.credit {
            return None;
        }
        self.held.entry(id).or_insert(Held { parts: 0, connection });
        Some(is_new)
    }

    /// Answers. False if it is not held, or not any more: a part that does not fit ends its delivery.
    pub(super) fn answer(&mut self, id: DeliveryId, verdict: Verdict, max_frame: u32) -> bool {
        let Some(held) = self.held.get_mut(&id) else { return false };
        let is_part = matches!(verdict, Verdict::Part(_));
        held.parts += u64::from(is_part);
        let mut kept = Kept::new(id, if is_part { held.parts } else { 0 }, verdict);
        kept.fit(max_frame);
        let goes_on = kept.part > 0;
        self.kept_bytes += kept.data.len();
        self.kept.push_back(kept);
        if !goes_on {
            self.held.remove(&id);
        }
        goes_on == is_part
    }

    /// Hands back what was not started. What came on another connection than this one is not said to be held on it
    /// while `resume_due`, and to miss it in `resume` says the same.
    pub(super) fn release(&mut self, id: DeliveryId, connection: u64, resume_due: bool) -> bool {
        let Some(held) = self.held.remove(&id) else { return false };
        if held.connection == connection || !resume_due {
            self.releases.push_back(id);
        }
        true
    }

    // ── connections

    pub(super) fn disconnected(&mut self) {
        (self.written, self.written_bytes, self.acknowledged, self.stuck_since) = (0, 0, 0, None);
        self.releases.clear();
    }

    /// What is held now belongs to no credit of the session that begins; one that has restarted may not know of it yet.
    pub(super) fn session_lost(&mut self) {
        self.credit = self.credit.saturating_add(self.held.len());
    }

    /// The server has so many replies of this connection. False if that cannot be.
    pub(super) fn acknowledge(&mut self, replies: u64) -> bool {
        let news = replies.saturating_sub(self.acknowledged);
        let Some(news) = usize::try_from(news).ok().filter(|&news| news <= self.written) else { return false };
        for kept in self.kept.drain(..news) {
            self.kept_bytes -= kept.data.len();
            self.written_bytes -= kept.data.len();
        }
        self.written -= news;
        self.acknowledged += news as u64;
        if news > 0 {
            self.stuck_since = None;
        }
        true
    }

    // ── writing

    /// Whether an answer was not written on this connection.
    pub(super) fn has_unwritten(&self) -> bool {
        self.written < self.kept.len()
    }

    /// Whether one of them may be written now.
    pub(super) fn can_write(&self) -> bool {
        self.has_unwritten() && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.written >= UNACKNOWLEDGED_MAX || self.written_bytes >= UNACKNOWLEDGED_BYTES_MAX
    }

    pub(super) fn has_releases(&self) -> bool {
        !self.releases.is_empty()
    }

    /// Writes the next answer. False if there is none, or if the server has to acknowledge others first.
    pub(super) fn say_next(&mut self, now: Instant, max_frame: u32, out: &mut BytesMut) -> bool {
        if self.is_full() {
            self.stuck_since.get_or_insert(now);
            return false;
        }
        let Some(kept) = self.kept.get_mut(self.written) else { return false };
        self.kept_bytes -= kept.data.len();
        if kept.fit(max_frame) {
            self.held.remove(&kept.id);
        }
        kept.write(out);
        self.kept_bytes += kept.data.len();
        self.written_bytes += kept.data.len();
        self.written += 1;
        if self.is_full() {
            self.stuck_since = Some(now);
        }
        true
    }

    /// Writes which deliveries are still worked on: all of them together, since they must be what they are at one moment.
    pub(super) fn say_held(&self, max_frame: u32, out: &mut BytesMut) {
        let most = (max_frame as usize / HELD_BYTES).clamp(1, HOLDING_MAX);
        let mut ids = self.held.keys().copied();
        let mut left = self.held.len();
        loop {
            let holding: Vec<_> = ids.by_ref().take(most).collect();
            left -= holding.len();
            ClientFrame::from(Resume { holding, more: left > 0 }).write(b"", out);
            if left == 0 {
                return;
            }
        }
    }

    pub(super) fn say_release(&mut self, out: &mut BytesMut) -> bool {
        let Some(id) = self.releases.pop_front() else { return false };
        ClientFrame::from(Release { id }).write(b"", out);
        true
    }

    // ── time

    /// When the server has not acknowledged for too long.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.stuck_since?.checked_add(ACK_PATIENCE)
    }
}

impl Kept {
    fn new(id: DeliveryId, part: u64, verdict: Verdict) -> Self {
        match verdict {
            Verdict::Part(data) | Verdict::Done(data) => Self { id, part, fault: None, data },
            Verdict::Fault(fault) => {
                let data = fault.clone().into_data();
                Self { id, part, fault: Some(Box::new(fault)), data }
            }
        }
    }

    /// Becomes a fault, and the last answer, if it does not fit into a frame. Whether it did.
    fn fit(&mut self, max_frame: u32) -> bool {
        // A code has no control characters, and a message is cut when it is written.
        let fault = self
            .fault
            .as_ref()
            .map_or(0, |fault| 2 * fault.code().len() + (6 * fault.message().len()).min(MESSAGE_BYTES_MAX));
        let bytes = self.data.len();
        let is_too_large = HEAD_LENGTH_BYTES + HEAD_BYTES + fault + bytes > max_frame as usize;
        if is_too_large {
            let text =
                format!("the answer has {bytes} bytes of data, and the server takes frames of {max_frame} (max_frame)");
            *self = Self::new(self.id, 0, Verdict::Fault(Fault::new("too_large", text)));
        }
        is_too_large
    }

    fn write(&self, out: &mut BytesMut) {
        let error = self.fault.as_ref().map(|fault| AnswerError {
            code: Text::Borrowed(fault.code()),
            message: Text::Borrowed(fault.message()),
            retryable: fault.is_retryable(),
        });
        let seq = Some(self.part).filter(|&part| part > 0);
        ClientFrame::from(Answer { id: self.id, error, part: seq.is_some(), seq }).write(&self.data, out);
    }
}
