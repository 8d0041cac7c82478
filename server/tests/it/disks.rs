//! Disks in memory that outlive a server and do what they are told to do wrong.

use crate::place::{Embedded, Place};
use crate::process::ask;
use answerback_server::Settings;
use answerback_store::{FaultyDisk, MemoryShelf, SnapshotsIn};
use std::sync::Arc;
use std::time::Duration;

/// For the journal, and for snapshots.
pub(crate) struct Disks {
    /// Where the journal is on its disk, and where the server's other files are.
    place: Place,
    pub(crate) disk: FaultyDisk,
    pub(crate) shelf: MemoryShelf,
}

impl Disks {
    pub(crate) fn new() -> Self {
        Self { place: Place::new(), disk: FaultyDisk::default(), shelf: MemoryShelf::default() }
    }

    /// A server on these disks.
    pub(crate) fn serve(&self, change: impl FnOnce(&mut Settings)) -> Embedded {
        Embedded::with(|settings| {
            self.choose(settings);
            change(settings);
        })
    }

    /// Settings of a server on these disks.
    pub(crate) fn choose(&self, settings: &mut Settings) {
        settings.disk = Some((Arc::new(self.disk.clone()), SnapshotsIn::Memory(self.shelf.clone())));
        settings.data_dir.clone_from(&self.place.0);
        settings.admin = Some(([127, 0, 0, 1], 0).into());
        settings.snapshot_interval = Duration::from_millis(20);
    }
}

/// What the admin port says of readiness.
pub(crate) fn ready(server: &Embedded) -> (u16, String) {
    ask(server.running.admin_address().unwrap(), "GET", "/readyz")
}
