//! Replies whose connection has broken before they were safe.
//!
//! Their handler says them again on its next connection. Nothing needs the copy, for its call has been answered; but were it acknowledged, the handler
//! would forget a reply that a restart can still lose. So the copy waits until the first one is let go:
//!
//! ```text
//!  said on a connection, needed ── it breaks ──► ORPHAN ── needed by nobody ──► the copies that wait for it are let go
//!                                                  ▲
//!  said again on another connection ── waits for ──┘
//! ```

use crate::broker::Broker;
use crate::input::ConnectionId;
use crate::receipts::Receipt;
use std::collections::BTreeMap;

/// All of them, by the delivery that they answer. There are never more than replies that something needs.
#[derive(Default)]
pub(crate) struct Orphans {
    needed: BTreeMap<Receipt, Orphan>,
    by_delivery: BTreeMap<u64, Family>,
}

struct Orphan {
    delivery: u64,
    /// How many things need it.
    needed: u32,
}

/// What was said about one delivery.
#[derive(Default)]
struct Family {
    orphans: usize,
    /// The first copy on each living connection. A connection acknowledges in order, so the others there wait behind it.
    copies: Vec<Receipt>,
}

impl Orphans {
    /// A connection has broken before this was safe.
    fn add(&mut self, receipt: Receipt, delivery: u64, mut needed: u32) {
        if let Some(family) = self.by_delivery.get_mut(&delivery) {
            let before = family.copies.len();
            family.copies.retain(|copy| *copy != receipt);
            // A copy that only waits is said once more, and that one waits.
            needed -= u32::from(family.copies.len() < before);
        }
        if needed > 0 {
            self.needed.insert(receipt, Orphan { delivery, needed });
            self.by_delivery.entry(delivery).or_default().orphans += 1;
        }
    }

    /// Whether this is the first copy on its connection of a reply that is not safe. Then it waits.
    fn add_copy(&mut self, receipt: Receipt, delivery: u64) -> bool {
        let Some(family) = self.by_delivery.get_mut(&delivery) else { return false };
        let is_first = family.copies.iter().all(|copy| copy.connection != receipt.connection);
        if is_first {
            family.copies.push(receipt);
        }
        is_first
    }

    /// One thing less needs this. Returns the copies that need not wait any longer.
    pub(crate) fn let_go(&mut self, receipt: Receipt) -> Vec<Receipt> {
        let Some(orphan) = self.needed.get_mut(&receipt) else { return Vec::new() };
        let delivery = orphan.delivery;
        orphan.needed -= 1;
        if orphan.needed > 0 {
            return Vec::new();
        }
        self.needed.remove(&receipt);
        let Some(family) = self.by_delivery.get_mut(&delivery) else { return Vec::new() };
        family.orphans -= 1;
        if family.orphans > 0 {
            return Vec::new();
        }
        self.by_delivery.remove(&delivery).map_or_else(Vec::new, |family| family.copies)
    }
}

impl Broker {
    /// A connection is over: what its handler said there and is not safe, it says again on the next.
    pub(crate) fn orphan_receipts(&mut self, connection: ConnectionId) {
        let Some(record) = self.connection(connection) else { return };
        for (number, said) in record.receipts.take_needed() {
            self.orphans.add(Receipt { connection, number }, said.delivery, said.needed);
        }
    }

    /// The reply that is being taken in may be a copy of one that is not safe.
    pub(crate) fn wait_for_orphans(&mut self, delivery: u64) {
        if self.source.is_some_and(|receipt| self.orphans.add_copy(receipt, delivery)) {
            self.need_source();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(connection: u32, number: u32) -> Receipt {
        Receipt { connection: ConnectionId::new(0, connection, 0), number }
    }

    #[test]
    fn a_copy_waits_until_the_first_one_is_needed_by_nothing() {
        let mut orphans = Orphans::default();
        orphans.add(receipt(1, 1), 7, 2);
        assert!(orphans.add_copy(receipt(2, 1), 7));
        assert!(!orphans.add_copy(receipt(2, 2), 7), "it waits behind the first one");
        assert!(!orphans.add_copy(receipt(2, 3), 8), "nothing of this delivery is in danger");
        assert_eq!(orphans.let_go(receipt(1, 1)), []);
        assert_eq!(orphans.let_go(receipt(1, 1)), [receipt(2, 1)]);
        assert!(orphans.needed.is_empty() && orphans.by_delivery.is_empty());
    }

    #[test]
    fn a_copy_whose_connection_breaks_leaves_nothing() {
        let mut orphans = Orphans::default();
        orphans.add(receipt(1, 1), 7, 1);
        assert!(orphans.add_copy(receipt(2, 1), 7));
        orphans.add(receipt(2, 1), 7, 1);
        assert!(orphans.add_copy(receipt(3, 1), 7));
        assert_eq!(orphans.let_go(receipt(1, 1)), [receipt(3, 1)]);
        assert!(orphans.needed.is_empty() && orphans.by_delivery.is_empty());
    }
}
