//! Filling a store with items from elsewhere, and putting it in the place of another.

use crate::journal::{Commit, Journal};
use crate::layout::Layout;
use crate::open::failed;
use crate::{Calendar, OpenError, Opened, Options, RealDisk, Snapshots, Store};
use answerback_broker::{Change, Item, ItemId, Step};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Items that are written at once: each time costs syncs, and a change of many pages of the snapshot.
const ITEMS: usize = 32_768;

/// Bytes of data that are written at once, so that few large items need no more memory than many small ones.
const BYTES: usize = 32 << 20;

/// A new store that is being filled: what belongs into the journal goes there, everything else into a snapshot. It is of use once it is
/// finished; who cannot finish it removes the directory.
#[derive(Debug)]
pub struct Filling {
    store: Store,
    journal: Journal,
    snapshots: Box<dyn Snapshots>,
    steps: Vec<Step>,
    changes: Vec<Change>,
    bytes: usize,
    taken: u64,
}

impl Filling {
    /// Makes a store at `path`, where there must be none.
    pub fn begin(path: &Path, calendar: Calendar, options: &Options) -> Result<Self, OpenError> {
        let opened = Store::open(path, calendar, options, &mut |_| ControlFlow::Continue(()))?;
        if !opened.is_new {
            // Opening it has taken the mark away.
            if opened.clean {
                opened.store.mark_clean().map_err(failed("mark as clean", path))?;
            }
            return Err(OpenError::NotEmpty { path: path.to_owned() });
        }
        let Opened { store, journal, snapshots, .. } = opened;
        Ok(Self { store, journal, snapshots, steps: Vec::new(), changes: Vec::new(), bytes: 0, taken: 0 })
    }

    /// Takes an item. No two may have the same number.
    pub fn put(&mut self, id: ItemId, item: Item) -> Result<(), OpenError> {
        let (durable, bytes) = match &item {
            Item::Request(request) => (request.durable, request.data.len()),
            Item::Kept(kept) => (kept.durable, kept.data.len()),
            Item::Stored(stored) => (stored.durable, stored.data.len()),
        };
        let change = Change::Put(id, item);
        if durable {
            self.steps.push(Step(vec![change]));
        } else {
            self.changes.push(change);
        }
        (self.taken, self.bytes) = (self.taken + 1, self.bytes + bytes);
        if self.steps.len() + self.changes.len() >= ITEMS || self.bytes >= BYTES { self.write() } else { Ok(()) }
    }

    /// Writes what is left. With `clean`, the next server takes what it finds as exactly what there was; without, as what there was at
    /// some moment before the last one ended. Says how many items it took.
    pub fn finish(mut self, clean: bool) -> Result<u64, OpenError> {
        self.write()?;
        let Self { store, journal, snapshots, taken, .. } = self;
        drop((journal, snapshots));
        if clean {
            store.mark_clean().map_err(failed("mark as clean", store.path()))?;
        }
        Ok(taken)
    }

    fn write(&mut self) -> Result<(), OpenError> {
        self.bytes = 0;
        if let Commit::Failed(refused) = self.journal.commit(&mut self.steps) {
            return Err(failed("write the journal in", self.store.path())(refused.error));
        }
        if !self.changes.is_empty() {
            self.snapshots.save(&self.changes).map_err(failed("save a snapshot in", self.store.path()))?;
            self.changes.clear();
        }
        Ok(())
    }
}

impl Store {
    /// Puts a store that was filled beside it in the place of the one at `path`, if there is one: at every moment one of both is there,
    /// and whole. What was there is moved into `aside/` of the new one; says where. Nobody may use either of them.
    pub fn put_in_place(filled: &Path, path: &Path, calendar: Calendar) -> Result<Option<PathBuf>, OpenError> {
        let new = Layout { disk: Arc::new(RealDisk), path: path.to_owned() };
        if new.is_empty().map_err(failed("list", path))? {
            fs::rename(filled, path).map_err(failed("move into place", filled))?;
            sync_above(path).map_err(failed("sync", path))?;
            return Ok(None);
        }
        exchange(filled, path).map_err(failed("exchange with a new store", path))?;
        let set_aside = || {
            sync_above(path)?;
            let aside = new.aside(Path::new("before-import"), &calendar)?;
            fs::rename(filled, &aside)?;
            new.disk.sync_dir(&new.aside_dir())?;
            sync_above(path)?;
            Ok(aside)
        };
        set_aside().map(Some).map_err(failed("set aside", filled))
    }
}

/// Each gets the name of the other, at once where the file system can do that.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let cannot = [rustix::io::Errno::INVAL, rustix::io::Errno::NOSYS, rustix::io::Errno::NOTSUP];
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(error) if cannot.contains(&error) => {
            let between = one.with_extension("old");
            fs::rename(other, &between)?;
            fs::rename(one, other).inspect_err(|_| drop(fs::rename(&between, other)))?;
            fs::rename(&between, one)
        }
        exchanged => Ok(exchanged?),
    }
}

fn sync_above(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(above)?.sync_all()
}
