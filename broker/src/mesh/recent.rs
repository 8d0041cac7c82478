//! Numbers of what came lately, to know it when it comes again over another way.

use std::collections::{BTreeSet, VecDeque};

/// The last numbers, up to so many. What came before them is forgotten: a copy on a longer way comes within moments.
pub(super) struct Recent {
    known: BTreeSet<u64>,
    in_order: VecDeque<u64>,
    most: usize,
}

impl Recent {
    pub(super) fn new(most: usize) -> Self {
        Self { known: BTreeSet::new(), in_order: VecDeque::new(), most }
    }

    /// Whether a number has come before. It is remembered.
    pub(super) fn is_seen(&mut self, number: u64) -> bool {
        if !self.known.insert(number) {
            return true;
        }
        self.in_order.push_back(number);
        if self.in_order.len() > self.most
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn the_oldest_number_is_forgotten() {
        let mut recent = Recent::new(2);
        assert_eq!([1, 2, 1, 2].map(|number| recent.is_seen(number)), [false, false, true, true]);
        assert_eq!([3, 2, 3, 1].map(|number| recent.is_seen(number)), [false, true, true, false]);
        assert_eq!((recent.known.len(), recent.in_order.len()), (2, 2));
    }
}
