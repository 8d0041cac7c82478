//! When a handler may forget a reply: what has been taken in, what still needs it, and what it has been told.
//!
//! A handler keeps its replies until they are acknowledged, and says them again to a server that has restarted. So a server
//! with a store acknowledges a reply only when it could lose it without harm: when its caller has acknowledged it, when it is
//! on disk, or when nobody wants it any more. Otherwise a restart between the two would make its call run twice.
//!
//! ```text
//!  reply taken in ──► needed by: a kept reply, a step of the journal, a snapshot ──► needed by nobody ──► acknowledged, in order
//! ```

use crate::broker::{Alarm, Broker};
use crate::input::ConnectionId;
use crate::time::Time;
use answerback_protocol::Payload;
use answerback_protocol::frames::Ack;
use answerback_protocol::limits::{ACK_AFTER_BYTES, ACK_AFTER_REPLIES, ACK_WITHIN_MS, KEPT_REPLIES_MAX};
use std::collections::VecDeque;
use std::time::Duration;

/// One reply of a handler, as it was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Receipt {
    pub(crate) connection: ConnectionId,
    pub(crate) number: u32,
}

/// What is known of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) delivery: u64,
    /// How many things need it.
    pub(crate) needed: u32,
}

/// The replies taken in on one connection.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// How many were taken in, and how many of them the handler has been told of.
    taken: u64,
    told: u64,
    bytes_untold: u64,
    alarm: Option<Time>,
    /// The last replies. Those before them are needed by nothing.
    last: VecDeque<Said>,
}

impl Receipts {
    /// The alarm that is set, if one is.
    pub(crate) fn take_alarm(&mut self) -> Option<Time> {
        self.alarm.take()
    }

    /// How many, from the first on, are needed by nothing.
    fn safe(&self) -> u64 {
        self.taken - self.last.len() as u64
    }

    /// One more, which is needed until it has been dealt with.
    fn take(&mut self, bytes: usize, delivery: u64) -> u32 {
        self.taken += 1;
        self.bytes_untold += bytes as u64;
        self.last.push_back(Said { delivery, needed: 1 });
        if self.last.len() > KEPT_REPLIES_MAX {
            // No handler keeps more than this, so there is nothing to gain from making it wait.
            self.last.pop_front();
        }
        self.taken as u32
    }

    fn needed(&mut self, number: u32) -> Option<&mut u32> {
        let back = (self.taken as u32).wrapping_sub(number) as usize;
        let place = self.last.len().checked_sub(back + 1)?;
        self.last.get_mut(place).map(|said| &mut said.needed)
    }

    fn pass(&mut self) {
        while self.last.front().is_some_and(|said| said.needed == 0) {
            self.last.pop_front();
        }
    }

    /// Those that are needed, each with its number. They are not looked after here any longer.
    pub(crate) fn take_needed(&mut self) -> impl Iterator<Item = (u32, Said)> + use<> {
        let first = self.safe() + 1;
        let last = std::mem::take(&mut self.last);
        (first..).map(|number| number as u32).zip(last).filter(|(_, said)| said.needed > 0)
    }

    fn is_due(&self) -> bool {
        let untold = self.safe() - self.told;
        untold >= ACK_AFTER_REPLIES || (untold > 0 && self.bytes_untold >= ACK_AFTER_BYTES)
    }

    fn tell(&mut self) -> Ack {
        (self.told, self.bytes_untold) = (self.safe(), 0);
        Ack { replies: self.told }
    }
}

impl Broker {
    /// A `reply` frame was taken in. Until [`Self::reply_dealt_with`] it is the source of whatever is kept.
    pub(crate) fn count_reply(&mut self, connection: ConnectionId, bytes: usize, delivery: u64) {
        let number = self.connection(connection).map(|connection| connection.receipts.take(bytes, delivery));
        self.source = number.map(|number| Receipt { connection, number });
        self.wait_for_orphans(delivery);
    }

    /// What the reply led to is done; whatever needs it says so by itself now.
    pub(crate) fn reply_dealt_with(&mut self) {
        if let Some(receipt) = self.source.take() {
            self.let_go(receipt);
        }
    }

    /// The reply that is being taken in, needed once more. Without a store nothing is: a restart would lose everything anyway.
    pub(crate) fn need_source(&mut self) -> Option<Receipt> {
        let receipt = self.source.filter(|_| self.settings.has_store)?;
        *self.connection(receipt.connection)?.receipts.needed(receipt.number)? += 1;
        Some(receipt)
    }

    /// One thing less needs this reply.
    pub(crate) fn let_go(&mut self, receipt: Receipt) {
        let ring_at = self.now + Duration::from_millis(ACK_WITHIN_MS);
        let Some(connection) = self.connection(receipt.connection) else {
            let copies = self.orphans.let_go(receipt);
            return copies.into_iter().for_each(|copy| self.let_go(copy));
        };
        let receipts = &mut connection.receipts;
        if let Some(needed) = receipts.needed(receipt.number) {
            *needed = needed.saturating_sub(1);
        }
        receipts.pass();
        if receipts.is_due() {
            self.send_ack(receipt.connection);
        } else if receipts.safe() > receipts.told && receipts.alarm.is_none() {
            receipts.alarm = Some(ring_at);
            self.alarms.set(ring_at, Alarm::Acknowledge(receipt.connection));
        }
    }

    pub(crate) fn acknowledge(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        connection.receipts.alarm = None;
        if connection.receipts.safe() > connection.receipts.told {
            self.send_ack(id);
        }
    }

    /// The alarm stays where it is: moving it for each acknowledgement would cost more than one that finds nothing.
    fn send_ack(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        let ack = connection.receipts.tell();
        self.send(id, ack, Payload::NONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_in_order_and_only_when_nothing_needs_them() {
        let mut receipts = Receipts::default();
        let numbers: Vec<_> = (0..3).map(|_| receipts.take(10, 7)).collect();
        *receipts.needed(numbers[1]).unwrap() += 1;
        for number in [numbers[2], numbers[1], numbers[0]] {
            *receipts.needed(number).unwrap() -= 1;
            receipts.pass();
        }
        assert_eq!((receipts.safe(), receipts.tell()), (1, Ack { replies: 1 }));
        *receipts.needed(numbers[1]).unwrap() -= 1;
        receipts.pass();
        assert_eq!((receipts.safe(), receipts.needed(numbers[2]).is_none()), (3, true));
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut receipts = Receipts::default();
        for _ in 0..KEPT_REPLIES_MAX + 7 {
            receipts.take(1, 7);
        }
        assert_eq!(receipts.safe(), 7);
        assert!(receipts.needed(7).is_none() && receipts.needed(8).is_some());
    }
}
