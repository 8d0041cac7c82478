//! A queue that runs through the records of a slab: each record holds its neighbours.

use super::slab::{Key, Slab};

const NONE: u32 = u32::MAX;

/// First in, first out; anyone may leave.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
    len: usize,
}

/// A record's neighbours in the one chain it is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    before: u32,
    after: u32,
}

/// A record that can be in a chain.
pub(crate) trait Chained {
    fn links(&mut self) -> &mut Links;
}

impl Links {
    pub(crate) const LOOSE: Self = Self { before: NONE, after: NONE };
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE, len: 0 };

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first<T>(&self, slab: &Slab<T>) -> Option<Key<T>> {
        slab.key_at(self.first)
    }

    /// The record behind this one.
    pub(crate) fn after<T: Chained>(slab: &mut Slab<T>, key: Key<T>) -> Option<Key<T>> {
        let after = slab.get_mut(key)?.links().after;
        slab.key_at(after)
    }

    pub(crate) fn push_last<T: Chained>(&mut self, slab: &mut Slab<T>, key: Key<T>) {
        let place = key.place();
        if let Some(record) = slab.at(place) {
            *record.links() = Links { before: self.last, after: NONE };
        }
        match slab.at(self.last) {
            Some(last) => last.links().after = place,
            None => self.first = place,
        }
        self.last = place;
        self.len += 1;
    }

    pub(crate) fn push_first<T: Chained>(&mut self, slab: &mut Slab<T>, key: Key<T>) {
        let place = key.place();
        if let Some(record) = slab.at(place) {
            *record.links() = Links { before: NONE, after: self.first };
        }
        match slab.at(self.first) {
            Some(first) => first.links().before = place,
            None => self.last = place,
        }
        self.first = place;
        self.len += 1;
    }

    /// Takes a record out, wherever it is. It must be in this chain.
    pub(crate) fn remove<T: Chained>(&mut self, slab: &mut Slab<T>, key: Key<T>) {
        let Some(record) = slab.at(key.place()) else { return };
        let Links { before, after } = std::mem::replace(record.links(), Links::LOOSE);
        match slab.at(before) {
            Some(record) => record.links().after = after,
            None => self.first = after,
        }
        match slab.at(after) {
            Some(record) => record.links().before = before,
            None => self.last = before,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bead(u32, Links);

    impl Chained for Bead {
        fn links(&mut self) -> &mut Links {
            &mut self.1
        }
    }

    #[test]
    fn first_in_first_out_and_anyone_may_leave() {
        let (mut slab, mut chain) = (Slab::new(), Chain::EMPTY);
        let keys: Vec<_> = (0..6).map(|i| slab.insert(Bead(i, Links::LOOSE))).collect();
        for &key in &keys[1..] {
            chain.push_last(&mut slab, key);
        }
        chain.push_first(&mut slab, keys[0]);
        for gone in [0, 3, 5] {
            chain.remove(&mut slab, keys[gone]);
        }
        let mut order = Vec::new();
        while let Some(key) = chain.first(&slab) {
            chain.remove(&mut slab, key);
            order.push(slab.get(key).unwrap().0);
        }
        assert_eq!((order, chain.len()), (vec![1, 2, 4], 0));
    }
}
