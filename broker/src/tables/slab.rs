//! Records in chunks. A key holds the record's place and which of its users it names, so that a key kept too long finds
//! nothing instead of somebody else's record. A chunk without records is given back to the allocator.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

const CHUNK: usize = 256;
const NONE: u32 = u32::MAX;

/// Names a record of a `Slab<T>`.
pub(crate) struct Key<T> {
    place: u32,
    turn: u32,
    of: PhantomData<fn() -> T>,
}

pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with a free place, the one to use next at the end. Those given back are here too.
    open: Vec<u32>,
    /// A chunk without records that is kept, so that a single record coming and going does not allocate.
    spare: u32,
    turn: u32,
    len: usize,
}

struct Chunk<T> {
    places: Vec<Place<T>>,
    used: u32,
    free: u32,
}

enum Place<T> {
    Free { next: u32 },
    Used { turn: u32, record: T },
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), spare: NONE, turn: 0, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, record: T) -> Key<T> {
        let number = self.open.last().copied().unwrap_or_else(|| {
            self.chunks.push(Chunk { places: Vec::new(), used: 0, free: NONE });
            self.open.push(self.chunks.len() as u32 - 1);
            self.chunks.len() as u32 - 1
        });
        let chunk = &mut self.chunks[number as usize];
        chunk.prepare();
        let within = chunk.free;
        let place = &mut chunk.places[within as usize];
        if let Place::Free { next } = *place {
            chunk.free = next;
        }
        self.turn = self.turn.wrapping_add(1);
        *place = Place::Used { turn: self.turn, record };
        chunk.used += 1;
        self.len += 1;
        if chunk.free == NONE {
            self.open.pop();
        }
        if self.spare == number {
            self.spare = NONE;
        }
        Key { place: number * CHUNK as u32 + within, turn: self.turn, of: PhantomData }
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<T> {
        self.get(key)?;
        let (number, within) = key.split();
        let chunk = &mut self.chunks[number];
        let was_full = chunk.free == NONE;
        let place = std::mem::replace(&mut chunk.places[within], Place::Free { next: chunk.free });
        chunk.free = within as u32;
        chunk.used -= 1;
        self.len -= 1;
        if was_full {
            self.open.push(number as u32);
        }
        if chunk.used == 0 {
            self.give_back(number as u32);
        }
        match place {
            Place::Used { record, .. } => Some(record),
            Place::Free { .. } => None,
        }
    }

    fn give_back(&mut self, number: u32) {
        if self.spare == NONE {
            self.spare = number;
        } else {
            let chunk = &mut self.chunks[number as usize];
            (chunk.places, chunk.free) = (Vec::new(), NONE);
        }
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        let (number, within) = key.split();
        match self.chunks.get(number)?.places.get(within)? {
            Place::Used { turn, record } if *turn == key.turn => Some(record),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let (number, within) = key.split();
        match self.chunks.get_mut(number)?.places.get_mut(within)? {
            Place::Used { turn, record } if *turn == key.turn => Some(record),
            _ => None,
        }
    }

    /// The record at a place, for lists that run through records. They unlink a record before it is removed.
    pub(super) fn at(&mut self, place: u32) -> Option<&mut T> {
        match self.chunks.get_mut(place as usize / CHUNK)?.places.get_mut(place as usize % CHUNK)? {
            Place::Used { record, .. } => Some(record),
            Place::Free { .. } => None,
        }
    }

    /// The key of the record at a place.
    pub(super) fn key_at(&self, place: u32) -> Option<Key<T>> {
        match self.chunks.get(place as usize / CHUNK)?.places.get(place as usize % CHUNK)? {
            Place::Used { turn, .. } => Some(Key { place, turn: *turn, of: PhantomData }),
            Place::Free { .. } => None,
        }
    }

    /// All records with their keys, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            chunk.places.iter().enumerate().filter_map(move |(within, place)| match place {
                Place::Used { turn, record } => {
                    Some((Key { place: (number * CHUNK + within) as u32, turn: *turn, of: PhantomData }, record))
                }
                Place::Free { .. } => None,
            })
        })
    }

    /// The keys of all records, by place; for loops that change the slab.
    pub(crate) fn keys(&self) -> Vec<Key<T>> {
        self.iter().map(|(key, _)| key).collect()
    }
}

impl<T> Chunk<T> {
    /// Makes the places of a chunk that has none.
    fn prepare(&mut self) {
        if self.places.is_empty() {
            self.places = (1..=CHUNK as u32).map(|next| Place::Free { next }).collect();
            self.places[CHUNK - 1] = Place::Free { next: NONE };
            self.free = 0;
        }
    }
}

impl<T> Key<T> {
    fn split(self) -> (usize, usize) {
        (self.place as usize / CHUNK, self.place as usize % CHUNK)
    }

    pub(super) fn place(self) -> u32 {
        self.place
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.place, self.turn) == (other.place, other.turn)
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.place, self.turn).cmp(&(other.place, other.turn))
    }
}

impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.place, self.turn).hash(state);
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.place, self.turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_kept_too_long_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(first.place, second.place);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"second")));
        assert_eq!(slab.remove(first), None);
    }

    #[test]
    fn chunks_are_given_back_when_empty() {
        let mut slab = Slab::new();
        let keys: Vec<_> = (0..10_000).map(|i| slab.insert(i)).collect();
        assert!(keys.iter().enumerate().all(|(i, &key)| slab.get(key) == Some(&i)));
        for &key in &keys {
            slab.remove(key);
        }
        assert_eq!(slab.len(), 0);
        assert_eq!(slab.chunks.iter().filter(|chunk| !chunk.places.is_empty()).count(), 1);
        let again: Vec<_> = (0..10_000).map(|i| slab.insert(i)).collect();
        assert_eq!(slab.chunks.len(), 10_000usize.div_ceil(CHUNK));
        assert!(again.iter().enumerate().all(|(i, &key)| slab.get(key) == Some(&i)));
    }
}
