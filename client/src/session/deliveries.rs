//! Deliveries that this client works on, and its replies until the server acknowledges them: the right half of a session.

use super::saying::Say;
use super::words::{Broken, Caller, Verdict};
use super::{Event, Session};
use crate::fault::Fault;
use answerback_protocol::DeliveryId;
use bytes::Bytes;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// A server acknowledges within a quarter of a second. One that lets so many replies pile up never will …
const KEPT_MAX: usize = 65_536;

/// … and neither will one that lets so many bytes pile up.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// More deliveries at once than every action's credit together: what a sound server may have under way when credit shrinks or a session was lost.
const HELD_BEYOND_CREDIT: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Held, and how many parts of its answer were given. The server chooses these ids, so the hash is one that it cannot aim at.
    held: HashMap<DeliveryId, u64>,
    /// Replies that were not acknowledged, in order. Never dropped: a delivery that is neither answered nor held goes to another handler.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// How many of them were written to this connection.
    written: usize,
    /// How many the server has acknowledged on this connection.
    acknowledged: u64,
}

/// A reply until it is acknowledged.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: DeliveryId,
    /// The number of a part; nothing is the last answer.
    pub(super) part: Option<u64>,
    pub(super) fault: Option<Box<Fault>>,
    pub(super) data: Bytes,
}

impl Deliveries {
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.written == self.kept.len()
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub(super) fn holding(&self) -> Vec<DeliveryId> {
        let mut holding: Vec<DeliveryId> = self.held.keys().copied().collect();
        holding.sort_unstable();
        holding
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// On a new connection nothing was written and nothing acknowledged.
    pub(super) fn begin(&mut self) {
        (self.written, self.acknowledged) = (0, 0);
    }

    /// The next reply to write.
    pub(super) fn next_to_write(&mut self) -> Option<&mut Kept> {
        let next = self.kept.get_mut(self.written)?;
        self.written += 1;
        Some(next)
    }

    /// The reply that was written last.
    pub(super) fn last_written(&self) -> Option<&Kept> {
        self.kept.get(self.written.checked_sub(1)?)
    }

    /// The server has taken in so many replies on this connection.
    pub(super) fn acknowledged(&mut self, replies: u64) {
        let newly = replies.saturating_sub(self.acknowledged).min(self.written as u64);
        self.acknowledged += newly;
        for _ in 0..newly {
            if let Some(kept) = self.kept.pop_front() {
                self.kept_bytes -= kept.data.len();
                self.written -= 1;
            }
        }
    }

    fn keep(&mut self, kept: Kept) {
        self.kept_bytes += kept.data.len();
        self.kept.push_back(kept);
    }

    /// An answer that the server does not take becomes a fault that says so.
    pub(super) fn too_large(&mut self, at_most: u32) {
        let Some(kept) = self.written.checked_sub(1).and_then(|last| self.kept.get_mut(last)) else { return };
        let bytes = kept.data.len();
        self.kept_bytes -= bytes;
        kept.data = Bytes::new();
        kept.part = None;
        let message =
            format!("the answer has {bytes} bytes, and this server takes frames of {at_most}: answer in parts");
        kept.fault = Some(Box::new(Fault::new("too_large", message)));
        let id = kept.id;
        // If it was a part, nothing can follow.
        self.held.remove(&id);
    }
}

impl<C: Caller> Session<C> {
    /// Answers a delivery. `false` if it is not held here.
    pub(crate) fn answer(&mut self, id: DeliveryId, verdict: Verdict) -> bool {
        let Some(parts) = self.deliveries.held.get_mut(&id) else { return false };
        let kept = match verdict {
            Verdict::Part(data) => {
                *parts += 1;
                Kept { id, part: Some(*parts), fault: None, data }
            }
            Verdict::Done(data) => Kept { id, part: None, fault: None, data },
            Verdict::Fault(fault) => Kept { id, part: None, data: fault.raw_details(), fault: Some(Box::new(fault)) },
        };
        if kept.part.is_none() {
            self.deliveries.held.remove(&id);
        }
        self.deliveries.keep(kept);
        self.say_if_welcome(|| Say::Reply);
        true
    }

    /// Gives a delivery back that was not started. `false` if it is not held here.
    pub(crate) fn release(&mut self, id: DeliveryId) -> bool {
        let held = self.deliveries.held.remove(&id).is_some();
        if held {
            // Without a connection nothing is said: what is not held on the next one was never started.
            self.say_if_welcome(|| Say::Release(id));
        }
        held
    }

    /// A request to work on came in.
    pub(super) fn delivered(&mut self, delivery: super::Delivery) -> Result<(), Broken> {
        let credit: usize = self.serves.values().map(|credit| *credit as usize).sum();
        if self.deliveries.held.len() >= credit + HELD_BEYOND_CREDIT {
            return Err(Broken::Malformed("more deliveries than any credit allows".to_owned()));
        }
        if self.deliveries.kept.len() >= KEPT_MAX || self.deliveries.kept_bytes >= KEPT_BYTES_MAX {
            return Err(Broken::Unacknowledged);
        }
        if let Entry::Vacant(vacant) = self.deliveries.held.entry(delivery.id) {
            vacant.insert(0);
            self.events.push_back(Event::Deliver(delivery));
        }
        Ok(())
    }
}
