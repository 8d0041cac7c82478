//! Snapshots: what was there at a moment, saved now and then in one piece.

mod memory;
mod place;
mod sled;

pub use self::sled::SledSnapshots;
pub use memory::{MemoryShelf, MemorySnapshots};

use crate::Finding;
use answerback_broker::{Change, Item, ItemId};
use std::fmt;
use std::io;
use std::ops::ControlFlow;

/// Which items to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What must be known before the first connection: stored replies, kept replies, requests with a caller or an idempotency key.
    First,
    /// The rest, sends without a key, in the order of their ids. They can come while the server serves.
    Sends,
}

impl Part {
    /// Whether an item belongs to this part.
    pub fn has(self, item: &Item) -> bool {
        let is_send = matches!(item, Item::Request(request) if request.caller.is_none() && request.key.is_none());
        is_send == (self == Self::Sends)
    }
}

/// What a save did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SaveReport {
    /// Items written.
    pub put: u64,
    /// Items removed.
    pub removed: u64,
    /// Items there now, as far as that is known: before [`Part::Sends`] was loaded the sends of the last life are not counted.
    pub items: u64,
    /// Whether so much went that what is left was written into a fresh generation.
    pub renewed: bool,
}

/// A fresh generation that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Its number.
    pub generation: u64,
    /// Items in it.
    pub items: u64,
}

/// Where snapshots are kept. Every call may wait for a disk.
pub trait Snapshots: fmt::Debug + Send {
    /// Gives all items of a part, in the order of their ids, until told to stop. What cannot be read is passed over and told.
    fn load(&mut self, part: Part, each: &mut dyn FnMut(ItemId, Item) -> ControlFlow<()>) -> io::Result<Vec<Finding>>;

    /// Saves changes: all of them are there afterwards, on disk to stay, or none. After an error the same changes can be saved again.
    fn save(&mut self, changes: &[Change]) -> io::Result<SaveReport>;

    /// Writes everything into a fresh generation and deletes the old one, if enough is dead that it is worth it.
    fn renew(&mut self) -> io::Result<Option<Renewal>>;

    /// One more than the greatest id that was ever saved.
    fn next_item(&self) -> u64;
}
