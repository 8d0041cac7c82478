//! What is remembered of addresses: a table that never grows beyond its bound. Those with open connections are always in it, so there are at
//! most as many as connections; of the others the ones not heard of for longest go first.

use super::bucket::Bucket;
use super::origin::Origin;
use answerback_broker::Time;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Addresses without a connection that are remembered, about 200 bytes each. Who has more than that can have some of them forgotten, and is then
/// bounded by what holds for all of them.
pub(super) const KEPT: usize = 16_384;

/// What is remembered of one address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    /// Its open connections.
    pub(super) open: usize,
    /// How many of them have not said hello.
    pub(super) strangers: usize,
    /// What it may still connect.
    pub(super) handshakes: Bucket,
    /// What it may still fail.
    pub(super) failures: Bucket,
    /// How long its last rest was.
    pub(super) rest: Duration,
    /// Until then it is not listened to.
    pub(super) rests_until: Time,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    /// Its place among those without a connection.
    idle: Option<u64>,
}

/// Addresses, by where they are.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Hashed with a secret of its own: nobody can aim for collisions. Never iterated.
    known: HashMap<Origin, Entry>,
    /// Those without a connection, the one not heard of for longest first.
    idle: BTreeMap<u64, Origin>,
    next: u64,
}

impl Addresses {
    /// Shows what is remembered of an address, which was just heard of, to be changed.
    pub(super) fn with<T>(
        &mut self,
        origin: Origin,
        new: impl FnOnce() -> Address,
        change: impl FnOnce(&mut Address) -> T,
    ) -> T {
        let entry = self.known.entry(origin).or_insert_with(|| Entry { address: new(), idle: None });
        let told = change(&mut entry.address);
        if let Some(place) = entry.idle.take() {
            self.idle.remove(&place);
        }
        if entry.address.open == 0 {
            entry.idle = Some(self.next);
            self.idle.insert(self.next, origin);
            self.next += 1;
            self.forget();
        }
        told
    }

    #[cfg(test)]
    fn get(&self, origin: Origin) -> Option<&Address> {
        self.known.get(&origin).map(|entry| &entry.address)
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    fn forget(&mut self) {
        while self.idle.len() > KEPT {
            let Some((_, origin)) = self.idle.pop_first() else { return };
            self.known.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Rate;
    use super::*;

    fn origin(number: u64) -> Origin {
        Origin::V6(number)
    }

    fn new() -> Address {
        let bucket = Rate::new(1, 1).bucket(Time::default());
        Address {
            open: 0,
            strangers: 0,
            handshakes: bucket,
            failures: bucket,
            rest: Duration::ZERO,
            rests_until: Time::default(),
        }
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_go_first() {
        let mut addresses = Addresses::default();
        for number in 0..KEPT as u64 {
            addresses.with(origin(number), new, |_| {});
        }
        addresses.with(origin(0), new, |_| {});
        for number in 0..10 {
            addresses.with(origin(1 << 40 | number), new, |_| {});
        }
        assert_eq!((addresses.len(), addresses.idle.len()), (KEPT, KEPT));
        let gone = (0..KEPT as u64).filter(|number| addresses.get(origin(*number)).is_none()).collect::<Vec<_>>();
        assert_eq!(gone, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn who_is_connected_is_not_forgotten() {
        let mut addresses = Addresses::default();
        addresses.with(origin(7), new, |address| address.open += 1);
        for number in 0..2 * KEPT as u64 {
            addresses.with(origin(1 << 40 | number), new, |_| {});
        }
        assert_eq!(addresses.get(origin(7)).map(|address| address.open), Some(1));
        assert_eq!(addresses.len(), KEPT + 1);
        addresses.with(origin(7), new, |address| address.open -= 1);
        assert_eq!((addresses.len(), addresses.idle.len()), (KEPT, KEPT));
    }
}
