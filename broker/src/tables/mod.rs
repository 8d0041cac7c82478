//! The containers that the core is built on. They know nothing of requests.
//!
//! * [`Slab`]: records with keys that never name the wrong record, in chunks that are given back.
//! * [`Chain`]: a first-in first-out queue through records of a slab; leaving it from the middle costs nothing.
//! * [`Wheel`]: deadlines of records of a slab; setting one and dropping one cost the same with ten or ten million.
//! * [`Alarms`]: the few other times to wake up at, in order.
//! * [`Map`]: a hash table for look-ups. It is never iterated: the core does things in an order that can be told.

mod alarms;
mod chain;
mod slab;
mod wheel;

pub(crate) use alarms::Alarms;
pub(crate) use chain::{Chain, Chained, Links};
pub(crate) use slab::{Key, Slab};
pub(crate) use wheel::{Timed, TimerLinks, Wheel};

/// A hash table whose seed is a setting, so that nobody outside can aim for collisions and two runs are alike.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

/// An empty table that has allocated nothing.
pub(crate) fn map<K, V>(seed: u64) -> Map<K, V> {
    Map::with_hasher(foldhash::fast::FixedState::with_seed(seed))
}

/// Gives back the memory of a table that was large and is empty. Small ones keep theirs: they will be used again.
pub(crate) fn give_back<K, V>(map: &mut Map<K, V>) {
    const WORTH_KEEPING: usize = 512;
    if map.is_empty() && map.capacity() > WORTH_KEEPING {
        *map = Map::with_hasher(map.hasher().clone());
    }
}
